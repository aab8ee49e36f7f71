//! The archive in a file of its own, beside the server's database: documents and chunks in SQLite,
//! the index to search them in memory. The index is made when it is first needed, and takes up what
//! this process or another one changed since before each search.

mod index;
mod rows;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{OnceCell, OwnedMutexGuard};

use self::index::{Index, Near, Prepared};
use super::{
    ArchiveStore, ArchiveStoreError, Candidate, Candidates, Chunk, Document, DocumentId, Embedded,
    Probe, Run,
};
use crate::clock::Clock;
use crate::store::{File, Store, StoreError};

const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_documents.sql")];
/// Seconds after which what was staged and never published counts as given up.
const GIVEN_UP_AFTER: i64 = 7 * 24 * 3_600;

/// Before the first look: no archive has it.
const UNKNOWN: i64 = -1;

/// Documents in one SQLite file.
pub struct EmbeddedStore {
    file: File,
    clock: Clock,
    store: OnceCell<Store>,
    index: Arc<RwLock<Index>>,
    known: Arc<Mutex<Arc<Known>>>,
    /// Held by whoever brings the index up to date.
    renewing: Arc<tokio::sync::Mutex<()>>,
}

/// All documents, as of a change of the archive.
struct Known {
    change: i64,
    by_path: Vec<Arc<Document>>,
    by_id: HashMap<DocumentId, Arc<Document>>,
}

impl Known {
    /// Documents in the order of their paths.
    fn of(change: i64, documents: Vec<Document>) -> Self {
        let by_path: Vec<_> = documents.into_iter().map(Arc::new).collect();
        let by_id = by_path.iter().map(|document| (document.id.clone(), Arc::clone(document)));
        Self { change, by_id: by_id.collect(), by_path }
    }
}

impl EmbeddedStore {
    /// Opens nothing yet: the file, and the folder, are made when they are first needed.
    pub fn new(path: PathBuf, clock: Clock) -> Self {
        Self {
            file: File { path, migrations: MIGRATIONS },
            clock,
            store: OnceCell::new(),
            index: Arc::new(RwLock::new(Index::empty())),
            known: Arc::new(Mutex::new(Arc::new(Known::of(UNKNOWN, Vec::new())))),
            renewing: Arc::default(),
        }
    }

    /// Looks at the file and changes nothing; tells what is there.
    pub fn inspect(path: PathBuf) -> Result<String, ArchiveStoreError> {
        Store::inspect_file(&File { path, migrations: MIGRATIONS }).map_err(|error| told(&error))
    }

    /// The memory that the index takes, in bytes.
    pub fn index_bytes(&self) -> usize {
        self.index.read().unwrap_or_else(PoisonError::into_inner).bytes()
    }

    async fn store(&self) -> Result<&Store, ArchiveStoreError> {
        let open = || async {
            let file = self.file.clone();
            let opening = tokio::task::spawn_blocking(move || Store::open_file(&file));
            opening.await.map_err(|_| StoreError::Lost)?
        };
        self.store.get_or_try_init(open).await.map_err(|error| told(&error))
    }

    /// All documents as they are now.
    async fn known(&self) -> Result<Arc<Known>, ArchiveStoreError> {
        let known = Arc::clone(&self.known);
        self.read(move |connection| {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            let change = rows::change(connection)?;
            if known.change != change {
                *known = Arc::new(Known::of(change, rows::documents(connection)?));
            }
            Ok(Arc::clone(&known))
        })
        .await
    }

    /// Brings the index up to date. It stays as it is until the guard is dropped. Who comes while
    /// somebody else does it waits without a connection, as there are few of them.
    async fn renew(&self) -> Result<OwnedMutexGuard<()>, ArchiveStoreError> {
        let alone = Arc::clone(&self.renewing).lock_owned().await;
        let index = Arc::clone(&self.index);
        self.read(move |connection| {
            renew(connection, &index)?;
            // It goes along: who stops waiting lets nobody else in before the work is done.
            Ok(alone)
        })
        .await
    }

