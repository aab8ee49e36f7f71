//! Questions about the archive: `rag/query`, `rag/query/stream`, `rag/chat`, `rag/status`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use super::OFF;
use crate::archive::{
    ArchiveError, AskChatRequest, AskError, AskEvents, AskRequest, AskingService,
};
use crate::engine::{Engine, EngineError, EngineState};
use crate::http::answer::{Wanted, answer};
use crate::http::client::Client;
use crate::http::error::{ApiError, Code, FaultKind, FieldFault};
use crate::http::extract::JsonBody;
use crate::http::{AppState, Lifecycle};
use crate::metrics::Metrics;

pub(in crate::http) const QUESTION_EXAMPLE: &str =
    r#"{"question": "Who closed the gate, and why?", "n_context_chunks": 5, "max_tokens": 400}"#;

pub(in crate::http) const CHAT_EXAMPLE: &str = r#"{"messages": [{"role": "user", "content": "Who closed the gate?"}, {"role": "assistant", "content": "The Warden did [1]."}, {"role": "user", "content": "What happened next?"}]}"#;

/// Whether questions can be answered.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "the contract's fields")]
pub(in crate::http) struct AskingStatus {
    archive_enabled: bool,
    llm_enabled: bool,
    llm_loading: bool,
    /// Whether both are there.
    rag_enabled: bool,
    /// What is missing, and what to do.
    message: String,
}

/// Everything of a request but its body.
pub(in crate::http) struct Asked {
    asking: Arc<AskingService>,
    lifecycle: Lifecycle,
    metrics: Metrics,
    client: Client,
    wanted: Wanted,
}

impl FromRequestParts<AppState> for Asked {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let off = || ApiError::new(Code::ArchiveOff, OFF);
        let Ok(client) = Client::from_request_parts(parts, state).await;
        Ok(Self {
            asking: state.asking.clone().ok_or_else(off)?,
            lifecycle: state.lifecycle.clone(),
            metrics: state.metrics.clone(),
            client,
            wanted: Wanted::from_request_parts(parts, state).await?,
        })
    }
}

impl Asked {
    async fn ask(&self, request: AskRequest) -> Result<AskEvents, AskError> {
        let Client(client) = &self.client;
        Arc::clone(&self.asking).ask(request, client.clone()).await
    }

    /// Streams carry the headers of the contract. They open nothing: a page whose origin `CORS_ORIGINS`
    /// doesn't list is refused before it gets here, as its request is a POST.
    async fn answer(&self, events: AskEvents, wanted: Wanted) -> Result<Response, ApiError> {
        let mut response = answer(events, wanted, &self.lifecycle, &self.metrics).await?;
        if wanted != Wanted::Json {
            let headers = response.headers_mut();
            let any = HeaderValue::from_static("*");
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
            let cache_control = HeaderValue::from_static("Cache-Control");
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, cache_control);
        }
        Ok(response)
    }
}

/// Answers with one JSON object, unless events are asked for.
pub(in crate::http) async fn query(
    asked: Asked,
    JsonBody(request): JsonBody<AskRequest>,
) -> Result<Response, ApiError> {
    let events = asked.ask(request).await?;
    asked.answer(events, asked.wanted.or_json()).await
}

/// Answers with events, unless JSON is asked for.
pub(in crate::http) async fn query_stream(
    asked: Asked,
    JsonBody(request): JsonBody<AskRequest>,
) -> Result<Response, ApiError> {
    let events = asked.ask(request).await?;
    asked.answer(events, asked.wanted.or_events()).await
}

/// Answers with events, unless JSON is asked for.
pub(in crate::http) async fn chat(
    asked: Asked,
    JsonBody(request): JsonBody<AskChatRequest>,
) -> Result<Response, ApiError> {
    let Client(client) = &asked.client;
    let events = Arc::clone(&asked.asking).chat(request, client.clone()).await?;
    asked.answer(events, asked.wanted.or_events()).await
}

pub(in crate::http) async fn status(
    State(asking): State<Option<Arc<AskingService>>>,
    State(engine): State<Arc<dyn Engine>>,
) -> Json<AskingStatus> {
    let engine_status = engine.status();
    let archive_enabled = asking.is_some();
    let llm_enabled = engine_status.state == EngineState::Ready;
    let llm_loading = engine_status.state == EngineState::Loading;
    let model = if llm_loading {
        Some("The model is still loading; try again in a moment.".to_owned())
    } else {
        engine_status.error.filter(|_| !llm_enabled)
    };
    let message = match (archive_enabled, llm_enabled, model) {
        (true, true, _) => "Questions about the archive can be asked.".to_owned(),
        (true, false, model) => model.unwrap_or_else(|| "There is no model.".to_owned()),
        (false, _, _) => OFF.to_owned(),
    };
    let rag_enabled = archive_enabled && llm_enabled;
    Json(AskingStatus { archive_enabled, llm_enabled, llm_loading, rag_enabled, message })
}

impl From<AskError> for ApiError {
    fn from(error: AskError) -> Self {
        let detail = error.to_string();
        match error {
            AskError::Wrong { path, fault } => {
                let step = |step: String| {
                    step.parse::<u64>().map_or_else(|_| step.into(), serde_json::Value::from)
                };
                let path = path.into_iter().map(step).collect();
                let (message, kind) = (fault.to_owned(), FaultKind::Wrong);
                Self::invalid(vec![FieldFault { path, message, kind }])
            }
            AskError::Filter(_) | AskError::Archive(ArchiveError::Filter(_)) => {
                let (path, kind) = (vec!["filter".into()], FaultKind::Wrong);
                Self::invalid(vec![FieldFault { path, message: detail, kind }])
            }
            AskError::NoFile { .. } | AskError::FilteredOut(_) => Self::new(Code::NotFound, detail),
            AskError::Archive(error) => error.into(),
            AskError::Context(error) => error.into(),
            AskError::TooLarge { .. } => Self::new(Code::ContextTooLarge, detail),
            AskError::Engine(EngineError::Schema(_)) => Self::new(Code::LlmFailed, detail),
            AskError::Engine(error) => error.into(),
            AskError::EmptyAnswer => Self::new(Code::EmptyAnswer, detail),
            AskError::Prompt(_) | AskError::Distil(_) | AskError::Lost => Self::internal(detail),
        }
    }
}
