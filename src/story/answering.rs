//! From a planned job to its answer: what doesn't fit is told shorter, the model writes, its answer is
//! read; one that can't be used is asked for once more.

use std::sync::Arc;
use std::time::Instant;

use async_stream::stream;
use futures_util::Stream;

use super::job::{PlannedJob, QueuedJob};
use super::{ContextMetadata, StoryError, StoryService};
use crate::agents;
use crate::context::Receipt;
use crate::engine::{EngineError, Event, FinishReason, Finished, GenerateRequest};
use crate::telemetry;

/// What happens on the way to an answer. Ends with exactly one `Done` or `Failed`.
#[derive(Debug)]
pub(super) enum Step<P> {
    /// So many of so many elements are told shorter.
    Shortening {
        done: usize,
        of: usize,
    },
    /// What the model is going to see.
    Context(Box<Receipt>),
    /// The prompt is read, the first text is about to come.
    Begun,
    Text(String),
    /// What was written is void, for this reason; it is written again.
    Again(String),
    Done(Box<Answer<P>>),
    Failed(StoryError),
}

/// An answer, and how it came about.
#[derive(Debug)]
pub(super) struct Answer<P> {
    /// What the agent said, or what it wrote instead of anything usable.
    pub(super) said: Result<P, Unusable>,
    pub(super) finished: Finished,
    pub(super) context: ContextMetadata,
    /// Set where the agent saw only a part of the text.
    pub(super) partial_view: Option<String>,
}

/// An answer that couldn't be read, twice.
#[derive(Clone, Debug, Default)]
pub(super) struct Unusable {
    pub(super) reason: String,
    pub(super) raw: String,
}

/// How an agent's answer is read: what it says, or why it can't be used.
pub(super) type Read<P> = Arc<dyn Fn(&str) -> Result<P, String> + Send + Sync>;

/// Follows a job to its end. Dropping the stream stops the model.
pub(super) fn follow<P: Send + 'static>(
    planned: PlannedJob,
    read: Read<P>,
) -> impl Stream<Item = Step<P>> + Send {
    stream! {
        let service = Arc::clone(&planned.service);
        let of = planned.to_shorten();
        let planned = if of > 0 {
            yield Step::Shortening { done: 0, of };
            let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
            // Nobody hears it only when nobody waits for the answer.
            let mut work = Box::pin(planned.shortened(move |done| {
                let _ = tell.send(done);
            }));
            loop {
                tokio::select! {
                    Some(done) = told.recv() => yield Step::Shortening { done: done.min(of), of },
                    shortened = &mut work => break shortened,
                }
            }
        } else {
            Ok(planned)
        };
        let mut job = match queue(planned).await {
            Ok(job) => job,
            Err(error) => {
                yield Step::Failed(error);
                return;
            }
        };
        service.keep(&job.receipt).await;
        yield Step::Context(Box::new(job.receipt.clone()));
        let mut is_second_try = false;
        loop {
            let mut written = String::new();
            let finished = loop {
                match job.generation.next().await {
                    Some(Event::Started { cached_tokens, .. }) => {
                        job.receipt.prompt.cached_tokens = Some(cached_tokens);
                    }
                    // Stories ask for neither.
                    Some(Event::Tokens(_) | Event::ToolCalls(_)) => {}
                    Some(Event::Text(piece)) => {
                        if written.is_empty() && !is_second_try {
                            yield Step::Begun;
                        }
                        written.push_str(&piece);
                        yield Step::Text(piece);
                    }
                    Some(Event::Finished(finished)) => break finished,
                    Some(Event::Failed(error)) => {
                        yield Step::Failed(error.into());
                        return;
                    }
                    None => {
                        yield Step::Failed(EngineError::Lost.into());
                        return;
                    }
                }
            };
            tracing::trace!(target: telemetry::GENERATION, content = written, "answer");
            let held = held_to_schema(&job.request, &written);
            let said = held.and_then(|()| read(&written)).map_err(|reason| match finished.reason {
                FinishReason::Length => format!("{reason}; it stopped at its limit of tokens"),
                FinishReason::ContentFilter => format!("{reason}; a filter of the model's provider ended it"),
                FinishReason::Stop | FinishReason::ToolCalls => reason,
            });
            match said {
                Err(reason) if !is_second_try => match ask_again(&service, &mut job).await {
                    Ok(()) => {
                        is_second_try = true;
                        yield Step::Again(reason);
                    }
                    // Nothing better is to be had; what there is, is handed over.
                    Err(error) => {
                        let reason = format!("{reason}; it couldn't be asked for again: {error}");
                        let said = Err(Unusable { reason, raw: written });
                        yield Step::Done(Box::new(answer(&job, said, finished)));
                        return;
                    }
                },
                said => {
                    service.keep(&job.receipt).await;
                    let said = said.map_err(|reason| Unusable { reason, raw: written });
                    yield Step::Done(Box::new(answer(&job, said, finished)));
                    return;
                }
            }
        }
    }
}

/// A JSON answer must match the schema it was asked for by, whichever engine wrote it.
fn held_to_schema(request: &GenerateRequest, written: &str) -> Result<(), String> {
    let Some(schema) = &request.json_schema else { return Ok(()) };
    let answer = agents::structured::<serde_json::Value>(written)?;
    let validator = jsonschema::validator_for(schema)
        .map_err(|error| format!("its schema can't be used: {error}"))?;
    // The message would quote what the model wrote; the place says enough.
    validator.validate(&answer).map_err(|error| match error.instance_path().as_str() {
        "" => "the answer's JSON lacks something that was asked for".to_owned(),
        place => format!("the answer's JSON is not what was asked for at {place}"),
    })
}

fn answer<P>(job: &QueuedJob, said: Result<P, Unusable>, finished: Finished) -> Answer<P> {
    tracing::info!(
        receipt_id = %job.receipt.id,
        agent = job.receipt.agent.name(),
        completion_tokens = finished.usage.completion_tokens.get(),
        decode_ms = finished.timings.decode_ms,
        usable = said.is_ok(),
        "the {} answered with {} tokens",
        job.receipt.agent.name(),
        finished.usage.completion_tokens
    );
    Answer { said, finished, context: job.metadata(), partial_view: job.partial_view() }
}

async fn queue(planned: Result<PlannedJob, StoryError>) -> Result<QueuedJob, StoryError> {
    let planned = planned?;
    blocking(move || planned.into_queued()).await
}

/// The same prompt with another seed.
async fn ask_again(service: &Arc<StoryService>, job: &mut QueuedJob) -> Result<(), StoryError> {
    job.request.sampling.seed = service.ids.sampler_seed();
    job.request.deadline = Some(Instant::now() + service.settings.generation_limit);
    let (engine, request) = (Arc::clone(&service.engine), job.request.clone());
    job.generation = blocking(move || Ok(engine.submit(request)?)).await?;
    Ok(())
}

/// Runs what may block off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoryError> + Send + 'static,
) -> Result<T, StoryError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| StoryError::Lost)?
}
