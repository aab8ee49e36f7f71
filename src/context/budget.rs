//! Shares a window out between the layers. Pure arithmetic over tokens.
//!
//! Invariant: the allocated budgets never sum to more than what is available, and each covers what
//! must be in its layer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ContextError;
use super::element::Layer;
use super::receipt::{ElementReport, LayerReport};
use crate::tokens::TokenCount;

/// The most a layer may borrow, as a share of its own budget.
const MOST_BORROWED: f64 = 0.3;
/// A layer used beyond this share keeps the rest for itself.
const LENDS_BELOW: f64 = 0.8;

/// Tokens for each layer, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerBudgets(pub [TokenCount; 5]);

impl LayerBudgets {
    pub fn total(&self) -> TokenCount {
        self.0.iter().copied().sum()
    }

    /// The share of the configured budgets that `available` tokens allow, at most 1.
    pub fn scale_to(&self, available: TokenCount) -> f64 {
        match self.total().get() {
            0 => 1.0,
            total => (available.get() as f64 / total as f64).min(1.0),
        }
    }
}

/// How unused budget moves between layers before anything is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AllocationMode {
    /// Each layer keeps to its own.
    Static,
    /// What a layer doesn't need is lent to those that need more, by how much they lack.
    #[default]
    Dynamic,
    /// The whole is shared out by need, what matters more weighing more.
    Adaptive,
}

/// What happens to a layer that still needs more than it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OverflowStrategy {
    /// The request is refused, with the sizes.
    Reject,
    /// The least important is cut at sentence ends or left out.
    Truncate,
    /// First up to 30 % of its own budget from what others leave unused.
    Borrow,
    /// First everything that layers less than 80 % full leave unused.
    #[default]
    Reallocate,
}

/// What a layer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LayerNeed {
    pub layer: Layer,
    /// Tokens that must be in.
    pub high: TokenCount,
    /// Tokens of everything that passed the filters.
    pub total: TokenCount,
    pub budget: TokenCount,
    /// Tokens by priority, for the adaptive mode.
    #[serde(skip)]
    pub(super) weight: f64,
}

/// Budgets after lending and borrowing.
#[derive(Clone, Debug)]
pub(super) struct Allocation {
    configured: LayerBudgets,
    scaled: [TokenCount; 5],
    allocated: [TokenCount; 5],
    folds_immediate_into_system: bool,
}

impl Allocation {
    /// Which layer's budget a layer draws on.
    pub(super) fn pot(&self, layer: Layer) -> Layer {
        pot(layer, self.folds_immediate_into_system)
    }

    pub(super) fn of(&self, pot: Layer) -> TokenCount {
        self.allocated[pot.index()]
    }

    pub(super) fn report(&self, elements: &[ElementReport]) -> Vec<LayerReport> {
        use super::receipt::{Outcome, Reason};
        let mut needed = [TokenCount::ZERO; 5];
        let mut used = [TokenCount::ZERO; 5];
        for element in elements {
            let was_wanted = element.outcome != Outcome::Dropped
                || matches!(element.reason, Reason::OverBudget | Reason::NoSentenceFits);
            // A summary of several is no need of its own.
            if was_wanted && element.reason != Reason::TellsOthers {
                needed[element.layer.index()] += element.tokens;
            }
            used[element.layer.index()] += element.tokens_used;
        }
        let report = |layer: Layer| LayerReport {
            layer,
            configured: self.configured.0[layer.index()],
            scaled: self.scaled[layer.index()],
            allocated: self.allocated[layer.index()],
            needed: needed[layer.index()],
            used: used[layer.index()],
        };
        Layer::ALL.into_iter().map(report).collect()
    }
}

fn pot(layer: Layer, folded: bool) -> Layer {
    match layer {
        Layer::Immediate if folded => Layer::System,
        other => other,
    }
}

