//! Shortens a text to some of its own sentences: the central ones and those that hold its names and
//! numbers, in their order. Nothing is reworded. Pure.
//!
//! Sentences are taken one by one, each time the one worth most for its length; a name counts for the
//! first sentence that brings it. As a sentence can only lose worth while others are taken, most are
//! looked at once (Minoux' accelerated greedy).

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashSet};
use std::ops::Range;

use super::reading::{Reading, Sentence};
use super::sentences::{clauses, trimmed, words_that_fit};
use crate::tokens::{TokenCount, TokenCounter};

/// Share of the names and numbers for which the target may be passed.
const WANTED_COVERAGE: f64 = 0.95;
/// Share of the target by which it may be passed for the sake of any name.
const TOLERANCE: f64 = 0.1;
/// Share of a hard target for sentences that are taken for their names.
const NAMES_FIRST: f64 = 0.8;
/// How often the target a text may be, all in all.
pub(super) const MOST_TARGETS: f64 = 2.0;
/// Longer sentences are taken by their clauses where only a name is missing.
const LONG_SENTENCE: usize = 30;

/// How binding the target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// It may be passed, as far as names and numbers need it.
    Soft,
    /// It holds.
    Hard,
}

/// The pieces of the text to keep, in order.
pub(super) fn extract(
    reading: &Reading<'_>,
    centrality: &[f64],
    target: TokenCount,
    limit: Limit,
    counter: &dyn TokenCounter,
) -> Vec<Range<usize>> {
    let mut selection = Selection::new(vec![false; reading.fact_count()]);
    let worth = worths(reading, centrality);
    if limit == Limit::Hard {
        // There is no room beyond the target for a name that is missing, so names come first.
        selection.complete(&reading.sentences, target.scaled(NAMES_FIRST).get(), WANTED_COVERAGE);
    }
    selection.take_most_worth(&reading.sentences, &worth, target.get());
    let most = |share| if limit == Limit::Hard { target } else { target.scaled(share) };
    let left = |selection: &Selection| -> Vec<Sentence> {
        let left = reading.sentences.iter().filter(|s| !selection.taken.contains(&s.range));
        left.flat_map(|sentence| smaller_units(reading, sentence)).collect()
    };
    if selection.share() < 1.0 {
        selection.complete(&left(&selection), most(1.0 + TOLERANCE).get(), 1.0);
    }
    if selection.share() < WANTED_COVERAGE {
        selection.complete(&left(&selection), most(MOST_TARGETS).get(), WANTED_COVERAGE);
    }
    if selection.taken.is_empty() {
        return something(reading, target, limit, counter).into_iter().collect();
    }
    selection.in_order(reading)
}

/// Names and numbers put back: the cheapest pieces that hold what `covered` lacks.
pub(super) fn missing_pieces(reading: &Reading<'_>, covered: Vec<bool>) -> Vec<Range<usize>> {
    let units: Vec<Sentence> =
        reading.sentences.iter().flat_map(|sentence| smaller_units(reading, sentence)).collect();
    let mut selection = Selection::new(covered);
    selection.complete(&units, usize::MAX, 1.0);
    selection.in_order(reading)
}

/// What a sentence is worth before its names are counted.
fn worths(reading: &Reading<'_>, centrality: &[f64]) -> Vec<f64> {
    const FIRST: f64 = 0.3;
    const LAST: f64 = 0.15;
    const MARKER: f64 = 0.1;
    let last = reading.sentences.len().saturating_sub(1);
    reading
        .sentences
        .iter()
        .enumerate()
        .map(|(index, sentence)| {
            let position = if index == 0 {
                FIRST
            } else if index == last {
                LAST
            } else {
                0.0
            };
            centrality.get(index).copied().unwrap_or(0.0)
                + position
                + MARKER * sentence.markers as f64
        })
        .collect()
}

/// The sentence, or its clauses if it is long.
fn smaller_units(reading: &Reading<'_>, sentence: &Sentence) -> Vec<Sentence> {
    if sentence.tokens.get() <= LONG_SENTENCE {
        return vec![sentence.clone()];
    }
    let clauses = clauses(reading.text, sentence.range.clone());
    clauses.into_iter().map(|clause| reading.part(clause)).collect()
}

