//! A story's outline, divided into chapters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::container::{
    CharacterContext, ContextProcessingConfig, PlotElement, PriorityLevel, StructuredContext,
    SystemPrompts,
};
use super::elements::{Material, Need};
use super::full_state::RequestContext;
use super::job::{Job, Words};
use super::single::{Degradation, Desk, Events, Phases, StoryRequest, ask, told};
use super::source::{Presence, Source, first_said};
use super::{JobPhase, StoryError};
use crate::agents::writer::{OutlineAnswer, OutlinePrompt, OutlinedChapter};
use crate::agents::{schema_of, structured};
use crate::context::{Agent, Receipt};

const PHASES: Phases = Phases {
    preparing: told(JobPhase::ContextProcessing, 20, "Putting the context together"),
    reading: Some(told(JobPhase::Analyzing, 40, "Reading the outline")),
    writing: told(JobPhase::Generating, 70, "Dividing it into chapters"),
    finishing: told(JobPhase::Parsing, 90, "Reading the chapters"),
};

/// A request for a story's chapters.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ChapterOutlineRequest {
    pub story_outline: Option<String>,
    /// Anything about the story; what is in it is told.
    pub story_context: Map<String, Value>,
    pub character_contexts: Vec<CharacterContext>,
    /// Wishes, by name.
    pub generation_preferences: Map<String, Value>,
    pub system_prompts: Option<SystemPrompts>,
    pub context_processing_config: Option<ContextProcessingConfig>,
    /// The later shape: the whole state of the story, its outline included.
    pub request_context: Option<RequestContext>,
}

/// A story's chapters.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ChapterOutlineResponse {
    pub outline_items: Vec<OutlinedItem>,
    pub summary: String,
    #[serde(flatten)]
    pub degradation: Degradation,
    pub context_metadata: OutlineMetadata,
}

