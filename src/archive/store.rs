//! Where documents are kept: the one trait, and what can go wrong behind it.
//!
//! A document comes in two steps. Its chunks are staged, batch after batch; nobody sees them. Then it
//! is published, at one moment. Whoever is stopped in between can go on where it stopped, as ids and
//! numbers follow from the text alone. Two who bring the same text at once do the same work twice,
//! and there is one document.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;

use super::document::{Chunk, Document, DocumentId, Embedded};
use super::sentences::SentenceVectors;

/// Documents, their chunks, and what is near a query. One contract suite holds every implementation.
#[async_trait]
pub trait ArchiveStore: Send + Sync {
    /// How many chunks of a text are there, published or not: all from 0 up to that number.
    async fn staged(&self, id: &DocumentId) -> Result<usize, ArchiveStoreError>;

    /// Stores the next chunks of a text, unseen by anybody. Chunks that are there already are
    /// written again. `embedder` names who made the vectors; the first one to store anything is the
    /// archive's, and others are refused.
    async fn stage(
        &self,
        id: &DocumentId,
        embedder: &str,
        chunks: &[Embedded],
    ) -> Result<(), ArchiveStoreError>;

    /// Shows a document whose chunks are all staged, or shows it with another path, name or
    /// metadata. A document that had the same path goes, at the same moment. Refused where chunks are
    /// missing: somebody deleted them meanwhile.
    async fn publish(&self, document: &Document) -> Result<(), ArchiveStoreError>;

    /// Deletes a document and its chunks, published or not. Whether there was a published one.
    async fn remove(&self, id: &DocumentId) -> Result<bool, ArchiveStoreError>;

    /// All published documents, by path.
    async fn documents(&self) -> Result<Vec<Arc<Document>>, ArchiveStoreError>;

    /// Those of these documents that are published, in no order.
    async fn of_ids(&self, ids: &[DocumentId]) -> Result<Vec<Arc<Document>>, ArchiveStoreError>;

    /// The published document of a path.
    async fn of_path(&self, path: &str) -> Result<Option<Arc<Document>>, ArchiveStoreError>;

    /// Chunks of documents, as many lists as were asked for, each in order; those that there are.
    async fn runs(&self, wanted: &[Run]) -> Result<Vec<Vec<Chunk>>, ArchiveStoreError>;

    /// Chunks of one document from number `first` up to, not including, number `end`, in order; those
    /// that there are.
    async fn chunks(
        &self,
        id: &DocumentId,
        first: usize,
        end: usize,
    ) -> Result<Vec<Chunk>, ArchiveStoreError> {
        let run = Run { document: id.clone(), chunks: first..end };
        Ok(self.runs(&[run]).await?.pop().unwrap_or_default())
    }

    /// Chunks of published documents that are near the probe in words or in meaning, each with both
    /// scores, in no order.
    async fn candidates(&self, probe: &Probe) -> Result<Candidates, ArchiveStoreError>;

    /// Deletes what was staged more than a week ago and never published; a store that keeps no times
    /// decides otherwise what was given up.
    async fn sweep(&self) -> Result<(), ArchiveStoreError>;

    /// Does what the first search would have to wait for.
    async fn warm(&self) -> Result<(), ArchiveStoreError> {
        Ok(())
    }

    /// What it is and where, for people.
    fn place(&self) -> String;
}

/// Chunks of a document that lie one after the other, by their numbers.
#[derive(Clone, Debug)]
pub struct Run {
    pub document: DocumentId,
    pub chunks: Range<usize>,
}

/// What to look for.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The words to look for, as they were typed.
    pub text: String,
    /// Their meaning; without it words alone decide.
    pub meaning: Option<Meaning>,
    /// Only in these documents; in all of them if `None`.
    pub within: Option<Vec<DocumentId>>,
    /// The nearest so many by words and the nearest so many by meaning.
    pub limit: usize,
}

/// A vector of length one, and who made it.
#[derive(Clone, Debug)]
pub struct Meaning {
    pub embedder: String,
    pub vector: Vec<f32>,
}

/// What may be what was looked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates {
    pub found: Vec<Candidate>,
    /// What BM25 could come to at most: for a chunk that says nothing but the probe's words.
    pub most_bm25: f32,
}

/// A chunk that may be what was looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub document: DocumentId,
    /// The chunk's number in its document.
    pub index: usize,
    /// Cosine with the probe's meaning, -1 to 1; `None` without one.
    pub cosine: Option<f32>,
    /// BM25 with the probe's words; 0 if it has none of them.
    pub bm25: f32,
    pub sentences: SentenceVectors,
}

/// A store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveStoreError {
    /// It can't be reached, is locked, or its disk is full: what to do, in full sentences. Asking
    /// again later may help.
    #[error("{0}")]
    Away(String),
    /// What it holds is damaged or was made by something else: what to do, in full sentences.
    #[error("{0}")]
    Unusable(String),
    #[error(
        "the archive's vectors were made by the embedder {stored:?}, and this server has {ours:?}: \
         set EMBEDDING_MODEL back, or set ARCHIVE_COLLECTION_NAME to a new name and add the \
         documents again"
    )]
    OtherEmbedder { stored: String, ours: String },
}
