//! The archive: finished stories, found by meaning, answered with sources.

mod document;
mod filter;
mod passage;
mod store;

pub use document::{Chunk, Document, DocumentId, Embedded, Section, joined};
pub use filter::{Filter, FilterError};
pub use passage::{Passage, Search};
pub use store::{ArchiveStore, ArchiveStoreError, Candidate, Meaning, Probe};
