//! How a job's events reach the client: as server-sent events while it works, or as one JSON object
//! at its end (`Accept: application/json`, or `?stream=false`).

use std::pin::pin;

use async_stream::stream;
use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};

use super::Lifecycle;
use super::error::ApiError;
use super::sse;
use super::wire::WireEvent;
use crate::engine::EngineError;
use crate::metrics::Metrics;
use crate::story::{StoryError, StoryEvent};

/// What the client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Events,
    Json,
    /// It takes either.
    Either,
}

impl Wanted {
    pub(super) fn or_events(self) -> Self {
        if self == Self::Either { Self::Events } else { self }
    }

    pub(super) fn or_json(self) -> Self {
        if self == Self::Either { Self::Json } else { self }
    }
}

#[derive(Deserialize)]
struct StreamParameter {
    stream: Option<bool>,
}

impl<S: Send + Sync> FromRequestParts<S> for Wanted {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let Query(parameter) = Query::<StreamParameter>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::new(super::Code::BadRequest, "?stream is true or false"))?;
        Ok(match parameter.stream {
            Some(false) => Self::Json,
            Some(true) => Self::Events,
            None if accepts_only_json(parts) => Self::Json,
            None if accepts(parts, "text/event-stream") => Self::Events,
            None => Self::Either,
        })
    }
}

/// Browsers, curl and most HTTP libraries accept anything; only who accepts JSON and nothing like
/// a stream wants JSON.
fn accepts_only_json(parts: &Parts) -> bool {
    accepts(parts, "application/json")
        && !accepts(parts, "text/event-stream")
        && !accepts(parts, "*/*")
}

fn accepts(parts: &Parts, media_type: &str) -> bool {
    let accept = parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains(media_type))
}

/// The job's events as the client wants them.
pub(super) async fn answer<T, E>(
    events: impl Stream<Item = StoryEvent<T, E>> + Send + 'static,
    wanted: Wanted,
    lifecycle: &Lifecycle,
    metrics: &Metrics,
) -> Result<Response, ApiError>
where
    T: Serialize + Send + 'static,
    E: From<EngineError> + Into<ApiError> + Send + 'static,
{
    let events = until_shutdown(events, lifecycle.clone());
    match wanted {
        Wanted::Events | Wanted::Either => Ok(server_sent_events(events, metrics)),
        Wanted::Json => Ok(Json(result(events).await?).into_response()),
    }
}

/// A stream of nothing but an error.
pub(super) fn single_error<T: Serialize + Send + 'static>(
    error: StoryError,
    metrics: &Metrics,
) -> Response {
    server_sent_events(futures_util::stream::iter([StoryEvent::<T>::Error(error)]), metrics)
}

/// axum waits for open streams when it shuts down, so they must end by themselves.
fn until_shutdown<T: Send, E: From<EngineError> + Send>(
    events: impl Stream<Item = StoryEvent<T, E>> + Send,
    lifecycle: Lifecycle,
) -> impl Stream<Item = StoryEvent<T, E>> + Send {
    stream! {
        let mut events = pin!(events);
        loop {
            let event = match lifecycle.or_stop(events.next()).await {
                Ok(Some(event)) => event,
                Ok(None) => return,
                Err(stopping) => StoryEvent::Error(stopping.into()),
            };
            let is_terminal = matches!(event, StoryEvent::Result(_) | StoryEvent::Error(_));
            yield event;
            if is_terminal {
                return;
            }
        }
    }
}

async fn result<T, E: Into<ApiError>>(
    events: impl Stream<Item = StoryEvent<T, E>>,
) -> Result<T, ApiError> {
    let mut events = pin!(events);
    while let Some(event) = events.next().await {
        match event {
            StoryEvent::Result(result) => return Ok(*result),
            StoryEvent::Error(error) => return Err(error.into()),
            StoryEvent::Status { .. } | StoryEvent::Context { .. } | StoryEvent::Partial { .. } => {
            }
        }
    }
    Err(ApiError::internal("the job ended without a result"))
}

fn server_sent_events<T: Serialize + Send + 'static, E: Into<ApiError> + 'static>(
    events: impl Stream<Item = StoryEvent<T, E>> + Send + 'static,
    metrics: &Metrics,
) -> Response {
    let metrics = metrics.clone();
    sse::response(events.map(move |event| sse::frame(&WireEvent::tell(event, &metrics))))
}
