//! `GET /` and `GET /health`: what lives, and what the model does.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::error::ApiError;
use super::openapi::API_VERSION;
use crate::chat::{ChatService, DatabaseState};
use crate::engine::{Engine, EngineState, EngineStatus};
use crate::metrics::Metrics;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ServerInfo {
    message: &'static str,
    /// Of the API.
    version: &'static str,
    /// `loading`, `error: …`, `available` or `not configured`.
    llm_status: String,
}

/// Always answered with 200: a server without a model still counts tokens and shows its docs.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Health {
    status: Wellbeing,
    llm_available: bool,
    llm_loading: bool,
    llm_error: Option<String>,
    engine: EngineStatus,
    database: DatabaseState,
    /// Sessions in working memory.
    memory_sessions: usize,
    /// RFC 3339, UTC.
    timestamp: String,
}

/// How the server is.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Wellbeing {
    /// It does what it was set up for; a model may still be loading, or be absent.
    Healthy,
    /// It answers, with less: its model failed, or its database can't be used.
    Degraded,
    /// Neither model nor database work.
    Unhealthy,
}

pub(super) async fn root(State(engine): State<Arc<dyn Engine>>) -> Json<ServerInfo> {
    let status = engine.status();
    let llm_status = match status.state {
        EngineState::Loading => "loading".to_owned(),
        EngineState::Ready => "available".to_owned(),
        EngineState::Failed => format!("error: {}", status.error.unwrap_or_default()),
        EngineState::Absent => "not configured".to_owned(),
    };
    Json(ServerInfo {
        message: concat!("Rhapsode ", env!("CARGO_PKG_VERSION"), ", see /docs"),
        version: API_VERSION,
        llm_status,
    })
}

pub(super) async fn health(
    State(engine): State<Arc<dyn Engine>>,
    State(chat): State<Arc<ChatService>>,
) -> Json<Health> {
    let engine = engine.status();
    let database = chat.database().await;
    let troubles = [engine.state == EngineState::Failed, database == DatabaseState::Degraded];
    Json(Health {
        status: match troubles.into_iter().filter(|is_so| *is_so).count() {
            0 => Wellbeing::Healthy,
            1 => Wellbeing::Degraded,
            _ => Wellbeing::Unhealthy,
        },
        database,
        memory_sessions: chat.memory.as_ref().map_or(0, |memory| memory.working().0),
        timestamp: chat.clock.now().to_string(),
        llm_available: engine.state == EngineState::Ready,
        llm_loading: engine.state == EngineState::Loading,
        llm_error: engine.error.clone(),
        engine,
    })
}

/// `GET /metrics`, for Prometheus.
pub(super) async fn metrics(
    State(metrics): State<Metrics>,
    State(chat): State<Arc<ChatService>>,
) -> Result<Response, ApiError> {
    let (sessions, messages) = chat.memory.as_ref().map_or((0, 0), crate::memory::Memory::working);
    metrics.active_sessions.set(i64::try_from(sessions).unwrap_or(i64::MAX));
    metrics.memory_messages.set(i64::try_from(messages).unwrap_or(i64::MAX));
    let text = metrics.text().map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response())
}

const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
