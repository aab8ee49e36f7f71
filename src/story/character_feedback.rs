//! A character's reaction to what happens, from what it can know.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answering::Answer;
use super::container::{ContextProcessingConfig, StructuredContext};
use super::elements::{Knower, Material};
use super::full_state::RequestContext;
use super::job::{Job, Words};
use super::single::{Degradation, Desk, Events, Phases, StoryRequest, ask, told};
use super::source::{Faults, Presence, Source, first_said, required};
use super::{ContextMetadata, JobPhase, StoryError};
use crate::agents::character::{ReactPrompt, Reaction, without_words_of_others};
use crate::agents::{Profile, schema_of, structured};
use crate::context::Agent;
use crate::engine::ClientId;

const PHASES: Phases = Phases {
    preparing: told(JobPhase::ContextProcessing, 25, "Recalling what the character knows"),
    reading: None,
    writing: told(JobPhase::Generating, 65, "The character reacts"),
    finishing: told(JobPhase::Parsing, 90, "Reading the reaction"),
};

/// A request for a character's reaction.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CharacterFeedbackRequest {
    /// What happens.
    #[serde(rename = "plotPoint")]
    pub plot_point: Option<String>,
    /// Who reacts, by name or id; without it, the first of the story's characters.
    #[serde(alias = "characterName", alias = "character_id")]
    pub character_name: Option<String>,
    /// What the character is to go by.
    #[serde(rename = "characterPrompt")]
    pub character_prompt: Option<String>,
    pub structured_context: Option<StructuredContext>,
    pub context_processing_config: Option<ContextProcessingConfig>,
    /// The later shape: the whole state of the story, instead of `structured_context`.
    pub request_context: Option<RequestContext>,
}

/// A character's reaction.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CharacterFeedbackResponse {
    pub character_name: String,
    pub feedback: Reaction,
    /// Lines that were taken out because another character spoke in them.
    #[serde(default)]
    pub lines_of_others_removed: usize,
    #[serde(flatten)]
    pub degradation: Degradation,
    #[serde(rename = "context_metadata")]
    pub context_metadata: Option<ContextMetadata>,
}

impl StoryRequest for CharacterFeedbackRequest {
    type Response = CharacterFeedbackResponse;

    fn begin(self, desk: Desk) -> Result<Events<CharacterFeedbackResponse>, StoryError> {
        let mut faults = Faults::default();
        let source = faults.or_default(Source::new(
            self.structured_context,
            self.request_context,
            self.context_processing_config,
            None,
            Presence::Required,
        ))?;
        let older = source.story.plot_context.as_ref().and_then(|plot| plot.point.as_deref());
        let situation = faults.or_default(required(
            first_said([self.plot_point.as_deref(), older]),
            &["plotPoint"],
            "is required: what the character reacts to",
        ))?;
        // Without a story nobody can be looked for in it.
        faults.told()?;
        let knower = knower(&source, self.character_name.as_deref(), &["character_name"])?;
        let phases = PHASES.of_later_shape(source.is_later_shape());
        let profile = desk.service.settings.profiles.character.clone();
        let others = others(&source, &knower);
        let name = knower.name.clone();
        let brief = self.character_prompt.filter(|brief| !brief.trim().is_empty());
        let job = Job {
            material: brief.map(Material::Brief).into_iter().collect(),
            ..reacting(desk.client.clone(), profile, source, knower, Some(situation))
        };
        ask(&desk, job, phases, structured::<Reaction>, move |answer| {
            Ok(reaction(answer, name, &others))
        })
    }
}

/// The job of reacting.
pub(super) fn reacting(
    client: ClientId,
    profile: Profile,
    source: Source,
    knower: Knower,
    situation: Option<String>,
) -> Job {
    let (name, task) = (knower.name.clone(), situation.clone());
    let words: Words = Box::new(move |prompts, parts| {
        let (name, situation) = (name.clone(), situation.clone());
        parts.messages(prompts, |guidance| ReactPrompt { name, situation, guidance })
    });
    Job {
        task,
        knower: Some(knower),
        json_schema: Some(schema_of::<Reaction>()),
        ..Job::new(client, Agent::Character, profile, source, words)
    }
}

/// The character meant by a name or an id; without one, the first.
pub(super) fn knower(
    source: &Source,
    wanted: Option<&str>,
    path: &[&str],
) -> Result<Knower, StoryError> {
    let story = &source.story;
    let typed = story
        .character_contexts
        .iter()
        .map(|it| (it.character_id.as_str(), it.character_name.as_str()));
    let sheets = story
        .characters
        .iter()
        .map(|sheet| (sheet.id.as_deref().unwrap_or(&sheet.name), sheet.name.as_str()));
    let mut all = typed.chain(sheets);
    let Some(wanted) = wanted.map(str::trim).filter(|wanted| !wanted.is_empty()) else {
        let (id, name) = all.next().ok_or_else(|| {
            StoryError::fault(
                &["structured_context", "character_contexts"],
                "must hold the character who reacts",
            )
        })?;
        return Ok(Knower::new(id, name));
    };
    let known: Vec<_> = all.collect();
    let is_meant =
        |&&(id, name): &&(&str, &str)| id == wanted || name.to_lowercase() == wanted.to_lowercase();
    let Some((id, name)) = known.iter().find(is_meant) else {
        let names: Vec<_> = known.iter().map(|(id, name)| format!("{name} ({id})")).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let message = format!("there is no character {wanted:?}; the story has: {names}");
        return Err(StoryError::fault(path, message));
    };
    Ok(Knower::new(id, name))
}

/// Names of the other characters, who are not to be spoken for.
pub(super) fn others(source: &Source, knower: &Knower) -> Vec<String> {
    let names = source.story.character_names();
    names.filter(|&name| name != knower.name).map(str::to_owned).collect()
}

pub(super) fn reaction(
    mut answer: Box<Answer<Reaction>>,
    character_name: String,
    others: &[String],
) -> CharacterFeedbackResponse {
    let (said, degradation) = answer.said_or_nothing();
    let mut feedback = said.unwrap_or_default();
    let lines_of_others_removed = without_words_of_others(&mut feedback, others);
    CharacterFeedbackResponse {
        character_name,
        feedback,
        lines_of_others_removed,
        degradation,
        context_metadata: Some(answer.context),
    }
}
