//! The persona that is set by hand.

use axum::Json;

use super::Place;
use super::wire::{MemoryPersona, MemoryPersonaRequest};
use crate::http::error::ApiError;
use crate::http::extract::JsonBody;
use crate::http::parameters::wrong;
use crate::persona::Card;

pub(in super::super) async fn set_persona(
    place: Place,
    JsonBody(request): JsonBody<MemoryPersonaRequest>,
) -> Result<Json<MemoryPersona>, ApiError> {
    let persona = match (request.text, request.card) {
        (Some(text), None) => text,
        (None, Some(card)) => {
            let card = Card::read(&card).map_err(|fault| {
                let path: Vec<_> = std::iter::once("card").chain(fault.path).collect();
                wrong(&path, fault.fault)
            })?;
            card.persona(&place.chat.prompts).map_err(ApiError::internal)?
        }
        _ => return Err(wrong(&["text"], "send either a text or a card")),
    };
    place.memory.set_persona(place.session.clone(), persona.clone()).await?;
    place.look_after();
    Ok(Json(MemoryPersona { persona: Some(persona), persona_is_set: true }))
}

pub(in super::super) async fn clear_persona(place: Place) -> Result<Json<MemoryPersona>, ApiError> {
    place.memory.clear_persona(place.session).await?;
    Ok(Json(MemoryPersona { persona: None, persona_is_set: false }))
}
