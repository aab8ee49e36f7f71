//! The signs of vectors' components, one bit each: who has many signs in common with a query is likely
//! to be near it. Thirty-two times smaller than the vectors, so that a first look at very many is
//! cheap; what it passes on is compared in full.

use std::ops::Range;

use super::grow_by;

const BITS: usize = u64::BITS as usize;

/// Signs of vectors of one length, in rows.
#[derive(Debug)]
pub struct Signs {
    /// Words of a row.
    words: usize,
    rows: Vec<u64>,
}

impl Signs {
    /// For vectors of so many components.
    pub fn new(dimensions: usize) -> Self {
        Self { words: dimensions.div_ceil(BITS).max(1), rows: Vec::new() }
    }

    pub fn push(&mut self, vector: &[f32]) {
        grow_by(&mut self.rows, self.words);
        self.rows.extend(signs(vector, self.words));
    }

    /// About `count` rows of those searched that differ from the vector in the fewest signs, in order;
    /// more where several differ in as many.
    pub fn nearest(&self, vector: &[f32], searched: &[Range<usize>], count: usize) -> Vec<usize> {
        let query: Vec<u64> = signs(vector, self.words).collect();
        let most = self.words * BITS;
        let mut differing = Vec::new();
        let mut histogram = vec![0_usize; most + 1];
        for range in searched {
            let cells = range.start * self.words..range.end * self.words;
            for row in self.rows.get(cells).unwrap_or_default().chunks_exact(self.words) {
                let bits: u32 = row.iter().zip(&query).map(|(a, b)| (a ^ b).count_ones()).sum();
                histogram[bits as usize] += 1;
                differing.push(bits);
            }
        }
        let mut so_far = 0;
        let enough = histogram.iter().position(|rows| {
            so_far += rows;
            so_far >= count
        });
        let enough = u32::try_from(enough.unwrap_or(most)).unwrap_or(u32::MAX);
        let rows = searched.iter().cloned().flatten().zip(differing);
        rows.filter(|(_, bits)| *bits <= enough).map(|(row, _)| row).collect()
    }

    /// The heap memory it takes.
    pub fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<u64>()
    }
}

/// A bit is set where a component is above zero.
fn signs(vector: &[f32], words: usize) -> impl Iterator<Item = u64> {
    (0..words).map(move |word| {
        let components = vector.iter().skip(word * BITS).take(BITS).enumerate();
        components.fold(0, |bits, (place, component)| bits | (u64::from(*component > 0.0) << place))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn those_that_differ_least_are_found(
            vectors in proptest::collection::vec(proptest::collection::vec(-1_f32..1.0, 70), 1..40),
            query in proptest::collection::vec(-1_f32..1.0, 70),
            count in 1_usize..12,
            from in 0_usize..20,
        ) {
            let mut signs = Signs::new(70);
            for vector in &vectors {
                signs.push(vector);
            }
            let from = from.min(vectors.len());
            let found = signs.nearest(&query, std::slice::from_ref(&(from..vectors.len())), count);
            prop_assert!(found.len() >= count.min(vectors.len() - from));
            let differing = |row: usize| {
                let pairs = vectors[row].iter().zip(&query);
                pairs.filter(|(a, b)| (**a > 0.0) != (**b > 0.0)).count()
            };
            let furthest = found.iter().map(|&row| differing(row)).max().unwrap_or(0);
            for row in from..vectors.len() {
                prop_assert!(found.contains(&row) || differing(row) > furthest);
            }
        }
    }
}
