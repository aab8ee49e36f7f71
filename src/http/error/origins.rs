//! What the other rooms' errors are to a client.

use std::time::Duration;

use serde_json::{Value, json};

use super::{ApiError, Code, DATA, FaultKind, FieldFault, MOST_FAULTS};
use crate::account::AccountError;
use crate::archive::{ArchiveError, ArchiveStoreError};
use crate::chat::ChatError;
use crate::companion::CompanionError;
use crate::context::ContextError;
use crate::engine::EngineError;
use crate::memory::RecordError;
use crate::persona::{CardError, PersonaError};
use crate::store::StoreError;
use crate::story::{Fault, FaultKind as StoryFaultKind, StoryError};

/// Seconds after which a remote server's limit may have passed.
const AFTER_A_LIMIT: u64 = 10;
/// Seconds after which a turn before this one may be answered.
const AFTER_A_TURN: u64 = 5;
/// Seconds after which another program may have let go of the database.
const AFTER_A_DATABASE: u64 = 5;

impl From<StoryError> for ApiError {
    fn from(error: StoryError) -> Self {
        let detail = error.to_string();
        match error {
            StoryError::Invalid(faults) => {
                let fault = |fault: Fault| FieldFault {
                    path: fault.path.into_iter().map(key_or_index).collect(),
                    message: fault.message,
                    kind: match fault.kind {
                        StoryFaultKind::Missing => FaultKind::Missing,
                        StoryFaultKind::Wrong => FaultKind::Wrong,
                    },
                };
                Self::invalid(faults.into_iter().take(MOST_FAULTS).map(fault).collect())
            }
            StoryError::Context(error) => error.into(),
            StoryError::RequestTooLarge { .. } => Self::new(Code::ContextTooLarge, detail),
            // The schema was ours.
            StoryError::Engine(EngineError::Schema(_)) => Self::new(Code::LlmFailed, detail),
            StoryError::Engine(error) => error.into(),
            StoryError::EmptyAnswer => Self::new(Code::EmptyAnswer, detail),
            StoryError::BadAnswer(_) => Self::new(Code::BadAnswer, detail),
            StoryError::BadRequest(_) | StoryError::Transition(_) => {
                Self::new(Code::BadRequest, detail)
            }
            StoryError::Iteration { exhausted, data, .. } => {
                let code =
                    if exhausted { Code::MaxIterationsExceeded } else { Code::IterationError };
                Self { more: Some((DATA, data)), ..Self::new(code, detail) }
            }
            StoryError::Prompt(_) | StoryError::Distil(_) | StoryError::Lost => {
                Self::internal(detail)
            }
        }
    }
}

impl From<ChatError> for ApiError {
    fn from(error: ChatError) -> Self {
        let detail = error.to_string();
        match error {
            ChatError::Context(error) => error.into(),
            ChatError::Engine(error) => error.into(),
            ChatError::TooLarge { .. } => Self::new(Code::ContextTooLarge, detail),
            ChatError::Prompt(_) | ChatError::Lost => Self::internal(detail),
        }
    }
}

impl From<ArchiveError> for ApiError {
    fn from(error: ArchiveError) -> Self {
        let detail = error.to_string();
        match error {
            ArchiveError::Store(error @ ArchiveStoreError::Away(_)) => Self {
                retry_after_seconds: Some(AFTER_A_DATABASE),
                ..Self::new(Code::ArchiveUnavailable, error.to_string())
            },
            ArchiveError::Store(_) | ArchiveError::Embedding(_) => {
                Self::new(Code::ArchiveUnavailable, detail)
            }
            ArchiveError::Filter(_) => wrong(vec!["filter".into()], detail),
            ArchiveError::Lost => Self::internal(detail),
        }
    }
}

