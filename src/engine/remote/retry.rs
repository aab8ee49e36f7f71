//! When a request that failed is sent again: after pauses that double, with chance in them so that
//! many who failed together don't come back together, and no sooner than the provider says. Pure, but
//! for the chance.

use std::time::Duration;

use jiff::Timestamp;
use rand::Rng;
use rand_chacha::ChaCha12Rng;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The first pause; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause that we choose.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// The longest pause that a provider may ask for; if it asks for more it hears from us earlier.
const LONGEST_ASKED: Duration = Duration::from_mins(1);

/// The pauses of one request.
pub(super) struct Pauses {
    left: u32,
    next: Duration,
    random: ChaCha12Rng,
}

impl Pauses {
    /// So many at most.
    pub(super) fn new(most: u32, random: ChaCha12Rng) -> Self {
        Self { left: most, next: FIRST_PAUSE, random }
    }

    /// How long to wait before the next try; `None` when there is none. `asked` is what the provider
    /// wants.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST_PAUSE);
        // Between half of it and all.
        let chance = f64::from(self.random.next_u32()) / f64::from(u32::MAX);
        let pause = pause.mul_f64(0.5 + 0.5 * chance);
        // Others were told the same.
        Some(asked.unwrap_or_default().min(LONGEST_ASKED) + pause)
    }
}

/// How long the provider asks to wait: seconds, or until a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    // A date that has passed means now.
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use reqwest::header::HeaderValue;

    use super::*;

    fn pauses(most: u32, seed: u64) -> Pauses {
        Pauses::new(most, ChaCha12Rng::seed_from_u64(seed))
    }

    fn asked(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
        retry_after(&headers, "2026-01-02T03:04:05Z".parse().unwrap())
    }

    proptest! {
        #[test]
        fn pauses_double_up_to_a_limit_and_end(seed: u64, most in 0_u32..20) {
            let mut pauses = pauses(most, seed);
            let mut full = FIRST_PAUSE;
            for _ in 0..most {
                let pause = pauses.next(None).unwrap();
                prop_assert!(pause >= full / 2 && pause <= full, "{pause:?} of {full:?}");
                full = (full * 2).min(LONGEST_PAUSE);
            }
            prop_assert_eq!(pauses.next(None), None);
        }
    }

    #[test]
    fn two_who_failed_together_come_back_apart() {
        assert_ne!(pauses(1, 1).next(None), pauses(1, 2).next(None));
    }

    #[test]
    fn a_pause_that_is_asked_for_is_kept_within_reason() {
        let seconds = Duration::from_secs;
        let next = |seed, asked| pauses(1, seed).next(Some(asked)).unwrap();
        for (asked, kept) in [(0, Duration::ZERO), (7, seconds(7)), (86_400, LONGEST_ASKED)] {
            let pause = next(1, seconds(asked));
            let room = kept + FIRST_PAUSE / 2..=kept + FIRST_PAUSE;
            assert!(room.contains(&pause), "{pause:?} of {asked} s");
            assert_ne!(pause, next(2, seconds(asked)), "all come back together");
        }
    }

    #[test]
    fn a_provider_asks_in_seconds_or_by_a_date() {
        assert_eq!(asked("3"), Some(Duration::from_secs(3)));
        assert_eq!(asked("Fri, 02 Jan 2026 03:04:15 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(asked("Fri, 02 Jan 2026 03:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("soon"), None);
    }
}
