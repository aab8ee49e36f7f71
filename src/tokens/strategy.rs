//! The story contract's counting strategies and content types: safety factors on a count.
//! `result = floor(base × strategy × content)`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TokenCount;

/// How careful a count is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CountingStrategy {
    #[default]
    Exact,
    Estimated,
    Conservative,
    Optimistic,
}

impl CountingStrategy {
    pub const ALL: [Self; 4] = [Self::Exact, Self::Estimated, Self::Conservative, Self::Optimistic];

    pub fn multiplier(self) -> f64 {
        match self {
            Self::Exact => 1.0,
            Self::Estimated => 1.1,
            Self::Conservative => 1.25,
            Self::Optimistic => 0.95,
        }
    }

    pub fn description(self) -> &'static str {
        match self {
            Self::Exact => "the tokenizer's own count",
            Self::Estimated => "a tenth more, for other models' tokenizers",
            Self::Conservative => "a quarter more, for budgets that must hold",
            Self::Optimistic => "a twentieth less, for texts that will be shortened anyway",
        }
    }
}

/// What kind of text is counted.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ContentType {
    Narrative,
    Dialogue,
    SystemPrompt,
    CharacterDescription,
    SceneDescription,
    InternalMonologue,
    Metadata,
    Unknown,
}

impl ContentType {
    pub const ALL: [Self; 8] = [
        Self::Narrative,
        Self::Dialogue,
        Self::SystemPrompt,
        Self::CharacterDescription,
        Self::SceneDescription,
        Self::InternalMonologue,
        Self::Metadata,
        Self::Unknown,
    ];

    pub fn multiplier(self) -> f64 {
        match self {
            Self::Narrative
            | Self::CharacterDescription
            | Self::SceneDescription
            | Self::InternalMonologue => 1.0,
            Self::Dialogue => 1.05,
            Self::SystemPrompt => 1.15,
            Self::Metadata => 1.2,
            Self::Unknown => 1.1,
        }
    }

    /// A guess from the text alone: JSON is metadata, quotes on a third of the lines make dialogue,
    /// anything else with letters is narrative.
    pub fn detect(text: &str) -> Self {
        let trimmed = text.trim();
        if !trimmed.chars().any(char::is_alphabetic) {
            return Self::Unknown;
        }
        if trimmed.starts_with(['{', '[']) && trimmed.ends_with(['}', ']']) {
            return Self::Metadata;
        }
        let lines = trimmed.lines().filter(|line| !line.trim().is_empty());
        let (spoken, all) = lines.fold((0_usize, 0_usize), |(spoken, all), line| {
            let speaks = line.contains(['"', '“', '«', '„']);
            (spoken + usize::from(speaks), all + 1)
        });
        if spoken * 3 >= all { Self::Dialogue } else { Self::Narrative }
    }
}

/// A count with its safety factors applied.
pub fn adjusted(
    base: TokenCount,
    strategy: CountingStrategy,
    content_type: ContentType,
) -> TokenCount {
    base.scaled(strategy.multiplier() * content_type.multiplier())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_multiply_and_round_down() {
        let base = TokenCount::new(100);
        let of = |strategy, content| adjusted(base, strategy, content).get();
        assert_eq!(of(CountingStrategy::Exact, ContentType::Narrative), 100);
        assert_eq!(of(CountingStrategy::Conservative, ContentType::SystemPrompt), 143);
        assert_eq!(of(CountingStrategy::Optimistic, ContentType::Dialogue), 99);
    }

    #[test]
    fn kinds_of_text_are_told_apart() {
        assert_eq!(ContentType::detect("The rain fell."), ContentType::Narrative);
        assert_eq!(ContentType::detect("\"Rain,\" she said."), ContentType::Dialogue);
        assert_eq!(ContentType::detect(r#"{"rain": true}"#), ContentType::Metadata);
        assert_eq!(ContentType::detect(" 12 "), ContentType::Unknown);
    }
}
