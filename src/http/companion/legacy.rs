//! The shapes of earlier servers: `/api/chat`, told apart by its fields, and `/api/memory`. Their users
//! have a name that the caller chooses, and no account; a token of an account stands for its own user.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::Room;
use super::speaking::{sampled, whole};
use super::wire::{
    Deleted, LegacyChatRequest, LegacyChatResponse, LegacyCompanionResponse, LegacyMemory,
};
use crate::account::UserId;
use crate::companion::{CompanionError, Companions, Message};
use crate::engine::ClientId;
use crate::http::auth::bearer;
use crate::http::client::Client;
use crate::http::error::{ApiError, Code, FaultKind, FieldFault};
use crate::http::extract::{JsonBody, PathNames};
use crate::http::keys::ServersKey;
use crate::http::parameters::wrong;
use crate::http::{AppState, visits};

/// Who an earlier server's request is from.
pub(in crate::http) struct Guest {
    companions: Companions,
    /// The user of the token that was sent, if that is one of an account.
    signed: Option<(UserId, String)>,
    /// What the path says.
    user_id: String,
}

impl FromRequestParts<AppState> for Guest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let Room(companions) = Room::from_request_parts(parts, state).await?;
        let signed = signed(parts, state).await?;
        let mut names = PathNames::from_request_parts(parts, state).await?;
        let user_id = names.take("user_id").unwrap_or_default();
        Ok(Self { companions, signed, user_id })
    }
}

/// Longest name of a guest, and longest message, in characters.
const LONGEST_NAME: usize = 200;
const LONGEST_MESSAGE: usize = 5_000;

/// Whose token was sent. One that doesn't hold is refused: its user would be taken for a guest, and
/// what they say would be another's.
async fn signed(parts: &Parts, state: &AppState) -> Result<Option<(UserId, String)>, ApiError> {
    // A key, "null" and the like are no tokens of accounts.
    let is_key = parts.extensions.get::<ServersKey>().is_some();
    let token = bearer(&parts.headers).filter(|token| !is_key && is_like_a_token(token));
    let (Some(token), Some(accounts)) = (token, &state.accounts) else { return Ok(None) };
    let signed = accounts.signed_in(token).await?;
    state.limits.of_account(signed.user)?;
    let user = accounts.user(signed.user).await?;
    Ok(Some((user.id, user.uid)))
}

/// Whether it has a JWT's shape.
fn is_like_a_token(text: &str) -> bool {
    text.split('.').count() == 3
}

fn of_length(field: &'static str, text: &str, longest: usize) -> Result<(), ApiError> {
    if (1..=longest).contains(&text.trim().chars().count()) {
        return Ok(());
    }
    Err(wrong(&[field], format!("must have 1 to {longest} characters")))
}

impl Guest {
    /// The user that is meant, and what they are called on the wire. A token is good for its own
    /// user alone.
    async fn user(
        &self,
        state: &AppState,
        named: Option<String>,
    ) -> Result<(UserId, String), ApiError> {
        if let Some((user, uid)) = &self.signed {
            if named.as_ref().is_some_and(|named| named != uid) {
                return Err(no_user());
            }
            return Ok((*user, uid.clone()));
        }
        if let Some(named) = &named {
            of_length("user_id", named, LONGEST_NAME)?;
        }
        let named = named.unwrap_or_else(|| state.chat.ids.user());
        let accounts = state.accounts.as_ref().ok_or_else(no_user)?;
        Ok((accounts.guest(&named).await?, named))
    }

    /// The same, of one that is there already.
    async fn known_user(&self, state: &AppState) -> Result<UserId, ApiError> {
        if let Some((user, uid)) = &self.signed {
            return if self.user_id == *uid { Ok(*user) } else { Err(no_user()) };
        }
        let accounts = state.accounts.as_ref().ok_or_else(no_user)?;
        accounts.known_guest(&self.user_id).await?.ok_or_else(no_user)
    }
}

fn no_user() -> ApiError {
    ApiError::new(Code::NotFound, "nothing is remembered of a user of this name")
}

