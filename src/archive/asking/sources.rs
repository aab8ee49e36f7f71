//! Finds what a question is answered from: passages by search, whole documents where detail is wanted,
//! those of the question before where it goes on.

use std::ops::Range;
use std::sync::Arc;

use super::excerpt::excerpt;
use super::inquiry::Inquiry;
use super::wire::{CharacterRange, CitedSource};
use super::{AskError, AskingService};
use crate::archive::{Document, Filter, Passage, Search};
use crate::engine::ClientId;
use crate::retrieval::terms;

/// A passage that shares no word with the question and whose cosine with it is less than this has
/// nothing to do with it: sentences of no common matter stay below in MiniLM's space.
const LEAST_COSINE: f32 = 0.2;
/// Passages that are asked for, at most, to find those of one document among others' of its name.
const MOST_SEARCHED: usize = 1_000;
/// Documents told whole, where detail is wanted…
const WHOLE_DOCUMENTS: usize = 3;
/// …and characters of each.
const WHOLE_CHARACTERS: usize = 8_000;

/// A numbered source.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// From 1.
    pub(super) number: usize,
    pub(super) document: Arc<Document>,
    /// In the order of the document; two where its middle is left out.
    pub(super) pieces: Vec<Piece>,
    pub(super) section: Option<String>,
    pub(super) similarity: f64,
    pub(super) score: f32,
    /// Whether it is a whole document, not a passage that was found in it.
    pub(super) is_document: bool,
}

/// Words of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    /// Where they begin in the document, in characters.
    pub(super) char_start: usize,
}

impl Piece {
    fn characters(&self) -> Range<usize> {
        self.char_start..self.char_start + self.text.chars().count()
    }
}

/// What was found.
#[derive(Debug)]
pub(super) enum Found {
    Sources(Vec<Source>),
    /// Why there is nothing.
    Nothing(&'static str),
}

impl Source {
    fn of_passage(passage: Passage) -> Self {
        let (similarity, score) = (passage.similarity(), passage.score);
        Self {
            number: 0,
            pieces: vec![Piece { char_start: passage.characters.start, text: passage.text }],
            document: passage.document,
            section: passage.section,
            similarity,
            score,
            is_document: false,
        }
    }

    /// As receipts name it: the file, and its characters in the form of RFC 5147.
    pub(super) fn id(&self) -> String {
        let Range { start, end } = self.characters();
        format!("{}#char={start},{end}", self.document.file_path)
    }

    /// From where to where it reaches, in characters of the document.
    pub(super) fn characters(&self) -> Range<usize> {
        let start = self.pieces.first().map_or(0, |piece| piece.char_start);
        start..self.pieces.last().map_or(start, |piece| piece.characters().end)
    }

    fn covers(&self, document: &Document, characters: &Range<usize>) -> bool {
        let mut ranges = self.pieces.iter().map(Piece::characters);
        self.document.id == document.id
            && ranges.any(|it| it.start <= characters.start && characters.end <= it.end)
    }

    pub(super) fn text(&self) -> String {
        let texts: Vec<_> = self.pieces.iter().map(|piece| piece.text.as_str()).collect();
        texts.join("\n\n")
    }

    pub(super) fn cited(&self) -> CitedSource {
        let Range { start, end } = self.characters();
        let omitted = match &self.pieces[..] {
            [head, tail] => Some(CharacterRange {
                char_start: head.characters().end,
                char_end: tail.char_start,
            }),
            _ => None,
        };
        CitedSource {
            number: self.number,
            file_path: self.document.file_path.clone(),
            file_name: self.document.file_name.clone(),
            matching_section: self.text(),
            similarity_score: self.similarity,
            score: self.score,
            char_start: start,
            char_end: end,
            omitted,
            document_id: self.document.id.clone(),
            chapter: self.section.clone(),
        }
    }
}

impl AskingService {
    /// What there is to answer from, numbered.
    pub(super) async fn find(
        &self,
        client: &ClientId,
        inquiry: &Inquiry,
    ) -> Result<Found, AskError> {
        let most = inquiry.options.n_context_chunks;
        let mut passages = Vec::new();
        if let Some(words) = inquiry.words_before() {
            passages = self.search(inquiry, words, most).await?;
        }
        let new = if passages.is_empty() { most } else { most.div_ceil(2) };
        let query = self.query(client, inquiry).await;
        let mut added = 0;
        for passage in self.search(inquiry, &query, most).await? {
            if added < new && !passages.iter().any(|known| overlap(known, &passage)) {
                passages.push(passage);
                added += 1;
            }
        }
        let wants_documents = inquiry.question.wants_detail;
        let documents =
            if wants_documents { self.documents(inquiry, &passages).await? } else { Vec::new() };
        let mut sources = documents;
        for passage in passages {
            let is_told = |source: &Source| source.covers(&passage.document, &passage.characters);
            if !sources.iter().any(is_told) {
                sources.push(Source::of_passage(passage));
            }
        }
        if sources.is_empty() {
            return Ok(Found::Nothing(self.why_nothing(inquiry).await?));
        }
        for (number, source) in (1..).zip(&mut sources) {
            source.number = number;
        }
        Ok(Found::Sources(sources))
    }

