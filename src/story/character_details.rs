//! A character's sheet, from its biography.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::container::{ContextProcessingConfig, StructuredContext};
use super::elements::{Material, Need};
use super::full_state::{CharacterDetails, RequestContext};
use super::job::{Job, Words};
use super::single::{Degradation, Desk, Events, Phases, StoryRequest, ask, told};
use super::source::{Faults, Presence, Source, first_said, required};
use super::{ContextMetadata, JobPhase, StoryError};
use crate::agents::shared::NamedText;
use crate::agents::writer::{CharacterDetailsPrompt, CharacterSheetAnswer};
use crate::agents::{schema_of, structured};
use crate::context::Agent;

const PHASES: Phases = Phases {
    preparing: told(JobPhase::ContextProcessing, 20, "Putting the context together"),
    reading: Some(told(JobPhase::Analyzing, 40, "Reading the biography")),
    writing: told(JobPhase::Generating, 70, "Filling in the sheet"),
    finishing: told(JobPhase::Parsing, 90, "Reading the sheet"),
};

/// A request for a character's sheet.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CharacterDetailsRequest {
    /// The biography. With the later shape, that of the character that `character_name` names.
    #[serde(rename = "basicBio")]
    pub basic_bio: Option<String>,
    /// The story's other characters: `name`, `basicBio`, `relationships`.
    #[serde(rename = "existingCharacters")]
    pub existing_characters: Vec<Map<String, Value>>,
    pub structured_context: Option<StructuredContext>,
    pub context_processing_config: Option<ContextProcessingConfig>,
    /// The later shape: the whole state of the story, instead of `structured_context`.
    pub request_context: Option<RequestContext>,
    /// Whose sheet to fill in (later shape).
    pub character_name: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CharacterDetailsResponse {
    pub character_info: CharacterInfo,
    #[serde(flatten)]
    pub degradation: Degradation,
    pub context_metadata: Option<ContextMetadata>,
}

/// A character's sheet.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CharacterInfo {
    pub name: String,
    pub basic_bio: String,
    pub sex: String,
    pub gender: String,
    pub sexual_preference: String,
    pub age: u32,
    pub physical_appearance: String,
    pub usual_clothing: String,
    pub personality: String,
    pub motivations: String,
    pub fears: String,
    pub relationships: String,
}

impl StoryRequest for CharacterDetailsRequest {
    type Response = CharacterDetailsResponse;

    fn begin(self, desk: Desk) -> Result<Events<CharacterDetailsResponse>, StoryError> {
        let mut faults = Faults::default();
        let source = faults.or_default(Source::new(
            self.structured_context,
            self.request_context,
            self.context_processing_config,
            None,
            Presence::Required,
        ))?;
        let said = first_said([self.basic_bio.as_deref()]);
        let sheet = match said {
            Some(_) => None,
            None => sheet_named(&source, self.character_name.as_deref())?,
        };
        let said = said.or(sheet.map(|sheet| sheet.basic_bio.as_str()));
        let message = "is required, and must not be blank";
        let bio = faults.or_default(required(said, &["basicBio"], message))?;
        faults.told()?;
        let name = sheet.map(|sheet| sheet.name.clone());
        let others = others(&self.existing_characters, &source, name.as_deref());
        let words: Words = Box::new(move |prompts, parts| {
            let others = others.clone();
            parts.messages(prompts, |guidance| CharacterDetailsPrompt { others, guidance })
        });
        let profile = desk.service.settings.profiles.character_details.clone();
        let phases = PHASES.of_later_shape(source.is_later_shape());
        let work = Material::Work { name: "biography", text: bio.clone(), need: Need::Whole };
        let job = Job {
            material: vec![work],
            json_schema: Some(schema_of::<CharacterSheetAnswer>()),
            ..Job::new(desk.client.clone(), Agent::Writer, profile, source, words)
        };
        ask(&desk, job, phases, structured::<CharacterSheetAnswer>, move |mut answer| {
            let (said, degradation) = answer.said_or_nothing();
            let mut character_info = said.map(info).unwrap_or_default();
            character_info.basic_bio = bio;
            if let Some(name) = name {
                character_info.name = name;
            }
            let context_metadata = Some(answer.context);
            Ok(CharacterDetailsResponse { character_info, degradation, context_metadata })
        })
    }
}

/// The sheet that the later shape has under a name.
pub(super) fn sheet_named<'a>(
    source: &'a Source,
    name: Option<&str>,
) -> Result<Option<&'a CharacterDetails>, StoryError> {
    let (Some(full), Some(name)) = (source.full.as_deref(), name) else { return Ok(None) };
    let Some(sheet) = full.character(name.trim()) else {
        let names: Vec<_> = full.characters.iter().map(|sheet| sheet.name.as_str()).collect();
        let message = format!("the story has no character {name:?}; it has: {}", names.join(", "));
        return Err(StoryError::fault(&["character_name"], message));
    };
    Ok(Some(sheet))
}

fn others(existing: &[Map<String, Value>], source: &Source, but: Option<&str>) -> Vec<NamedText> {
    let text = |character: &Map<String, Value>, key: &str| {
        character.get(key).and_then(Value::as_str).unwrap_or_default().trim().to_owned()
    };
    let typed = existing.iter().map(|character| {
        let told = [text(character, "basicBio"), text(character, "relationships")];
        let told: Vec<_> = told.into_iter().filter(|text| !text.is_empty()).collect();
        NamedText { name: text(character, "name"), value: told.join(" ") }
    });
    let sheets = source.full.iter().flat_map(|full| &full.characters).filter(|it| !it.is_hidden);
    let sheets =
        sheets.map(|sheet| NamedText { name: sheet.name.clone(), value: sheet.basic_bio.clone() });
    typed
        .chain(sheets)
        .filter(|other| !other.name.is_empty() && Some(other.name.as_str()) != but)
        .collect()
}

fn info(said: CharacterSheetAnswer) -> CharacterInfo {
    CharacterInfo {
        name: said.name,
        basic_bio: String::new(),
        sex: said.sex,
        gender: said.gender,
        sexual_preference: said.sexual_preference,
        age: said.age,
        physical_appearance: said.physical_appearance,
        usual_clothing: said.usual_clothing,
        personality: said.personality,
        motivations: said.motivations,
        fears: said.fears,
        relationships: said.relationships,
    }
}