/// A chapter of the outline.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OutlinedItem {
    /// `chapter-N`.
    pub id: String,
    /// Always `chapter`.
    #[serde(rename = "type")]
    pub type_name: String,
    pub title: String,
    pub description: String,
    pub key_plot_items: Vec<String>,
    /// From 1.
    pub order: usize,
    /// Always `draft`.
    pub status: String,
    pub involved_characters: Vec<String>,
    pub metadata: ItemMetadata,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ItemMetadata {
    /// RFC 3339, UTC.
    pub created: String,
    pub last_modified: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OutlineMetadata {
    /// RFC 3339, UTC.
    pub generation_timestamp: String,
    /// In characters.
    pub source_outline_length: usize,
    pub generated_chapters: usize,
    pub receipt: Receipt,
}

impl StoryRequest for ChapterOutlineRequest {
    type Response = ChapterOutlineResponse;

    fn begin(self, desk: Desk) -> Result<Events<ChapterOutlineResponse>, StoryError> {
        let outline = self.outline()?;
        let source = self.source()?;
        let words: Words = Box::new(|prompts, parts| {
            parts.messages(prompts, |guidance| OutlinePrompt { guidance })
        });
        let service = &desk.service;
        let profile = service.settings.profiles.outline.clone();
        let phases = PHASES.of_later_shape(source.is_later_shape());
        let work = Material::Work { name: "outline", text: outline.clone(), need: Need::Whole };
        let job = Job {
            material: vec![work],
            json_schema: Some(schema_of::<OutlineAnswer>()),
            ..Job::new(desk.client.clone(), Agent::Writer, profile, source, words)
        };
        let clock = service.clock.clone();
        ask(&desk, job, phases, structured::<OutlineAnswer>, move |mut answer| {
            let (said, degradation) = answer.said_or_nothing();
            let now = clock.now().to_string();
            let chapters = said.map(|said| said.chapters).unwrap_or_default();
            let outline_items: Vec<_> =
                (1..).zip(chapters).map(|(order, chapter)| item(order, chapter, &now)).collect();
            let count = outline_items.len();
            Ok(ChapterOutlineResponse {
                outline_items,
                summary: format!("Generated {count} chapters from story outline"),
                degradation,
                context_metadata: OutlineMetadata {
                    generation_timestamp: now,
                    source_outline_length: outline.chars().count(),
                    generated_chapters: count,
                    receipt: answer.context.receipt,
                },
            })
        })
    }
}

impl ChapterOutlineRequest {
    /// An outline without text is a 400 in this contract.
    fn outline(&self) -> Result<String, StoryError> {
        let told = self.request_context.as_ref().and_then(|full| full.story_outline.as_ref());
        let told = told.map(|outline| outline.content.as_str());
        let said = first_said([self.story_outline.as_deref(), told]);
        said.map(str::to_owned).ok_or_else(|| {
            StoryError::BadRequest("story_outline must not be empty: say what happens".to_owned())
        })
    }

    fn source(self) -> Result<Source, StoryError> {
        let (structured, full) = if let Some(mut full) = self.request_context {
            let has_more = !self.story_context.is_empty()
                || !self.character_contexts.is_empty()
                || !self.generation_preferences.is_empty()
                || self.system_prompts.is_some();
            if has_more {
                return Err(StoryError::fault(
                    &["request_context"],
                    "is the whole story; story_context, character_contexts, generation_preferences \
                     and system_prompts are of the older shape, send one of them",
                ));
            }
            // The outline is the text at hand.
            full.story_outline = None;
            (None, Some(full))
        } else {
            let mut story = free_form_story(&self.story_context, &["story_context"])?;
            story.character_contexts.extend(self.character_contexts);
            story.system_prompts = self.system_prompts.or(story.system_prompts);
            story.user_requests.extend(preferences(&self.generation_preferences));
            (Some(story), None)
        };
        let config = self.context_processing_config;
        Source::new(structured, full, config, None, Presence::Required)
    }
}

/// What only a structured context has.
const TYPED_KEYS: [&str; 9] = [
    "plot_elements",
    "character_contexts",
    "user_requests",
    "system_instructions",
    "systemPrompts",
    "previousChapters",
    "storySummary",
    "plotContext",
    "worldbuilding",
];

/// A story of any form: typed where it has the typed keys, else told as it is.
pub(super) fn free_form_story(
    story: &Map<String, Value>,
    path: &[&str],
) -> Result<StructuredContext, StoryError> {
    let is_object_or_list =
        |key: &&str| story.get(*key).is_some_and(|value| value.is_array() || value.is_object());
    if TYPED_KEYS.iter().any(is_object_or_list) {
        let typed = serde_json::from_value(Value::Object(story.clone()));
        return typed.map_err(|error| {
            StoryError::fault(path, format!("is no structured context: {error}"))
        });
    }
    let plot_elements = story.iter().filter_map(|(name, value)| {
        Some(PlotElement {
            id: Some(name.clone()),
            element_id: None,
            type_name: name.clone(),
            content: super::elements::in_words(value)?,
            priority: PriorityLevel::Medium,
            tags: Vec::new(),
            metadata: None,
        })
    });
    Ok(StructuredContext { plot_elements: plot_elements.collect(), ..StructuredContext::default() })
}

fn preferences(wishes: &Map<String, Value>) -> Vec<super::UserRequest> {
    let wish = |(name, value): (&String, &Value)| {
        let value = super::elements::in_words(value)?;
        let content = format!("{}: {value}", name.replace('_', " "));
        let json =
            json!({"id": name, "type": "preference", "content": content, "priority": "high"});
        serde_json::from_value(json).ok()
    };
    wishes.iter().filter_map(wish).collect()
}

fn item(order: usize, chapter: OutlinedChapter, now: &str) -> OutlinedItem {
    OutlinedItem {
        id: format!("chapter-{order}"),
        type_name: "chapter".to_owned(),
        title: chapter.title,
        description: chapter.description,
        key_plot_items: chapter.key_plot_items,
        order,
        status: "draft".to_owned(),
        involved_characters: chapter.involved_characters,
        metadata: ItemMetadata { created: now.to_owned(), last_modified: now.to_owned() },
    }
}
