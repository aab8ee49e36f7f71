//! Which entries hold which terms, and BM25 over them. Terms stand in the order of their first
//! appearance, so that cutting entries off cuts terms off the end.
//!
//! n, df and the mean length are those of the entries searched. Every term of a query counts once.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

use super::bm25::{MOST_SATURATED, idf, saturated};
use super::grow;

/// Only so many terms of a query are looked up, the rarest: a long message names its matter in them.
const MOST_TERMS: usize = 48;

#[derive(Debug, Default)]
pub struct Lexicon {
    hasher: RandomState,
    /// Numbers of terms, found by their spelling.
    table: HashTable<u32>,
    /// The terms' spellings, one after the other, and where each ends.
    spellings: String,
    ends: Vec<usize>,
    /// For each term, the entries that hold it, in their order.
    postings: Vec<Postings>,
    /// For each entry, how many terms it has.
    lengths: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Posting {
    position: u32,
    count: u32,
}

/// Half of all terms appear once: they need no list.
#[derive(Debug)]
enum Postings {
    One(Posting),
    Many(Vec<Posting>),
}

impl Postings {
    fn all(&self) -> &[Posting] {
        match self {
            Self::One(posting) => std::slice::from_ref(posting),
            Self::Many(postings) => postings,
        }
    }

    fn upto(&self, upto: usize) -> &[Posting] {
        let all = self.all();
        &all[..all.partition_point(|posting| (posting.position as usize) < upto)]
    }

    /// Counts a term in the newest entry.
    fn count(&mut self, position: u32) {
        let last = match self {
            Self::One(posting) => Some(posting),
            Self::Many(postings) => postings.last_mut(),
        };
        if let Some(last) = last.filter(|last| last.position == position) {
            last.count = last.count.saturating_add(1);
            return;
        }
        let posting = Posting { position, count: 1 };
        match self {
            Self::One(first) => *self = Self::Many(vec![*first, posting]),
            Self::Many(postings) => {
                grow(postings);
                postings.push(posting);
            }
        }
    }

    fn truncate(&mut self, len: usize) {
        let kept = self.upto(len).len();
        if let Self::Many(postings) = self {
            postings.truncate(kept);
            if let &[only] = postings.as_slice() {
                *self = Self::One(only);
            }
        }
    }
}

impl Lexicon {
    pub fn push(&mut self, terms: Vec<String>) {
        // An index of four billion entries fits no memory.
        let position = u32::try_from(self.lengths.len()).unwrap_or(u32::MAX);
        grow(&mut self.lengths);
        self.lengths.push(u32::try_from(terms.len()).unwrap_or(u32::MAX));
        for term in terms {
            match self.number(&term) {
                Some(number) => self.postings[number].count(position),
                None => self.add(&term, position),
            }
        }
    }

    fn add(&mut self, term: &str, position: u32) {
        let (ends, spellings, hasher) = (&mut self.ends, &mut self.spellings, &self.hasher);
        let number = u32::try_from(ends.len()).unwrap_or(u32::MAX);
        if spellings.capacity() - spellings.len() < term.len() {
            spellings.reserve_exact(term.len().max(spellings.len() / 8));
        }
        spellings.push_str(term);
        grow(ends);
        ends.push(spellings.len());
        grow(&mut self.postings);
        self.postings.push(Postings::One(Posting { position, count: 1 }));
        let hash_of = |&number: &u32| hasher.hash_one(spelling(spellings, ends, number as usize));
        self.table.insert_unique(hasher.hash_one(term), number, hash_of);
    }

    fn number(&self, term: &str) -> Option<usize> {
        let is = |&number: &u32| spelling(&self.spellings, &self.ends, number as usize) == term;
        self.table.find(self.hasher.hash_one(term), is).map(|&number| number as usize)
    }

    pub fn truncate(&mut self, len: usize) {
        if len >= self.lengths.len() {
            return;
        }
        let kept = self.postings.partition_point(|postings| {
            postings.all().first().is_some_and(|first| (first.position as usize) < len)
        });
        self.table.retain(|number| (*number as usize) < kept);
        self.ends.truncate(kept);
        self.spellings.truncate(self.ends.last().copied().unwrap_or(0));
        self.postings.truncate(kept);
        for postings in &mut self.postings {
            postings.truncate(len);
        }
        self.lengths.truncate(len);
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// What BM25 needs to score the first `upto` entries.
    pub fn look_up(&self, terms: &[String], upto: usize) -> Found<'_> {
        let lengths = &self.lengths[..upto];
        let total: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
        let mean_length = (total as f32 / upto.max(1) as f32).max(1.0);
        Found { terms: self.rarest(terms, upto), lengths, mean_length }
    }

