//! What was made of one text or a part of it, before it has a name and an account. Pure.

use std::ops::Range;

use super::check::Checked;
use super::extract::{Limit, extract};
use super::reading::{Reading, joined, share};
use super::similarity::{Kind, Vectors};
use super::{Account, Distilled, Method, SentenceOrigin, Source};
use crate::embedding::Embedder;
use crate::tokens::{TokenCount, TokenCounter};

pub(super) struct Made {
    pub(super) text: String,
    pub(super) tokens: TokenCount,
    /// Each sentence's place in the text, and where in the source it comes from.
    pub(super) origins: Vec<(Range<usize>, Vec<Range<usize>>)>,
    pub(super) method: Method,
    pub(super) quality: f64,
    pub(super) degraded: Option<String>,
}

impl From<Checked> for Made {
    fn from(checked: Checked) -> Self {
        Self {
            text: checked.text,
            tokens: checked.tokens,
            origins: checked.origins,
            method: if checked.repaired { Method::Repaired } else { Method::Model },
            quality: checked.quality,
            degraded: None,
        }
    }
}

impl Made {
    /// Some of the text's own sentences, and what they were compared by. Blocking and busy with an
    /// embedder.
    pub(super) fn extracted(
        text: &str,
        target: TokenCount,
        limit: Limit,
        embedder: Option<&dyn Embedder>,
        counter: &dyn TokenCounter,
    ) -> (Self, Kind) {
        let reading = Reading::of(text, counter);
        let slices: Vec<&str> = reading.slices().collect();
        let vectors = Vectors::of(&slices, embedder);
        let centrality = vectors.centrality();
        let mut aim = target;
        let mut pieces = extract(&reading, &centrality, aim, limit, counter);
        let (mut shorter, mut places) = joined(text, &pieces);
        let mut tokens = counter.count(&shorter);
        // Pieces counted together can take some tokens more than counted one by one.
        while limit == Limit::Hard && tokens > target && !pieces.is_empty() {
            aim = aim - (tokens - target);
            pieces = extract(&reading, &centrality, aim, limit, counter);
            (shorter, places) = joined(text, &pieces);
            tokens = counter.count(&shorter);
        }
        let quality = share(&reading.covered_by(&shorter));
        let origins = places.into_iter().zip(pieces.into_iter().map(|piece| vec![piece])).collect();
        let made = Self {
            text: shorter,
            tokens,
            origins,
            method: Method::Extractive,
            quality,
            degraded: None,
        };
        (made, vectors.kind())
    }

    /// What was made of the parts of a text, as one; each part with its place in the text.
    pub(super) fn of_parts(
        text: &str,
        parts: Vec<(Range<usize>, Self)>,
        counter: &dyn TokenCounter,
    ) -> Self {
        let mut whole = Self {
            text: String::new(),
            tokens: TokenCount::ZERO,
            origins: Vec::new(),
            method: Method::Model,
            quality: 1.0,
            degraded: None,
        };
        for (place, part) in parts {
            if !whole.text.is_empty() && !part.text.is_empty() {
                whole.text.push('\n');
            }
            let moved = |range: &Range<usize>, by| range.start + by..range.end + by;
            let by = whole.text.len();
            whole.origins.extend(part.origins.iter().map(|(at, from)| {
                (moved(at, by), from.iter().map(|range| moved(range, place.start)).collect())
            }));
            whole.text.push_str(&part.text);
            whole.method = whole.method.max(part.method);
            whole.degraded = whole.degraded.or(part.degraded);
        }
        whole.tokens = counter.count(&whole.text);
        whole.quality = share(&Reading::of(text, counter).covered_by(&whole.text));
        whole
    }

    pub(super) fn accounted(self, source: &Source) -> Distilled {
        let sentences = self
            .origins
            .into_iter()
            .map(|(place, from)| SentenceOrigin::new(place, &source.id, from))
            .collect();
        let account = Account {
            strategy: source.strategy,
            method: self.method,
            ratio: self.tokens.get() as f64 / source.tokens.get().max(1) as f64,
            quality: self.quality,
            degraded: self.degraded,
            cached: false,
            depth: 1,
            sentences,
        };
        Distilled { text: self.text, tokens: self.tokens, account }
    }
}
