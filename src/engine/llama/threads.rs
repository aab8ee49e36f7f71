//! How many threads compute. llama.cpp's threads wait for each other dozens of times a token by
//! spinning, so one that has to share its core with a neighbour holds up all of them: on two cores
//! with a busy neighbour two threads are less than half as fast as one. What the machine gives changes
//! from one moment to the next and isn't told by any count of cores, so it is measured: now and then
//! a few steps take turns with another count, and the faster one stays.

use std::num::NonZeroUsize;
use std::time::Duration;

/// Pairs of steps that decide between two counts, and that may decide against the other one.
const PAIRS: usize = 5;
const PAIRS_AGAINST: usize = 2;
/// What another count must take at most of the time to be chosen.
const CLEARLY_FASTER: f64 = 0.95;
/// A count that takes so many times as long isn't tried further.
const HOPELESS: f64 = 1.3;
/// A step that takes so many times as long as those before asks for a comparison at once.
const SUSPICIOUS: f64 = 1.4;
/// Computing time between comparisons: longer each time that nothing changes.
const SOONEST: Duration = Duration::from_millis(400);
const LATEST: Duration = Duration::from_secs(5);

/// Chooses the count. Pure: it hears how long steps took.
pub(super) struct ThreadGovernor {
    most: usize,
    current: usize,
    pause: Duration,
    until_trial: Duration,
    /// Which other count is next to be tried.
    turn: usize,
    trial: Option<Trial>,
    usual: Option<Usual>,
}

/// Steps with two counts, in turn.
struct Trial {
    other: usize,
    /// Tokens and time of the step with the current count that waits for its partner.
    first: Option<(usize, f64)>,
    pairs: usize,
    current_seconds: f64,
    other_seconds: f64,
    /// Steps that may still pass before it ends undecided.
    patience: usize,
}

/// What steps of so many tokens took lately.
struct Usual {
    tokens: usize,
    seconds: f64,
    suspicious: usize,
}

impl ThreadGovernor {
    /// `fixed` is a count somebody chose; it stays.
    pub(super) fn new(fixed: Option<usize>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let mut governor = Self::up_to(fixed.unwrap_or(cores));
        if fixed.is_some() || !ADJUSTABLE {
            governor.until_trial = Duration::MAX;
            governor.pause = Duration::MAX;
        }
        governor
    }

