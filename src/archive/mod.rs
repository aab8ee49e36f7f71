//! The archive: finished stories, found by meaning, answered with sources.

mod asking;
mod chroma;
mod chunking;
mod document;
mod embedded;
mod filter;
mod ingest;
mod passage;
mod path;
mod reading;
mod search;
mod sentences;
mod service;
mod store;

pub use asking::{
    AskChatRequest, AskError, AskEvent, AskEvents, AskMessage, AskOptions, AskRequest, AskResponse,
    AskSpeaker, AskingService, AskingSettings, CharacterRange, CitedSource, Library,
};
pub use chroma::{ChromaSettings, ChromaStore};
pub use chunking::{ChunkSize, chunks};
pub use document::{Chunk, Document, DocumentId, Embedded, Section, joined};
pub use embedded::EmbeddedStore;
pub use filter::{Filter, FilterError};
pub use ingest::{FileError, Ingested, LARGEST_METADATA, NewDocument, Outcome, Progress};
pub use passage::{Passage, Search};
pub use path::{PathError, clean_path, file_name};
pub use reading::{Reading, ReadingError, read};
pub use sentences::SentenceVectors;
pub use service::{Archive, ArchiveError, ArchiveParts, ArchiveSettings, Holdings};
pub use store::{ArchiveStore, ArchiveStoreError, Candidate, Candidates, Meaning, Probe, Run};
