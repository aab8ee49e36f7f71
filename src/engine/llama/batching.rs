//! Continuous batching: each step runs one batch through the model that holds the next token of every
//! answer being written, and slices of the prompts being read. Requests join and leave between steps.
//!
//! The KV cache is a [`PrefixTree`](super::tree::PrefixTree): a request begins with the longest prefix that the cache or the
//! disk holds, and one whose prompt shares more with a prompt being read waits for that to be read,
//! so that a story is read once however many ask about it.

use std::io;
use std::time::{Duration, Instant};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::session::LlamaStateSeqFlags;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;

use super::attention::{Attention, AttentionChoice, common};
use super::cache::Beginning;
use super::load::LoadedModel;
use super::running::{Portion, PortionKind, Progress, Running, Stopped};
use super::states::FoundState;
use super::threads::{ThreadGovernor, with_threads};
use super::tree::{CellChange, SequenceId};
use super::{Job, Rate, Shared};
use crate::engine::EngineError;
use crate::engine::turns::fair_order;

/// Tokens of one batch.
pub(super) const BATCH: usize = 512;
/// A prompt's slice: large ones read faster, small ones let written text flow and notice sooner that
/// a client has left. The size follows the machine, towards these times.
const SLICES: std::ops::RangeInclusive<usize> = 32..=BATCH;
const SLICE_STEP: usize = 32;
const SLICE_TIME: Duration = Duration::from_secs(1);
const SLICE_TIME_BESIDE_ANSWERS: Duration = Duration::from_millis(500);
/// How long an idle engine waits for others who come at the same time.
const GATHERING: Duration = Duration::from_millis(3);
/// Drafted tokens beside other answers, which wait for them.
const DRAFT_BESIDE_ANSWERS: usize = 8;
/// Tokens that must be gained before anybody waits for a prefix, or a file is read or written.
pub(super) const WORTHWHILE_PREFIX: usize = 64;
/// Reading anew must take so many times as long as writing a state for that to be done.
const WORTHWHILE_FACTOR: f64 = 10.0;
/// What disks write, until it was measured.
const USUAL_BYTES_PER_SECOND: f64 = 300e6;
const WHOLE_STATE: LlamaStateSeqFlags = LlamaStateSeqFlags::empty();

pub(super) struct Batcher<'model> {
    pub(super) model: &'model LoadedModel,
    pub(super) shared: &'model Shared,
    pub(super) context: LlamaContext<'model>,
    pub(super) batch: LlamaBatch<'static>,
    pub(super) running: Vec<Running>,
    pub(super) governor: ThreadGovernor,
    pub(super) slices: Slices,
    pub(super) shortest_first: bool,
    pub(super) rates: Rates,
    /// How the context computes attention.
    pub(super) attention: Attention,
    pub(super) choice: &'model mut AttentionChoice,
}

/// Why the work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The queue is closed.
    Closed,
    /// Another way of computing attention suits those who wait.
    AttentionChanges,
}

/// Sizes of the next slices.
pub(super) struct Slices {
    alone: usize,
    beside_answers: usize,
}

impl Default for Slices {
    fn default() -> Self {
        Self { alone: 8 * SLICE_STEP, beside_answers: 4 * SLICE_STEP }
    }
}

/// What the machine does in a second.
#[derive(Default)]
pub(super) struct Rates {
    prompt_tokens: Rate,
    bytes_written: Rate,
}

