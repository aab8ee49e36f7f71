//! llama.cpp in process. One named thread owns the model's context; everyone else sends it requests
//! and reads events. The only room that knows llama-cpp-2.
//!
//! A request goes through `queue` (fair between clients) to `worker`'s thread, where
//! `batching` gives it a sequence in the `tree` of the KV cache and reads and writes it together
//! with all others. What was read goes to disk (`states`); how many threads compute is measured
//! (`threads`), and how attention is computed follows the requests (`attention`); answers that
//! repeat their prompt are drafted from it (`lookup`).
//!
//! Templates, tokens and grammars are made on the caller's thread, so that a prompt that can never
//! fit is refused at once and a long one delays nobody else.

mod answer;
mod attention;
mod batching;
mod cache;
mod counters;
mod likelihood;
mod load;
mod lookup;
mod queue;
mod running;
mod sampler;
mod states;
mod threads;
mod tree;
mod vocabulary;
mod worker;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use llama_cpp_2::token::LlamaToken;

use self::cache::Cache;
use self::counters::Counters;
use self::load::LoadedModel;
pub use self::load::{FlashAttention, LlamaSettings, inspect_model_file};
use self::queue::{Abandonable, Queue, Refused};
use self::running::Stopped;
use self::sampler::TokenSampler;
use super::{
    Capabilities, Engine, EngineError, EngineState, EngineStatus, Event, EventSender,
    GenerateRequest, Generation, Message,
};
use crate::tokens::{TokenCount, TokenCounter};

/// A handle on the engine's thread; dropping it ends the thread and every request.
pub struct LlamaEngine {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What handle and thread both see.
struct Shared {
    queue: Queue<Job>,
    phase: Mutex<Phase>,
    closing: AtomicBool,
    /// Requests that may run at once.
    parallel: usize,
    cache: Mutex<Cache>,
    counters: Counters,
    tokens_per_second: Rate,
    seconds_per_request: Rate,
    #[cfg(test)]
    panics_at_next_step: AtomicBool,
}

enum Phase {
    Loading { progress: f32 },
    Ready(Arc<LoadedModel>),
    Failed(EngineError),
    Absent(EngineError),
}

/// One request on its way to the thread.
struct Job {
    request: GenerateRequest,
    prompt: Vec<LlamaToken>,
    max_tokens: TokenCount,
    sampler: TokenSampler,
    events: EventSender,
    queued_at: Instant,
}

impl Job {
    /// Whether to go on with it.
    fn check(&self, closing: bool) -> Result<(), Stopped> {
        if self.events.is_cancelled() {
            return Err(Stopped::Abandoned);
        }
        if closing {
            return Err(Stopped::Failed(EngineError::ShuttingDown));
        }
        if self.request.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Stopped::Failed(EngineError::DeadlinePassed));
        }
        Ok(())
    }

    fn fail(self, error: EngineError) {
        self.events.send(Event::Failed(error));
    }
}

impl Abandonable for Job {
    fn is_abandoned(&self) -> bool {
        self.events.is_cancelled()
    }
}

impl LlamaEngine {
    /// Starts the thread and returns at once; [`Engine::status`] tells when the model is ready.
    pub fn start(settings: LlamaSettings) -> std::io::Result<Self> {
        let loading = Phase::Loading { progress: 0.0 };
        let shared = Arc::new(Shared::new(settings.queue_size, settings.parallel, loading));
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("rhapsode-engine".to_owned())
            .spawn(move || worker::run(&settings, &for_thread))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// An engine without a model; every request gets this explanation.
    pub fn absent(explanation: impl Into<String>) -> Self {
        let phase = Phase::Absent(EngineError::Unavailable(explanation.into()));
        Self { shared: Arc::new(Shared::new(1, 1, phase)), thread: None }
    }
}

impl Drop for LlamaEngine {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        for job in self.shared.queue.close() {
            job.fail(EngineError::ShuttingDown);
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the engine's thread had panicked");
        }
    }
}

impl Engine for LlamaEngine {
    fn status(&self) -> EngineStatus {
        self.shared.status()
    }

    fn ready(&self) -> Result<(), EngineError> {
        self.shared.model()?;
        self.shared.queue.has_room().map_err(|refused| self.shared.explain(&refused))
    }

    fn counter(&self) -> Option<Arc<dyn TokenCounter>> {
        self.shared.model().ok().map(|model| Arc::clone(&model.vocabulary) as _)
    }

    fn prompt_tokens(&self, messages: &[Message]) -> Result<TokenCount, EngineError> {
        Ok(TokenCount::new(tokenize(&*self.shared.model()?, messages)?.len()))
    }

    fn supports(&self) -> Capabilities {
        Capabilities {
            tools: false,
            logprobs: true,
            json_schema: true,
            logit_bias: true,
            continues_text: true,
        }
    }

