//! What questions are answered from.

use std::sync::Arc;

use async_trait::async_trait;

use crate::archive::{ArchiveStoreError, Document, DocumentId, FilterError, Passage, Search};

/// Documents that can be searched and read.
#[async_trait]
pub trait Library: Send + Sync {
    /// The best first.
    async fn search(&self, search: &Search) -> Result<Vec<Passage>, ArchiveError>;

    /// All documents, by path.
    async fn documents(&self) -> Result<Vec<Arc<Document>>, ArchiveError>;

    /// A document's whole text; `None` if there is no such document (any more).
    async fn text(&self, id: &DocumentId) -> Result<Option<String>, ArchiveError>;
}

/// The archive can't be searched.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Store(#[from] ArchiveStoreError),
    #[error(transparent)]
    Filter(#[from] FilterError),
}
