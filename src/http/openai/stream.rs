//! What streams of chats and of completions have in common.

use axum::response::sse::Event;

use crate::engine::EngineError;
use crate::http::Lifecycle;
use crate::http::error::{ApiError, Style};
use crate::http::sse;
use crate::metrics::Metrics;

/// What every piece of an answer says of it.
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: i64,
    pub(super) model: String,
}

/// How an answer is told.
pub(super) struct Telling {
    pub(super) head: Head,
    /// Whether a stream's last chunk tells the usage.
    pub(super) tells_usage: bool,
    pub(super) lifecycle: Lifecycle,
    pub(super) metrics: Metrics,
}

impl Telling {
    /// A failure in the middle of a stream; no response carries it to the layers, so it is recorded
    /// here.
    pub(super) fn error(&self, error: EngineError) -> Event {
        let error = ApiError::from(error);
        error.record("a stream", None, &self.metrics);
        sse::frame(&error.body(Style::OpenAi, false))
    }
}

/// The last frame.
pub(super) fn done() -> Event {
    Event::default().data("[DONE]")
}
