//! One request's way: it waits for a place, is sent, sent again where that may help, and read to its
//! end. Whoever asked hears exactly one terminal event, and the provider hears at once when nobody
//! waits any more.

use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt as _;
use reqwest::Response;
use tokio::time::{Duration, timeout_at};

use super::Shared;
use super::caller::Refusal;
use super::failure::Failure;
use super::frames::{Framing, frames};
use super::language::{Piece, Told};
use super::openai::Lacks;
use super::places::Turn;
use crate::engine::{
    EngineError, Event, EventSender, FinishReason, Finished, GenerateRequest, StopMatcher, Timings,
    TokenLogprob, Usage, milliseconds,
};
use crate::tokens::TokenCount;

/// How often a request is rewritten after a refusal.
const MOST_REWRITINGS: usize = 8;
/// How long a provider may take to tell its usage, once the answer is complete.
const TIME_FOR_THE_USAGE: Duration = Duration::from_secs(5);
/// Bytes of text that an answer may have, for each token that was asked for, and beside them.
const BYTES_PER_TOKEN: usize = 64;
const BYTES_BESIDE: usize = 1 << 16;
/// Tokens that an answer may have without text, beside those that were asked for.
const TOKENS_BESIDE: usize = 1 << 10;

pub(super) struct Flight {
    pub(super) shared: Arc<Shared>,
    pub(super) request: GenerateRequest,
    pub(super) prompt_tokens: TokenCount,
    pub(super) max_tokens: TokenCount,
    pub(super) events: EventSender,
    pub(super) queued_at: Instant,
}

/// What there is of an answer.
struct Answer {
    has_started: bool,
    stops: StopMatcher,
    /// Tokens whose text is held back, as it may be the beginning of a stop string.
    held: Vec<TokenLogprob>,
    text: String,
    has_called_tools: bool,
    ended: Option<FinishReason>,
    told: Told,
    admitted: Option<Instant>,
    sent: Option<Instant>,
    begun: Option<Instant>,
}

impl Flight {
    /// To the end, which is told, unless nobody listens.
    pub(super) async fn go(self, turn: Turn) {
        let mut answer = Answer::new(&self.request.stop);
        let outcome = tokio::select! {
            biased;
            () = self.events.cancelled() => return,
            () = self.shared.closing.cancelled() => Err(EngineError::ShuttingDown),
            () = until(self.request.deadline) => Err(EngineError::DeadlinePassed),
            outcome = self.answer(turn, &mut answer) => outcome,
        };
        let end = match outcome {
            Ok(()) => Event::Finished(self.finish(&answer)),
            Err(error) => {
                let error = self.shared.caller.without_key(error);
                if !matches!(error, EngineError::ShuttingDown) {
                    self.shared.health.failed(&error);
                }
                Event::Failed(error)
            }
        };
        tokio::select! {
            () = self.events.cancelled() => {}
            () = async {
                // What was held back was no stop string, if it wasn't completed.
                let rest = answer.stops.finish();
                self.show(&mut answer, rest).await;
                self.events.send_when_there_is_room(end).await;
            } => {}
        }
    }

