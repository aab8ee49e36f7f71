//! BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance Framework" (2009): the sum over a
//! query's terms of [`idf`] · [`saturated`].

/// How soon repetitions stop to count.
const K1: f32 = 0.9;
/// How much long texts pay for their length.
const B: f32 = 0.4;
/// What [`saturated`] comes near to where a term is repeated without end.
pub const MOST_SATURATED: f32 = K1 + 1.0;

/// How much a term says that `holding` of `all` texts hold: ln(1 + (n − df + 0.5) / (df + 0.5)).
pub fn idf(all: usize, holding: usize) -> f32 {
    let (all, holding) = (all.max(holding) as f32, holding as f32);
    (1.0 + (all - holding + 0.5) / (holding + 0.5)).ln()
}

/// What a term counts for that a text holds `count` times; `length` is the text's in terms, as a share
/// of the mean length.
pub fn saturated(count: f32, length: f32) -> f32 {
    count * MOST_SATURATED / (count + K1 * (1.0 - B + B * length))
}
