//! `GET /v1/models`: the engine's model, and the same under an alias for each persona, and for each
//! session with a persona of its own.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::wire::{ModelEntry, ModelList};
use crate::chat::ChatService;
use crate::embedding::Embedder;
use crate::http::error::{ApiError, Code};
use crate::http::extract::PathNames;
use crate::persona::Personas;

const OWNER: &str = "rhapsode";

pub(in super::super) async fn models(
    State(chat): State<Arc<ChatService>>,
    State(embedder): State<Arc<dyn Embedder>>,
    State(personas): State<Personas>,
) -> Result<Json<ModelList>, ApiError> {
    // Whoever connects is about to talk; the embedder is loaded meanwhile, at its first use.
    tokio::task::spawn_blocking(move || embedder.dimensions());
    Ok(Json(ModelList { object: "list", data: entries(&chat, &personas).await? }))
}

pub(in super::super) async fn model(
    State(chat): State<Arc<ChatService>>,
    State(personas): State<Personas>,
    mut names: PathNames,
) -> Result<Json<ModelEntry>, ApiError> {
    let wanted = names.take("id").unwrap_or_default();
    let found = entries(&chat, &personas).await?.into_iter().find(|entry| entry.id == wanted);
    found.map(Json).ok_or_else(|| {
        ApiError::new(Code::NotFound, "there is no such model; GET /v1/models lists them")
    })
}

/// What the engine's model is called.
pub(super) fn own_model(chat: &ChatService) -> String {
    chat.engine.status().model.unwrap_or_else(|| "none".to_owned())
}

async fn entries(chat: &ChatService, personas: &Personas) -> Result<Vec<ModelEntry>, ApiError> {
    let model = own_model(chat);
    let now = chat.clock.now().as_second();
    let entry = |id, created| ModelEntry { id, object: "model", created, owned_by: OWNER };
    let mut entries = vec![entry(model.clone(), now)];
    let keys = personas.all();
    entries.extend(keys.iter().map(|persona| entry(format!("{model}@{}", persona.key), now)));
    if let Some(memory) = &chat.memory {
        // A database that can't be read doesn't keep a client from connecting.
        let sessions = memory.with_persona().await.unwrap_or_default();
        let is_free = |name: &str| personas.get(name).is_none();
        let aliases = sessions.into_iter().filter(|(name, _)| is_free(name));
        entries.extend(aliases.map(|(name, made)| entry(format!("{model}@{name}"), made / 1000)));
    }
    Ok(entries)
}
