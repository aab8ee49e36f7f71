//! Something said to a persona, and its answer: in one piece, or as it is spoken.

use async_stream::stream;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Own;
use super::wire::{
    CompanionMessageRequest, CompanionMessageResponse, PersonalityRequest, PersonalityResponse,
    SpokenEvent,
};
use crate::companion::{Answering, Message, Reply, Telling};
use crate::engine::{ClientId, EngineError};
use crate::http::answer::Wanted;
use crate::http::error::ApiError;
use crate::http::extract::JsonBody;
use crate::http::parameters::wrong;
use crate::http::{AppState, Lifecycle, sse};
use crate::metrics::Metrics;

/// The contract's, where a request says nothing.
const USUAL_TEMPERATURE: f32 = 0.8;
const USUAL_MAX_TOKENS: u32 = 200;
const TEMPERATURES: std::ops::RangeInclusive<f32> = 0.1..=1.0;
const MAX_TOKENS: std::ops::RangeInclusive<u32> = 50..=1000;

pub(in crate::http) async fn message(
    State(state): State<AppState>,
    own: Own,
    wanted: Wanted,
    JsonBody(request): JsonBody<CompanionMessageRequest>,
) -> Result<Response, ApiError> {
    let (temperature, max_tokens) = sampled(request.temperature, request.max_tokens)?;
    let message = Message {
        text: request.message,
        persona: request.personality,
        conversation: request.conversation_id,
        temperature: Some(temperature),
        max_tokens: Some(max_tokens),
    };
    let client = ClientId::new(format!("user {}", own.user.0));
    let answering = own.companions.say(own.user, client, message).await?;
    tell::<CompanionMessageResponse>(answering, wanted, &state.lifecycle, &state.metrics).await
}

/// Temperature and length, within the contract's ranges.
pub(super) fn sampled(
    temperature: Option<f32>,
    max_tokens: Option<u32>,
) -> Result<(f32, u32), ApiError> {
    let temperature = temperature.unwrap_or(USUAL_TEMPERATURE);
    let max_tokens = max_tokens.unwrap_or(USUAL_MAX_TOKENS);
    if !TEMPERATURES.contains(&temperature) {
        return Err(wrong(&["temperature"], "must be from 0.1 to 1"));
    }
    if !MAX_TOKENS.contains(&max_tokens) {
        return Err(wrong(&["max_tokens"], "must be from 50 to 1000"));
    }
    Ok((temperature, max_tokens))
}

/// The answer as the client wants it.
async fn tell<T: From<Reply> + Serialize + Send + 'static>(
    answering: Answering,
    wanted: Wanted,
    lifecycle: &Lifecycle,
    metrics: &Metrics,
) -> Result<Response, ApiError> {
    match wanted.or_json() {
        Wanted::Events => Ok(events::<T>(answering, lifecycle.clone(), metrics.clone())),
        Wanted::Json | Wanted::Either => {
            let reply = whole(answering, lifecycle).await?;
            Ok(Json(T::from(reply)).into_response())
        }
    }
}

/// The answer when all is said and stored.
pub(in crate::http) async fn whole(
    mut answering: Answering,
    lifecycle: &Lifecycle,
) -> Result<Reply, ApiError> {
    while let Some(telling) = lifecycle.or_stop(answering.next()).await? {
        match telling {
            Telling::Text(_) => {}
            Telling::Done(reply) => return Ok(*reply),
            Telling::Failed(error) => return Err(error.into()),
        }
    }
    Err(EngineError::Lost.into())
}

fn events<T: From<Reply> + Serialize + Send + 'static>(
    mut answering: Answering,
    lifecycle: Lifecycle,
    metrics: Metrics,
) -> Response {
    sse::response(stream! {
        loop {
            let telling = match lifecycle.or_stop(answering.next()).await {
                Ok(Some(telling)) => telling,
                Ok(None) => break,
                Err(stopping) => Telling::Failed(stopping),
            };
            let is_over = !matches!(telling, Telling::Text(_));
            yield sse::frame(&event::<T>(telling, &metrics));
            if is_over {
                break;
            }
        }
    })
}

/// What happened, for the wire; an error is recorded here, since no response carries it to the layers.
fn event<T: From<Reply>>(telling: Telling, metrics: &Metrics) -> SpokenEvent<T> {
    match telling {
        Telling::Text(content) => SpokenEvent::Chunk { content },
        Telling::Done(reply) => SpokenEvent::Complete { whole: Box::new(T::from(*reply)) },
        Telling::Failed(error) => {
            let error = ApiError::from(error);
            error.record("a stream", None, metrics);
            SpokenEvent::Error { error_code: error.code.name(), message: error.detail }
        }
    }
}

pub(in crate::http) async fn personality(
    State(state): State<AppState>,
    own: Own,
    JsonBody(request): JsonBody<PersonalityRequest>,
) -> Result<Json<PersonalityResponse>, ApiError> {
    let key = request.personality;
    own.companions.choose_persona(own.user, key.clone()).await?;
    let persona = state.personas.get(&key);
    let (name, role) = persona.map(|it| (it.name.clone(), it.role.clone())).unwrap_or_default();
    Ok(Json(PersonalityResponse { personality: key, name, role }))
}
