//! What can be wrong with personas. Knows no HTTP.

use std::path::PathBuf;

use super::{CardError, YamlFault, key};
use crate::prompts::PromptError;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum PersonaError {
    #[error(
        "{path} can't be read: {source}; let PERSONAS_FILE name a file that can, or unset it to use the shipped personas"
    )]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path}: {}", lines(.faults))]
    File { path: PathBuf, faults: Vec<YamlFault> },
    #[error("there is no persona {0:?}; the list of personas names all")]
    NoPersona(String),
    #[error("{0:?} stands in the file of personas and is changed there; choose another key")]
    OfTheFile(String),
    #[error(
        "there is an imported persona {0:?} already; ask for it to be replaced, or choose another key"
    )]
    Exists(String),
    #[error("{most} cards are imported already; remove some with DELETE /personas/{{key}} first")]
    TooMany { most: usize },
    #[error("a key must be {}", key::RULE)]
    BadKey,
    #[error(transparent)]
    Card(#[from] CardError),
    #[error("this server runs without a database and keeps no personas; set DB_PATH")]
    NoDatabase,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error("the thread that read the card was lost")]
    Lost,
}

fn lines(faults: &[YamlFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ")
}
