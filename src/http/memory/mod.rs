//! `{api}/memory`: seeing and mending what is remembered. One file a concern; the types stand in
//! `wire`, what the documentation says besides in `documentation`.

pub(super) mod examples;
mod facts;
mod messages;
mod persona;
mod sessions;
mod transfer;
pub(super) mod wire;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

pub(super) use self::facts::{add_fact, change_fact, remove_fact};
pub(super) use self::messages::{change_message, delete_message, message};
pub(super) use self::persona::{clear_persona, set_persona};
pub(super) use self::sessions::{delete_session, search, session, sessions};
pub(super) use self::transfer::{export, fork, import};
use super::AppState;
use super::error::{ApiError, Code};
use super::extract::PathNames;
use crate::chat::ChatService;
use crate::memory::{Memory, MessageId, RecordError, is_private};

/// Memory, and what the path names in it.
pub(super) struct Place {
    chat: Arc<ChatService>,
    memory: Memory,
    /// The session's name; empty where the path has none.
    session: String,
    /// A message's or fact's, as it was sent.
    id: String,
}

impl FromRequestParts<AppState> for Place {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let chat = Arc::clone(&state.chat);
        let memory = chat.memory.clone().ok_or_else(|| {
            ApiError::new(
                Code::MemoryOff,
                "this server runs without a database and remembers nothing",
            )
        })?;
        let mut names = PathNames::from_request_parts(parts, state).await?;
        let mut name = |name| names.take(name).unwrap_or_default();
        let (session, id) = (name("session"), name("id"));
        if is_private(&session) {
            // As if it weren't there.
            return Err(RecordError::NoSession.into());
        }
        Ok(Self { chat, memory, session, id })
    }
}

impl Place {
    fn number(&self, what: &str) -> Result<i64, ApiError> {
        self.id.parse().map_err(|_| {
            ApiError::new(
                Code::NotFound,
                format!("a {what}'s id is a number; the session's page lists them"),
            )
        })
    }

    fn message(&self) -> Result<MessageId, ApiError> {
        self.number("message").map(MessageId)
    }

    /// Sees to vectors and summaries after a change.
    fn look_after(&self) {
        self.chat.look_after(&self.session);
    }
}
