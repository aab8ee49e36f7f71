//! Where each sentence of a shortened text comes from, through as many rounds as it went. Pure.

use std::collections::HashMap;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Account;

/// One sentence of a shortened text, `start..end` in bytes of that text, and what it was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SentenceOrigin {
    pub start: usize,
    pub end: usize,
    pub spans: Vec<Span>,
}

/// A stretch of a source, in bytes of its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// [`super::Source::id`]
    pub source: String,
    pub start: usize,
    pub end: usize,
}

impl SentenceOrigin {
    pub(super) fn new(place: Range<usize>, source: &str, from: Vec<Range<usize>>) -> Self {
        let span = |range: Range<usize>| Span {
            source: source.to_owned(),
            start: range.start,
            end: range.end,
        };
        Self { start: place.start, end: place.end, spans: from.into_iter().map(span).collect() }
    }

    /// The same sentence where it stands `by` bytes further on.
    pub(super) fn moved(mut self, by: usize) -> Self {
        self.start += by;
        self.end += by;
        self
    }

    /// Whether it is its one span, letter by letter.
    fn is_copy(&self) -> bool {
        self.spans.len() == 1 && self.spans[0].end - self.spans[0].start == self.end - self.start
    }
}

impl Account {
    /// The account as if made of what its sources were made of: `earlier` tells of a source's id
    /// where its sentences came from. Other sources stay as they are.
    #[must_use]
    pub fn traced(mut self, earlier: &HashMap<String, Vec<SentenceOrigin>>) -> Self {
        for sentence in &mut self.sentences {
            let mut spans: Vec<Span> = Vec::new();
            for span in std::mem::take(&mut sentence.spans) {
                match earlier.get(&span.source) {
                    Some(origins) => {
                        for deeper in through(&span, origins) {
                            if !spans.contains(&deeper) {
                                spans.push(deeper);
                            }
                        }
                    }
                    None => spans.push(span),
                }
            }
            sentence.spans = spans;
        }
        self
    }
}

/// What a stretch of an earlier text was made of.
fn through(span: &Span, origins: &[SentenceOrigin]) -> Vec<Span> {
    let first = origins.partition_point(|origin| origin.end <= span.start);
    let touched = origins[first..].iter().take_while(|origin| origin.start < span.end);
    let mut spans = Vec::new();
    for origin in touched {
        if origin.is_copy() {
            let whole = &origin.spans[0];
            let before = span.start.saturating_sub(origin.start);
            let after = origin.end.saturating_sub(span.end);
            let (start, end) = (whole.start + before, whole.end - after);
            spans.push(Span { source: whole.source.clone(), start, end });
        } else {
            spans.extend(origin.spans.iter().cloned());
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: usize, end: usize) -> Span {
        Span { source: "later".into(), start, end }
    }

    #[test]
    fn copies_are_traced_to_the_letter_and_retold_sentences_whole() {
        let origins = [
            SentenceOrigin::new(0..10, "source", vec![Range { start: 100, end: 110 }]),
            SentenceOrigin::new(11..20, "source", vec![Range { start: 200, end: 260 }]),
        ];
        let of = |start, end| -> Vec<_> {
            through(&span(start, end), &origins).iter().map(|s| (s.start, s.end)).collect()
        };
        assert_eq!(of(2, 8), [(102, 108)]);
        assert_eq!(of(0, 10), [(100, 110)]);
        assert_eq!(of(12, 15), [(200, 260)]);
        assert_eq!(of(5, 15), [(105, 110), (200, 260)]);
        assert_eq!(of(30, 40), []);
    }
}
