//! Engines whose model runs elsewhere: any server that speaks OpenAI's language, Ollama, Gemini.
//!
//! A request takes its `places` in a bounded, fair line, and goes its way as a task of its own
//! (`flight`): it is written in the provider's `language`, sent by the `caller`, cut into `frames`,
//! and sent again (`retry`) where that may help. How the provider fares is told by `health`.
//!
//! Invariants: [`Engine::submit`] never waits for the network. The key is sent to the base URL only,
//! and is in no message. What a provider says is never taken for more than text.

mod caller;
mod failure;
mod flight;
mod frames;
mod gemini;
mod gemini_schema;
mod health;
mod language;
mod ollama;
mod openai;
mod places;
mod retry;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand_chacha::ChaCha12Rng;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use self::caller::Caller;
use self::failure::in_own_words;
use self::flight::Flight;
use self::gemini::Gemini;
use self::health::Health;
use self::language::Language;
use self::ollama::Ollama;
use self::openai::OpenAi;
use self::places::Places;
use self::retry::Pauses;
use super::{
    Capabilities, Engine, EngineError, EngineState, EngineStatus, GenerateRequest, Generation,
    Message,
};
use crate::clock::Clock;
use crate::config::Secret;
use crate::tokens::{TokenCount, TokenCounter};

/// Tokens that a chat's form takes beside a message's text (OpenAI's cookbook, "How to count tokens
/// with tiktoken"); other providers' are near.
const TOKENS_AROUND_A_MESSAGE: usize = 4;
/// Tokens that open the answer.
const TOKENS_OF_THE_OPENING: usize = 3;
/// Tokens of a picture of 1024 × 1024 at high detail, as OpenAI counts them.
const TOKENS_OF_A_PICTURE: usize = 765;
/// How long a probe may take.
const TIME_FOR_A_PROBE: Duration = Duration::from_secs(15);

/// Who runs the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    OpenAi,
    Ollama,
    Gemini,
}

/// A provider, and how it is to be asked.
#[derive(Clone, Debug)]
pub struct RemoteSettings {
    pub provider: Provider,
    /// What all of its routes begin with.
    pub base_url: String,
    pub api_key: Option<Secret>,
    /// The model's name there.
    pub model: String,
    /// Tokens of the model's window.
    pub window: TokenCount,
    /// Requests it gets at the same time.
    pub max_in_flight: usize,
    /// Requests that may wait.
    pub queue_size: usize,
    pub connect_timeout: Duration,
    /// Until an answer begins.
    pub first_token_timeout: Duration,
    /// Between two pieces of an answer.
    pub stall_timeout: Duration,
    /// How often a request that failed is sent again.
    pub retries: u32,
}

/// A model elsewhere. Dropping it ends every request.
pub struct RemoteEngine {
    shared: Arc<Shared>,
    places: Arc<Places>,
    runtime: Handle,
}

/// What the engine and its requests see.
struct Shared {
    settings: RemoteSettings,
    language: Box<dyn Language>,
    counter: Arc<dyn TokenCounter>,
    caller: Caller,
    health: Health,
    closing: CancellationToken,
    random: Mutex<ChaCha12Rng>,
}

impl RemoteEngine {
    /// Begins to look whether the provider is there, and returns at once. Requests run as tasks of
    /// `runtime`.
    pub fn start(
        settings: RemoteSettings,
        clock: Clock,
        runtime: Handle,
    ) -> Result<Self, EngineError> {
        if settings.provider == Provider::Gemini && settings.api_key.is_none() {
            let text = "there is no key for Gemini: set GEMINI_API_KEY or LLM_API_KEY";
            return Err(EngineError::Unavailable(text.to_owned()));
        }
        let caller = Caller::new(&settings, clock.clone())?;
        let language = language(&settings);
        let places = Places::new(settings.max_in_flight, settings.queue_size);
        let shared = Shared {
            counter: language.counter(),
            language,
            caller,
            health: Health::new(clock),
            closing: CancellationToken::new(),
            random: Mutex::new(rand::make_rng()),
            settings,
        };
        let engine = Self { shared: Arc::new(shared), places, runtime };
        engine.look_after_it();
        Ok(engine)
    }

    /// Probes the provider, if it isn't known to be well and nobody looked lately.
    fn look_after_it(&self) {
        if !self.shared.health.wants_a_probe() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        self.runtime.spawn(async move {
            let found = tokio::select! {
                () = shared.closing.cancelled() => return,
                found = shared.probe() => found,
            };
            shared.health.probed(found);
        });
    }

    fn count(&self, messages: &[Message]) -> TokenCount {
        let counter = &*self.shared.counter;
        let name = |message: &Message| message.name.as_deref().map(|name| counter.count(name));
        let of = |message: &Message| {
            let said = match &message.wire {
                Some(wire) => texts(wire, counter),
                None => counter.count(&message.content) + name(message).unwrap_or_default(),
            };
            TokenCount::new(TOKENS_AROUND_A_MESSAGE) + said
        };
        messages.iter().map(of).sum::<TokenCount>() + TokenCount::new(TOKENS_OF_THE_OPENING)
    }

