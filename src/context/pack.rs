//! Fills the layers' budgets: what must be in first, then by priority; the first that doesn't fit
//! whole is cut at a sentence end, smaller ones after it may still fit.

use super::budget::{Allocation, LayerNeed, allocate};
use super::element::{Element, Layer};
use super::receipt::Reason;
use super::{ContextError, Rules, sentences};
use crate::tokens::{TokenCount, TokenCounter};

/// Less than this of a text says too little to be worth its place.
const SHORTEST_REMAINDER: TokenCount = TokenCount::new(16);
/// The line's end after an element, counted with it.
const LINE_END: TokenCount = TokenCount::new(1);

/// What becomes of an element.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    Kept(Reason),
    Trimmed { text: String, tokens: TokenCount },
    Dropped(Reason),
}

/// Decides the fate of every element that has none yet.
pub(super) fn pack(
    elements: &[Element],
    fates: &mut [Option<Fate>],
    rules: &Rules,
    counter: &dyn TokenCounter,
) -> Result<Allocation, ContextError> {
    let open: Vec<usize> = (0..elements.len()).filter(|&index| fates[index].is_none()).collect();
    let is_high = |element: &Element| element.priority > rules.high_priority;
    let allocation = allocate(
        rules.budgets,
        needs(open.iter().map(|&index| &elements[index]), is_high),
        rules.available,
        rules.allocation,
        rules.overflow,
    )?;

    let mut left = Layer::ALL.map(|layer| allocation.of(layer));
    let mut ranked = open;
    ranked.sort_by(|&one, &other| rank(&elements[one], &elements[other], rules.prefer_recent));
    // By priority, so whatever must be in comes before what may be cut.
    for index in ranked {
        let element = &elements[index];
        let room = &mut left[allocation.pot(element.layer).index()];
        let fate = decide(element, is_high(element), *room, counter);
        *room = *room - taken(element, &fate);
        fates[index] = Some(fate);
    }
    Ok(allocation)
}

fn decide(
    element: &Element,
    must_be_in: bool,
    room: TokenCount,
    counter: &dyn TokenCounter,
) -> Fate {
    if element.text.trim().is_empty() {
        return Fate::Dropped(Reason::Empty);
    }
    if must_be_in {
        return Fate::Kept(Reason::HighPriority);
    }
    if element.tokens <= room {
        return Fate::Kept(Reason::FitsBudget);
    }
    if room < SHORTEST_REMAINDER {
        return Fate::Dropped(Reason::OverBudget);
    }
    match sentences::cut(&element.text, room - LINE_END, element.keep_end, counter) {
        Some((text, tokens)) => Fate::Trimmed { text, tokens: tokens + LINE_END },
        None => Fate::Dropped(Reason::NoSentenceFits),
    }
}

fn taken(element: &Element, fate: &Fate) -> TokenCount {
    match fate {
        Fate::Kept(_) => element.tokens,
        Fate::Trimmed { tokens, .. } => *tokens,
        Fate::Dropped(_) => TokenCount::ZERO,
    }
}

fn needs<'a>(
    elements: impl Iterator<Item = &'a Element>,
    is_high: impl Fn(&Element) -> bool,
) -> [LayerNeed; 5] {
    let mut needs = Layer::ALL.map(|layer| LayerNeed {
        layer,
        high: TokenCount::ZERO,
        total: TokenCount::ZERO,
        budget: TokenCount::ZERO,
        weight: 0.0,
    });
    for element in elements.filter(|element| !element.text.trim().is_empty()) {
        let need = &mut needs[element.layer.index()];
        need.total += element.tokens;
        if is_high(element) {
            need.high += element.tokens;
        } else {
            need.weight += element.tokens.get() as f64 * element.priority.get();
        }
    }
    needs
}

/// The more important first; then by kind; then the later in the story, or the author's order.
fn rank(one: &Element, other: &Element, prefer_recent: bool) -> std::cmp::Ordering {
    let by_place = || match one.layer {
        Layer::RecentStory | Layer::PlotAndWorld if prefer_recent => {
            other.position.cmp(&one.position)
        }
        _ => one.position.cmp(&other.position),
    };
    other.priority.cmp(one.priority).then_with(|| one.kind.cmp(&other.kind)).then_with(by_place)
}
