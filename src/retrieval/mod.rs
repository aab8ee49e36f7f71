//! What finding texts is made of: terms and BM25 over them, vectors and exact cosines, and scores of
//! different kinds brought together. Pure: no I/O, no clock, no model.

mod bm25;
mod lexicon;
mod scores;
mod signs;
mod stop_words;
mod vectors;
mod words;

pub use bm25::{MOST_SATURATED, idf, saturated};
pub use lexicon::{Found, Lexicon};
pub use scores::{Range, first_by};
pub use signs::Signs;
pub use stop_words::is_stop_word;
pub use vectors::{QueryVector, Vectors, bytes, floats};
pub use words::{places, terms};

/// Makes room for one more, at little cost in memory: lists here are long and live long.
pub fn grow<T>(list: &mut Vec<T>) {
    grow_by(list, 1);
}

fn grow_by<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() - list.len() < more {
        list.reserve_exact(more.max(list.len() / 8));
    }
}
