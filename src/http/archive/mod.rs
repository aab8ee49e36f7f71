//! `{api}/archive…`: documents in and out, and search.

pub(super) mod asking;
mod documents;
pub(super) mod examples;
pub(super) mod wire;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;

pub(super) use self::documents::{add, all, one, remove, remove_at};
use self::wire::{
    ArchiveFile, ArchiveFileContent, ArchiveFiles, ArchiveSearchRequest, ArchiveSearchResponse,
    ArchiveSearchResult, ArchiveStats,
};
use super::AppState;
use super::error::{ApiError, Code};
use super::extract::JsonBody;
use super::parameters::{Parameters, wrong};
use crate::archive::{Archive, Document, Filter, Search};

/// What is said while the archive is off.
pub(super) const OFF: &str = "Archive feature is not enabled. Please configure ARCHIVE_DB_PATH, the folder \
    of the embedded archive, and set ARCHIVE_BACKEND to embedded; or set it to chroma, and CHROMA_URL to \
    the address of a ChromaDB server. Then start the server again.";
/// Longest query in bytes; the embedder reads no more of it.
const LONGEST_QUERY: usize = 8 * 1024;

/// The archive, or an error that says how to turn it on.
pub(super) struct TheArchive(pub(super) Archive);

impl FromRequestParts<AppState> for TheArchive {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let Ok(State(archive)) = State::<Option<Archive>>::from_request_parts(parts, state).await;
        archive.map(Self).ok_or_else(|| ApiError::new(Code::ArchiveOff, OFF))
    }
}

pub(super) async fn search(
    TheArchive(archive): TheArchive,
    JsonBody(mut request): JsonBody<ArchiveSearchRequest>,
) -> Result<Json<ArchiveSearchResponse>, ApiError> {
    let filter = request.filter();
    let ArchiveSearchRequest { query, max_results, .. } = request;
    if query.trim().is_empty() {
        return Err(wrong(&["query"], "is empty: say what to look for"));
    }
    if query.len() > LONGEST_QUERY {
        return Err(wrong(&["query"], format!("is longer than {LONGEST_QUERY} bytes")));
    }
    if !(1..=50).contains(&max_results) {
        return Err(wrong(&["max_results"], "must be a number from 1 to 50"));
    }
    let search = Search { query, max_results, filter };
    let passages = archive.search(&search).await?;
    let results: Vec<_> = passages.into_iter().map(ArchiveSearchResult::from).collect();
    Ok(Json(ArchiveSearchResponse { query: search.query, total_results: results.len(), results }))
}

pub(super) async fn files(TheArchive(archive): TheArchive) -> Result<Json<ArchiveFiles>, ApiError> {
    let documents = archive.documents(&Filter::default()).await?;
    let file = |document: &Document| ArchiveFile {
        file_path: document.file_path.clone(),
        file_name: document.file_name.clone(),
        document_id: document.id.to_string(),
    };
    let files: Vec<_> = documents.iter().map(|document| file(document)).collect();
    Ok(Json(ArchiveFiles { total_files: files.len(), files }))
}

pub(super) async fn content(
    TheArchive(archive): TheArchive,
    parameters: Parameters,
) -> Result<Json<ArchiveFileContent>, ApiError> {
    let path = file_path(&parameters)?;
    let document = archive.document_at(path).await?;
    let document = document.ok_or_else(|| no_file(path))?;
    let content = archive.text(&document).await?.ok_or_else(|| no_file(path))?;
    Ok(Json(ArchiveFileContent { file_path: document.file_path.clone(), content }))
}

pub(super) async fn stats(TheArchive(archive): TheArchive) -> Result<Json<ArchiveStats>, ApiError> {
    Ok(Json(archive.holdings().await?.into()))
}

fn file_path(parameters: &Parameters) -> Result<&str, ApiError> {
    let path = parameters.text("file_path").filter(|path| !path.is_empty());
    path.ok_or_else(|| wrong(&["file_path"], "is required: a document's path"))
}

fn no_file(path: &str) -> ApiError {
    ApiError::new(Code::NotFound, format!("File not found: {path}"))
}
