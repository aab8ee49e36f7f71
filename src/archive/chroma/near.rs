//! What is near a probe. By meaning, Chroma's own index says what is nearest, which it mostly knows
//! (it is approximate); cosines are computed here from the vectors that it gives, and are exact.
//!
//! By words it is approximate, too. Each word of the query is looked for by itself; of words that many
//! chunks hold, only the first so many chunks are seen. The chunks that hold the rarest words, and most
//! of them, are read, and their BM25 is computed here: from how many chunks each word was found in, at
//! most the number just named; from the number of all chunks, staged ones included; and from the mean
//! length of the chunks that were read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chromadb::collection::{GetResult, QueryResult};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::collection::Collection;
use super::failure::Failure;
use super::publishing::{IDS_IN_A_FILTER, Shelf};
use super::records;
use super::session::{Session, expect_embedder};
use super::words::{Word, bm25, words_of};
use crate::archive::document::DocumentId;
use crate::archive::store::{Candidate, Candidates, Probe};
use crate::retrieval::idf;

/// Of a word that is in more chunks, only so many are seen.
const MOST_HOLDERS: usize = 1_000;
/// Words looked for at the same time.
const AT_ONCE: usize = 4;
/// Chunks read for their words, for each one wanted: which words they hold is known before, how often
/// is not.
const READ_PER_WANTED: usize = 3;
/// How often the nearest are asked for again because some were staged only.
const ROUNDS: usize = 8;

pub(super) async fn candidates(session: &Session, probe: &Probe) -> Result<Candidates, Failure> {
    let Some(chunks) = session.chunks().await? else { return Ok(Candidates::default()) };
    if let Some(meaning) = &probe.meaning {
        expect_embedder(&chunks, &meaning.embedder)?;
    }
    let Some(records) = session.documents().await? else { return Ok(Candidates::default()) };
    let shelf = Shelf { records, chunks: Arc::clone(&chunks) };
    let mut shown = Shown { shelf: &shelf, known: HashMap::new() };
    let within = match &probe.within {
        Some(ids) => Some(shown.of(ids).await?),
        None => None,
    };
    if probe.limit == 0 || within.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Candidates::default());
    }
    let mut search =
        Search { chunks: &chunks, shown, limit: probe.limit, filters: filters(within.as_deref()) };
    let vector = probe.meaning.as_ref().map(|meaning| meaning.vector.as_slice());
    let mut texts = match vector {
        Some(vector) => search.nearest(vector).await?,
        None => Texts::new(),
    };
    let near: HashSet<String> = texts.keys().cloned().collect();
    let words = words_of(&probe.text);
    let all = chunks.count().await?;
    let (holders, holding) = search.holders(&words, all).await?;
    search.read_best(&holders, vector, &mut texts).await?;
    let contents: Vec<&str> = texts.values().map(|text| text.content.as_str()).collect();
    let (scores, most_bm25) = bm25(&words, &holding, all, &contents);
    let best = best(texts, &scores, &near, probe.limit);
    let ids: Vec<String> = best.iter().map(|(id, ..)| id.clone()).collect();
    let mut sentences = records::sentences(chunks.get_by_ids(ids, &["metadatas"]).await?)?;
    let found = best.into_iter().filter_map(|(id, text, bm25)| {
        let Text { document, index, cosine, .. } = text;
        // One without has just been deleted.
        let sentences = sentences.remove(&id)?;
        Some(Candidate { document, index, cosine, bm25, sentences })
    });
    Ok(Candidates { found: found.collect(), most_bm25 })
}

/// The nearest by meaning, and the best by words.
fn best(
    texts: Texts,
    scores: &[f32],
    near: &HashSet<String>,
    limit: usize,
) -> Vec<(String, Text, f32)> {
    let mut by_words: Vec<_> =
        texts.keys().zip(scores).filter(|(_, score)| **score > 0.0).collect();
    by_words.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let by_words: HashSet<String> =
        by_words.into_iter().take(limit).map(|(id, _)| id.clone()).collect();
    let all = texts.into_iter().zip(scores);
    all.filter(|((id, _), _)| near.contains(id) || by_words.contains(id))
        .map(|((id, text), &bm25)| (id, text, bm25))
        .collect()
}

