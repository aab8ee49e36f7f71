//! The room of models that write: one trait, its requests and its events. What happens behind the
//! trait (a thread with llama.cpp, a script in a test, later a remote server) is not seen outside.
//!
//! Invariants every engine keeps:
//! - [`Engine::submit`] never waits for other requests: it queues, or refuses with the reason.
//! - A [`Generation`] yields `Started`, then text, then exactly one terminal event; after that `None`.
//! - Dropping a [`Generation`] stops the work within one token while text is written, and within one
//!   slice of the prompt while that is read.

mod error;
pub mod llama;
pub mod scripted;
mod stop;

use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::error::EngineError;
pub use self::stop::{Passed, StopMatcher};
use crate::tokens::{TokenCount, TokenCounter};

/// Something that continues a conversation.
pub trait Engine: Send + Sync + 'static {
    fn status(&self) -> EngineStatus;

    /// Whether a request could be queued now; if not, why, and what to do.
    fn ready(&self) -> Result<(), EngineError>;

    /// The model's own tokenizer, once it is loaded.
    fn counter(&self) -> Option<Arc<dyn TokenCounter>>;

    /// Tokens that these messages take in the model's chat template, the opening of the answer
    /// included. Takes time proportional to the text; call it where blocking is allowed.
    fn prompt_tokens(&self, messages: &[Message]) -> Result<TokenCount, EngineError>;

    /// Queues a request. Tokenizes on the caller's thread; call it where blocking is allowed.
    fn submit(&self, request: GenerateRequest) -> Result<Generation, EngineError>;
}

/// What an engine is asked to write.
#[derive(Clone, Debug)]
pub struct GenerateRequest {
    /// Who asks. Clients take turns, however much each asks for.
    pub client: ClientId,
    pub messages: Vec<Message>,
    pub sampling: Sampling,
    /// Most tokens to write; the window may end it earlier.
    pub max_tokens: TokenCount,
    /// Strings that end the answer. They are not part of it.
    pub stop: Vec<String>,
    /// A JSON Schema that the answer must match, enforced while sampling.
    pub json_schema: Option<Arc<serde_json::Value>>,
    /// Whether the answer mostly repeats the prompt, as a chapter with one change does. Then its
    /// tokens are drafted from there and checked many at a time. It changes the time it takes,
    /// nothing else; for other answers it takes more.
    pub prompt_lookup: bool,
    /// When to give up, waiting included.
    pub deadline: Option<Instant>,
}

/// Tells the engine's clients apart, so that it can be fair between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientId(Arc<str>);

impl ClientId {
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    pub role: Role,
    pub content: String,
}

impl Message {
    pub fn system(content: impl Into<String>) -> Self {
        Self { role: Role::System, content: content.into() }
    }

    pub fn user(content: impl Into<String>) -> Self {
        Self { role: Role::User, content: content.into() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    User,
    Assistant,
}

/// How the next token is chosen from the model's distribution.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 always takes the likeliest token.
    pub temperature: f32,
    /// Nucleus sampling: the smallest set of tokens whose probabilities sum to this.
    pub top_p: f32,
    /// The likeliest k tokens; 0 means all.
    pub top_k: u32,
    /// Tokens at least this fraction as likely as the likeliest; 0 means all.
    pub min_p: f32,
    /// Divides the logits of the last 64 tokens written; 1 is off.
    pub repeat_penalty: f32,
    /// Subtracted once from the logits of those tokens; 0 is off.
    pub presence_penalty: f32,
    /// Subtracted for each of their occurrences; 0 is off.
    pub frequency_penalty: f32,
    pub seed: u32,
}

/// One step of a generation.
#[derive(Debug)]
pub enum Event {
    /// The prompt is being read: its length, and how much of it was still in the KV cache.
    Started { prompt_tokens: TokenCount, cached_tokens: TokenCount },
    /// Whole characters, in order; joined, they are the answer.
    Text(String),
    /// The answer is complete.
    Finished(Finished),
    /// The answer ended early; what came before still holds.
    Failed(EngineError),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    pub reason: FinishReason,
    pub usage: Usage,
    pub timings: Timings,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended it, or a stop string did.
    Stop,
    /// `max_tokens` or the window was reached.
    Length,
}

/// Tokens read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    pub prompt_tokens: TokenCount,
    /// Of the prompt, what was found in the KV cache and not read again.
    pub cached_tokens: TokenCount,
    pub completion_tokens: TokenCount,
}

