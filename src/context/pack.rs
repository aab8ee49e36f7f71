//! Fills the layers' budgets: what must be in first, then by priority. Where not everything fits whole,
//! what can be told shorter is, as far as the room reaches; what still doesn't fit is told together
//! with others, cut at a sentence end, or left out.

use super::budget::{Allocation, LayerNeed, allocate};
use super::element::{Element, ElementKind, Layer};
use super::receipt::Reason;
use super::{ContextError, Rules, sentences};
use crate::tokens::{TokenCount, TokenCounter};

/// Less than this of a text says too little to be worth its place.
const SHORTEST_REMAINDER: TokenCount = TokenCount::new(16);
/// The line's end after an element, counted with it.
const LINE_END: TokenCount = TokenCount::new(1);
/// A layer this little over its budget is cut, not told shorter.
const OVERFLOW_TOLERANCE: f64 = 1.1;
/// Most of a layer's room that the summary of what doesn't fit one by one may take…
const MOST_TOLD_TOGETHER: f64 = 0.3;
/// …and of the length of what it tells: a summary of summaries.
const TOLD_TOGETHER: f64 = 0.12;

/// What becomes of an element.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    Kept(Reason),
    /// Told shorter, in so many tokens.
    Distilled(TokenCount),
    /// Told with others, by an element that stands for them.
    ToldTogether,
    Trimmed {
        text: String,
        tokens: TokenCount,
    },
    Dropped(Reason),
}

/// Elements of one layer to be told together, in at most so many tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Gathering {
    pub layer: Layer,
    /// Positions in the list of elements, in its order.
    pub members: Vec<usize>,
    pub tokens: TokenCount,
}

/// Budgets shared out, and what a plan wants told together.
pub(super) struct Packed {
    pub(super) allocation: Allocation,
    pub(super) gatherings: Vec<Gathering>,
    /// What is to be told shorter and isn't yet, by position in the list of elements.
    pub(super) to_shorten: Vec<usize>,
}

/// Whether shorter tellings that don't exist yet are counted on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Plan,
    Assemble,
}

/// Decides the fate of every element that has none yet.
pub(super) fn pack(
    elements: &[Element],
    fates: &mut [Option<Fate>],
    rules: &Rules,
    counter: &dyn TokenCounter,
    mode: Mode,
) -> Result<Packed, ContextError> {
    let open: Vec<usize> = (0..elements.len()).filter(|&index| fates[index].is_none()).collect();
    let is_high = |element: &Element| element.priority > rules.high_priority;
    let allocation = allocate(
        rules.budgets,
        needs(open.iter().map(|&index| &elements[index]), is_high),
        rules.available,
        rules.allocation,
        rules.overflow,
    )?;

    let mut ranked = open;
    ranked.sort_by(|&one, &other| rank(&elements[one], &elements[other], rules.prefer_recent));
    let mut gatherings = Vec::new();
    for pot in Layer::ALL {
        let in_pot = |&index: &usize| allocation.pot(elements[index].layer) == pot;
        let mut layer =
            PotPacking { elements, fates, counter, rules, mode, room: allocation.of(pot) };
        let rest = layer.place_what_must_be_in(ranked.iter().copied().filter(in_pot));
        gatherings.extend(layer.place(&rest));
    }
    let to_shorten = (0..elements.len())
        .filter(|&at| matches!(fates[at], Some(Fate::Distilled(_))) && elements[at].short.is_none())
        .collect();
    Ok(Packed { allocation, gatherings, to_shorten })
}

/// One budget being filled.
struct PotPacking<'a> {
    elements: &'a [Element],
    fates: &'a mut [Option<Fate>],
    counter: &'a dyn TokenCounter,
    rules: &'a Rules,
    mode: Mode,
    room: TokenCount,
}

