//! The engine's thread: loads the model, then answers one request after another. The prompt is read
//! in slices and every slice and token looks whether somebody still waits for the answer.
//!
//! The KV cache keeps the last conversation. A new prompt is compared with it and read only from
//! where they part, so the next chapter of a story does not read the story again.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use encoding_rs::{Decoder, UTF_8};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;

use super::load::{LlamaSettings, LoadedModel, backend};
use super::sampler::TokenSampler;
use super::{Job, Phase, Shared};
use crate::engine::{
    EngineError, Event, FinishReason, Finished, StopMatcher, Timings, Usage, milliseconds,
};
use crate::tokens::TokenCount;

/// Tokens of a prompt read at a time. Large slices read faster, small ones notice sooner that the
/// client has left; the size follows the machine, so that one takes about [`SLICE_TIME`].
const SLICES: std::ops::RangeInclusive<usize> = 32..=512;
const SLICE_STEP: usize = 32;
const SLICE_TIME: Duration = Duration::from_millis(300);
/// The only sequence there is.
const SEQUENCE: i32 = 0;

/// Runs until the queue is closed.
pub(super) fn run(settings: &LlamaSettings, shared: &Arc<Shared>) {
    let for_progress = Arc::clone(shared);
    let started = Instant::now();
    let loaded = LoadedModel::load(settings, move |progress| {
        for_progress.set_phase(Phase::Loading { progress });
        !for_progress.is_closing()
    });
    let model = match loaded {
        Ok(model) => Arc::new(model),
        Err(error) => return fail(shared, error),
    };
    let context = match new_context(settings, &model) {
        Ok(context) => context,
        Err(error) => return fail(shared, error),
    };
    tracing::info!(
        model = model.name,
        window = model.window.get(),
        load_ms = milliseconds(started.elapsed()),
        "{} is ready, with a window of {} tokens",
        model.name,
        model.window
    );
    shared.set_phase(Phase::Ready(Arc::clone(&model)));
    let batch = LlamaBatch::new(*SLICES.end(), 1);
    Worker { model: &model, shared, context, batch, slice: 2 * SLICE_STEP }.serve();
}

fn fail(shared: &Shared, error: EngineError) {
    tracing::error!("the model can't be used: {error}");
    let unavailable = match error {
        error @ EngineError::Unavailable(_) => error,
        other => EngineError::Unavailable(format!(
            "the model can't be used: {other}; set MODEL_PATH to another GGUF file"
        )),
    };
    shared.set_phase(Phase::Failed(unavailable));
}

fn new_context<'model>(
    settings: &LlamaSettings,
    model: &'model LoadedModel,
) -> Result<LlamaContext<'model>, EngineError> {
    let threads = settings.threads.unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
    });
    let threads = i32::try_from(threads).unwrap_or(i32::MAX);
    let slice = u32::try_from(*SLICES.end()).unwrap_or(u32::MAX);
    let parameters = LlamaContextParams::default()
        .with_n_ctx(u32::try_from(model.window.get()).ok().and_then(NonZeroU32::new))
        .with_n_batch(slice)
        .with_n_ubatch(slice)
        .with_n_threads(threads)
        .with_n_threads_batch(threads)
        .with_no_perf(true);
    model.model.new_context(backend(settings.verbose)?, parameters).map_err(|error| {
        EngineError::Unavailable(format!(
            "there is no room for a window of {} tokens ({error}); lower LLM_N_CTX",
            model.window
        ))
    })
}

/// How many tokens of the prompt need not be read again. The last one always is: its logits choose
/// the first token of the answer.
pub(super) fn reusable_prefix(cached: &[LlamaToken], prompt: &[LlamaToken]) -> usize {
    let common = cached.iter().zip(prompt).take_while(|(one, other)| one == other).count();
    common.min(prompt.len().saturating_sub(1))
}

struct Worker<'model> {
    model: &'model LoadedModel,
    shared: &'model Shared,
    context: LlamaContext<'model>,
    batch: LlamaBatch<'static>,
    /// Tokens of the next slice of a prompt.
    slice: usize,
}

/// Why a request ended without an answer.
enum Stopped {
    /// Nobody waits for it any more.
    Abandoned,
    Failed(EngineError),
}

