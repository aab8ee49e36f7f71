//! Talks with a persona: the conversations of an account, with the relationship that grows in them and
//! what is known of the user; and the sessions of visitors, who have no account. What is said goes
//! through `chat` and lies in `memory`, like every other talk.
//!
//! Invariants:
//! - A user reaches what is theirs, and nothing else: every look names the user.
//! - Turns of one conversation are answered one after the other.
//! - Each message is learnt from once, in the order in which they were said, however it came to be
//!   stored.

mod conversations;
mod error;
mod facts;
mod learning;
mod locks;
mod moments;
mod overview;
mod records;
mod speaking;
mod standing;
mod stated;
mod study;
mod visits;
mod words;

use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior};

pub use self::conversations::Conversation;
pub use self::error::CompanionError;
pub use self::facts::{FactSource, UserFact};
use self::locks::Locks;
pub use self::moments::{Tier, UserMemory};
pub use self::overview::{RelationshipView, Stats};
pub use self::records::{Beginning, ConversationChange};
pub use self::speaking::{Answering, Message, Reply, Telling};
pub use self::standing::StandingEvent;
pub use self::stated::FactKind;
pub use self::visits::{USUAL_PERSONA as USUAL_VISITED, Visit, VisitSettings, VisitStart};
pub use self::words::check_prompts;
use crate::account::Accounts;
use crate::chat::ChatService;
use crate::clock::Clock;
use crate::engine::Sampling;
use crate::ids::Ids;
use crate::memory::Memory;
use crate::persona::{Persona, Personas};
use crate::prompts::Prompts;
use crate::store::{Store, StoreError};

/// All talks with personas. Cheap to clone.
#[derive(Clone)]
pub struct Companions {
    inner: Arc<Inner>,
}

struct Inner {
    chat: Arc<ChatService>,
    memory: Memory,
    store: Store,
    accounts: Accounts,
    personas: Personas,
    prompts: Arc<Prompts>,
    clock: Clock,
    ids: Ids,
    settings: CompanionSettings,
    locks: Locks,
    to_study: study::Queue,
    /// Held by who ends what expired.
    ending: tokio::sync::Mutex<()>,
}

/// What companions are made of.
pub struct CompanionParts {
    pub chat: Arc<ChatService>,
    pub memory: Memory,
    pub store: Store,
    pub accounts: Accounts,
    pub personas: Personas,
    pub prompts: Arc<Prompts>,
    pub clock: Clock,
    pub ids: Ids,
    pub settings: CompanionSettings,
}

#[derive(Clone, Debug)]
pub struct CompanionSettings {
    /// Its temperature is each request's own.
    pub sampling: Sampling,
    /// Whether romance is open to adults.
    pub allows_adults: bool,
    /// Whether an unset persona follows the gender in the profile.
    pub persona_by_gender: bool,
    /// The newest messages of a conversation that a prompt holds.
    pub short_term: usize,
    /// Whether a model looks for facts in idle time.
    pub studies: bool,
    pub visits: VisitSettings,
}

/// Which of many are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub offset: u32,
    pub limit: u32,
}

impl Page {
    fn as_usize(self) -> (usize, usize) {
        (self.offset as usize, self.limit as usize)
    }
}

/// The persona of those who chose none.
const USUAL_PERSONA: &str = "neutral";

impl Companions {
    pub fn new(parts: CompanionParts) -> Self {
        let CompanionParts {
            chat,
            memory,
            store,
            accounts,
            personas,
            prompts,
            clock,
            ids,
            settings,
        } = parts;
        let inner = Inner {
            chat,
            memory,
            store,
            accounts,
            personas,
            prompts,
            clock,
            ids,
            settings,
            locks: Locks::default(),
            to_study: study::Queue::default(),
            ending: tokio::sync::Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Does what wants to be done now and then: takes up what was left undone, ends the visits that
    /// expired, deletes talks that nobody can find.
    pub async fn keep_up(&self) {
        self.take_up().await;
        for done in [self.end_expired().await, self.sweep().await] {
            if let Err(error) = done {
                tracing::warn!("companions couldn't be kept up: {error}");
            }
        }
    }

    async fn take_up(&self) {
        let studies = self.inner.settings.studies;
        match self.look(move |connection| Ok(conversations::behind(connection, studies)?)).await {
            Ok(behind) => {
                for conversation in behind {
                    self.catch_up(conversation).await;
                }
            }
            Err(error) => tracing::warn!("conversations couldn't be looked through: {error}"),
        }
    }

    /// The persona of this key.
    fn persona(&self, key: &str) -> Result<Arc<Persona>, CompanionError> {
        let found = self.inner.personas.get(key);
        found.ok_or_else(|| CompanionError::UnknownPersona { key: key.to_owned() })
    }

    fn now(&self) -> i64 {
        self.inner.clock.now().as_millisecond()
    }

    /// Reads all of it in one state of the database.
    async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, CompanionError> + Send + 'static,
    ) -> Result<T, CompanionError> {
        let read = move |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            Ok(work(&transaction))
        };
        self.inner.store.read(read).await?
    }

    /// One change, all of it or nothing.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, CompanionError> + Send + 'static,
    ) -> Result<T, CompanionError> {
        let run = move |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction);
            if done.is_ok() {
                transaction.commit()?;
            }
            Ok(done)
        };
        self.inner.store.run(run).await?
    }

    /// Learns from what is stored of the conversation, and has a model look at it later.
    async fn catch_up(&self, conversation: i64) {
        if let Err(error) = self.learn(conversation).await {
            tracing::error!(conversation, "nothing could be learnt from a turn: {error}");
        }
        self.study_later(conversation);
    }

    async fn learn(&self, conversation: i64) -> Result<(), StoreError> {
        let find =
            move |connection: &mut Connection| conversations::by_id(connection, conversation);
        let Some(found) = self.inner.store.read(find).await? else { return Ok(()) };
        let said = self.inner.memory.said_after(found.session(), found.learnt_to).await?;
        if said.is_empty() {
            return Ok(());
        }
        self.inner
            .store
            .run(move |connection| learning::learn(connection, conversation, &said))
            .await
    }
}
