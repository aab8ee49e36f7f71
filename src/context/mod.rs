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
mod window;

use std::collections::HashSet;

pub use self::agent::{Agent, Audience, Phase};
pub use self::budget::{AllocationMode, LayerBudgets, LayerNeed, OverflowStrategy};
pub use self::element::{Element, ElementKind, KeepEnd, Layer, Priority, Short};
pub use self::filter::Filter;
pub use self::pack::Gathering;
use self::pack::{Fate, Mode, Packed, pack};
pub use self::receipt::{
    BudgetReport, ElementReport, LayerReport, Outcome, PromptReport, Reason, Receipt,
};
pub use self::window::{Attempt, Fitting, TooLong, Window};
use crate::tokens::{TokenCount, TokenCounter};

/// For whom, within what, and by which rules a context is assembled.
#[derive(Clone, Debug)]
pub struct Rules {
    pub agent: Agent,
    /// Other agents that are to see the same: what any of them may see is packed for all, so that
    /// all their prompts begin alike.
    pub company: Vec<Agent>,
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
    /// Whether what doesn't fit may be told shorter.
    pub may_shorten: bool,
}

impl Rules {
    fn readers(&self) -> impl Iterator<Item = Agent> {
        std::iter::once(self.agent).chain(self.company.iter().copied())
    }
}

/// A context that fits, and the account of how it came about.
#[derive(Clone, Debug, Default)]
pub struct Assembly {
    /// In prompt order: layer after layer, in each what most agents share first.
    pub placed: Vec<Placed>,
    pub elements: Vec<ElementReport>,
    pub layers: Vec<LayerReport>,
}

/// What has to be told shorter so that a context fits.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The context as it is going to be, with expected sizes.
    pub assembly: Assembly,
    /// Elements to be told shorter, by position in the list.
    pub shorten: Vec<usize>,
    /// Elements to be told together.
    pub gather: Vec<Gathering>,
}

impl Plan {
    pub fn is_settled(&self) -> bool {
        self.shorten.is_empty() && self.gather.is_empty()
    }
}

/// A text that goes into the prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The element's id.
    pub id: String,
    /// Whether every agent is told it.
    pub is_for_all: bool,
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

/// Decides what would be told shorter, if it could be: what [`assemble`] then needs as
/// [`Element::short`] and as elements that tell others together.
pub fn plan(
    elements: &[Element],
    rules: &Rules,
    counter: &dyn TokenCounter,
) -> Result<Plan, ContextError> {
    let (fates, packed) = decide(elements, rules, counter, Mode::Plan)?;
    let (shorten, gather) = (packed.to_shorten.clone(), packed.gatherings.clone());
    Ok(Plan { assembly: assembly(elements, fates, &packed), shorten, gather })
}

/// Decides what the model sees.
pub fn assemble(
    elements: &[Element],
    rules: &Rules,
    counter: &dyn TokenCounter,
) -> Result<Assembly, ContextError> {
    let (fates, packed) = decide(elements, rules, counter, Mode::Assemble)?;
    Ok(assembly(elements, fates, &packed))
}

fn decide(
    elements: &[Element],
    rules: &Rules,
    counter: &dyn TokenCounter,
    mode: Mode,
) -> Result<(Vec<Option<Fate>>, Packed), ContextError> {
    rules.filter.check()?;
    let mut fates: Vec<Option<Fate>> = elements
        .iter()
        .map(|element| {
            let left_out = filter::reason_to_leave_out(element, rules).map(Fate::Dropped);
            left_out.or_else(|| element.told_by.is_some().then_some(Fate::ToldTogether))
        })
        .collect();
    let packed = pack(elements, &mut fates, rules, counter, mode)?;
    let missing: HashSet<&str> = elements
        .iter()
        .zip(&fates)
        .filter(|(element, fate)| element.tells_others && matches!(fate, Some(Fate::Dropped(_))))
        .map(|(element, _)| element.id.as_str())
        .collect();
    for (element, fate) in elements.iter().zip(&mut fates) {
        if element.told_by.as_deref().is_some_and(|teller| missing.contains(teller)) {
            *fate = Some(Fate::Dropped(Reason::OverBudget));
        }
    }
    // Packed for the company, told to those it is for.
    for (element, fate) in elements.iter().zip(&mut fates) {
        if !element.audience.includes(rules.agent) {
            *fate = Some(Fate::Dropped(Reason::OtherAudience));
        }
    }
    Ok((fates, packed))
}

fn assembly(elements: &[Element], fates: Vec<Option<Fate>>, packed: &Packed) -> Assembly {
    let reports = elements
        .iter()
        .zip(&fates)
        .map(|(element, fate)| ElementReport::new(element, fate.as_ref()))
        .collect::<Vec<_>>();
    let layers = packed.allocation.report(&reports);
    let placed = elements.iter().zip(fates).filter_map(|(element, fate)| {
        let text = told(element, fate?)?;
        let breadth = element.audience.breadth();
        let placed = Placed {
            id: element.id.clone(),
            is_for_all: element.audience == Audience::EVERYBODY,
            layer: element.layer,
            kind: element.kind,
            text,
        };
        Some((breadth, placed))
    });
    let mut placed: Vec<_> = placed.collect();
    // Stable: what ties keeps the author's order.
    placed.sort_by_key(|(breadth, it)| (it.layer.prompt_order(), std::cmp::Reverse(*breadth)));
    let placed = placed.into_iter().map(|(_, placed)| placed).collect();
    Assembly { placed, elements: reports, layers }
}

/// The words of it that go into the prompt.
fn told(element: &Element, fate: Fate) -> Option<String> {
    match fate {
        Fate::Kept(_) => Some(element.text.clone()),
        Fate::Distilled(_) => element.short.as_ref().map(|short| short.text.clone()),
        Fate::Trimmed { text, .. } => Some(text),
        Fate::ToldTogether | Fate::Dropped(_) => None,
    }
}

#[cfg(test)]
mod tests;
