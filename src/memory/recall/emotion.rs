//! A memory of the present feeling comes to mind first: score × (1 + importance × 0.3). It reorders
//! hits within steps, and crosses none: what is among the best 5 without emotion is so with it, and
//! so for the best 10, 20, 40 and on, and for the whole list. Whoever asks for no more than 5 has
//! one step.

use super::Hit;

/// What emotion adds to the score of an important memory, as a share of it.
const WEIGHT: f32 = 0.3;
/// Hits in the first step; each later step doubles the count so far.
const FIRST_STEP: usize = 5;

/// By what the score of a memory is multiplied.
pub(super) fn factor(current: Option<u8>, remembered: Option<u8>, importance: f32) -> f32 {
    if current.is_some() && current == remembered { 1.0 + importance * WEIGHT } else { 1.0 }
}

/// Puts hits, which come best first, in the order of their score times their factor.
pub(super) fn reorder(hits: &mut [Hit]) {
    let before: Vec<_> = hits.iter().map(|hit| hit.position).collect();
    let (mut start, mut end) = (0, FIRST_STEP);
    while start < hits.len() {
        let step = end.min(hits.len());
        // Stable: equals stay as they were.
        hits[start..step].sort_by(|a, b| felt(b).total_cmp(&felt(a)));
        (start, end) = (step, 2 * end);
    }
    for (hit, position) in hits.iter_mut().zip(before) {
        hit.moved_by_emotion = hit.position != position;
    }
}

/// A score below zero rises, too.
fn felt(hit: &Hit) -> f32 {
    hit.score + hit.score.abs() * (hit.emotion_factor - 1.0)
}
