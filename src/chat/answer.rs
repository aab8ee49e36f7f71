//! An answer as it is spoken, and how it is remembered. What was said is stored before the answer's
//! end is told; if the client leaves, what was said so far is stored all the same.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::task::JoinHandle;

use super::upkeep::Speaking;
use super::{ChatService, MemoryState};
use crate::context::Receipt;
use crate::engine::{
    EngineError, Event, FinishReason, Finished, Generation, TokenLogprob, side_by_side,
};
use crate::memory::{Answered, Remembered, Said, Talk};
use crate::telemetry;

/// What happens while an answer is spoken. Each choice ends with exactly one `Finished` or `Failed`.
#[derive(Debug)]
pub enum Spoken {
    Text {
        choice: usize,
        text: String,
    },
    /// The tokens of the text that follows next.
    Tokens {
        choice: usize,
        tokens: Vec<TokenLogprob>,
    },
    ToolCalls {
        choice: usize,
        calls: serde_json::Value,
    },
    Finished {
        choice: usize,
        finished: Finished,
    },
    Failed {
        choice: usize,
        error: EngineError,
    },
}

impl Spoken {
    /// Which answer it belongs to.
    pub fn choice(&self) -> usize {
        match self {
            Self::Text { choice, .. }
            | Self::Tokens { choice, .. }
            | Self::ToolCalls { choice, .. }
            | Self::Finished { choice, .. }
            | Self::Failed { choice, .. } => *choice,
        }
    }
}

/// What is to be stored of a turn.
pub(super) struct Remembering {
    pub(super) talk: Talk,
    /// The beginning of the answer, where the client wanted it continued.
    pub(super) beginning: Option<Said>,
    /// The session's name.
    pub(super) session: Option<String>,
    pub(super) held: Option<Arc<dyn Any + Send + Sync>>,
}

/// A turn whose answer is about to be spoken.
pub(super) struct Begun {
    pub(super) receipt: Receipt,
    /// Its keeping, where that isn't done yet.
    pub(super) kept: Option<JoinHandle<()>>,
    pub(super) memory: MemoryState,
    /// When the turn arrived.
    pub(super) started: Instant,
    pub(super) speaking: Speaking,
}

/// How a turn that nobody heard to its end is counted.
const LEFT: &str = "left";

/// The answers to one turn. Dropping it stops the model.
pub struct Answer {
    service: Arc<ChatService>,
    events: BoxStream<'static, (usize, Event)>,
    texts: Vec<Choice>,
    /// Ends of choices, held back until what was said is stored.
    ends: VecDeque<Spoken>,
    remembering: Option<Remembering>,
    /// Its storing, once all is said.
    concluding: Option<JoinHandle<Result<Option<Remembered>, Unstored>>>,
    is_stored: bool,
    started: Instant,
    status: &'static str,
    pub receipt: Receipt,
    kept: Option<JoinHandle<()>>,
    pub memory: MemoryState,
    /// What came of storing it, once all is said and stored.
    pub remembered: Option<Remembered>,
    _speaking: Speaking,
}

#[derive(Default)]
struct Choice {
    text: String,
    /// Whether the model came to its end.
    is_whole: bool,
}

impl Answer {
    pub(super) fn new(
        service: Arc<ChatService>,
        generations: Vec<Generation>,
        begun: Begun,
        remembering: Option<Remembering>,
    ) -> Self {
        let Begun { receipt, kept, memory, started, speaking } = begun;
        let texts = generations.iter().map(|_| Choice::default()).collect();
        Self {
            service,
            events: side_by_side(generations),
            texts,
            ends: VecDeque::new(),
            remembering,
            concluding: None,
            is_stored: false,
            started,
            status: LEFT,
            receipt,
            kept,
            memory,
            remembered: None,
            _speaking: speaking,
        }
    }

    /// The session's name, where the talk has one.
    pub fn session(&self) -> Option<&str> {
        self.remembering.as_ref()?.session.as_deref()
    }