impl From<EngineError> for Stopped {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

impl Worker<'_> {
    fn serve(mut self) {
        while let Some(job) = self.shared.queue.pop() {
            self.shared.running.store(1, Ordering::Relaxed);
            let started = Instant::now();
            // A panic must cost one answer, not the server.
            let outcome = catch_unwind(AssertUnwindSafe(|| self.answer(&job)))
                .unwrap_or(Err(Stopped::Failed(EngineError::Lost)));
            self.shared.running.store(0, Ordering::Relaxed);
            match outcome {
                Ok(finished) => {
                    self.shared.seconds_per_request.observe(started.elapsed().as_secs_f64());
                    job.events.send(Event::Finished(finished));
                }
                Err(Stopped::Abandoned) => tracing::debug!("the client left; generation stopped"),
                Err(Stopped::Failed(error)) => {
                    if matches!(error, EngineError::Lost | EngineError::Backend(_)) {
                        self.forget_everything();
                    }
                    job.events.send(Event::Failed(error));
                }
            }
        }
    }

    fn answer(&mut self, job: &Job) -> Result<Finished, Stopped> {
        self.check(job)?;
        let queued = job.queued_at.elapsed();
        let grammar = job
            .request
            .json_schema
            .as_deref()
            .map(|schema| self.model.grammars.matcher(schema))
            .transpose()?;
        let mut sampler = TokenSampler::new(&self.model.model, &job.request.sampling, grammar);

        let started = Instant::now();
        let cached_tokens = self.keep_prefix(&job.prompt);
        let prompt_tokens = TokenCount::new(job.prompt.len());
        job.events.send(Event::Started { prompt_tokens, cached_tokens });
        let last = self.prefill(job, cached_tokens.get())?;
        let prefilled = started.elapsed();

        let started = Instant::now();
        let (reason, completion_tokens) = self.decode(job, &mut sampler, last)?;
        let decoded = started.elapsed();
        if completion_tokens.get() > 1 {
            let rate = completion_tokens.get() as f64 / decoded.as_secs_f64();
            self.shared.tokens_per_second.observe(rate);
        }
        Ok(Finished {
            reason,
            usage: Usage { prompt_tokens, cached_tokens, completion_tokens },
            timings: timings(queued, prefilled, decoded),
        })
    }

    /// Drops from the cache what this prompt doesn't begin with; tells how much stays.
    fn keep_prefix(&mut self, prompt: &[LlamaToken]) -> TokenCount {
        let mut cached = self.shared.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keep = reusable_prefix(&cached, prompt);
        let from = u32::try_from(keep).unwrap_or(u32::MAX);
        if self.context.kv_cache_seq_rm(SEQUENCE, Some(from), None).is_err() {
            // Recurrent models can't forget a part.
            self.context.clear_kv_cache();
            keep = 0;
        }
        cached.truncate(keep);
        TokenCount::new(keep)
    }

    /// Reads the prompt from `from` on; returns the index of the logits after its last token.
    fn prefill(&mut self, job: &Job, from: usize) -> Result<i32, Stopped> {
        let mut at = from;
        while at < job.prompt.len() {
            self.check(job)?;
            let started = Instant::now();
            let end = job.prompt.len().min(at + self.slice);
            self.batch.clear();
            for (position, token) in job.prompt.iter().enumerate().take(end).skip(at) {
                self.add(*token, position, position + 1 == job.prompt.len())?;
            }
            self.advance(&job.prompt[at..end])?;
            if end - at == self.slice {
                self.slice = next_slice(self.slice, started.elapsed());
            }
            at = end;
        }
        Ok(self.batch.n_tokens() - 1)
    }

    fn decode(
        &mut self,
        job: &Job,
        sampler: &mut TokenSampler,
        mut logits: i32,
    ) -> Result<(FinishReason, TokenCount), Stopped> {
        let mut text = AnswerText::new(&job.request.stop);
        let mut written = 0;
        let reason = loop {
            self.check(job)?;
            let token = sampler.sample(&self.context, logits)?;
            written += 1;
            if self.model.vocabulary.ends_generation(token) {
                break FinishReason::Stop;
            }
            let passed = text.push(|bytes| self.model.vocabulary.bytes(token, bytes));
            if !passed.text.is_empty() {
                job.events.send(Event::Text(passed.text));
            }
            if passed.stopped || sampler.is_complete() {
                break FinishReason::Stop;
            }
            if written == job.max_tokens.get() {
                break FinishReason::Length;
            }
            self.batch.clear();
            self.add(token, job.prompt.len() + written - 1, true)?;
            self.advance(&[token])?;
            logits = 0;
        };
        let rest = text.finish();
        if !rest.is_empty() {
            job.events.send(Event::Text(rest));
        }
        Ok((reason, TokenCount::new(written)))
    }

