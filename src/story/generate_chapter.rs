//! A chapter from a structured context.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::container::{ContextProcessingConfig, PriorityLevel, StructuredContext};
use super::full_state::RequestContext;
use super::job::Job;
use super::single::{Desk, Events, Phases, StoryRequest, ask, told};
use super::source::{Presence, Source};
use super::{ContextMetadata, JobPhase, StoryError};
use crate::agents::writer::{self, ChapterPrompt};
use crate::context::{Agent, Filter};
use crate::engine::{FinishReason, Timings, Usage};

const PHASES: Phases = Phases {
    preparing: told(JobPhase::ContextProcessing, 20, "Putting the context together"),
    reading: None,
    writing: told(JobPhase::Generating, 60, "Writing the chapter"),
    finishing: told(JobPhase::Finalizing, 90, "Finishing the chapter"),
};

/// A request for a chapter.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GenerateChapterRequest {
    /// What happens in the chapter. Without it, the first scene or chapter outline of high priority
    /// says so.
    #[serde(rename = "plotPoint")]
    pub plot_point: Option<String>,
    pub structured_context: Option<StructuredContext>,
    pub context_processing_config: Option<ContextProcessingConfig>,
    /// The later shape: the whole state of the story, instead of `structured_context`.
    pub request_context: Option<RequestContext>,
    /// Which chapter to write (later shape); without it, the one after the last.
    pub chapter_number: Option<i64>,
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

impl StoryRequest for GenerateChapterRequest {
    type Response = GenerateChapterResponse;

    fn begin(self, desk: Desk) -> Result<Events<GenerateChapterResponse>, StoryError> {
        let number =
            self.chapter_number.or_else(|| self.request_context.as_ref().map(next_chapter));
        let source = Source::new(
            self.structured_context,
            self.request_context,
            self.context_processing_config,
            number,
            Presence::Required,
        )?;
        let service = &desk.service;
        let filter = service.filter(&source.config);
        let plot_point = plot_point(self.plot_point.as_deref(), &source, number, &filter)?;
        let task = plot_point.clone();
        let profile = service.settings.profiles.chapter.clone();
        let phases = PHASES.of_later_shape(source.is_later_shape());
        let words: super::job::Words = Box::new(move |prompts, parts| {
            let plot_point = task.clone();
            parts.messages(prompts, |guidance| ChapterPrompt { plot_point, guidance })
        });
        let job = Job {
            task: plot_point.clone(),
            ..Job::new(desk.client.clone(), Agent::Writer, profile, source, words)
        };
        let clock = service.clock.clone();
        ask(&desk, job, phases, writer::prose, move |mut answer| {
            let chapter_text = answer.text()?;
            Ok(GenerateChapterResponse {
                word_count: word_count(&chapter_text),
                chapter_text,
                metadata: ChapterMetadata {
                    generated_at: clock.now().to_string(),
                    plot_point,
                    context_mode: "structured".to_owned(),
                    structured_context_provided: true,
                    processing_mode: "structured".to_owned(),
                    model: answer.context.receipt.model.clone(),
                    finish_reason: answer.finished.reason,
                    usage: answer.finished.usage,
                    timings: answer.finished.timings,
                },
                context_metadata: Some(answer.context),
            })
        })
    }
}

/// Words as an author counts them: what stands between white space.
pub(super) fn word_count(text: &str) -> usize {
    text.split_whitespace().count()
}

fn next_chapter(full: &RequestContext) -> i64 {
    let last = full.chapters.iter().map(|chapter| chapter.number).max();
    last.map_or(1, |last| last.saturating_add(1))
}

/// A scene longer than this stands in the context and is not repeated as the task.
const LONGEST_DERIVED_PLOT_POINT: usize = 600;

/// What the chapter is about: what the request says, else what its first scene or chapter outline of
/// high priority does. A request that says nothing at all is refused.
fn plot_point(
    said: Option<&str>,
    source: &Source,
    number: Option<i64>,
    filter: &Filter,
) -> Result<Option<String>, StoryError> {
    let story = &source.story;
    let older = story.plot_context.as_ref().and_then(|plot| plot.point.as_deref());
    let mut said = [said, older].into_iter().flatten().map(str::trim);
    if let Some(said) = said.find(|text| !text.is_empty()) {
        return Ok(Some(said.to_owned()));
    }
    let of_chapter = |full: &RequestContext| full.plot_point(number?);
    if let Some(said) = source.full.as_deref().and_then(of_chapter) {
        return Ok(Some(said));
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
    if story.says_something() {
        return Ok(None);
    }
    Err(StoryError::fault(
        &["plotPoint"],
        "there is nothing to write from; give a plotPoint, or plot_elements, character_contexts or \
         user_requests in structured_context",
    ))
}
