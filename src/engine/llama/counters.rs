//! What the engine counts, for `/health` and metrics. Written by the engine's thread, read by all.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::tree::PrefixTree;
use crate::engine::EngineCounters;

#[derive(Default)]
pub(super) struct Counters {
    running: AtomicUsize,
    threads: AtomicUsize,
    kv_size: AtomicUsize,
    kv_used: AtomicUsize,
    steps: AtomicU64,
    step_microseconds: AtomicU64,
    requests: AtomicU64,
    prefix_hits: AtomicU64,
    cached_tokens: AtomicU64,
    restored_tokens: AtomicU64,
    evicted_tokens: AtomicU64,
    drafted_tokens: AtomicU64,
    accepted_tokens: AtomicU64,
    restarts: AtomicU64,
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn set_running(&self, running: usize) {
        self.running.store(running, Ordering::Relaxed);
    }

    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// A request began with so many tokens that were there already.
    pub(super) fn admitted(&self, held: usize) {
        add(&self.requests, 1);
        add(&self.prefix_hits, usize::from(held > 0));
        add(&self.cached_tokens, held);
    }

    pub(super) fn restored(&self, tokens: usize) {
        add(&self.restored_tokens, tokens);
    }

    pub(super) fn drafted(&self, tokens: usize, accepted: usize) {
        add(&self.drafted_tokens, tokens);
        add(&self.accepted_tokens, accepted);
    }

    pub(super) fn step(&self, took: Duration, threads: usize) {
        add(&self.steps, 1);
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.step_microseconds.fetch_add(microseconds, Ordering::Relaxed);
        self.threads.store(threads, Ordering::Relaxed);
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    pub(super) fn restarted(&self) {
        add(&self.restarts, 1);
    }

    pub(super) fn cache(&self, tree: &PrefixTree) {
        self.kv_size.store(tree.capacity(), Ordering::Relaxed);
        self.kv_used.store(tree.used(), Ordering::Relaxed);
        self.evicted_tokens.store(tree.evicted(), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> EngineCounters {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let steps = self.steps();
        let step_ms = match steps {
            0 => 0.0,
            steps => count(&self.step_microseconds) as f64 / 1e3 / steps as f64,
        };
        EngineCounters {
            requests: count(&self.requests),
            prefix_hits: count(&self.prefix_hits),
            cached_tokens: count(&self.cached_tokens),
            restored_tokens: count(&self.restored_tokens),
            evicted_tokens: count(&self.evicted_tokens),
            drafted_tokens: count(&self.drafted_tokens),
            accepted_tokens: count(&self.accepted_tokens),
            steps,
            step_ms,
            kv_used: self.kv_used.load(Ordering::Relaxed),
            kv_size: self.kv_size.load(Ordering::Relaxed),
            threads: self.threads.load(Ordering::Relaxed),
            restarts: count(&self.restarts),
        }
    }
}