impl PotPacking<'_> {
    /// Returns the others, in their order.
    fn place_what_must_be_in(&mut self, ranked: impl Iterator<Item = usize>) -> Vec<usize> {
        let mut rest = Vec::new();
        for index in ranked {
            let element = &self.elements[index];
            if element.text.trim().is_empty() {
                self.fates[index] = Some(Fate::Dropped(Reason::Empty));
            } else if element.priority > self.rules.high_priority {
                self.settle(index, Fate::Kept(Reason::HighPriority));
            } else {
                rest.push(index);
            }
        }
        rest
    }

    fn settle(&mut self, index: usize, fate: Fate) {
        let taken = match &fate {
            Fate::Kept(_) => self.elements[index].tokens,
            Fate::Distilled(tokens) | Fate::Trimmed { tokens, .. } => *tokens,
            Fate::ToldTogether | Fate::Dropped(_) => TokenCount::ZERO,
        };
        self.room = self.room - taken;
        self.fates[index] = Some(fate);
    }

    fn place(&mut self, rest: &[usize]) -> Option<Gathering> {
        let whole: TokenCount = rest.iter().map(|&index| self.elements[index].tokens).sum();
        let tolerable = self.room.scaled(OVERFLOW_TOLERANCE);
        let can_shorten = rest.iter().any(|&index| self.short_tokens(index).is_some());
        if whole <= tolerable || !can_shorten {
            self.place_whole_or_cut(rest);
            return None;
        }
        let (left_over, kept_free) = self.place_shortened(rest);
        if self.mode == Mode::Plan {
            return self.gather(&left_over, kept_free);
        }
        self.place_whole_or_cut(&left_over);
        None
    }

    /// The first that doesn't fit whole is cut at a sentence end; smaller ones after it may still fit.
    fn place_whole_or_cut(&mut self, ranked: &[usize]) {
        for &index in ranked {
            let element = &self.elements[index];
            let fate = whole_or_cut(element, self.room, self.counter);
            self.settle(index, fate);
        }
    }

    /// Everybody gets the short form where there is one, by rank, as far as the room reaches; what is
    /// left of the room then goes into whole forms, again by rank. Returns what found no place, and
    /// what a plan keeps free to tell that together.
    fn place_shortened(&mut self, ranked: &[usize]) -> (Vec<usize>, TokenCount) {
        let least = |packing: &Self, index: usize| {
            let tokens = packing.elements[index].tokens;
            packing.short_tokens(index).map_or(tokens, |short| short.min(tokens))
        };
        let needed: TokenCount = ranked.iter().map(|&index| least(self, index)).sum();
        let kept_free = match self.mode {
            Mode::Plan if needed > self.room => self.room.scaled(MOST_TOLD_TOGETHER),
            _ => TokenCount::ZERO,
        };
        let mut room = self.room - kept_free;
        let (mut chosen, mut left_over) = (Vec::new(), Vec::new());
        for &index in ranked {
            let tokens = least(self, index);
            if tokens <= room {
                room = room - tokens;
                chosen.push(index);
            } else {
                left_over.push(index);
            }
        }
        for index in chosen {
            let element = &self.elements[index];
            let short = least(self, index);
            let more = element.tokens - short;
            if more <= room {
                room = room - more;
                self.settle(index, Fate::Kept(kept_because(element)));
            } else {
                self.settle(index, Fate::Distilled(short));
            }
        }
        (left_over, kept_free)
    }

    /// What found no place even in its short form is told together, where that makes sense: story and
    /// plot, not instructions and not what somebody said.
    fn gather(&mut self, left_over: &[usize], kept_free: TokenCount) -> Option<Gathering> {
        let (mut members, others): (Vec<_>, Vec<_>) =
            left_over.iter().copied().partition(|&index| {
                let element = &self.elements[index];
                let is_told = matches!(
                    element.kind,
                    ElementKind::Plot | ElementKind::World | ElementKind::Passage
                );
                is_told && element.shortens_to.is_some()
            });
        let told: TokenCount = members.iter().map(|&index| self.elements[index].tokens).sum();
        let tokens = kept_free.min(told.scaled(TOLD_TOGETHER));
        if members.len() < 2 || tokens < SHORTEST_REMAINDER {
            self.place_whole_or_cut(left_over);
            return None;
        }
        for &index in &members {
            self.settle(index, Fate::ToldTogether);
        }
        members.sort_unstable();
        let layer = self.elements[*members.first()?].layer;
        self.room = self.room - tokens;
        self.place_whole_or_cut(&others);
        Some(Gathering { layer, members, tokens })
    }

    fn short_tokens(&self, index: usize) -> Option<TokenCount> {
        if !self.rules.may_shorten {
            return None;
        }
        let element = &self.elements[index];
        match self.mode {
            Mode::Plan => element.short_tokens(),
            Mode::Assemble => element.short.as_ref().map(|short| short.tokens),
        }
    }
}

fn kept_because(element: &Element) -> Reason {
    if element.tells_others { Reason::TellsOthers } else { Reason::FitsBudget }
}

fn whole_or_cut(element: &Element, room: TokenCount, counter: &dyn TokenCounter) -> Fate {
    if element.tokens <= room {
        return Fate::Kept(kept_because(element));
    }
    if room < SHORTEST_REMAINDER {
        return Fate::Dropped(Reason::OverBudget);
    }
    match sentences::cut(&element.text, room - LINE_END, element.keep_end, counter) {
        Some((text, tokens)) => Fate::Trimmed { text, tokens: tokens + LINE_END },
        None => Fate::Dropped(Reason::NoSentenceFits),
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

/// The more important first, summaries of several before others; then by kind; then the later in the
/// story, or the author's order.
fn rank(one: &Element, other: &Element, prefer_recent: bool) -> std::cmp::Ordering {
    let by_place = || match one.layer {
        Layer::RecentStory | Layer::PlotAndWorld if prefer_recent => {
            other.position.cmp(&one.position)
        }
        _ => one.position.cmp(&other.position),
    };
    other
        .tells_others
        .cmp(&one.tells_others)
        .then_with(|| other.priority.cmp(one.priority))
        .then_with(|| one.kind.cmp(&other.kind))
        .then_with(by_place)
}
