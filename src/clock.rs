//! The only place that asks what time it is. Tests hand out a clock that stands still until they move
//! it, so that what carries a time (receipts, ids, results) reads the same in every run. Durations are
//! measured with `std::time::Instant`, which never reaches an answer that a test compares.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// Tells the time in UTC.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Fixed(Arc<Timestamp>),
    Settable(Hands),
}

/// Moves the clock it was made with; for tests.
#[derive(Clone, Debug)]
pub struct Hands(Arc<Mutex<Timestamp>>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still.
    pub fn fixed(at: Timestamp) -> Self {
        Self(Source::Fixed(Arc::new(at)))
    }

    /// A clock that stands still until its hands are moved.
    pub fn settable(at: Timestamp) -> (Self, Hands) {
        let hands = Hands(Arc::new(Mutex::new(at)));
        (Self(Source::Settable(hands.clone())), hands)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock everyone else asks")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp::now(),
            Source::Fixed(at) => **at,
            Source::Settable(Hands(at)) => *at.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl Hands {
    /// Moves the clock forward; past the end of time it stands still.
    pub fn advance(&self, by: Duration) {
        let mut at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *at = at.saturating_add(by).unwrap_or(*at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settable_clock_moves_only_when_it_is_told_to() {
        let (clock, hands) = Clock::settable("2026-01-02T03:04:05Z".parse().unwrap());
        let (copy, before) = (clock.clone(), clock.now());
        assert_eq!(clock.now(), before);
        hands.advance(Duration::from_mins(1));
        assert_eq!(copy.now().as_second(), before.as_second() + 60);
        hands.advance(Duration::MAX);
        assert!(clock.now() > before);
    }
}
