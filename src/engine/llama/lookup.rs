//! Prompt lookup: where an answer repeats what the prompt says, the tokens that followed there are
//! drafted, and the model checks them in one batch. Pure.
//!
//! A draft is only a guess of what will be sampled: each of its tokens is sampled as ever, and the
//! first that differs ends it. So greedy output stays what it was, and sampling keeps its
//! distribution.
//! Source: Saxena, "Prompt Lookup Decoding" (2023); the check for a draft without a distribution of
//! its own is the case of Leviathan et al., "Fast Inference from Transformers via Speculative
//! Decoding" (2023), where the draft's probability is 1.

use std::collections::HashMap;

use llama_cpp_2::token::LlamaToken;

/// Tokens that must have been said before in the same order.
const NGRAM: usize = 3;
/// Checking few tokens at once costs nearly as much as writing them, checking many costs less for
/// each: so drafts begin short and grow while they prove right.
const SHORTEST: usize = 4;
const FIRST: usize = 8;
const LONGEST: usize = 64;
/// After wrong guesses, text must have repeated for this long before there is another: wrong guesses
/// cost time.
const LONGER_NGRAM: usize = 8;

/// Places looked at for one n-gram, so that a text of one repeated word costs no more than others.
const MOST_PLACES: usize = 64;

type Ngram = [LlamaToken; NGRAM];

/// What was said, in prompt and answer, and how well guesses went.
pub(super) struct PromptLookup {
    tokens: Vec<LlamaToken>,
    /// Where what follows each n-gram begins, the latest last.
    followers: HashMap<Ngram, Vec<usize>>,
    /// Tokens of the next draft, at most.
    length: usize,
    /// Where the last draft was copied to, if all of it was right so far.
    source: Option<usize>,
}

impl PromptLookup {
    pub(super) fn new(prompt: &[LlamaToken]) -> Self {
        let mut lookup = Self {
            tokens: Vec::with_capacity(prompt.len() * 2),
            followers: HashMap::new(),
            length: FIRST,
            source: None,
        };
        for &token in prompt {
            lookup.push(token);
        }
        lookup
    }

    /// Notes a token of the answer.
    pub(super) fn push(&mut self, token: LlamaToken) {
        self.source =
            self.source.filter(|&at| self.tokens.get(at) == Some(&token)).map(|at| at + 1);
        if let Some(ngram) = self.ending() {
            self.followers.entry(ngram).or_default().push(self.tokens.len());
        }
        self.tokens.push(token);
    }

    /// What may come next, at most `most` tokens.
    pub(super) fn draft(&mut self, most: usize) -> Vec<LlamaToken> {
        let Some(from) = self.source.filter(|&at| at < self.tokens.len()).or_else(|| self.find())
        else {
            return Vec::new();
        };
        self.source = Some(from);
        let end = self.tokens.len().min(from + most.min(self.length));
        self.tokens[from..end].to_vec()
    }

    /// Learns from how many of the drafted tokens were right.
    pub(super) fn checked(&mut self, drafted: usize, right: usize) {
        self.length = if right == drafted {
            (self.length * 2).min(LONGEST)
        } else {
            // As long as the last one was right.
            self.length.min(right + 1).max(SHORTEST)
        };
    }

    /// The last tokens, if there are enough.
    fn ending(&self) -> Option<Ngram> {
        self.tokens.last_chunk().copied()
    }

    /// Where the longest stretch that ends like the text goes on; of equally long ones, the latest.
    fn find(&self) -> Option<usize> {
        let places = self.followers.get(&self.ending()?)?;
        let agreeing = |at: usize| {
            let before = self.tokens[..at].iter().rev();
            before.zip(self.tokens.iter().rev()).take_while(|(one, other)| one == other).count()
        };
        let latest = places.iter().rev().take(MOST_PLACES).copied();
        let (length, at) = latest.map(|at| (agreeing(at).min(LONGEST), at)).max()?;
        let enough = if self.length > SHORTEST { NGRAM } else { LONGER_NGRAM };
        (length >= enough).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(text: &str) -> Vec<LlamaToken> {
        text.bytes().map(|byte| LlamaToken(i32::from(byte))).collect()
    }

    /// Writes `answer` with a model that knows it; counts the batches that takes.
    fn batches(prompt: &str, answer: &str) -> usize {
        let answer = tokens(answer);
        let mut lookup = PromptLookup::new(&tokens(prompt));
        let (mut written, mut batches) = (0, 0);
        while written < answer.len() {
            batches += 1;
            let draft = lookup.draft(answer.len() - written - 1);
            let truth = &answer[written..];
            let right = draft.iter().zip(truth).take_while(|(one, other)| one == other).count();
            lookup.checked(draft.len(), right);
            for &token in &truth[..=right] {
                lookup.push(token);
            }
            written += right + 1;
        }
        batches
    }

    #[test]
    fn a_repeated_text_takes_few_batches_and_one_change_few_more() {
        let sentences: Vec<_> = (0..200).map(|n| format!("Sentence {n} is its own.")).collect();
        let chapter = sentences.join(" ");
        let repeated = batches(&chapter, &chapter);
        assert!(repeated < chapter.len() / 20, "{repeated}");
        let changed = chapter.replace("Sentence 100 is its own.", "And then it began to rain.");
        let with_a_change = batches(&chapter, &changed);
        assert!(with_a_change < repeated + 40, "{with_a_change}");
    }

    #[test]
    fn a_text_of_its_own_is_hardly_guessed_at() {
        let prompt = "the rain fell on the old town and the fox slept under the bridge ";
        let answer = "fog came in; nobody saw how bridges vanish while foxes wait below them";
        assert!(batches(prompt, answer) > answer.len() * 8 / 10);
    }

    proptest! {
        #[test]
        fn any_answer_is_written_whole(prompt in "[ab]{0,60}", answer in "[ab]{1,60}") {
            prop_assert!(batches(&prompt, &answer) <= answer.len());
        }

        #[test]
        fn a_draft_is_never_longer_than_asked(prompt in "[ab]{0,60}", most in 0_usize..10) {
            let mut lookup = PromptLookup::new(&tokens(&prompt));
            prop_assert!(lookup.draft(most).len() <= most);
        }
    }
}
