//! What is known of a user, and how it came to be known. A fact that contradicts another takes its
//! place; the old one stays, as what was known before. Blocking.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stated::{FactKind, fault};
use crate::account::UserId;
use crate::memory::MessageId;
use crate::store::StoreError;

/// How a fact came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FactSource {
    /// The user said it in so many words.
    Stated,
    /// A model read it out of what the user said.
    Model,
    /// The user put it down, or corrected it.
    User,
}

impl FactSource {
    fn name(self) -> &'static str {
        match self {
            Self::Stated => "stated",
            Self::Model => "model",
            Self::User => "user",
        }
    }

    fn named(name: &str) -> Self {
        match name {
            "user" => Self::User,
            "model" => Self::Model,
            _ => Self::Stated,
        }
    }

    /// How sure it is, from 0 to 1.
    pub(super) fn confidence(self) -> f64 {
        match self {
            Self::User => 1.0,
            Self::Stated => 0.9,
            Self::Model => 0.6,
        }
    }
}

/// Something known of a user.
#[derive(Clone, Debug, PartialEq)]
pub struct UserFact {
    pub id: i64,
    pub kind: FactKind,
    pub value: String,
    pub confidence: f64,
    pub source: FactSource,
    /// The conversation's name on the wire, as long as that is there.
    pub conversation: Option<String>,
    pub message: Option<MessageId>,
    pub mentions: u32,
    /// Milliseconds since 1970.
    pub made_at: i64,
    pub mentioned_at: i64,
    pub is_current: bool,
    /// The fact that took its place.
    pub superseded_by: Option<i64>,
}

/// A fact as it was just learnt.
#[derive(Clone, Debug)]
pub(super) struct NewFact<'a> {
    pub(super) user: UserId,
    pub(super) kind: FactKind,
    pub(super) value: &'a str,
    pub(super) source: FactSource,
    pub(super) origin: Option<(i64, MessageId)>,
    pub(super) at: i64,
}

/// What learning a fact came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learnt {
    New(i64),
    /// It was known.
    Mentioned(i64),
    /// Something more certain says otherwise.
    Refused,
}

/// Current facts of one kind that a user has at most; beyond, those mentioned longest ago are no
/// longer current.
const MOST_OF_A_KIND: u32 = 50;

const COLUMNS: &str = "user_facts.id, kind, value, confidence, source, conversations.uid, message,
    mentions, made_at, mentioned_at, is_current, superseded_by";
const JOINED: &str =
    "user_facts LEFT JOIN conversations ON conversations.id = user_facts.conversation";

fn fact(row: &Row<'_>) -> rusqlite::Result<UserFact> {
    Ok(UserFact {
        id: row.get(0)?,
        kind: FactKind::named(&row.get::<_, String>(1)?).unwrap_or(FactKind::Other),
        value: row.get(2)?,
        confidence: row.get(3)?,
        source: FactSource::named(&row.get::<_, String>(4)?),
        conversation: row.get(5)?,
        message: row.get::<_, Option<i64>>(6)?.map(MessageId),
        mentions: row.get(7)?,
        made_at: row.get(8)?,
        mentioned_at: row.get(9)?,
        is_current: row.get(10)?,
        superseded_by: row.get(11)?,
    })
}

/// Those in force: of each single kind, in the order of kinds, then the rest, those mentioned last first;
/// or all, the oldest first.
pub(super) fn list(
    connection: &Connection,
    user: UserId,
    with_superseded: bool,
) -> Result<Vec<UserFact>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {JOINED}
         WHERE user_facts.user = ?1 AND (?2 OR is_current) ORDER BY user_facts.id"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![user.0, with_superseded], fact)?;
    let mut facts: Vec<_> = rows.collect::<Result<_, _>>()?;
    if !with_superseded {
        facts.sort_by_key(|fact| {
            let single = fact.kind.is_single().then_some(fact.kind);
            (single.is_none(), single, -fact.mentioned_at, -fact.id)
        });
    }
    Ok(facts)
}

pub(super) fn find(
    connection: &Connection,
    user: UserId,
    id: i64,
) -> Result<Option<UserFact>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM {JOINED} WHERE user_facts.user = ?1 AND user_facts.id = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row(params![user.0, id], fact).optional()?)
}

/// Puts down what was learnt: a mention of what is known, or a fact that takes the place of what
/// contradicts it. A model's reading never takes the place of what the user said.
pub(super) fn learn(connection: &Connection, new: &NewFact<'_>) -> Result<Learnt, StoreError> {
    let known: Vec<UserFact> =
        list(connection, new.user, false)?.into_iter().filter(|it| in_the_way(it, new)).collect();
    let is_same = |fact: &&UserFact| fact.kind == new.kind && same(&fact.value, new.value);
    if let Some(known) = known.iter().find(is_same) {
        mention(connection, known, new)?;
        return Ok(Learnt::Mentioned(known.id));
    }
    if known.iter().any(|fact| fact.confidence > new.source.confidence() && outranks(fact, new)) {
        return Ok(Learnt::Refused);
    }
    let id = add(connection, new)?;
    for old in known {
        supersede(connection, old.id, id)?;
    }
    forget_the_least(connection, new)?;
    Ok(Learnt::New(id))
}

