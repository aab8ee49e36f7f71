//! How documents and chunks lie in Chroma's collections.
//!
//! A chunk's id is its document's and its number; its text is the record's text, its vector the
//! record's; the vectors of its sentences stand in its metadata, in base64. A document's record has the
//! document's id, the document as JSON for its text, and a vector of one number that means nothing, as
//! Chroma wants one.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chromadb::collection::{CollectionEntries, GetResult};
use serde_json::{Map, Value, json};

use super::failure::Failure;
use crate::archive::document::{Chunk, Document, DocumentId, Embedded};
use crate::archive::sentences::SentenceVectors;

/// Digits of a chunk's number in its id, so that ids sort as chunks do.
const DIGITS: usize = 8;

pub(super) fn chunk_id(document: &DocumentId, index: usize) -> String {
    format!("{document}:{index:0DIGITS$}")
}

/// The document and the number that a chunk's id names; `None` for ids that this store never made.
pub(super) fn parse_chunk_id(id: &str) -> Option<(DocumentId, usize)> {
    let (document, index) = id.split_once(':')?;
    Some((DocumentId::parse(document)?, index.parse().ok()?))
}

pub(super) fn chunk_entries<'a>(
    ids: &'a [String],
    document: &DocumentId,
    chunks: &'a [Embedded],
    staged_at: i64,
) -> CollectionEntries<'a> {
    let metadata = |it: &Embedded| {
        object(json!({
            "document": document.as_str(),
            "index": it.chunk.index,
            "byte_start": it.chunk.byte_start,
            "char_start": it.chunk.char_start,
            "staged_at": staged_at,
            "sentences": BASE64.encode(it.sentences.bytes()),
            "dimensions": it.vector.len(),
        }))
    };
    CollectionEntries {
        ids: ids.iter().map(String::as_str).collect(),
        metadatas: Some(chunks.iter().map(metadata).collect()),
        documents: Some(chunks.iter().map(|it| it.chunk.text.as_str()).collect()),
        embeddings: Some(chunks.iter().map(|it| it.vector.clone()).collect()),
    }
}

/// The chunks that were got, with their texts and places.
pub(super) fn chunks(got: GetResult) -> Result<Vec<Chunk>, Failure> {
    let texts = got.documents.unwrap_or_default();
    let metadatas = got.metadatas.unwrap_or_default();
    let records = got.ids.into_iter().zip(texts).zip(metadatas);
    let chunk = |((id, text), metadata): ((String, Option<String>), Option<Map<_, _>>)| {
        let number = |name| unsigned(metadata.as_ref(), name);
        let (_, index) = parse_chunk_id(&id).ok_or_else(|| damaged(&id))?;
        let (Some(byte_start), Some(char_start)) = (number("byte_start"), number("char_start"))
        else {
            return Err(damaged(&id));
        };
        Ok(Chunk { index, text: text.ok_or_else(|| damaged(&id))?, byte_start, char_start })
    };
    records.map(chunk).collect()
}

/// The vectors of the sentences of the chunks that were got, by the chunks' ids.
pub(super) fn sentences(got: GetResult) -> Result<HashMap<String, SentenceVectors>, Failure> {
    let metadatas = got.metadatas.unwrap_or_default();
    let of = |(id, metadata): (String, Option<Map<String, Value>>)| {
        let encoded = metadata.as_ref().and_then(|it| it.get("sentences")).and_then(Value::as_str);
        let bytes = encoded.and_then(|encoded| BASE64.decode(encoded).ok());
        match (bytes, unsigned(metadata.as_ref(), "dimensions")) {
            (Some(bytes), Some(dimensions)) => {
                Ok((id, SentenceVectors::from_bytes(bytes, dimensions)))
            }
            _ => Err(damaged(&id)),
        }
    };
    got.ids.into_iter().zip(metadatas).map(of).collect()
}

/// What of a document's record decides whether it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) id: DocumentId,
    pub(super) file_path: String,
    /// When it was published, in milliseconds of Unix time, or a little later: later than what it
    /// replaced.
    pub(super) published_at: i64,
    /// The chunk collection's id.
    pub(super) chunks_in: String,
}

impl Claim {
    /// The later one wins; among two of one moment the ids decide, everywhere alike.
    fn rank(&self) -> (i64, &str) {
        (self.published_at, self.id.as_str())
    }

