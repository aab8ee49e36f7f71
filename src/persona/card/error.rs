//! What can be wrong with a card's file.

use super::CardFault;
use crate::prompts::PromptError;

#[derive(Debug, thiserror::Error)]
pub enum CardError {
    #[error("{what} is larger than {most_mib} MiB; make it smaller")]
    TooLarge { what: &'static str, most_mib: usize },
    #[error("this is no character card: send a PNG, a CHARX or a JSON file")]
    UnknownFormat,
    #[error("the {format} file can't be read: {reason}; export the card anew where it was made")]
    Damaged { format: &'static str, reason: String },
    #[error("the card's {} {}", path.join("."), fault)]
    Field { path: Vec<&'static str>, fault: &'static str },
    #[error(transparent)]
    Prompt(#[from] PromptError),
}

impl From<CardFault> for CardError {
    fn from(fault: CardFault) -> Self {
        Self::Field { path: fault.path, fault: fault.fault }
    }
}