    /// The nearest passages that have to do with it; of files that were named, whatever is nearest. Of
    /// several files each one's in turn, as whoever named them wants to hear of each.
    async fn search(
        &self,
        inquiry: &Inquiry,
        words: &str,
        most: usize,
    ) -> Result<Vec<Passage>, AskError> {
        if inquiry.documents.is_empty() {
            let filter = inquiry.filter.clone();
            let search = Search { query: words.to_owned(), max_results: most, filter };
            let mut found = self.library.search(&search).await?;
            // Words that say nothing can't tell what has to do with them.
            if !terms(words).is_empty() {
                found.retain(has_to_do_with_it);
            }
            return Ok(found);
        }
        let mut of_files = Vec::new();
        for document in &inquiry.documents {
            let filter =
                Filter { file: Some(document.file_path.clone()), ..inquiry.filter.clone() };
            let search = Search { query: words.to_owned(), max_results: most, filter };
            of_files.push(self.search_in(document, search).await?.into_iter());
        }
        let mut found = Vec::new();
        while found.len() < most {
            let before = found.len();
            for file in &mut of_files {
                found.extend(file.next());
            }
            if found.len() == before {
                break;
            }
        }
        found.truncate(most);
        Ok(found)
    }

    /// The nearest passages of one document. A filter goes by names, in letters of either case, and
    /// others may have the same; what is found of those is left out, and more asked for in its place.
    async fn search_in(
        &self,
        document: &Document,
        mut search: Search,
    ) -> Result<Vec<Passage>, AskError> {
        let most = search.max_results;
        loop {
            let mut found = self.library.search(&search).await?;
            let is_all = found.len() < search.max_results;
            found.retain(|passage| passage.document.id == document.id);
            if is_all || found.len() >= most || search.max_results >= MOST_SEARCHED {
                found.truncate(most);
                return Ok(found);
            }
            search.max_results *= 4;
        }
    }

    /// The documents named, or those of the best passages, as whole as they fit.
    async fn documents(
        &self,
        inquiry: &Inquiry,
        passages: &[Passage],
    ) -> Result<Vec<Source>, AskError> {
        let mut wanted: Vec<Arc<Document>> = Vec::new();
        if inquiry.documents.is_empty() {
            for passage in passages {
                if !wanted.iter().any(|known| known.id == passage.document.id) {
                    wanted.push(Arc::clone(&passage.document));
                }
            }
        } else {
            wanted.extend(inquiry.documents.iter().cloned());
        }
        let mut sources = Vec::new();
        for document in wanted.into_iter().take(WHOLE_DOCUMENTS) {
            // One that was deleted meanwhile is none.
            if let Some(text) = self.library.text(&document.id).await? {
                let best = passages.iter().find(|passage| passage.document.id == document.id);
                let similarity = best.map_or(0.0, Passage::similarity);
                let score = best.map_or(0.0, |passage| passage.score);
                let pieces = pieces(&text);
                let section = document.section_at(0).map(|section| section.title.clone());
                sources.push(Source {
                    number: 0,
                    document,
                    pieces,
                    section,
                    similarity,
                    score,
                    is_document: true,
                });
            }
        }
        sources.retain(|source| !source.text().trim().is_empty());
        Ok(sources)
    }

    async fn why_nothing(&self, inquiry: &Inquiry) -> Result<&'static str, AskError> {
        let documents = self.library.documents().await?;
        if documents.is_empty() {
            return Ok("The archive is empty; add documents first.");
        }
        Ok(if documents.iter().any(|document| inquiry.filter.lets_through(document)) {
            "Nothing in the archive is near the question, in words or in meaning."
        } else {
            "No document of the archive meets the filter."
        })
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    let excerpt = excerpt(text, WHOLE_CHARACTERS);
    let piece = |bytes: Range<usize>| Piece {
        char_start: text[..bytes.start].chars().count(),
        text: text[bytes].to_owned(),
    };
    std::iter::once(excerpt.head).chain(excerpt.tail).map(piece).collect()
}

fn overlap(one: &Passage, other: &Passage) -> bool {
    let (a, b) = (&one.characters, &other.characters);
    one.document.id == other.document.id && a.start < b.end && b.start < a.end
}

fn has_to_do_with_it(passage: &Passage) -> bool {
    let is_near = passage.cosine.is_some_and(|cosine| cosine >= LEAST_COSINE);
    is_near || passage.bm25 > 0.0 || !passage.words.is_empty()
}