    pub(super) fn metadata(&self) -> Map<String, Value> {
        object(json!({
            "file_path": self.file_path,
            "published_at": self.published_at,
            "chunks_in": self.chunks_in,
        }))
    }
}

pub(super) fn claims(got: &GetResult) -> Result<Vec<Claim>, Failure> {
    let metadatas = got.metadatas.as_deref().unwrap_or_default();
    let claim = |(id, metadata): (&String, &Option<Map<String, Value>>)| {
        let field = |name: &str| metadata.as_ref().and_then(|metadata| metadata.get(name));
        let file_path = field("file_path").and_then(Value::as_str);
        let published_at = field("published_at").and_then(Value::as_i64);
        let chunks_in = field("chunks_in").and_then(Value::as_str);
        match (DocumentId::parse(id), file_path, published_at, chunks_in) {
            (Some(id), Some(file_path), Some(published_at), Some(chunks_in)) => {
                let (file_path, chunks_in) = (file_path.to_owned(), chunks_in.to_owned());
                Ok(Claim { id, file_path, published_at, chunks_in })
            }
            _ => Err(damaged(id)),
        }
    };
    got.ids.iter().zip(metadatas).map(claim).collect()
}

/// Of all that claim the same path, the one that has it; the others are left over.
pub(super) fn winners(claims: Vec<Claim>) -> (HashMap<String, Claim>, Vec<DocumentId>) {
    let mut winners: HashMap<String, Claim> = HashMap::new();
    let mut left_over = Vec::new();
    for claim in claims {
        let Some(other) = winners.get_mut(&claim.file_path) else {
            winners.insert(claim.file_path.clone(), claim);
            continue;
        };
        let loser =
            if claim.rank() > other.rank() { std::mem::replace(other, claim) } else { claim };
        left_over.push(loser.id);
    }
    (winners, left_over)
}

/// The documents that were got.
pub(super) fn documents(got: &GetResult) -> Result<Vec<Document>, Failure> {
    let texts = got.documents.as_deref().unwrap_or_default();
    let document = |(id, text): (&String, &Option<String>)| {
        let document = text.as_deref().and_then(|text| serde_json::from_str::<Document>(text).ok());
        document.filter(|document| document.id.as_str() == id).ok_or_else(|| damaged(id))
    };
    got.ids.iter().zip(texts).map(document).collect()
}

pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn unsigned(metadata: Option<&Map<String, Value>>, name: &str) -> Option<usize> {
    metadata?.get(name)?.as_u64().and_then(|number| usize::try_from(number).ok())
}

fn damaged(id: &str) -> Failure {
    Failure::Damaged(format!(
        "The record {id:?} in the archive's ChromaDB collections was not written by this server. \
         Delete it there, or set ARCHIVE_COLLECTION_NAME to a name that nobody else uses."
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_of_chunks_tell_what_they_name_and_sort_as_chunks_do() {
        let document = DocumentId::of("a text");
        let ids: Vec<_> = [0, 9, 10, 99_999].map(|index| chunk_id(&document, index)).into();
        assert!(ids.is_sorted());
        assert_eq!(parse_chunk_id(&ids[2]), Some((document, 10)));
        for foreign in ["", "a", ":", "a:1", "é:1"] {
            assert_eq!(parse_chunk_id(foreign), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn every_path_has_one_winner_in_whatever_order_they_come(
            claims in proptest::collection::vec((0_u8..3, 0_i64..4, 0_u8..40), 0..12),
        ) {
            let claims: Vec<_> = claims
                .into_iter()
                .map(|(path, published_at, text)| Claim {
                    id: DocumentId::of(&text.to_string()),
                    file_path: path.to_string(),
                    published_at,
                    chunks_in: String::new(),
                })
                .collect();
            let (forwards, left_over) = winners(claims.clone());
            let (backwards, _) = winners(claims.iter().rev().cloned().collect());
            prop_assert_eq!(&forwards, &backwards);
            prop_assert_eq!(forwards.len() + left_over.len(), claims.len());
            for claim in &claims {
                prop_assert!(claim.published_at <= forwards[&claim.file_path].published_at);
            }
        }
    }
}
