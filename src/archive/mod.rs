//! The archive: finished stories, found by meaning, answered with sources.

pub mod chunking;
mod document;
mod embedded;
mod filter;
mod ingest;
mod passage;
mod path;
mod search;
mod service;
mod store;

pub use chunking::ChunkSize;
pub use document::{Chunk, Document, DocumentId, Embedded, Section, joined};
pub use embedded::EmbeddedStore;
pub use filter::{Filter, FilterError};
pub use ingest::{FileError, Ingested, NewDocument, Outcome, Progress};
pub use passage::{Passage, Search};
pub use service::{Archive, ArchiveError, ArchiveParts, ArchiveSettings, Holdings};
pub use store::{ArchiveStore, ArchiveStoreError, Candidate, Meaning, Probe};
