//! Working memory: what is kept in RAM of the sessions talked in lately. For each the path that is
//! talked on, its newest messages, and the index that recall searches. All of it can be read from the
//! database again.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use rusqlite::Connection;

use super::history::{Hash, Role};
use super::recall::{Entry, Index};
use super::rows::{self, Stored, Vectors};
use super::{MessageId, SessionId};
use crate::emotion::Emotion;
use crate::store::StoreError;

/// One session in RAM.
pub(super) struct Live {
    pub(super) session: SessionId,
    /// The messages of the path, as the index holds them.
    path: Vec<Step>,
    index: Index,
    /// The newest messages of the path.
    newest: VecDeque<Stored>,
    most_newest: usize,
    embedder: String,
}

/// A message of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) id: MessageId,
    pub(super) own: Hash,
    pub(super) chain: Hash,
    pub(super) role: Role,
}

impl Live {
    pub(super) fn new(
        session: SessionId,
        embedder: &str,
        dimensions: usize,
        most_newest: usize,
    ) -> Self {
        Self {
            session,
            path: Vec::new(),
            index: Index::new(dimensions),
            newest: VecDeque::new(),
            most_newest,
            embedder: embedder.to_owned(),
        }
    }

    pub(super) fn path(&self) -> &[Step] {
        &self.path
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    pub(super) fn newest(&self) -> &VecDeque<Stored> {
        &self.newest
    }

    /// Goes on the path that ends with this message; what it shares with the present one stays.
    pub(super) fn turn_to(
        &mut self,
        connection: &Connection,
        end: Option<MessageId>,
    ) -> Result<(), StoreError> {
        let Some(end) = end else {
            self.truncate(0);
            return Ok(());
        };
        if self.path.last().is_some_and(|last| last.id == end) {
            return Ok(());
        }
        if let Some(at) = self.path.iter().rposition(|step| step.id == end) {
            self.truncate(at + 1);
            return Ok(());
        }
        let shared = self.shared_with(connection, end)?;
        self.truncate(shared);
        for stored in rows::path_to(connection, end, shared)? {
            let vectors = rows::vectors_of(connection, stored.id, &self.embedder)?;
            self.push(&stored, vectors.as_ref());
        }
        Ok(())
    }

    /// How much of the present path lies on the one that ends with this message.
    fn shared_with(&self, connection: &Connection, end: MessageId) -> Result<usize, StoreError> {
        if self.path.is_empty() {
            return Ok(0);
        }
        let mut at = Some(end);
        while let Some(id) = at {
            let Some(stored) = rows::message_by_id(connection, self.session, id)? else { break };
            if self.path.get(stored.depth).is_some_and(|step| step.id == stored.id) {
                return Ok(stored.depth + 1);
            }
            at = stored.parent;
        }
        Ok(0)
    }

    pub(super) fn truncate(&mut self, length: usize) {
        let gone = self.path.len().saturating_sub(length);
        self.path.truncate(length);
        self.index.truncate(length);
        for _ in 0..gone {
            self.newest.pop_back();
        }
    }

    /// A message that follows the last one.
    pub(super) fn push(&mut self, stored: &Stored, vectors: Option<&Vectors>) {
        let Stored { id, own, chain, .. } = *stored;
        self.path.push(Step { id, own, chain, role: stored.said.role });
        // What was forgotten is found by nothing.
        let text = if stored.forgotten { "" } else { stored.told() };
        self.index.push(&Entry {
            text,
            speaker: stored.said.speaker.as_deref(),
            vector: vectors.filter(|_| !stored.forgotten).map(|it| it.turn.as_slice()),
            window: vectors.filter(|_| !stored.forgotten).map(|it| it.window.as_slice()),
            emotion: (stored.emotion != Emotion::Neutral).then_some(stored.emotion as u8),
            importance: stored.importance,
        });
        self.newest.push_back(stored.clone());
        if self.newest.len() > self.most_newest {
            self.newest.pop_front();
        }
    }

    pub(super) fn set_vectors(&mut self, id: MessageId, vectors: &Vectors) {
        if let Some(at) = self.path.iter().rposition(|step| step.id == id) {
            self.index.set_vectors(at, &vectors.turn, Some(&vectors.window));
        }
    }

    /// About how many bytes of RAM it takes.
    pub(super) fn bytes(&self) -> usize {
        let texts: usize =
            self.newest.iter().map(|it| it.said.text.len() + size_of::<Stored>()).sum();
        self.index.bytes() + self.path.capacity() * size_of::<Step>() + texts
    }
}

/// The sessions in RAM: so many at most, and of so many bytes together; the one that wasn't used for
/// the longest time leaves first.
pub(super) struct Working {
    sessions: Mutex<LruCache<SessionId, Arc<Mutex<Live>>>>,
    most_bytes: usize,
}

impl Working {
    pub(super) fn new(most_sessions: usize, most_bytes: usize) -> Self {
        let most = NonZeroUsize::new(most_sessions).unwrap_or(NonZeroUsize::MIN);
        Self { sessions: Mutex::new(LruCache::new(most)), most_bytes }
    }

    pub(super) fn len(&self) -> usize {
        self.locked().len()
    }

    /// Messages on the paths of all sessions.
    pub(super) fn messages(&self) -> usize {
        let all: Vec<_> = self.locked().iter().map(|(_, live)| Arc::clone(live)).collect();
        all.iter().map(|live| lock(live).path.len()).sum()
    }

    pub(super) fn get(&self, session: SessionId, make: impl FnOnce() -> Live) -> Arc<Mutex<Live>> {
        let mut sessions = self.locked();
        if let Some(found) = sessions.get(&session) {
            return Arc::clone(found);
        }
        let live = Arc::new(Mutex::new(make()));
        sessions.push(session, Arc::clone(&live));
        live
    }

    pub(super) fn find(&self, session: SessionId) -> Option<Arc<Mutex<Live>>> {
        self.locked().peek(&session).cloned()
    }

    pub(super) fn forget(&self, session: SessionId) {
        self.locked().pop(&session);
    }

    /// Lets go of sessions until the rest fits; the one in use stays.
    pub(super) fn shrink(&self) {
        let mut sessions = self.locked();
        // A session that somebody works on at this moment is counted another time.
        let size = |live: &Arc<Mutex<Live>>| live.try_lock().map_or(0, |live| live.bytes());
        let mut total: usize = sessions.iter().map(|(_, live)| size(live)).sum();
        while total > self.most_bytes && sessions.len() > 1 {
            let Some((_, oldest)) = sessions.pop_lru() else { break };
            total = total.saturating_sub(size(&oldest));
        }
    }

    fn locked(&self) -> MutexGuard<'_, LruCache<SessionId, Arc<Mutex<Live>>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn lock(live: &Mutex<Live>) -> MutexGuard<'_, Live> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}
