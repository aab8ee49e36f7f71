//! Who speaks: the set of personas, character cards and their lorebooks, and how a persona and a user
//! come to stand to each other. Pure but for reading the set's file and storing cards.

pub mod card;
mod error;
mod key;
pub mod lorebook;
mod personas;
pub mod relationship;
mod rows;
mod set;
mod yaml;

use std::fmt;
use std::sync::Arc;

pub use self::card::{Card, CardError, CardFault, CardFile, CardFormat, PersonaText};
pub use self::error::PersonaError;
use self::lorebook::Lorebook;
pub use self::personas::{Imported, Personas};
pub use self::yaml::YamlFault;

const DEFAULT_TEMPERATURE: f32 = 0.7;
const DEFAULT_MAX_TOKENS: u32 = 500;

/// Somebody to talk to.
#[derive(Clone)]
pub struct Persona {
    /// By which requests name it.
    pub key: String,
    /// By which it is called.
    pub name: String,
    /// What it is to the user, in a few words.
    pub role: String,
    pub system_prompt: String,
    pub temperature: f32,
    /// Of an answer.
    pub max_tokens: u32,
    pub tags: Vec<String>,
    /// Said by the persona before anybody else spoke.
    pub greeting: Option<String>,
    /// A card's post-history instructions: a system message behind the newest message.
    pub after_history: Option<String>,
    pub book: Option<Arc<Lorebook>>,
}

/// Without its words, which are nobody's business in a log.
impl fmt::Debug for Persona {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Persona").field("key", &self.key).finish_non_exhaustive()
    }
}
