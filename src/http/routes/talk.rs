//! Routes of OpenAI's API, with and without a session in the path.

use axum::routing::{get, post};

use super::Endpoint;
use crate::http::error::Style;
use crate::http::openai;

const TALK: &str = "talk";

const TALK_ERRORS: &[u16] = &[400, 413, 429, 500, 502, 503, 504];

/// The same routes below whatever path: a session's base path names it, and nothing else differs.
macro_rules! below {
    ($base:literal, $turn:literal) => {
        &[
            Endpoint::new("get", concat!($base, "/v1/models"), TALK, || get(openai::models))
                .about("The model, and an alias for each session with a persona of its own")
                .answers("ModelList")
                .tells(Style::OpenAi),
            Endpoint::new("get", concat!($base, "/v1/models/{id}"), TALK, || get(openai::model))
                .about("One of the models")
                .answers("ModelEntry")
                .fails(&[400, 404])
                .tells(Style::OpenAi),
            Endpoint::new("post", concat!($base, "/v1/chat/completions"), TALK, || {
                post(openai::chat_completions)
            })
            .about($turn)
            .takes("ChatCompletionRequest", openai::examples::CHAT)
            .answers("ChatCompletion")
            .streams("ChatCompletionChunk")
            .fails(TALK_ERRORS)
            .tells(Style::OpenAi),
            Endpoint::new("post", concat!($base, "/v1/completions"), TALK, || {
                post(openai::completions)
            })
            .about("Continue a text, without memory")
            .takes("CompletionRequest", openai::examples::COMPLETION)
            .answers("Completion")
            .streams("Completion")
            .fails(TALK_ERRORS)
            .tells(Style::OpenAi),
            Endpoint::new("post", concat!($base, "/v1/embeddings"), TALK, || {
                post(openai::embeddings)
            })
            .about("Texts as vectors")
            .takes("EmbeddingRequest", openai::examples::EMBEDDING)
            .answers("EmbeddingResponse")
            .fails(&[400, 413, 503])
            .tells(Style::OpenAi),
        ]
    };
}

pub(super) const ROWS: &[Endpoint] = below!("", "Answer a turn of talk, with memory");
pub(super) const IN_SESSION: &[Endpoint] =
    below!("/s/{session}", "Answer a turn of talk of this session, with memory");