/// A chunk that was read.
struct Text {
    document: DocumentId,
    index: usize,
    content: String,
    cosine: Option<f32>,
}

/// By id, so that sums and ties come out the same every time.
type Texts = BTreeMap<String, Text>;

/// Conditions that together let the documents through that are searched.
fn filters(within: Option<&[DocumentId]>) -> Vec<Option<Value>> {
    match within {
        Some(ids) => ids
            .chunks(IDS_IN_A_FILTER)
            .map(|ids| Some(json!({ "document": { "$in": ids } })))
            .collect(),
        None => vec![None],
    }
}

struct Search<'a> {
    chunks: &'a Collection,
    shown: Shown<'a>,
    limit: usize,
    filters: Vec<Option<Value>>,
}

impl Search<'_> {
    async fn nearest(&mut self, vector: &[f32]) -> Result<Texts, Failure> {
        let mut texts = Texts::new();
        for filter in self.filters.clone() {
            texts.extend(match filter {
                Some(filter) => {
                    read(self.chunks.nearest(vector, Some(filter), self.limit).await?, vector)
                }
                None => self.nearest_of_all(vector).await?,
            });
        }
        let cosine = |text: &Text| text.cosine.unwrap_or(f32::NEG_INFINITY);
        let mut nearest: Vec<_> = texts.into_iter().collect();
        nearest.sort_by(|(_, a), (_, b)| cosine(b).total_cmp(&cosine(a)));
        nearest.truncate(self.limit);
        Ok(nearest.into_iter().collect())
    }

    /// Asks again without the documents that turn out to be staged only.
    async fn nearest_of_all(&mut self, vector: &[f32]) -> Result<Texts, Failure> {
        let mut hidden: Vec<DocumentId> = Vec::new();
        let mut texts = Texts::new();
        for _ in 0..ROUNDS {
            let filter = (!hidden.is_empty()).then(|| json!({ "document": { "$nin": hidden } }));
            texts = read(self.chunks.nearest(vector, filter, self.limit).await?, vector);
            let documents: Vec<_> = texts.values().map(|text| text.document.clone()).collect();
            let shown: HashSet<_> = self.shown.of(&documents).await?.into_iter().collect();
            texts.retain(|_, text| shown.contains(&text.document));
            let before = hidden.len();
            let new: HashSet<_> = documents.into_iter().filter(|id| !shown.contains(id)).collect();
            hidden.extend(new);
            if hidden.len() == before {
                break;
            }
        }
        Ok(texts)
    }

    /// Reads those first of these chunks that are shown.
    async fn read_best(
        &mut self,
        holders: &[String],
        vector: Option<&[f32]>,
        texts: &mut Texts,
    ) -> Result<(), Failure> {
        let wanted = self.limit.saturating_mul(READ_PER_WANTED);
        let mut unread: Vec<String> = Vec::new();
        // As many are checked at once as are wanted: most of what is there is shown.
        for some in holders.chunks(wanted) {
            let named = some.iter().filter_map(|id| Some((id, records::parse_chunk_id(id)?.0)));
            let named: Vec<_> = named.collect();
            let documents: Vec<_> = named.iter().map(|(_, document)| document.clone()).collect();
            let shown: HashSet<_> = self.shown.of(&documents).await?.into_iter().collect();
            let fit = named.into_iter().filter(|(_, document)| shown.contains(document));
            unread.extend(fit.map(|(id, _)| id.clone()));
            if unread.len() >= wanted {
                break;
            }
        }
        unread.truncate(wanted);
        unread.retain(|id| !texts.contains_key(id));
        let what: &[&str] =
            if vector.is_some() { &["documents", "embeddings"] } else { &["documents"] };
        texts.extend(read_all(self.chunks.get_by_ids(unread, what).await?, vector));
        Ok(())
    }

    /// Chunks that hold words, those first that hold the most and the rarest; and for each word, how
    /// many hold it. `all` is how many chunks there are.
    async fn holders(
        &self,
        words: &[Word],
        all: usize,
    ) -> Result<(Vec<String>, Vec<usize>), Failure> {
        let chunks = self.chunks;
        let calls: Vec<_> = words
            .iter()
            .enumerate()
            .flat_map(|(number, word)| {
                self.filters.iter().map(move |filter| (number, word, filter))
            })
            .map(|(number, word, filter)| async move {
                let found = chunks.ids_matching(&word.pattern, filter.clone(), MOST_HOLDERS).await;
                found.map(|ids| (number, ids))
            })
            .collect();
        let found: Vec<(usize, Vec<String>)> =
            stream::iter(calls).buffered(AT_ONCE).try_collect().await?;
        let mut holding = vec![0; words.len()];
        for (number, ids) in &found {
            holding[*number] += ids.len();
        }
        let mut weights: HashMap<&String, f32> = HashMap::new();
        for (number, ids) in &found {
            for id in ids {
                *weights.entry(id).or_default() += idf(all, holding[*number]);
            }
        }
        let mut holders: Vec<_> = weights.into_iter().collect();
        holders.sort_by(|(a, x), (b, y)| y.total_cmp(x).then_with(|| a.cmp(b)));
        Ok((holders.into_iter().map(|(id, _)| id.clone()).collect(), holding))
    }
}

