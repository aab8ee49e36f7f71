//! How a user and the personas stand, and why.

use axum::Json;

use super::Own;
use super::wire::{Relationship, RelationshipEvent, RelationshipEventChange, RelationshipEvents};
use crate::http::error::ApiError;
use crate::http::extract::JsonBody;
use crate::http::parameters::Parameters;

pub(in crate::http) async fn relationship(
    own: Own,
    parameters: Parameters,
) -> Result<Json<Relationship>, ApiError> {
    let persona = parameters.text("persona").map(str::to_owned);
    Ok(Json(own.companions.relationship(own.user, persona).await?.into()))
}

pub(in crate::http) async fn events(
    own: Own,
    parameters: Parameters,
) -> Result<Json<RelationshipEvents>, ApiError> {
    let page = parameters.page()?;
    let persona = parameters.text("persona").map(str::to_owned);
    let (events, total) = own.companions.events(own.user, persona, page).await?;
    Ok(Json(RelationshipEvents {
        events: events.into_iter().map(Into::into).collect(),
        total,
        offset: page.offset,
        limit: page.limit,
    }))
}

pub(in crate::http) async fn change_event(
    own: Own,
    JsonBody(change): JsonBody<RelationshipEventChange>,
) -> Result<Json<RelationshipEvent>, ApiError> {
    let id = own.number("event")?;
    Ok(Json(own.companions.take_back(own.user, id, change.counts).await?.into()))
}
