//! What the embedded archive is searched in: words and vectors of all published chunks, in memory.
//!
//! A log: documents are added at the end, and those that go are only marked, until so many are gone
//! that the index is made anew. Of very many chunks a look at the signs of their vectors chooses which
//! are compared at all. Then scores are exact: a first pass reads the upper halves of the vectors and
//! bounds its error, and every chunk that could be among the nearest is compared in full.

use std::collections::HashMap;
use std::ops::Range;

use crate::archive::{DocumentId, Probe};
use crate::retrieval::{Found, Lexicon, QueryVector, Signs, Vectors, first_by, terms};

/// An index of at most so many rows is made anew as soon as a document is gone, a larger one when a
/// quarter of its rows are of such: they still count in BM25.
const SMALL: usize = 2_000;
/// So many rows are all compared with a query. Of more, one in [`SHARE_COMPARED`] is, by its signs.
/// Measured once on 18,495 real texts, such a share holds all of the nearest ten, and 996 in 1,000 of
/// the nearest fifty; `make bench-archive` measures it on 100,000 made ones.
const FEW: usize = 20_000;
const SHARE_COMPARED: usize = 30;
/// At least, for each that is wanted.
const FEWEST_COMPARED: usize = 10;
/// Chunks that are prepared together.
const PREPARED_TOGETHER: usize = 256;

#[derive(Debug)]
pub(super) struct Index {
    /// The archive's change that it shows.
    pub(super) change: i64,
    lexicon: Lexicon,
    meanings: Option<Meanings>,
    /// In the order of their rows.
    documents: Vec<Indexed>,
    by_id: HashMap<DocumentId, usize>,
    gone: usize,
}

#[derive(Debug)]
struct Indexed {
    id: DocumentId,
    number: i64,
    /// Its chunks' rows; a chunk's number is its place among them.
    rows: Range<usize>,
    is_gone: bool,
}

/// Every row's vector, twice: in full, and by its signs.
#[derive(Debug)]
struct Meanings {
    vectors: Vectors,
    signs: Signs,
}

/// What is looked for, in both forms.
struct Probed<'a> {
    query: QueryVector,
    vector: &'a [f32],
}

/// The nearest chunks.
pub(super) struct Nearest {
    pub(super) found: Vec<Near>,
    pub(super) most_bm25: f32,
}

/// A chunk that is near, as a [`Candidate`](crate::archive::Candidate) tells it.
pub(super) struct Near {
    pub(super) document: DocumentId,
    pub(super) number: i64,
    pub(super) index: usize,
    pub(super) cosine: Option<f32>,
    pub(super) bm25: f32,
}

/// Some of a document's chunks, ready to be added.
#[derive(Default)]
pub(super) struct Prepared(Vec<(Vec<String>, Vec<f32>)>);

impl Prepared {
    pub(super) fn push(&mut self, text: &str, vector: &[f32]) {
        self.0.push((terms(text), vector.to_vec()));
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() == PREPARED_TOGETHER
    }
}

impl Index {
    pub(super) fn empty() -> Self {
        Self {
            change: -1,
            lexicon: Lexicon::default(),
            meanings: None,
            documents: Vec::new(),
            by_id: HashMap::new(),
            gone: 0,
        }
    }

    /// Numbers of the documents it has and should not have.
    pub(super) fn superfluous(&self, published: &[(i64, DocumentId)]) -> Vec<i64> {
        let published: HashMap<_, _> = published.iter().map(|(number, id)| (number, id)).collect();
        let there = self.documents.iter().filter(|document| !document.is_gone);
        there
            .filter(|document| published.get(&document.number) != Some(&&document.id))
            .map(|document| document.number)
            .collect()
    }

    pub(super) fn has(&self, number: i64, id: &DocumentId) -> bool {
        self.by_id.get(id).is_some_and(|&place| self.documents[place].number == number)
    }

    /// The row at which the next document begins. What a failure left there counts as gone.
    pub(super) fn begin(&mut self) -> usize {
        let (shown, all) = (self.documents.last().map_or(0, |last| last.rows.end), self.rows());
        self.gone += all - shown;
        if all > shown {
            let id = DocumentId::of("");
            self.documents.push(Indexed { id, number: -1, rows: shown..all, is_gone: true });
        }
        all
    }

