//! Storing what was said. One transaction a turn: its messages, the answers, where the talk stands
//! now. What can't be stored waits in RAM and is tried again with the next turn.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

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
    /// What of a lorebook lasts into the next turn.
    pub lore_timers: Option<String>,
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

/// What is to be stored.
#[derive(Debug)]
pub(super) struct Turn {
    talk: Talk,
    answers: Vec<Answered>,
    said_at: i64,
}

/// What the database refused, in order.
#[derive(Default)]
pub(super) struct Waiting {
    turns: VecDeque<(u64, Arc<Turn>)>,
    bytes: usize,
    /// The number of the next.
    next: u64,
    /// When the database last refused all of it.
    refused_at: Option<Instant>,
}

/// Turns that wait for the database in RAM, and bytes of them; beyond, the oldest is lost, and the log
/// says so.
const MOST_WAITING: usize = 1_000;
const MOST_BYTES: usize = 64 << 20;

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
        let turn = Arc::new(Turn { talk, answers, said_at: self.inner.now() });
        if self.unsaved() == 0 {
            let stored = self.inner.store_turn(Arc::clone(&turn)).await;
            if stored.is_err() {
                self.inner.put_by(turn);
            }
            return stored;
        }
        // Order matters: what was said before in this talk must be stored before.
        let number = self.inner.put_by(turn);
        self.inner.flush(Some(number)).await?.ok_or(StoreError::Refused)
    }

    /// Stores what a client says was said before. What the database refuses isn't kept: the turn that
    /// follows holds it, too.
    pub async fn catch_up(&self, talk: Talk) -> Result<(), StoreError> {
        let turn = Turn { talk, answers: Vec::new(), said_at: self.inner.now() };
        self.inner.store_turn(Arc::new(turn)).await.map(drop)
    }

    /// Tries again to store what the database refused.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.inner.flush(None).await.map(drop)
    }

    /// How many turns wait for the database.
    pub fn unsaved(&self) -> usize {
        self.inner.waiting().turns.len()
    }
}

impl Turn {
    /// About how many bytes it takes.
    fn bytes(&self) -> usize {
        let said = self.talk.history.iter().map(|said| said.text.len() + size_of::<Said>());
        let answers = self.answers.iter().map(|answer| answer.text.len());
        said.sum::<usize>() + answers.sum::<usize>()
    }
}

impl Waiting {
    fn push(&mut self, turn: Arc<Turn>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.bytes += turn.bytes();
        self.turns.push_back((number, turn));
        while self.turns.len() > MOST_WAITING || (self.bytes > MOST_BYTES && self.turns.len() > 1) {
            let Some((oldest, _)) = self.turns.front() else { break };
            self.remove(*oldest);
            tracing::error!("the database refuses more turns than wait in RAM; the oldest is lost");
        }
        number
    }

    fn remove(&mut self, number: u64) {
        if let Some(at) = self.turns.iter().position(|(it, _)| *it == number)
            && let Some((_, turn)) = self.turns.remove(at)
        {
            self.bytes -= turn.bytes();
        }
    }

    fn find(&self, number: u64) -> Option<Arc<Turn>> {
        self.turns.iter().find(|(it, _)| *it == number).map(|(_, turn)| Arc::clone(turn))
    }
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits for the database would bring a session back that is deleted. Called with the
    /// session still there.
    pub(super) fn drop_waiting(
        &self,
        connection: &Connection,
        session: SessionId,
    ) -> Result<(), StoreError> {
        let turns = self.waiting().turns.clone();
        for (number, turn) in turns {
            let Talk { whose, persona, history, .. } = &turn.talk;
            let row = session_of(connection, whose, persona.as_deref(), history)?;
            if row.is_some_and(|row| row.id == session) {
                self.waiting().remove(number);
            }
        }
        Ok(())
    }

    fn put_by(&self, turn: Arc<Turn>) -> u64 {
        self.waiting().push(turn)
    }

