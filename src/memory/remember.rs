//! Storing what was said. One transaction a turn: its messages, the answers, where the talk stands
//! now. What can't be stored waits in RAM and is tried again with the next turn.

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard, PoisonError};

use rusqlite::{Connection, TransactionBehavior};

use super::history::{Role, Said};
use super::live::lock;
use super::rows::{self, NewMessage, SessionRow, Stored};
use super::{Inner, Memory, MessageId, SessionId, Whose, place, session_of};
use crate::emotion::{Feeling, importance};
use crate::store::StoreError;

/// A conversation up to its newest message.
#[derive(Clone, Debug)]
pub struct Talk {
    pub whose: Whose,
    /// The client's; takes the place of the stored one, unless that was set by hand.
    pub persona: Option<String>,
    pub history: Vec<Said>,
    /// What the newest message feels like, if that is known.
    pub feeling: Option<Feeling>,
}

/// An answer to it.
#[derive(Clone, Debug)]
pub struct Answered {
    pub text: String,
    pub speaker: Option<String>,
    /// Whether it ended before the model ended it.
    pub interrupted: bool,
}

/// What came of storing a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The session's name.
    pub session: String,
    /// Ids of the answers, in order.
    pub answers: Vec<MessageId>,
}

/// What the database refused.
#[derive(Clone, Debug)]
pub(super) struct Unsaved {
    talk: Talk,
    answers: Vec<Answered>,
    said_at: i64,
}

/// Turns that wait for the database in RAM; beyond, the oldest is lost, and the log says so.
const MOST_UNSAVED: usize = 1_000;

impl Memory {
    /// Stores the conversation and its answers; the first answer is where the talk goes on. What is
    /// stored already is left as it is.
    ///
    /// On an error nothing is lost: it is tried again with the next turn, and by [`Self::flush`].
    pub async fn remember(
        &self,
        talk: Talk,
        answers: Vec<Answered>,
    ) -> Result<Remembered, StoreError> {
        let waiting = self.inner.flush().await;
        let unsaved = Unsaved { talk, answers, said_at: self.inner.now() };
        let stored = match waiting {
            Ok(()) => self.inner.store_turn(unsaved.clone()).await,
            // Order matters: what came before must be stored before.
            Err(error) => Err(error),
        };
        if stored.is_err() {
            self.inner.put_by(unsaved);
        }
        stored
    }

    /// Tries again to store what the database refused.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.inner.flush().await
    }

    /// How many turns wait for the database.
    pub fn unsaved(&self) -> usize {
        self.inner.unsaved().len()
    }
}

impl Inner {
    fn unsaved(&self) -> MutexGuard<'_, VecDeque<Unsaved>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits for the database would bring a session back that is deleted.
    pub(super) fn drop_unsaved(&self, name: &str) {
        self.unsaved().retain(|turn| match &turn.talk.whose {
            Whose::Named(whose) | Whose::Recognised { otherwise: whose } => whose != name,
        });
    }

    fn put_by(&self, turn: Unsaved) {
        let mut unsaved = self.unsaved();
        unsaved.push_back(turn);
        if unsaved.len() > MOST_UNSAVED {
            unsaved.pop_front();
            tracing::error!("the database has refused {MOST_UNSAVED} turns; the oldest is lost");
        }
    }

    async fn flush(self: &Arc<Self>) -> Result<(), StoreError> {
        if self.unsaved().is_empty() {
            return Ok(());
        }
        // One at a time, so that each takes away what it has stored itself.
        let _only_one = self.flushing.lock().await;
        loop {
            let Some(turn) = self.unsaved().front().cloned() else { return Ok(()) };
            self.store_turn(turn).await?;
            self.unsaved().pop_front();
        }
    }

    async fn store_turn(self: &Arc<Self>, turn: Unsaved) -> Result<Remembered, StoreError> {
        let inner = Arc::clone(self);
        self.store.run(move |connection| inner.store_now(connection, &turn)).await
    }

    fn store_now(
        &self,
        connection: &mut Connection,
        turn: &Unsaved,
    ) -> Result<Remembered, StoreError> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let Talk { whose, persona, history, .. } = &turn.talk;
        let row = session_of(&transaction, whose, persona.as_deref(), history)?;
        let row = row.map_or_else(|| Self::new_session(&transaction, whose, turn.said_at), Ok)?;
        let live = self.live(&row);
        let mut live = lock(&live);
        let known = place::follow(&transaction, &mut live, row.tip, history)?;
        let mut parent =
            known.end.map_or(Ok(None), |end| rows::message_by_id(&transaction, row.id, end))?;
        let mut said = Vec::new();
        for (position, message) in history.iter().enumerate().skip(known.matched) {
            let is_newest = position + 1 == history.len();
            let feeling = turn.talk.feeling.filter(|_| is_newest);
            let stored = self.add(&transaction, row.id, parent.as_ref(), message, feeling, turn)?;
            said.push(stored.clone());
            parent = Some(stored);
        }
        let mut answers = Vec::new();
        for answer in &turn.answers {
            let message = Said::new(Role::Assistant, answer.speaker.clone(), answer.text.clone());
            let new = self.felt(&message, None, answer.interrupted, turn.said_at);
            answers.push(rows::add_message(&transaction, row.id, parent.as_ref(), &new)?);
        }
        if let Some(tip) = answers.first().or(parent.as_ref()) {
            rows::set_tip(&transaction, row.id, tip.id, turn.said_at)?;
        }
        if let Some(persona) = persona
            && !row.persona_is_set
            && row.persona.as_ref() != Some(persona)
        {
            super::persona::set(&transaction, row.id, persona, false)?;
        }
        transaction.commit()?;
        // Only what is on disk counts.
        for stored in said.iter().chain(answers.first()) {
            live.push(stored, None);
        }
        let answers = answers.iter().map(|answer| answer.id).collect();
        Ok(Remembered { session: row.name, answers })
    }

    fn new_session(
        connection: &Connection,
        whose: &Whose,
        now: i64,
    ) -> Result<SessionRow, StoreError> {
        let is_recognised = matches!(whose, Whose::Recognised { .. });
        let id = rows::new_session(connection, whose.name(), is_recognised, now)?;
        let row = rows::session_by_id(connection, id)?;
        row.ok_or_else(|| rusqlite::Error::QueryReturnedNoRows.into())
    }

    fn add(
        &self,
        connection: &Connection,
        session: SessionId,
        parent: Option<&Stored>,
        message: &Said,
        feeling: Option<Feeling>,
        turn: &Unsaved,
    ) -> Result<Stored, StoreError> {
        let new = self.felt(message, feeling, false, turn.said_at);
        rows::add_message(connection, session, parent, &new)
    }

    fn felt<'a>(
        &self,
        said: &'a Said,
        feeling: Option<Feeling>,
        interrupted: bool,
        said_at: i64,
    ) -> NewMessage<'a> {
        let feeling = feeling.unwrap_or_else(|| self.feel(&said.text, None));
        NewMessage {
            said,
            interrupted,
            said_at,
            emotion: feeling.emotion(),
            confidence: feeling.confidence(),
            importance: importance(&said.text, &feeling),
        }
    }
}
