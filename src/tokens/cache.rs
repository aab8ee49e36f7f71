//! Remembers counts of texts seen before: an editor sends the same story with every request.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use super::{TokenCount, TokenCounter};

/// About 3 MB when full.
const REMEMBERED_TEXTS: NonZeroUsize = NonZeroUsize::new(50_000).unwrap();
/// Shorter texts are counted faster than looked up.
const SHORTEST_WORTH_REMEMBERING: usize = 64;

/// A counter with a memory of what it counted, least recently used out first.
pub struct CachedCounter {
    inner: Arc<dyn TokenCounter>,
    hasher: [RandomState; 2],
    counts: Mutex<LruCache<[u64; 2], TokenCount>>,
}

impl CachedCounter {
    pub fn new(inner: Arc<dyn TokenCounter>) -> Self {
        Self {
            inner,
            hasher: [RandomState::new(), RandomState::new()],
            counts: Mutex::new(LruCache::new(REMEMBERED_TEXTS)),
        }
    }

    /// 128 bits under two secret keys: nobody can make two texts collide on purpose.
    fn key(&self, text: &str) -> [u64; 2] {
        [self.hasher[0].hash_one(text), self.hasher[1].hash_one(text)]
    }
}

impl TokenCounter for CachedCounter {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn count(&self, text: &str) -> TokenCount {
        if text.len() < SHORTEST_WORTH_REMEMBERING {
            return self.inner.count(text);
        }
        let key = self.key(text);
        if let Some(count) = self.counts.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return *count;
        }
        // Counted outside the lock: a megabyte of text must not hold up other requests.
        let count = self.inner.count(text);
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).put(key, count);
        count
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl TokenCounter for Counting {
        fn name(&self) -> &'static str {
            "counting"
        }

        fn count(&self, text: &str) -> TokenCount {
            self.0.fetch_add(1, Ordering::Relaxed);
            TokenCount::new(text.len())
        }
    }

    #[test]
    fn a_text_is_counted_once() {
        let inner = Arc::new(Counting::default());
        let cached = CachedCounter::new(Arc::clone(&inner) as Arc<dyn TokenCounter>);
        let text = "x".repeat(100);
        assert_eq!(cached.count(&text), TokenCount::new(100));
        assert_eq!(cached.count(&text), TokenCount::new(100));
        assert_eq!(inner.0.load(Ordering::Relaxed), 1);
    }
}