/// Shares `available` out. `needs` has one entry a layer, in [`Layer::ALL`]'s order.
pub(super) fn allocate(
    configured: LayerBudgets,
    needs: [LayerNeed; 5],
    available: TokenCount,
    mode: AllocationMode,
    overflow: OverflowStrategy,
) -> Result<Allocation, ContextError> {
    let folded = configured.0[Layer::Immediate.index()] == TokenCount::ZERO;
    let scale = configured.scale_to(available);
    let scaled = configured.0.map(|budget| budget.scaled(scale));
    let mut asked = needs;
    for (need, budget) in asked.iter_mut().zip(scaled) {
        need.budget = budget;
    }
    let needs = fold(asked, folded);

    let high: TokenCount = needs.iter().map(|need| need.high).sum();
    if high > available {
        let layers = asked.to_vec();
        return Err(ContextError::HighPriorityTooLarge { needed: high, available, layers });
    }

    let mut budgets = match mode {
        AllocationMode::Static => scaled,
        AllocationMode::Dynamic => lend(scaled, &needs, 1.0),
        AllocationMode::Adaptive => share_by_need(&needs, available),
    };
    cover_high(&mut budgets, &needs, available);
    let overflows = needs.iter().zip(budgets).any(|(need, budget)| need.total > budget);
    if overflows {
        budgets = match overflow {
            OverflowStrategy::Reject => {
                let needed = needs.iter().map(|need| need.total).sum();
                let layers = asked.to_vec();
                return Err(ContextError::Overflow { needed, available, layers });
            }
            OverflowStrategy::Truncate => budgets,
            OverflowStrategy::Borrow => borrow(budgets, &needs),
            OverflowStrategy::Reallocate => lend(budgets, &needs, LENDS_BELOW),
        };
    }
    Ok(Allocation { configured, scaled, allocated: budgets, folds_immediate_into_system: folded })
}

fn fold(mut needs: [LayerNeed; 5], folded: bool) -> [LayerNeed; 5] {
    if folded {
        let immediate = needs[Layer::Immediate.index()];
        let system = &mut needs[Layer::System.index()];
        system.high += immediate.high;
        system.total += immediate.total;
        system.weight += immediate.weight;
        let immediate = &mut needs[Layer::Immediate.index()];
        immediate.high = TokenCount::ZERO;
        immediate.total = TokenCount::ZERO;
        immediate.weight = 0.0;
    }
    needs
}

/// Moves what layers less than `lends_below` full leave unused to those that lack something, in
/// proportion to what they lack.
fn lend(mut budgets: [TokenCount; 5], needs: &[LayerNeed; 5], lends_below: f64) -> [TokenCount; 5] {
    let unused = |need: &LayerNeed, budget: TokenCount| {
        let lends =
            need.total <= budget && (need.total.get() as f64) <= budget.get() as f64 * lends_below;
        if lends { budget - need.total } else { TokenCount::ZERO }
    };
    let pool: TokenCount = needs.iter().zip(budgets).map(|(need, b)| unused(need, b)).sum();
    let lacking: TokenCount = needs.iter().zip(budgets).map(|(need, b)| need.total - b).sum();
    if pool == TokenCount::ZERO || lacking == TokenCount::ZERO {
        return budgets;
    }
    let lent = pool.min(lacking);
    // Rounding down on the borrowers' side and up on the lenders' keeps the sum within bounds.
    for (need, budget) in needs.iter().zip(&mut budgets) {
        if need.total > *budget {
            let share = (need.total - *budget).get() as f64 / lacking.get() as f64;
            *budget += lent.scaled(share);
        } else {
            let share = unused(need, *budget).get() as f64 / pool.get() as f64;
            let given = (lent.get() as f64 * share).ceil();
            *budget = budget.saturating_sub(TokenCount::new(1).scaled(given));
        }
    }
    budgets
}

/// Each layer in need takes up to 30 % of its own budget from what others leave unused, in the
/// order of the layers.
fn borrow(mut budgets: [TokenCount; 5], needs: &[LayerNeed; 5]) -> [TokenCount; 5] {
    for borrower in 0..budgets.len() {
        let limit = budgets[borrower].scaled(MOST_BORROWED);
        let mut wanted = (needs[borrower].total - budgets[borrower]).min(limit);
        for lender in 0..budgets.len() {
            let spare = budgets[lender] - needs[lender].total;
            let taken = spare.min(wanted);
            budgets[lender] = budgets[lender] - taken;
            budgets[borrower] += taken;
            wanted = wanted - taken;
        }
    }
    budgets
}

fn share_by_need(needs: &[LayerNeed; 5], available: TokenCount) -> [TokenCount; 5] {
    let total: TokenCount = needs.iter().map(|need| need.total).sum();
    if total <= available {
        return needs.map(|need| need.total);
    }
    let high: TokenCount = needs.iter().map(|need| need.high).sum();
    let free = available - high;
    let weight: f64 = needs.iter().map(|need| need.weight).sum();
    needs.map(|need| {
        let share = if weight > 0.0 { need.weight / weight } else { 0.0 };
        need.high + free.scaled(share).min(need.total - need.high)
    })
}

