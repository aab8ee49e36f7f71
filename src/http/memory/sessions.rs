//! Sessions: the list, one of them, a search for words in it, its deletion.

use axum::Json;

use super::Place;
use super::wire::{MemoryDeleted, MemorySearch, MemorySession, MemorySessions};
use crate::http::error::ApiError;
use crate::http::parameters::{Parameters, wrong};

pub(in super::super) async fn sessions(
    place: Place,
    parameters: Parameters,
) -> Result<Json<MemorySessions>, ApiError> {
    let (offset, limit) = (parameters.offset()?, parameters.limit()?);
    let (sessions, total) = place.memory.sessions(offset, limit).await?;
    let sessions = sessions.into_iter().map(Into::into).collect();
    Ok(Json(MemorySessions { sessions, total, offset, limit }))
}

pub(in super::super) async fn session(
    place: Place,
    parameters: Parameters,
) -> Result<Json<MemorySession>, ApiError> {
    let page = (parameters.offset()?, parameters.limit()?);
    let branches = parameters.flag("branches")?;
    let view = place.memory.session(place.session, page, branches).await?;
    Ok(Json(MemorySession::new(view, page)))
}

pub(in super::super) async fn search(
    place: Place,
    parameters: Parameters,
) -> Result<Json<MemorySearch>, ApiError> {
    let text = parameters.text("q").filter(|text| !text.trim().is_empty());
    let text = text.ok_or_else(|| wrong(&["q"], "is required: the words to look for"))?;
    let found = place.memory.search(place.session, text.to_owned(), parameters.limit()?).await?;
    Ok(Json(MemorySearch { results: found.into_iter().map(Into::into).collect() }))
}

pub(in super::super) async fn delete_session(
    place: Place,
) -> Result<Json<MemoryDeleted>, ApiError> {
    place.memory.delete_session(place.session).await?;
    Ok(Json(MemoryDeleted { deleted: true }))
}
