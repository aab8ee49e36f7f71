//! An account's talks with personas: `{api}/chat`, `{api}/users`, `{api}/relationship`; and the shapes
//! of earlier servers, `/api/chat` and `/api/memory`.

mod conversations;
pub(super) mod examples;
mod legacy;
mod relationship;
mod speaking;
mod users;
pub(super) mod wire;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

pub(super) use self::conversations::{
    change_conversation, conversations, delete_conversation, messages,
};
pub(super) use self::legacy::{chat, delete_memory, memory, required};
pub(super) use self::relationship::{change_event, events, relationship};
pub(super) use self::speaking::{message, personality, whole};
pub(super) use self::users::{
    add_fact, change_fact, change_memory, delete_account, delete_fact, delete_memory_of_user,
    facts, memories, stats,
};
use super::AppState;
use super::auth::Signed;
use super::error::{ApiError, Code};
use super::extract::PathNames;
use crate::account::UserId;
use crate::companion::Companions;

/// Companions, where this server has a database to keep them in.
pub(super) struct Room(pub(super) Companions);

impl FromRequestParts<AppState> for Room {
    type Rejection = ApiError;

    async fn from_request_parts(_: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let companions = state.companions.clone();
        companions.map(Self).ok_or_else(|| {
            ApiError::new(
                Code::MemoryOff,
                "this server runs without a database and remembers nobody",
            )
        })
    }
}

/// A user at their own things, and what the path names among them.
pub(super) struct Own {
    companions: Companions,
    user: UserId,
    /// A conversation's, fact's, memory's or event's, as it was sent.
    id: String,
}

impl FromRequestParts<AppState> for Own {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        // Who isn't signed in learns nothing else.
        let Signed(signed) = Signed::from_request_parts(parts, state).await?;
        let Room(companions) = Room::from_request_parts(parts, state).await?;
        let mut names = PathNames::from_request_parts(parts, state).await?;
        let id = names.take("id").unwrap_or_default();
        Ok(Self { companions, user: signed.user, id })
    }
}

impl Own {
    fn number(&self, what: &str) -> Result<i64, ApiError> {
        self.id.parse().map_err(|_| {
            ApiError::new(Code::NotFound, format!("a {what}'s id is a number; the list tells it"))
        })
    }
}
