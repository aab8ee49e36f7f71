//! One search: words and meaning, each spread from 0 to 1 over the entries searched (min-max), then
//! added with their weights. Weights were measured on half of LoCoMo's conversations
//! (`make bench-memory`), and are round numbers on purpose.

use super::emotion;
use super::named::without_and_named;
use super::{Hit, Index, Mark, Query};
use crate::retrieval::{Found, QueryVector, Range, Vectors, first_by, terms};

/// Weights of the words and of the meaning; together 1.
const LEXICAL: f32 = 0.3;
const SEMANTIC: f32 = 0.7;
/// What an entry takes of the scores of the one before and the one after it: answers stand behind
/// their questions, and talk about a thing goes on for a while.
const NEIGHBOUR: f32 = 0.3;
/// What an entry gains if the query names its speaker.
const SPEAKER: f32 = 0.1;
/// What an entry loses if it does nothing but ask: who asks doesn't know.
const ASKING: f32 = 0.15;
/// The place (0 to 1) that the meaning of an entry without a vector is taken to have: what is usual,
/// and what its words add to it.
const USUAL: f32 = 0.3;
const USUAL_OF_LEXICAL: f32 = 0.5;

pub(super) fn search(index: &Index, query: &Query, limit: usize) -> Vec<Hit> {
    let upto = query.upto.min(index.len());
    if limit == 0 || upto == 0 {
        return Vec::new();
    }
    let mut signals = Signals::of(index, query, upto);
    let best = signals.best(limit);
    let mut hits: Vec<Hit> = best
        .into_iter()
        .map(|(position, score)| signals.hit(position, score, query.emotion))
        .collect();
    emotion::reorder(&mut hits);
    hits
}

/// All that is known of the entries searched, in regard to one query.
pub(super) struct Signals<'a> {
    index: &'a Index,
    words: Found<'a>,
    /// BM25 with the neighbours' share, 0 to 1.
    lexical: Vec<f32>,
    meaning: Option<Meaning<'a>>,
    /// For each number of a speaker, what it gains.
    speakers: Vec<f32>,
}

impl<'a> Signals<'a> {
    pub(super) fn of(index: &'a Index, query: &Query, upto: usize) -> Self {
        let (text, named) = without_and_named(query.text, query.participants);
        let terms = terms(&text);
        let words = index.lexicon.look_up(&terms, upto);
        let mut lexical = words.scores();
        add_neighbours(&mut lexical);
        let range = Range::of(&lexical);
        for score in &mut lexical {
            *score = range.place(*score);
        }
        let meaning = Meaning::of(&index.vectors, query.vector, upto);
        Self { index, words, lexical, meaning, speakers: gains(index, query, &named) }
    }

    /// The best entries and their scores, best first; of equals, the later one. Uses the first pass
    /// up.
    fn best(&mut self, limit: usize) -> Vec<(usize, f32)> {
        let nearly = self.nearly();
        // No score of the first pass is further off than the error, so that whoever is further
        // below the exact score of the last of some `limit` entries can't be among the best.
        let error = self.meaning.as_ref().map_or(0.0, |meaning| SEMANTIC * meaning.error_of_place);
        let exactly = |position| self.score(position, self.place(position));
        let some = first_by(&nearly, limit);
        let all = some.len() < limit;
        let bar = some.into_iter().map(exactly).fold(f32::INFINITY, f32::min);
        let least = if all { f32::MIN } else { bar - error };
        let mut best: Vec<_> = (0..nearly.len())
            .filter(|position| nearly[*position] >= least)
            .map(|position| (position, exactly(position)))
            .collect();
        best.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
        best.truncate(limit);
        best
    }

    /// The scores by the first pass, in its memory; -∞ where nothing speaks for an entry.
    fn nearly(&mut self) -> Vec<f32> {
        let upto = self.lexical.len();
        let first_pass = self.meaning.as_mut().map(|meaning| std::mem::take(&mut meaning.nearly));
        let mut scores = first_pass.unwrap_or_else(|| vec![0.0; upto]);
        for (position, score) in scores.iter_mut().enumerate() {
            let place = self.meaning_at(position).map(|meaning| meaning.range.place(*score));
            let spoken_for = place.is_some() || self.lexical[position] > 0.0;
            *score = if spoken_for { self.score(position, place) } else { f32::NEG_INFINITY };
        }
        scores
    }

    /// A shared word, or a vector.
    #[cfg(test)]
    pub(super) fn is_spoken_for(&self, position: usize) -> bool {
        self.meaning_at(position).is_some() || self.lexical[position] > 0.0
    }