    /// Adds chunks to the document that is begun.
    pub(super) fn push(&mut self, prepared: Prepared) {
        for (terms, vector) in prepared.0 {
            self.lexicon.push(terms);
            let meanings = self.meanings.get_or_insert_with(|| Meanings::new(vector.len()));
            meanings.push(&vector);
        }
    }

    /// Shows the document that was begun at that row.
    pub(super) fn show(&mut self, number: i64, id: DocumentId, start: usize) {
        let rows = start..self.rows();
        self.by_id.insert(id.clone(), self.documents.len());
        self.documents.push(Indexed { id, number, rows, is_gone: false });
    }

    pub(super) fn take_away(&mut self, number: i64) {
        let there = |document: &&mut Indexed| document.number == number && !document.is_gone;
        if let Some(document) = self.documents.iter_mut().find(there) {
            document.is_gone = true;
            self.gone += document.rows.len();
            self.by_id.remove(&document.id);
        }
    }

    /// Whether it should be made anew.
    pub(super) fn is_worn(&self) -> bool {
        self.gone > 0 && (self.rows() <= SMALL || 4 * self.gone > self.rows())
    }

    fn rows(&self) -> usize {
        self.documents.last().map_or(0, |document| document.rows.end).max(self.lexicon.len())
    }

    /// The heap memory it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.lexicon.bytes()
            + self.meanings.as_ref().map_or(0, |it| it.vectors.bytes() + it.signs.bytes())
            + self.documents.capacity() * (size_of::<Indexed>() + 2 * size_of::<DocumentId>())
    }

    /// The nearest chunks by words, and the nearest by meaning.
    pub(super) fn nearest(&self, probe: &Probe) -> Nearest {
        let searched = self.searched(probe.within.as_deref());
        let words = self.lexicon.look_up(&terms(&probe.text), self.rows());
        let meaning = self.meanings.as_ref().zip(probe.meaning.as_ref());
        let meaning = meaning.and_then(|(meanings, meaning)| {
            let vector = meaning.vector.as_slice();
            Some((meanings, Probed { query: meanings.vectors.query(Some(vector))?, vector }))
        });
        let mut rows = nearest_by_words(&words, &searched, probe.limit);
        if let Some((meanings, probed)) = &meaning {
            rows.extend(meanings.nearest(probed, &searched, probe.limit));
        }
        rows.sort_unstable();
        rows.dedup();
        let near = |row: usize| {
            let document = self.document_of(row)?;
            Some(Near {
                document: document.id.clone(),
                number: document.number,
                index: row - document.rows.start,
                cosine: meaning.as_ref().map(|(it, probed)| it.vectors.exactly(&probed.query, row)),
                bm25: words.score(row),
            })
        };
        Nearest { found: rows.into_iter().filter_map(near).collect(), most_bm25: words.most() }
    }

    /// The rows that a search is about, as ranges in order.
    fn searched(&self, within: Option<&[DocumentId]>) -> Vec<Range<usize>> {
        let mut places: Vec<usize> = match within {
            Some(ids) => ids.iter().filter_map(|id| self.by_id.get(id).copied()).collect(),
            None => self.by_id.values().copied().collect(),
        };
        places.sort_unstable();
        places.dedup();
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for place in places {
            let rows = self.documents[place].rows.clone();
            match ranges.last_mut() {
                Some(last) if last.end == rows.start => last.end = rows.end,
                _ => ranges.push(rows),
            }
        }
        ranges
    }

    fn document_of(&self, row: usize) -> Option<&Indexed> {
        let after = self.documents.partition_point(|document| document.rows.start <= row);
        // Documents without chunks share their place with the next one.
        self.documents[..after].iter().rev().find(|document| document.rows.contains(&row))
    }
}

