//! The unit a context is made of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::agent::{Audience, Phase};
use crate::distil::Account;
use crate::tokens::TokenCount;

/// One source's contribution: an instruction, a character, a scene, a passage.
#[derive(Clone, Debug)]
pub struct Element {
    /// Unique in its request: the client's id, or one made from kind and position.
    pub id: String,
    pub kind: ElementKind,
    pub layer: Layer,
    pub audience: Audience,
    pub priority: Priority,
    /// As it goes into the prompt.
    pub text: String,
    /// Its length there, the line's end after it included.
    pub tokens: TokenCount,
    /// Position in the request, for the author's order and for recency.
    pub position: usize,
    /// Which end stays when it must be cut.
    pub keep_end: KeepEnd,
    /// The client's own word for what it is ("scene", "twist").
    pub type_name: String,
    pub tags: Vec<String>,
    /// Set on characters.
    pub character_id: Option<String>,
    /// Phases it is meant for; empty means all.
    pub phases: Vec<Phase>,
    /// Whether the character who reads the prompt does not know of it.
    pub concealed: bool,
    /// The share of its tokens that a shorter telling takes; `None` where it is told in its own words
    /// or not at all.
    pub shortens_to: Option<f64>,
    /// A shorter telling of it, once there is one.
    pub short: Option<Short>,
    /// The element that tells it together with others, once there is one.
    pub told_by: Option<String>,
    /// Whether it tells others together: a summary of several elements.
    pub tells_others: bool,
}

impl Element {
    /// For everybody, told in its own words; what it takes and how much it matters is yet to be set.
    pub fn new(id: String, kind: ElementKind, layer: Layer, text: String, position: usize) -> Self {
        Self {
            id,
            kind,
            layer,
            audience: Audience::EVERYBODY,
            priority: Priority::new(0.0),
            text,
            tokens: TokenCount::ZERO,
            position,
            keep_end: KeepEnd::Start,
            type_name: String::new(),
            tags: Vec::new(),
            character_id: None,
            phases: Vec::new(),
            concealed: false,
            shortens_to: None,
            short: None,
            told_by: None,
            tells_others: false,
        }
    }
}

/// An element, told shorter.
#[derive(Clone, Debug, PartialEq)]
pub struct Short {
    pub text: String,
    /// The line's end after it included.
    pub tokens: TokenCount,
    /// How it was made.
    pub account: Account,
}

impl Element {
    /// What a shorter telling takes: the one there is, or an expected one.
    pub(super) fn short_tokens(&self) -> Option<TokenCount> {
        let short = self.short.as_ref().map(|short| short.tokens);
        short.or_else(|| self.shortens_to.map(|share| self.tokens.scaled(share * ALLOWANCE)))
    }
}

/// Shorter tellings may come out a tenth longer than asked for.
const ALLOWANCE: f64 = 1.1;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ElementKind {
    // In the order in which equally important ones are kept.
    SystemInstruction,
    /// What one agent is told to go by: a rater's prompt.
    Brief,
    /// The text the agent works on.
    Work,
    Plot,
    Character,
    UserRequest,
    World,
    /// Of a document that was looked up.
    ArchivePassage,
    Passage,
    /// A message of a conversation.
    Turn,
    /// Messages of a talk, told shorter.
    Summary,
    /// What came to mind, and what is to be kept in mind.
    Memory,
    /// The mood of the newest message.
    Feeling,
}

/// The layers of a context, by the letters the settings use.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Layer {
    /// System instructions.
    #[serde(rename = "A")]
    System,
    /// The immediate request. With a budget of 0 it shares layer A's.
    #[serde(rename = "B")]
    Immediate,
    /// The recent story.
    #[serde(rename = "C")]
    RecentStory,
    /// Characters and scene.
    #[serde(rename = "D")]
    Characters,
    /// Plot and world.
    #[serde(rename = "E")]
    PlotAndWorld,
}

impl Layer {
    pub const ALL: [Self; 5] =
        [Self::System, Self::Immediate, Self::RecentStory, Self::Characters, Self::PlotAndWorld];

    /// From what changes least between requests to what changes most, so that the next request
    /// finds the longest prefix in the engine's cache.
    pub fn prompt_order(self) -> u8 {
        match self {
            Self::System => 0,
            Self::PlotAndWorld => 1,
            Self::Characters => 2,
            Self::RecentStory => 3,
            Self::Immediate => 4,
        }
    }

    pub fn letter(self) -> char {
        match self {
            Self::System => 'A',
            Self::Immediate => 'B',
            Self::RecentStory => 'C',
            Self::Characters => 'D',
            Self::PlotAndWorld => 'E',
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::System => "A system",
            Self::Immediate => "B request",
            Self::RecentStory => "C recent story",
            Self::Characters => "D characters",
            Self::PlotAndWorld => "E plot and world",
        }
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// How much an element matters, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Priority(f64);

impl Priority {
    /// Values outside of 0 to 1 are moved to the nearer end; what is no number counts as 0.
    pub fn new(value: f64) -> Self {
        Self(if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) })
    }

    pub fn get(self) -> f64 {
        self.0
    }

    pub(super) fn cmp(self, other: Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Which end of a text matters more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepEnd {
    /// The beginning: descriptions and plans.
    Start,
    /// The end: a story's last lines are where the next one begins.
    End,
}
