//! The entries' vectors, 16 bits a component in two planes of 8: the upper halves lie together, so
//! that a first pass reads no more than them. All sums of products are of whole numbers, hence the
//! same on every processor; the lower halves' share is at most |query| · |lower| (Cauchy and
//! Schwarz), which bounds the error of the first pass.

use half::f16;

use super::{grow, grow_by};

/// The largest component in whole numbers: 127 in the upper half, nothing in the lower.
const LARGEST: f64 = 127.0 * 256.0;
/// Length of a query in whole numbers. Its products with a row of upper or lower halves stay below
/// 2^31, by Cauchy and Schwarz, up to 250,000 components.
const QUERY_LENGTH: f64 = 32_000.0;
/// Longer vectors count as missing.
const MOST_DIMENSIONS: usize = 250_000;
/// More than `f32` can lose between the two passes.
const ROUNDING: f32 = 1e-5;

#[derive(Debug)]
pub struct Vectors {
    dimensions: usize,
    upper: Vec<i8>,
    lower: Vec<i8>,
    /// What a whole number stands for, divided by the length of a query; 0 where there is no vector.
    scales: Vec<f32>,
    /// No row of lower halves is longer than this, in the unit of `scales`. May be too large after
    /// entries were cut off: it is a bound.
    longest_lower: f32,
}

/// A query in whole numbers.
pub struct QueryVector(Vec<i16>);

impl Vectors {
    pub fn new(dimensions: usize) -> Self {
        let dimensions = if dimensions <= MOST_DIMENSIONS { dimensions } else { 0 };
        let (upper, lower, scales) = (Vec::new(), Vec::new(), Vec::new());
        Self { dimensions, upper, lower, scales, longest_lower: 0.0 }
    }

    pub fn push(&mut self, turn: Option<&[f32]>, window: Option<&[f32]>) {
        let row = self.scales.len();
        grow(&mut self.scales);
        self.scales.push(0.0);
        for plane in [&mut self.upper, &mut self.lower] {
            grow_by(plane, self.dimensions);
            plane.resize(plane.len() + self.dimensions, 0);
        }
        self.set(row, turn, window);
    }

    /// Stores the mean of the two, as its product with a query is the mean of both products; or the
    /// one that there is.
    pub fn set(&mut self, row: usize, turn: Option<&[f32]>, window: Option<&[f32]>) {
        if row >= self.scales.len() {
            return;
        }
        let mean = match (self.unit(turn), self.unit(window)) {
            (Some(turn), Some(window)) => {
                turn.iter().zip(&window).map(|(a, b)| f64::midpoint(*a, *b)).collect()
            }
            (Some(vector), None) | (None, Some(vector)) => vector,
            (None, None) => return,
        };
        let largest = mean.iter().fold(0.0_f64, |most, component| most.max(component.abs()));
        if largest < f64::from(f32::EPSILON) {
            // Turn and window point in opposite directions: they say nothing together.
            return;
        }
        let cells = row * self.dimensions..(row + 1) * self.dimensions;
        let planes = self.upper[cells.clone()].iter_mut().zip(&mut self.lower[cells]);
        let mut squares = 0.0;
        for (component, (upper, lower)) in mean.iter().zip(planes) {
            (*upper, *lower) = halves(component / largest * LARGEST);
            squares += f64::from(*lower).powi(2);
        }
        let scale = as_f32(largest / LARGEST / QUERY_LENGTH);
        self.scales[row] = scale;
        self.longest_lower = self.longest_lower.max(as_f32(squares.sqrt()) * scale);
    }

    pub fn has(&self, row: usize) -> bool {
        self.scales.get(row).is_some_and(|scale| *scale > 0.0)
    }

    pub fn truncate(&mut self, len: usize) {
        self.scales.truncate(len);
        self.upper.truncate(len * self.dimensions);
        self.lower.truncate(len * self.dimensions);
    }

    pub fn query(&self, vector: Option<&[f32]>) -> Option<QueryVector> {
        let unit = self.unit(vector)?;
        Some(QueryVector(unit.iter().map(|component| whole(component * QUERY_LENGTH)).collect()))
    }

    /// Cosines with the first `upto` entries, read from the upper halves; 0 for those without a
    /// vector.
    pub fn nearly(&self, query: &QueryVector, upto: usize) -> Vec<f32> {
        let mut cosines = vec![0.0; upto];
        with_best_instructions(|| {
            let rows = self.upper.chunks_exact(self.dimensions).zip(&self.scales);
            for (cosine, (upper, scale)) in cosines.iter_mut().zip(rows) {
                *cosine = coarse(query, upper, *scale);
            }
        });
        cosines
    }

    /// The same for these entries alone.
    pub fn nearly_of(&self, query: &QueryVector, rows: &[usize]) -> Vec<f32> {
        with_best_instructions(|| {
            let cosine = |&row: &usize| {
                let cells = row * self.dimensions..(row + 1) * self.dimensions;
                coarse(query, &self.upper[cells], self.scales[row])
            };
            rows.iter().map(cosine).collect()
        })
    }

    /// How far a cosine of [`nearly`](Self::nearly) can be from that of [`exactly`](Self::exactly).
    pub fn error(&self, query: &QueryVector) -> f32 {
        let squares: f64 = query.0.iter().map(|component| f64::from(*component).powi(2)).sum();
        as_f32(squares.sqrt()) * self.longest_lower + ROUNDING
    }