/// Where the time went, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timings {
    pub queue_ms: f64,
    pub prefill_ms: f64,
    pub decode_ms: f64,
}

/// What an engine is doing, as `/health` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EngineStatus {
    pub state: EngineState,
    /// The model's name, from its file.
    pub model: Option<String>,
    /// Tokens that prompt and answer may take together.
    pub window: Option<TokenCount>,
    /// Requests in the queue.
    pub waiting: usize,
    /// Requests being read or written.
    pub running: usize,
    /// Tokens a second written by the last requests, averaged.
    pub tokens_per_second: f64,
    pub counters: EngineCounters,
    /// How much of the model file is read, 0 to 1, while `loading`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<f32>,
    /// What is wrong and what to do, while `failed` or `absent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What an engine counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EngineCounters {
    /// Requests that were begun.
    pub requests: u64,
    /// Of those, the ones whose prompt began with something read before.
    pub prefix_hits: u64,
    /// Prompt tokens that so were not read again.
    pub cached_tokens: u64,
    /// Of those, the ones that came from disk.
    pub restored_tokens: u64,
    /// Tokens that had to leave the KV cache for others.
    pub evicted_tokens: u64,
    /// Tokens guessed by prompt lookup.
    pub drafted_tokens: u64,
    /// Of those, the ones that were right.
    pub accepted_tokens: u64,
    /// Batches computed.
    pub steps: u64,
    /// Milliseconds that one takes, on average.
    pub step_ms: f64,
    /// Tokens that the KV cache holds.
    pub kv_used: usize,
    /// Tokens that it can hold.
    pub kv_size: usize,
    /// Threads that compute at present.
    pub threads: usize,
    /// How often the engine's thread panicked and started again.
    pub restarts: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineState {
    Loading,
    Ready,
    Failed,
    Absent,
}

/// An answer as it is being written. Dropping it stops the work.
#[derive(Debug)]
pub struct Generation {
    /// Length of the prompt as the model reads it.
    pub prompt_tokens: TokenCount,
    /// How much of it the cache held when the request was queued; [`Event::Started`] tells how much
    /// it really held when its turn came.
    pub predicted_cached_tokens: TokenCount,
    events: mpsc::Receiver<Event>,
    ended: bool,
    _stop_on_drop: DropGuard,
}

impl Generation {
    /// The receiving end, and the sending end for an engine to keep.
    ///
    /// The channel holds every event a request can have, so an engine never waits for a slow
    /// reader: one event a token, and a few more.
    pub(crate) fn channel(
        prompt_tokens: TokenCount,
        predicted_cached_tokens: TokenCount,
        max_tokens: TokenCount,
    ) -> (Self, EventSender) {
        const EVENTS_BESIDE_TOKENS: usize = 8;
        let (sender, events) = mpsc::channel(max_tokens.get() + EVENTS_BESIDE_TOKENS);
        let cancel = CancellationToken::new();
        let generation = Self {
            prompt_tokens,
            predicted_cached_tokens,
            events,
            ended: false,
            _stop_on_drop: cancel.clone().drop_guard(),
        };
        (generation, EventSender { sender, cancel })
    }

    /// The next event; `None` after the terminal one.
    pub async fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        let event = self.events.recv().await.unwrap_or(Event::Failed(EngineError::Lost));
        self.ended = matches!(event, Event::Finished(_) | Event::Failed(_));
        Some(event)
    }

    /// Waits for the whole answer.
    pub async fn text(mut self) -> Result<(String, Finished), EngineError> {
        let mut text = String::new();
        while let Some(event) = self.next().await {
            match event {
                Event::Started { .. } => {}
                Event::Text(piece) => text.push_str(&piece),
                Event::Finished(finished) => return Ok((text, finished)),
                Event::Failed(error) => return Err(error),
            }
        }
        Err(EngineError::Lost)
    }
}

/// The engine's end of a [`Generation`].
#[derive(Debug)]
pub(crate) struct EventSender {
    sender: mpsc::Sender<Event>,
    cancel: CancellationToken,
}

impl EventSender {
    /// Never waits. An event for a reader who left is nobody's: the cancellation says so already.
    pub(crate) fn send(&self, event: Event) {
        if self.sender.try_send(event).is_err() {
            self.cancel.cancel();
        }
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled() || self.sender.is_closed()
    }

    pub(crate) async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
