//! The archive: finished stories, found by meaning, answered with sources.

mod chroma;
mod document;
mod filter;
mod passage;
mod store;

pub use chroma::{ChromaSettings, ChromaStore};
pub use document::{Chunk, Document, DocumentId, Embedded, Section, joined};
pub use filter::{Filter, FilterError};
pub use passage::{Passage, Search};
pub use store::{ArchiveStore, ArchiveStoreError, Candidate, Meaning, Probe};
