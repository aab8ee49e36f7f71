//! An answer on its way: its events, and the two ends of the channel they go through.
//!
//! Invariant: a reader gets exactly one terminal event, whatever becomes of the engine.

use futures_util::stream::{self, BoxStream, StreamExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::EngineError;
use crate::tokens::TokenCount;

/// One step of a generation.
#[derive(Debug)]
pub enum Event {
    /// The prompt is being read: its length, and how much of it was still in the KV cache.
    Started { prompt_tokens: TokenCount, cached_tokens: TokenCount },
    /// The tokens of the text that follows next, when log probabilities were asked for.
    Tokens(Vec<TokenLogprob>),
    /// Whole characters, in order; joined, they are the answer.
    Text(String),
    /// A piece of a tool call, in the shape of OpenAI's `delta.tool_calls` (an array).
    ToolCalls(serde_json::Value),
    /// The answer is complete.
    Finished(Finished),
    /// The answer ended early; what came before still holds.
    Failed(EngineError),
}

/// A token, and how likely the model found it before temperature, penalties and biases.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// Its text; half a character reads as U+FFFD.
    pub token: String,
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// The likeliest tokens at this place, the likeliest first: text, bytes, log probability.
    pub top: Vec<(String, Vec<u8>, f32)>,
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
    /// The model waits for the results of the tools it called.
    ToolCalls,
    /// The provider's filter ended it.
    ContentFilter,
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
    /// reader: two events a token (its text, and how likely it was), and a few more.
    pub(crate) fn channel(
        prompt_tokens: TokenCount,
        predicted_cached_tokens: TokenCount,
        max_tokens: TokenCount,
    ) -> (Self, EventSender) {
        const EVENTS_BESIDE_TOKENS: usize = 8;
        let most = max_tokens.get().saturating_mul(2).saturating_add(EVENTS_BESIDE_TOKENS);
        let (sender, events) = mpsc::channel(most.min(Semaphore::MAX_PERMITS));
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
                Event::Started { .. } | Event::Tokens(_) | Event::ToolCalls(_) => {}
                Event::Text(piece) => text.push_str(&piece),
                Event::Finished(finished) => return Ok((text, finished)),
                Event::Failed(error) => return Err(error),
            }
        }
        Err(EngineError::Lost)
    }
}

/// The events of several answers as they come, each with its answer's place in the list; ends when
/// all have. Dropping it stops them.
pub fn side_by_side(generations: Vec<Generation>) -> BoxStream<'static, (usize, Event)> {
    let events = generations.into_iter().enumerate().map(|(place, generation)| {
        stream::unfold(generation, move |mut generation| async move {
            let event = generation.next().await?;
            Some(((place, event), generation))
        })
        .boxed()
    });
    stream::select_all(events).boxed()
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

    /// Waits until the reader has room, for senders that can wait; a reader who left has.
    pub(crate) async fn send_when_there_is_room(&self, event: Event) {
        if self.sender.send(event).await.is_err() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_side_by_side_are_told_apart_and_stop_together() {
        let most = TokenCount::new(5);
        let channel = || Generation::channel(TokenCount::ZERO, TokenCount::ZERO, most);
        let ((one, to_one), (two, to_two)) = (channel(), channel());
        let mut events = side_by_side(vec![one, two]);
        to_two.send(Event::Text("b".to_owned()));
        assert!(matches!(events.next().await, Some((1, Event::Text(text))) if text == "b"));
        to_one.send(Event::Text("a".to_owned()));
        assert!(matches!(events.next().await, Some((0, Event::Text(text))) if text == "a"));
        drop(to_one);
        assert!(matches!(events.next().await, Some((0, Event::Failed(EngineError::Lost)))));
        assert!(!to_two.is_cancelled(), "the other goes on");
        drop(events);
        to_two.cancelled().await;

        assert!(side_by_side(Vec::new()).next().await.is_none());
    }
}
