//! A text, read once: its sentences, what each costs, and which of the text's names and numbers each
//! holds. Pure.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

use super::facts::{Vocabulary, Word, markers, words};
use super::sentences::{ENDS_OF_CLAUSES, opens_an_entry, sentences};
use crate::tokens::{TokenCount, TokenCounter};

/// A name or number of the text, by its place in [`Reading::facts`].
pub(super) type Fact = usize;

pub(super) struct Reading<'a> {
    pub(super) text: &'a str,
    pub(super) sentences: Vec<Sentence>,
    pub(super) vocabulary: Vocabulary,
    facts: HashMap<String, Fact>,
    counter: &'a dyn TokenCounter,
}

/// Some of the text: a sentence or a clause.
#[derive(Clone, Debug)]
pub(super) struct Sentence {
    pub(super) range: Range<usize>,
    pub(super) tokens: TokenCount,
    /// Sorted.
    pub(super) facts: Vec<Fact>,
    pub(super) markers: usize,
}

impl<'a> Reading<'a> {
    pub(super) fn of(text: &'a str, counter: &'a dyn TokenCounter) -> Self {
        let ranges = sentences(text);
        let words_of: Vec<Vec<Word>> =
            ranges.iter().map(|range| words(&text[range.clone()])).collect();
        let vocabulary = Vocabulary::of(words_of.iter().flatten());
        let mut facts = HashMap::new();
        for word in words_of.iter().flatten().filter(|word| vocabulary.is_fact(word)) {
            let next = facts.len();
            facts.entry(word.key.clone()).or_insert(next);
        }
        let sentences = ranges
            .into_iter()
            .zip(&words_of)
            .map(|(range, words)| Sentence {
                tokens: counter.count(&text[range.clone()]),
                facts: facts_in(&facts, words),
                markers: markers(words),
                range,
            })
            .collect();
        Self { text, sentences, vocabulary, facts, counter }
    }

    /// How many different names and numbers the text has.
    pub(super) fn fact_count(&self) -> usize {
        self.facts.len()
    }

    /// A part of a sentence.
    pub(super) fn part(&self, range: Range<usize>) -> Sentence {
        let words = words(&self.text[range.clone()]);
        Sentence {
            tokens: self.counter.count(&self.text[range.clone()]),
            facts: facts_in(&self.facts, &words),
            markers: markers(&words),
            range,
        }
    }

    /// Which of the text's names and numbers a shorter text still has.
    pub(super) fn covered_by(&self, text: &str) -> Vec<bool> {
        let mut covered = vec![false; self.facts.len()];
        for sentence in sentences(text) {
            for fact in facts_in(&self.facts, &words(&text[sentence])) {
                covered[fact] = true;
            }
        }
        covered
    }

    /// Where the text first mentions each name and number that a shorter text lacks, what it mentions
    /// most first. Parts of a name stay together.
    pub(super) fn missing_mentions(&self, shorter: &str) -> Vec<Range<usize>> {
        let covered = self.covered_by(shorter);
        let mut mentions: Vec<(usize, Option<Range<usize>>)> = vec![(0, None); covered.len()];
        for (start, word) in self.text.unicode_word_indices() {
            let is_written_as_one =
                word.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit());
            for fact in words(word).iter().filter_map(|word| self.facts.get(&word.key)) {
                let (count, first) = &mut mentions[*fact];
                *count += 1;
                if first.is_none() && is_written_as_one {
                    *first = Some(start..start + word.len());
                }
            }
        }
        let missing = mentions.into_iter().zip(covered).filter(|(_, covered)| !covered);
        let mut missing: Vec<_> =
            missing.filter_map(|((count, first), _)| Some((count, first?))).collect();
        missing.sort_unstable_by_key(|(_, range)| range.start);
        let mut names: Vec<(usize, Range<usize>)> = Vec::new();
        for (count, range) in missing {
            match names.last_mut() {
                Some((_, last)) if &self.text[last.end..range.start] == " " => last.end = range.end,
                _ => names.push((count, range)),
            }
        }
        names.sort_by_key(|(count, _)| Reverse(*count));
        names.into_iter().map(|(_, range)| range).collect()
    }

    pub(super) fn slices(&self) -> impl Iterator<Item = &'a str> {
        self.sentences.iter().map(|sentence| &self.text[sentence.range.clone()])
    }
}

/// Share of the names and numbers that are covered; all, if there are none.
pub(super) fn share(covered: &[bool]) -> f64 {
    if covered.is_empty() {
        return 1.0;
    }
    covered.iter().filter(|covered| **covered).count() as f64 / covered.len() as f64
}

fn facts_in(facts: &HashMap<String, Fact>, words: &[Word]) -> Vec<Fact> {
    let mut found: Vec<Fact> =
        words.iter().filter_map(|word| facts.get(&word.key).copied()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Pieces of the text, in its order, as one text; and where each lies in that. Paragraphs and lists
/// stay what they are, and a sentence cut short shows it.
pub(super) fn joined(text: &str, pieces: &[Range<usize>]) -> (String, Vec<Range<usize>>) {
    let mut joined = String::new();
    let mut places = Vec::with_capacity(pieces.len());
    let mut end = 0;
    for piece in pieces {
        let between = text.get(end..piece.start).unwrap_or_default();
        let slice = &text[piece.clone()];
        if !joined.is_empty() {
            let new_line =
                between.contains("\n\n") || (between.contains('\n') && opens_an_entry(slice));
            let cut_short = between.starts_with(ENDS_OF_CLAUSES);
            joined.push_str(match (new_line, cut_short) {
                (true, _) => "\n",
                (false, true) => " … ",
                (false, false) => " ",
            });
        }
        places.push(joined.len()..joined.len() + slice.len());
        joined.push_str(slice);
        end = piece.end;
    }
    (joined, places)
}
