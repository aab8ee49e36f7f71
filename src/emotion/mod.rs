//! What a text feels: a distribution over seven emotions, and how much a message matters to a memory.
//!
//! A classifier trained on `GoEmotions` reads the words and, where there is one, the sentence vector;
//! a lexicon of bodily action adds what it can't know from comments on the web, because in roleplay
//! feelings are narrated ("*growls and slams fist*"). Pure: no clock, no I/O.

mod detector;
mod excerpt;
mod feeling;
mod importance;
mod keywords;
mod lexicon;
mod model;
mod words;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use detector::Detector;
pub use feeling::Feeling;
pub use importance::importance;

/// The six emotions of Ekman, and none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Emotion {
    Joy,
    Sadness,
    Anger,
    Fear,
    Surprise,
    Disgust,
    Neutral,
}

impl Emotion {
    /// In the order of every distribution.
    pub const ALL: [Self; 7] = [
        Self::Joy,
        Self::Sadness,
        Self::Anger,
        Self::Fear,
        Self::Surprise,
        Self::Disgust,
        Self::Neutral,
    ];

    /// As it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Joy => "joy",
            Self::Sadness => "sadness",
            Self::Anger => "anger",
            Self::Fear => "fear",
            Self::Surprise => "surprise",
            Self::Disgust => "disgust",
            Self::Neutral => "neutral",
        }
    }

    /// Place in a distribution.
    fn index(self) -> usize {
        self as usize
    }
}

impl std::fmt::Display for Emotion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.name())
    }
}

/// A name that is none of the seven.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("there is no emotion '{0}': joy, sadness, anger, fear, surprise, disgust or neutral")]
pub struct UnknownEmotion(String);

impl std::str::FromStr for Emotion {
    type Err = UnknownEmotion;

    /// Reads a name in any case.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|emotion| emotion.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownEmotion(name.to_owned()))
    }
}

#[cfg(test)]
mod tests;
