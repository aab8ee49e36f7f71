//! The only place that asks what time it is. Tests hand out a fixed clock, so that what carries a
//! time (receipts, ids, results) reads the same in every run. Durations are measured with
//! `std::time::Instant`, which never reaches an answer that a test compares.

use std::sync::Arc;

use jiff::Timestamp;

/// Tells the time in UTC.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Fixed(Arc<Timestamp>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still.
    pub fn fixed(at: Timestamp) -> Self {
        Self(Source::Fixed(Arc::new(at)))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock everyone else asks")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp::now(),
            Source::Fixed(at) => **at,
        }
    }
}
