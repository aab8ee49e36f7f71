//! What the archive holds: documents, their chunks, and where in the text these lie.
//!
//! A document is known by its text: the same text is the same document, whatever its file is called.
//! Offsets are exact: chunks overlap, and each begins where it says, so that joining them without the
//! overlaps gives the document back, to the byte.

use std::fmt::{self, Write as _};
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::sentences::SentenceVectors;

/// Bytes of a text's SHA-256 that make its id.
const ID_BYTES: usize = 16;

/// Names a document: 32 hexadecimal digits of its text's SHA-256.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct DocumentId(String);

impl DocumentId {
    pub fn of(text: &str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        Self(digest.iter().take(ID_BYTES).fold(String::new(), |mut id, byte| {
            // Writing into a String cannot fail.
            let _ = write!(id, "{byte:02x}");
            id
        }))
    }

    /// None if it can't be anybody's id.
    pub fn parse(id: &str) -> Option<Self> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (id.len() == 2 * ID_BYTES && id.bytes().all(is_hex)).then(|| Self(id.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A document of the archive, without its text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    pub id: DocumentId,
    /// Where it came from, as the client or the command line named it; no two documents share one.
    pub file_path: String,
    /// The last part of the path.
    pub file_name: String,
    /// Title, author, chapter, tags and whatever else filters a search.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// Its chapters, where the file tells them, in the order of the text.
    #[serde(default)]
    pub sections: Vec<Section>,
    /// Length of the text in bytes of UTF-8.
    pub bytes: usize,
    /// Length of the text in characters (Unicode scalar values).
    pub characters: usize,
    /// Number of chunks.
    pub chunks: usize,
    /// In UTC, as RFC 3339 writes it.
    pub added_at: String,
}

/// A part of a document that has a heading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Section {
    pub title: String,
    /// Where it begins, in characters.
    pub char_start: usize,
}

impl Document {
    /// The heading of the part that a place in the text belongs to.
    pub fn section_at(&self, character: usize) -> Option<&Section> {
        let after = self.sections.partition_point(|section| section.char_start <= character);
        after.checked_sub(1).map(|index| &self.sections[index])
    }
}

/// A piece of a document.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Its number in the document, from 0.
    pub index: usize,
    pub text: String,
    /// Where it begins in the document, in bytes of UTF-8.
    pub byte_start: usize,
    /// The same in characters.
    pub char_start: usize,
}

/// Without the text, which has no place in logs.
impl fmt::Debug for Chunk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Chunk")
            .field("index", &self.index)
            .field("bytes", &self.bytes())
            .field("char_start", &self.char_start)
            .finish_non_exhaustive()
    }
}

impl Chunk {
    pub fn bytes(&self) -> Range<usize> {
        self.byte_start..self.byte_start + self.text.len()
    }

    pub fn characters(&self) -> Range<usize> {
        self.char_start..self.char_start + self.text.chars().count()
    }
}

/// The text that chunks lying one after the other were cut from, without their overlaps.
pub fn joined<'a>(chunks: impl IntoIterator<Item = &'a Chunk>) -> String {
    let mut chunks = chunks.into_iter();
    let Some(first) = chunks.next() else { return String::new() };
    let mut text = first.text.clone();
    let mut end = first.bytes().end;
    for chunk in chunks {
        let known = end.saturating_sub(chunk.byte_start);
        // A chunk that lies within those before adds nothing.
        text.push_str(chunk.text.get(known..).unwrap_or_default());
        end = end.max(chunk.bytes().end);
    }
    text
}

/// A chunk with its vector, of length one, and those of its sentences.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    pub chunk: Chunk,
    pub vector: Vec<f32>,
    pub sentences: SentenceVectors,
}