    async fn answer(&self, mut turn: Turn, answer: &mut Answer) -> Result<(), EngineError> {
        let _place = turn.come().await.ok_or(EngineError::Lost)?;
        answer.admitted = Some(Instant::now());
        self.shared.health.begun();
        let mut pauses = self.shared.pauses();
        loop {
            let failure = match self.attempt(answer).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if answer.begun.is_some() || !failure.again {
                return Err(failure.error);
            }
            let Some(pause) = pauses.next(failure.after) else { return Err(failure.error) };
            let deadline = self.request.deadline;
            if deadline.is_some_and(|deadline| deadline <= Instant::now() + pause) {
                return Err(failure.error);
            }
            tracing::debug!(
                pause_ms = milliseconds(pause),
                "the remote model failed; it is asked again after a pause"
            );
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(&self, answer: &mut Answer) -> Result<(), Failure> {
        answer.begin_anew();
        let limit = self.shared.settings.first_token_timeout;
        let begins_by = tokio::time::Instant::now() + limit;
        let too_late = |_| {
            Failure::lasting(EngineError::TooSlow(format!(
                "the model's server sent nothing for {} s; raise LLM_FIRST_TOKEN_TIMEOUT_SECONDS, or look at its log",
                limit.as_secs()
            )))
        };
        let (response, framing) = timeout_at(begins_by, self.send()).await.map_err(too_late)??;
        if !answer.has_started {
            answer.has_started = true;
            let cached_tokens = TokenCount::ZERO;
            let started = Event::Started { prompt_tokens: self.prompt_tokens, cached_tokens };
            self.events.send_when_there_is_room(started).await;
        }
        let mut frames = frames(response, framing);
        let mut reader = self.shared.language.reader();
        let mut limit_at = begins_by;
        loop {
            let next = match timeout_at(limit_at, frames.next()).await {
                // The answer is complete; what else there was to say, wasn't said.
                Ok(None | Some(Err(_))) | Err(_) if answer.ended.is_some() => return Ok(()),
                Ok(None) => return Err(broken_off()),
                Ok(Some(frame)) => frame?,
                Err(late) if limit_at == begins_by => return Err(too_late(late)),
                Err(_) => return Err(self.stalled()),
            };
            for piece in reader.read(&next)? {
                if self.take(answer, piece).await? {
                    return Ok(());
                }
            }
            let wait = match answer.ended {
                Some(_) => TIME_FOR_THE_USAGE,
                None => self.shared.settings.stall_timeout,
            };
            limit_at = tokio::time::Instant::now() + wait;
            // Who thinks first, or loads, may take as long as an answer may until it begins.
            if answer.begun.is_none() && answer.ended.is_none() {
                limit_at = limit_at.max(begins_by);
            }
        }
    }

    /// Sends the request, written anew for as long as the server teaches how. What it taught holds
    /// once it takes the request.
    async fn send(&self) -> Result<(Response, Framing), Failure> {
        let language = &self.shared.language;
        let mut call = language.call(&self.request, self.max_tokens).map_err(Failure::lasting)?;
        let mut lacks = Lacks::default();
        let mut rewritings = 0;
        loop {
            let Refusal { status, error, failure } = match self.shared.caller.ask(&call).await {
                Ok(response) => {
                    language.keep(&lacks);
                    return Ok((response, call.framing));
                }
                Err(refusal) => refusal,
            };
            rewritings += 1;
            let learns = rewritings <= MOST_REWRITINGS
                && status.is_some_and(|status| {
                    language.learn(status, &error, &mut call.body, &mut lacks)
                });
            if !learns {
                return Err(failure);
            }
        }
    }

    /// Takes a piece into the answer; tells whether that was the last.
    async fn take(&self, answer: &mut Answer, piece: Piece) -> Result<bool, Failure> {
        match piece {
            Piece::Tokens(tokens) => {
                answer.held.extend(tokens);
                if answer.held.len() > self.max_tokens.get().saturating_add(TOKENS_BESIDE) {
                    return Err(Failure::nonsense("far more tokens than were asked for"));
                }
            }
            Piece::Text(text) => {
                answer.begin();
                answer.text.push_str(&text);
                let most = self.max_tokens.get().saturating_mul(BYTES_PER_TOKEN) + BYTES_BESIDE;
                if answer.text.len() > most {
                    return Err(Failure::nonsense("far more text than was asked for"));
                }
                let passed = answer.stops.push(&text);
                self.show(answer, passed.text).await;
                if passed.stopped {
                    answer.ended = Some(FinishReason::Stop);
                    return Ok(true);
                }
            }
            Piece::ToolCalls(calls) => {
                answer.begin();
                answer.has_called_tools = true;
                self.events.send_when_there_is_room(Event::ToolCalls(calls)).await;
            }
            Piece::Usage(told) => answer.told.update(told),
            Piece::Ended(reason) => {
                answer.ended.get_or_insert(reason);
            }
            Piece::Over if answer.ended.is_none() => return Err(broken_off()),
            Piece::Over => return Ok(true),
        }
        Ok(false)
    }

    async fn show(&self, answer: &mut Answer, text: String) {
        if text.is_empty() {
            return;
        }
        if !answer.held.is_empty() {
            let tokens = std::mem::take(&mut answer.held);
            self.events.send_when_there_is_room(Event::Tokens(tokens)).await;
        }
        self.events.send_when_there_is_room(Event::Text(text)).await;
    }

    fn stalled(&self) -> Failure {
        Failure::lasting(EngineError::TooSlow(format!(
            "the model's server fell silent for {} s in the middle of its answer; raise LLM_STALL_TIMEOUT_SECONDS, or look at its log",
            self.shared.settings.stall_timeout.as_secs()
        )))
    }

    fn finish(&self, answer: &Answer) -> Finished {
        let told = &answer.told;
        let counted = || self.shared.counter.count(&answer.text);
        let usage = Usage {
            prompt_tokens: told.prompt.map_or(self.prompt_tokens, TokenCount::new),
            cached_tokens: TokenCount::new(told.cached.unwrap_or(0)),
            completion_tokens: told.completion.map_or_else(counted, TokenCount::new),
        };
        let now = Instant::now();
        let admitted = answer.admitted.unwrap_or(now);
        let sent = answer.sent.unwrap_or(now);
        let begun = answer.begun.unwrap_or(now);
        let decode = now - begun;
        let written = usage.completion_tokens.get() as f64;
        let rate = (written > 1.0 && !decode.is_zero()).then(|| written / decode.as_secs_f64());
        self.shared.health.succeeded(&usage, now - admitted, rate);
        let reason = answer.ended.unwrap_or(FinishReason::Stop);
        let timings = Timings {
            queue_ms: milliseconds(sent - self.queued_at),
            prefill_ms: milliseconds(begun.saturating_duration_since(sent)),
            decode_ms: milliseconds(decode),
        };
        // Some servers say `stop` after a tool call.
        let reason = match reason {
            FinishReason::Stop if answer.has_called_tools => FinishReason::ToolCalls,
            other => other,
        };
        Finished { reason, usage, timings }
    }
}

impl Answer {
    fn new(stops: &[String]) -> Self {
        Self {
            has_started: false,
            stops: StopMatcher::new(stops),
            held: Vec::new(),
            text: String::new(),
            has_called_tools: false,
            ended: None,
            told: Told::default(),
            admitted: None,
            sent: None,
            begun: None,
        }
    }

    /// What a try that failed left behind is no part of the next one's answer.
    fn begin_anew(&mut self) {
        self.held.clear();
        self.ended = None;
        self.told = Told::default();
        self.sent = Some(Instant::now());
    }

    fn begin(&mut self) {
        self.begun.get_or_insert_with(Instant::now);
    }
}

impl Told {
    /// Providers that count as they go tell the sum so far.
    fn update(&mut self, later: Self) {
        self.prompt = later.prompt.or(self.prompt);
        self.cached = later.cached.or(self.cached);
        self.completion = later.completion.or(self.completion);
    }
}

fn broken_off() -> Failure {
    Failure::passing(EngineError::Unreachable(
        "the model's server ended the connection before its answer; try again, or look at its log"
            .to_owned(),
    ))
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
