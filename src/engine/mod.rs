//! The room of models that write: one trait, its requests and its events. What happens behind the
//! trait (a thread with llama.cpp, a remote server, a script in a test) is not seen outside.
//!
//! Invariants every engine keeps:
//! - [`Engine::submit`] never waits for other requests: it queues, or refuses with the reason.
//! - A [`Generation`] yields `Started`, then text, then exactly one terminal event; after that `None`.
//! - Dropping a [`Generation`] stops the work within one token while text is written, and within one
//!   slice of the prompt while that is read.

mod error;
mod generation;
pub mod llama;
pub mod remote;
mod request;
pub mod scripted;
mod stop;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::error::EngineError;
pub(crate) use self::generation::EventSender;
pub use self::generation::{
    Event, FinishReason, Finished, Generation, Timings, TokenLogprob, Usage, side_by_side,
};
pub use self::request::{ClientId, GenerateRequest, Message, Role, Sampling, Tools};
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

    /// What it can do beyond writing text. Asking for more is refused.
    fn supports(&self) -> Capabilities;

    /// Queues a request. Tokenizes on the caller's thread; call it where blocking is allowed.
    fn submit(&self, request: GenerateRequest) -> Result<Generation, EngineError>;

    /// Deletes what it keeps of prompts beyond this process, and keeps what it holds now from getting
    /// there: something of it was to be forgotten. Blocking.
    fn forget(&self) {}
}

/// What an engine can do beyond writing text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each stands alone, and none rules out another")]
pub struct Capabilities {
    /// Its model may call [`Tools`].
    pub tools: bool,
    /// It reports log probabilities of tokens.
    pub logprobs: bool,
    /// It holds answers to a JSON Schema while they are written.
    pub json_schema: bool,
    /// It adds to the logits of single tokens.
    pub logit_bias: bool,
    /// It goes on with a text that is its only message, an assistant's, without a chat template.
    pub continues_text: bool,
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
    /// The last failure of a remote server, however it goes now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<SeenError>,
}

/// A failure and when it was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeenError {
    pub message: String,
    /// RFC 3339, UTC.
    pub at: String,
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

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
