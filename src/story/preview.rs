//! The budget simulator: what an agent would see of a story, in windows of several sizes. No model is
//! asked.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answering::blocking;
use super::character_feedback::knower;
use super::container::{ContextProcessingConfig, StructuredContext};
use super::editor_review::{reviewing, work_and_brief};
use super::elements::Knower;
use super::full_state::RequestContext;
use super::job::{Job, Words};
use super::rater_feedback::{Task, rating};
use super::source::{Presence, Source};
use super::{StoryError, StoryService, character_feedback};
use crate::agents::Profile;
use crate::agents::conversation::ConversationPrompt;
use crate::agents::rater::USUAL_DIMENSIONS;
use crate::agents::writer::ChapterPrompt;
use crate::context::{Agent, Receipt};
use crate::engine::{ClientId, Message};
use crate::tokens::TokenCount;

/// Windows that are tried where the request names none.
const USUAL_WINDOWS: [usize; 4] = [4_096, 8_192, 16_384, 32_768];
const MOST_WINDOWS: usize = 16;
const WINDOWS: std::ops::RangeInclusive<usize> = 512..=1_048_576;

/// A story, an agent and the windows to try.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PreviewRequest {
    #[serde(default)]
    pub structured_context: Option<StructuredContext>,
    /// The later shape: the whole state of the story, instead of `structured_context`.
    #[serde(default)]
    pub request_context: Option<RequestContext>,
    #[serde(default)]
    pub context_processing_config: Option<ContextProcessingConfig>,
    /// Who would see it; the writer, if nobody is named.
    #[serde(default = "writer")]
    pub agent: Agent,
    /// The character meant, where the agent is one; else the first.
    #[serde(default)]
    pub character_name: Option<String>,
    /// What the agent would be asked to do.
    #[serde(default, rename = "plotPoint")]
    pub plot_point: Option<String>,
    /// A text it would be shown.
    #[serde(default)]
    pub chapter: Option<String>,
    /// Which chapter is at hand (later shape).
    #[serde(default)]
    pub chapter_number: Option<i64>,
    /// In tokens; without any, 4096, 8192, 16384 and 32768.
    #[serde(default, alias = "window")]
    #[schemars(length(max = 16), inner(range(min = 512, max = 1_048_576)))]
    pub windows: Vec<usize>,
    /// Most tokens of the answer; without it, as the agent's endpoint has it.
    #[serde(default)]
    pub max_tokens: Option<u32>,
}

fn writer() -> Agent {
    Agent::Writer
}

/// What the agent would see.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PreviewResponse {
    pub previews: Vec<Preview>,
}

/// One window's outcome.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Preview {
    /// In tokens.
    pub window: usize,
    /// What would be told, and why; what is to be told shorter has its expected size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
    /// Why there is none: what must be in doesn't fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl StoryService {
    /// What an agent would see in each window.
    pub async fn preview(
        self: Arc<Self>,
        request: PreviewRequest,
    ) -> Result<PreviewResponse, StoryError> {
        blocking(move || request.previews(&self)).await
    }
}

impl PreviewRequest {
    fn previews(mut self, service: &Arc<StoryService>) -> Result<PreviewResponse, StoryError> {
        let windows = self.checked_windows()?;
        let source = Source::new(
            self.structured_context.take(),
            self.request_context.take(),
            self.context_processing_config.take(),
            self.chapter_number,
            Presence::Required,
        )?;
        let knower = match self.agent {
            Agent::Character => {
                Some(knower(&source, self.character_name.as_deref(), &["character_name"])?)
            }
            _ => None,
        };
        let job = self.job(service, source, knower);
        let previews = service.previews(job, &windows)?;
        Ok(PreviewResponse { previews })
    }

    fn checked_windows(&self) -> Result<Vec<TokenCount>, StoryError> {
        if self.windows.is_empty() {
            return Ok(USUAL_WINDOWS.map(TokenCount::new).to_vec());
        }
        if self.windows.len() > MOST_WINDOWS {
            return Err(StoryError::fault(&["windows"], "must be 16 at most"));
        }
        let wrong = self.windows.iter().position(|window| !WINDOWS.contains(window));
        if let Some(at) = wrong {
            let path = ["windows", &at.to_string()];
            return Err(StoryError::fault(&path, "must be from 512 to 1048576 tokens"));
        }
        Ok(self.windows.iter().copied().map(TokenCount::new).collect())
    }

    fn job(self, service: &StoryService, source: Source, knower: Option<Knower>) -> Job {
        let profiles = &service.settings.profiles;
        let client = ClientId::default();
        let sized = |profile: &Profile| {
            let max_tokens = self.max_tokens.map_or(profile.max_tokens, TokenCount::from);
            Profile { max_tokens, ..profile.clone() }
        };
        let chapter = self.chapter.as_deref().filter(|chapter| !chapter.trim().is_empty());
        let task = self.plot_point.clone();
        let material =
            chapter.map(|text| work_and_brief("chapter", text, None)).unwrap_or_default();
        match (self.agent, knower) {
            (Agent::Character, Some(knower)) => {
                let profile = sized(&profiles.character);
                let job = character_feedback::reacting(client, profile, source, knower, task);
                Job { material, ..job }
            }
            (Agent::Editor, _) => {
                let job = reviewing(client, sized(&profiles.editor), source, "", None);
                Job { task, material, ..job }
            }
            (Agent::Rater, _) => {
                let dimensions = USUAL_DIMENSIONS.map(str::to_owned).to_vec();
                let task = Task { subject: task, chapter, dimensions };
                rating(client, sized(&profiles.rater), source, task, String::new())
            }
            (Agent::Worldbuilding, _) => {
                let profile = sized(&profiles.conversation);
                Job {
                    task,
                    material,
                    ..Job::new(client, Agent::Worldbuilding, profile, source, talk())
                }
            }
            (Agent::Writer | Agent::Character, _) => {
                let profile = sized(&profiles.chapter);
                let plot_point = task.clone();
                let words: Words = Box::new(move |prompts, parts| {
                    let plot_point = plot_point.clone();
                    parts.messages(prompts, |guidance| ChapterPrompt { plot_point, guidance })
                });
                Job { task, material, ..Job::new(client, Agent::Writer, profile, source, words) }
            }
        }
    }
}

fn talk() -> Words {
    Box::new(|prompts, parts| {
        let system = ConversationPrompt {
            agent: Agent::Worldbuilding,
            instructions: parts.system.instructions.clone(),
            story: prompts.render(&parts.story)?,
            topic: None,
            guidance: parts.guidance.in_words(prompts)?,
        };
        Ok(vec![Message::system(prompts.render(&system)?)])
    })
}
