//! The request's context as clients send it: typed lists of elements, or the older editors' shape
//! with chapters and a plot outline. One type takes both, so that a client may even mix them.
//! Unknown keys are ignored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::StoryError;
use super::consultation::Consultation;
use super::elements::OutlineItem;
use crate::context::{Agent, Phase};

/// The story as the author has it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StructuredContext {
    pub plot_elements: Vec<PlotElement>,
    pub character_contexts: Vec<CharacterContext>,
    pub user_requests: Vec<UserRequest>,
    pub system_instructions: Vec<SystemInstruction>,
    /// Anything; nothing is read from it.
    pub metadata: Option<Map<String, Value>>,

    /// The author's own instructions (older editors).
    #[serde(rename = "systemPrompts", skip_serializing_if = "Option::is_none")]
    pub system_prompts: Option<SystemPrompts>,
    /// The world (older editors).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worldbuilding: Option<Worldbuilding>,
    /// The story so far in short (older editors).
    #[serde(rename = "storySummary", skip_serializing_if = "Option::is_none")]
    pub story_summary: Option<StorySummary>,
    /// Finished chapters (older editors).
    #[serde(rename = "previousChapters", skip_serializing_if = "Vec::is_empty")]
    pub previous_chapters: Vec<PreviousChapter>,
    /// The cast (older editors).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub characters: Vec<CharacterSheet>,
    /// The plot (older editors).
    #[serde(rename = "plotContext", skip_serializing_if = "Option::is_none")]
    pub plot_context: Option<PlotContext>,
}

impl StructuredContext {
    pub(super) fn says_something(&self) -> bool {
        !self.plot_elements.is_empty()
            || !self.character_contexts.is_empty()
            || !self.user_requests.is_empty()
            || !self.characters.is_empty()
            || !self.previous_chapters.is_empty()
            || self.plot_context.is_some()
            || self.worldbuilding.is_some()
            || self.story_summary.is_some()
    }

