//! Working memory: what is kept in RAM of the sessions talked in lately. For each the path that is
//! talked on, its newest messages, and the index that recall searches. All of it can be read from the
//! database again.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    size: Arc<Size>,
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
            size: Arc::default(),
        }
    }

    pub(super) fn path(&self) -> &[Step] {
        &self.path
    }

    /// Where on the path a message stands.
    pub(super) fn position(&self, id: MessageId) -> Option<usize> {
        // Whatever follows a message has a higher id.
        self.path.binary_search_by_key(&id, |step| step.id).ok()
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// Whose vectors it holds.
    pub(super) fn embedder(&self) -> &str {
        &self.embedder
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
        if let Some(at) = self.position(end) {
            self.truncate(at + 1);
            return Ok(());
        }
        let shared = self.shared_with(connection, end)?;
        self.truncate(shared);
        let embedder = self.embedder.clone();
        rows::walk_path(connection, end, shared, &embedder, |stored, vectors| {
            self.push(stored, vectors);
        })?;
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
            emotion: number(stored.emotion),
            importance: stored.importance,
        });
        self.newest.push_back(stored.clone());
        if self.newest.len() > self.most_newest {
            self.newest.pop_front();
        }
    }

    /// With its vectors a message's emotion is judged anew.
    pub(super) fn set_vectors(
        &mut self,
        id: MessageId,
        vectors: &Vectors,
        emotion: Emotion,
        importance: f32,
    ) {
        if let Some(at) = self.position(id) {
            self.index.set_vectors(at, &vectors.turn, Some(&vectors.window));
            self.index.set_emotion(at, number(emotion), importance);
        }
        if let Some(stored) = self.newest.iter_mut().find(|stored| stored.id == id) {
            (stored.emotion, stored.importance) = (emotion, importance);
        }
    }

    /// Tells working memory how large it is now.
    pub(super) fn measure(&self) {
        let texts: usize =
            self.newest.iter().map(|it| it.said.text.len() + size_of::<Stored>()).sum();
        let bytes = self.index.bytes() + self.path.capacity() * size_of::<Step>() + texts;
        self.size.bytes.store(bytes, Ordering::Relaxed);
        self.size.messages.store(self.path.len(), Ordering::Relaxed);
    }
}

/// How recall tells emotions apart; neutral is none.
fn number(emotion: Emotion) -> Option<u8> {
    (emotion != Emotion::Neutral).then_some(emotion as u8)
}

/// How large a session in RAM was when it was last measured.
#[derive(Default)]
struct Size {
    /// About.
    bytes: AtomicUsize,
    messages: AtomicUsize,
}

/// A session in RAM, and its size, which can be read while somebody works on it.
struct Held {
    live: Arc<Mutex<Live>>,
    size: Arc<Size>,
}

/// The sessions in RAM: so many at most, and of so many bytes together; the one that wasn't used for
/// the longest time leaves first.
pub(super) struct Working {
    sessions: Mutex<LruCache<SessionId, Held>>,
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
        self.locked().iter().map(|(_, held)| held.size.messages.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn get(&self, session: SessionId, make: impl FnOnce() -> Live) -> Arc<Mutex<Live>> {
        let mut sessions = self.locked();
        if let Some(found) = sessions.get(&session) {
            return Arc::clone(&found.live);
        }
        let live = make();
        let size = Arc::clone(&live.size);
        let live = Arc::new(Mutex::new(live));
        sessions.push(session, Held { live: Arc::clone(&live), size });
        live
    }

    pub(super) fn find(&self, session: SessionId) -> Option<Arc<Mutex<Live>>> {
        self.locked().peek(&session).map(|held| Arc::clone(&held.live))
    }

    pub(super) fn forget(&self, session: SessionId) {
        self.locked().pop(&session);
    }

    pub(super) fn clear(&self) {
        self.locked().clear();
    }

    /// Lets go of sessions until the rest fits; the one in use stays.
    pub(super) fn shrink(&self) {
        let mut sessions = self.locked();
        let size = |held: &Held| held.size.bytes.load(Ordering::Relaxed);
        let mut total: usize = sessions.iter().map(|(_, held)| size(held)).sum();
        while total > self.most_bytes && sessions.len() > 1 {
            let Some((_, oldest)) = sessions.pop_lru() else { break };
            total = total.saturating_sub(size(&oldest));
        }
    }

    fn locked(&self) -> MutexGuard<'_, LruCache<SessionId, Held>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn lock(live: &Mutex<Live>) -> MutexGuard<'_, Live> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}
