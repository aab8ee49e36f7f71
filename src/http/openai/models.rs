//! `GET /v1/models`: the engine's model, and the same under an alias for each session with a persona
//! of its own.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::wire::{ModelEntry, ModelList};
use crate::chat::ChatService;
use crate::embedding::Embedder;
use crate::http::error::{ApiError, Code};

const OWNER: &str = "rhapsode";

pub(in super::super) async fn models(
    State(chat): State<Arc<ChatService>>,
    State(embedder): State<Arc<dyn Embedder>>,
) -> Result<Json<ModelList>, ApiError> {
    // Whoever connects is about to talk; the embedder is loaded meanwhile, at its first use.
    tokio::task::spawn_blocking(move || embedder.dimensions());
    Ok(Json(ModelList { object: "list", data: entries(&chat).await? }))
}

pub(in super::super) async fn model(
    State(chat): State<Arc<ChatService>>,
    Path(parameters): Path<Vec<(String, String)>>,
) -> Result<Json<ModelEntry>, ApiError> {
    let wanted = parameters.into_iter().find(|(name, _)| name == "id").map(|(_, id)| id);
    let wanted = wanted.unwrap_or_default();
    let found = entries(&chat).await?.into_iter().find(|entry| entry.id == wanted);
    found.map(Json).ok_or_else(|| {
        ApiError::new(Code::NotFound, "there is no such model; GET /v1/models lists them")
    })
}

async fn entries(chat: &ChatService) -> Result<Vec<ModelEntry>, ApiError> {
    let model = chat.engine.status().model.unwrap_or_else(|| "none".to_owned());
    let now = chat.clock.now().as_second();
    let entry = |id, created| ModelEntry { id, object: "model", created, owned_by: OWNER };
    let mut entries = vec![entry(model.clone(), now)];
    if let Some(memory) = &chat.memory {
        // A database that can't be read doesn't keep a client from connecting.
        let personas = memory.with_persona().await.unwrap_or_default();
        let aliases = personas.into_iter();
        entries.extend(aliases.map(|(name, made)| entry(format!("{model}@{name}"), made / 1000)));
    }
    Ok(entries)
}
