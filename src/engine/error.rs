//! Why an engine refuses or gives up. Messages say what to do; they reach users as they stand.

use std::time::Duration;

use crate::tokens::TokenCount;

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EngineError {
    #[error("the model is still loading ({percent:.0} %); try again in a moment")]
    Loading { percent: f32 },
    /// No model, or one that couldn't be loaded; the text says why and what to do.
    #[error("{0}")]
    Unavailable(String),
    #[error(
        "{waiting} requests are waiting already, which is as many as LLM_QUEUE_SIZE allows; try again in {retry_after_seconds} s"
    )]
    QueueFull { waiting: usize, retry_after_seconds: u64 },
    #[error(
        "the prompt has {prompt} tokens, and the model's window of {window} leaves no room for an answer; send less, or raise LLM_N_CTX"
    )]
    PromptTooLong { prompt: TokenCount, window: TokenCount },
    #[error("the model's chat template refused the messages: {0}")]
    Template(String),
    #[error("the answer's JSON Schema can't be enforced: {0}")]
    Schema(String),
    /// This engine can't do what the request asks; the text says what, and what to do.
    #[error("{0}")]
    Unsupported(String),
    #[error("logit_bias can't be applied: {0}")]
    LogitBias(String),
    #[error("max_tokens is 0, which leaves nothing to write; ask for at least 1")]
    NothingToWrite,
    /// A remote server answered with a status that asking again now won't change. `message` says
    /// what to do, and may quote what the server said; `retry_after` is how long it asks to wait.
    #[error("the model's server refused the request with status {status}: {message}")]
    Refused { status: u16, message: String, retry_after: Option<Duration> },
    /// A remote server can't be reached, has trouble of its own or broke off; the text says which,
    /// and what to do.
    #[error("{0}")]
    Unreachable(String),
    /// A remote server sent what can't be understood.
    #[error(
        "the model's server sent something that isn't an answer: {0}; check LLM_PROVIDER and LLM_BASE_URL"
    )]
    BadAnswer(String),
    /// A remote server took longer than one of the settings allows; the text names it.
    #[error("{0}")]
    TooSlow(String),
    #[error("the answer wasn't finished within LLM_GENERATION_TIMEOUT_SECONDS")]
    DeadlinePassed,
    #[error("the server is shutting down")]
    ShuttingDown,
    /// llama.cpp reported a failure.
    #[error("the engine failed: {0}")]
    Backend(String),
    #[error("the engine stopped without finishing the answer; see the server's log")]
    Lost,
}
