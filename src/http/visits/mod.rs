//! Sessions of visitors, for small bots and kiosks: no accounts, a `user_id` that the caller chooses.

pub(super) mod examples;
mod socket;
pub(super) mod wire;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;

pub(super) use self::socket::socket;
use self::wire::{
    ActiveSessions, SessionChatRequest, SessionCleared, SessionHistory, SessionOpen, SessionReply,
    SessionStartRequest,
};
use super::AppState;
use super::client::Client;
use super::companion::wire::LegacyChatRequest;
use super::companion::{Room, required, whole};
use super::error::{ApiError, Code};
use super::extract::{JsonBody, PathNames};
use super::parameters::{Parameters, wrong};
use crate::companion::{CompanionError, Companions, Message, VisitStart};
use crate::engine::ClientId;

/// The visitor that the path names.
pub(super) struct Visitor(String);

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let mut names = PathNames::from_request_parts(parts, state).await?;
        Ok(Self(names.take("user_id").unwrap_or_default()))
    }
}

/// Begins a session, or goes on with the open one of this user and persona.
pub(super) async fn start(
    room: Room,
    JsonBody(request): JsonBody<SessionStartRequest>,
) -> Result<Json<SessionOpen>, ApiError> {
    begin(&room.0, request, false).await
}

/// Begins a session, whatever others there are.
pub(super) async fn create(
    room: Room,
    JsonBody(request): JsonBody<SessionStartRequest>,
) -> Result<Json<SessionOpen>, ApiError> {
    begin(&room.0, request, true).await
}

async fn begin(
    companions: &Companions,
    request: SessionStartRequest,
    anew: bool,
) -> Result<Json<SessionOpen>, ApiError> {
    let start = VisitStart {
        visitor: request.user_id,
        persona: request.persona,
        metadata: request.metadata.unwrap_or_default(),
        anew,
    };
    Ok(Json(companions.start_visit(start).await?.into()))
}

/// Says something in the user's newest session; makes one where none is.
pub(super) async fn chat(
    State(state): State<AppState>,
    Room(companions): Room,
    Client(client): Client,
    JsonBody(request): JsonBody<SessionChatRequest>,
) -> Result<Json<SessionReply>, ApiError> {
    let visitor = request.user_id;
    let visit = match companions.visit(visitor.clone()).await {
        Err(CompanionError::NoSession) => {
            let start = VisitStart::usual(visitor.clone());
            companions.start_visit(start).await?
        }
        found => found?,
    };
    let message = Message::saying(request.message);
    let answering = companions.say_in_visit(client, &visit, message).await?;
    let reply = whole(answering, &state.lifecycle).await?;
    Ok(Json(SessionReply::new(reply, visitor)))
}

/// The later shape of `/api/chat`: `{session_id, user_message, persona_name?}`.
pub(super) async fn say_later_shape(
    state: &AppState,
    companions: &Companions,
    client: ClientId,
    request: LegacyChatRequest,
) -> Result<SessionReply, ApiError> {
    let (session, text, persona) = request.into_session_shape();
    let session = required("session_id", session)?;
    let text = required("user_message", text)?;
    let visit = companions.visit_named(session).await?;
    if let Some(persona) = persona.filter(|persona| *persona != visit.persona) {
        let message = format!(
            "the session is with {}, not with {persona}; create another for that persona",
            visit.persona
        );
        return Err(wrong(&["persona_name"], message));
    }
    let visitor = visit.visitor.clone();
    let answering = companions.say_in_visit(client, &visit, Message::saying(text)).await?;
    Ok(SessionReply::new(whole(answering, &state.lifecycle).await?, visitor))
}

/// The newest messages, unless the request says where to begin.
pub(super) async fn history(
    Room(companions): Room,
    Visitor(visitor): Visitor,
    parameters: Parameters,
) -> Result<Json<SessionHistory>, ApiError> {
    let mut page = parameters.page()?;
    if parameters.text("offset").is_none() {
        let there_are = companions.visit(visitor.clone()).await?.messages;
        page.offset = u32::try_from(there_are).unwrap_or(u32::MAX).saturating_sub(page.limit);
    }
    let (visit, view) = companions.visit_history(visitor, page).await?;
    Ok(Json(SessionHistory::new(visit, view)))
}

pub(super) async fn clear(
    Room(companions): Room,
    Visitor(visitor): Visitor,
) -> Result<Json<SessionCleared>, ApiError> {
    let ended = companions.end_visits(visitor.clone()).await?;
    let sessions = if ended == 1 { "1 session".to_owned() } else { format!("{ended} sessions") };
    let message = format!("{sessions} of {visitor} ended; what was said is deleted");
    Ok(Json(SessionCleared { status: "success", message }))
}

pub(super) async fn active(Room(companions): Room) -> Result<Json<ActiveSessions>, ApiError> {
    let active_users = companions.active_visitors().await?;
    Ok(Json(ActiveSessions { count: active_users.len(), active_users }))
}

/// A socket needs an upgrade; whoever asks otherwise is told how.
fn no_upgrade() -> ApiError {
    ApiError::new(
        Code::BadRequest,
        "this path is a WebSocket: connect with ws:// and send {\"text\": \"…\"}",
    )
}
