//! `GET /` and `GET /health`: what lives, and what the model does.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::openapi::API_VERSION;
use crate::engine::{Engine, EngineState, EngineStatus};

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
    /// Always `healthy`.
    status: &'static str,
    llm_available: bool,
    llm_loading: bool,
    llm_error: Option<String>,
    engine: EngineStatus,
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

pub(super) async fn health(State(engine): State<Arc<dyn Engine>>) -> Json<Health> {
    let engine = engine.status();
    Json(Health {
        status: "healthy",
        llm_available: engine.state == EngineState::Ready,
        llm_loading: engine.state == EngineState::Loading,
        llm_error: engine.error.clone(),
        engine,
    })
}
