//! Shortens texts so that they fit a prompt: by a model whose summary is checked, or by choosing
//! sentences. Whoever plans a prompt says what is to be shortened; this room knows neither stories nor
//! talks.
//!
//! Invariants:
//! - Names and numbers of the source survive, as far as twice the wanted length holds them.
//! - Every sentence says where in the source it comes from.
//! - A model that fails, invents or forgets never fails the work: sentences are chosen instead, and
//!   the account says why.
//! - Sources are never changed; what was made of them is kept by their content.

mod cache;
mod check;
mod distiller;
mod extract;
mod facts;
mod lookup;
mod made;
mod numbers;
mod origin;
mod prompt;
mod reading;
mod roll;
mod sentences;
mod similarity;
mod strategy;
mod summary;
#[cfg(test)]
mod tests;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::distiller::Distiller;
pub use self::origin::{SentenceOrigin, Span};
pub use self::prompt::check_prompts;
pub use self::sentences::{sentences, whole_sentences};
pub use self::strategy::Strategy;
use crate::engine::Sampling;
use crate::tokens::TokenCount;

/// One text to shorten.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Names it in the account.
    pub id: String,
    pub text: String,
    pub tokens: TokenCount,
    pub strategy: Strategy,
}

/// A text made shorter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distilled {
    pub text: String,
    pub tokens: TokenCount,
    pub account: Account,
}

/// How a text was made shorter, without any of its words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    /// Of texts rolled into one, the first's.
    pub strategy: Strategy,
    pub method: Method,
    /// Share of the source's tokens that is left.
    pub ratio: f64,
    /// Share of the source's names and numbers that survive, 0 to 1.
    pub quality: f64,
    /// Why a model's summary was wanted and not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<String>,
    /// Whether it was made before.
    pub cached: bool,
    /// 1 if made of sources; 2 or 3 if made of summaries.
    pub depth: u8,
    /// For each sentence of the text in order, where it comes from.
    pub sentences: Vec<SentenceOrigin>,
}

/// Who chose the words.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A model.
    Model,
    /// A model, but for sentences of the source that hold names or numbers it had lost.
    Repaired,
    /// The source itself: some of its sentences.
    Extractive,
}

/// How much time there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Urgency {
    /// The model may summarise.
    Rolling,
    /// So much is over the budget that a person would wait for minutes: sentences are chosen at once.
    Emergency,
}

#[derive(Debug, thiserror::Error)]
pub enum DistilError {
    #[error("shortening a text failed unexpectedly; see the server's log")]
    Lost,
}

/// How texts are made shorter.
#[derive(Clone, Debug)]
pub struct DistilSettings {
    pub temperatures: Temperatures,
    /// Everything but temperature and seed.
    pub sampling: Sampling,
    pub method: ChosenMethod,
    /// Shortened texts that are kept; 0 keeps none.
    pub cache_entries: usize,
    /// The longest that one call waits for the model, from when its first summary is begun.
    pub deadline: Duration,
    /// How many summaries are in the engine at once.
    pub side_by_side: usize,
}

/// The method that the settings ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChosenMethod {
    Model,
    Extractive,
}

/// Sampling temperatures, one a setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Temperatures {
    /// Worlds, and summaries of summaries.
    pub general: f32,
    pub plot_summary: f32,
    pub character_summary: f32,
    /// Sequences of events.
    pub scene_summary: f32,
    /// Dialogues and emotional moments.
    pub dialogue_summary: f32,
    pub feedback_summary: f32,
    pub system_prompt: f32,
    pub conversation: f32,
}

impl Temperatures {
    /// The same for everything.
    fn all(temperature: f32) -> Self {
        Self {
            general: temperature,
            plot_summary: temperature,
            character_summary: temperature,
            scene_summary: temperature,
            dialogue_summary: temperature,
            feedback_summary: temperature,
            system_prompt: temperature,
            conversation: temperature,
        }
    }

    fn of(&self, kind: prompt::Kind) -> f32 {
        match kind {
            prompt::Kind::Summaries | prompt::Kind::Source(Strategy::WorldBuilding) => self.general,
            prompt::Kind::Source(Strategy::PlotSummary) => self.plot_summary,
            prompt::Kind::Source(Strategy::CharacterDevelopment) => self.character_summary,
            prompt::Kind::Source(Strategy::EventSequence) => self.scene_summary,
            prompt::Kind::Source(Strategy::DialogueSummary | Strategy::EmotionalMoment) => {
                self.dialogue_summary
            }
            prompt::Kind::Source(Strategy::FeedbackSummary) => self.feedback_summary,
            prompt::Kind::Source(Strategy::SystemPromptOptimization) => self.system_prompt,
            prompt::Kind::Source(Strategy::ConversationHistory) => self.conversation,
        }
    }
}
