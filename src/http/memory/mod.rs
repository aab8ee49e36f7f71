//! `{api}/memory`: seeing and mending what is remembered. One file a concern; the types stand in
//! `wire`, what the documentation says besides in `documentation`.

mod documentation;
pub(super) mod examples;
mod facts;
mod messages;
mod persona;
mod sessions;
mod transfer;
pub(super) mod wire;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

pub(super) use self::documentation::{Documentation, Parameter, USUAL, documentation};
pub(super) use self::facts::{add_fact, change_fact, remove_fact};
pub(super) use self::messages::{change_message, delete_message, message};
pub(super) use self::persona::{clear_persona, set_persona};
pub(super) use self::sessions::{delete_session, search, session, sessions};
pub(super) use self::transfer::{export, fork, import};
use super::AppState;
use super::error::{ApiError, Code, FaultKind, FieldFault};
use super::extract::PathNames;
use crate::chat::ChatService;
use crate::companion::Page;
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

/// Messages or sessions on a page, where the request doesn't say.
const USUAL_LIMIT: usize = 50;
const MOST: usize = 200;

/// What stands after the question mark.
pub(super) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::from_request_parts(parts, state).await;
        let Query(pairs) = query.map_err(|_| {
            ApiError::new(Code::BadRequest, "what follows the question mark can't be read")
        })?;
        Ok(Self(pairs))
    }
}

impl Parameters {
    pub(super) fn page(&self) -> Result<Page, ApiError> {
        let number = |size| u32::try_from(size).unwrap_or(u32::MAX);
        Ok(Page { offset: number(self.offset()?), limit: number(self.limit()?) })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn offset(&self) -> Result<usize, ApiError> {
        let offset = self.text("offset").map_or(Ok(0), str::parse::<u32>);
        let offset = offset.map_err(|_| wrong(&["offset"], "must be a number from 0 on"))?;
        Ok(offset as usize)
    }

    fn limit(&self) -> Result<usize, ApiError> {
        let limit = self.text("limit").map_or(Ok(USUAL_LIMIT), str::parse);
        limit
            .ok()
            .filter(|limit| (1..=MOST).contains(limit))
            .ok_or_else(|| wrong(&["limit"], format!("must be a number from 1 to {MOST}")))
    }

    pub(super) fn flag(&self, name: &'static str) -> Result<bool, ApiError> {
        let flag = self.text(name).map_or(Ok(false), str::parse);
        flag.map_err(|_| wrong(&[name], "must be true or false"))
    }
}

pub(super) fn wrong(path: &[&str], message: impl Into<String>) -> ApiError {
    let path = path.iter().map(|step| (*step).into()).collect();
    ApiError::invalid(vec![FieldFault { path, message: message.into(), kind: FaultKind::Wrong }])
}
