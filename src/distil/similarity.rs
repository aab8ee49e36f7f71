//! How alike texts are: by their vectors where there is an embedder, else by the words they share.

use std::collections::HashMap;
use std::ops::Range;

use super::facts::{is_function_word, words};
use crate::embedding::Embedder;

/// More sentences than this are compared by their words: embedding them would take minutes.
const MOST_EMBEDDED: usize = 400;

/// What comparisons were made with; part of what names a cached text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Embedded,
    Lexical,
}

/// The vectors of some texts, all of length one (or zero, of a text without words).
pub(super) enum Vectors {
    Dense(Vec<Vec<f32>>),
    Sparse(Vec<Vec<(usize, f32)>>),
}

impl Vectors {
    /// Blocking and busy with an embedder. One that fails is done without.
    pub(super) fn of(texts: &[&str], embedder: Option<&dyn Embedder>) -> Self {
        if let Some(embedder) = embedder.filter(|_| texts.len() <= MOST_EMBEDDED) {
            match embedder.embed(texts) {
                Ok(vectors) if vectors.len() == texts.len() => return Self::Dense(vectors),
                Ok(_) => {}
                Err(error) => tracing::debug!("sentences are compared by their words: {error}"),
            }
        }
        Self::lexical(texts)
    }

    /// Term frequencies of words that say something.
    fn lexical(texts: &[&str]) -> Self {
        let mut numbers = HashMap::new();
        let vector = |text: &&str| {
            let mut terms: HashMap<usize, f32> = HashMap::new();
            for word in words(text).into_iter().filter(|word| !is_function_word(&word.key)) {
                let next = numbers.len();
                *terms.entry(*numbers.entry(word.key).or_insert(next)).or_default() += 1.0;
            }
            let length = terms.values().map(|count| count * count).sum::<f32>().sqrt();
            let mut vector: Vec<_> =
                terms.into_iter().map(|(term, count)| (term, count / length)).collect();
            vector.sort_unstable_by_key(|(term, _)| *term);
            vector
        };
        Self::Sparse(texts.iter().map(vector).collect())
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Dense(_) => Kind::Embedded,
            Self::Sparse(_) => Kind::Lexical,
        }
    }

    pub(super) fn cosine(&self, a: usize, b: usize) -> f32 {
        match self {
            Self::Dense(vectors) => dot(&vectors[a], &vectors[b]),
            Self::Sparse(vectors) => sparse_dot(&vectors[a], &vectors[b]),
        }
    }

    /// How much each text is like all of them, 0 to 1: its mean cosine, which is its product with
    /// the sum of all, so that the time is linear.
    pub(super) fn centrality(&self) -> Vec<f64> {
        let raw: Vec<f64> = match self {
            Self::Dense(vectors) => {
                let mut sum = vec![0.0; vectors.first().map_or(0, Vec::len)];
                for vector in vectors {
                    for (total, component) in sum.iter_mut().zip(vector) {
                        *total += component;
                    }
                }
                vectors.iter().map(|vector| dot(vector, &sum).into()).collect()
            }
            Self::Sparse(vectors) => {
                let mut sum: HashMap<usize, f32> = HashMap::new();
                for (term, weight) in vectors.iter().flatten() {
                    *sum.entry(*term).or_default() += weight;
                }
                let like_all = |vector: &Vec<(usize, f32)>| {
                    vector.iter().map(|(term, weight)| f64::from(weight * sum[term])).sum()
                };
                vectors.iter().map(like_all).collect()
            }
        };
        let least = raw.iter().copied().fold(f64::INFINITY, f64::min);
        let most = raw.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let spread = (most - least).max(f64::EPSILON);
        raw.iter().map(|value| (value - least) / spread).collect()
    }

    /// The texts among `candidates` that are most like this one, best first: one, or two where the
    /// second is nearly as like; none if nothing is.
    pub(super) fn nearest(&self, text: usize, candidates: Range<usize>) -> Vec<usize> {
        const NEARLY: f32 = 0.9;
        const ALIKE: f32 = 0.5;
        let least = match self.kind() {
            Kind::Embedded => 0.15,
            Kind::Lexical => 0.0,
        };
        let (mut best, mut second) = ((f32::MIN, 0), (f32::MIN, 0));
        for candidate in candidates {
            let cosine = (self.cosine(text, candidate), candidate);
            if cosine.0 > best.0 {
                (best, second) = (cosine, best);
            } else if cosine.0 > second.0 {
                second = cosine;
            }
        }
        let mut nearest = Vec::new();
        if best.0 > least {
            nearest.push(best.1);
            if second.0 >= ALIKE && second.0 >= NEARLY * best.0 {
                nearest.push(second.1);
            }
        }
        nearest
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn sparse_dot(a: &[(usize, f32)], b: &[(usize, f32)]) -> f32 {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut sum = 0.0;
    while let (Some((term_a, weight_a)), Some((term_b, weight_b))) = (a.peek(), b.peek()) {
        match term_a.cmp(term_b) {
            std::cmp::Ordering::Less => drop(a.next()),
            std::cmp::Ordering::Greater => drop(b.next()),
            std::cmp::Ordering::Equal => {
                sum += weight_a * weight_b;
                a.next();
                b.next();
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_words_make_texts_alike() {
        let vectors = Vectors::of(&["the king slept", "the king woke", "rain and the wind"], None);
        assert!(vectors.cosine(0, 1) > vectors.cosine(0, 2));
        assert_eq!(vectors.nearest(0, 1..3), [1]);
        assert_eq!(vectors.nearest(2, 0..2), [0; 0]);
    }

    #[test]
    fn the_most_central_is_like_the_others() {
        let texts = ["red gate", "red gate and old door", "old door", "fog"];
        let centrality = Vectors::of(&texts, None).centrality();
        assert!(centrality[1] >= centrality[0] && centrality[3] < 1e-9, "{centrality:?}");
    }

    #[test]
    fn texts_without_words_are_like_nothing() {
        let vectors = Vectors::of(&["", "...", "word"], None);
        assert_eq!(vectors.nearest(0, 1..3), [0; 0]);
        assert!(vectors.centrality().iter().all(|value| value.is_finite()));
    }
}
