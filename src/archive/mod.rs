//! The archive: finished stories, found by meaning, answered with sources.

mod asking;
mod document;
mod filter;
mod passage;
mod store;

pub use asking::{
    ArchiveError, AskChatRequest, AskError, AskEvent, AskEvents, AskMessage, AskOptions,
    AskRequest, AskResponse, AskSpeaker, AskingService, AskingSettings, CharacterRange,
    CitedSource, Library,
};
pub use document::{Chunk, Document, DocumentId, Embedded, Section, joined};
pub use filter::{Filter, FilterError};
pub use passage::{Passage, Search};
pub use store::{ArchiveStore, ArchiveStoreError, Candidate, Meaning, Probe};
