//! The archive on a ChromaDB server, over the crate `chromadb`.
//!
//! Collection `<name>` holds the chunks with their vectors, `<name>-documents` a record for each
//! published document (`records`, `publishing`). What is near a probe is found by Chroma's index and
//! by regular expressions (`near`, `words`).
//!
//! Nothing is asked of the server before the first call, and no call waits without end. A connection
//! is made when one is needed (`session`), and forgotten when a call fails, so that a server that was
//! away is found again by whoever asks next (`failure` says what people are told until then). Every
//! call can be made twice without harm, and is, where the connection broke or a collection had gone.
//!
//! Invariants: a document is shown if and only if its record is there; the token is in no message.

mod collection;
mod failure;
mod near;
mod publishing;
mod records;
mod session;
mod words;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::Mutex;
use tokio::time::timeout;

use self::collection::TEXTS_AND_METADATA;
use self::failure::Failure;
use self::session::{Session, TIME_TO_CONNECT};
use super::document::{Chunk, Document, DocumentId, Embedded};
use super::store::{ArchiveStore, ArchiveStoreError, Candidates, Probe, Run};
use crate::clock::Clock;
use crate::config::{Secret, TokenHeader};

/// What was staged longer ago and not published is given up: a week.
const SECONDS_UNTIL_GIVEN_UP: i64 = 7 * 24 * 60 * 60;
/// Chunks that are read at once.
const CHUNKS_AT_ONCE: usize = 300;
/// Runs of chunks that are read side by side.
const RUNS_AT_ONCE: usize = 8;

/// A ChromaDB server, and the collection there that is the archive.
#[derive(Clone, Debug)]
pub struct ChromaSettings {
    /// Such as `http://127.0.0.1:8001`.
    pub url: String,
    /// It is made if it isn't there; so is the database.
    pub tenant: String,
    pub database: String,
    pub token: Option<Secret>,
    pub token_header: TokenHeader,
    pub collection: String,
}

impl ChromaSettings {
    fn without_token(&self, text: &str) -> String {
        match &self.token {
            Some(token) => text.replace(token.expose(), "****"),
            None => text.to_owned(),
        }
    }
}

/// The archive on a ChromaDB server.
pub struct ChromaStore {
    settings: ChromaSettings,
    clock: Clock,
    session: Mutex<Option<Arc<Session>>>,
}

impl ChromaStore {
    /// Does not look whether the server is there.
    pub fn new(mut settings: ChromaSettings, clock: Clock) -> Self {
        settings.url.truncate(settings.url.trim_end_matches('/').len());
        Self { settings, clock, session: Mutex::default() }
    }

    /// The connection, or a new one.
    async fn session(&self) -> Result<Arc<Session>, Failure> {
        let connecting = async {
            let mut session = self.session.lock().await;
            if let Some(session) = &*session {
                return Ok(Arc::clone(session));
            }
            let connected = Arc::new(Session::connect(&self.settings).await?);
            *session = Some(Arc::clone(&connected));
            Ok(connected)
        };
        timeout(TIME_TO_CONNECT, connecting).await.unwrap_or(Err(Failure::Slow))
    }

    async fn forget(&self, failed: &Arc<Session>) {
        let mut session = self.session.lock().await;
        if session.as_ref().is_some_and(|session| Arc::ptr_eq(session, failed)) {
            *session = None;
        }
    }

    /// Works over a connection, and once more over a new one if that may help.
    async fn with_session<T, F>(
        &self,
        work: impl Fn(Arc<Session>) -> F,
    ) -> Result<T, ArchiveStoreError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut may_retry = true;
        loop {
            let failure = match self.session().await {
                Ok(session) => match work(Arc::clone(&session)).await {
                    Ok(done) => return Ok(done),
                    Err(failure) => {
                        if failure.ends_the_session() {
                            self.forget(&session).await;
                        }
                        failure
                    }
                },
                Err(failure) => {
                    may_retry = false;
                    failure
                }
            };
            if !may_retry || !failure.passes() {
                return Err(failure.for_people(&self.settings));
            }
            may_retry = false;
        }
    }
}

