//! Shortens what a plan asks to be shortened. For now, the account that receipts carry of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of text is told shorter, and so what of it must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    PlotSummary,
    CharacterDevelopment,
    DialogueSummary,
    EventSequence,
    EmotionalMoment,
    WorldBuilding,
    FeedbackSummary,
    SystemPromptOptimization,
    ConversationHistory,
}

impl Strategy {
    /// The share of the source's tokens that the shorter telling aims at.
    pub fn ratio(self) -> f64 {
        match self {
            Self::PlotSummary => 0.30,
            Self::CharacterDevelopment | Self::WorldBuilding => 0.40,
            Self::DialogueSummary => 0.20,
            Self::EmotionalMoment => 0.50,
            _ => 0.35,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    Model,
    Repaired,
    Extractive,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    pub strategy: Strategy,
    pub method: Method,
    pub ratio: f64,
    pub quality: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degraded: Option<String>,
    pub cached: bool,
    pub depth: u8,
    pub sentences: Vec<SentenceOrigin>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SentenceOrigin {
    pub spans: Vec<Span>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    pub source: String,
    pub start: usize,
    pub end: usize,
}