    fn submit(&self, request: GenerateRequest) -> Result<Generation, EngineError> {
        let model = self.shared.model()?;
        request.check()?;
        if request.tools.is_some() {
            return Err(EngineError::Unsupported(NO_TOOLS.to_owned()));
        }
        let prompt = tokenize(&model, &request.messages)?;
        let prompt_tokens = TokenCount::new(prompt.len());
        let room = model.window.saturating_sub(prompt_tokens);
        if room == TokenCount::ZERO {
            return Err(EngineError::PromptTooLong { prompt: prompt_tokens, window: model.window });
        }
        let grammar = request.json_schema.as_deref();
        let grammar = grammar.map(|schema| model.grammars.matcher(schema)).transpose()?;
        let sampler = TokenSampler::new(&model.model, &request, grammar)?;
        let max_tokens = request.max_tokens.min(room);
        let predicted = self.shared.predicted_prefix(&prompt);
        let (generation, events) = Generation::channel(prompt_tokens, predicted, max_tokens);
        let queued_at = Instant::now();
        let job = Job { request, prompt, max_tokens, sampler, events, queued_at };
        self.shared.queue.push(job).map_err(|refused| self.shared.explain(&refused))?;
        Ok(generation)
    }

    fn forget(&self) {
        self.shared.cache().forget();
    }
}

const NO_TOOLS: &str = "the model in this process can't call tools: ask without `tools`, or set \
    LLM_PROVIDER to a server whose model can";

fn tokenize(model: &LoadedModel, messages: &[Message]) -> Result<Vec<LlamaToken>, EngineError> {
    let prompt = model
        .template
        .render(messages)
        .map_err(|error| EngineError::Template(error.to_string()))?;
    Ok(model.vocabulary.prompt(&prompt.parts()))
}

impl Shared {
    fn new(queue_size: usize, parallel: usize, phase: Phase) -> Self {
        Self {
            queue: Queue::new(queue_size),
            phase: Mutex::new(phase),
            closing: AtomicBool::new(false),
            parallel,
            cache: Mutex::new(Cache::empty()),
            counters: Counters::default(),
            tokens_per_second: Rate::default(),
            seconds_per_request: Rate::default(),
            #[cfg(test)]
            panics_at_next_step: AtomicBool::new(false),
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    fn set_phase(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn model(&self) -> Result<Arc<LoadedModel>, EngineError> {
        match &*self.phase.lock().unwrap_or_else(PoisonError::into_inner) {
            Phase::Ready(model) => Ok(Arc::clone(model)),
            Phase::Loading { progress } => Err(EngineError::Loading { percent: progress * 100.0 }),
            Phase::Failed(error) | Phase::Absent(error) => Err(error.clone()),
        }
    }

    fn status(&self) -> EngineStatus {
        let mut status = EngineStatus {
            state: EngineState::Loading,
            model: None,
            window: None,
            waiting: self.queue.waiting(),
            running: self.counters.running(),
            tokens_per_second: self.tokens_per_second.get(),
            counters: self.counters.read(),
            progress: None,
            error: None,
            last_error: None,
        };
        match &*self.phase.lock().unwrap_or_else(PoisonError::into_inner) {
            Phase::Loading { progress } => status.progress = Some(*progress),
            Phase::Ready(model) => {
                status.state = EngineState::Ready;
                status.model = Some(model.name.clone());
                status.window = Some(model.window);
            }
            Phase::Failed(error) => {
                status.state = EngineState::Failed;
                status.error = Some(error.to_string());
            }
            Phase::Absent(error) => {
                status.state = EngineState::Absent;
                status.error = Some(error.to_string());
            }
        }
        status
    }

    fn predicted_prefix(&self, prompt: &[LlamaToken]) -> TokenCount {
        TokenCount::new(self.cache().beginning(prompt).tokens())
    }

    fn explain(&self, refused: &Refused) -> EngineError {
        match *refused {
            Refused::Full(waiting) => EngineError::QueueFull {
                waiting,
                retry_after_seconds: self.seconds_until_a_place_is_free(),
            },
            Refused::Closed => EngineError::ShuttingDown,
        }
    }

    /// One request ends about this often, so a place is free after one of them.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 1..=60"
    )]
    fn seconds_until_a_place_is_free(&self) -> u64 {
        self.seconds_per_request.get().clamp(1.0, 60.0).ceil() as u64
    }
}

#[cfg(test)]
mod tests;

/// A running mean that forgets: each new value counts a fifth.
#[derive(Default)]
struct Rate(AtomicU64);

impl Rate {
    const WEIGHT_OF_NEWEST: f64 = 0.2;

    /// The mean, or this if nothing was observed yet.
    fn get_or(&self, unknown: f64) -> f64 {
        match self.get() {
            0.0 => unknown,
            mean => mean,
        }
    }

    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Only the engine's thread writes, so reading and writing need not be one step.
    fn observe(&self, value: f64) {
        let before = self.get();
        let mean =
            if before == 0.0 { value } else { before + Self::WEIGHT_OF_NEWEST * (value - before) };
        self.0.store(mean.to_bits(), Ordering::Relaxed);
    }
}