    /// The cosine with one entry; 0 without a vector.
    pub fn exactly(&self, query: &QueryVector, row: usize) -> f32 {
        let cells = row * self.dimensions..(row + 1) * self.dimensions;
        let (upper, lower) = with_best_instructions(|| {
            (dot(&query.0, &self.upper[cells.clone()]), dot(&query.0, &self.lower[cells]))
        });
        let whole = 256 * i64::from(upper) + i64::from(lower);
        as_f32(whole as f64 * f64::from(self.scales[row]))
    }

    /// The heap memory it takes.
    pub fn bytes(&self) -> usize {
        self.upper.capacity() + self.lower.capacity() + self.scales.capacity() * size_of::<f32>()
    }

    /// The vector at length one; none if it has the wrong number of components or no direction.
    fn unit(&self, vector: Option<&[f32]>) -> Option<Vec<f64>> {
        let vector = vector.filter(|vector| vector.len() == self.dimensions)?;
        let length = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        // Not a number is neither.
        let sound = length > f64::from(f32::MIN_POSITIVE) && length.is_finite();
        sound.then(|| vector.iter().map(|&x| f64::from(x) / length).collect())
    }
}

/// A vector as it is stored: in half precision, as a cosine then differs in the fourth place only.
pub fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect()
}

/// What [`bytes`] stored.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    let (values, _) = bytes.as_chunks::<2>();
    values.iter().map(|value| f16::from_le_bytes(*value).to_f32()).collect()
}

/// Runs a loop with this processor's wider instructions (AVX2), in builds for any processor, too.
pub(super) fn with_best_instructions<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if let Some(instructions) = pulp::x86::V3::try_new() {
        return instructions.vectorize(work);
    }
    work()
}

/// A cosine by the upper halves alone.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled within the dispatch")]
fn coarse(query: &QueryVector, upper: &[i8], scale: f32) -> f32 {
    256.0 * dot(&query.0, upper) as f32 * scale
}

/// Plain, so that the compiler can make the most of whatever instructions there are.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled within the dispatch")]
fn dot(query: &[i16], row: &[i8]) -> i32 {
    query.iter().zip(row).map(|(&q, &r)| i32::from(q) * i32::from(r)).sum()
}

/// x = 256 · upper + lower, rounded.
fn halves(x: f64) -> (i8, i8) {
    let x = whole(x.clamp(-LARGEST, LARGEST));
    let [lower, _] = x.to_le_bytes();
    let lower = lower.cast_signed();
    let [upper, _] = ((x - i16::from(lower)) >> 8).to_le_bytes();
    (upper.cast_signed(), lower)
}

#[expect(clippy::cast_possible_truncation, reason = "callers stay within ±32,512; `as` saturates")]
fn whole(x: f64) -> i16 {
    x.round() as i16
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "cosines and scales have few digits that count"
)]
fn as_f32(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn halves_make_the_whole(x in -32_512_i16..=32_512) {
            let (upper, lower) = halves(x.into());
            prop_assert_eq!(256 * i32::from(upper) + i32::from(lower), i32::from(x));
        }

        #[test]
        fn cosines_are_right_to_four_digits_and_the_first_pass_within_its_bound(
            turn in proptest::collection::vec(-1_f32..1.0, 24),
            window in proptest::collection::vec(-1_f32..1.0, 24),
            query in proptest::collection::vec(-1_f32..1.0, 24),
        ) {
            let cosine = |a: &[f32], b: &[f32]| {
                let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
                dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
            };
            let mut vectors = Vectors::new(24);
            vectors.push(Some(&turn), Some(&window));
            let in_numbers = vectors.query(Some(&query)).unwrap();
            let exactly = vectors.exactly(&in_numbers, 0);
            let truth = f32::midpoint(cosine(&query, &turn), cosine(&query, &window));
            prop_assert!((exactly - truth).abs() < 1e-4, "{} is not {}", exactly, truth);
            let off = (vectors.nearly(&in_numbers, 1)[0] - exactly).abs();
            prop_assert!(off <= vectors.error(&in_numbers), "off by {}", off);
        }
    }

    #[test]
    fn the_first_pass_is_off_by_little_but_not_by_nothing() {
        let component = |n: usize| (n as f32 * 0.7).sin();
        let vector: Vec<f32> = (0..384).map(component).collect();
        let mut vectors = Vectors::new(384);
        vectors.push(Some(&vector), None);
        let query = vectors.query(Some(&vector)).unwrap();
        assert!((vectors.exactly(&query, 0) - 1.0).abs() < 1e-4);
        assert!(vectors.nearly(&query, 1)[0] < 1.0 || vectors.nearly(&query, 1)[0] > 1.0);
        assert!(vectors.error(&query) < 0.01, "{}", vectors.error(&query));
    }

    #[test]
    fn vectors_without_direction_count_as_missing() {
        let mut vectors = Vectors::new(2);
        for vector in [&[0.0, 0.0][..], &[f32::NAN, 1.0], &[f32::INFINITY, 1.0], &[1.0], &[]] {
            vectors.push(Some(vector), None);
            assert!(vectors.query(Some(vector)).is_none());
        }
        vectors.push(Some(&[1.0, 0.0]), Some(&[-1.0, 0.0]));
        vectors.push(Some(&[f32::MAX, f32::MAX]), Some(&[f32::NAN, 0.0]));
        vectors.push(None, Some(&[1e-20, 0.0]));
        let has: Vec<_> = (0..9).map(|row| vectors.has(row)).collect();
        assert_eq!(has, [false, false, false, false, false, false, true, true, false]);
    }
}
