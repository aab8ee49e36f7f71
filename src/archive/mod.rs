//! The archive: finished stories, found by meaning, answered with sources.

mod chunking;
mod document;
mod filter;
mod passage;
mod path;
mod reading;
mod store;

pub use chunking::{ChunkSize, chunks};
pub use document::{Chunk, Document, DocumentId, Embedded, Section, joined};
pub use filter::{Filter, FilterError};
pub use passage::{Passage, Search};
pub use path::{PathError, clean_path, file_name};
pub use reading::{Reading, ReadingError, read};
pub use store::{ArchiveStore, ArchiveStoreError, Candidate, Meaning, Probe};
