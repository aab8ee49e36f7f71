//! The sentences of a chunk and their vectors: a query about one moment is nearer to a sentence than
//! to the page it stands on. Pure.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

/// Only so many sentences of a chunk count, the first ones.
const MOST: usize = 64;
/// Sentences with fewer letters say nothing.
const FEWEST_LETTERS: usize = 3;

/// Most marks and spaces in a row after a full stop that are seen as what they are.
const MOST_MARKS: usize = 64;

/// Where the sentences of a chunk lie, in bytes, without the white space around them.
pub(super) fn sentences(text: &str) -> Vec<Range<usize>> {
    with_sentences(text, |sentences| sentences.collect())
}

/// Where one of them lies.
pub(super) fn sentence(text: &str, number: usize) -> Option<Range<usize>> {
    with_sentences(text, |sentences| sentences.nth(number))
}

fn with_sentences<T>(
    text: &str,
    work: impl FnOnce(&mut dyn Iterator<Item = Range<usize>>) -> T,
) -> T {
    let flowing = without_endless_marks(without_single_line_ends(text));
    let trimmed = flowing.split_sentence_bound_indices().map(|(start, sentence)| {
        let sentence = &text[start..start + sentence.len()];
        let start = start + (sentence.len() - sentence.trim_start().len());
        start..start + sentence.trim().len()
    });
    let says_something = |place: &Range<usize>| {
        let letters = text[place.clone()].chars().filter(|letter| letter.is_alphanumeric());
        letters.take(FEWEST_LETTERS).count() == FEWEST_LETTERS
    };
    work(&mut trimmed.filter(says_something).take(MOST))
}

/// The text, of the same length: Unicode ends a sentence at every line's end, and a line that was
/// broken to fit a page ends none.
fn without_single_line_ends(text: &str) -> String {
    let mut flowing = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut before = '\n';
    while let Some(letter) = letters.next() {
        let is_single = letter == '\n' && before != '\n' && letters.peek() != Some(&'\n');
        flowing.push(if is_single { ' ' } else { letter });
        before = letter;
    }
    flowing
}

/// Where Unicode ends the sentences of a text: each goes up to the next, in bytes.
pub(super) fn sentence_ends(text: &str) -> Vec<usize> {
    let seen = without_endless_marks(text.to_owned());
    seen.split_sentence_bound_indices().map(|(start, sentence)| start + sentence.len()).collect()
}

/// The text, of the same length, with a letter in a row of marks and spaces after a full stop that is
/// too long: at each of them Unicode's rules look ahead for the letter that goes on, so without one
/// they would look at a long row as often as it is long.
pub(super) fn without_endless_marks(text: String) -> String {
    if !has_endless_marks(&text) {
        return text;
    }
    let mut row = RowOfMarks::default();
    let seen = |letter: char| if row.is_one_too_many(letter) { as_long(letter) } else { letter };
    text.chars().map(seen).collect()
}

fn has_endless_marks(text: &str) -> bool {
    let mut row = RowOfMarks::default();
    text.chars().any(|letter| row.is_one_too_many(letter))
}

/// Marks and spaces in a row since a full stop; none before there was one.
#[derive(Default)]
struct RowOfMarks(Option<usize>);

impl RowOfMarks {
    fn is_one_too_many(&mut self, letter: char) -> bool {
        self.0 = match letter {
            '.' | '\u{2024}' | '\u{fe52}' | '\u{ff0e}' => Some(0),
            '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => None,
            letter if letter.is_alphanumeric() => None,
            _ => self.0.map(|count| count + 1),
        };
        let is_one_too_many = self.0.is_some_and(|count| count > MOST_MARKS);
        // The letter ends the row.
        self.0 = self.0.filter(|_| !is_one_too_many);
        is_one_too_many
    }
}

/// A letter of as many bytes.
fn as_long(letter: char) -> char {
    match letter.len_utf8() {
        1 => 'X',
        2 => 'É',
        3 => '夢',
        _ => '𠀀',
    }
}

/// The directions of a chunk's sentences, in 8 bits a component; cosines with them are right to two
/// digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SentenceVectors {
    dimensions: usize,
    bytes: Vec<u8>,
}

