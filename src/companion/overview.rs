//! How a user and the personas stand, and the user's figures.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::facts;
use super::standing::{self, Standing};
use super::{CompanionError, Companions, conversations};
use crate::account::{Profile, UserId};
use crate::memory;
use crate::persona::relationship::{Adult, Move, Score, Stage};
use crate::store::StoreError;

/// How a user and a persona stand to each other now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationshipView {
    /// The persona's key.
    pub persona: String,
    pub stage: Stage,
    pub score: Score,
    /// Milestones that were reached, and when (milliseconds since 1970).
    pub milestones: Vec<(Move, i64)>,
    /// Milliseconds since 1970.
    pub spoken_at: Option<i64>,
}

/// A user's figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    pub conversations: usize,
    pub messages: usize,
    /// The persona with which most was said.
    pub favorite: Option<String>,
    pub scores: BTreeMap<String, Score>,
}

impl Companions {
    /// How the user and a persona stand; with the one that the user chose where none is named.
    pub async fn relationship(
        &self,
        user: UserId,
        persona: Option<String>,
    ) -> Result<RelationshipView, CompanionError> {
        let key = match persona {
            Some(key) => self.persona(&key)?.key.clone(),
            None => self.chosen_persona(user).await?,
        };
        let profile = self.inner.accounts.profile(user).await?;
        let (now, allows) = (self.now(), self.inner.settings.allows_adults);
        self.look(move |connection| {
            let adult = adult(connection, user, allows, &profile)?;
            Ok(view(connection, user, key, adult, now)?)
        })
        .await
    }

    /// With all personas that the user ever spoke to.
    pub async fn relationships(
        &self,
        user: UserId,
    ) -> Result<Vec<RelationshipView>, CompanionError> {
        let profile = self.inner.accounts.profile(user).await?;
        let (now, allows) = (self.now(), self.inner.settings.allows_adults);
        self.look(move |connection| {
            let adult = adult(connection, user, allows, &profile)?;
            let keys = standing::all(connection, user)?.into_iter().map(|(key, _)| key);
            Ok(keys.map(|key| view(connection, user, key, adult, now)).collect::<Result<_, _>>()?)
        })
        .await
    }

    pub async fn stats(&self, user: UserId) -> Result<Stats, CompanionError> {
        let now = self.now();
        self.look(move |connection| {
            let mut by_persona: BTreeMap<String, usize> = BTreeMap::new();
            let conversations = conversations::all(connection, user)?;
            for conversation in &conversations {
                *by_persona.entry(conversation.persona.clone()).or_default() +=
                    memory::length_of(connection, &conversation.session())?;
            }
            let scores = standing::all(connection, user)?.into_iter();
            let favorite = by_persona.iter().max_by_key(|(_, messages)| **messages);
            Ok(Stats {
                conversations: conversations.len(),
                messages: by_persona.values().sum(),
                favorite: favorite.map(|(key, _)| key.clone()),
                scores: scores.map(|(key, standing)| (key, standing.at(now))).collect(),
            })
        })
        .await
    }
}

/// Whether romance is open to this user. The only place that says so. All facts count, those that were
/// superseded included: an age that was named isn't undone by naming another.
pub(super) fn adult(
    connection: &Connection,
    user: UserId,
    allows: bool,
    profile: &Profile,
) -> Result<Adult, StoreError> {
    let facts = facts::list(connection, user, true)?;
    Ok(Adult::of(allows, profile.age, facts::ages_told(&facts)))
}

pub(super) fn view(
    connection: &Connection,
    user: UserId,
    persona: String,
    adult: Adult,
    now: i64,
) -> Result<RelationshipView, StoreError> {
    let standing = standing::find(connection, user, &persona)?;
    let score = standing.map_or_else(Score::default, |it: Standing| it.at(now));
    Ok(RelationshipView {
        stage: Stage::of(score, adult),
        score,
        milestones: standing::milestones(connection, user, &persona)?,
        spoken_at: standing.map(|it| it.spoken_at),
        persona,
    })
}
