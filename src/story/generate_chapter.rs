//! A chapter from a structured context.

use std::sync::Arc;

use async_stream::stream;
use futures_util::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::container::{ContextProcessingConfig, PriorityLevel, StructuredContext};
use super::job::{Job, QueuedJob};
use super::{ContextMetadata, Fault, JobPhase, StoryError, StoryEvent, StoryService};
use crate::agents::writer;
use crate::context::{Agent, Filter};
use crate::engine::{ClientId, EngineError, Event, FinishReason, Finished, Timings, Usage};
use crate::telemetry;

/// A request for a chapter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GenerateChapterRequest {
    /// What happens in the chapter. Without it, the first scene or chapter outline of high priority
    /// says so.
    #[serde(default, rename = "plotPoint")]
    pub plot_point: Option<String>,
    pub structured_context: StructuredContext,
    #[serde(default)]
    pub context_processing_config: Option<ContextProcessingConfig>,
}

/// A finished chapter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GenerateChapterResponse {
    pub chapter_text: String,
    pub word_count: usize,
    pub metadata: ChapterMetadata,
    #[serde(rename = "context_metadata")]
    pub context_metadata: Option<ContextMetadata>,
}

/// How a chapter came about.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChapterMetadata {
    /// RFC 3339, UTC.
    pub generated_at: String,
    pub plot_point: Option<String>,
    /// Always `structured`.
    pub context_mode: String,
    pub structured_context_provided: bool,
    pub processing_mode: String,
    pub model: Option<String>,
    /// `length`: the chapter stopped at its token limit, not at its end.
    pub finish_reason: FinishReason,
    pub usage: Usage,
    pub timings: Timings,
}

/// A chapter about to be written: its context is decided and its request is queued.
pub struct Chapter {
    service: Arc<StoryService>,
    plot_point: Option<String>,
    job: QueuedJob,
}

impl StoryService {
    /// Decides what the writer sees and queues the request.
    pub async fn generate_chapter(
        self: Arc<Self>,
        request: GenerateChapterRequest,
        client: ClientId,
    ) -> Result<Chapter, StoryError> {
        tokio::task::spawn_blocking(move || self.queue_chapter(&request, &client))
            .await
            .map_err(|_| StoryError::Lost)?
    }

    fn queue_chapter(
        self: Arc<Self>,
        request: &GenerateChapterRequest,
        client: &ClientId,
    ) -> Result<Chapter, StoryError> {
        let config = request.context_processing_config.clone().unwrap_or_default();
        let plot_point = plot_point(request, &self.filter(&config))?;
        let job = self.queue(&Job {
            client,
            agent: Agent::Writer,
            profile: &self.settings.chapter,
            story: &request.structured_context,
            config: &config,
            task: plot_point.as_deref(),
            stop: Vec::new(),
            messages: &|parts| {
                writer::chapter_messages(&self.prompts, parts, plot_point.as_deref())
            },
        })?;
        Ok(Chapter { service: self, plot_point, job })
    }
}

impl Chapter {
    /// Writes it. Dropping the stream stops the model.
    pub fn write(mut self) -> impl Stream<Item = StoryEvent<GenerateChapterResponse>> + Send {
        stream! {
            yield status(JobPhase::ContextProcessing, "Putting the context together", 20);
            self.service.keep(&self.job.receipt).await;
            yield StoryEvent::Context(Box::new(self.job.receipt.clone()));
            yield status(JobPhase::Generating, "Writing the chapter", 60);
            let mut written = String::new();
            let finished = loop {
                match self.job.generation.next().await {
                    Some(Event::Started { cached_tokens, .. }) => {
                        self.job.receipt.prompt.cached_tokens = Some(cached_tokens);
                    }
                    Some(Event::Text(piece)) => {
                        written.push_str(&piece);
                        yield StoryEvent::Partial(piece);
                    }
                    Some(Event::Finished(finished)) => break finished,
                    Some(Event::Failed(error)) => {
                        yield StoryEvent::Error(error.into());
                        return;
                    }
                    None => {
                        yield StoryEvent::Error(EngineError::Lost.into());
                        return;
                    }
                }
            };
            yield status(JobPhase::Finalizing, "Finishing the chapter", 90);
            self.service.keep(&self.job.receipt).await;
            yield match self.response(&written, &finished) {
                Ok(response) => StoryEvent::Result(Box::new(response)),
                Err(error) => StoryEvent::Error(error),
            };
        }
    }

    fn response(
        self,
        written: &str,
        finished: &Finished,
    ) -> Result<GenerateChapterResponse, StoryError> {
        tracing::trace!(target: telemetry::GENERATION, content = written, "answer");
        let chapter_text = writer::chapter_text(written).to_owned();
        if chapter_text.is_empty() {
            return Err(StoryError::EmptyAnswer);
        }
        tracing::info!(
            receipt_id = %self.job.receipt.id,
            completion_tokens = finished.usage.completion_tokens.get(),
            decode_ms = finished.timings.decode_ms,
            "a chapter of {} tokens is written",
            finished.usage.completion_tokens
        );
        Ok(GenerateChapterResponse {
            word_count: chapter_text.split_whitespace().count(),
            chapter_text,
            metadata: ChapterMetadata {
                generated_at: self.service.clock.now().to_string(),
                plot_point: self.plot_point.clone(),
                context_mode: "structured".to_owned(),
                structured_context_provided: true,
                processing_mode: "structured".to_owned(),
                model: self.job.receipt.model.clone(),
                finish_reason: finished.reason,
                usage: finished.usage,
                timings: finished.timings,
            },
            context_metadata: Some(self.job.metadata()),
        })
    }
}

fn status<T>(phase: JobPhase, message: &'static str, progress: u8) -> StoryEvent<T> {
    StoryEvent::Status { phase, message, progress }
}

/// A scene longer than this stands in the context and is not repeated as the task.
const LONGEST_DERIVED_PLOT_POINT: usize = 600;

/// What the chapter is about: what the request says, else what its first scene or chapter outline of
/// high priority does. A request that says nothing at all is refused.
fn plot_point(
    request: &GenerateChapterRequest,
    filter: &Filter,
) -> Result<Option<String>, StoryError> {
    let story = &request.structured_context;
    let older = story.plot_context.as_ref().and_then(|plot| plot.point.as_deref());
    let mut said = [request.plot_point.as_deref(), older].into_iter().flatten().map(str::trim);
    if let Some(said) = said.find(|text| !text.is_empty()) {
        return Ok(Some(said.to_owned()));
    }
    let derived = story.plot_elements.iter().find(|element| {
        matches!(element.type_name.as_str(), "scene" | "chapter_outline")
            && element.priority == PriorityLevel::High
            && filter.lets_plot_through(&element.type_name, &element.tags)
            && (1..=LONGEST_DERIVED_PLOT_POINT).contains(&element.content.trim().len())
    });
    if let Some(element) = derived {
        return Ok(Some(element.content.trim().to_owned()));
    }
    let says_something = !story.plot_elements.is_empty()
        || !story.character_contexts.is_empty()
        || !story.user_requests.is_empty()
        || !story.characters.is_empty()
        || !story.previous_chapters.is_empty()
        || story.plot_context.is_some()
        || story.worldbuilding.is_some()
        || story.story_summary.is_some();
    if says_something {
        return Ok(None);
    }
    Err(StoryError::Invalid(vec![Fault {
        path: vec!["plotPoint".to_owned()],
        message: "there is nothing to write from; give a plotPoint, or plot_elements, \
                  character_contexts or user_requests in structured_context"
            .to_owned(),
    }]))
}
