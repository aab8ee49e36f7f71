//! The archive as the server uses it: one store, one embedder, and what everybody may ask of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::{Map, Value};
use tokio::sync::OwnedMutexGuard;

use super::chunking::ChunkSize;
use super::document::{Document, DocumentId, joined};
use super::filter::{Filter, FilterError};
use super::ingest::{FileError, NewDocument, off_thread};
use super::store::{ArchiveStore, ArchiveStoreError};
use crate::clock::Clock;
use crate::embedding::{Embedder, EmbeddingError};

/// How documents are cut, and what the archive is called.
#[derive(Clone, Debug)]
pub struct ArchiveSettings {
    pub chunk_size: ChunkSize,
    pub collection: String,
    /// Largest file, in bytes, before and after unpacking.
    pub largest_file: usize,
}

/// What an archive is made of.
pub struct ArchiveParts {
    pub store: Arc<dyn ArchiveStore>,
    pub embedder: Arc<dyn Embedder>,
    pub clock: Clock,
    pub settings: ArchiveSettings,
}

/// Documents that are found by meaning. Cheap to clone.
#[derive(Clone)]
pub struct Archive {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) store: Arc<dyn ArchiveStore>,
    pub(super) embedder: Arc<dyn Embedder>,
    pub(super) clock: Clock,
    pub(super) settings: ArchiveSettings,
    pub(super) being_ingested: Locks,
    has_swept: AtomicBool,
}

/// How much the archive holds, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    pub chunks: usize,
    pub documents: usize,
    pub collection: String,
    pub place: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Store(#[from] ArchiveStoreError),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    #[error("the archive's thread was lost")]
    Lost,
}

impl Archive {
    pub fn new(parts: ArchiveParts) -> Self {
        let ArchiveParts { store, embedder, clock, settings } = parts;
        let (being_ingested, has_swept) = (Locks::default(), AtomicBool::new(false));
        let inner = Inner { store, embedder, clock, settings, being_ingested, has_swept };
        Self { inner: Arc::new(inner) }
    }

    pub fn settings(&self) -> &ArchiveSettings {
        &self.inner.settings
    }

    /// The documents that a filter lets through, by path.
    pub async fn documents(&self, filter: &Filter) -> Result<Vec<Arc<Document>>, ArchiveError> {
        filter.check()?;
        let mut documents = self.inner.store.documents().await?;
        documents.retain(|document| filter.lets_through(document));
        Ok(documents)
    }

    pub async fn document(&self, id: &DocumentId) -> Result<Option<Arc<Document>>, ArchiveError> {
        let documents = self.inner.store.documents().await?;
        Ok(documents.into_iter().find(|document| document.id == *id))
    }

    /// The document of that path.
    pub async fn document_at(&self, path: &str) -> Result<Option<Arc<Document>>, ArchiveError> {
        let documents = self.inner.store.documents().await?;
        Ok(documents.into_iter().find(|document| document.file_path == path))
    }

    /// Reads a file as [`NewDocument::of_file`] does, off the async threads.
    pub async fn read(
        &self,
        name: String,
        bytes: Vec<u8>,
        metadata: Map<String, Value>,
    ) -> Result<Result<NewDocument, FileError>, ArchiveError> {
        let largest = self.inner.settings.largest_file;
        off_thread(move || NewDocument::of_file(&name, &bytes, metadata, largest)).await
    }

    /// The whole text of a document, to the byte.
    pub async fn text(&self, document: &Document) -> Result<String, ArchiveError> {
        let chunks = self.inner.store.chunks(&document.id, 0, document.chunks).await?;
        Ok(joined(&chunks))
    }

    /// Deletes a document; whether there was one.
    pub async fn remove(&self, id: &DocumentId) -> Result<bool, ArchiveError> {
        let _alone = self.inner.being_ingested.lock(id).await;
        Ok(self.inner.store.remove(id).await?)
    }

    pub async fn holdings(&self) -> Result<Holdings, ArchiveError> {
        let documents = self.inner.store.documents().await?;
        Ok(Holdings {
            chunks: documents.iter().map(|document| document.chunks).sum(),
            documents: documents.len(),
            collection: self.inner.settings.collection.clone(),
            place: self.inner.store.place(),
        })
    }

    /// Deletes what was begun long ago and never finished, when this process first adds something.
    pub(super) async fn sweep_once(&self) {
        if self.inner.has_swept.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.inner.store.sweep().await {
            tracing::warn!("what was never finished stays in the archive: {error}");
        }
    }
}

/// One lock a document, for as long as anybody wants it.
#[derive(Default)]
pub(super) struct Locks(Mutex<HashMap<DocumentId, Weak<tokio::sync::Mutex<()>>>>);

impl Locks {
    pub(super) async fn lock(&self, id: &DocumentId) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| lock.strong_count() > 0);
            let known = locks.get(id).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let lock = Arc::default();
                locks.insert(id.clone(), Arc::downgrade(&lock));
                lock
            })
        };
        lock.lock_owned().await
    }
}
