//! Why something of a companion can't be done.

use crate::account::AccountError;
use crate::chat::ChatError;
use crate::engine::EngineError;
use crate::memory::RecordError;
use crate::prompts::PromptError;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum CompanionError {
    #[error("there is no such conversation; GET /chat/conversations lists yours")]
    NoConversation,
    #[error("there is no such fact; GET /users/facts lists what is known of you")]
    NoFact,
    #[error("there is no such memory; GET /users/memories lists what is remembered of you")]
    NoMemory,
    #[error("there is no such event; GET /relationship/events lists yours")]
    NoEvent,
    #[error("this fact was superseded by fact {0}; change that one")]
    Superseded(i64),
    /// As existing clients read it.
    #[error("Unknown persona: {key}")]
    UnknownPersona { key: String },
    #[error("Session not found")]
    NoSession,
    #[error(
        "{name} has {most} sessions open already (MAX_SESSIONS_PER_USER); end one with DELETE /session/{{user_id}}/clear, or wait until one expires"
    )]
    TooManySessions { name: String, most: usize },
    #[error("{most} messages of this conversation wait to be answered; wait for their answers")]
    Busy { most: usize },
    #[error("{field}: {fault}")]
    Wrong { field: &'static str, fault: String },
    #[error(transparent)]
    Chat(#[from] ChatError),
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<EngineError> for CompanionError {
    fn from(error: EngineError) -> Self {
        Self::Chat(error.into())
    }
}

impl From<rusqlite::Error> for CompanionError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
