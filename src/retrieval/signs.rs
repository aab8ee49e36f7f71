//! The signs of vectors' components, one bit each, and how near a query is by them: fifteen times
//! smaller than the vectors in 16 bits, so that a first look at very many is cheap. What it passes on
//! is compared in full.
//!
//! A vector x of length one is about s / Σ|xᵢ|, where s are its signs, ±1: the multiple of them whose
//! product with x is right. So its product with a query q is about Σ qᵢsᵢ / Σ|xᵢ| (Gao and Long,
//! `RaBitQ`, 2024, without their rotation). The query's components are rounded to three bits and
//! a sign, which makes the sum one of counted bits.

use std::ops::Range;

use super::vectors::with_best_instructions;
use super::{grow, grow_by};

const BITS: usize = u64::BITS as usize;
/// Bits of a query's component, without its sign.
const PLANES: usize = 3;
/// The largest of them.
const LARGEST: f32 = 7.0;
/// Of 384 components.
const WORDS_OF_MINI_LM: usize = 6;
/// Scores are told apart by so many steps between -1 and 1.
const STEPS: usize = 2_048;

/// Signs of vectors of one length, in rows.
#[derive(Debug)]
pub struct Signs {
    /// Words of a row.
    words: usize,
    rows: Vec<u64>,
    /// For each row 1 / Σ|xᵢ|, for x at length one; 0 without a direction.
    scales: Vec<f32>,
}

/// A query in bits.
struct Query {
    /// For each word of a row, the signs there, and the components' bits, from the lowest.
    words: Vec<(u64, [u64; PLANES])>,
    /// Σ|qᵢ|, and what the lowest bit stands for.
    sum: f32,
    unit: f32,
}

impl Signs {
    /// For vectors of so many components.
    pub fn new(dimensions: usize) -> Self {
        let words = dimensions.div_ceil(BITS).max(1);
        Self { words, rows: Vec::new(), scales: Vec::new() }
    }

    pub fn push(&mut self, vector: &[f32]) {
        grow_by(&mut self.rows, self.words);
        self.rows.extend(bits(vector, self.words, |component| component > 0.0));
        let length = vector.iter().map(|component| component * component).sum::<f32>().sqrt();
        let sum: f32 = vector.iter().map(|component| component.abs()).sum();
        grow(&mut self.scales);
        self.scales.push(if sum > 0.0 { length / sum } else { 0.0 });
    }

    /// About `count` rows of those searched, in order, that are nearest to a query of length one by
    /// their signs; more where several are as near.
    pub fn nearest(&self, query: &[f32], searched: &[Range<usize>], count: usize) -> Vec<usize> {
        let query = Query::of(query, self.words);
        let mut steps = Vec::with_capacity(searched.iter().map(ExactSizeIterator::len).sum());
        let mut histogram = vec![0_usize; STEPS + 1];
        for range in searched {
            let before = steps.len();
            self.look(&query, range, &mut steps);
            for step in &steps[before..] {
                histogram[usize::from(*step)] += 1;
            }
        }
        let mut so_far = 0;
        let enough = histogram.iter().rposition(|rows| {
            so_far += rows;
            so_far >= count
        });
        let enough = enough.unwrap_or(0);
        let rows = searched.iter().cloned().flatten().zip(steps);
        rows.filter(|(_, step)| usize::from(*step) >= enough).map(|(row, _)| row).collect()
    }

    /// Appends how near rows are, in steps.
    fn look(&self, query: &Query, rows: &Range<usize>, steps: &mut Vec<u16>) {
        let cells = self.rows.get(rows.start * self.words..rows.end * self.words);
        let scales = self.scales.get(rows.clone()).unwrap_or_default();
        let cells = cells.unwrap_or_default();
        with_best_instructions(|| {
            // A loop whose length is known is none.
            if let Some(words) = query.words.as_array::<WORDS_OF_MINI_LM>() {
                let rows = cells.as_chunks::<WORDS_OF_MINI_LM>().0.iter().zip(scales);
                steps.extend(rows.map(|(row, scale)| query.step(differing(row, words), *scale)));
            } else {
                let (rows, words) = (cells.chunks_exact(self.words).zip(scales), &query.words);
                steps.extend(rows.map(|(row, scale)| query.step(differing(row, words), *scale)));
            }
        });
    }

    /// The heap memory it takes.
    pub fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<u64>() + self.scales.capacity() * size_of::<f32>()
    }
}

