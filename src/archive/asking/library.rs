//! What questions are answered from.

use std::sync::Arc;

use async_trait::async_trait;

use crate::archive::{Archive, ArchiveError, Document, DocumentId, Filter, Passage, Search};

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

#[async_trait]
impl Library for Archive {
    async fn search(&self, search: &Search) -> Result<Vec<Passage>, ArchiveError> {
        Self::search(self, search).await
    }

    async fn documents(&self) -> Result<Vec<Arc<Document>>, ArchiveError> {
        Self::documents(self, &Filter::default()).await
    }

    async fn text(&self, id: &DocumentId) -> Result<Option<String>, ArchiveError> {
        match self.document(id).await? {
            Some(document) => Ok(Self::text(self, &document).await?),
            None => Ok(None),
        }
    }
}
