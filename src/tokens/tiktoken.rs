//! OpenAI's encodings, for clients that budget in them. Their tables (about 10 MB each) are read on
//! the first count and stay.

use tiktoken_rs::{CoreBPE, cl100k_base_singleton, o200k_base_singleton};

use super::chunks::word_chunks;
use super::{TokenCount, TokenCounter};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TiktokenCounter {
    /// GPT-4o and later.
    O200k,
    /// GPT-4 and GPT-3.5.
    Cl100k,
}

impl TiktokenCounter {
    fn encoding(self) -> &'static CoreBPE {
        match self {
            Self::O200k => o200k_base_singleton(),
            Self::Cl100k => cl100k_base_singleton(),
        }
    }
}

impl TokenCounter for TiktokenCounter {
    fn name(&self) -> &'static str {
        match self {
            Self::O200k => "o200k",
            Self::Cl100k => "cl100k",
        }
    }

    fn count(&self, text: &str) -> TokenCount {
        let encoding = self.encoding();
        word_chunks(text).map(|chunk| TokenCount::new(encoding.count_ordinary(chunk))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_the_published_ones() {
        // The example of OpenAI's cookbook, "How to count tokens with tiktoken".
        assert_eq!(TiktokenCounter::Cl100k.count("tiktoken is great!"), TokenCount::new(6));
        assert_eq!(TiktokenCounter::O200k.count("tiktoken is great!"), TokenCount::new(6));
    }

    #[test]
    fn control_tokens_in_a_text_are_text() {
        assert!(TiktokenCounter::O200k.count("<|endoftext|>") > TokenCount::new(1));
    }
}
