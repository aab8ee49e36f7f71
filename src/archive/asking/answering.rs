//! From a question to its answer: what happens on the way, and the answer held against its sources.

use std::pin::Pin;
use std::sync::Arc;

use async_stream::try_stream;
use futures_util::{Stream, StreamExt as _};
use serde_json::json;

use super::inquiry::Inquiry;
use super::prompt::{Draft, Queued};
use super::sources::{Found, Source};
use super::support::{Shown, Supported};
use super::wire::AskResponse;
use super::{AskError, AskingService, blocking};
use crate::context::Receipt;
use crate::engine::{ClientId, EngineError, Event, FinishReason, Finished};
use crate::story::{ContextMetadata, Degradation, JobPhase, StoryEvent};
use crate::telemetry;

/// One step on the way to an answer.
pub type AskEvent = StoryEvent<AskResponse, AskError>;

/// The steps, ending with exactly one result or error. Dropping them stops the model.
pub type AskEvents = Pin<Box<dyn Stream<Item = AskEvent> + Send>>;

/// What is said where the archive holds nothing.
const NOT_THERE: &str = "The archive holds nothing about this.";

impl AskingService {
    pub(super) fn answer(self: Arc<Self>, inquiry: Inquiry, client: ClientId) -> AskEvents {
        let steps = try_stream! {
            yield told(JobPhase::Initializing, 15, "Reading the question");
            yield told(JobPhase::Retrieving, 40, "Searching the archive");
            let sources = match self.find(&client, &inquiry).await? {
                Found::Sources(sources) => sources,
                Found::Nothing(why) => {
                    yield told(JobPhase::Formatting, 90, "Finishing the answer");
                    yield StoryEvent::Result(Box::new(nothing(inquiry.asked, why)));
                    return;
                }
            };
            let asked = inquiry.asked.clone();
            let notes = inquiry.earlier.notes.clone();
            let question = inquiry.question.text.clone();
            let service = Arc::clone(&self);
            let mut draft =
                blocking(move || Draft::new(service, client, inquiry, sources)).await?;
            if draft.to_shorten() > 0 {
                yield shortening(draft.to_shorten());
                draft = draft.shortened().await?;
            }
            let mut queued = draft.queued().await?;
            self.keep(&queued.receipt).await;
            yield StoryEvent::Context { receipt: Box::new(queued.receipt.clone()), member: None };
            yield told(JobPhase::Generating, 70, "Writing the answer");
            let mut written = String::new();
            let finished = loop {
                match next(&mut queued).await? {
                    Step::Text(piece) => {
                        written.push_str(&piece);
                        yield StoryEvent::Partial { content: piece, member: None };
                    }
                    Step::Finished(finished) => break finished,
                }
            };
            yield told(JobPhase::Formatting, 90, "Holding the answer against its sources");
            self.keep(&queued.receipt).await;
            let answered = Answered { asked, question, notes, written, finished };
            let response = blocking(move || answered.response(queued)).await?;
            yield StoryEvent::Result(Box::new(response));
        };
        Box::pin(
            steps.map(|step: Result<AskEvent, AskError>| step.unwrap_or_else(StoryEvent::Error)),
        )
    }
}

fn told(phase: JobPhase, progress: u8, message: &'static str) -> AskEvent {
    StoryEvent::Status { phase, message: message.into(), progress, data: None, member: None }
}

fn shortening(count: usize) -> AskEvent {
    StoryEvent::Status {
        phase: JobPhase::Retrieving,
        message: "Telling what doesn't fit shorter".into(),
        progress: 40,
        data: Some(json!({ "to_shorten": count })),
        member: None,
    }
}

enum Step {
    Text(String),
    Finished(Finished),
}