    /// What is near the probe, by an index that shows so much; `None` by one that doesn't.
    async fn near(
        &self,
        probe: &Probe,
        wanted: Shows,
    ) -> Result<Option<Candidates>, ArchiveStoreError> {
        let (probe, index) = (probe.clone(), Arc::clone(&self.index));
        self.read(move |connection| {
            if let Some(meaning) = &probe.meaning
                && let Some(stored) = rows::embedder(connection)?
                && stored != meaning.embedder
            {
                let ours = meaning.embedder.clone();
                return Ok(Err(ArchiveStoreError::OtherEmbedder { stored, ours }));
            }
            let nearest = {
                let index = index.read().unwrap_or_else(PoisonError::into_inner);
                if wanted == Shows::TheNewest && index.change != rows::change(connection)? {
                    return Ok(Ok(None));
                }
                index.nearest(&probe)
            };
            let candidate = |Near { document, number, index, cosine, bm25 }: Near| {
                let sentences = rows::sentences(connection, number, index)?;
                Ok::<_, StoreError>(Candidate { document, index, cosine, bm25, sentences })
            };
            let found = nearest.found.into_iter().map(candidate).collect::<Result<_, _>>()?;
            Ok(Ok(Some(Candidates { found, most_bm25: nearest.most_bm25 })))
        })
        .await?
    }

    /// Runs `work`, which sees the file as it is at one moment.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ArchiveStoreError> {
        let done = self.store().await?.read(|connection| {
            let snapshot = connection.transaction()?;
            work(&snapshot)
        });
        done.await.map_err(|error| told(&error))
    }

    /// Runs `work` in a transaction.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, ArchiveStoreError> {
        let done = self.store().await?.run_large(|connection| {
            // Immediate: one that reads first could not write after another process did.
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction);
            match done {
                Ok(done) => {
                    transaction.commit()?;
                    Ok(Ok(done))
                }
                Err(Refusal::Store(error)) => Err(error),
                Err(Refusal::Archive(error)) => Ok(Err(error)),
            }
        });
        done.await.map_err(|error| told(&error))?
    }
}

/// What an index has to show.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    TheNewest,
    Anything,
}

/// Why a transaction was given up.
enum Refusal {
    Store(StoreError),
    Archive(ArchiveStoreError),
}

impl<E: Into<StoreError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

#[async_trait]
impl ArchiveStore for EmbeddedStore {
    async fn staged(&self, id: &DocumentId) -> Result<usize, ArchiveStoreError> {
        let id = id.clone();
        self.read(move |connection| match rows::number(connection, &id)? {
            Some(number) => rows::staged(connection, number),
            None => Ok(0),
        })
        .await
    }

    async fn stage(
        &self,
        id: &DocumentId,
        embedder: &str,
        chunks: &[Embedded],
    ) -> Result<(), ArchiveStoreError> {
        let (id, embedder, chunks) = (id.clone(), embedder.to_owned(), chunks.to_vec());
        let now = self.clock.now().as_second();
        self.write(move |connection| {
            match rows::embedder(connection)? {
                None => rows::set_embedder(connection, &embedder)?,
                Some(stored) if stored == embedder => {}
                Some(stored) => {
                    let other = ArchiveStoreError::OtherEmbedder { stored, ours: embedder };
                    return Err(Refusal::Archive(other));
                }
            }
            let document = rows::begin(connection, &id, now)?;
            for chunk in &chunks {
                rows::put_chunk(connection, document, chunk)?;
            }
            Ok(())
        })
        .await
    }

    async fn publish(&self, document: &Document) -> Result<(), ArchiveStoreError> {
        let document = document.clone();
        self.write(move |connection| {
            let staged = match rows::number(connection, &document.id)? {
                Some(number) => rows::staged(connection, number)?,
                None => 0,
            };
            if staged != document.chunks {
                return Err(Refusal::Archive(ArchiveStoreError::Away(format!(
                    "chunks of {:?} are missing from the archive: somebody deleted them while it \
                     was added. Add it again",
                    document.file_path
                ))));
            }
            rows::publish(connection, &document)?;
            Ok(rows::note_change(connection)?)
        })
        .await
    }

