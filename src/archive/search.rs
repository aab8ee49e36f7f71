//! Search: the nearest chunks by words and by meaning, put in order, neighbours merged, and what was
//! found marked in the text.
//!
//! A chunk's meaning is the mean of two cosines with the query: that of the whole chunk, and that of
//! its nearest sentence. Its words are its BM25 as a share of what that could come to at most for this
//! query. So a score says the same in every search. The weights were measured on paraphrased sentences
//! of novels (`make bench-archive`), where this finds more than scores that are spread over the
//! candidates (min-max).

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::document::{Chunk, Document, DocumentId, joined};
use super::ingest::off_thread;
use super::passage::{Passage, Search};
use super::sentences::{sentence, sentence_ends};
use super::store::{Candidate, Candidates, Meaning, Probe, Run};
use super::{Archive, ArchiveError};
use crate::retrieval::{places, terms};

/// Weights of the words and of the meaning; together 1.
const LEXICAL: f32 = 0.17;
const SEMANTIC: f32 = 0.83;
/// Candidates of each kind for every passage that is asked for, and at least.
const CANDIDATES_A_RESULT: usize = 5;
const FEWEST_CANDIDATES: usize = 50;
/// Chunks that become one passage at most.
const MOST_MERGED: usize = 4;

impl Archive {
    /// The passages that fit best, best first.
    pub async fn search(&self, search: &Search) -> Result<Vec<Passage>, ArchiveError> {
        search.filter.check()?;
        if search.max_results == 0 {
            return Ok(Vec::new());
        }
        let within = if search.filter.is_empty() {
            None
        } else {
            let documents = self.documents(&search.filter).await?;
            if documents.is_empty() {
                return Ok(Vec::new());
            }
            Some(documents.iter().map(|document| document.id.clone()).collect())
        };
        let probe = Probe {
            text: search.query.clone(),
            meaning: self.meaning(&search.query).await?,
            within,
            limit: FEWEST_CANDIDATES.max(search.max_results * CANDIDATES_A_RESULT),
        };
        let candidates = self.inner.store.candidates(&probe).await?;
        let (meaning, max_results) = (probe.meaning, search.max_results);
        let found =
            off_thread(move || merged(scored(candidates, meaning.as_ref()), max_results)).await?;
        let ids: HashSet<DocumentId> = found.iter().map(|it| it.document.clone()).collect();
        let ids: Vec<DocumentId> = ids.into_iter().collect();
        let documents = self.inner.store.of_ids(&ids).await?;
        let runs: Vec<Run> = found.iter().map(Merged::run).collect();
        let runs = self.inner.store.runs(&runs).await?;
        off_thread(move || passages(found, &documents, runs, &probe.text)).await
    }

    /// None where the embedder can't be loaded: words alone decide then.
    async fn meaning(&self, query: &str) -> Result<Option<Meaning>, ArchiveError> {
        let (embedder, query) = (Arc::clone(&self.inner.embedder), query.to_owned());
        off_thread(move || match embedder.embed(&[&query]) {
            Ok(mut vectors) => {
                vectors.pop().map(|vector| Meaning { embedder: embedder.id().to_owned(), vector })
            }
            Err(error) => {
                tracing::warn!("the archive is searched by words only: {error}");
                None
            }
        })
        .await
    }
}

/// What was found, with its text. What has just gone is left out.
fn passages(
    found: Vec<Merged>,
    documents: &[Arc<Document>],
    runs: Vec<Vec<Chunk>>,
    query: &str,
) -> Vec<Passage> {
    let documents: HashMap<&DocumentId, &Arc<Document>> =
        documents.iter().map(|document| (&document.id, document)).collect();
    let wanted: HashSet<String> = terms(query).into_iter().collect();
    let passage = |(found, chunks): (Merged, Vec<Chunk>)| {
        let document = Arc::clone(documents.get(&found.document)?);
        passage(document, found, &chunks, &wanted)
    };
    found.into_iter().zip(runs).filter_map(passage).collect()
}

fn passage(
    document: Arc<Document>,
    found: Merged,
    chunks: &[Chunk],
    wanted: &HashSet<String>,
) -> Option<Passage> {
    let text = joined(chunks);
    let char_start = chunks.first()?.char_start;
    let marks = Marks::of(&text, wanted);
    let at = |range: Range<usize>| char_start + range.start..char_start + range.end;
    let best = chunks.iter().find(|chunk| chunk.index == found.best_chunk);
    let nearest = best.zip(found.nearest).and_then(|(chunk, nearest)| {
        let place = sentence(&chunk.text, nearest)?;
        let Range { start, end } = InCharacters::of(&chunk.text).range(place);
        Some(chunk.char_start + start..chunk.char_start + end)
    });
    Some(Passage {
        section: document.section_at(char_start).map(|section| section.title.clone()),
        characters: char_start..char_start + text.chars().count(),
        chunks: found.chunks,
        best_chunk: found.best_chunk,
        cosine: found.cosine,
        bm25: found.bm25,
        score: found.score,
        sentence: nearest.or_else(|| marks.sentence().map(at)),
        words: marks.words().map(at).collect(),
        document,
        text,
    })
}

