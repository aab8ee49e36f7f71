//! What is done between turns: vectors of what was said, summaries, what the database refused. One
//! worker for all sessions. Summaries wait until nobody is spoken to, and stop when somebody speaks.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::ChatService;
use crate::engine::EngineState;
use crate::memory::Memory;
use crate::store::StoreError;

/// Pause before the database is asked again; doubled each time, up to the second.
const SAVE_AGAIN: Duration = Duration::from_secs(2);
const SAVE_AGAIN_AT_MOST: Duration = Duration::from_mins(1);
/// The longest that embedding what was said long ago waits for the talk to pause.
const BACKLOG_WAITS: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Upkeep {
    /// Sessions whose messages want vectors.
    to_embed: Queue,
    /// Sessions that may want a summary.
    to_summarize: Queue,
    is_saving: AtomicBool,
    speaking: Arc<Turns>,
}

/// Sessions in which something is to be done, in order, and whether somebody is at it.
#[derive(Default)]
struct Queue {
    sessions: Mutex<VecDeque<String>>,
    has_worker: AtomicBool,
}

impl Queue {
    /// Whether a worker is wanted.
    fn push(&self, session: &str) -> bool {
        let mut sessions = self.locked();
        if !sessions.iter().any(|waiting| waiting == session) {
            sessions.push_back(session.to_owned());
        }
        !self.has_worker.swap(true, Ordering::AcqRel)
    }

    /// For the worker; `None` sends it home.
    fn pop(&self) -> Option<String> {
        let mut sessions = self.locked();
        let next = sessions.pop_front();
        if next.is_none() {
            self.has_worker.store(false, Ordering::Release);
        }
        next
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Turns that are being answered.
#[derive(Default)]
struct Turns {
    count: AtomicUsize,
    /// Somebody began to speak.
    begun: Notify,
    /// Nobody speaks any more.
    quiet: Notify,
}

/// Held while a turn is answered.
pub(super) struct Speaking(Arc<Turns>);

impl Drop for Speaking {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.quiet.notify_waiters();
        }
    }
}

impl Upkeep {
    pub(super) fn speak(&self) -> Speaking {
        self.speaking.count.fetch_add(1, Ordering::AcqRel);
        self.speaking.begun.notify_waiters();
        Speaking(Arc::clone(&self.speaking))
    }

    pub(super) fn speaking(&self) -> usize {
        self.speaking.count.load(Ordering::Acquire)
    }

    /// Returns once nobody is spoken to.
    async fn until_quiet(&self) {
        loop {
            let quiet = self.speaking.quiet.notified();
            tokio::pin!(quiet);
            quiet.as_mut().enable();
            if self.speaking() == 0 {
                return;
            }
            quiet.await;
        }
    }
}

impl ChatService {
    /// Sees to it that what was said in the session gets its vectors and summaries.
    pub fn look_after(self: &Arc<Self>, session: &str) {
        self.embed_later(session);
        if self.upkeep.to_summarize.push(session) {
            let service = Arc::clone(self);
            tokio::spawn(async move {
                while let Some(session) = service.upkeep.to_summarize.pop() {
                    let Some(memory) = &service.memory else { continue };
                    said(service.summarize(memory, &session).await.map(|()| false));
                }
            });
        }
    }

    /// Takes up what an earlier process left undone.
    pub async fn take_up(self: &Arc<Self>) {
        let Some(memory) = &self.memory else { return };
        match memory.neglected().await {
            Ok(sessions) => sessions.iter().for_each(|session| self.look_after(session)),
            Err(error) => tracing::warn!("memory couldn't be looked through: {error}"),
        }
    }

    fn embed_later(self: &Arc<Self>, session: &str) {
        if !self.upkeep.to_embed.push(session) {
            return;
        }
        let service = Arc::clone(self);
        tokio::spawn(async move {
            let mut has_backlog = false;
            while let Some(session) = service.upkeep.to_embed.pop() {
                let Some(memory) = &service.memory else { continue };
                if has_backlog {
                    let quiet = service.upkeep.until_quiet();
                    let _ = tokio::time::timeout(BACKLOG_WAITS, quiet).await;
                }
                if said(memory.adopt_embedder().await) {
                    service.take_up().await;
                }
                // The newest come first, and then it is another session's turn.
                has_backlog = said(memory.embed_some(&session).await);
                if has_backlog {
                    service.upkeep.to_embed.push(&session);
                }
            }
        });
    }

    /// Does the work while nobody is spoken to; it is dropped when somebody speaks, which frees the
    /// engine, and begun anew when it is quiet.
    pub async fn when_quiet<T, W: Future<Output = T>>(&self, mut work: impl FnMut() -> W) -> T {
        loop {
            let begun = self.upkeep.speaking.begun.notified();
            tokio::pin!(begun);
            begun.as_mut().enable();
            self.upkeep.until_quiet().await;
            tokio::select! {
                () = begun => {}
                done = work() => return done,
            }
        }
    }

    async fn summarize(&self, memory: &Memory, session: &str) -> Result<(), StoreError> {
        loop {
            let summarizing = || async move {
                if self.engine.status().state != EngineState::Ready {
                    return Ok(false);
                }
                let Some(counter) = self.tokenizers.counter() else { return Ok(false) };
                memory.summarize_one(session, counter).await
            };
            if !self.when_quiet(summarizing).await? {
                return Ok(());
            }
        }
    }

    /// Asks the database again until it has taken everything.
    pub(super) fn save_later(self: &Arc<Self>) {
        if self.upkeep.is_saving.swap(true, Ordering::AcqRel) {
            return;
        }
        let service = Arc::clone(self);
        tokio::spawn(async move {
            let Some(memory) = &service.memory else { return };
            let mut pause = SAVE_AGAIN;
            loop {
                while memory.unsaved() > 0 {
                    tokio::time::sleep(pause).await;
                    if let Err(error) = memory.flush().await {
                        tracing::warn!("the database still refuses: {error}");
                    }
                    pause = (pause * 2).min(SAVE_AGAIN_AT_MOST);
                }
                service.upkeep.is_saving.store(false, Ordering::Release);
                // What came in between saw somebody at it.
                if memory.unsaved() == 0 || service.upkeep.is_saving.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        });
    }
}

/// Whether there is more to do; trouble is logged, and ends it.
fn said(result: Result<bool, StoreError>) -> bool {
    result.unwrap_or_else(|error| {
        tracing::warn!("memory couldn't be kept up: {error}");
        false
    })
}