pub(in crate::http) async fn chat(
    State(state): State<AppState>,
    guest: Guest,
    Client(client): Client,
    JsonBody(request): JsonBody<LegacyChatRequest>,
) -> Result<Response, ApiError> {
    let response = if is_of_a_session(&request)? {
        let reply = visits::say_later_shape(&state, &guest.companions, client, request).await?;
        LegacyChatResponse::Session(reply)
    } else {
        LegacyChatResponse::Companion(say(&state, &guest, client, request).await?)
    };
    Ok(Json(response).into_response())
}

/// Which of the two shapes it is; one that could be both, or neither, is refused.
fn is_of_a_session(request: &LegacyChatRequest) -> Result<bool, ApiError> {
    let of_session = [
        ("session_id", request.session_id.is_some()),
        ("user_message", request.user_message.is_some()),
        ("persona_name", request.persona_name.is_some()),
    ];
    let of_session: Vec<_> =
        of_session.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
    match (request.message.is_some(), of_session.first()) {
        (true, None) => Ok(false),
        (false, Some(_)) => Ok(true),
        (true, Some(field)) => Err(ambiguous(
            field,
            "can't stand beside `message`: send {message, user_id?, agent_role?} to a companion, or {session_id, user_message, persona_name?} to a session",
        )),
        (false, None) => Err(ambiguous(
            "message",
            "is required: send {message, user_id?, agent_role?} to a companion, or {session_id, user_message, persona_name?} to a session",
        )),
    }
}

fn ambiguous(field: &str, message: &str) -> ApiError {
    let kind = FaultKind::Wrong;
    ApiError::invalid(vec![FieldFault { path: vec![field.into()], message: message.into(), kind }])
}

async fn say(
    state: &AppState,
    guest: &Guest,
    client: ClientId,
    request: LegacyChatRequest,
) -> Result<LegacyCompanionResponse, ApiError> {
    let (temperature, max_tokens) = sampled(request.temperature, request.max_tokens)?;
    let text = request.message.unwrap_or_default();
    of_length("message", &text, LONGEST_MESSAGE)?;
    let persona = request.agent_role;
    if let Some(key) = persona.as_ref().filter(|key| state.personas.get(key).is_none()) {
        return Err(CompanionError::UnknownPersona { key: key.clone() }.into());
    }
    // From here on there is a row of the guest.
    let (user, user_id) = guest.user(state, request.user_id).await?;
    let companions = &guest.companions;
    let conversation = companions.newest_conversation(user, persona.clone()).await?;
    let message = Message {
        text,
        persona,
        conversation: conversation.map(|it| it.uid),
        temperature: Some(temperature),
        max_tokens: Some(max_tokens),
    };
    let answering = companions.say(user, client, message).await?;
    let reply = whole(answering, &state.lifecycle).await?;
    let figures = companions.stats(user).await?;
    Ok(LegacyCompanionResponse {
        response: reply.response,
        user_id,
        memory_size: figures.messages,
        relationship: reply.standing.as_ref().map(Into::into),
        stats: figures.into(),
    })
}

pub(in crate::http) async fn memory(
    State(state): State<AppState>,
    guest: Guest,
) -> Result<Json<LegacyMemory>, ApiError> {
    let user = guest.known_user(&state).await?;
    let companions = &guest.companions;
    let figures = companions.stats(user).await?;
    let relationships = companions.relationships(user).await?;
    let facts = companions.facts(user, false).await?;
    Ok(Json(LegacyMemory {
        user_id: guest.user_id.clone(),
        memory_size: figures.messages,
        facts: facts.into_iter().map(Into::into).collect(),
        relationships: relationships.iter().map(Into::into).collect(),
        stats: figures.into(),
    }))
}

/// Forgets all of a user; an account itself stays.
pub(in crate::http) async fn delete_memory(
    State(state): State<AppState>,
    guest: Guest,
) -> Result<Json<Deleted>, ApiError> {
    let user = guest.known_user(&state).await?;
    if guest.signed.is_some() {
        guest.companions.forget_everything(user).await?;
    } else {
        guest.companions.delete_user(user).await?;
    }
    Ok(Json(Deleted { deleted: true }))
}

/// A field that must be there.
pub(in crate::http) fn required(
    field: &'static str,
    text: Option<String>,
) -> Result<String, ApiError> {
    text.ok_or_else(|| wrong(&[field], "is required"))
}