/// A chunk and how well it fits.
#[derive(Clone, Debug)]
struct Scored {
    document: DocumentId,
    index: usize,
    cosine: Option<f32>,
    bm25: f32,
    /// The number of the sentence that is nearest in meaning.
    nearest: Option<usize>,
    score: f32,
}

impl Scored {
    fn of(candidate: Candidate, most_bm25: f32, meaning: Option<&Meaning>) -> Self {
        let Candidate { document, index, cosine, bm25, sentences } = candidate;
        let words = if most_bm25 > 0.0 { bm25 / most_bm25 } else { 0.0 };
        let sentence = meaning.and_then(|meaning| sentences.nearest(&meaning.vector));
        let score = match (cosine, sentence) {
            (Some(chunk), Some((_, sentence))) => {
                SEMANTIC * f32::midpoint(chunk, sentence) + LEXICAL * words
            }
            (Some(chunk), None) => SEMANTIC * chunk + LEXICAL * words,
            (None, _) => words,
        };
        let nearest = sentence.map(|(nearest, _)| nearest);
        // Opposite meanings are no nearer than strange ones.
        Self { document, index, cosine, bm25, nearest, score: score.max(0.0) }
    }
}

/// Candidates with their scores, best first; in one order, whatever order they came in.
fn scored(candidates: Candidates, meaning: Option<&Meaning>) -> Vec<Scored> {
    let Candidates { found, most_bm25 } = candidates;
    let score = |candidate| Scored::of(candidate, most_bm25, meaning);
    let mut scored: Vec<Scored> = found.into_iter().map(score).collect();
    scored.sort_by(|a, b| {
        let place = |it: &Scored| (it.document.clone(), it.index);
        b.score.total_cmp(&a.score).then_with(|| place(a).cmp(&place(b)))
    });
    scored
}

/// Chunks that lie one after the other.
#[derive(Clone, Debug, PartialEq)]
struct Merged {
    document: DocumentId,
    chunks: Range<usize>,
    best_chunk: usize,
    /// The sentence of the best chunk that is nearest in meaning.
    nearest: Option<usize>,
    cosine: Option<f32>,
    bm25: f32,
    score: f32,
}

impl Merged {
    fn of(Scored { document, index, cosine, bm25, nearest, score }: Scored) -> Self {
        let chunks = index..index + 1;
        Self { document, chunks, best_chunk: index, nearest, cosine, bm25, score }
    }

    fn run(&self) -> Run {
        Run { document: self.document.clone(), chunks: self.chunks.clone() }
    }

    fn touches(&self, other: &Self) -> bool {
        let (first, second) = (&self.chunks, &other.chunks);
        let is_beside = first.end == second.start || second.end == first.start;
        self.document == other.document && is_beside && first.len() + second.len() <= MOST_MERGED
    }

    /// Takes in one that is no better.
    fn take_in(&mut self, other: &Self) {
        let (start, end) = (self.chunks.start, self.chunks.end);
        self.chunks = start.min(other.chunks.start)..end.max(other.chunks.end);
        self.cosine = match (self.cosine, other.cosine) {
            (Some(one), Some(two)) => Some(one.max(two)),
            (one, two) => one.or(two),
        };
        self.bm25 = self.bm25.max(other.bm25);
    }
}

/// The first passages, neighbours in one. A chunk that would make a passage too many ends the list.
fn merged(scored: Vec<Scored>, max_results: usize) -> Vec<Merged> {
    let mut passages: Vec<Merged> = Vec::new();
    for chunk in scored {
        let chunk = Merged::of(chunk);
        let Some(place) = passages.iter().position(|passage| passage.touches(&chunk)) else {
            if passages.len() == max_results {
                break;
            }
            passages.push(chunk);
            continue;
        };
        passages[place].take_in(&chunk);
        // It may have filled the gap between two.
        let grown = passages[place].clone();
        let other = passages.iter().skip(place + 1).position(|passage| passage.touches(&grown));
        if let Some(other) = other {
            let other = passages.remove(place + 1 + other);
            passages[place].take_in(&other);
        }
    }
    passages
}

/// The query's words in a text.
struct Marks<'a> {
    text: &'a str,
    in_characters: InCharacters,
    /// In bytes, in the order of the text, each with its term.
    found: Vec<(Range<usize>, String)>,
}

impl<'a> Marks<'a> {
    fn of(text: &'a str, wanted: &HashSet<String>) -> Self {
        let found = places(text, wanted).collect();
        Self { text, in_characters: InCharacters::of(text), found }
    }

    /// Where they stand, in characters.
    fn words(&self) -> impl Iterator<Item = Range<usize>> {
        self.found.iter().map(|(bytes, _)| self.in_characters.range(bytes.clone()))
    }