/// Where not even one sentence fits: its words, if the target is hard, else the shortest clause.
fn something(
    reading: &Reading<'_>,
    target: TokenCount,
    limit: Limit,
    counter: &dyn TokenCounter,
) -> Option<Range<usize>> {
    let first = reading.sentences.first()?.range.clone();
    if limit == Limit::Hard {
        let text = &reading.text[first.clone()];
        let kept = words_that_fit(text, |text| counter.count(text) <= target);
        return Some(trimmed(reading.text, first.start..first.start + kept.len()))
            .filter(|kept| !kept.is_empty());
    }
    let units = reading.sentences.iter().flat_map(|sentence| smaller_units(reading, sentence));
    units.min_by_key(|unit| unit.tokens).map(|unit| unit.range).or(Some(first))
}

struct Selection {
    taken: HashSet<Range<usize>>,
    covered: Vec<bool>,
    missing: usize,
    tokens: usize,
}

impl Selection {
    fn new(covered: Vec<bool>) -> Self {
        let missing = covered.iter().filter(|covered| !**covered).count();
        Self { taken: HashSet::new(), covered, missing, tokens: 0 }
    }

    /// Share of the names and numbers that are covered.
    fn share(&self) -> f64 {
        1.0 - self.missing as f64 / self.covered.len().max(1) as f64
    }

    fn gain(&self, unit: &Sentence) -> usize {
        unit.facts.iter().filter(|fact| !self.covered[**fact]).count()
    }

    fn take(&mut self, unit: &Sentence) {
        self.tokens += unit.tokens.get();
        self.missing -= self.gain(unit);
        for fact in &unit.facts {
            self.covered[*fact] = true;
        }
        self.taken.insert(unit.range.clone());
    }

    /// Takes what is worth most for its length, until nothing fits.
    fn take_most_worth(&mut self, sentences: &[Sentence], worth: &[f64], most: usize) {
        const FACT: f64 = 1.0;
        self.take_greedily(sentences, most, 2.0, |selection, index| {
            let unit = &sentences[index];
            if selection.taken.contains(&unit.range) {
                return 0.0;
            }
            let value = worth[index] + FACT * selection.gain(unit) as f64;
            value / (unit.tokens.get().max(4) as f64).powf(0.8)
        });
    }

    /// Takes what brings most missing names and numbers for its length, until `wanted` of them are
    /// covered or nothing fits.
    fn complete(&mut self, units: &[Sentence], most: usize, wanted: f64) {
        self.take_greedily(units, most, wanted, |selection, index| {
            let unit = &units[index];
            selection.gain(unit) as f64 / unit.tokens.get().max(1) as f64
        });
    }

    fn take_greedily(
        &mut self,
        units: &[Sentence],
        most: usize,
        wanted: f64,
        value: impl Fn(&Self, usize) -> f64,
    ) {
        let mut queue: BinaryHeap<Candidate> = (0..units.len())
            .map(|index| Candidate { value: value(self, index), index })
            .filter(|candidate| candidate.value > 0.0)
            .collect();
        while let Some(best) = queue.pop() {
            if wanted <= 1.0 && self.share() >= wanted {
                return;
            }
            if self.tokens + units[best.index].tokens.get() > most {
                continue;
            }
            let value = value(self, best.index);
            if value <= 0.0 {
                continue;
            }
            let candidate = Candidate { value, index: best.index };
            if queue.peek().is_some_and(|next| next.value > value) {
                queue.push(candidate);
            } else {
                self.take(&units[best.index]);
            }
        }
    }

    /// The pieces as the text has them; clauses that follow each other are one.
    fn in_order(self, reading: &Reading<'_>) -> Vec<Range<usize>> {
        let mut pieces: Vec<_> = self.taken.into_iter().collect();
        pieces.sort_unstable_by_key(|piece| (piece.start, piece.end));
        let mut merged: Vec<Range<usize>> = Vec::new();
        for piece in pieces {
            match merged.last_mut() {
                Some(last) if piece.start <= last.end => last.end = last.end.max(piece.end),
                Some(last) if same_sentence(reading, last.end, piece.start) => last.end = piece.end,
                _ => merged.push(piece),
            }
        }
        merged
    }
}

/// Whether only the mark between two clauses lies between these places.
fn same_sentence(reading: &Reading<'_>, end: usize, start: usize) -> bool {
    let at = reading.sentences.partition_point(|sentence| sentence.range.end <= end);
    let inside =
        reading.sentences.get(at).is_some_and(|s| s.range.start < end && start < s.range.end);
    inside && !reading.text[end..start].contains(char::is_alphanumeric)
}

struct Candidate {
    value: f64,
    index: usize,
}

impl Ord for Candidate {
    /// The earlier one, where both are worth the same.
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.total_cmp(&other.value).then(other.index.cmp(&self.index))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}