    /// None where the query or the entry has no vector.
    fn meaning_at(&self, position: usize) -> Option<&Meaning<'a>> {
        self.meaning.as_ref().filter(|_| self.index.vectors.has(position))
    }

    fn place(&self, position: usize) -> Option<f32> {
        self.meaning_at(position).map(|meaning| meaning.range.place(meaning.nearness(position)))
    }

    /// The whole score of an entry whose meaning has this place.
    pub(super) fn score(&self, position: usize, place: Option<f32>) -> f32 {
        let lexical = self.lexical[position];
        let relevance = match (place, &self.meaning) {
            (Some(place), _) => LEXICAL * lexical + SEMANTIC * place,
            (None, Some(_)) => LEXICAL * lexical + SEMANTIC * (USUAL + USUAL_OF_LEXICAL * lexical),
            (None, None) => lexical,
        };
        let Mark { speaker, asking, .. } = self.index.marks[position];
        relevance + self.speakers[usize::from(speaker)] - ASKING * f32::from(asking) / 255.0
    }

    fn hit(&self, position: usize, score: f32, current: Option<u8>) -> Hit {
        let mark = self.index.marks[position];
        let meaning = self.meaning_at(position);
        Hit {
            position,
            score,
            cosine: meaning.map(|meaning| meaning.vectors.exactly(&meaning.query, position)),
            bm25: self.words.score(position),
            speaker_named: self.speakers[usize::from(mark.speaker)] > 0.0,
            emotion_factor: emotion::factor(current, mark.emotion, mark.importance),
            moved_by_emotion: false,
        }
    }
}

/// What each speaker gains, by number; nobody, number 0, nothing.
fn gains(index: &Index, query: &Query, are_named: &[bool]) -> Vec<f32> {
    let names: Vec<_> = query
        .participants
        .iter()
        .zip(are_named)
        .filter(|(_, is_named)| **is_named)
        .map(|(name, _)| name.trim().to_lowercase())
        .collect();
    let gain = |speaker: &str| {
        if names.iter().any(|name| name == speaker) { SPEAKER } else { 0.0 }
    };
    std::iter::once(0.0).chain(index.speakers.iter().map(|speaker| gain(speaker))).collect()
}

/// How near the entries are in meaning.
struct Meaning<'a> {
    vectors: &'a Vectors,
    query: QueryVector,
    /// How many entries are searched.
    upto: usize,
    /// Cosines with the neighbours' share, from the first pass.
    nearly: Vec<f32>,
    /// Of the exact ones, over the entries that have vectors.
    range: Range,
    /// How far the place of an entry from the first pass can be from the exact one.
    error_of_place: f32,
}

impl<'a> Meaning<'a> {
    /// None where the query or all entries have no vector.
    fn of(vectors: &'a Vectors, query: Option<&[f32]>, upto: usize) -> Option<Self> {
        let query = vectors.query(query)?;
        let mut nearly = vectors.nearly(&query, upto);
        add_neighbours(&mut nearly);
        let error = vectors.error(&query) * (1.0 + 2.0 * NEIGHBOUR);
        let mut meaning = Self {
            vectors,
            query,
            upto,
            nearly,
            range: Range { least: 0.0, most: 0.0 },
            error_of_place: 0.0,
        };
        meaning.range = meaning.exact_range(error)?;
        meaning.error_of_place = meaning.range.share(error);
        Some(meaning)
    }

    /// Computes in full the nearness of those only that could be the least or the most.
    fn exact_range(&self, error: f32) -> Option<Range> {
        let all = || (0..self.nearly.len()).filter(|&position| self.vectors.has(position));
        let first = all().next()?;
        let (mut low, mut high) = (first, first);
        for position in all() {
            low = if self.nearly[position] < self.nearly[low] { position } else { low };
            high = if self.nearly[position] > self.nearly[high] { position } else { high };
        }
        let (least, most) = (self.nearness(low), self.nearness(high));
        let outside = |position: &usize| {
            let nearness = self.nearly[*position];
            nearness <= least + error || nearness >= most - error
        };
        let exact = |range: Range, position| range.with(self.nearness(position));
        Some(all().filter(outside).fold(Range::EMPTY, exact))
    }

    /// The cosine with the neighbours' share.
    fn nearness(&self, position: usize) -> f32 {
        let beside = position.saturating_sub(1)..(position + 2).min(self.upto);
        let share = |other| if other == position { 1.0 } else { NEIGHBOUR };
        beside.map(|other| share(other) * self.vectors.exactly(&self.query, other)).sum()
    }
}

/// Adds to each score a share of those beside it. In place: fresh memory costs as much as the rest.
fn add_neighbours(scores: &mut [f32]) {
    let mut before = 0.0;
    for position in 0..scores.len() {
        let own = scores[position];
        let after = scores.get(position + 1).copied().unwrap_or(0.0);
        scores[position] = own + NEIGHBOUR * (before + after);
        before = own;
    }
}
