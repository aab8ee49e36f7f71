//! Personas as they stand on the wire.

use axum::body::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use crate::persona::{Imported, Persona};

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct PersonaList {
    /// Those of the file, in its order, then imported ones by key.
    pub(super) personas: Vec<PersonaEntry>,
    /// Why the file of personas, as it is now, is not in force; what is listed is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct PersonaEntry {
    /// By which requests name it.
    key: String,
    name: String,
    role: String,
    temperature: f32,
    /// Of an answer.
    max_tokens: u32,
    tags: Vec<String>,
}

impl From<&Persona> for PersonaEntry {
    fn from(persona: &Persona) -> Self {
        Self {
            key: persona.key.clone(),
            name: persona.name.clone(),
            role: persona.role.clone(),
            temperature: persona.temperature,
            max_tokens: persona.max_tokens,
            tags: persona.tags.clone(),
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct PersonaDetails {
    #[serde(flatten)]
    entry: PersonaEntry,
    system_prompt: String,
    /// What it says first.
    greeting: Option<String>,
    /// A system message behind the newest message.
    after_history: Option<String>,
    /// Of its lorebook.
    book_entries: usize,
    /// Whether it is a card, which can be replaced and removed.
    imported: bool,
}

impl PersonaDetails {
    pub(super) fn new(persona: &Persona, imported: bool) -> Self {
        Self {
            entry: persona.into(),
            system_prompt: persona.system_prompt.clone(),
            greeting: persona.greeting.clone(),
            after_history: persona.after_history.clone(),
            book_entries: persona.book.as_ref().map_or(0, |book| book.len()),
            imported,
        }
    }
}

/// The card as a form's field. As a body of its own, `key` and `replace` go behind the question mark.
#[derive(JsonSchema)]
pub(in super::super) struct PersonaImportForm {
    /// The card: PNG, CHARX or JSON; its bytes tell which.
    #[schemars(with = "String", extend("format" = "binary"))]
    pub(super) file: Bytes,
    /// By which requests will name it; else the card's name makes one.
    pub(super) key: Option<String>,
    /// Whether it takes the place of an imported one with the same key.
    #[schemars(default)]
    pub(super) replace: bool,
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct PersonaImported {
    persona: PersonaEntry,
    /// What of the card can't be used.
    warnings: Vec<String>,
}

impl From<Imported> for PersonaImported {
    fn from(imported: Imported) -> Self {
        Self { persona: (&*imported.persona).into(), warnings: imported.warnings }
    }
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct PersonaDeleted {
    pub(super) deleted: bool,
}