async fn next(queued: &mut Queued) -> Result<Step, AskError> {
    loop {
        match queued.generation.next().await {
            Some(Event::Started { cached_tokens, .. }) => {
                queued.receipt.prompt.cached_tokens = Some(cached_tokens);
            }
            // Neither is asked for.
            Some(Event::Tokens(_) | Event::ToolCalls(_)) => {}
            Some(Event::Text(piece)) => return Ok(Step::Text(piece)),
            Some(Event::Finished(finished)) => return Ok(Step::Finished(finished)),
            Some(Event::Failed(error)) => return Err(error.into()),
            None => return Err(EngineError::Lost.into()),
        }
    }
}

/// What is answered where no model was asked.
fn nothing(asked: String, why: &str) -> AskResponse {
    AskResponse {
        query: asked,
        answer: NOT_THERE.to_owned(),
        sources: Vec::new(),
        total_sources: 0,
        info_message: Some(format!("{why} No model was asked.")),
        found: false,
        unsupported: Vec::new(),
        degradation: Degradation::default(),
        context_metadata: None,
    }
}

/// What the model wrote to a question.
struct Answered {
    asked: String,
    question: String,
    /// What of the request was left out.
    notes: Vec<String>,
    written: String,
    finished: Finished,
}

impl Answered {
    /// Held against what the model was shown.
    fn response(self, queued: Queued) -> Result<AskResponse, AskError> {
        let Queued { receipt, processing_time_ms, shown, .. } = queued;
        tracing::trace!(target: telemetry::GENERATION, content = self.written, "answer");
        let texts: Vec<(usize, String)> =
            shown.iter().map(|source| (source.number, source.text())).collect();
        let seen: Vec<_> =
            texts.iter().map(|(number, text)| Shown { number: *number, text }).collect();
        let held = Supported::of(&self.written, &self.question, &seen);
        if held.answer.is_empty() {
            return Err(AskError::EmptyAnswer);
        }
        self.log(&receipt, &held);
        let reason = self.degraded(&held);
        let mut info = self.notes;
        if held.denies {
            let shown = shown.len();
            info.insert(
                0,
                format!("The model was shown {shown} sources and found no answer in them"),
            );
        }
        let source = |number: &usize| shown.iter().find(|source| source.number == *number);
        let sources: Vec<_> = held.cited.iter().filter_map(source).map(Source::cited).collect();
        Ok(AskResponse {
            query: self.asked,
            answer: held.answer,
            total_sources: sources.len(),
            sources,
            info_message: (!info.is_empty()).then(|| info.join("; ")),
            found: !held.denies,
            unsupported: held.unsupported,
            degradation: Degradation { degraded: reason.is_some(), reason, raw_text: None },
            context_metadata: Some(ContextMetadata::new(receipt, processing_time_ms)),
        })
    }

    fn degraded(&self, held: &Supported) -> Option<String> {
        let mut reasons = Vec::new();
        if held.is_mostly_uncited() {
            reasons.push(format!(
                "{} of the answer's {} statements have no support in the sources; a larger model keeps closer to them",
                held.uncited_count,
                held.statements
            ));
        } else if held.leads_nowhere() {
            reasons.push(
                "nothing of the answer leads to a source, so it has no support in them; ask more closely, or another model"
                    .to_owned(),
            );
        }
        match self.finished.reason {
            FinishReason::Stop | FinishReason::ToolCalls => {}
            FinishReason::Length => reasons.push(
                "the answer stopped at its limit of tokens, so its end is missing; raise max_tokens or LLM_N_CTX"
                    .to_owned(),
            ),
            FinishReason::ContentFilter => reasons.push(
                "a filter of the model's provider ended the answer; ask in other words, or another model"
                    .to_owned(),
            ),
        }
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    fn log(&self, receipt: &Receipt, held: &Supported) {
        tracing::info!(
            receipt_id = %receipt.id,
            completion_tokens = self.finished.usage.completion_tokens.get(),
            decode_ms = self.finished.timings.decode_ms,
            sources = held.cited.len(),
            unsupported = held.unsupported.len(),
            "the archivist answered with {} tokens from {} sources",
            self.finished.usage.completion_tokens,
            held.cited.len()
        );
    }
}
