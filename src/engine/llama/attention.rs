//! Which way of computing attention suits the requests at hand, where both can be had. Pure.
//!
//! Without flash attention, llama.cpp computes every token against every cell in use and throws away
//! what isn't its own; with it, only its own cells, but each at several times the cost. So many agents
//! over one story are faster without, and strangers with long texts of their own are faster with.
//! Changing costs the KV cache, so it is done between requests only, and not back soon.

use std::time::{Duration, Instant};

use llama_cpp_2::token::LlamaToken;

/// How attention is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attention {
    Plain,
    Flash,
    /// Slower for long prompts, but the same to the bit alone and in company.
    Reproducible,
}

/// Cells in use for each cell of a request's own, from which on flash attention is faster (measured:
/// `benches/RESULTS.md`).
const STRANGERS: f64 = 2.5;
/// Fewer tokens than these cost little in either way.
const FEW: usize = 512;
/// After strangers were seen, more are expected for so long.
const EXPECT_MORE: Duration = Duration::from_mins(10);

/// Keeps to one way, or follows the requests.
pub(super) enum AttentionChoice {
    Fixed(Attention),
    Adaptive { strangers_seen: Option<Instant> },
}

impl AttentionChoice {
    pub(super) fn adaptive() -> Self {
        Self::Adaptive { strangers_seen: None }
    }

    pub(super) fn is_adaptive(&self) -> bool {
        matches!(self, Self::Adaptive { .. })
    }

    /// Looks at the prompts of requests that run or are to run together.
    pub(super) fn observe(&mut self, prompts: &[&[LlamaToken]], now: Instant) {
        if let Self::Adaptive { strangers_seen } = self
            && are_strangers(prompts)
        {
            *strangers_seen = Some(now);
        }
    }

    /// What suits now.
    pub(super) fn best(&self, now: Instant) -> Attention {
        match *self {
            Self::Fixed(attention) => attention,
            Self::Adaptive { strangers_seen: Some(seen) } if now < seen + EXPECT_MORE => {
                Attention::Flash
            }
            Self::Adaptive { .. } => Attention::Plain,
        }
    }
}

/// Whether most of what is in the cache isn't a request's own.
fn are_strangers(prompts: &[&[LlamaToken]]) -> bool {
    if prompts.len() < 2 {
        return false;
    }
    let own =
        prompts.iter().map(|prompt| prompt.len()).sum::<usize>() as f64 / prompts.len() as f64;
    let alone = prompts.iter().enumerate().map(|(place, prompt)| {
        let shared = prompts[..place].iter().map(|other| common(prompt, other)).max();
        prompt.len() - shared.unwrap_or(0)
    });
    let cells: usize = alone.sum();
    cells > FEW && cells as f64 > own * STRANGERS
}

/// Tokens that both begin with.
pub(super) fn common(one: &[LlamaToken], other: &[LlamaToken]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(story: i32, question: i32, length: usize) -> Vec<LlamaToken> {
        let mut tokens = vec![LlamaToken(story); length];
        tokens.extend([LlamaToken(question); 20]);
        tokens
    }

    fn best_for(prompts: &[Vec<LlamaToken>]) -> Attention {
        let now = Instant::now();
        let mut choice = AttentionChoice::adaptive();
        let prompts: Vec<_> = prompts.iter().map(Vec::as_slice).collect();
        choice.observe(&prompts, now);
        choice.best(now)
    }

    #[test]
    fn agents_over_one_story_are_no_strangers() {
        let panel: Vec<_> = (0..8).map(|agent| prompt(1, 100 + agent, 1_600)).collect();
        assert_eq!(best_for(&panel), Attention::Plain);
        assert_eq!(best_for(&panel[..1]), Attention::Plain);
    }

    #[test]
    fn clients_with_long_texts_of_their_own_are() {
        let clients: Vec<_> = (0..8).map(|client| prompt(client, 100, 180)).collect();
        assert_eq!(best_for(&clients), Attention::Flash);
        assert_eq!(best_for(&clients[..2]), Attention::Plain);
        let short: Vec<_> = (0..8).map(|client| prompt(client, 100, 10)).collect();
        assert_eq!(best_for(&short), Attention::Plain);
    }

    #[test]
    fn strangers_are_expected_for_a_while() {
        let start = Instant::now();
        let mut choice = AttentionChoice::adaptive();
        let clients: Vec<_> = (0..8).map(|client| prompt(client, 100, 180)).collect();
        let clients: Vec<_> = clients.iter().map(Vec::as_slice).collect();
        choice.observe(&clients, start);
        choice.observe(&clients[..1], start + Duration::from_mins(1));
        assert_eq!(choice.best(start + Duration::from_mins(1)), Attention::Flash);
        assert_eq!(choice.best(start + Duration::from_secs(700)), Attention::Plain);
    }

    #[test]
    fn a_fixed_choice_stays() {
        let choice = AttentionChoice::Fixed(Attention::Reproducible);
        assert_eq!(choice.best(Instant::now()), Attention::Reproducible);
    }
}
