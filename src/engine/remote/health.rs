//! How the provider fares: what the last probe and the last requests say.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::failure::in_own_words;
use crate::clock::Clock;
use crate::engine::{EngineCounters, EngineError, EngineState, SeenError, Usage};

/// The least time between two probes.
const PAUSE_BETWEEN_PROBES: Duration = Duration::from_secs(10);

pub(super) struct Health {
    clock: Clock,
    seen: Mutex<Seen>,
    is_probing: AtomicBool,
    requests: AtomicU64,
    prefix_hits: AtomicU64,
    cached_tokens: AtomicU64,
}

struct Seen {
    state: EngineState,
    /// Why the state is `failed`.
    reason: Option<String>,
    last_error: Option<SeenError>,
    probed: Option<Instant>,
    tokens_per_second: f64,
    seconds_per_request: f64,
}

/// What [`Health`] tells.
pub(super) struct Report {
    pub(super) state: EngineState,
    pub(super) reason: Option<String>,
    pub(super) last_error: Option<SeenError>,
    pub(super) tokens_per_second: f64,
    pub(super) counters: EngineCounters,
}

impl Health {
    pub(super) fn new(clock: Clock) -> Self {
        let seen = Seen {
            state: EngineState::Loading,
            reason: None,
            last_error: None,
            probed: None,
            tokens_per_second: 0.0,
            seconds_per_request: 0.0,
        };
        Self {
            clock,
            seen: Mutex::new(seen),
            is_probing: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            prefix_hits: AtomicU64::new(0),
            cached_tokens: AtomicU64::new(0),
        }
    }

    pub(super) fn report(&self) -> Report {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = EngineCounters {
            requests: count(&self.requests),
            prefix_hits: count(&self.prefix_hits),
            cached_tokens: count(&self.cached_tokens),
            ..EngineCounters::default()
        };
        let seen = self.seen();
        Report {
            state: seen.state,
            reason: seen.reason.clone(),
            last_error: seen.last_error.clone(),
            tokens_per_second: seen.tokens_per_second,
            counters,
        }
    }

    /// Whether somebody should look how the provider fares. Who hears yes must look, and say what
    /// was found.
    pub(super) fn wants_a_probe(&self) -> bool {
        let mut seen = self.seen();
        let recently = |at: Instant| at.elapsed() < PAUSE_BETWEEN_PROBES;
        if seen.state == EngineState::Ready || seen.probed.is_some_and(recently) {
            return false;
        }
        seen.probed = Some(Instant::now());
        !self.is_probing.swap(true, Ordering::AcqRel)
    }

    pub(super) fn probed(&self, found: Result<(), String>) {
        let mut seen = self.seen();
        match found {
            Ok(()) => {
                seen.state = EngineState::Ready;
                seen.reason = None;
            }
            Err(reason) => {
                if seen.reason.as_ref() != Some(&reason) {
                    tracing::warn!("the remote model can't be used: {reason}");
                }
                seen.last_error = Some(self.now(reason.clone()));
                seen.state = EngineState::Failed;
                seen.reason = Some(reason);
            }
        }
        drop(seen);
        self.is_probing.store(false, Ordering::Release);
    }

    pub(super) fn begun(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was answered; how long that took, and how fast the text came.
    pub(super) fn succeeded(&self, usage: &Usage, took: Duration, tokens_per_second: Option<f64>) {
        let cached = usage.cached_tokens.get() as u64;
        self.prefix_hits.fetch_add(u64::from(cached > 0), Ordering::Relaxed);
        self.cached_tokens.fetch_add(cached, Ordering::Relaxed);
        let mut seen = self.seen();
        seen.state = EngineState::Ready;
        seen.reason = None;
        observe(&mut seen.seconds_per_request, took.as_secs_f64());
        if let Some(rate) = tokens_per_second {
            observe(&mut seen.tokens_per_second, rate);
        }
    }

    pub(super) fn failed(&self, error: &EngineError) {
        let message = in_own_words(error);
        tracing::warn!("a request to the remote model failed: {message}");
        let mut seen = self.seen();
        seen.last_error = Some(self.now(message.clone()));
        let says_it_all = matches!(
            error,
            EngineError::Unreachable(_) | EngineError::Refused { status: 401..=404, .. }
        );
        if says_it_all {
            seen.state = EngineState::Failed;
            seen.reason = Some(message);
        }
    }

    /// One request ends about this often.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 1..=60"
    )]
    pub(super) fn seconds_until_a_place_is_free(&self) -> u64 {
        self.seen().seconds_per_request.clamp(1.0, 60.0).ceil() as u64
    }

    fn now(&self, message: String) -> SeenError {
        SeenError { message, at: self.clock.now().to_string() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running mean that forgets: each new value counts a fifth.
fn observe(mean: &mut f64, value: f64) {
    *mean = if *mean == 0.0 { value } else { *mean + 0.2 * (value - *mean) };
}