impl Query {
    fn of(vector: &[f32], words: usize) -> Self {
        let largest = vector.iter().fold(0.0_f32, |most, component| most.max(component.abs()));
        let unit = if largest > 0.0 { largest / LARGEST } else { 1.0 };
        let whole = |component: f32| (component.abs() / unit).round();
        let plane = |plane: usize| {
            let bit = (1_u32 << plane) as f32;
            bits(vector, words, move |component| (whole(component) / bit) % 2.0 >= 1.0)
        };
        let signs = bits(vector, words, |component| component > 0.0);
        let planes: [Vec<u64>; PLANES] = std::array::from_fn(|at| plane(at).collect());
        let words =
            signs.enumerate().map(|(at, signs)| (signs, planes.each_ref().map(|it| it[at])));
        let sum = vector.iter().map(|component| whole(*component)).sum::<f32>() * unit;
        Self { words: words.collect(), sum, unit }
    }

    /// The step of a row whose differing signs weigh so much.
    fn step(&self, differing: u32, scale: f32) -> u16 {
        let near = (self.sum - 2.0 * self.unit * differing as f32) * scale;
        whole((near + 1.0) * (STEPS / 2) as f32)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a step")]
fn whole(step: f32) -> u16 {
    step.clamp(0.0, STEPS as f32) as u16
}

/// The sum of the query's components, in units, where its signs differ from the row's.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled within the dispatch")]
fn differing(row: &[u64], query: &[(u64, [u64; PLANES])]) -> u32 {
    let word = |(row, (signs, planes)): (&u64, &(u64, [u64; PLANES]))| {
        let differing = row ^ signs;
        let plane = |(at, plane): (usize, &u64)| (differing & plane).count_ones() << at;
        planes.iter().enumerate().map(plane).sum::<u32>()
    };
    row.iter().zip(query).map(word).sum()
}

/// A bit is set where `is_set` says so of a component.
fn bits(vector: &[f32], words: usize, is_set: impl Fn(f32) -> bool) -> impl Iterator<Item = u64> {
    (0..words).map(move |word| {
        let components = vector.iter().skip(word * BITS).take(BITS).enumerate();
        components
            .fold(0, |bits, (place, component)| bits | (u64::from(is_set(*component)) << place))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unit(vector: Vec<f32>) -> Vec<f32> {
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
        vector.into_iter().map(|x| x / length).collect()
    }

    /// By the formula, the query's components in three bits and a sign.
    fn near(vector: &[f32], query: &[f32]) -> f32 {
        let unit = query.iter().fold(0.0_f32, |most, x| most.max(x.abs())) / LARGEST;
        let sum: f32 = vector.iter().map(|x| x.abs()).sum();
        let rounded = query.iter().map(|q| (q / unit).round() * unit);
        let signed = vector.iter().zip(rounded).map(|(x, q)| if *x > 0.0 { q } else { -q });
        signed.sum::<f32>() / sum
    }

    fn vectors(dimensions: usize, most: usize) -> impl Strategy<Value = Vec<Vec<f32>>> {
        let vector = proptest::collection::vec(-1_f32..1.0, dimensions).prop_map(unit);
        proptest::collection::vec(vector, 1..most)
    }

    proptest! {
        #[test]
        fn those_that_are_nearest_by_their_signs_are_found(
            (vectors, query) in proptest::sample::select(vec![70_usize, 384])
                .prop_flat_map(|it| (vectors(it, 40), vectors(it, 2))),
            count in 1_usize..12,
            from in 0_usize..20,
        ) {
            let (query, dimensions) = (&query[0], query[0].len());
            let mut signs = Signs::new(dimensions);
            for vector in &vectors {
                signs.push(vector);
            }
            let from = from.min(vectors.len());
            let found = signs.nearest(query, std::slice::from_ref(&(from..vectors.len())), count);
            prop_assert!(found.len() >= count.min(vectors.len() - from));
            let least = found.iter().map(|&row| near(&vectors[row], query)).reduce(f32::min);
            for row in (from..vectors.len()).filter(|row| !found.contains(row)) {
                let (near, step) = (near(&vectors[row], query), 2.0 / STEPS as f32);
                prop_assert!(least.is_some_and(|least| near <= least + step + 1e-5));
            }
        }
    }

    #[test]
    fn a_vector_is_nearest_to_itself() {
        let mut signs = Signs::new(384);
        let component = |row: u16, at: u16| f32::from((row * 31 + at * 7 + row * at) % 97) - 48.0;
        let vector = |row| unit((0..384).map(|at| component(row, at)).collect());
        let vectors: Vec<Vec<f32>> = (0..50).map(vector).collect();
        for vector in &vectors {
            signs.push(vector);
        }
        signs.push(&[0.0; 384]);
        for (row, vector) in vectors.iter().enumerate() {
            assert_eq!(signs.nearest(vector, std::slice::from_ref(&(0..51)), 1), [row]);
        }
    }
}
