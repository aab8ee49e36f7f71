//! How the window is shared out: persona, memory, history, answer. Pure arithmetic over token counts.

use crate::context::LayerBudgets;
use crate::tokens::TokenCount;

/// Shares of the window, in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    pub system: f64,
    pub memory: f64,
    pub history: f64,
    /// Where a request doesn't say how long its answer may be.
    pub answer: f64,
}

/// The tokens of one turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Room {
    pub(super) window: TokenCount,
    pub(super) reserved_for_answer: TokenCount,
    /// The chat template and the headings.
    pub(super) fixed: TokenCount,
    pub(super) system: TokenCount,
    pub(super) memory: TokenCount,
    pub(super) history: TokenCount,
}

impl Room {
    /// The answer gets what was asked for, at most half of the window; what that leaves of its share
    /// goes to the others, and what it takes above comes from them, in proportion.
    pub(super) fn new(
        window: TokenCount,
        max_tokens: TokenCount,
        fixed: TokenCount,
        shares: Shares,
    ) -> Self {
        let reserved_for_answer = max_tokens.min(window.scaled(0.5));
        let available = window - reserved_for_answer - fixed;
        let all = (shares.system + shares.memory + shares.history).max(f64::EPSILON);
        let system = available.scaled(shares.system / all);
        let memory = available.scaled(shares.memory / all);
        let history = available - system - memory;
        Self { window, reserved_for_answer, fixed, system, memory, history }
    }

    pub(super) fn available(&self) -> TokenCount {
        self.system + self.memory + self.history
    }

    /// What a persona may take before it is told shorter: its own share and that of memory.
    pub(super) fn most_for_persona(&self) -> TokenCount {
        self.system + self.memory.scaled(MEMORY_TO_PERSONA)
    }

    /// Gives the persona what it lacks, out of the share of memory.
    pub(super) fn lend_to_system(&mut self, needed: TokenCount) {
        let lent = (needed - self.system).min(self.memory.scaled(MEMORY_TO_PERSONA));
        self.system += lent;
        self.memory = self.memory - lent;
    }

    /// What history may take beside system messages and memory of these sizes: its own share, and
    /// what the others leave of theirs.
    pub(super) fn for_history(&self, system: TokenCount, memory: TokenCount) -> TokenCount {
        let taken = system + memory.min(self.memory);
        (self.available() - taken).max(self.history.min(self.available() - system))
    }

    /// Layers A to E, as `context` wants them.
    pub(super) fn budgets(&self) -> LayerBudgets {
        let none = TokenCount::ZERO;
        LayerBudgets([self.system, none, self.history, none, self.memory])
    }
}

/// So much of memory's share a long persona may take; the rest stays for what is pinned and felt.
const MEMORY_TO_PERSONA: f64 = 0.8;

/// The first message of the path that is in the prompt. Where not all fit, the first one moves in
/// steps of a power of two, a quarter of those that fit or less: so most turns only add to the end of
/// the prompt before, and the engine finds the rest read.
///
/// `sizes` are the tokens of the messages in order, the first at position `first` of the path.
pub(super) fn first_in_prompt(sizes: &[TokenCount], first: usize, room: TokenCount) -> usize {
    let mut taken = TokenCount::ZERO;
    let fitting = sizes
        .iter()
        .rev()
        .take_while(|size| {
            taken += **size;
            taken <= room
        })
        .count();
    if fitting == sizes.len() {
        return first;
    }
    let earliest = first + sizes.len() - fitting;
    let step = (fitting / 4).max(1);
    let step = 1_usize << step.ilog2();
    // The newest message is always in; whether it fits is for the assembly to say.
    earliest.next_multiple_of(step).min(first + sizes.len().saturating_sub(1))
}

/// Where the newest `most` of so many messages begin. As many of them are left out as make the first
/// one move in steps, a quarter of `most` or less: so most turns only add to the prompt before.
pub(super) fn first_of(count: usize, most: usize) -> usize {
    let step = 1_usize << (most / 4).max(1).ilog2();
    count.saturating_sub(most.max(1)).next_multiple_of(step).min(count.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHARES: Shares = Shares { system: 20.0, memory: 25.0, history: 35.0, answer: 20.0 };

    fn tokens(count: usize) -> TokenCount {
        TokenCount::new(count)
    }

    #[test]
    fn the_shares_are_those_of_the_settings() {
        let room = Room::new(tokens(1000), tokens(200), tokens(0), SHARES);
        let shares = [room.system, room.memory, room.history, room.reserved_for_answer];
        assert_eq!(shares.map(TokenCount::get), [200, 250, 350, 200]);
    }

    #[test]
    fn a_long_persona_takes_of_memory_first() {
        let mut room = Room::new(tokens(1000), tokens(200), tokens(0), SHARES);
        room.lend_to_system(tokens(300));
        assert_eq!([room.system, room.memory, room.history].map(TokenCount::get), [300, 150, 350]);
        room.lend_to_system(tokens(900));
        assert!(room.memory > tokens(0), "something is left for what is pinned");
        assert_eq!(room.history, tokens(350));
    }

    #[test]
    fn the_window_moves_in_steps() {
        let sizes = vec![tokens(10); 100];
        let firsts: Vec<_> =
            (90..100).map(|count| first_in_prompt(&sizes[..count], 0, tokens(400))).collect();
        assert!(firsts.iter().all(|first| first % 8 == 0), "{firsts:?}");
        assert!(firsts.windows(2).filter(|pair| pair[0] != pair[1]).count() <= 2, "{firsts:?}");
    }

    #[test]
    fn the_newest_messages_move_in_steps() {
        let firsts: Vec<_> = (8..16).map(|count| first_of(count, 10)).collect();
        assert_eq!(firsts, [0, 0, 0, 2, 2, 4, 4, 6]);
        assert_eq!([first_of(0, 10), first_of(1, 1), first_of(5, 0)], [0, 0, 4]);
    }

    proptest! {
        #[test]
        fn what_is_in_the_prompt_fits_and_the_newest_is_in(
            sizes in proptest::collection::vec(0_usize..200, 1..60),
            first in 0_usize..1000,
            room in 0_usize..4000,
        ) {
            let sizes: Vec<_> = sizes.into_iter().map(tokens).collect();
            let start = first_in_prompt(&sizes, first, tokens(room));
            prop_assert!(start >= first && start < first + sizes.len());
            let taken: TokenCount = sizes[start - first..].iter().copied().sum();
            let only_the_newest = start + 1 == first + sizes.len();
            prop_assert!(taken <= tokens(room) || only_the_newest);
        }

        #[test]
        fn shares_never_exceed_the_window(
            window in 0_usize..100_000,
            max_tokens in 0_usize..100_000,
            fixed in 0_usize..5_000,
            needed in 0_usize..100_000,
        ) {
            let mut room =
                Room::new(tokens(window), tokens(max_tokens), tokens(fixed), SHARES);
            room.lend_to_system(tokens(needed));
            prop_assert!(room.available() + room.reserved_for_answer <= tokens(window));
        }
    }
}