    /// Stores what waits, in order. A turn that can't be stored for a reason of its own keeps those of
    /// the same session back, and no others. Tells what came of the turn `wanted`.
    async fn flush(
        self: &Arc<Self>,
        wanted: Option<u64>,
    ) -> Result<Option<Remembered>, StoreError> {
        let asked_at = Instant::now();
        // One at a time, so that turns of one session stay in order.
        let _only_one = self.flushing.lock().await;
        // Whoever waited for another's try needn't make the same.
        if self.waiting().refused_at.is_some_and(|refused_at| refused_at >= asked_at) {
            return Err(StoreError::Refused);
        }
        let numbers: Vec<u64> = self.waiting().turns.iter().map(|(number, _)| *number).collect();
        let mut kept_back = HashSet::new();
        let (mut failure, mut remembered) = (None, None);
        for number in numbers {
            let Some(turn) = self.waiting().find(number) else { continue };
            let name = turn.talk.whose.name().to_owned();
            if kept_back.contains(&name) {
                continue;
            }
            match self.store_waiting(turn, number).await {
                Ok(stored) => {
                    self.waiting().remove(number);
                    if wanted == Some(number) {
                        remembered = stored;
                    }
                }
                Err(error) if error.may_pass() => {
                    self.waiting().refused_at = Some(Instant::now());
                    return Err(error);
                }
                Err(error) => {
                    kept_back.insert(name);
                    failure.get_or_insert(error);
                }
            }
        }
        match failure {
            // What was asked for is stored, whatever else isn't.
            Some(error) if remembered.is_none() => Err(error),
            _ => Ok(remembered),
        }
    }

    async fn store_turn(self: &Arc<Self>, turn: Arc<Turn>) -> Result<Remembered, StoreError> {
        let inner = Arc::clone(self);
        self.store.run(move |connection| inner.store_now(connection, &turn)).await
    }

    /// Nothing happens if it no longer waits: with its session it may have been deleted.
    async fn store_waiting(
        self: &Arc<Self>,
        turn: Arc<Turn>,
        number: u64,
    ) -> Result<Option<Remembered>, StoreError> {
        let inner = Arc::clone(self);
        self.store
            .run(move |connection| {
                let still_waits = inner.waiting().find(number).is_some();
                still_waits.then(|| inner.store_now(connection, &turn)).transpose()
            })
            .await
    }

    fn store_now(
        &self,
        connection: &mut Connection,
        turn: &Turn,
    ) -> Result<Remembered, StoreError> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let Talk { whose, persona, history, .. } = &turn.talk;
        let row = session_of(&transaction, whose, persona.as_deref(), history)?;
        let row = match (row, whose) {
            (Some(row), _) => row,
            // It was deleted meanwhile.
            (None, Whose::Continued(name)) => {
                return Ok(Remembered { session: name.clone(), answers: Vec::new() });
            }
            (None, _) => Self::new_session(&transaction, whose, turn.said_at)?,
        };
        let live = self.live(&row);
        let mut live = lock(&live);
        let known = place::follow(&transaction, &mut live, whose, row.tip, history)?;
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
        if row.lore_timers != turn.talk.lore_timers && !turn.answers.is_empty() {
            rows::set_lore_timers(&transaction, row.id, turn.talk.lore_timers.as_deref())?;
        }
        if let Some(persona) = persona
            && !row.persona_is_set
            && row.persona.as_ref() != Some(persona)
        {
            super::persona::set(&transaction, row.id, persona, false)?;
        }
        transaction.commit()?;
        // Only what is on disk counts. An answer that was given before has its vectors.
        for stored in said.iter().chain(answers.first()) {
            // It is stored already: what fails now must not have it stored again.
            let vectors = rows::vectors_of(connection, stored.id, live.embedder()).ok().flatten();
            live.push(stored, vectors.as_ref());
        }
        live.measure();
        let answers = answers.iter().map(|answer| answer.id).collect();
        Ok(Remembered { session: row.name, answers })
    }

    pub(super) fn begin(
        &self,
        connection: &mut Connection,
        name: &str,
        greeting: Option<&Said>,
    ) -> Result<(), StoreError> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let now = self.now();
        let session = rows::new_session(&transaction, name, false, now)?;
        if let Some(greeting) = greeting {
            let new = self.felt(greeting, None, false, now);
            let stored = rows::add_message(&transaction, session, None, &new)?;
            rows::set_tip(&transaction, session, stored.id, now)?;
        }
        Ok(transaction.commit()?)
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
        turn: &Turn,
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