    /// What happens next; `None` when all is said and stored. May be dropped at any time: nothing is
    /// lost.
    pub async fn next(&mut self) -> Option<Spoken> {
        while let Some((choice, event)) = self.events.next().await {
            match event {
                Event::Started { cached_tokens, .. } => {
                    let cached = &mut self.receipt.prompt.cached_tokens;
                    *cached = Some(cached.unwrap_or(cached_tokens));
                }
                Event::Text(text) => {
                    self.texts[choice].text.push_str(&text);
                    return Some(Spoken::Text { choice, text });
                }
                Event::Tokens(tokens) => return Some(Spoken::Tokens { choice, tokens }),
                Event::ToolCalls(calls) => return Some(Spoken::ToolCalls { choice, calls }),
                Event::Finished(finished) => {
                    // A call of a tool is no answer yet.
                    self.texts[choice].is_whole = finished.reason != FinishReason::ToolCalls;
                    self.count(&finished);
                    self.ends.push_back(Spoken::Finished { choice, finished });
                }
                Event::Failed(error) => {
                    self.status = "failed";
                    self.ends.push_back(Spoken::Failed { choice, error });
                }
            }
        }
        if !self.is_stored {
            self.status = if self.status == LEFT { "ok" } else { self.status };
            let concluding = self.concluding.take().unwrap_or_else(|| self.conclude());
            match self.concluding.insert(concluding).await.unwrap_or(Err(Unstored)) {
                Ok(remembered) => self.remembered = remembered,
                Err(Unstored) => self.memory = MemoryState::Degraded,
            }
            self.is_stored = true;
        }
        self.ends.pop_front()
    }

    /// Stores what was said, and the receipt as it is now. In a task of its own: a client that leaves
    /// meanwhile doesn't keep it from being stored.
    fn conclude(&mut self) -> JoinHandle<Result<Option<Remembered>, Unstored>> {
        let remembering = self.remembering.take().map(|remembering| {
            let answers = answers(&self.texts, &remembering);
            (remembering, answers)
        });
        let (service, receipt) = (Arc::clone(&self.service), self.receipt.clone());
        let kept = self.kept.take();
        self.service.tasks.spawn(async move {
            let remembered = match remembering {
                Some((remembering, answers)) => Self::store(&service, remembering, answers).await?,
                None => None,
            };
            // Its earlier state must not come after.
            if let Some(kept) = kept {
                let _ = kept.await;
            }
            let _ = service.keep(&receipt).await;
            Ok(remembered)
        })
    }

    fn count(&self, finished: &Finished) {
        let used = &self.service.metrics.tokens_used;
        let usage = &finished.usage;
        for (kind, tokens) in [
            ("prompt", usage.prompt_tokens),
            ("cached", usage.cached_tokens),
            ("completion", usage.completion_tokens),
        ] {
            used.with_label_values(&[kind]).inc_by(tokens.get() as u64);
        }
    }

    async fn store(
        service: &Arc<ChatService>,
        remembering: Remembering,
        answers: Vec<Answered>,
    ) -> Result<Option<Remembered>, Unstored> {
        let Remembering { talk, held: _until_stored, .. } = remembering;
        let Some(memory) = &service.memory else { return Ok(None) };
        if answers.is_empty() {
            return Ok(None);
        }
        for answer in &answers {
            tracing::trace!(target: telemetry::GENERATION, content = answer.text, "answer");
        }
        match memory.remember(talk, answers).await {
            Ok(remembered) => {
                service.look_after(&remembered.session);
                Ok(Some(remembered))
            }
            Err(error) => {
                tracing::error!(
                    waiting = memory.unsaved(),
                    "a turn couldn't be stored and waits in memory: {error}"
                );
                service.save_later();
                Err(Unstored)
            }
        }
    }
}

/// What was said waits in RAM.
struct Unstored;

/// What there is to remember: whole answers, and those that were begun.
fn answers(texts: &[Choice], remembering: &Remembering) -> Vec<Answered> {
    let beginning = remembering.beginning.as_ref();
    let said = texts.iter().filter(|choice| !choice.text.trim().is_empty());
    said.map(|choice| Answered {
        text: beginning.map_or_else(String::new, |said| said.text.clone()) + &choice.text,
        speaker: beginning.and_then(|said| said.speaker.clone()),
        interrupted: !choice.is_whole,
    })
    .collect()
}

impl Drop for Answer {
    fn drop(&mut self) {
        let metrics = &self.service.metrics;
        metrics.chat_requests.with_label_values(&[self.status]).inc();
        metrics.chat_request_duration.observe(self.started.elapsed().as_secs_f64());
        let Some(remembering) = self.remembering.take() else { return };
        let answers = answers(&self.texts, &remembering);
        let service = Arc::clone(&self.service);
        // Without a runtime the process is ending.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let tasks = service.tasks.clone();
            let storing = async move {
                let _ = Self::store(&service, remembering, answers).await;
            };
            tasks.spawn_on(storing, &runtime);
        }
    }
}
