//! The account of an assembly: what became of every element, and why. Nothing is cut silently.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::agent::{Agent, Phase};
use super::element::{Element, ElementKind, Layer, Priority};
use super::pack::Fate;
use crate::distil::Account;
use crate::ids::ReceiptId;
use crate::tokens::TokenCount;

/// What one prompt was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    pub id: ReceiptId,
    /// RFC 3339, UTC.
    pub created_at: String,
    pub agent: Agent,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    pub model: Option<String>,
    /// Which tokenizer counted.
    pub tokenizer: String,
    pub budget: BudgetReport,
    pub layers: Vec<LayerReport>,
    pub elements: Vec<ElementReport>,
    pub prompt: PromptReport,
    /// What else was decided on the way, in plain words.
    pub notes: Vec<String>,
}

/// How many tokens there were to share out, and where they went first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetReport {
    /// The engine's live window.
    pub window: TokenCount,
    /// Kept free for the answer.
    pub reserved_for_answer: TokenCount,
    /// The prompt's fixed words: the task, headings, the chat template.
    pub fixed: TokenCount,
    /// What was left for the elements.
    pub available: TokenCount,
    /// Available tokens as a share of the layers' configured budgets, 1 when nothing was scaled.
    pub scale: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LayerReport {
    pub layer: Layer,
    /// The budget in the settings.
    pub configured: TokenCount,
    /// That budget scaled to the window.
    pub scaled: TokenCount,
    /// After lending and borrowing.
    pub allocated: TokenCount,
    /// What the elements that passed the filters would take.
    pub needed: TokenCount,
    pub used: TokenCount,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ElementReport {
    pub id: String,
    pub kind: ElementKind,
    pub layer: Layer,
    #[serde(rename = "type")]
    pub type_name: String,
    pub priority: Priority,
    pub outcome: Outcome,
    pub reason: Reason,
    /// Its whole length.
    pub tokens: TokenCount,
    /// What it takes in the prompt.
    pub tokens_used: TokenCount,
    /// How its shorter telling was made; absent where that is only planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distilled: Option<Account>,
    /// The element that tells it together with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_by: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// In the prompt, whole.
    Kept,
    /// In the prompt, told shorter; alone, or together with others.
    Distilled,
    /// In the prompt, cut at the end of a sentence.
    Trimmed,
    /// Not in the prompt.
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    HighPriority,
    FitsBudget,
    TellsOthers,
    ToldShorter,
    ToldTogether,
    OverBudget,
    NoSentenceFits,
    OtherAudience,
    UnknownToCharacter,
    OtherPhase,
    FilteredOut,
    BelowLowestPriority,
    Empty,
}

impl Reason {
    pub fn in_words(self) -> &'static str {
        match self {
            Self::HighPriority => "must be in",
            Self::FitsBudget => "fits its layer's budget",
            Self::TellsOthers => "tells what didn't fit one by one",
            Self::ToldShorter => "the layer's budget doesn't hold all of it",
            Self::ToldTogether => "told in one summary with others",
            Self::OverBudget => "the layer's budget was used up by what matters more",
            Self::NoSentenceFits => {
                "what was left of the layer's budget holds none of its sentences"
            }
            Self::OtherAudience => "not meant for this agent",
            Self::UnknownToCharacter => "the character doesn't know of it",
            Self::OtherPhase => "not meant for this phase",
            Self::FilteredOut => "the request's filters exclude it",
            Self::BelowLowestPriority => "below CONTEXT_MIN_PRIORITY_THRESHOLD",
            Self::Empty => "it holds no text",
        }
    }
}

/// The prompt as the model reads it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PromptReport {
    pub tokens: TokenCount,
    /// What the engine's cache held when the request was queued.
    pub predicted_cached_tokens: TokenCount,
    /// What it really held when the prompt was read; null before that.
    pub cached_tokens: Option<TokenCount>,
}

impl ElementReport {
    pub(super) fn new(element: &Element, fate: Option<&Fate>) -> Self {
        let (outcome, reason, tokens_used) = match fate {
            Some(Fate::Kept(reason)) => (Outcome::Kept, *reason, element.tokens),
            Some(Fate::Distilled(tokens)) => (Outcome::Distilled, Reason::ToldShorter, *tokens),
            Some(Fate::ToldTogether) => {
                (Outcome::Distilled, Reason::ToldTogether, TokenCount::ZERO)
            }
            Some(Fate::Trimmed { tokens, .. }) => (Outcome::Trimmed, Reason::OverBudget, *tokens),
            Some(Fate::Dropped(reason)) => (Outcome::Dropped, *reason, TokenCount::ZERO),
            None => (Outcome::Dropped, Reason::OverBudget, TokenCount::ZERO),
        };
        Self {
            id: element.id.clone(),
            kind: element.kind,
            layer: element.layer,
            type_name: element.type_name.clone(),
            priority: element.priority,
            outcome,
            reason,
            tokens: element.tokens,
            tokens_used,
            distilled: match fate {
                Some(Fate::Distilled(_) | Fate::Kept(Reason::TellsOthers)) => {
                    element.short.as_ref().map(|short| short.account.clone())
                }
                _ => None,
            },
            told_by: element.told_by.clone(),
        }
    }
}
