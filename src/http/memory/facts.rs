//! Facts that were put down by hand.

use axum::Json;
use axum::http::StatusCode;

use super::Place;
use super::wire::{MemoryDeleted, MemoryFact, MemoryFactChange, MemoryFactRequest};
use crate::http::error::ApiError;
use crate::http::extract::JsonBody;
use crate::memory::FactChange;

pub(in super::super) async fn add_fact(
    place: Place,
    JsonBody(request): JsonBody<MemoryFactRequest>,
) -> Result<(StatusCode, Json<MemoryFact>), ApiError> {
    let MemoryFactRequest { text, source_message } = request;
    let fact = place.memory.add_fact(place.session, text, source_message).await?;
    Ok((StatusCode::CREATED, Json(fact.into())))
}

pub(in super::super) async fn change_fact(
    place: Place,
    JsonBody(change): JsonBody<MemoryFactChange>,
) -> Result<Json<MemoryFact>, ApiError> {
    let id = place.number("fact")?;
    let change = FactChange { text: change.text, pinned: change.pinned };
    Ok(Json(place.memory.change_fact(place.session, id, change).await?.into()))
}

pub(in super::super) async fn remove_fact(place: Place) -> Result<Json<MemoryDeleted>, ApiError> {
    let id = place.number("fact")?;
    place.memory.remove_fact(place.session, id).await?;
    Ok(Json(MemoryDeleted { deleted: true }))
}