    /// The sentence that has most of them, in characters; of equals the first.
    fn sentence(&self) -> Option<Range<usize>> {
        if self.found.is_empty() {
            return None;
        }
        // Words and sentences both come in the order of the text.
        let mut words = self.found.iter().peekable();
        let mut start = 0;
        let sentences = sentence_ends(self.text).into_iter().map(|end| {
            let bytes = start..start + self.text[start..end].trim_end().len();
            start = end;
            let mut terms = HashSet::new();
            while let Some((_, term)) = words.next_if(|(place, _)| place.start < end) {
                terms.insert(term);
            }
            (terms.len(), bytes)
        });
        let best = sentences.reduce(|best, next| if next.0 > best.0 { next } else { best });
        best.map(|(_, bytes)| self.in_characters.range(bytes))
    }
}

/// Turns places in bytes into places in characters.
struct InCharacters(Vec<usize>);

impl InCharacters {
    fn of(text: &str) -> Self {
        Self(text.char_indices().map(|(start, _)| start).collect())
    }

    fn range(&self, bytes: Range<usize>) -> Range<usize> {
        let place = |byte| self.0.partition_point(|&start| start < byte);
        place(bytes.start)..place(bytes.end)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sentences::SentenceVectors;
    use super::*;

    fn candidate(document: &str, cosine: Option<f32>, bm25: f32) -> Candidate {
        let (document, sentences) = (DocumentId::of(document), SentenceVectors::default());
        Candidate { document, index: 0, cosine, bm25, sentences }
    }

    fn scores(found: Vec<Candidate>, meaning: Option<&Meaning>) -> Vec<(DocumentId, f32)> {
        let scored = scored(Candidates { found, most_bm25: 8.0 }, meaning);
        scored.into_iter().map(|it| (it.document, it.score)).collect()
    }

    #[test]
    fn words_and_meaning_are_weighed_whatever_else_was_found() {
        let meaning = Meaning { embedder: "of a test".to_owned(), vector: vec![1.0, 0.0] };
        let sentences = SentenceVectors::of(&[vec![0.6, 0.8], vec![0.0, 1.0], vec![1.0, 0.0]]);
        let near = Candidate { sentences, ..candidate("a", Some(0.4), 0.0) };
        let found = scores(vec![candidate("b", Some(0.6), 8.0), near], Some(&meaning));
        // Its third sentence is the query itself.
        let expected = [("b", SEMANTIC * 0.6 + LEXICAL), ("a", SEMANTIC * f32::midpoint(0.4, 1.0))];
        for ((id, score), (document, expected)) in found.iter().zip(expected) {
            assert_eq!(*id, DocumentId::of(document));
            assert!((score - expected).abs() < 0.01, "{score} is not {expected}");
        }
    }

    #[test]
    fn without_meaning_words_alone_decide() {
        let found = scores(vec![candidate("a", None, 1.0), candidate("b", None, 4.0)], None);
        assert_eq!(found, [(DocumentId::of("b"), 0.5), (DocumentId::of("a"), 0.125)]);
    }

    fn ranked(places: &[(&str, usize)]) -> Vec<Scored> {
        let place = |(rank, (document, index)): (usize, &(&str, usize))| Scored {
            document: DocumentId::of(document),
            index: *index,
            cosine: None,
            bm25: 0.0,
            nearest: None,
            score: 1.0 / (rank + 1) as f32,
        };
        places.iter().enumerate().map(place).collect()
    }

    fn ranges(passages: &[Merged]) -> Vec<(Range<usize>, usize)> {
        passages.iter().map(|passage| (passage.chunks.clone(), passage.best_chunk)).collect()
    }

    #[test]
    fn neighbours_of_one_document_become_one_passage() {
        let found = merged(ranked(&[("a", 3), ("b", 4), ("a", 5), ("a", 4), ("b", 9)]), 10);
        assert_eq!(ranges(&found), [(3..6, 3), (4..5, 4), (9..10, 9)]);
        assert!((found[0].score - 1.0).abs() < f32::EPSILON);
    }

    #[test]
    fn passages_grow_only_so_far_and_are_only_so_many() {
        let in_a_row: Vec<_> = (0..9).map(|index| ("a", index)).collect();
        let found = merged(ranked(&in_a_row), 10);
        assert_eq!(ranges(&found), [(0..4, 0), (4..8, 4), (8..9, 8)]);
        let found = merged(ranked(&[("a", 1), ("a", 7), ("a", 2), ("b", 0), ("a", 8)]), 2);
        assert_eq!(ranges(&found), [(1..3, 1), (7..8, 7)]);
    }

    #[test]
    fn the_querys_words_are_marked_in_characters() {
        let text = "Élan vital — so it went. The Cats were hunting mice. A cat slept.";
        let wanted = |query: &str| terms(query).into_iter().collect();
        let marks = Marks::of(text, &wanted("who hunts cats?"));
        let letters: Vec<char> = text.chars().collect();
        let shown = |range: &Range<usize>| letters[range.clone()].iter().collect::<String>();
        let words: Vec<_> = marks.words().map(|range| shown(&range)).collect();
        assert_eq!(words, ["Cats", "hunting", "cat"]);
        assert_eq!(shown(&marks.sentence().unwrap()), "The Cats were hunting mice.");
        assert!(Marks::of(text, &wanted("dogs")).sentence().is_none());
    }
}
