//! Kinds of text, and how short each may become.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a text is, and so what must survive when it is shortened.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
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
    pub const ALL: [Self; 9] = [
        Self::PlotSummary,
        Self::CharacterDevelopment,
        Self::DialogueSummary,
        Self::EventSequence,
        Self::EmotionalMoment,
        Self::WorldBuilding,
        Self::FeedbackSummary,
        Self::SystemPromptOptimization,
        Self::ConversationHistory,
    ];

    /// As it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::PlotSummary => "plot_summary",
            Self::CharacterDevelopment => "character_development",
            Self::DialogueSummary => "dialogue_summary",
            Self::EventSequence => "event_sequence",
            Self::EmotionalMoment => "emotional_moment",
            Self::WorldBuilding => "world_building",
            Self::FeedbackSummary => "feedback_summary",
            Self::SystemPromptOptimization => "system_prompt_optimization",
            Self::ConversationHistory => "conversation_history",
        }
    }

    /// The share of the source's tokens to aim at, as the contract sets it.
    pub fn ratio(self) -> f64 {
        match self {
            Self::DialogueSummary => 0.20,
            Self::PlotSummary => 0.30,
            Self::CharacterDevelopment | Self::WorldBuilding => 0.40,
            Self::EmotionalMoment => 0.50,
            Self::EventSequence
            | Self::FeedbackSummary
            | Self::SystemPromptOptimization
            | Self::ConversationHistory => 0.35,
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_json() {
        for strategy in Strategy::ALL {
            assert_eq!(serde_json::to_value(strategy).unwrap(), strategy.name());
        }
    }
}