impl SentenceVectors {
    /// Of vectors of one length.
    pub fn of(vectors: &[Vec<f32>]) -> Self {
        let dimensions = vectors.first().map_or(0, Vec::len);
        let mut bytes = Vec::with_capacity(vectors.len() * dimensions);
        for vector in vectors.iter().filter(|vector| vector.len() == dimensions) {
            let largest = vector.iter().fold(0.0_f32, |most, component| most.max(component.abs()));
            let scale = if largest > 0.0 && largest.is_finite() { largest / 127.0 } else { 1.0 };
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
        self.bytes.len().checked_div(self.dimensions).unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The nearest sentence's number and its cosine with a query of length one; the first of equals.
    /// `None` without sentences, or where the query has another length.
    pub(super) fn nearest(&self, query: &[f32]) -> Option<(usize, f32)> {
        if query.len() != self.dimensions || query.is_empty() {
            return None;
        }
        let vectors = self.bytes.chunks_exact(self.dimensions);
        let cosines = vectors.map(|vector| cosine(query, vector)).enumerate();
        cosines.reduce(|best, next| if next.1 > best.1 { next } else { best })
    }
}

/// With a vector as it is stored; 0 where that has no direction.
fn cosine(query: &[f32], stored: &[u8]) -> f32 {
    let components = stored.iter().map(|byte| f32::from(byte.cast_signed()));
    let (product, square) =
        query.iter().zip(components).fold((0.0, 0.0), |(product, square): (f32, f32), (q, o)| {
            (product + q * o, square + o * o)
        });
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
        let text = "\n “Off with her head!” she\ncried. …  Oh! Nobody moved.\n\nThe End";
        let shown: Vec<_> = sentences(text).into_iter().map(|place| &text[place]).collect();
        // Only a full stop lets a sentence go on with a small letter.
        let sentences = ["“Off with her head!”", "she\ncried.", "Nobody moved.", "The End"];
        assert_eq!(shown, sentences);
    }

    #[test]
    fn a_long_row_of_marks_costs_its_length() {
        let marks = ["(", ") ", "\u{301}", "“", "🦀", " "].map(|mark| mark.repeat(400_000));
        for marks in marks {
            let text = format!("It ended.{marks}Oh no.\n\nIt began. {marks}.");
            assert_eq!(without_endless_marks(text.clone()).len(), text.len());
            assert_eq!(
                sentences(&text).last().map(|last| &text[last.clone()][..8]),
                Some("It began")
            );
            assert_eq!(sentence_ends(&text).last(), Some(&text.len()));
        }
        let usual = format!("It ended.” ({}) And so on... {}", "x ".repeat(200), "* ".repeat(31));
        assert_eq!(without_endless_marks(usual.clone()), usual);
    }

    fn unit(vector: Vec<f32>) -> Vec<f32> {
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
        vector.into_iter().map(|x| x / length).collect()
    }

    proptest! {
        #[test]
        fn the_nearest_is_found_and_its_cosine_is_right(
            vectors in proptest::collection::vec(proptest::collection::vec(-1_f32..1.0, 16), 1..8),
            query in proptest::collection::vec(-1_f32..1.0, 16),
        ) {
            let query = unit(query);
            let stored = SentenceVectors::of(&vectors);
            let stored = SentenceVectors::from_bytes(stored.bytes().to_vec(), 16);
            prop_assert_eq!(stored.len(), vectors.len());
            let (nearest, cosine) = stored.nearest(&query).unwrap();
            let truth = |vector: &Vec<f32>| -> f32 {
                query.iter().zip(unit(vector.clone())).map(|(a, b)| a * b).sum()
            };
            let best = vectors.iter().map(truth).fold(f32::NEG_INFINITY, f32::max);
            prop_assert!((cosine - best).abs() < 0.02, "{} is not {}", cosine, best);
            prop_assert!((cosine - truth(&vectors[nearest])).abs() < 0.02);
        }
    }

    #[test]
    fn nothing_comes_of_nothing() {
        assert_eq!(SentenceVectors::of(&[]).nearest(&[1.0]), None);
        assert_eq!(SentenceVectors::of(&[]).nearest(&[]), None);
        let stored = SentenceVectors::of(&[vec![0.0, 0.0]]);
        assert_eq!(stored.nearest(&[1.0, 0.0]), Some((0, 0.0)));
        assert_eq!(stored.nearest(&[1.0]), None);
    }
}
