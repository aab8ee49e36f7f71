//! Lists of scores: their range, and the largest of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The least and the most of some numbers.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub least: f32,
    pub most: f32,
}

impl Range {
    pub const EMPTY: Self = Self { least: f32::INFINITY, most: f32::NEG_INFINITY };

    pub fn of(scores: &[f32]) -> Self {
        // In lanes, as one chain of comparisons would wait for itself.
        let mut lanes = [Self::EMPTY; 16];
        for scores in scores.chunks(lanes.len()) {
            for (lane, score) in lanes.iter_mut().zip(scores) {
                *lane = lane.with(*score);
            }
        }
        lanes.into_iter().fold(Self::EMPTY, |range, lane| Self {
            least: range.least.min(lane.least),
            most: range.most.max(lane.most),
        })
    }

    #[must_use]
    pub fn with(self, score: f32) -> Self {
        Self { least: self.least.min(score), most: self.most.max(score) }
    }

    /// 0 for the least and 1 for the most; 0 for all where all are the same.
    pub fn place(self, score: f32) -> f32 {
        self.share(score - self.least)
    }

    pub fn share(self, difference: f32) -> f32 {
        if self.most > self.least { difference / (self.most - self.least) } else { 0.0 }
    }
}

/// Where the `count` largest scores stand, in no order. Those that are -∞ don't count.
pub fn first_by(scores: &[f32], count: usize) -> Vec<usize> {
    let mut largest = BinaryHeap::with_capacity(count.min(scores.len()) + 1);
    let mut least = f32::NEG_INFINITY;
    for (position, &score) in scores.iter().enumerate() {
        if score > least {
            largest.push(Reverse((Ordered(score), position)));
            if largest.len() > count {
                largest.pop();
            }
            if largest.len() == count {
                least = largest.peek().map_or(least, |Reverse((last, _))| last.0);
            }
        }
    }
    largest.into_iter().map(|Reverse((_, position))| position).collect()
}

#[derive(Clone, Copy, Debug)]
struct Ordered(f32);

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ordered {}