    /// Names of all its characters.
    pub(super) fn character_names(&self) -> impl Iterator<Item = &str> {
        let typed = self.character_contexts.iter().map(|it| it.character_name.as_str());
        typed.chain(self.characters.iter().map(|sheet| sheet.name.as_str()))
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PlotElement {
    #[serde(default)]
    pub id: Option<String>,
    /// Another name for `id`.
    #[serde(default)]
    pub element_id: Option<String>,
    /// `scene`, `conflict`, `resolution`, `twist`, `setup`, `payoff`, `transition`,
    /// `chapter_outline`, `detail`, or any other word. `chapter`, `previous_chapter` and
    /// `recent_story` count as story already told; `worldbuilding`, `setting` and `lore` as the world.
    #[serde(rename = "type")]
    pub type_name: String,
    pub content: String,
    #[serde(default)]
    pub priority: PriorityLevel,
    #[serde(default)]
    pub tags: Vec<String>,
    /// `phases` in it limits the element to those phases.
    #[serde(default)]
    pub metadata: Option<Map<String, Value>>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CharacterContext {
    /// Unique in the request.
    pub character_id: String,
    pub character_name: String,
    #[serde(default)]
    pub current_state: Option<CharacterState>,
    #[serde(default)]
    pub recent_actions: Vec<String>,
    #[serde(default)]
    /// The other's name to what they are to each other.
    pub relationships: Map<String, Value>,
    #[serde(default)]
    pub goals: Vec<String>,
    #[serde(default)]
    pub memories: Vec<String>,
    #[serde(default)]
    pub personality_traits: Vec<String>,
}

/// How a character is at the moment: a word, or named facts.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CharacterState {
    Text(String),
    Fields(Map<String, Value>),
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserRequest {
    #[serde(default)]
    pub id: Option<String>,
    /// `modification`, `addition`, `removal`, `style_change`, `tone_adjustment`, `general`,
    /// `instruction`, `feedback`, `preference`, or any other word.
    #[serde(rename = "type")]
    pub type_name: String,
    pub content: String,
    #[serde(default)]
    pub priority: PriorityLevel,
    #[serde(default)]
    pub target: Option<String>,
    #[serde(default)]
    pub context: Option<String>,
    #[serde(default)]
    pub timestamp: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SystemInstruction {
    #[serde(default)]
    pub id: Option<String>,
    /// `behavior`, `style`, `constraint`, `preference`, `rule`, `format`, or any other word.
    #[serde(rename = "type")]
    pub type_name: String,
    pub content: String,
    #[serde(default)]
    pub scope: Scope,
    #[serde(default)]
    pub priority: PriorityLevel,
    /// `phases` in it limits the instruction to those phases.
    #[serde(default)]
    pub conditions: Option<Map<String, Value>>,
    #[serde(default)]
    pub metadata: Option<Map<String, Value>>,
}

/// Whom an instruction is for: `global` everybody, `character` characters and writer, `scene` the
/// writer, `chapter` writer and editor, `story` writer, rater and editor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    #[default]
    Global,
    Character,
    Scene,
    Chapter,
    Story,
}

/// `high` is always in the prompt, `medium` may be shortened, `low` goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PriorityLevel {
    High,
    #[default]
    Medium,
    Low,
}

/// How this request's context is to be put together.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ContextProcessingConfig {
    /// The agent the client has in mind; an endpoint's own agent prevails.
    pub target_agent: Option<Agent>,
    pub current_phase: Option<Phase>,
    /// Another name for `current_phase`.
    pub phase: Option<Phase>,
    /// Most tokens the prompt may take.
    #[schemars(range(min = 1))]
    pub max_context_length: Option<usize>,
    /// Another name for `max_context_length`; the smaller of the two holds.
    #[schemars(range(min = 1))]
    pub max_tokens: Option<usize>,
    /// Of equally important passages, the later ones first.
    pub prioritize_recent: Option<bool>,
    /// Whether characters' relationships are told.
    pub include_relationships: Option<bool>,
    pub custom_filters: Option<CustomFilters>,
    /// Whether what doesn't fit may be told shorter, instead of being cut.
    pub summarization_enabled: Option<bool>,
    /// Tokens of context above which it is told shorter even if it fits; up to 1, a share of what
    /// there is room for.
    #[schemars(range(min = 0.0))]
    pub summarization_threshold: Option<f64>,
    /// The story's outline, where `structured_context` has none.
    pub plot_outline_content: Option<String>,
    /// Chapters of the outline; those near `chapter_number` are told.
    pub draft_outline_items: Vec<OutlineItem>,
    /// The chapter at hand.
    pub chapter_number: Option<i64>,
    /// What to look up in the archive for this request; writers, editors and raters are shown it.
    pub archive: Option<Consultation>,
    /// Keys this server doesn't know; they are named in the receipt's notes.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

impl ContextProcessingConfig {
    pub(super) fn phase(&self) -> Option<Phase> {
        self.current_phase.or(self.phase)
    }

    /// What no value of its type can say.
    pub(super) fn check(&self) -> Result<(), StoryError> {
        let least = self.custom_filters.as_ref().and_then(|filters| filters.min_priority);
        match least {
            Some(MinPriority::Number(least)) if !(0.0..=1.0).contains(&least) => {
                Err(StoryError::fault(
                    &["context_processing_config", "custom_filters", "min_priority"],
                    "must be between 0 and 1, or high, medium or low",
                ))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn most_tokens(&self) -> Option<usize> {
        self.max_context_length.into_iter().chain(self.max_tokens).min()
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CustomFilters {
    pub required_tags: Vec<String>,
    pub excluded_tags: Vec<String>,
    pub min_priority: Option<MinPriority>,
    pub allowed_types: Vec<String>,
    pub character_ids: Vec<String>,
    /// Keys this server doesn't know; they are named in the receipt's notes.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// A level, or a number from 0 to 1.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum MinPriority {
    Level(PriorityLevel),
    Number(f64),
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct SystemPrompts {
    pub main_prefix: Option<String>,
    pub main_suffix: Option<String>,
    pub assistant_prompt: Option<String>,
    pub editor_prompt: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Worldbuilding {
    pub content: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StorySummary {
    pub summary: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PreviousChapter {
    #[serde(default)]
    pub number: Option<i64>,
    #[serde(default)]
    pub title: Option<String>,
    pub content: String,
}

/// A character of the older editors: a name, and whatever else was noted.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CharacterSheet {
    #[serde(default)]
    pub id: Option<String>,
    pub name: String,
    #[serde(default, rename = "isHidden", alias = "is_hidden")]
    pub is_hidden: bool,
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PlotContext {
    #[serde(rename = "plotPoint")]
    pub point: Option<String>,
    #[serde(rename = "plotOutline")]
    pub outline: Option<String>,
}
