//! A character's biography, from its sheet.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::character_details::sheet_named;
use super::container::{ContextProcessingConfig, StructuredContext};
use super::full_state::{CharacterDetails, RequestContext};
use super::job::{Job, Words};
use super::modify_chapter::cut_short;
use super::single::{Degradation, Desk, Events, Phases, StoryRequest, ask, told};
use super::source::{Presence, Source, required};
use super::{ContextMetadata, JobPhase, StoryError};
use crate::agents::shared::NamedText;
use crate::agents::writer::{self, BioPrompt};
use crate::context::Agent;

const PHASES: Phases = Phases {
    preparing: told(JobPhase::ContextProcessing, 20, "Putting the context together"),
    reading: Some(told(JobPhase::Analyzing, 40, "Reading the sheet")),
    writing: told(JobPhase::Generating, 70, "Writing the biography"),
    finishing: told(JobPhase::Processing, 90, "Finishing the biography"),
};

/// A request for a biography.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RegenerateBioRequest {
    pub name: Option<String>,
    pub sex: String,
    pub gender: String,
    pub sexual_preference: String,
    /// 0: not known.
    pub age: i64,
    pub physical_appearance: String,
    pub usual_clothing: String,
    pub personality: String,
    pub motivations: String,
    pub fears: String,
    pub relationships: String,
    #[serde(rename = "structured_context")]
    pub structured_context: Option<StructuredContext>,
    #[serde(rename = "context_processing_config")]
    pub context_processing_config: Option<ContextProcessingConfig>,
    /// The later shape: the whole state of the story, instead of `structured_context`.
    #[serde(rename = "request_context")]
    pub request_context: Option<RequestContext>,
    /// Whose biography to write (later shape).
    #[serde(rename = "character_name")]
    pub character_name: Option<String>,
}

/// A biography.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RegenerateBioResponse {
    #[serde(rename = "basicBio")]
    pub basic_bio: String,
    #[serde(flatten)]
    pub degradation: Degradation,
    pub context_metadata: Option<ContextMetadata>,
}

impl StoryRequest for RegenerateBioRequest {
    type Response = RegenerateBioResponse;

    fn begin(mut self, desk: Desk) -> Result<Events<RegenerateBioResponse>, StoryError> {
        let source = Source::new(
            self.structured_context.take(),
            self.request_context.take(),
            self.context_processing_config.take(),
            None,
            Presence::Optional,
        )?;
        let sheet = match sheet_named(&source, self.character_name.as_deref())? {
            Some(sheet) => CharacterDetails { basic_bio: String::new(), ..sheet.clone() },
            None => self.sheet(),
        };
        let name = required(Some(&sheet.name), &["name"], "is required, and must not be blank")?;
        let entries = sheet.entries().into_iter();
        let notes: Vec<_> =
            entries.map(|(name, value)| NamedText { name: name.to_owned(), value }).collect();
        if notes.is_empty() {
            return Err(StoryError::fault(
                &["personality"],
                "the sheet says nothing beside the name; fill in something to write from",
            ));
        }
        let words: Words = Box::new(move |prompts, parts| {
            let (name, notes) = (name.clone(), notes.clone());
            parts.messages(prompts, |guidance| BioPrompt { name, notes, guidance })
        });
        let profile = desk.service.settings.profiles.biography.clone();
        let phases = PHASES.of_later_shape(source.is_later_shape());
        let job = Job {
            prompt_lookup: true,
            ..Job::new(desk.client.clone(), Agent::Writer, profile, source, words)
        };
        ask(&desk, job, phases, writer::prose, |mut answer| {
            Ok(RegenerateBioResponse {
                basic_bio: answer.text()?,
                degradation: Degradation::because(cut_short(answer.finished.reason)),
                context_metadata: Some(answer.context),
            })
        })
    }
}

impl RegenerateBioRequest {
    fn sheet(self) -> CharacterDetails {
        CharacterDetails {
            name: self.name.unwrap_or_default(),
            sex: self.sex,
            gender: self.gender,
            sexual_preference: self.sexual_preference,
            age: self.age,
            physical_appearance: self.physical_appearance,
            usual_clothing: self.usual_clothing,
            personality: self.personality,
            motivations: self.motivations,
            fears: self.fears,
            relationships: self.relationships,
            ..CharacterDetails::default()
        }
    }
}