impl Batcher<'_> {
    /// Until the queue is closed, or a context of another kind is needed.
    pub(super) fn serve(&mut self) -> Ended {
        let mut ended = Ended::Closed;
        while !self.shared.is_closing() {
            self.stop_what_nobody_waits_for();
            self.turn_away_who_is_late();
            self.look_at_who_comes();
            if self.running.is_empty() && self.choice.best(Instant::now()) != self.attention {
                ended = Ended::AttentionChanges;
                break;
            }
            self.admit();
            if !self.running.is_empty() {
                self.step();
            } else if !self.save_one() && self.shared.queue.wait() && self.choice.is_adaptive() {
                // Agents that are asked at once arrive one by one; what suits them is seen when
                // all are there.
                std::thread::sleep(GATHERING);
            }
        }
        self.stop_what_nobody_waits_for();
        while self.save_one() {}
        ended
    }

    fn look_at_who_comes(&mut self) {
        if !self.choice.is_adaptive() {
            return;
        }
        let (running, places) = (&self.running, self.shared.parallel);
        let choice = &mut *self.choice;
        self.shared.queue.look(|waiting| {
            let running = running.iter().map(Running::prompt);
            let waiting = waiting.iter().map(|job| &*job.prompt);
            let prompts: Vec<_> = running.chain(waiting).take(places).collect();
            choice.observe(&prompts, Instant::now());
        });
    }

    fn stop_what_nobody_waits_for(&mut self) {
        let closing = self.shared.is_closing();
        let mut index = 0;
        while let Some(running) = self.running.get(index) {
            match running.check(closing) {
                Ok(()) => index += 1,
                Err(stopped) => self.stop(index, stopped),
            }
        }
    }

    fn stop(&mut self, index: usize, stopped: Stopped) {
        let running = self.running.remove(index);
        self.retire(running.sequence);
        match stopped {
            Stopped::Abandoned => tracing::debug!("the client left; generation stopped"),
            Stopped::Failed(error) => running.fail(error),
        }
    }

    /// The sequence's tokens stay for whoever begins alike.
    fn retire(&mut self, sequence: SequenceId) {
        let change = self.shared.cache().tree.finish(sequence);
        self.apply(change);
        self.shared.counters.set_running(self.running.len());
    }

    /// Fails those whose deadline passed while they waited.
    fn turn_away_who_is_late(&self) {
        let late = |waiting: &[Job]| waiting.iter().position(|job| job.check(false).is_err());
        while let Some(job) = self.shared.queue.take(late) {
            job.fail(EngineError::DeadlinePassed);
        }
    }

    /// Lets in who may come.
    fn admit(&mut self) {
        while self.running.len() < self.shared.parallel {
            let next = self.shared.queue.take(|waiting| self.choose(waiting));
            let Some(job) = next else { return };
            self.start(job);
        }
    }

    /// The next in line, unless it must wait for room. Those that are to share what is being read
    /// are passed over until it is.
    fn choose(&self, waiting: &[Job]) -> Option<usize> {
        let clients: Vec<_> = waiting.iter().map(|job| &job.request.client).collect();
        let running: Vec<_> = self.running.iter().map(Running::client).collect();
        let most = self.shared.parallel.saturating_sub(1).max(1);
        let order = fair_order(&clients, &running, most);
        let next = order.into_iter().find(|&place| !self.waits_for_a_reader(&waiting[place]))?;
        let job = &waiting[next];
        let begin = self.shared.cache().beginning(&job.prompt);
        let cells = cells(job, &begin);
        self.shared.cache().tree.has_room(begin.in_cache(), cells).then_some(next)
    }

    /// Whether somebody is reading more of this prompt's beginning than can be had elsewhere.
    fn waits_for_a_reader(&self, job: &Job) -> bool {
        let reading = self.running.iter().filter(|running| running.reads());
        let shared =
            reading.map(|running| common(running.prompt(), &job.prompt)).max().unwrap_or(0);
        shared >= WORTHWHILE_PREFIX
            && shared.min(job.prompt.len() - 1)
                > self.shared.cache().beginning(&job.prompt).tokens()
    }

    fn start(&mut self, job: Job) {
        let begin = self.shared.cache().beginning(&job.prompt);
        let cells = cells(&job, &begin);
        let admitted = self.shared.cache().tree.admit(begin.in_cache(), cells);
        let Ok(admitted) = admitted else {
            // Nothing happened since it was chosen, so there is room.
            return job.fail(EngineError::Lost);
        };
        self.apply(admitted.changes);
        let sequence = admitted.sequence;
        if job.request.private {
            self.shared.cache().unsaved.insert(sequence);
        } else {
            self.shared.cache().unsaved.remove(&sequence);
        }
        let held = match begin {
            Beginning::Nowhere => 0,
            Beginning::Cache(held) => held.tokens,
            Beginning::Disk(found) => self.restore(&found, sequence, &job.prompt),
        };
        self.shared.counters.admitted(held);
        let running = Running::new(job, sequence, held);
        self.shared.cache().tree.needs_only(sequence, running.needs());
        self.running.push(running);
        self.shared.counters.set_running(self.running.len());
        // Without flash attention, others' tokens in the cache slow every step.
        if self.attention == Attention::Plain {
            self.clear_what_can_be_had_again();
        }
    }

    /// Reads a state from disk into the sequence; tells how much of the prompt that was.
    fn restore(
        &mut self,
        found: &FoundState,
        sequence: SequenceId,
        prompt: &[LlamaToken],
    ) -> usize {
        let started = Instant::now();
        let file = self.shared.cache().states.as_mut().and_then(|states| states.file(found));
        let Some(file) = file else { return 0 };
        let loaded = self.context.state_seq_load_file(&file, sequence.index(), found.length);
        match loaded {
            Ok((tokens, _)) if common(&tokens, prompt) >= found.common => {
                self.apply([CellChange::Forget { sequence, from: found.common }]);
                self.shared.cache().tree.extend(sequence, &prompt[..found.common]);
                self.shared.counters.restored(found.common);
                tracing::debug!(
                    tokens = found.common,
                    restore_ms = crate::engine::milliseconds(started.elapsed()),
                    "a saved prefix was loaded"
                );
                found.common
            }
            other => {
                let why = other.map_or_else(|error| error.to_string(), |_| "foreign".to_owned());
                tracing::warn!("the saved state {} can't be used: {why}", file.display());
                self.apply([CellChange::Forget { sequence, from: 0 }]);
                if let Some(states) = self.shared.cache().states.as_mut() {
                    states.reject(found);
                }
                0
            }
        }
    }

    /// Gives up finished sequences that are on disk, or that are read again as quickly. Without a
    /// disk the one used last is kept: a talk goes on more often than it is taken up again.
    fn clear_what_can_be_had_again(&mut self) {
        let finished = self.shared.cache().tree.finished();
        let kept = usize::from(self.shared.cache().states.is_none());
        for sequence in finished.into_iter().skip(kept) {
            if !self.is_worth_saving(sequence) {
                let change = self.shared.cache().tree.release(sequence);
                self.apply([change]);
            }
        }
    }

    /// Saves the finished sequence used last that is worth it; tells whether there was one.
    fn save_one(&mut self) -> bool {
        let finished = self.shared.cache().tree.finished();
        let Some(sequence) = finished.into_iter().find(|&id| self.is_worth_saving(id)) else {
            return false;
        };
        let started = Instant::now();
        let tokens = self.shared.cache().tree.tokens(sequence);
        let mut bytes = 0;
        let context = &self.context;
        let saved = self.shared.cache().states.as_mut().map(|states| {
            states.save(&tokens, |path| {
                bytes = context
                    .state_seq_save_file(path, sequence.index(), &tokens)
                    .map_err(io::Error::other)?;
                Ok(())
            })
        });
        if let Some(Err(error)) = saved {
            tracing::warn!(
                "what was read can't be saved for later: {error}; it stays in memory only"
            );
            self.shared.cache().states = None;
            return false;
        }
        self.rates.bytes_written.observe(bytes as f64 / started.elapsed().as_secs_f64());
        tracing::debug!(
            tokens = tokens.len(),
            bytes,
            save_ms = crate::engine::milliseconds(started.elapsed()),
            "a prefix was saved"
        );
        true
    }

    /// Whether saving costs less than reading again what isn't saved yet.
    fn is_worth_saving(&self, sequence: SequenceId) -> bool {
        let cache = self.shared.cache();
        let Some(states) = &cache.states else { return false };
        if cache.unsaved.contains(&sequence) {
            return false;
        }
        let tokens = cache.tree.tokens(sequence);
        let gain = tokens.len() - states.find(&tokens).map_or(0, |found| found.common);
        if gain < WORTHWHILE_PREFIX {
            return false;
        }
        let bytes = self.context.state_seq_get_size_ext(sequence.index(), WHOLE_STATE);
        let writing = bytes as f64 / self.rates.bytes_written.get_or(USUAL_BYTES_PER_SECOND);
        let reading = gain as f64 / self.rates.prompt_tokens.get_or(f64::INFINITY);
        bytes as u64 <= states.capacity() && reading > writing * WORTHWHILE_FACTOR
    }

    /// One batch.
    fn step(&mut self) {
        #[cfg(test)]
        self.shared.panic_if_told();
        let portions = self.portions();
        let count = |wanted: fn(PortionKind) -> bool| -> usize {
            let wanted = portions.iter().filter(|(_, portion)| wanted(portion.kind));
            wanted.map(|(_, portion)| portion.tokens.len()).sum()
        };
        let prompt_tokens = count(|kind| kind != PortionKind::Answer);
        let tokens = prompt_tokens + count(|kind| kind == PortionKind::Answer);
        let started = Instant::now();
        let threads = self.governor.next();
        if let Err(error) = self.compute(&portions, threads) {
            return self.fail_all(&error);
        }
        let computed = started.elapsed();
        self.governor.observe(tokens, computed);
        self.slices.observe(prompt_tokens, prompt_tokens < tokens, computed);
        if prompt_tokens == tokens {
            self.rates.prompt_tokens.observe(tokens as f64 / computed.as_secs_f64());
        }
        self.deliver(&portions);
        self.shared.counters.step(started.elapsed(), self.governor.current());
        self.shared.counters.cache(&self.shared.cache().tree);
    }

    /// What each running request puts into the next batch: answers a token and what is drafted, and
    /// prompts a slice. One prompt gets all of it, because tokens of one text are read faster together.
    fn portions(&mut self) -> Vec<(usize, Portion)> {
        let answers = self.running.iter().filter(|running| !running.reads()).count();
        let draft = if self.running.len() == 1 { BATCH } else { DRAFT_BESIDE_ANSWERS };
        let mut portions = Vec::with_capacity(self.running.len());
        for (place, running) in self.running.iter_mut().enumerate() {
            portions.extend(running.answer_portion(draft).map(|portion| (place, portion)));
        }
        let slice = if answers > 0 { self.slices.beside_answers } else { self.slices.alone };
        let mut left = slice.min(BATCH.saturating_sub(answers * (1 + DRAFT_BESIDE_ANSWERS)));
        for place in self.reading_order() {
            if left == 0 {
                break;
            }
            let portion = self.running[place].prompt_portion(left);
            left -= portion.tokens.len();
            portions.push((place, portion));
        }
        portions
    }

    /// In turns, who has least left to read comes first, so that a short prompt doesn't wait for a
    /// long one, and who came first, so that a long one isn't overtaken forever.
    fn reading_order(&mut self) -> Vec<usize> {
        self.shortest_first = !self.shortest_first;
        let readers = self.running.iter().enumerate().filter(|(_, running)| running.reads());
        let mut order: Vec<_> =
            readers.map(|(place, running)| (running.unread(), running.admitted(), place)).collect();
        if self.shortest_first {
            order.sort_unstable();
        } else {
            order.sort_unstable_by_key(|&(_, admitted, place)| (admitted, place));
        }
        order.into_iter().map(|(_, _, place)| place).collect()
    }

    fn compute(
        &mut self,
        portions: &[(usize, Portion)],
        threads: usize,
    ) -> Result<(), EngineError> {
        let backend = |error: &dyn std::fmt::Display| EngineError::Backend(error.to_string());
        self.batch.clear();
        for (place, portion) in portions {
            for (index, &token) in portion.tokens.iter().enumerate() {
                let position =
                    i32::try_from(portion.from + index).map_err(|error| backend(&error))?;
                let sequence = [self.running[*place].sequence.index()];
                self.batch
                    .add(token, position, &sequence, portion.wants_logits(index))
                    .map_err(|error| backend(&error))?;
            }
        }
        with_threads(threads, || self.context.decode(&mut self.batch))
            .map_err(|error| backend(&error))
    }

    /// Samples, sends, and lets go of who is done.
    fn deliver(&mut self, portions: &[(usize, Portion)]) {
        let mut logits = 0;
        let mut ended = Vec::new();
        for (place, portion) in portions {
            let running = &mut self.running[*place];
            let vocabulary = &self.model.vocabulary;
            let (kept, progress) = running.advance(portion, &self.context, logits, vocabulary);
            let sequence = running.sequence;
            self.shared.cache().tree.extend(sequence, &portion.tokens[..kept]);
            if kept < portion.tokens.len() {
                let from = portion.from + kept;
                change_cells(&mut self.context, CellChange::Forget { sequence, from });
            }
            if portion.kind == PortionKind::Answer {
                self.shared.counters.drafted(portion.tokens.len() - 1, kept - 1);
            }
            logits += i32::try_from(portion.tokens.len()).unwrap_or(i32::MAX);
            if !matches!(progress, Ok(Progress::Goes)) {
                ended.push((*place, progress));
            }
        }
        // From the back, so that places stay what they were.
        ended.sort_unstable_by_key(|&(place, _)| std::cmp::Reverse(place));
        for (place, progress) in ended {
            match progress {
                Ok(Progress::Goes) => {}
                Ok(Progress::Finished(reason)) => {
                    let running = self.running.remove(place);
                    self.retire(running.sequence);
                    let (rate, took) = running.finish(reason);
                    if let Some(rate) = rate {
                        self.shared.tokens_per_second.observe(rate);
                    }
                    self.shared.seconds_per_request.observe(took.as_secs_f64());
                }
                Err(error) => self.stop(place, Stopped::Failed(error)),
            }
        }
    }

    /// After a failure nobody knows what the cache holds.
    fn fail_all(&mut self, error: &EngineError) {
        tracing::error!("a batch failed: {error}");
        for running in self.running.drain(..) {
            running.fail(error.clone());
        }
        self.context.clear_kv_cache();
        self.shared.cache().tree.clear();
        self.shared.counters.set_running(0);
    }

    fn apply(&mut self, changes: impl IntoIterator<Item = CellChange>) {
        for change in changes {
            change_cells(&mut self.context, change);
        }
    }
}

