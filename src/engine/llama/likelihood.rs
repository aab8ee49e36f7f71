//! How likely the model found each token that was written: the logarithm of its softmax over the raw
//! logits, before temperature, penalties, biases and grammar have their say. Requests that don't ask
//! have none of this.

use std::collections::VecDeque;

use llama_cpp_2::token::LlamaToken;

use super::vocabulary::Vocabulary;
use crate::engine::TokenLogprob;

/// Most alternatives to a token that are reported.
const MOST_ALTERNATIVES: usize = 20;
/// JSON has no minus infinity; OpenAI writes this instead.
const LEAST_LOGPROB: f32 = -9999.0;

/// The tokens of one answer, held back until their text is shown.
pub(super) struct Likelihood {
    alternatives: usize,
    /// Each with the byte of the answer that it begins at.
    waiting: VecDeque<(usize, TokenLogprob)>,
    written: usize,
    shown: usize,
}

impl Likelihood {
    pub(super) fn new(alternatives: u8) -> Self {
        Self {
            alternatives: usize::from(alternatives).min(MOST_ALTERNATIVES),
            waiting: VecDeque::new(),
            written: 0,
            shown: 0,
        }
    }

    /// A token was chosen where the model computed these logits.
    pub(super) fn observe(&mut self, token: LlamaToken, logits: &[f32], vocabulary: &Vocabulary) {
        let mut bytes = Vec::new();
        vocabulary.bytes(token, &mut bytes);
        let total = log_sum_of_exponentials(logits);
        let chosen = usize::try_from(token.0).ok().and_then(|place| logits.get(place));
        let top = largest(logits, self.alternatives).into_iter().map(|(place, logit)| {
            let bytes = vocabulary.spelling(place);
            (text_of(&bytes), bytes, logprob(logit, total))
        });
        let starts_at = self.written;
        self.written += bytes.len();
        let seen = TokenLogprob {
            token: text_of(&bytes),
            logprob: chosen.map_or(LEAST_LOGPROB, |&logit| logprob(logit, total)),
            top: top.collect(),
            bytes,
        };
        self.waiting.push_back((starts_at, seen));
    }

    /// The tokens that begin in this text, which is the next to be shown.
    pub(super) fn of_next(&mut self, text: &str) -> Vec<TokenLogprob> {
        self.shown += text.len();
        let ready = self.waiting.iter().take_while(|(start, _)| *start < self.shown).count();
        self.waiting.drain(..ready).map(|(_, token)| token).collect()
    }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[expect(clippy::cast_possible_truncation, reason = "a logarithm needs no more digits")]
fn logprob(logit: f32, total: f64) -> f32 {
    ((f64::from(logit) - total) as f32).clamp(LEAST_LOGPROB, 0.0)
}

/// ln Σ exp(x), with the largest taken out so that nothing overflows.
fn log_sum_of_exponentials(logits: &[f32]) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from((logit - largest).exp())).sum();
    f64::from(largest) + sum.ln()
}

/// The largest so many with their places, the largest first; of equal ones the first first.
fn largest(logits: &[f32], count: usize) -> Vec<(LlamaToken, f32)> {
    let mut largest: Vec<(LlamaToken, f32)> = Vec::with_capacity(count + 1);
    if count == 0 {
        return largest;
    }
    for (place, &logit) in (0..).zip(logits) {
        if largest.len() == count && largest.last().is_some_and(|&(_, least)| logit <= least) {
            continue;
        }
        let at = largest.partition_point(|&(_, other)| other >= logit);
        largest.insert(at, (LlamaToken(place), logit));
        largest.truncate(count);
    }
    largest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn probabilities_sum_to_one(logits in proptest::collection::vec(-80.0_f32..80.0, 1..50)) {
            let total = log_sum_of_exponentials(&logits);
            let sum: f64 = logits.iter().map(|&it| f64::from(logprob(it, total)).exp()).sum();
            prop_assert!((sum - 1.0).abs() < 1e-4, "{}", sum);
        }

        #[test]
        fn the_largest_are_those_that_sorting_finds(
            logits in proptest::collection::vec(-3_i8..3, 0..40),
            count in 0_usize..21,
        ) {
            let logits: Vec<f32> = logits.into_iter().map(f32::from).collect();
            let mut sorted: Vec<_> =
                (0..).zip(&logits).map(|(place, &logit)| (LlamaToken(place), logit)).collect();
            sorted.sort_by(|one, other| other.1.total_cmp(&one.1));
            sorted.truncate(count);
            prop_assert_eq!(largest(&logits, count), sorted);
        }
    }

    #[test]
    fn what_is_impossible_is_still_a_number() {
        let logits = [0.0, f32::NEG_INFINITY];
        let least = logprob(logits[1], log_sum_of_exponentials(&logits));
        assert_eq!(least.to_bits(), LEAST_LOGPROB.to_bits());
    }
}
