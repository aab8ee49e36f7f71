//! Routes of the archive: documents in and out, and search.

use axum::routing::{get, post};

use super::Endpoint;
use super::query::{FILE_NAME, FILE_PATH, LIMIT, OFFSET};
use crate::http::archive::{self, examples};

const ARCHIVE: &str = "archive";

const ERRORS: &[u16] = &[400, 404, 422, 500, 503];

pub(super) const ROWS: &[Endpoint] = &[
    Endpoint::new("post", "{api}/archive/documents", ARCHIVE, || post(archive::add))
        .about(
            "Add documents: text, Markdown, HTML, EPUB; with progress where events are asked for",
        )
        .takes("ArchiveDocumentsRequest", examples::DOCUMENT)
        .takes_forms("ArchiveDocumentsForm")
        .answers("ArchiveDocumentsResponse")
        .streams("ArchiveIngestEvent")
        .fails(&[400, 413, 422, 500, 503]),
    Endpoint::new("get", "{api}/archive/documents", ARCHIVE, || get(archive::all))
        .about("The archive's documents, by path")
        .asks(&[FILE_NAME, OFFSET, LIMIT])
        .answers("ArchiveDocuments")
        .fails(ERRORS),
    Endpoint::new("delete", "{api}/archive/documents", ARCHIVE, || {
        axum::routing::delete(archive::remove_at)
    })
    .about("Delete the document of a path")
    .asks(&[FILE_PATH])
    .answers("ArchiveDocumentDeleted")
    .fails(ERRORS),
    Endpoint::new("get", "{api}/archive/documents/{id}", ARCHIVE, || get(archive::one))
        .about("A document: its metadata, chapters and size")
        .answers("ArchiveDocumentView")
        .fails(ERRORS),
    Endpoint::new("delete", "{api}/archive/documents/{id}", ARCHIVE, || {
        axum::routing::delete(archive::remove)
    })
    .about("Delete a document")
    .answers("ArchiveDocumentDeleted")
    .fails(ERRORS),
    Endpoint::new("post", "{api}/archive/search", ARCHIVE, || post(archive::search))
        .about("Passages that fit a query, by words and by meaning")
        .takes("ArchiveSearchRequest", examples::SEARCH)
        .answers("ArchiveSearchResponse")
        .fails(&[400, 413, 422, 500, 503]),
    Endpoint::new("get", "{api}/archive/files", ARCHIVE, || get(archive::files))
        .about("Names of all documents")
        .answers("ArchiveFiles")
        .fails(ERRORS),
    Endpoint::new("get", "{api}/archive/files/content", ARCHIVE, || get(archive::content))
        .about("The whole text of a document")
        .asks(&[FILE_PATH])
        .answers("ArchiveFileContent")
        .fails(ERRORS),
    Endpoint::new("get", "{api}/archive/stats", ARCHIVE, || get(archive::stats))
        .about("How much the archive holds, and where")
        .answers("ArchiveStats")
        .fails(ERRORS),
];