impl From<ContextError> for ApiError {
    fn from(error: ContextError) -> Self {
        let detail = error.to_string();
        match error {
            ContextError::HighPriorityTooLarge { layers, .. }
            | ContextError::Overflow { layers, .. } => Self {
                more: Some(("layers", json!(layers))),
                ..Self::new(Code::ContextTooLarge, detail)
            },
            ContextError::ContradictoryFilter(_) => Self::new(Code::ContradictoryFilters, detail),
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let detail = error.to_string();
        match error {
            EngineError::Loading { .. } => {
                Self { retry_after_seconds: Some(2), ..Self::new(Code::LlmLoading, detail) }
            }
            EngineError::Unavailable(_) => Self::new(Code::LlmNotAvailable, detail),
            EngineError::QueueFull { retry_after_seconds, .. } => Self {
                retry_after_seconds: Some(retry_after_seconds),
                ..Self::new(Code::QueueFull, detail)
            },
            EngineError::PromptTooLong { .. } => Self::new(Code::ContextTooLarge, detail),
            EngineError::Unsupported(_) => Self::new(Code::LlmUnsupported, detail),
            EngineError::LogitBias(_) | EngineError::NothingToWrite => {
                Self::new(Code::BadRequest, detail)
            }
            EngineError::Refused { status, retry_after, .. } => {
                refused(status, retry_after, detail)
            }
            EngineError::Unreachable(_) | EngineError::BadAnswer(_) => {
                Self::new(Code::LlmUnreachable, detail)
            }
            EngineError::TooSlow(_) => Self::new(Code::LlmTimeout, detail),
            EngineError::DeadlinePassed => Self::new(Code::DeadlinePassed, detail),
            EngineError::ShuttingDown => Self::new(Code::ShuttingDown, detail),
            EngineError::Schema(_) => Self {
                faults: vec![FieldFault {
                    path: vec!["response_format".into()],
                    message: detail.clone(),
                    kind: FaultKind::Wrong,
                }],
                ..Self::new(Code::ValidationFailed, detail)
            },
            EngineError::Template(_) | EngineError::Backend(_) | EngineError::Lost => {
                Self::new(Code::LlmFailed, detail)
            }
        }
    }
}

/// What a remote server said with this status, said to our client: what is wrong with the request is
/// its own to mend, a limit passes, and the rest is for whoever runs this server.
fn refused(status: u16, retry_after: Option<Duration>, detail: String) -> ApiError {
    match status {
        400 | 413 | 422 => ApiError::new(Code::LlmRefusedRequest, detail),
        429 => ApiError {
            retry_after_seconds: Some(
                retry_after.map_or(AFTER_A_LIMIT, |after| after.as_secs().max(1)),
            ),
            ..ApiError::new(Code::LlmRateLimited, detail)
        },
        _ => ApiError::new(Code::LlmRefused, detail),
    }
}

impl From<RecordError> for ApiError {
    fn from(error: RecordError) -> Self {
        let detail = error.to_string();
        let invalid = |path, message| {
            Self::invalid(vec![FieldFault { path, message, kind: FaultKind::Wrong }])
        };
        match error {
            RecordError::NoSession | RecordError::NoMessage(_) | RecordError::NoFact(_) => {
                Self::new(Code::NotFound, detail)
            }
            RecordError::Exists | RecordError::Superseded { .. } => {
                Self::new(Code::Conflict, detail)
            }
            RecordError::Wrong { field, fault } => invalid(vec![field.into()], fault.to_owned()),
            RecordError::Line { line, .. } => invalid(vec![line.into()], detail),
            RecordError::Store(error) => error.into(),
        }
    }
}

impl From<PersonaError> for ApiError {
    fn from(error: PersonaError) -> Self {
        let detail = error.to_string();
        match error {
            PersonaError::NoPersona(_) => Self::new(Code::NotFound, detail),
            PersonaError::OfTheFile(_) | PersonaError::Exists(_) | PersonaError::TooMany { .. } => {
                Self::new(Code::Conflict, detail)
            }
            PersonaError::BadKey => wrong(vec!["key".into()], detail),
            PersonaError::Card(error) => error.into(),
            PersonaError::NoDatabase => Self::new(Code::MemoryOff, detail),
            PersonaError::Store(error) => error.into(),
            PersonaError::Unreadable { .. }
            | PersonaError::File { .. }
            | PersonaError::Prompt(_)
            | PersonaError::Lost => Self::internal(detail),
        }
    }
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        let detail = error.to_string();
        match error {
            AccountError::Invalid(faults) => {
                let fault = |fault: crate::account::Fault| FieldFault {
                    path: vec![fault.field.into()],
                    message: fault.message,
                    kind: FaultKind::Wrong,
                };
                Self::invalid(faults.into_iter().map(fault).collect())
            }
            AccountError::RegistrationClosed | AccountError::WrongPassword => {
                Self::new(Code::Forbidden, detail)
            }
            AccountError::Taken(_) => Self::new(Code::Conflict, detail),
            AccountError::WrongCredentials
            | AccountError::NotSignedIn(_)
            | AccountError::RefreshRefused
            | AccountError::RefreshReused => Self::new(Code::Unauthorized, detail),
            AccountError::NoUser => Self::new(Code::NotFound, detail),
            AccountError::Busy { retry_after_seconds } => Self {
                retry_after_seconds: Some(retry_after_seconds),
                ..Self::new(Code::QueueFull, detail)
            },
            AccountError::Crypto(cause) => Self::internal(cause),
            AccountError::Store(error) => error.into(),
        }
    }
}

