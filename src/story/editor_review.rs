//! The editor's review of a chapter.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answering::Answer;
use super::container::{ContextProcessingConfig, StructuredContext};
use super::elements::{Material, Need};
use super::full_state::RequestContext;
use super::job::{Job, Words};
use super::modify_chapter::chapter_at_hand;
use super::single::{Degradation, Desk, Events, Phases, StoryRequest, ask, told};
use super::source::{Faults, Presence, Source};
use super::{ContextMetadata, JobPhase, StoryError};
use crate::agents::editor::{ReviewAnswer, ReviewPrompt, Suggestion};
use crate::agents::{Profile, schema_of, structured};
use crate::context::Agent;
use crate::engine::ClientId;

const PHASES: Phases = Phases {
    preparing: told(JobPhase::ContextProcessing, 20, "Putting the context together"),
    reading: Some(told(JobPhase::Analyzing, 50, "Reading the chapter")),
    writing: told(JobPhase::GeneratingSuggestions, 75, "Writing the review"),
    finishing: told(JobPhase::Parsing, 90, "Reading the review"),
};

/// A request for a review.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EditorReviewRequest {
    /// The chapter. With the later shape, the one that `chapter_number` names.
    #[serde(rename = "chapterToReview")]
    pub chapter_to_review: Option<String>,
    /// What the editor is to go by.
    #[serde(rename = "editorPrompt")]
    pub editor_prompt: Option<String>,
    pub structured_context: Option<StructuredContext>,
    pub context_processing_config: Option<ContextProcessingConfig>,
    /// The later shape: the whole state of the story, instead of `structured_context`.
    pub request_context: Option<RequestContext>,
    /// Which chapter to review (later shape).
    pub chapter_number: Option<i64>,
}

/// A review.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EditorReviewResponse {
    pub suggestions: Vec<Suggestion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overall_assessment: Option<String>,
    #[serde(flatten)]
    pub degradation: Degradation,
    #[serde(rename = "context_metadata")]
    pub context_metadata: Option<ContextMetadata>,
}

impl StoryRequest for EditorReviewRequest {
    type Response = EditorReviewResponse;

    fn begin(self, desk: Desk) -> Result<Events<EditorReviewResponse>, StoryError> {
        let number = self.chapter_number;
        let mut faults = Faults::default();
        let source = faults.or_default(Source::new(
            self.structured_context,
            self.request_context,
            self.context_processing_config,
            number,
            Presence::Required,
        ))?;
        let text = self.chapter_to_review.as_deref();
        let chapter =
            faults.or_default(chapter_at_hand(text, "chapterToReview", number, &source))?;
        faults.told()?;
        let phases = PHASES.of_later_shape(source.is_later_shape());
        let profile = desk.service.settings.profiles.editor.clone();
        let job = reviewing(desk.client.clone(), profile, source, &chapter, self.editor_prompt);
        ask(&desk, job, phases, structured::<ReviewAnswer>, |answer| Ok(review(answer)))
    }
}

/// The job of reviewing a chapter.
pub(super) fn reviewing(
    client: ClientId,
    profile: Profile,
    source: Source,
    chapter: &str,
    brief: Option<String>,
) -> Job {
    let words: Words =
        Box::new(|prompts, parts| parts.messages(prompts, |guidance| ReviewPrompt { guidance }));
    Job {
        material: work_and_brief("chapter", chapter, brief),
        json_schema: Some(schema_of::<ReviewAnswer>()),
        ..Job::new(client, Agent::Editor, profile, source, words)
    }
}

/// A text to judge, as far as it fits, and what to go by.
pub(super) fn work_and_brief(
    name: &'static str,
    text: &str,
    brief: Option<String>,
) -> Vec<Material> {
    let work = Material::Work { name, text: text.to_owned(), need: Need::AsMuchAsFits };
    let brief = brief.filter(|brief| !brief.trim().is_empty()).map(Material::Brief);
    std::iter::once(work).chain(brief).collect()
}

pub(super) fn review(mut answer: Box<Answer<ReviewAnswer>>) -> EditorReviewResponse {
    let (said, degradation) = answer.said_or_nothing();
    let (suggestions, overall_assessment) = match said {
        Some(said) => (said.suggestions, Some(said.overall_assessment)),
        None => (Vec::new(), None),
    };
    EditorReviewResponse {
        suggestions,
        overall_assessment,
        degradation,
        context_metadata: Some(answer.context),
    }
}
