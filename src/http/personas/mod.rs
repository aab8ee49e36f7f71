//! `/personas` and `{api}/personas`: who can be talked to, and character cards in and out.

mod transfer;
pub(super) mod wire;

use axum::Json;
use axum::extract::State;

pub(super) use self::transfer::{BYTES, JSON, PNG, ZIP, export, import};
use self::wire::{PersonaDeleted, PersonaDetails, PersonaEntry, PersonaList};
use super::error::ApiError;
use super::extract::PathNames;
use crate::persona::{PersonaError, Personas};

pub(super) async fn list(State(personas): State<Personas>) -> Json<PersonaList> {
    let entries = personas.all().iter().map(|persona| PersonaEntry::from(&**persona)).collect();
    Json(PersonaList { personas: entries, error: personas.error() })
}

pub(super) async fn details(
    State(personas): State<Personas>,
    names: PathNames,
) -> Result<Json<PersonaDetails>, ApiError> {
    let key = key(names);
    let persona = personas.get(&key).ok_or_else(|| PersonaError::NoPersona(key.clone()))?;
    Ok(Json(PersonaDetails::new(&persona, personas.is_imported(&key))))
}

pub(super) async fn remove(
    State(personas): State<Personas>,
    names: PathNames,
) -> Result<Json<PersonaDeleted>, ApiError> {
    personas.remove(&key(names)).await?;
    Ok(Json(PersonaDeleted { deleted: true }))
}

fn key(mut names: PathNames) -> String {
    names.take("key").unwrap_or_default()
}
