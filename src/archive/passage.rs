//! What a search finds.

use std::ops::Range;
use std::sync::Arc;

use super::document::{Document, DocumentId};
use super::filter::Filter;

/// What to search for.
#[derive(Clone, Debug)]
pub struct Search {
    pub query: String,
    /// Most passages to answer with.
    pub max_results: usize,
    pub filter: Filter,
}

/// A piece of a document that was found: a chunk, or chunks lying one after the other.
#[derive(Clone, Debug)]
pub struct Passage {
    pub document: Arc<Document>,
    /// The chunks it is made of.
    pub chunks: Range<usize>,
    /// The chunk that was found first.
    pub best_chunk: usize,
    pub text: String,
    /// Where it lies in the document, in characters.
    pub characters: Range<usize>,
    /// The heading of the part of the document it begins in.
    pub section: Option<String>,
    /// The cosine of the nearest chunk with the query; `None` where meaning wasn't compared.
    pub cosine: Option<f32>,
    /// BM25 of the chunk that has most of the query's words.
    pub bm25: f32,
    /// Words and meaning together, 0 to 1; scores of different searches can be compared.
    pub score: f32,
    /// The sentence that is nearest to the query, in characters of the document: in meaning, or,
    /// where that wasn't compared, in words.
    pub sentence: Option<Range<usize>>,
    /// The query's words in that passage, in characters of the document.
    pub words: Vec<Range<usize>>,
}

impl Passage {
    /// 1 / (1 + d), where d is the squared Euclidean distance of the two vectors of length one,
    /// 2 − 2 · cosine; rounded to four digits. 0 where meaning wasn't compared.
    pub fn similarity(&self) -> f64 {
        let Some(cosine) = self.cosine else { return 0.0 };
        let distance = (2.0 - 2.0 * f64::from(cosine)).max(0.0);
        (10_000.0 / (1.0 + distance)).round() / 10_000.0
    }

    pub fn id(&self) -> &DocumentId {
        &self.document.id
    }
}
