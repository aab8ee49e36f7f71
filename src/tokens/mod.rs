//! Counting tokens: the unit all budgets are in. A [`TokenCount`] never mixes with characters.
//!
//! Counters: the loaded model's own tokenizer (made in `engine/`), OpenAI's encodings, and an
//! estimate that needs no tables. What the contract calls strategies lies in [`strategy`].

mod cache;
pub(crate) mod chunks;
pub mod strategy;
mod tiktoken;
mod tokenizers;

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::cache::CachedCounter;
pub use self::tiktoken::TiktokenCounter;
pub use self::tokenizers::{TokenizerChoice, Tokenizers};

/// A number of tokens.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct TokenCount(usize);

impl TokenCount {
    pub const ZERO: Self = Self(0);

    pub const fn new(tokens: usize) -> Self {
        Self(tokens)
    }

    pub const fn get(self) -> usize {
        self.0
    }

    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// This share of the tokens, rounded down. Shares below zero count as zero.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, which is what a budget wants"
    )]
    #[must_use]
    pub fn scaled(self, share: f64) -> Self {
        // The nudge keeps 0.3 × 10 at 3 where binary fractions make it 2.999….
        Self((self.0 as f64 * share + 1e-9).floor() as usize)
    }
}

impl From<u32> for TokenCount {
    fn from(tokens: u32) -> Self {
        Self(tokens as usize)
    }
}

impl fmt::Display for TokenCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Add for TokenCount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for TokenCount {
    type Output = Self;

    /// Stops at zero.
    fn sub(self, other: Self) -> Self {
        self.saturating_sub(other)
    }
}

impl AddAssign for TokenCount {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sum for TokenCount {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::ZERO, Add::add)
    }
}

/// Counts the tokens of a text. The same text always gives the same number.
pub trait TokenCounter: Send + Sync {
    /// For receipts and answers: which tokenizer counted.
    fn name(&self) -> &str;

    fn count(&self, text: &str) -> TokenCount;
}

/// A token for every four characters, rounded up: what the contract falls back to without a
/// tokenizer. Close for English prose, low for other scripts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Estimate;

impl TokenCounter for Estimate {
    fn name(&self) -> &'static str {
        "estimate"
    }

    fn count(&self, text: &str) -> TokenCount {
        TokenCount(text.chars().count().div_ceil(4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_a_token_for_four_characters() {
        assert_eq!(Estimate.count(""), TokenCount::ZERO);
        assert_eq!(Estimate.count("four"), TokenCount::new(1));
        assert_eq!(Estimate.count("fünf!"), TokenCount::new(2));
    }

    #[test]
    fn shares_do_not_lose_a_token_to_binary_fractions() {
        assert_eq!(TokenCount::new(10).scaled(0.3), TokenCount::new(3));
        assert_eq!(TokenCount::new(10).scaled(-1.0), TokenCount::ZERO);
    }
}
