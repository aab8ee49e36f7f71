//! How often something may go wrong a minute. What is tried takes a place, so that many at once don't
//! slip through, and gives it back where it went well. In memory, and bounded.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const MINUTE: Duration = Duration::from_mins(1);
/// Places that are shared while too many are known.
const SHARED: u64 = 1_024;

pub(super) struct Failures<K> {
    /// Until when what went wrong counts. Each failure counts for one interval more.
    counts_until: Mutex<HashMap<Place<K>, Duration>>,
    interval: Duration,
    most_known: usize,
    hasher: RandomState,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Place<K> {
    Own(K),
    Shared(u64),
}

impl<K: Clone + Eq + Hash> Failures<K> {
    pub(super) fn new(per_minute: NonZeroU32, most_known: usize) -> Self {
        Self {
            counts_until: Mutex::default(),
            interval: MINUTE / per_minute.get(),
            most_known,
            hasher: RandomState::new(),
        }
    }

    /// Takes a place, or tells how long until one is free. `now` is the time since any fixed moment.
    pub(super) fn take(&self, key: &K, now: Duration) -> Result<(), Duration> {
        let mut counts_until = self.lock();
        if counts_until.len() >= self.most_known {
            counts_until.retain(|_, until| *until > now);
        }
        let own = Place::Own(key.clone());
        let has_room = counts_until.len() < self.most_known || counts_until.contains_key(&own);
        let place = if has_room { own } else { self.shared(key) };
        let until = counts_until.get(&place).copied().unwrap_or(now).max(now);
        let next = until + self.interval;
        let early = next.saturating_sub(now + MINUTE);
        if !early.is_zero() {
            return Err(early);
        }
        counts_until.insert(place, next);
        Ok(())
    }

    pub(super) fn give_back(&self, key: &K) {
        let mut counts_until = self.lock();
        let own = Place::Own(key.clone());
        let place = if counts_until.contains_key(&own) { own } else { self.shared(key) };
        if let Some(until) = counts_until.get_mut(&place) {
            *until = until.saturating_sub(self.interval);
        }
    }

    fn shared(&self, key: &K) -> Place<K> {
        Place::Shared(self.hasher.hash_one(key) % SHARED)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place<K>, Duration>> {
        self.counts_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(per_minute: u32, most_known: usize) -> Failures<u32> {
        Failures::new(NonZeroU32::new(per_minute).unwrap(), most_known)
    }

    #[test]
    fn time_and_success_free_a_place() {
        let failures = failures(3, 10);
        let start = Duration::from_secs(1);
        assert!((0..3).all(|_| failures.take(&1, start).is_ok()));
        assert_eq!(failures.take(&1, start), Err(Duration::from_secs(20)));
        assert_eq!(failures.take(&2, start), Ok(()));
        assert_eq!(failures.take(&1, start + Duration::from_secs(20)), Ok(()));
        assert!(failures.take(&1, start + Duration::from_secs(20)).is_err());
        failures.give_back(&1);
        assert_eq!(failures.take(&1, start + Duration::from_secs(20)), Ok(()));
    }

    #[test]
    fn a_flood_of_names_is_bounded_in_memory_and_still_limited() {
        let failures = failures(2, 100);
        let refused = (0..20_000).filter(|key| failures.take(key, Duration::ZERO).is_err()).count();
        assert!(failures.lock().len() <= 100 + usize::try_from(SHARED).unwrap());
        assert!(refused > 10_000, "{refused}");
        assert_eq!(failures.take(&0, MINUTE * 2), Ok(()));
        assert_eq!(failures.lock().len(), 1, "the old ones are forgotten");
    }
}
