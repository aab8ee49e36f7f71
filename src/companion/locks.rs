//! One turn at a time in each conversation; those that come meanwhile wait in the order they came.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

use super::CompanionError;

/// Turns of one conversation that are answered or wait.
pub(super) const MOST_WAITING: usize = 8;

/// The conversations in which somebody speaks.
#[derive(Default)]
pub(super) struct Locks {
    by_session: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl Locks {
    /// Waits for those before.
    pub(super) async fn take(&self, session: &str) -> Result<OwnedMutexGuard<()>, CompanionError> {
        let lock = self.of(session);
        // One is held by each of those who wait or speak.
        if Arc::strong_count(&lock) > MOST_WAITING {
            return Err(CompanionError::Busy { most: MOST_WAITING });
        }
        Ok(lock.lock_owned().await)
    }

    fn of(&self, session: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut by_session = self.by_session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = by_session.get(session).and_then(Weak::upgrade) {
            return lock;
        }
        by_session.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        by_session.insert(session.to_owned(), Arc::downgrade(&lock));
        lock
    }
}
