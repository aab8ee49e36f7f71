//! How a document comes into the archive: cut into chunks, embedded batch after batch, shown at one
//! moment. Whoever is stopped leaves nothing to be seen; the next one who brings the text goes on
//! where it stopped.

use std::sync::Arc;

use async_stream::try_stream;
use futures_util::Stream;
use serde_json::{Map, Value};

use super::chunking::chunks;
use super::document::{Chunk, Document, DocumentId, Embedded, Section};
use super::path::{PathError, clean_path, file_name};
use super::reading::{ReadingError, read};
use super::sentences::{SentenceVectors, sentences};
use super::{Archive, ArchiveError};
use crate::embedding::{Embedder, EmbeddingError};

/// Chunks that are embedded at a time: progress is told, and a stop is heeded, between two batches.
const AT_ONCE: usize = 16;

/// A text to be archived.
#[derive(Clone, Debug)]
pub struct NewDocument {
    /// A label: nothing is opened by it.
    pub file_path: String,
    pub text: String,
    pub metadata: Map<String, Value>,
    pub sections: Vec<Section>,
}

/// A file that can't become a document: what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Reading(#[from] ReadingError),
}

impl NewDocument {
    /// Reads a file of at most `largest` bytes. What the client says of it outdoes what the file
    /// says of itself. Busy for large files: call it where blocking is allowed.
    pub fn of_file(
        name: &str,
        bytes: &[u8],
        metadata: Map<String, Value>,
        largest: usize,
    ) -> Result<Self, FileError> {
        let file_path = clean_path(name)?;
        let reading = read(&file_path, bytes, largest)?;
        let mut told = reading.metadata;
        told.extend(metadata);
        Ok(Self { file_path, text: reading.text, metadata: told, sections: reading.sections })
    }
}

/// How far a document is.
#[derive(Clone, Debug)]
pub enum Progress {
    /// So many chunks are embedded and stored.
    Embedded { chunks: usize, of: usize },
    /// It is in the archive.
    Done(Ingested),
}

/// What became of a document that was brought.
#[derive(Clone, Debug)]
pub struct Ingested {
    pub document: Arc<Document>,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is new.
    Added,
    /// It is new, and took the place of what had its path.
    Replaced,
    /// Its text was there; its metadata are new.
    Updated,
    /// It was there already.
    Unchanged,
    /// Its text is there, under another path, and stays so.
    Duplicate,
}

impl Archive {
    /// Brings a document into the archive. Dropping the stream stops the work after the batch that
    /// is being embedded. Texts that are brought twice at once are embedded once.
    pub fn ingest(
        &self,
        new: NewDocument,
    ) -> impl Stream<Item = Result<Progress, ArchiveError>> + Send + use<> {
        let archive = self.clone();
        try_stream! {
            let id = DocumentId::of(&new.text);
            let _alone = archive.inner.being_ingested.lock(&id).await;
            archive.sweep_once().await;
            let documents = archive.inner.store.documents().await?;
            if let Some(there) = documents.iter().find(|document| document.id == id) {
                yield Progress::Done(archive.meet(there, new).await?);
                return;
            }
            let replaces = documents.iter().any(|document| document.file_path == new.file_path);
            let NewDocument { file_path, text, metadata, sections } = new;
            let size = archive.inner.settings.chunk_size;
            let (text, all) = off_thread(move || {
                let all = chunks(&text, size);
                (text, all)
            }).await?;
            let of = all.len();
            let mut done = archive.inner.store.staged(&id).await?.min(of);
            yield Progress::Embedded { chunks: done, of };
            while done < of {
                let batch = all[done..of.min(done + AT_ONCE)].to_vec();
                done += batch.len();
                archive.stage(&id, batch).await?;
                yield Progress::Embedded { chunks: done, of };
            }
            let document = Document {
                id,
                file_name: file_name(&file_path).to_owned(),
                file_path,
                metadata,
                sections,
                bytes: text.len(),
                characters: text.chars().count(),
                chunks: of,
                added_at: archive.inner.clock.now().to_string(),
            };
            archive.inner.store.publish(&document).await?;
            let outcome = if replaces { Outcome::Replaced } else { Outcome::Added };
            yield Progress::Done(Ingested { document: Arc::new(document), outcome });
        }
    }

    /// The text is there already: metadata may be new, a path isn't taken away from it.
    async fn meet(
        &self,
        there: &Arc<Document>,
        new: NewDocument,
    ) -> Result<Ingested, ArchiveError> {
        let told = |outcome| Ingested { document: Arc::clone(there), outcome };
        if there.file_path != new.file_path {
            return Ok(told(Outcome::Duplicate));
        }
        if there.metadata == new.metadata && there.sections == new.sections {
            return Ok(told(Outcome::Unchanged));
        }
        let NewDocument { metadata, sections, .. } = new;
        let document = Document { metadata, sections, ..Document::clone(there) };
        self.inner.store.publish(&document).await?;
        Ok(Ingested { document: Arc::new(document), outcome: Outcome::Updated })
    }

    async fn stage(&self, id: &DocumentId, batch: Vec<Chunk>) -> Result<(), ArchiveError> {
        let embedder = Arc::clone(&self.inner.embedder);
        let (batch, made_by) = off_thread(move || {
            let batch = embedded(&*embedder, batch)?;
            Ok::<_, ArchiveError>((batch, embedder.id().to_owned()))
        })
        .await??;
        Ok(self.inner.store.stage(id, &made_by, &batch).await?)
    }
}

/// The chunks and their sentences, embedded together.
fn embedded(embedder: &dyn Embedder, batch: Vec<Chunk>) -> Result<Vec<Embedded>, EmbeddingError> {
    let places: Vec<_> = batch.iter().map(|chunk| sentences(&chunk.text)).collect();
    let whole = batch.iter().map(|chunk| chunk.text.as_str());
    let parts = batch
        .iter()
        .zip(&places)
        .flat_map(|(chunk, places)| places.iter().map(|place| &chunk.text[place.clone()]));
    let texts: Vec<&str> = whole.chain(parts).collect();
    let mut vectors = embedder.embed(&texts)?;
    let mut parts = vectors.split_off(batch.len().min(vectors.len())).into_iter();
    let together = batch.into_iter().zip(vectors).zip(places);
    let chunks = together.map(|((chunk, vector), places)| {
        let sentences: Vec<_> = parts.by_ref().take(places.len()).collect();
        Embedded { chunk, vector, sentences: SentenceVectors::of(&sentences) }
    });
    Ok(chunks.collect())
}

/// Runs busy work where blocking is allowed.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ArchiveError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ArchiveError::Lost)
}