#[async_trait]
impl ArchiveStore for ChromaStore {
    async fn staged(&self, id: &DocumentId) -> Result<usize, ArchiveStoreError> {
        self.with_session(|session| async move {
            match session.chunks().await? {
                Some(chunks) => publishing::staged(&chunks, id).await,
                None => Ok(0),
            }
        })
        .await
    }

    async fn stage(
        &self,
        id: &DocumentId,
        embedder: &str,
        chunks: &[Embedded],
    ) -> Result<(), ArchiveStoreError> {
        let now = self.clock.now().as_second();
        self.with_session(|session| async move {
            let collection = session.chunks_of(embedder).await?;
            publishing::stage(&collection, id, chunks, now).await
        })
        .await
    }

    async fn publish(&self, document: &Document) -> Result<(), ArchiveStoreError> {
        let now = self.clock.now().as_millisecond();
        self.with_session(
            |session| async move { publishing::publish(&session, document, now).await },
        )
        .await
    }

    async fn remove(&self, id: &DocumentId) -> Result<bool, ArchiveStoreError> {
        self.with_session(|session| async move { publishing::remove(&session, id).await }).await
    }

    async fn documents(&self) -> Result<Vec<Arc<Document>>, ArchiveStoreError> {
        self.with_session(|session| async move { publishing::documents(&session).await }).await
    }

    async fn of_ids(&self, ids: &[DocumentId]) -> Result<Vec<Arc<Document>>, ArchiveStoreError> {
        self.with_session(|session| async move { publishing::of_ids(&session, ids).await }).await
    }

    async fn of_path(&self, path: &str) -> Result<Option<Arc<Document>>, ArchiveStoreError> {
        self.with_session(|session| async move { publishing::of_path(&session, path).await }).await
    }

    async fn runs(&self, wanted: &[Run]) -> Result<Vec<Vec<Chunk>>, ArchiveStoreError> {
        self.with_session(|session| async move {
            let session = &session;
            let run = async |Run { document, chunks: Range { start, end } }: Run| {
                chunks(session, &document, start, end).await
            };
            stream::iter(wanted.to_vec()).map(run).buffered(RUNS_AT_ONCE).try_collect().await
        })
        .await
    }

    async fn candidates(&self, probe: &Probe) -> Result<Candidates, ArchiveStoreError> {
        self.with_session(|session| async move { near::candidates(&session, probe).await }).await
    }

    async fn sweep(&self) -> Result<(), ArchiveStoreError> {
        let since = self.clock.now().as_second() - SECONDS_UNTIL_GIVEN_UP;
        self.with_session(|session| async move { publishing::sweep(&session, since).await }).await
    }

    fn place(&self) -> String {
        format!("ChromaDB at {}, collection {}", self.settings.url, self.settings.collection)
    }
}

/// They are asked for by their ids, until none of some in a row is there: the end may be any number.
async fn chunks(
    session: &Session,
    id: &DocumentId,
    first: usize,
    end: usize,
) -> Result<Vec<Chunk>, Failure> {
    let Some(collection) = session.chunks().await? else { return Ok(Vec::new()) };
    let (mut next, mut all) = (first, Vec::new());
    while next < end {
        let until = end.min(next.saturating_add(CHUNKS_AT_ONCE));
        let ids = (next..until).map(|index| records::chunk_id(id, index)).collect();
        let got = collection.get_by_ids(ids, TEXTS_AND_METADATA).await?;
        if got.ids.is_empty() {
            break;
        }
        // They come in the order in which they were first stored.
        let mut by_index: HashMap<usize, Chunk> =
            records::chunks(got)?.into_iter().map(|chunk| (chunk.index, chunk)).collect();
        all.extend((next..until).filter_map(|index| by_index.remove(&index)));
        next = until;
    }
    Ok(all)
}
