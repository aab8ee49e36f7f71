//! `/v1`: OpenAI's API, so that any of its clients talks to this server and is remembered. Types as
//! they stand on the wire, and one file an endpoint.

mod chat;
mod completions;
mod embeddings;
pub(super) mod examples;
mod identity;
mod messages;
mod models;
mod sampling;
mod spoken;
mod stream;
mod tool_calls;
pub(super) mod wire;

pub(super) use self::chat::{MEMORY, RECEIPT, SESSION, chat_completions};
pub(super) use self::completions::completions;
pub(super) use self::embeddings::embeddings;
pub(super) use self::models::{model, models};
use crate::engine::Sampling;
use crate::tokens::TokenCount;

/// How a talk is answered where the request doesn't say, and how much a request may ask for.
#[derive(Clone, Debug)]
pub struct TalkDefaults {
    pub sampling: Sampling,
    pub max_tokens: TokenCount,
    /// Requests that may wait for the model.
    pub queue_size: usize,
}