fn nearest_by_words(words: &Found<'_>, searched: &[Range<usize>], limit: usize) -> Vec<usize> {
    let mut scores = words.scores();
    // Where no word is found, and where nobody searches, there is nothing.
    let mut end = 0;
    for range in searched {
        scores[end..range.start].fill(0.0);
        end = range.end;
    }
    scores[end..].fill(0.0);
    for score in &mut scores {
        *score = if *score > 0.0 { *score } else { f32::NEG_INFINITY };
    }
    first_by(&scores, limit)
}

impl Meanings {
    fn new(dimensions: usize) -> Self {
        Self { vectors: Vectors::new(dimensions), signs: Signs::new(dimensions) }
    }

    fn push(&mut self, vector: &[f32]) {
        self.vectors.push(Some(vector), None);
        self.signs.push(vector);
    }

    /// The nearest rows. Of very many, only those are compared that a look at the signs passes on.
    fn nearest(&self, probe: &Probed<'_>, searched: &[Range<usize>], limit: usize) -> Vec<usize> {
        let all: usize = searched.iter().map(ExactSizeIterator::len).sum();
        let rows: Vec<usize> = if all <= FEW {
            searched.iter().cloned().flatten().collect()
        } else {
            let compared = (all / SHARE_COMPARED).max(FEWEST_COMPARED * limit);
            self.signs.nearest(probe.vector, searched, compared)
        };
        let nearly = self.vectors.nearly_of(&probe.query, &rows);
        let some = first_by(&nearly, limit);
        if some.len() < limit {
            return some.into_iter().map(|place| rows[place]).collect();
        }
        // No cosine of the first pass is further off than the error: whoever is further below the
        // last of some `limit` chunks can't be among the nearest.
        let exactly = |place: usize| self.vectors.exactly(&probe.query, rows[place]);
        let bar = some.into_iter().map(exactly).fold(f32::INFINITY, f32::min);
        let least = bar - self.vectors.error(&probe.query);
        let close = (0..rows.len()).filter(|&place| nearly[place] >= least);
        let close: Vec<(usize, f32)> = close.map(|place| (rows[place], exactly(place))).collect();
        let scores: Vec<f32> = close.iter().map(|(_, cosine)| *cosine).collect();
        first_by(&scores, limit).into_iter().map(|place| close[place].0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Meaning;

    const ROWS: u16 = 20_002;

    /// On a spiral, so that each has its own direction.
    fn vector(row: u16) -> Vec<f32> {
        let turn = f32::from(row + 1) * 0.01;
        (1..=64_u8).map(|at| (turn * f32::from(at).sqrt()).sin()).collect()
    }

    fn probe(vector: &[f32], within: Option<Vec<DocumentId>>) -> Probe {
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        let vector = vector.iter().map(|x| x / length).collect();
        let meaning = Some(Meaning { embedder: String::new(), vector });
        Probe { text: String::new(), meaning, within, limit: 1 }
    }

    fn add(index: &mut Index, number: i64, rows: Range<u16>) -> DocumentId {
        let id = DocumentId::of(&number.to_string());
        let start = index.begin();
        for row in rows {
            index.push(Prepared(vec![(Vec::new(), vector(row))]));
        }
        index.show(number, id.clone(), start);
        id
    }

    #[test]
    fn of_more_rows_than_are_all_compared_the_nearest_is_found_where_it_is_searched() {
        let mut index = Index::empty();
        let first = add(&mut index, 1, 0..10_001);
        let gone = add(&mut index, 2, 10_001..10_011);
        let last = add(&mut index, 3, 10_011..ROWS + 10);
        index.take_away(2);
        for row in [0, 5, 9_999, 10_000, 10_011, 15_000, ROWS + 9] {
            let (document, start) = if row < 10_001 { (&first, 0) } else { (&last, 10_011) };
            for within in [None, Some(vec![document.clone()])] {
                let found = index.nearest(&probe(&vector(row), within)).found;
                let [near] = found.as_slice() else { panic!("{} are found", found.len()) };
                assert_eq!((&near.document, near.index), (document, usize::from(row - start)));
                assert!(near.cosine.is_some_and(|cosine| cosine > 0.9999), "{:?}", near.cosine);
            }
        }
        let found = index.nearest(&probe(&vector(10_005), Some(vec![gone]))).found;
        assert!(found.is_empty());
    }
}
