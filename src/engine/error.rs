//! Why an engine refuses or gives up. Messages say what to do; they reach users as they stand.

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
