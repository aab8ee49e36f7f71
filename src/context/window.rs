//! The live window: how many tokens there are for a prompt, and how a context is brought to fit.

use super::{Assembly, BudgetReport, LayerBudgets};
use crate::tokens::TokenCount;

/// How often a prompt that came out too long is assembled anew with less room. The first try counts
/// piece by piece; the whole differs from the sum by a few tokens at most, if it is the model's own
/// tokenizer that counts.
const ATTEMPTS: usize = 4;
/// A little less than what fits by proportion.
const MARGIN: f64 = 0.98;

/// How many tokens there are, and for what.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    pub tokens: TokenCount,
    pub reserved_for_answer: TokenCount,
    /// Most tokens a prompt may take.
    pub prompt_budget: TokenCount,
    /// What its fixed words take: the task, headings, the chat template.
    pub fixed: TokenCount,
}

/// A prompt takes more than it may, even with next to nothing in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    pub tokens: TokenCount,
    pub budget: TokenCount,
}

/// A prompt that was tried, and its length as the model's tokenizer reads it.
pub struct Attempt<P> {
    pub assembly: Assembly,
    pub prompt: P,
    pub tokens: TokenCount,
}

/// A prompt that fits, and the tokens its elements were given.
pub struct Fitting<P> {
    pub assembly: Assembly,
    pub prompt: P,
    pub available: TokenCount,
}

impl Window {
    /// The answer gets what is wanted, but never more than half of the window: a small model must
    /// still see some story.
    pub fn new(
        tokens: TokenCount,
        wanted_for_answer: TokenCount,
        most_prompt_tokens: TokenCount,
        fixed: TokenCount,
    ) -> Result<Self, TooLong> {
        let reserved_for_answer = wanted_for_answer.min(tokens.scaled(0.5));
        let prompt_budget = most_prompt_tokens.min(tokens - reserved_for_answer);
        if fixed >= prompt_budget {
            return Err(TooLong { tokens: fixed, budget: prompt_budget });
        }
        Ok(Self { tokens, reserved_for_answer, prompt_budget, fixed })
    }

    /// What is left for the elements.
    pub fn room(&self) -> TokenCount {
        self.prompt_budget - self.fixed
    }

    /// For a receipt.
    pub fn report(&self, available: TokenCount, budgets: &LayerBudgets) -> BudgetReport {
        BudgetReport {
            window: self.tokens,
            reserved_for_answer: self.reserved_for_answer,
            fixed: self.fixed,
            available,
            scale: budgets.scale_to(available),
        }
    }

    /// Tries with so many tokens for the elements, and with fewer, until the whole prompt is within
    /// its budget. What was too long is noted.
    pub fn fit<P, E: From<TooLong>>(
        &self,
        mut available: TokenCount,
        notes: &mut Vec<String>,
        mut attempt: impl FnMut(TokenCount) -> Result<Attempt<P>, E>,
    ) -> Result<Fitting<P>, E> {
        let budget = self.prompt_budget;
        let mut last = TokenCount::ZERO;
        for _ in 0..ATTEMPTS {
            let Attempt { assembly, prompt, tokens } = attempt(available)?;
            if tokens <= budget {
                return Ok(Fitting { assembly, prompt, available });
            }
            notes.push(format!(
                "the prompt came to {tokens} tokens of the model's, {} more than there is room for; assembled again",
                tokens - budget
            ));
            // What the counter takes for so many tokens is really more, in this proportion.
            let placed = tokens - self.fixed;
            let share = self.room().get() as f64 / placed.get().max(1) as f64;
            available = available.min(assembly.tokens()).scaled(share * MARGIN);
            last = tokens;
        }
        Err(TooLong { tokens: last, budget }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Layer, LayerReport};
    use super::*;

    fn tokens(count: usize) -> TokenCount {
        TokenCount::new(count)
    }

    #[test]
    fn the_answer_takes_half_of_the_window_at_most() {
        let window = Window::new(tokens(2_000), tokens(5_000), tokens(9_000), tokens(100)).unwrap();
        assert_eq!((window.reserved_for_answer, window.room()), (tokens(1_000), tokens(900)));
        let window = Window::new(tokens(2_000), tokens(300), tokens(500), tokens(100)).unwrap();
        assert_eq!((window.reserved_for_answer, window.room()), (tokens(300), tokens(400)));
        let too_long = Window::new(tokens(2_000), tokens(300), tokens(500), tokens(500));
        assert_eq!(too_long.err(), Some(TooLong { tokens: tokens(500), budget: tokens(500) }));
    }

    #[test]
    fn a_prompt_that_is_longer_than_it_was_counted_gets_less_room_until_it_fits() {
        let window = Window::new(tokens(1_000), tokens(0), tokens(1_000), tokens(100)).unwrap();
        let mut notes = Vec::new();
        // Each takes all it is given, and really is longer, by so many tenths.
        let tried = |tenths: usize| {
            move |available: TokenCount| {
                let layer = LayerReport {
                    layer: Layer::RecentStory,
                    configured: available,
                    scaled: available,
                    allocated: available,
                    needed: available,
                    used: available,
                };
                let assembly = Assembly { layers: vec![layer], ..Assembly::default() };
                let tokens = tokens(100 + available.get() * tenths / 10);
                Ok::<_, TooLong>(Attempt { assembly, prompt: available, tokens })
            }
        };
        let fitting = window.fit(window.room(), &mut notes, tried(10)).unwrap();
        assert_eq!((fitting.prompt, notes.len()), (tokens(900), 0));
        let fitting = window.fit(window.room(), &mut notes, tried(13)).unwrap();
        let available = fitting.available.get();
        assert!((650..=692).contains(&available) && notes.len() == 1, "{available} {notes:?}");
        let never = |_| {
            let (assembly, tokens) = (Assembly::default(), tokens(2_000));
            Ok::<Attempt<()>, TooLong>(Attempt { assembly, prompt: (), tokens })
        };
        let error = window.fit(window.room(), &mut notes, never).err();
        assert_eq!(error, Some(TooLong { tokens: tokens(2_000), budget: tokens(1_000) }));
    }
}