/// Which documents are shown, asked once a search.
struct Shown<'a> {
    shelf: &'a Shelf,
    known: HashMap<DocumentId, bool>,
}

impl Shown<'_> {
    /// Those of these that are shown, each once.
    async fn of(&mut self, ids: &[DocumentId]) -> Result<Vec<DocumentId>, Failure> {
        let ids: HashSet<&DocumentId> = ids.iter().collect();
        let unknown: Vec<&DocumentId> =
            ids.iter().copied().filter(|id| !self.known.contains_key(*id)).collect();
        let shown: HashSet<_> = self.shelf.shown(&unknown).await?.into_iter().collect();
        for id in unknown {
            self.known.insert(id.clone(), shown.contains(id));
        }
        let mut ids: Vec<_> =
            ids.into_iter().filter(|id| self.known.get(*id) == Some(&true)).cloned().collect();
        ids.sort();
        Ok(ids)
    }
}

fn read(found: QueryResult, vector: &[f32]) -> Texts {
    let (Some(ids), Some(documents), Some(embeddings)) = (
        found.ids.into_iter().next(),
        found.documents.and_then(|lists| lists.into_iter().next()),
        found.embeddings.and_then(|lists| lists.into_iter().next()),
    ) else {
        return Texts::new();
    };
    let text = |((id, content), embedding): ((String, String), Vec<f32>)| {
        let (document, index) = records::parse_chunk_id(&id)?;
        Some((id, Text { document, index, content, cosine: Some(cosine(&embedding, vector)) }))
    };
    ids.into_iter().zip(documents).zip(embeddings).filter_map(text).collect()
}

fn read_all(got: GetResult, vector: Option<&[f32]>) -> Texts {
    let mut embeddings = got.embeddings.unwrap_or_default().into_iter();
    let text = |(id, content): (String, Option<String>)| {
        let embedding = embeddings.next().flatten();
        let (document, index) = records::parse_chunk_id(&id)?;
        let cosine = vector.map(|vector| cosine(&embedding.unwrap_or_default(), vector));
        Some((id, Text { document, index, content: content?, cosine }))
    };
    got.ids.into_iter().zip(got.documents.unwrap_or_default()).filter_map(text).collect()
}

/// 0 where a vector has no direction.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
    };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { as_f32(dot(a, b) / lengths) } else { 0.0 }
}

#[expect(clippy::cast_possible_truncation, reason = "cosines have few digits that count")]
fn as_f32(x: f64) -> f32 {
    x.clamp(-1.0, 1.0) as f32
}
