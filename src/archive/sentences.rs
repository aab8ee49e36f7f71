//! The sentences of a chunk and their vectors: a query about one moment is nearer to a sentence than
//! to the page it stands on. Pure.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

/// Only so many sentences of a chunk count, the first ones.
const MOST: usize = 64;
/// Sentences with fewer letters say nothing.
const FEWEST_LETTERS: usize = 3;
/// Sentences that are looked at together at most.
const LONGEST_RUN: usize = 3;
/// Bytes before a vector's components: their scale.
const SCALE_BYTES: usize = 4;

/// Where the sentences of a chunk lie, in bytes, without the white space around them.
pub(super) fn sentences(text: &str) -> Vec<Range<usize>> {
    let trimmed = text.split_sentence_bound_indices().map(|(start, sentence)| {
        let start = start + (sentence.len() - sentence.trim_start().len());
        start..start + sentence.trim().len()
    });
    let says_something = |place: &Range<usize>| {
        let letters = text[place.clone()].chars().filter(|letter| letter.is_alphanumeric());
        letters.take(FEWEST_LETTERS).count() == FEWEST_LETTERS
    };
    trimmed.filter(says_something).take(MOST).collect()
}

/// The vectors of a chunk's sentences, in 8 bits a component, each with its scale before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SentenceVectors {
    dimensions: usize,
    bytes: Vec<u8>,
}

/// How near a query is to a chunk's sentences.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Nearness {
    /// The highest cosines with one sentence, with two and with three in a row; where there are
    /// fewer, that with all.
    pub(super) cosines: [f32; LONGEST_RUN],
    /// The nearest sentence's number.
    pub(super) nearest: usize,
}

impl SentenceVectors {
    /// Of vectors of one length.
    pub fn of(vectors: &[Vec<f32>]) -> Self {
        let dimensions = vectors.first().map_or(0, Vec::len);
        let mut bytes = Vec::with_capacity(vectors.len() * (SCALE_BYTES + dimensions));
        for vector in vectors.iter().filter(|vector| vector.len() == dimensions) {
            let largest = vector.iter().fold(0.0_f32, |most, component| most.max(component.abs()));
            let scale = if largest > 0.0 && largest.is_finite() { largest / 127.0 } else { 1.0 };
            bytes.extend(scale.to_le_bytes());
            bytes.extend(vector.iter().map(|component| in_eight_bits(component / scale)));
        }
        Self { dimensions, bytes }
    }

    /// What [`Self::bytes`] gave, for vectors of that many components.
    pub fn from_bytes(bytes: Vec<u8>, dimensions: usize) -> Self {
        Self { dimensions, bytes }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn len(&self) -> usize {
        self.bytes.len() / (SCALE_BYTES + self.dimensions)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn vectors(&self) -> Vec<Vec<f32>> {
        self.bytes.chunks_exact(SCALE_BYTES + self.dimensions).map(vector).collect()
    }

    /// `None` without sentences, or where the query has another length.
    pub(super) fn nearness(&self, query: &[f32]) -> Option<Nearness> {
        if query.len() != self.dimensions || self.is_empty() {
            return None;
        }
        let vectors = self.vectors();
        let mut cosines = [f32::NEG_INFINITY; LONGEST_RUN];
        let mut nearest = 0;
        for first in 0..vectors.len() {
            let mut sum = vec![0.0; self.dimensions];
            for (more, vector) in vectors[first..].iter().take(LONGEST_RUN).enumerate() {
                for (total, component) in sum.iter_mut().zip(vector) {
                    *total += component;
                }
                let cosine = cosine(query, &sum);
                if cosine > cosines[more] {
                    cosines[more] = cosine;
                    nearest = if more == 0 { first } else { nearest };
                }
            }
        }
        // Runs that are longer than the chunk: all of it is the longest there is.
        for more in 1..LONGEST_RUN {
            if cosines[more] < -1.0 {
                cosines[more] = cosines[more - 1];
            }
        }
        Some(Nearness { cosines, nearest })
    }
}

fn vector(bytes: &[u8]) -> Vec<f32> {
    let (scale, components) = bytes.split_at(SCALE_BYTES);
    let scale = scale.try_into().map_or(0.0, f32::from_le_bytes);
    components.iter().map(|byte| f32::from(byte.cast_signed()) * scale).collect()
}

/// Of a vector of length one with any other; 0 where that has no direction.
fn cosine(query: &[f32], other: &[f32]) -> f32 {
    let (product, square) = query
        .iter()
        .zip(other)
        .fold((0.0, 0.0), |(product, square), (q, o)| (product + q * o, square + o * o));
    if square > 0.0 { product / square.sqrt() } else { 0.0 }
}

#[expect(clippy::cast_possible_truncation, reason = "it is between -127 and 127; `as` saturates")]
fn in_eight_bits(x: f32) -> u8 {
    (x.round() as i8).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sentences_lie_where_they_stand() {
        let text = "\n “Off with her head!” she cried. …  Oh! Nobody moved.\n\nThe End";
        let shown: Vec<_> = sentences(text).into_iter().map(|place| &text[place]).collect();
        assert_eq!(shown, ["“Off with her head!” she cried.", "Nobody moved.", "The End"]);
    }

    fn unit(vector: Vec<f32>) -> Vec<f32> {
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
        vector.into_iter().map(|x| x / length).collect()
    }

    proptest! {
        #[test]
        fn cosines_are_those_of_the_best_runs(
            vectors in proptest::collection::vec(proptest::collection::vec(-1_f32..1.0, 16), 1..8),
            query in proptest::collection::vec(-1_f32..1.0, 16),
        ) {
            let vectors: Vec<_> = vectors.into_iter().map(unit).collect();
            let query = unit(query);
            let stored = SentenceVectors::of(&vectors);
            let stored = SentenceVectors::from_bytes(stored.bytes().to_vec(), 16);
            prop_assert_eq!(stored.len(), vectors.len());
            let nearness = stored.nearness(&query).unwrap();
            for run in 1..=3_usize {
                let best = vectors.windows(run.min(vectors.len())).map(|run| {
                    let sum = (0..16).map(|at| run.iter().map(|vector| vector[at]).sum()).collect();
                    cosine(&query, &unit(sum))
                });
                let best = best.fold(f32::NEG_INFINITY, f32::max);
                prop_assert!((nearness.cosines[run - 1] - best).abs() < 0.03);
            }
            let single = cosine(&query, &vectors[nearness.nearest]);
            prop_assert!((single - nearness.cosines[0]).abs() < 0.03);
        }
    }

    #[test]
    fn nothing_comes_of_nothing() {
        assert_eq!(SentenceVectors::of(&[]).nearness(&[1.0]), None);
        let stored = SentenceVectors::of(&[vec![0.0, 0.0]]);
        assert_eq!(stored.nearness(&[1.0, 0.0]).unwrap().cosines[0].to_bits(), 0);
        assert_eq!(stored.nearness(&[1.0]), None);
    }
}
