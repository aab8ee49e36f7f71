//! One message: where it comes from, its correction, its deletion.

use axum::Json;

use super::Place;
use super::wire::{MemoryDeletedMessages, MemoryMessage, MemoryMessageChange, MemoryProvenance};
use crate::http::error::ApiError;
use crate::http::extract::JsonBody;
use crate::memory::Change;

pub(in super::super) async fn message(place: Place) -> Result<Json<MemoryProvenance>, ApiError> {
    let id = place.message()?;
    let provenance = place.memory.provenance(place.session, id).await?;
    Ok(Json(provenance.into()))
}

pub(in super::super) async fn change_message(
    place: Place,
    JsonBody(change): JsonBody<MemoryMessageChange>,
) -> Result<Json<MemoryMessage>, ApiError> {
    let MemoryMessageChange { pinned, corrected, forgotten } = change;
    let change = Change { pinned, corrected, forgotten };
    let id = place.message()?;
    let record = place.memory.change_message(place.session.clone(), id, change).await?;
    place.look_after();
    Ok(Json(record.into()))
}

pub(in super::super) async fn delete_message(
    place: Place,
) -> Result<Json<MemoryDeletedMessages>, ApiError> {
    let id = place.message()?;
    let deleted = place.memory.delete_message(place.session.clone(), id).await?;
    place.look_after();
    Ok(Json(MemoryDeletedMessages { deleted }))
}
