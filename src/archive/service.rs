//! The archive as the server uses it: one store, one embedder, and what everybody may ask of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::{Map, Value};
use tokio::sync::{OnceCell, OwnedMutexGuard, Semaphore};

use super::chunking::ChunkSize;
use super::document::{Document, DocumentId, joined};
use super::filter::{Filter, FilterError};
use super::ingest::{FileError, NewDocument, off_thread};
use super::path::clean_path;
use super::store::{ArchiveStore, ArchiveStoreError};
use crate::clock::Clock;
use crate::embedding::{Embedder, EmbeddingError};

/// Documents that are read, or embedded, at the same time.
const AT_ONCE: usize = 2;

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
    /// For those who read and embed documents: a few at a time have all cores.
    pub(super) turns: Semaphore,
    swept: OnceCell<()>,
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
        let inner = Inner {
            store,
            embedder,
            clock,
            settings,
            being_ingested: Locks::default(),
            turns: Semaphore::new(AT_ONCE),
            swept: OnceCell::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    pub fn settings(&self) -> &ArchiveSettings {
        &self.inner.settings
    }

    /// The documents that a filter lets through, by path.
    pub async fn documents(&self, filter: &Filter) -> Result<Vec<Arc<Document>>, ArchiveError> {
        filter.check()?;
        let mut documents = self.inner.store.documents().await?;
        if filter.is_empty() {
            return Ok(documents);
        }
        let filter = filter.clone();
        off_thread(move || {
            documents.retain(|document| filter.lets_through(document));
            documents
        })
        .await
    }

    pub async fn document(&self, id: &DocumentId) -> Result<Option<Arc<Document>>, ArchiveError> {
        Ok(self.inner.store.of_ids(std::slice::from_ref(id)).await?.pop())
    }

    /// The document of that path, however the path is written.
    pub async fn document_at(&self, path: &str) -> Result<Option<Arc<Document>>, ArchiveError> {
        // What is no path is nobody's.
        let Ok(path) = clean_path(path) else { return Ok(None) };
        Ok(self.inner.store.of_path(&path).await?)
    }

    /// Reads a file as [`NewDocument::of_file`] does, off the async threads.
    pub async fn read(
        &self,
        name: String,
        bytes: Vec<u8>,
        metadata: Map<String, Value>,
    ) -> Result<Result<NewDocument, FileError>, ArchiveError> {
        let _turn = self.inner.turns.acquire().await.map_err(|_| ArchiveError::Lost)?;
        let largest = self.inner.settings.largest_file;
        off_thread(move || NewDocument::of_file(&name, &bytes, metadata, largest)).await
    }

    /// The whole text of a document, to the byte; `None` if it has just gone.
    pub async fn text(&self, document: &Document) -> Result<Option<String>, ArchiveError> {
        let chunks = self.inner.store.chunks(&document.id, 0, document.chunks).await?;
        Ok((chunks.len() == document.chunks).then(|| joined(&chunks)))
    }

    /// Does what the first search would have to wait for.
    pub async fn warm(&self) {
        if let Err(error) = self.inner.store.warm().await {
            tracing::warn!("the archive can't be searched yet: {error}");
        }
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
        let sweep = || async {
            if let Err(error) = self.inner.store.sweep().await {
                tracing::warn!("what was never finished stays in the archive: {error}");
            }
        };
        self.inner.swept.get_or_init(sweep).await;
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
