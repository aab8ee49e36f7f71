//! The archive as it stands on the wire.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::archive::{Document, Filter, Holdings, Ingested, Outcome, Passage, Section};
use crate::http::error::ApiError;
use crate::http::wire::Completion;

/// Passages of an answer where the request doesn't say.
const USUAL_RESULTS: usize = 10;

#[derive(Deserialize, JsonSchema)]
pub(in super::super) struct ArchiveSearchRequest {
    #[schemars(length(min = 1))]
    pub(super) query: String,
    #[serde(default = "usual_results")]
    #[schemars(range(min = 1, max = 50))]
    pub(super) max_results: usize,
    /// Only in the file of this name or path.
    #[serde(default)]
    pub(super) filter_file_name: Option<String>,
    /// Only in documents whose metadata are so: a value, a list of values of which one will do, or
    /// comparisons such as {"$gte": 3}.
    #[serde(default)]
    pub(super) filter: Option<Map<String, Value>>,
}

fn usual_results() -> usize {
    USUAL_RESULTS
}

impl ArchiveSearchRequest {
    pub(super) fn filter(&mut self) -> Filter {
        Filter {
            file: self.filter_file_name.take().filter(|name| !name.is_empty()),
            metadata: self.filter.take().unwrap_or_default(),
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct ArchiveSearchResponse {
    pub(super) query: String,
    /// Best first.
    pub(super) results: Vec<ArchiveSearchResult>,
    pub(super) total_results: usize,
}

/// A passage of a document: a chunk, or neighbouring ones in one.
#[derive(Serialize, JsonSchema)]
pub(in super::super) struct ArchiveSearchResult {
    document_id: String,
    file_path: String,
    file_name: String,
    matching_section: String,
    /// The chunk that fits best, counted from 0.
    chunk_index: usize,
    /// 1 / (1 + d), d being the squared distance of the two vectors of length one; 0 where meaning
    /// wasn't compared.
    similarity_score: f64,
    /// Words and meaning together, 0 to 1.
    score: f32,
    /// Where the passage lies in the document, in characters.
    char_start: usize,
    char_end: usize,
    /// The heading that it stands under.
    #[serde(skip_serializing_if = "Option::is_none")]
    chapter: Option<String>,
    /// The sentence that is nearest to the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    highlight: Option<Highlight>,
    /// The query's words in the passage, in characters of the document.
    matches: Vec<Span>,
    metadata: Map<String, Value>,
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct Highlight {
    text: String,
    char_start: usize,
    char_end: usize,
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct Span {
    char_start: usize,
    char_end: usize,
}

impl From<Passage> for ArchiveSearchResult {
    fn from(passage: Passage) -> Self {
        let similarity_score = passage.similarity();
        let Passage { document, text, characters, .. } = passage;
        let highlight = passage.sentence.map(|Range { start, end }| Highlight {
            text: text.chars().skip(start - characters.start).take(end - start).collect(),
            char_start: start,
            char_end: end,
        });
        let span = |Range { start, end }| Span { char_start: start, char_end: end };
        Self {
            document_id: document.id.to_string(),
            file_path: document.file_path.clone(),
            file_name: document.file_name.clone(),
            matching_section: text,
            chunk_index: passage.best_chunk,
            similarity_score,
            score: passage.score,
            char_start: characters.start,
            char_end: characters.end,
            chapter: passage.section,
            highlight,
            matches: passage.words.into_iter().map(span).collect(),
            metadata: document.metadata.clone(),
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct ArchiveFiles {
    pub(super) files: Vec<ArchiveFile>,
    pub(super) total_files: usize,
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct ArchiveFile {
    pub(super) file_path: String,
    pub(super) file_name: String,
    pub(super) document_id: String,
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct ArchiveFileContent {
    pub(super) file_path: String,
    /// The whole text, to the byte.
    pub(super) content: String,
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct ArchiveStats {
    total_chunks: usize,
    total_files: usize,
    collection_name: String,
    /// The archive's file, or the server it is on.
    db_path: String,
}

impl From<Holdings> for ArchiveStats {
    fn from(holdings: Holdings) -> Self {
        Self {
            total_chunks: holdings.chunks,
            total_files: holdings.documents,
            collection_name: holdings.collection,
            db_path: holdings.place,
        }
    }
}

/// One document, by `file_name` and `content`, or a list of `documents`. A text is read as what it is:
/// HTML, Markdown or plain text.
#[derive(Deserialize, JsonSchema)]
pub(in super::super) struct ArchiveDocumentsRequest {
    /// At most 1,000.
    #[serde(default)]
    pub(super) documents: Option<Vec<ArchiveDocument>>,
    /// As in one of `documents`.
    #[serde(default, alias = "file_path")]
    pub(super) file_name: Option<String>,
    #[serde(default)]
    pub(super) content: Option<String>,
    #[serde(default)]
    pub(super) metadata: Map<String, Value>,
}

#[derive(Deserialize, JsonSchema)]
pub(in super::super) struct ArchiveDocument {
    /// By which the document is named; folders may stand before it. Adding another text under the
    /// same name replaces it.
    #[serde(alias = "file_path")]
    pub(super) file_name: String,
    pub(super) content: String,
    /// Title, author, chapter, tags and whatever else is to filter searches; at most 64 KiB. Of a
    /// document that is there they are added to what is known of it.
    #[serde(default)]
    pub(super) metadata: Map<String, Value>,
}

/// The form's fields: any number of files, and metadata for all of them.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes a form, which is read field by field")]
pub(in super::super) struct ArchiveDocumentsForm {
    #[schemars(extend("format" = "binary"))]
    file: Vec<String>,
    /// A JSON object.
    metadata: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct ArchiveDocumentsResponse {
    /// What became of each document, in the order of the request.
    pub(super) documents: Vec<ArchiveDocumentOutcome>,
    pub(super) total_documents: usize,
    /// How many of them are not in the archive.
    pub(super) failed: usize,
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct ArchiveDocumentOutcome {
    /// The name it was brought under.
    pub(super) file_path: String,
    pub(super) outcome: ArchiveOutcome,
    /// Why it failed, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) document: Option<ArchiveDocumentView>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum ArchiveOutcome {
    Added,
    /// Added in the place of the document that had this name.
    Replaced,
    /// The text was there; its metadata are new.
    Updated,
    /// It was there already.
    Unchanged,
    /// Its text is there under another name, and stays there. What had its own name went.
    Duplicate,
    Failed,
}

impl From<Outcome> for ArchiveOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Added => Self::Added,
            Outcome::Replaced => Self::Replaced,
            Outcome::Updated => Self::Updated,
            Outcome::Unchanged => Self::Unchanged,
            Outcome::Duplicate => Self::Duplicate,
        }
    }
}

impl ArchiveDocumentOutcome {
    pub(super) fn done(file_path: String, ingested: &Ingested) -> Self {
        let document = Some((&*ingested.document).into());
        Self { file_path, outcome: ingested.outcome.into(), error: None, document }
    }

    pub(super) fn failed(file_path: String, error: String) -> Self {
        let outcome = ArchiveOutcome::Failed;
        Self { file_path, outcome, error: Some(error), document: None }
    }
}

/// A document without its text.
#[derive(Serialize, JsonSchema)]
pub(in super::super) struct ArchiveDocumentView {
    id: String,
    file_path: String,
    file_name: String,
    metadata: Map<String, Value>,
    /// Its chapters, where the file tells them.
    sections: Vec<Section>,
    bytes: usize,
    characters: usize,
    chunks: usize,
    /// In UTC.
    added_at: String,
}

impl From<&Document> for ArchiveDocumentView {
    fn from(document: &Document) -> Self {
        Self {
            id: document.id.to_string(),
            file_path: document.file_path.clone(),
            file_name: document.file_name.clone(),
            metadata: document.metadata.clone(),
            sections: document.sections.clone(),
            bytes: document.bytes,
            characters: document.characters,
            chunks: document.chunks,
            added_at: document.added_at.clone(),
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct ArchiveDocuments {
    /// By path.
    pub(super) documents: Vec<ArchiveDocumentView>,
    /// Of all pages.
    pub(super) total: usize,
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct ArchiveDocumentDeleted {
    pub(super) deleted: bool,
}

/// One `data:` line while documents are added.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(in super::super) enum ArchiveIngestEvent {
    Status {
        phase: IngestPhase,
        message: String,
        /// 0 to 100, over all documents.
        progress: u8,
    },
    /// The end, with everything.
    Result { data: ArchiveDocumentsResponse, status: Completion },
    /// The end: the server is stopping, or the archive is away. What is there so far stays.
    Error { message: String, error_code: String },
}

#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum IngestPhase {
    Reading,
    Embedding,
    Stored,
}

impl From<&ApiError> for ArchiveIngestEvent {
    fn from(error: &ApiError) -> Self {
        Self::Error { message: error.detail.clone(), error_code: error.code.name().to_owned() }
    }
}