/// Whether they can't both be true, or are the same.
fn in_the_way(fact: &UserFact, new: &NewFact<'_>) -> bool {
    let same_value = same(&fact.value, new.value);
    let replaces = fact.kind == new.kind && (new.kind.is_single() || same_value);
    let contradicts = new.kind.opposite() == Some(fact.kind) && same_value;
    // "sister: Mara" takes the place of "sister: Maria".
    let role = |value: &str| value.split_once(": ").map(|(role, _)| role.to_lowercase());
    let same_role = new.kind == FactKind::Relation
        && fact.kind == FactKind::Relation
        && role(&fact.value).is_some()
        && role(&fact.value) == role(new.value)
        && role(new.value).is_some_and(|role| ONE_OF_A_KIND.contains(&role.as_str()));
    replaces || contradicts || same_role
}

/// Of whom there is one at a time.
const ONE_OF_A_KIND: [&str; 9] =
    ["mother", "father", "mom", "mum", "dad", "wife", "husband", "partner", "boss"];

/// What the user says now counts more than what the user put down before.
fn outranks(fact: &UserFact, new: &NewFact<'_>) -> bool {
    new.source == FactSource::Model && fact.source != FactSource::Model
}

fn same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

/// Who says it with more certainty is its source from now on.
fn mention(connection: &Connection, known: &UserFact, new: &NewFact<'_>) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE user_facts SET mentions = mentions + 1, mentioned_at = max(mentioned_at, ?2),
                source = CASE WHEN confidence < ?3 THEN ?4 ELSE source END,
                confidence = max(confidence, ?3) WHERE id = ?1",
        )?
        .execute(params![known.id, new.at, new.source.confidence(), new.source.name()])?;
    Ok(())
}

fn add(connection: &Connection, new: &NewFact<'_>) -> Result<i64, StoreError> {
    let (conversation, message) = new.origin.unzip();
    connection
        .prepare_cached(
            "INSERT INTO user_facts (user, kind, value, confidence, source, conversation, message,
                made_at, mentioned_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)",
        )?
        .execute(params![
            new.user.0,
            new.kind.name(),
            new.value.trim(),
            new.source.confidence(),
            new.source.name(),
            conversation,
            message.map(|it| it.0),
            new.at
        ])?;
    Ok(connection.last_insert_rowid())
}

fn supersede(connection: &Connection, old: i64, by: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE user_facts SET is_current = 0, superseded_by = ?2 WHERE id = ?1")?
        .execute([old, by])?;
    Ok(())
}

fn forget_the_least(connection: &Connection, new: &NewFact<'_>) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE user_facts SET is_current = 0 WHERE id IN (
                SELECT id FROM user_facts WHERE user = ?1 AND kind = ?2 AND is_current
                ORDER BY mentioned_at DESC, id DESC LIMIT -1 OFFSET ?3
             )",
        )?
        .execute(params![new.user.0, new.kind.name(), MOST_OF_A_KIND])?;
    Ok(())
}

/// What the user says it should be takes its place, and that of all that contradicts it.
pub(super) fn correct(
    connection: &Connection,
    user: UserId,
    old: &UserFact,
    value: &str,
    now: i64,
) -> Result<i64, StoreError> {
    let source = FactSource::User;
    let new = NewFact { user, kind: old.kind, value, source, origin: None, at: now };
    let current = list(connection, user, false)?.into_iter();
    let displaced: Vec<_> =
        current.filter(|fact| fact.id == old.id || in_the_way(fact, &new)).collect();
    let id = add(connection, &new)?;
    for fact in displaced {
        supersede(connection, fact.id, id)?;
    }
    Ok(id)
}

/// Ages that the user named, except those before the one that the user put down by hand last.
pub(super) fn ages_told(facts: &[UserFact]) -> impl Iterator<Item = u32> {
    let ages = || {
        let ages = facts.iter().filter(|fact| fact.kind == FactKind::Age);
        ages.filter_map(|fact| Some((fact, age_of(&fact.value)?)))
    };
    let by_hand = ages().filter(|(fact, _)| fact.source == FactSource::User).map(|(it, _)| it.id);
    let since = by_hand.max();
    ages().filter(move |(fact, _)| Some(fact.id) >= since).map(|(_, age)| age)
}

fn age_of(value: &str) -> Option<u32> {
    let is_age = fault(FactKind::Age, value).is_none();
    value.trim().parse().ok().filter(|_| is_age)
}

/// What it had taken the place of doesn't come back.
pub(super) fn remove(connection: &Connection, user: UserId, id: i64) -> Result<bool, StoreError> {
    let removed = connection
        .execute("DELETE FROM user_facts WHERE user = ?1 AND id = ?2", params![user.0, id])?;
    Ok(removed > 0)
}

/// Those that were learnt there alone.
pub(super) fn remove_of(connection: &Connection, conversation: i64) -> Result<(), StoreError> {
    connection.execute("DELETE FROM user_facts WHERE conversation = ?1", [conversation])?;
    Ok(())
}
