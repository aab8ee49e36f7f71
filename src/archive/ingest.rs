//! How a document comes into the archive: cut into chunks, embedded batch after batch, shown at one
//! moment. Whoever is stopped leaves nothing to be seen; the next one who brings the text goes on
//! where it stopped.

use std::pin::pin;
use std::sync::Arc;

use async_stream::{stream, try_stream};
use futures_util::{Stream, StreamExt as _};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::chunking::chunks;
use super::document::{Chunk, Document, DocumentId, Embedded, Section};
use super::path::{PathError, clean_path, file_name};
use super::reading::{ReadingError, read};
use super::sentences::{SentenceVectors, sentences};
use super::{Archive, ArchiveError};
use crate::embedding::{Embedder, EmbeddingError};

/// Chunks that are embedded at a time: progress is told, and a stop is heeded, between two batches.
const AT_ONCE: usize = 16;

/// Bytes of a document's metadata, as JSON: every result of a search carries them.
pub const LARGEST_METADATA: usize = 64 * 1024;

/// A text to be archived.
#[derive(Clone)]
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
    #[error(
        "the metadata take more than {LARGEST_METADATA} bytes: leave out what nobody filters by"
    )]
    Metadata,
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
        // Maps with keys of text can be written as JSON.
        if serde_json::to_string(&told).map_or(usize::MAX, |json| json.len()) > LARGEST_METADATA {
            return Err(FileError::Metadata);
        }
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
    /// Its text is there, under another path, and stays so. What had its own path went.
    Duplicate,
}

impl Archive {
    /// Brings a document into the archive, in a task of its own: whoever doesn't listen holds nobody
    /// up. Dropping the stream stops the work after the batch that is being embedded. Texts that are
    /// brought twice at once are embedded once.
    pub fn ingest(
        &self,
        new: NewDocument,
    ) -> impl Stream<Item = Result<Progress, ArchiveError>> + Send + use<> {
        let (tell, mut told) = mpsc::unbounded_channel();
        let steps = self.steps(new);
        tokio::spawn(async move {
            let mut steps = pin!(steps);
            loop {
                let step = tokio::select! {
                    () = tell.closed() => return,
                    step = steps.next() => step,
                };
                let Some(step) = step else { return };
                // Nobody listens any more: seen above.
                let _ = tell.send(step);
            }
        });
        stream! {
            while let Some(step) = told.recv().await {
                yield step;
            }
        }
    }

    fn steps(
        &self,
        new: NewDocument,
    ) -> impl Stream<Item = Result<Progress, ArchiveError>> + Send + use<> {
        let archive = self.clone();
        try_stream! {
            let id = DocumentId::of(&new.text);
            let _alone = archive.inner.being_ingested.lock(&id).await;
            let _turn = archive.inner.turns.acquire().await.map_err(|_| ArchiveError::Lost)?;
            archive.sweep_once().await;
            let there = archive.inner.store.of_ids(std::slice::from_ref(&id)).await?.pop();
            if let Some(there) = there {
                yield Progress::Done(archive.meet(&there, new).await?);
                return;
            }
            let replaces = archive.inner.store.of_path(&new.file_path).await?.is_some();
            let NewDocument { file_path, text, metadata, sections } = new;
            let size = archive.inner.settings.chunk_size;
            let (text, all) = off_thread(move || {
                let all = chunks(&text, size);
                (text, all)
            }).await?;
            let of = all.len();
            let mut done = archive.taken_up(&id, &all).await?;
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

    /// How many of these chunks are staged. What was cut otherwise, with other settings, goes.
    async fn taken_up(&self, id: &DocumentId, all: &[Chunk]) -> Result<usize, ArchiveError> {
        let done = self.inner.store.staged(id).await?;
        if done == 0 {
            return Ok(0);
        }
        if done <= all.len() && self.inner.store.chunks(id, 0, done).await? == all[..done] {
            return Ok(done);
        }
        self.inner.store.remove(id).await?;
        Ok(0)
    }

    /// The text is there already: metadata may be added to, a path isn't taken away from it. What had
    /// the new path until now has another text, and goes.
    async fn meet(
        &self,
        there: &Arc<Document>,
        new: NewDocument,
    ) -> Result<Ingested, ArchiveError> {
        let told = |outcome| Ingested { document: Arc::clone(there), outcome };
        if there.file_path != new.file_path {
            if let Some(old) = self.inner.store.of_path(&new.file_path).await? {
                self.inner.store.remove(&old.id).await?;
            }
            return Ok(told(Outcome::Duplicate));
        }
        let NewDocument { metadata: more, sections, .. } = new;
        let mut metadata = there.metadata.clone();
        metadata.extend(more);
        if there.metadata == metadata && there.sections == sections {
            return Ok(told(Outcome::Unchanged));
        }
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
