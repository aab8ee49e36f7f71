//! What the model sees, decided and accounted for: elements → filter → rank → layer budgets → pack →
//! prompt order → receipt. Story jobs and talk both come through here.
//!
//! Pure: the result depends on the elements, the rules and the counter alone. No clock, no I/O, no
//! model. Invariants, held by property tests:
//! - what is placed fits into the budget given;
//! - every element above the high-priority threshold is placed whole, or the assembly is refused;
//! - every element that came in stands in the receipt, with what became of it and why.

mod agent;
mod budget;
mod element;
mod filter;
mod pack;
mod receipt;
mod sentences;

pub use self::agent::{Agent, Audience, Phase};
pub use self::budget::{AllocationMode, LayerBudgets, LayerNeed, OverflowStrategy};
pub use self::element::{Element, ElementKind, KeepEnd, Layer, Priority};
pub use self::filter::Filter;
use self::pack::{Fate, pack};
pub use self::receipt::{
    BudgetReport, ElementReport, LayerReport, Outcome, PromptReport, Reason, Receipt,
};
use crate::tokens::{TokenCount, TokenCounter};

/// For whom, within what, and by which rules a context is assembled.
#[derive(Clone, Debug)]
pub struct Rules {
    pub agent: Agent,
    pub phase: Option<Phase>,
    pub filter: Filter,
    /// The layers' budgets as configured, before they are scaled to what is there.
    pub budgets: LayerBudgets,
    /// Tokens the elements may take together.
    pub available: TokenCount,
    pub allocation: AllocationMode,
    pub overflow: OverflowStrategy,
    /// Elements above it must be in.
    pub high_priority: Priority,
    /// Elements below it stay out.
    pub lowest_priority: Priority,
    /// Of equally important passages, whether the later ones are kept first.
    pub prefer_recent: bool,
}

/// A context that fits, and the account of how it came about.
#[derive(Clone, Debug)]
pub struct Assembly {
    /// In prompt order: layer after layer, in each what most agents share first.
    pub placed: Vec<Placed>,
    pub elements: Vec<ElementReport>,
    pub layers: Vec<LayerReport>,
}

/// A text that goes into the prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    pub layer: Layer,
    pub kind: ElementKind,
    pub text: String,
}

impl Assembly {
    /// The texts of some layer and kind, in prompt order.
    pub fn texts(&self, wanted: impl Fn(&Placed) -> bool) -> Vec<String> {
        self.placed.iter().filter(|placed| wanted(placed)).map(|p| p.text.clone()).collect()
    }

    pub fn tokens(&self) -> TokenCount {
        self.layers.iter().map(|layer| layer.used).sum()
    }
}

/// Why no context could be assembled.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ContextError {
    #[error(
        "what must be in the prompt takes {needed} tokens and only {available} are there ({}); shorten it, lower some priorities to medium, or raise LLM_N_CTX",
        list(.layers, |need| need.high)
    )]
    HighPriorityTooLarge { needed: TokenCount, available: TokenCount, layers: Vec<LayerNeed> },
    #[error(
        "the context takes {needed} tokens and only {available} are there ({}); CONTEXT_OVERFLOW_STRATEGY=reject refuses it, any other strategy would shorten it",
        list(.layers, |need| need.total)
    )]
    Overflow { needed: TokenCount, available: TokenCount, layers: Vec<LayerNeed> },
    #[error("custom_filters both require and exclude the tag {0:?}, so nothing could ever pass")]
    ContradictoryFilter(String),
}

fn list(layers: &[LayerNeed], tokens: impl Fn(&LayerNeed) -> TokenCount) -> String {
    let parts: Vec<_> = layers
        .iter()
        .filter(|need| tokens(need) > TokenCount::ZERO)
        .map(|need| format!("{} {}", need.layer.title(), tokens(need)))
        .collect();
    parts.join(", ")
}

/// Decides what the model sees.
pub fn assemble(
    elements: &[Element],
    rules: &Rules,
    counter: &dyn TokenCounter,
) -> Result<Assembly, ContextError> {
    rules.filter.check()?;
    let mut fates: Vec<Option<Fate>> = elements
        .iter()
        .map(|element| filter::reason_to_leave_out(element, rules).map(Fate::Dropped))
        .collect();
    let allocation = pack(elements, &mut fates, rules, counter)?;

    let reports = elements
        .iter()
        .zip(&fates)
        .map(|(element, fate)| ElementReport::new(element, fate.as_ref()))
        .collect::<Vec<_>>();
    let layers = allocation.report(&reports);
    let mut placed: Vec<_> =
        elements.iter().zip(fates).filter_map(|(element, fate)| place(element, fate?)).collect();
    // Stable: what ties keeps the author's order.
    placed.sort_by_key(|(layer, breadth, _)| (layer.prompt_order(), std::cmp::Reverse(*breadth)));
    let placed = placed.into_iter().map(|(_, _, placed)| placed).collect();
    Ok(Assembly { placed, elements: reports, layers })
}

fn place(element: &Element, fate: Fate) -> Option<(Layer, usize, Placed)> {
    let text = match fate {
        Fate::Kept(_) => element.text.clone(),
        Fate::Trimmed { text, .. } => text,
        Fate::Dropped(_) => return None,
    };
    let breadth = element.audience.breadth();
    Some((element.layer, breadth, Placed { layer: element.layer, kind: element.kind, text }))
}

#[cfg(test)]
mod tests;