    fn full(&self, waiting: usize) -> EngineError {
        let retry_after_seconds = self.shared.health.seconds_until_a_place_is_free();
        EngineError::QueueFull { waiting, retry_after_seconds }
    }
}

impl Drop for RemoteEngine {
    fn drop(&mut self) {
        self.shared.closing.cancel();
    }
}

impl Engine for RemoteEngine {
    fn status(&self) -> EngineStatus {
        self.look_after_it();
        let report = self.shared.health.report();
        EngineStatus {
            state: report.state,
            model: Some(self.shared.settings.model.clone()),
            window: Some(self.shared.settings.window),
            waiting: self.places.waiting(),
            running: self.places.running(),
            tokens_per_second: report.tokens_per_second,
            counters: report.counters,
            progress: None,
            error: report.reason.filter(|_| report.state == EngineState::Failed),
            last_error: report.last_error,
        }
    }

    /// A provider that failed may do better now, so only the line can refuse.
    fn ready(&self) -> Result<(), EngineError> {
        self.look_after_it();
        self.places.has_room().map_err(|waiting| self.full(waiting))
    }

    fn counter(&self) -> Option<Arc<dyn TokenCounter>> {
        Some(Arc::clone(&self.shared.counter))
    }

    fn prompt_tokens(&self, messages: &[Message]) -> Result<TokenCount, EngineError> {
        Ok(self.count(messages))
    }

    fn supports(&self) -> Capabilities {
        self.shared.language.supports()
    }

    fn submit(&self, request: GenerateRequest) -> Result<Generation, EngineError> {
        request.check()?;
        check(self.supports(), self.shared.settings.provider, &request)?;
        let prompt_tokens = self.count(&request.messages);
        let window = self.shared.settings.window;
        let room = window.saturating_sub(prompt_tokens);
        if room == TokenCount::ZERO {
            return Err(EngineError::PromptTooLong { prompt: prompt_tokens, window });
        }
        let max_tokens = request.max_tokens.min(room);
        // What can't be written is refused at once.
        self.shared.language.call(&request, max_tokens)?;
        let line = self.places.line_up(request.client.clone());
        let turn = line.map_err(|waiting| self.full(waiting))?;
        let (generation, events) = Generation::channel(prompt_tokens, TokenCount::ZERO, max_tokens);
        let shared = Arc::clone(&self.shared);
        let queued_at = Instant::now();
        let flight = Flight { shared, request, prompt_tokens, max_tokens, events, queued_at };
        self.runtime.spawn(flight.go(turn));
        Ok(generation)
    }
}

impl Shared {
    fn pauses(&self) -> Pauses {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        Pauses::new(self.settings.retries, ChaCha12Rng::from_rng(&mut *random))
    }

    /// Whether the provider answers, and knows the key and the model.
    async fn probe(&self) -> Result<(), String> {
        let path = self.language.probe();
        let answer = tokio::time::timeout(TIME_FOR_A_PROBE, self.caller.get(&path)).await;
        match answer {
            Err(_) => Err(format!(
                "the model's server didn't answer within {} s; check that it runs, and LLM_BASE_URL",
                TIME_FOR_A_PROBE.as_secs()
            )),
            Ok(Ok(answer)) => self.language.judge(&answer).map_or(Ok(()), Err),
            // Not every server lists its models; it is there.
            Ok(Err(refusal))
                if self.settings.provider == Provider::OpenAi
                    && matches!(refusal.status, Some(404 | 405 | 501)) =>
            {
                Ok(())
            }
            Ok(Err(refusal)) => Err(in_own_words(&refusal.failure.error)),
        }
    }
}

fn language(settings: &RemoteSettings) -> Box<dyn Language> {
    let model = settings.model.clone();
    match settings.provider {
        Provider::OpenAi => {
            let is_original = settings.base_url.contains("//api.openai.com");
            Box::new(OpenAi::new(model, is_original))
        }
        Provider::Ollama => Box::new(Ollama::new(model, settings.window)),
        Provider::Gemini => Box::new(Gemini::new(&model)),
    }
}

/// Whether the provider can do all that is asked.
fn check(
    can: Capabilities,
    provider: Provider,
    request: &GenerateRequest,
) -> Result<(), EngineError> {
    let asked = [
        (request.tools.is_some() && !can.tools, "tools"),
        (request.logprobs.is_some() && !can.logprobs, "logprobs"),
        (!request.logit_bias.is_empty() && !can.logit_bias, "logit_bias"),
    ];
    match asked.into_iter().find(|(lacking, _)| *lacking) {
        Some((_, what)) => Err(EngineError::Unsupported(format!(
            "{provider:?} is asked without `{what}` here: leave it out, or set LLM_PROVIDER to openai and LLM_BASE_URL to a server that knows it"
        ))),
        None => Ok(()),
    }
}

/// Tokens of all texts in a message as a client sent it.
fn texts(value: &Value, counter: &dyn TokenCounter) -> TokenCount {
    match value {
        Value::String(url) if url.starts_with("data:") => TokenCount::new(TOKENS_OF_A_PICTURE),
        Value::String(text) => counter.count(text),
        Value::Array(values) => values.iter().map(|value| texts(value, counter)).sum(),
        Value::Object(fields) => fields.values().map(|value| texts(value, counter)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => TokenCount::ZERO,
    }
}