/// Raises each budget to what must be in, at the cost of what the others don't have to hold.
fn cover_high(budgets: &mut [TokenCount; 5], needs: &[LayerNeed; 5], available: TokenCount) {
    for (budget, need) in budgets.iter_mut().zip(needs) {
        *budget = (*budget).max(need.high);
    }
    let total: TokenCount = budgets.iter().copied().sum();
    let mut excess = total - available;
    // Whoever has the most to spare gives first: it hurts least there.
    while excess > TokenCount::ZERO {
        let spare = |index: usize, budgets: &[TokenCount; 5]| budgets[index] - needs[index].high;
        let Some(richest) = (0..budgets.len()).max_by_key(|&index| spare(index, budgets)) else {
            return;
        };
        let given = spare(richest, budgets).min(excess);
        if given == TokenCount::ZERO {
            return;
        }
        budgets[richest] = budgets[richest] - given;
        excess = excess - given;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn need(layer: Layer, high: usize, more: usize) -> LayerNeed {
        LayerNeed {
            layer,
            high: TokenCount::new(high),
            total: TokenCount::new(high + more),
            budget: TokenCount::ZERO,
            weight: more as f64 / 2.0,
        }
    }

    const DEFAULTS: LayerBudgets = LayerBudgets([
        TokenCount::new(2_000),
        TokenCount::ZERO,
        TokenCount::new(13_000),
        TokenCount::new(5_000),
        TokenCount::new(10_000),
    ]);

    #[test]
    fn the_default_budgets_shrink_with_the_window() {
        let needs = Layer::ALL.map(|layer| need(layer, 0, 0));
        let allocation = allocate(
            DEFAULTS,
            needs,
            TokenCount::new(3_000),
            AllocationMode::Static,
            OverflowStrategy::Truncate,
        )
        .unwrap();
        assert_eq!(allocation.allocated.map(TokenCount::get), [200, 0, 1_300, 500, 1_000]);
    }

    #[test]
    fn dynamic_layers_lend_what_they_do_not_need() {
        let needs = Layer::ALL.map(|layer| match layer {
            Layer::PlotAndWorld => need(layer, 0, 2_000),
            other => need(other, 0, 0),
        });
        let mode = AllocationMode::Dynamic;
        let available = TokenCount::new(3_000);
        let allocation =
            allocate(DEFAULTS, needs, available, mode, OverflowStrategy::Truncate).unwrap();
        assert!(allocation.of(Layer::PlotAndWorld).get() >= 1_998, "{allocation:?}");
    }

    #[test]
    fn borrowing_stops_at_thirty_percent() {
        let needs = Layer::ALL.map(|layer| match layer {
            Layer::PlotAndWorld => need(layer, 0, 2_000),
            other => need(other, 0, 0),
        });
        let mode = AllocationMode::Static;
        let available = TokenCount::new(3_000);
        let allocation =
            allocate(DEFAULTS, needs, available, mode, OverflowStrategy::Borrow).unwrap();
        assert_eq!(allocation.of(Layer::PlotAndWorld), TokenCount::new(1_300));
    }

    fn any_needs() -> impl Strategy<Value = [LayerNeed; 5]> {
        proptest::array::uniform5((0_usize..400, 0_usize..4_000)).prop_map(|needs| {
            let mut layers = Layer::ALL.into_iter();
            needs.map(|(high, more)| need(layers.next().unwrap_or(Layer::System), high, more))
        })
    }

    proptest! {
        #[test]
        fn budgets_stay_within_what_is_available_and_cover_what_must_be_in(
            needs in any_needs(),
            available in 0_usize..8_000,
            mode in prop_oneof![
                Just(AllocationMode::Static), Just(AllocationMode::Dynamic), Just(AllocationMode::Adaptive)
            ],
            overflow in prop_oneof![
                Just(OverflowStrategy::Truncate), Just(OverflowStrategy::Borrow),
                Just(OverflowStrategy::Reallocate), Just(OverflowStrategy::Reject)
            ],
        ) {
            let available = TokenCount::new(available);
            let high: TokenCount = needs.iter().map(|need| need.high).sum();
            match allocate(DEFAULTS, needs, available, mode, overflow) {
                Ok(allocation) => {
                    let total: TokenCount = allocation.allocated.iter().copied().sum();
                    prop_assert!(total <= available, "{:?}", allocation);
                    for need in fold(needs, true) {
                        prop_assert!(allocation.of(need.layer) >= need.high, "{:?}", allocation);
                    }
                }
                Err(ContextError::HighPriorityTooLarge { .. }) => prop_assert!(high > available),
                Err(ContextError::Overflow { .. }) => {
                    prop_assert_eq!(overflow, OverflowStrategy::Reject);
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }
}