    /// The postings of the terms that say most, with the weight of each; always in one order, as
    /// sums depend on it.
    fn rarest(&self, terms: &[String], upto: usize) -> Vec<(&[Posting], f32)> {
        let mut numbers: Vec<_> = terms.iter().filter_map(|term| self.number(term)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut rarest: Vec<_> = numbers
            .into_iter()
            .map(|number| self.postings[number].upto(upto))
            .filter(|postings| !postings.is_empty())
            .collect();
        // Stable, so that among equals the one that came first in the talk stays first.
        rarest.sort_by_key(|postings| postings.len());
        rarest.truncate(MOST_TERMS);
        let idf = |postings: &[Posting]| idf(upto, postings.len());
        rarest.into_iter().map(|postings| (postings, idf(postings))).collect()
    }

    /// The heap memory it takes.
    pub fn bytes(&self) -> usize {
        let lists = self.postings.iter().map(|postings| match postings {
            Postings::One(_) => 0,
            Postings::Many(postings) => postings.capacity() * size_of::<Posting>(),
        });
        // A slot of the table takes its number and a byte of the hash; an eighth stays free.
        self.table.capacity() * 8 / 7 * (size_of::<u32>() + 1)
            + self.spellings.capacity()
            + self.ends.capacity() * size_of::<usize>()
            + self.postings.capacity() * size_of::<Postings>()
            + self.lengths.capacity() * size_of::<u32>()
            + lists.sum::<usize>()
    }
}

/// The terms of a query, with the entries that hold them.
pub struct Found<'a> {
    /// Where a term stands, and how much it says.
    terms: Vec<(&'a [Posting], f32)>,
    lengths: &'a [u32],
    mean_length: f32,
}

impl Found<'_> {
    /// BM25 of all entries.
    pub fn scores(&self) -> Vec<f32> {
        let mut scores = vec![0.0; self.lengths.len()];
        for (postings, idf) in &self.terms {
            for posting in *postings {
                scores[posting.position as usize] += self.share(*posting, *idf);
            }
        }
        scores
    }

    /// BM25 of one entry.
    pub fn score(&self, position: usize) -> f32 {
        let share = |(postings, idf): &(&[Posting], f32)| {
            let found = postings.binary_search_by_key(&position, |other| other.position as usize);
            found.map_or(0.0, |place| self.share(postings[place], *idf))
        };
        self.terms.iter().map(share).sum()
    }

    /// What no entry's score can reach: every term that some entry has, repeated without end.
    pub fn most(&self) -> f32 {
        self.terms.iter().map(|(_, idf)| idf * MOST_SATURATED).sum()
    }

    fn share(&self, posting: Posting, idf: f32) -> f32 {
        let length = self.lengths[posting.position as usize] as f32 / self.mean_length;
        idf * saturated(posting.count as f32, length)
    }
}

fn spelling<'a>(spellings: &'a str, ends: &[usize], number: usize) -> &'a str {
    let start = if number == 0 { 0 } else { ends[number - 1] };
    &spellings[start..ends[number]]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn terms() -> impl Strategy<Value = Vec<String>> {
        let words = ["oak", "key", "sea", "fog", "inn"].map(str::to_owned).to_vec();
        proptest::collection::vec(proptest::sample::select(words), 0..6)
    }

    /// The formula, term by term.
    fn naive(texts: &[Vec<String>], query: &[String], text: &[String]) -> f64 {
        let all = texts.len() as f64;
        let mean = (texts.iter().map(Vec::len).sum::<usize>() as f64 / all).max(1.0);
        let mut query = query.to_vec();
        query.sort();
        query.dedup();
        let weight = |term: &String| {
            let holding = texts.iter().filter(|text| text.contains(term)).count() as f64;
            let count = text.iter().filter(|other| *other == term).count() as f64;
            let idf = (1.0 + (all - holding + 0.5) / (holding + 0.5)).ln();
            idf * count * 1.9 / (count + 0.9 * (0.6 + 0.4 * text.len() as f64 / mean))
        };
        query.iter().map(weight).sum()
    }

    proptest! {
        #[test]
        fn scores_are_those_of_the_formula_over_the_entries_searched(
            texts in proptest::collection::vec(terms(), 1..12), query in terms(), upto in 1_usize..12,
        ) {
            let mut lexicon = Lexicon::default();
            for text in &texts {
                lexicon.push(text.clone());
            }
            let searched = &texts[..upto.min(texts.len())];
            let found = lexicon.look_up(&query, searched.len());
            for (position, (score, text)) in found.scores().iter().zip(searched).enumerate() {
                let expected = naive(searched, &query, text);
                prop_assert!((f64::from(*score) - expected).abs() < 1e-4, "{score}, not {expected}");
                prop_assert!((*score - found.score(position)).abs() < f32::EPSILON);
            }
        }
    }

    #[test]
    fn of_a_long_query_the_rarest_terms_count() {
        let mut lexicon = Lexicon::default();
        let many: Vec<String> = (0..60).map(|number| format!("term{number}")).collect();
        lexicon.push(many.clone());
        lexicon.push(many[..30].to_vec());
        assert_eq!(lexicon.rarest(&many, 2).len(), MOST_TERMS);
        assert!(lexicon.rarest(&many, 2)[..30].iter().all(|(postings, _)| postings.len() == 1));
    }
}
