//! A sketch, told in full.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::container::{ContextProcessingConfig, StructuredContext};
use super::elements::{Material, Need};
use super::full_state::RequestContext;
use super::generate_chapter::word_count;
use super::job::{Job, Words};
use super::modify_chapter::cut_short;
use super::single::{Degradation, Desk, Events, Phases, StoryRequest, ask, told};
use super::source::{Faults, Presence, Source, required};
use super::{ContextMetadata, JobPhase, StoryError};
use crate::agents::writer::{self, FleshOutPrompt, SketchPurpose};
use crate::context::Agent;

const PHASES: Phases = Phases {
    preparing: told(JobPhase::ContextProcessing, 20, "Putting the context together"),
    reading: Some(told(JobPhase::Analyzing, 40, "Reading the text")),
    writing: told(JobPhase::Expanding, 70, "Telling it in full"),
    finishing: told(JobPhase::Finalizing, 90, "Finishing the text"),
};

/// A request to tell a sketch in full.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FleshOutRequest {
    #[serde(rename = "textToFleshOut", alias = "text_to_flesh_out")]
    pub text_to_flesh_out: Option<String>,
    /// What the text is for.
    pub context: Option<String>,
    /// What the text is (later shape).
    pub request_type: Option<SketchPurpose>,
    pub structured_context: Option<StructuredContext>,
    pub context_processing_config: Option<ContextProcessingConfig>,
    /// The later shape: the whole state of the story, instead of `structured_context`.
    pub request_context: Option<RequestContext>,
}

/// A sketch, told in full.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleshOutResponse {
    pub fleshed_out_text: String,
    pub original_text: String,
    pub metadata: FleshOutMetadata,
    #[serde(flatten)]
    pub degradation: Degradation,
    #[serde(rename = "context_metadata")]
    pub context_metadata: Option<ContextMetadata>,
}

/// How the text came about. Lengths are in characters.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleshOutMetadata {
    /// RFC 3339, UTC.
    pub expanded_at: String,
    pub original_length: usize,
    pub expanded_length: usize,
    pub word_count: usize,
    /// What the text is: `worldbuilding`, `chapter` or `plot_outline`.
    pub context_type: SketchPurpose,
    /// Always `structured`.
    pub context_mode: String,
    pub structured_context_provided: bool,
}

impl StoryRequest for FleshOutRequest {
    type Response = FleshOutResponse;

    fn begin(self, desk: Desk) -> Result<Events<FleshOutResponse>, StoryError> {
        let mut faults = Faults::default();
        let text = faults.or_default(required(
            self.text_to_flesh_out.as_deref(),
            &["textToFleshOut"],
            "is required, and must not be blank",
        ))?;
        let presence = match self.request_type {
            // The later shape leaves the story out where there is none yet.
            Some(_) => Presence::Optional,
            None => Presence::Required,
        };
        let was_told = self.structured_context.is_some() || self.request_context.is_some();
        let source = faults.or_default(Source::new(
            self.structured_context,
            self.request_context,
            self.context_processing_config,
            None,
            presence,
        ))?;
        faults.told()?;
        let is_later = self.request_type.is_some() || source.is_later_shape();
        let purpose = self.request_type.unwrap_or_default();
        let context = self.context.filter(|context| !context.trim().is_empty());
        let words: Words = Box::new(move |prompts, parts| {
            let context = context.clone();
            parts.messages(prompts, |guidance| FleshOutPrompt { purpose, context, guidance })
        });
        let service = &desk.service;
        let profile = service.settings.profiles.flesh_out.clone();
        let work = Material::Work { name: "text", text: text.clone(), need: Need::Whole };
        let job = Job {
            material: vec![work],
            ..Job::new(desk.client.clone(), Agent::Writer, profile, source, words)
        };
        let clock = service.clock.clone();
        ask(&desk, job, PHASES.of_later_shape(is_later), writer::prose, move |mut answer| {
            let fleshed_out_text = answer.text()?;
            Ok(FleshOutResponse {
                metadata: FleshOutMetadata {
                    expanded_at: clock.now().to_string(),
                    original_length: text.chars().count(),
                    expanded_length: fleshed_out_text.chars().count(),
                    word_count: word_count(&fleshed_out_text),
                    context_type: purpose,
                    context_mode: "structured".to_owned(),
                    structured_context_provided: was_told,
                },
                fleshed_out_text,
                original_text: text,
                degradation: Degradation::because(cut_short(answer.finished.reason)),
                context_metadata: Some(answer.context),
            })
        })
    }
}