impl From<CardError> for ApiError {
    fn from(error: CardError) -> Self {
        let detail = error.to_string();
        match error {
            CardError::TooLarge { .. } => Self::new(Code::BodyTooLarge, detail),
            CardError::UnknownFormat => Self::new(Code::UnsupportedMediaType, detail),
            CardError::Damaged { .. } => wrong(vec!["file".into()], detail),
            CardError::Field { path, fault } => {
                let path = ["file"].into_iter().chain(path).map(Value::from).collect();
                wrong(path, fault.to_owned())
            }
            CardError::Prompt(_) => Self::internal(detail),
        }
    }
}

fn wrong(path: Vec<Value>, message: String) -> ApiError {
    ApiError::invalid(vec![FieldFault { path, message, kind: FaultKind::Wrong }])
}

impl From<CompanionError> for ApiError {
    fn from(error: CompanionError) -> Self {
        let detail = error.to_string();
        match error {
            CompanionError::NoConversation
            | CompanionError::NoFact
            | CompanionError::NoMemory
            | CompanionError::NoEvent
            | CompanionError::NoSession => Self::new(Code::NotFound, detail),
            CompanionError::Superseded(_) => Self::new(Code::Conflict, detail),
            CompanionError::UnknownPersona { .. } => Self::new(Code::UnknownPersona, detail),
            CompanionError::TooManySessions { .. } => Self::new(Code::TooManySessions, detail),
            CompanionError::Busy { .. } => Self {
                retry_after_seconds: Some(AFTER_A_TURN),
                ..Self::new(Code::ConversationBusy, detail)
            },
            CompanionError::Wrong { field, fault } => wrong(vec![field.into()], fault),
            CompanionError::Chat(error) => error.into(),
            CompanionError::Account(error) => error.into(),
            CompanionError::Record(error) => error.into(),
            CompanionError::Prompt(_) => Self::internal(detail),
            CompanionError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if !error.may_pass() && !error.is_the_files() {
            return Self::internal(error);
        }
        Self {
            retry_after_seconds: error.may_pass().then_some(AFTER_A_DATABASE),
            cause: Some(error.to_string()),
            ..Self::new(Code::DatabaseUnavailable, error.advice())
        }
    }
}

/// Indices came as text.
fn key_or_index(step: String) -> Value {
    step.parse::<u64>().map_or(Value::String(step), Value::from)
}
