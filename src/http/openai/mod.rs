//! `/v1`: OpenAI's API, so that any of its clients talks to this server and is remembered. Types as
//! they stand on the wire, and one file an endpoint.

mod chat;
mod completions;
mod embeddings;
pub(super) mod examples;
mod identity;
mod models;
mod sampling;
pub(super) mod wire;

pub(super) use self::chat::chat_completions;
pub(super) use self::completions::completions;
pub(super) use self::embeddings::embeddings;
pub(super) use self::models::{model, models};
use crate::engine::Sampling;
use crate::tokens::TokenCount;

/// How a talk is answered where the request doesn't say.
#[derive(Clone, Debug)]
pub struct TalkDefaults {
    pub sampling: Sampling,
    pub max_tokens: TokenCount,
}
