//! The story jobs: one handler for all, since each says itself what it asks and answers.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde::Deserialize;

use crate::engine::EngineError;
use crate::http::answer::{Wanted, answer, single_error};
use crate::http::client::Client;
use crate::http::error::{ApiError, Code};
use crate::http::extract::JsonBody;
use crate::http::{AppState, Lifecycle};
use crate::metrics::Metrics;
use crate::story::{Events, StoryError, StoryRequest, StoryService, SuggestionForm};

/// `?suggestions=objects`: for raters, whose suggestions are sentences by default.
pub(in crate::http) struct Suggestions(SuggestionForm);

#[derive(Deserialize)]
struct SuggestionsParameter {
    #[serde(default)]
    suggestions: SuggestionForm,
}

impl<S: Send + Sync> FromRequestParts<S> for Suggestions {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let parameter = Query::<SuggestionsParameter>::from_request_parts(parts, state).await;
        let Query(parameter) = parameter
            .map_err(|_| ApiError::new(Code::BadRequest, "?suggestions is strings or objects"))?;
        Ok(Self(parameter.suggestions))
    }
}

/// Everything of a request but its body.
pub(in crate::http) struct Asked {
    story: Arc<StoryService>,
    lifecycle: Lifecycle,
    metrics: Metrics,
    client: Client,
    wanted: Wanted,
    suggestions: Suggestions,
}

impl FromRequestParts<AppState> for Asked {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let Ok(client) = Client::from_request_parts(parts, state).await;
        Ok(Self {
            story: Arc::clone(&state.story),
            lifecycle: state.lifecycle.clone(),
            metrics: state.metrics.clone(),
            client,
            wanted: Wanted::from_request_parts(parts, state).await?,
            suggestions: Suggestions::from_request_parts(parts, state).await?,
        })
    }
}

impl Asked {
    async fn begin<R: StoryRequest>(&self, request: R) -> Result<Events<R::Response>, StoryError> {
        let (story, Client(client)) = (Arc::clone(&self.story), &self.client);
        story.begin(request, client.clone(), self.suggestions.0).await
    }
}

/// Answers with events, unless JSON is asked for.
pub(in crate::http) async fn job<R: StoryRequest>(
    asked: Asked,
    JsonBody(request): JsonBody<R>,
) -> Result<Response, ApiError> {
    let events = asked.begin(request).await?;
    answer(events, asked.wanted.or_events(), &asked.lifecycle, &asked.metrics).await
}

/// Answers with one JSON object, unless events are asked for.
pub(in crate::http) async fn job_in_json<R: StoryRequest>(
    asked: Asked,
    JsonBody(request): JsonBody<R>,
) -> Result<Response, ApiError> {
    let events = asked.begin(request).await?;
    answer(events, asked.wanted.or_json(), &asked.lifecycle, &asked.metrics).await
}

/// As [`job`], in the rater's manner: readable from every origin, and a model that is missing is an
/// event of the stream.
pub(in crate::http) async fn rating<R: StoryRequest>(
    asked: Asked,
    JsonBody(request): JsonBody<R>,
) -> Result<Response, ApiError> {
    let wanted = asked.wanted.or_events();
    let mut response = match asked.begin(request).await {
        Ok(events) => answer(events, wanted, &asked.lifecycle, &asked.metrics).await?,
        Err(StoryError::Engine(
            error @ (EngineError::Unavailable(_) | EngineError::Loading { .. }),
        )) if wanted == Wanted::Events => single_error::<R::Response>(error.into(), &asked.metrics),
        Err(error) => return Err(error.into()),
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Cache-Control"));
    Ok(response)
}