    fn add(&mut self, token: LlamaToken, position: usize, logits: bool) -> Result<(), EngineError> {
        let backend = |error: &dyn std::fmt::Display| EngineError::Backend(error.to_string());
        let position = i32::try_from(position).map_err(|error| backend(&error))?;
        self.batch.add(token, position, &[SEQUENCE], logits).map_err(|error| backend(&error))
    }

    /// Runs the batch through the model and notes what the cache holds now.
    fn advance(&mut self, tokens: &[LlamaToken]) -> Result<(), EngineError> {
        self.context
            .decode(&mut self.batch)
            .map_err(|error| EngineError::Backend(error.to_string()))?;
        self.shared.cached.lock().unwrap_or_else(PoisonError::into_inner).extend(tokens);
        Ok(())
    }

    /// Whether to go on with a request.
    fn check(&self, job: &Job) -> Result<(), Stopped> {
        if job.events.is_cancelled() {
            return Err(Stopped::Abandoned);
        }
        if self.shared.is_closing() {
            return Err(Stopped::Failed(EngineError::ShuttingDown));
        }
        if job.request.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Stopped::Failed(EngineError::DeadlinePassed));
        }
        Ok(())
    }

    /// After a failure nobody knows what the cache holds.
    fn forget_everything(&mut self) {
        self.context.clear_kv_cache();
        self.shared.cached.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The size that would have taken [`SLICE_TIME`], at most twice as large as this one.
fn next_slice(slice: usize, took: Duration) -> usize {
    let share = SLICE_TIME.as_secs_f64() / took.as_secs_f64().max(1e-6);
    let wanted = TokenCount::new(slice).scaled(share.min(2.0)).get();
    (wanted / SLICE_STEP * SLICE_STEP).clamp(*SLICES.start(), *SLICES.end())
}

fn timings(queued: Duration, prefilled: Duration, decoded: Duration) -> Timings {
    Timings {
        queue_ms: milliseconds(queued),
        prefill_ms: milliseconds(prefilled),
        decode_ms: milliseconds(decoded),
    }
}

/// Tokens' bytes into whole characters, and stop strings taken out.
struct AnswerText {
    decoder: Decoder,
    bytes: Vec<u8>,
    stops: StopMatcher,
    stopped: bool,
}

impl AnswerText {
    fn new(stops: &[String]) -> Self {
        let decoder = UTF_8.new_decoder_without_bom_handling();
        Self {
            decoder,
            bytes: Vec::with_capacity(32),
            stops: StopMatcher::new(stops),
            stopped: false,
        }
    }

    fn push(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> crate::engine::Passed {
        fill(&mut self.bytes);
        let piece = self.decode_bytes(false);
        let passed = self.stops.push(&piece);
        self.stopped = passed.stopped;
        passed
    }

    /// The rest: half a character becomes U+FFFD. Nothing after a stop string.
    fn finish(mut self) -> String {
        if self.stopped {
            return String::new();
        }
        self.bytes.clear();
        let piece = self.decode_bytes(true);
        let mut passed = self.stops.push(&piece);
        if !passed.stopped {
            passed.text.push_str(&self.stops.finish());
        }
        passed.text
    }

    fn decode_bytes(&mut self, last: bool) -> String {
        let longest = self.decoder.max_utf8_buffer_length(self.bytes.len()).unwrap_or(0);
        let mut piece = String::with_capacity(longest);
        // The buffer holds the worst case, so one call reads everything.
        let _ = self.decoder.decode_to_string(&self.bytes, &mut piece, last);
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_follow_the_machine_within_bounds() {
        let after = |slice, milliseconds| next_slice(slice, Duration::from_millis(milliseconds));
        assert_eq!(after(64, 300), 64);
        assert_eq!(after(64, 600), 32);
        assert_eq!(after(64, 10), 128);
        assert_eq!(after(32, 60_000), 32);
        assert_eq!(after(512, 0), 512);
    }

    #[test]
    fn the_last_token_of_a_prompt_is_always_read() {
        let tokens = [1, 2, 3].map(LlamaToken);
        assert_eq!(reusable_prefix(&tokens, &tokens), 2);
        assert_eq!(reusable_prefix(&tokens[..1], &tokens), 1);
        assert_eq!(reusable_prefix(&[], &tokens), 0);
    }
}