    async fn remove(&self, id: &DocumentId) -> Result<bool, ArchiveStoreError> {
        let id = id.clone();
        self.write(move |connection| {
            let was_published = rows::remove(connection, &id)?.unwrap_or(false);
            if was_published {
                rows::note_change(connection)?;
            }
            Ok(was_published)
        })
        .await
    }

    async fn documents(&self) -> Result<Vec<Arc<Document>>, ArchiveStoreError> {
        Ok(self.known().await?.by_path.clone())
    }

    async fn of_ids(&self, ids: &[DocumentId]) -> Result<Vec<Arc<Document>>, ArchiveStoreError> {
        let known = self.known().await?;
        Ok(ids.iter().filter_map(|id| known.by_id.get(id).cloned()).collect())
    }

    async fn of_path(&self, path: &str) -> Result<Option<Arc<Document>>, ArchiveStoreError> {
        let known = self.known().await?;
        let place =
            known.by_path.binary_search_by(|document| document.file_path.as_str().cmp(path));
        Ok(place.ok().map(|place| Arc::clone(&known.by_path[place])))
    }

    async fn runs(&self, wanted: &[Run]) -> Result<Vec<Vec<Chunk>>, ArchiveStoreError> {
        let wanted = wanted.to_vec();
        self.read(move |connection| {
            let run = |Run { document, chunks }: &Run| rows::chunks(connection, document, chunks);
            wanted.iter().map(run).collect()
        })
        .await
    }

    async fn candidates(&self, probe: &Probe) -> Result<Candidates, ArchiveStoreError> {
        if let Some(found) = self.near(probe, Shows::TheNewest).await? {
            return Ok(found);
        }
        let _stays = self.renew().await?;
        // Where somebody has changed the archive since, what it was a moment ago is searched.
        Ok(self.near(probe, Shows::Anything).await?.unwrap_or_default())
    }

    async fn sweep(&self) -> Result<(), ArchiveStoreError> {
        let before = self.clock.now().as_second() - GIVEN_UP_AFTER;
        let swept = self.write(move |connection| Ok(rows::sweep(connection, before)?)).await?;
        if swept > 0 {
            tracing::info!(swept, "documents that were never finished have left the archive");
        }
        Ok(())
    }

    /// Makes the index, where there is an archive.
    async fn warm(&self) -> Result<(), ArchiveStoreError> {
        if self.file.path.exists() {
            drop(self.renew().await?);
        }
        Ok(())
    }

    fn place(&self) -> String {
        self.file.path.display().to_string()
    }
}

/// Brings the index up to date; only one at a time may. Texts are split into words, some at a time,
/// before anybody has to wait for it.
fn renew(connection: &Connection, index: &RwLock<Index>) -> Result<(), StoreError> {
    let read = || index.read().unwrap_or_else(PoisonError::into_inner);
    let write = || index.write().unwrap_or_else(PoisonError::into_inner);
    let change = rows::change(connection)?;
    if read().change == change {
        return Ok(());
    }
    let published = rows::published(connection)?;
    // Until it shows all of them it shows no archive that there was.
    write().change = UNKNOWN;
    // Not in the loop's head: it would be held there while the loop writes.
    let superfluous = read().superfluous(&published);
    for number in superfluous {
        write().take_away(number);
    }
    if read().is_worn() {
        *write() = Index::empty();
    }
    for (number, id) in published {
        if read().has(number, &id) {
            continue;
        }
        let start = write().begin();
        let mut prepared = Prepared::default();
        rows::each_chunk(connection, number, |text, vector| {
            prepared.push(text, vector);
            if prepared.is_full() {
                write().push(std::mem::take(&mut prepared));
            }
        })?;
        write().push(prepared);
        write().show(number, id, start);
    }
    write().change = change;
    Ok(())
}

/// In the archive's words: its folder has a setting of its own.
fn told(error: &StoreError) -> ArchiveStoreError {
    let text = error.to_string().replace("DB_PATH", "ARCHIVE_DB_PATH");
    if error.may_pass() { ArchiveStoreError::Away(text) } else { ArchiveStoreError::Unusable(text) }
}