    fn up_to(most: usize) -> Self {
        Self {
            most,
            current: most,
            pause: SOONEST,
            // The neighbour may be there already.
            until_trial: Duration::ZERO,
            turn: 0,
            trial: None,
            usual: None,
        }
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// The count that is in use, comparisons aside.
    pub(super) fn current(&self) -> usize {
        self.current
    }

    /// The count for the next step.
    pub(super) fn next(&self) -> usize {
        match &self.trial {
            Some(trial) if trial.first.is_some() => trial.other,
            _ => self.current,
        }
    }

    /// A step of so many tokens took so long.
    pub(super) fn observe(&mut self, tokens: usize, took: Duration) {
        if self.pause == Duration::MAX {
            return;
        }
        let seconds = took.as_secs_f64();
        if let Some(trial) = &mut self.trial {
            match trial.step(tokens, seconds) {
                Verdict::Open => {}
                Verdict::Stay => self.end_trial(false),
                Verdict::Change => self.end_trial(true),
            }
            return;
        }
        self.until_trial = self.until_trial.saturating_sub(took);
        if self.until_trial.is_zero() || self.is_suspicious(tokens, seconds) {
            self.begin_trial();
        }
    }

    fn is_suspicious(&mut self, tokens: usize, seconds: f64) -> bool {
        match &mut self.usual {
            Some(usual) if usual.tokens == tokens => {
                if seconds > usual.seconds * SUSPICIOUS {
                    usual.suspicious += 1;
                } else {
                    usual.suspicious = 0;
                    usual.seconds += 0.1 * (seconds - usual.seconds);
                }
                usual.suspicious >= 2
            }
            usual => {
                *usual = Some(Usual { tokens, seconds, suspicious: 0 });
                false
            }
        }
    }

    fn begin_trial(&mut self) {
        self.usual = None;
        let candidates = self.candidates();
        if candidates.is_empty() {
            self.pause = Duration::MAX;
            return;
        }
        let other = candidates[self.turn % candidates.len()];
        self.turn += 1;
        self.trial = Some(Trial {
            other,
            first: None,
            pairs: 0,
            current_seconds: 0.0,
            other_seconds: 0.0,
            patience: PAIRS * 8,
        });
    }

    fn end_trial(&mut self, change: bool) {
        let Some(trial) = self.trial.take() else { return };
        if change {
            self.current = trial.other;
            self.turn = 0;
            self.pause = SOONEST;
        } else {
            self.pause = (self.pause * 2).min(LATEST);
        }
        self.until_trial = self.pause;
    }

    /// Other counts, the nearest first.
    fn candidates(&self) -> Vec<usize> {
        let current = self.current;
        let mut candidates = Vec::new();
        let far = [current - current / 4, current / 2, current * 2, 1, self.most];
        for other in [current - 1, current + 1].into_iter().chain(far) {
            if (1..=self.most).contains(&other) && other != current && !candidates.contains(&other)
            {
                candidates.push(other);
            }
        }
        candidates
    }
}

enum Verdict {
    Open,
    Stay,
    Change,
}

impl Trial {
    fn step(&mut self, tokens: usize, seconds: f64) -> Verdict {
        match self.first.take() {
            // Only steps of the same size can be compared.
            Some((before, current)) if before == tokens => {
                self.pairs += 1;
                self.current_seconds += current;
                self.other_seconds += seconds;
            }
            Some(_) => {}
            None => self.first = Some((tokens, seconds)),
        }
        self.patience -= 1;
        let ratio = self.other_seconds / self.current_seconds.max(f64::MIN_POSITIVE);
        if self.patience == 0 || (self.pairs >= PAIRS_AGAINST && ratio > HOPELESS) {
            Verdict::Stay
        } else if self.pairs < PAIRS {
            Verdict::Open
        } else if ratio < CLEARLY_FASTER {
            Verdict::Change
        } else {
            Verdict::Stay
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) use self::openmp::{ADJUSTABLE, with_threads};

/// llama-cpp-2 fixes the count of threads when a context is made. `OpenMP` can lower it from outside,
/// for the code that runs within a region.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod openmp {
    #![expect(unsafe_code, reason = "OpenMP is a C interface, and llama-cpp-2 doesn't offer it")]

    use std::ffi::{c_uint, c_void};
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    pub(in super::super) const ADJUSTABLE: bool = true;

    #[link(name = "gomp")]
    unsafe extern "C" {
        /// What `#pragma omp teams num_teams(…) thread_limit(…)` compiles to; in libgomp since GCC 9,
        /// and in LLVM's libomp.
        fn GOMP_teams_reg(
            region: extern "C" fn(*mut c_void),
            data: *mut c_void,
            teams: c_uint,
            thread_limit: c_uint,
            flags: c_uint,
        );
    }

    struct Region<F, R> {
        work: Option<F>,
        outcome: Option<std::thread::Result<R>>,
    }

    /// Does the work on this thread; parallel regions inside get at most so many threads.
    pub(in super::super) fn with_threads<R>(threads: usize, work: impl FnOnce() -> R) -> R {
        fn run<F: FnOnce() -> R, R>(data: &mut Region<F, R>) {
            // A panic must not cross C.
            data.outcome = data.work.take().map(|work| catch_unwind(AssertUnwindSafe(work)));
        }
        extern "C" fn region<F: FnOnce() -> R, R>(data: *mut c_void) {
            // SAFETY: `data` is the `Region<F, R>` below, borrowed for the length of the call.
            run(unsafe { &mut *data.cast::<Region<F, R>>() });
        }
        fn entry<F: FnOnce() -> R, R>(_: &Region<F, R>) -> extern "C" fn(*mut c_void) {
            region::<F, R>
        }
        let mut data = Region { work: Some(work), outcome: None };
        let entry = entry(&data);
        let limit = c_uint::try_from(threads).unwrap_or(c_uint::MAX);
        // SAFETY: with one team the region is called once, on this thread, before this returns; the
        // data outlives that.
        unsafe { GOMP_teams_reg(entry, (&raw mut data).cast(), 1, limit, 0) };
        match data.outcome {
            Some(Ok(value)) => value,
            Some(Err(panic)) => resume_unwind(panic),
            None => unreachable!("the region was called"),
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
const ADJUSTABLE: bool = false;

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn with_threads<R>(_threads: usize, work: impl FnOnce() -> R) -> R {
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs steps on a machine where `seconds(threads)` is the truth; tells the share of the time
    /// that the best count would have needed.
    fn efficiency(
        governor: &mut ThreadGovernor,
        steps: usize,
        seconds: impl Fn(usize) -> f64,
    ) -> f64 {
        let best = (1..=governor.most()).map(&seconds).fold(f64::INFINITY, f64::min);
        let mut spent = 0.0;
        for _ in 0..steps {
            let took = seconds(governor.next());
            governor.observe(1, Duration::from_secs_f64(took));
            spent += took;
        }
        best * steps as f64 / spent
    }

    fn idle(threads: usize) -> f64 {
        0.015 / threads as f64
    }

    /// Two threads on one and a half cores.
    fn busy(threads: usize) -> f64 {
        if threads > 1 { 0.035 } else { 0.015 }
    }

    #[test]
    fn an_idle_machine_is_used_whole() {
        let mut governor = ThreadGovernor::up_to(2);
        assert!(efficiency(&mut governor, 2_000, idle) > 0.97);
        assert_eq!(governor.current(), 2);
    }

    #[test]
    fn a_busy_neighbour_is_noticed_within_a_few_steps_and_its_leaving_too() {
        let mut governor = ThreadGovernor::up_to(2);
        efficiency(&mut governor, 200, idle);
        efficiency(&mut governor, 20, busy);
        assert_eq!(governor.current(), 1);
        assert!(efficiency(&mut governor, 2_000, busy) > 0.9);
        efficiency(&mut governor, 600, idle);
        assert_eq!(governor.current(), 2);
    }

    #[test]
    fn it_gives_up_as_many_as_are_taken() {
        // A barrier waits for the slowest: with more threads than free cores, one runs half the time.
        let taken = |threads: usize| idle(threads) * if threads > 13 { 2.0 } else { 1.0 };
        let mut governor = ThreadGovernor::up_to(16);
        efficiency(&mut governor, 8_000, taken);
        assert_eq!(governor.current(), 13);
    }

    #[test]
    fn a_chosen_count_stays() {
        let mut governor = ThreadGovernor::new(Some(2));
        efficiency(&mut governor, 500, busy);
        assert_eq!(governor.current(), 2);
    }

    #[test]
    fn work_comes_back_from_its_region_and_so_does_a_panic() {
        assert_eq!(with_threads(2, || 6 * 7), 42);
        let panic = std::panic::catch_unwind(|| with_threads(1, || panic!("on purpose")));
        assert!(panic.is_err());
    }
}