/// Cells that the request may come to hold. A state is loaded whole before its end is cut off.
fn cells(job: &Job, begin: &Beginning) -> usize {
    let cells = job.prompt.len() + job.max_tokens.get();
    match begin {
        Beginning::Disk(found) => cells.max(found.length),
        Beginning::Nowhere | Beginning::Cache(_) => cells,
    }
}

/// Only models without a memory of single tokens refuse to share or forget a part, and for those
/// nothing is shared.
fn change_cells(context: &mut LlamaContext<'_>, change: CellChange) {
    let position = |tokens: usize| u32::try_from(tokens).ok();
    let outcome = match change {
        CellChange::Share { from, to, tokens } => {
            context.kv_cache_seq_cp(from.index(), to.index(), Some(0), position(tokens))
        }
        CellChange::Forget { sequence, from } => {
            context.kv_cache_seq_rm(sequence.index(), position(from), None)
        }
    };
    if let Err(error) = outcome {
        tracing::error!("the KV cache didn't follow {change:?}: {error}");
    }
}

impl Slices {
    fn observe(&mut self, tokens: usize, beside_answers: bool, took: Duration) {
        let (size, target) = if beside_answers {
            (&mut self.beside_answers, SLICE_TIME_BESIDE_ANSWERS)
        } else {
            (&mut self.alone, SLICE_TIME)
        };
        if tokens >= *size {
            *size = next_slice(*size, took, target);
        }
    }
}

/// The size that would have taken the target time, at most twice as large as this one.
fn next_slice(slice: usize, took: Duration, target: Duration) -> usize {
    let share = target.as_secs_f64() / took.as_secs_f64().max(1e-6);
    let wanted = crate::tokens::TokenCount::new(slice).scaled(share.min(2.0)).get();
    (wanted / SLICE_STEP * SLICE_STEP).clamp(*SLICES.start(), *SLICES.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_follow_the_machine_within_bounds() {
        let after = |slice, milliseconds| {
            next_slice(slice, Duration::from_millis(milliseconds), SLICE_TIME)
        };
        assert_eq!(after(64, 1_000), 64);
        assert_eq!(after(64, 2_000), 32);
        assert_eq!(after(64, 10), 128);
        assert_eq!(after(32, 60_000), 32);
        assert_eq!(after(512, 0), 512);
    }
}
