//! An engine whose answers a test writes, token by token. It reads nothing and knows no model; what
//! the code under test asked of it is there to be looked at.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::{
    Capabilities, Engine, EngineCounters, EngineError, EngineState, EngineStatus, Event,
    EventSender, FinishReason, Finished, GenerateRequest, Generation, Message, Timings,
    TokenLogprob, Usage,
};
use crate::tokens::{Estimate, TokenCount, TokenCounter};

/// The engine's side: hand it to the code under test.
pub struct ScriptedEngine {
    calls: mpsc::UnboundedSender<Call>,
    status: Mutex<EngineStatus>,
    capabilities: Mutex<Capabilities>,
    refusal: Mutex<Option<EngineError>>,
}

/// The test's side: the requests that arrive, in order.
pub struct Script {
    calls: mpsc::UnboundedReceiver<Call>,
}

/// One request, waiting for the test to answer it.
pub struct Call {
    pub request: GenerateRequest,
    pub prompt_tokens: TokenCount,
    events: EventSender,
    written: usize,
}

impl ScriptedEngine {
    /// An engine that is ready, with a window of so many tokens (counted by [`Estimate`]).
    pub fn new(window: TokenCount) -> (Arc<Self>, Script) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let status = EngineStatus {
            state: EngineState::Ready,
            model: Some("scripted".to_owned()),
            window: Some(window),
            waiting: 0,
            running: 0,
            tokens_per_second: 0.0,
            counters: EngineCounters::default(),
            progress: None,
            error: None,
            last_error: None,
        };
        let engine = Self {
            calls: sender,
            status: Mutex::new(status),
            capabilities: Mutex::new(EVERYTHING),
            refusal: Mutex::new(None),
        };
        (Arc::new(engine), Script { calls: receiver })
    }

    /// Shows another status from now on.
    pub fn set_status(&self, change: impl FnOnce(&mut EngineStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Can do this much from now on; at first everything.
    pub fn set_capabilities(&self, capabilities: Capabilities) {
        *self.capabilities.lock().unwrap_or_else(PoisonError::into_inner) = capabilities;
    }

    /// Refuses every request from now on, or none.
    pub fn refuse_with(&self, refusal: Option<EngineError>) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }
}

const EVERYTHING: Capabilities = Capabilities {
    tools: true,
    logprobs: true,
    json_schema: true,
    logit_bias: true,
    continues_text: true,
};

impl Engine for ScriptedEngine {
    fn status(&self) -> EngineStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ready(&self) -> Result<(), EngineError> {
        let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone();
        refusal.map_or(Ok(()), Err)
    }

    fn counter(&self) -> Option<Arc<dyn TokenCounter>> {
        (self.status().state == EngineState::Ready).then(|| Arc::new(Estimate) as _)
    }

    fn prompt_tokens(&self, messages: &[Message]) -> Result<TokenCount, EngineError> {
        Ok(messages.iter().map(|message| Estimate.count(&message.content)).sum())
    }

    fn supports(&self) -> Capabilities {
        *self.capabilities.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, request: GenerateRequest) -> Result<Generation, EngineError> {
        self.ready()?;
        request.check()?;
        let prompt_tokens = self.prompt_tokens(&request.messages)?;
        let window = self.status().window.unwrap_or_default();
        if prompt_tokens >= window {
            return Err(EngineError::PromptTooLong { prompt: prompt_tokens, window });
        }
        let (generation, events) =
            Generation::channel(prompt_tokens, TokenCount::ZERO, request.max_tokens);
        let call = Call { request, prompt_tokens, events, written: 0 };
        self.calls.send(call).map_err(|_| EngineError::ShuttingDown)?;
        Ok(generation)
    }
}

impl Script {
    /// The next request, once it arrives; `None` when the engine is gone.
    pub async fn next_call(&mut self) -> Option<Call> {
        self.calls.recv().await
    }

    /// Answers every request at once with these pieces, until the engine is gone.
    pub async fn answer_all(mut self, pieces: &[&str]) {
        while let Some(mut call) = self.next_call().await {
            call.start(TokenCount::ZERO);
            for piece in pieces {
                call.text(piece);
            }
            call.finish(FinishReason::Stop);
        }
    }
}

impl Call {
    pub fn start(&self, cached_tokens: TokenCount) {
        self.events.send(Event::Started { prompt_tokens: self.prompt_tokens, cached_tokens });
    }

    /// A piece of the answer, which counts as one token. Where log probabilities were asked for it
    /// is certain: its log probability is 0, and there is no other.
    pub fn text(&mut self, piece: &str) {
        if self.request.logprobs.is_some() {
            self.tokens(vec![TokenLogprob {
                token: piece.to_owned(),
                bytes: piece.as_bytes().to_vec(),
                logprob: 0.0,
                top: Vec::new(),
            }]);
        }
        self.text_alone(piece);
    }

    /// Log probabilities as the test has them; [`Self::text_alone`] follows.
    pub fn tokens(&self, tokens: Vec<TokenLogprob>) {
        self.events.send(Event::Tokens(tokens));
    }

    /// A piece of the answer whose log probabilities were sent, or left out.
    pub fn text_alone(&mut self, piece: &str) {
        self.written += 1;
        self.events.send(Event::Text(piece.to_owned()));
    }

    /// A piece of a tool call, in the shape of OpenAI's `delta.tool_calls`.
    pub fn tool_calls(&mut self, delta: serde_json::Value) {
        self.written += 1;
        self.events.send(Event::ToolCalls(delta));
    }

    pub fn finish(self, reason: FinishReason) {
        let usage = Usage {
            prompt_tokens: self.prompt_tokens,
            cached_tokens: TokenCount::ZERO,
            completion_tokens: TokenCount::new(self.written),
        };
        self.events.send(Event::Finished(Finished { reason, usage, timings: Timings::default() }));
    }

    pub fn fail(self, error: EngineError) {
        self.events.send(Event::Failed(error));
    }

    /// Until the reader of the answer has left.
    pub async fn cancelled(&self) {
        self.events.cancelled().await;
    }
}
