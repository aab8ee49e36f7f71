//! Documents in, as JSON or as a form with files; listed, told, and taken out.

use std::pin::pin;
use std::sync::Arc;

use async_stream::stream;
use axum::Json;
use axum::body::Bytes;
use axum::extract::multipart::Multipart;
use axum::extract::{FromRequest, Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt as _};
use serde_json::{Map, Value};

use super::wire::{
    ArchiveDocument, ArchiveDocumentDeleted, ArchiveDocumentOutcome, ArchiveDocumentView,
    ArchiveDocuments, ArchiveDocumentsRequest, ArchiveDocumentsResponse, ArchiveIngestEvent,
    ArchiveOutcome, IngestPhase,
};
use super::{TheArchive, file_path, no_file};
use crate::archive::{
    Archive, ArchiveError, DocumentId, FileError, Filter, LARGEST_METADATA, NewDocument, Progress,
};
use crate::http::answer::Wanted;
use crate::http::error::{ApiError, Code};
use crate::http::extract::{JsonBody, PathNames, in_body_time, refused_form};
use crate::http::parameters::{Parameters, wrong};
use crate::http::wire::Completion;
use crate::http::{AppState, Lifecycle, sse};
use crate::metrics::Metrics;

const FORM: &str = "multipart/form-data";
/// Fields of the form.
const FILE: &str = "file";
const FILES: &str = "files";
const METADATA: &str = "metadata";
/// Of one request: what became of each is kept until the answer.
const MOST_FILES: usize = 1_000;

/// A file as it was sent.
struct File {
    name: String,
    bytes: Bytes,
    metadata: Arc<Map<String, Value>>,
}

/// The files of a request.
pub(in super::super) struct Files(Vec<File>);

/// Adds documents. Answers with one JSON object, or, where events are asked for, with the progress
/// as it is made. A client that leaves stops the work; sending the same again goes on with it.
pub(in super::super) async fn add(
    TheArchive(archive): TheArchive,
    State(lifecycle): State<Lifecycle>,
    State(metrics): State<Metrics>,
    wanted: Wanted,
    Files(files): Files,
) -> Result<Response, ApiError> {
    if wanted.or_json() == Wanted::Events {
        let events = adding(archive, files, lifecycle);
        let frames = events.map(move |event| {
            if let Err(error) = &event {
                error.record("a stream", None, &metrics);
            }
            sse::frame(&event.unwrap_or_else(|error| (&error).into()))
        });
        return Ok(sse::response(frames));
    }
    let mut events = pin!(adding(archive, files, lifecycle));
    while let Some(event) = events.next().await {
        if let ArchiveIngestEvent::Result { data, .. } = event? {
            return Ok(Json(data).into_response());
        }
    }
    Err(ApiError::internal("adding documents ended without a result"))
}

pub(in super::super) async fn all(
    TheArchive(archive): TheArchive,
    parameters: Parameters,
) -> Result<Json<ArchiveDocuments>, ApiError> {
    let file = parameters.text("file_name").filter(|name| !name.is_empty()).map(str::to_owned);
    let documents = archive.documents(&Filter { file, metadata: Map::new() }).await?;
    let page = documents.iter().skip(parameters.offset()?).take(parameters.limit()?);
    Ok(Json(ArchiveDocuments {
        documents: page.map(|document| ArchiveDocumentView::from(&**document)).collect(),
        total: documents.len(),
    }))
}

pub(in super::super) async fn one(
    TheArchive(archive): TheArchive,
    names: PathNames,
) -> Result<Json<ArchiveDocumentView>, ApiError> {
    let id = id(names)?;
    let document = archive.document(&id).await?.ok_or_else(|| no_document(id.as_str()))?;
    Ok(Json((&*document).into()))
}

pub(in super::super) async fn remove(
    TheArchive(archive): TheArchive,
    names: PathNames,
) -> Result<Json<ArchiveDocumentDeleted>, ApiError> {
    let id = id(names)?;
    if !archive.remove(&id).await? {
        return Err(no_document(id.as_str()));
    }
    Ok(Json(ArchiveDocumentDeleted { deleted: true }))
}

/// The document of a path.
pub(in super::super) async fn remove_at(
    TheArchive(archive): TheArchive,
    parameters: Parameters,
) -> Result<Json<ArchiveDocumentDeleted>, ApiError> {
    let path = file_path(&parameters)?;
    let document = archive.document_at(path).await?.ok_or_else(|| no_file(path))?;
    if !archive.remove(&document.id).await? {
        return Err(no_file(path));
    }
    Ok(Json(ArchiveDocumentDeleted { deleted: true }))
}

fn id(mut names: PathNames) -> Result<DocumentId, ApiError> {
    let id = names.take("id").unwrap_or_default();
    DocumentId::parse(&id).ok_or_else(|| no_document(&id))
}

fn no_document(id: &str) -> ApiError {
    ApiError::new(Code::NotFound, format!("the archive has no document {id:?}"))
}

/// The files one after the other. A file that can't be read is told in the result, unless it is the
/// only one; whatever keeps all files out ends the stream with an error.
fn adding(
    archive: Archive,
    files: Vec<File>,
    lifecycle: Lifecycle,
) -> impl Stream<Item = Result<ArchiveIngestEvent, ApiError>> + Send {
    stream! {
        let of = files.len();
        let mut documents = Vec::with_capacity(of);
        for (place, file) in files.into_iter().enumerate() {
            let name = file.name.clone();
            let at = |phase, message, share: f64| ArchiveIngestEvent::Status {
                phase,
                message,
                progress: percent((place as f64 + share) / of as f64),
            };
            yield Ok(at(IngestPhase::Reading, format!("Reading {name}"), 0.0));
            let new = match lifecycle.or_stop(read(&archive, file)).await {
                Ok(Ok(Ok(new))) => new,
                Ok(Ok(Err(error))) if of == 1 => return yield Err(refused_file(&error)),
                Ok(Ok(Err(error))) => {
                    documents.push(ArchiveDocumentOutcome::failed(name, error.to_string()));
                    continue;
                }
                Ok(Err(error)) => return yield Err(error.into()),
                Err(stopping) => return yield Err(stopping.into()),
            };
            let mut steps = pin!(archive.ingest(new));
            loop {
                match lifecycle.or_stop(steps.next()).await {
                    Ok(None) => break,
                    Ok(Some(Ok(Progress::Embedded { chunks, of }))) => {
                        let message = format!("{name}: {chunks} of {of} chunks");
                        let share = chunks as f64 / of.max(1) as f64;
                        yield Ok(at(IngestPhase::Embedding, message, share));
                    }
                    Ok(Some(Ok(Progress::Done(done)))) => {
                        yield Ok(at(IngestPhase::Stored, format!("{name} is in the archive"), 1.0));
                        documents.push(ArchiveDocumentOutcome::done(name.clone(), &done));
                    }
                    Ok(Some(Err(error))) => return yield Err(error.into()),
                    Err(stopping) => return yield Err(stopping.into()),
                }
            }
        }
        let is_failed =
            |document: &&ArchiveDocumentOutcome| document.outcome == ArchiveOutcome::Failed;
        let failed = documents.iter().filter(is_failed).count();
        let data = ArchiveDocumentsResponse { total_documents: of, failed, documents };
        yield Ok(ArchiveIngestEvent::Result { data, status: Completion::Complete });
    }
}

async fn read(
    archive: &Archive,
    file: File,
) -> Result<Result<NewDocument, FileError>, ArchiveError> {
    let File { name, bytes, metadata } = file;
    archive.read(name, bytes.into(), Map::clone(&metadata)).await
}

fn refused_file(error: &FileError) -> ApiError {
    match error {
        FileError::Path(error) => wrong(&["file_name"], error.to_string()),
        FileError::Reading(error) if error.is_size() => {
            ApiError::new(Code::BodyTooLarge, error.to_string())
        }
        FileError::Reading(error) => wrong(&["content"], error.to_string()),
        FileError::Metadata => wrong(&["metadata"], error.to_string()),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "shares are between 0 and 1"
)]
fn percent(share: f64) -> u8 {
    (share.clamp(0.0, 1.0) * 100.0) as u8
}

/// As a form, or as JSON.
impl FromRequest<AppState> for Files {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let told = request.headers().get(header::CONTENT_TYPE);
        let told = told.map_or("", |it| it.to_str().unwrap_or("?")).to_ascii_lowercase();
        if told.split(';').next().is_some_and(|told| told.trim() == FORM) {
            let form = Multipart::from_request(request, state).await;
            let form = form.map_err(|error| ApiError::new(Code::BadRequest, error.body_text()));
            return in_body_time(of_form(form?)).await;
        }
        let JsonBody(request) = JsonBody::from_request(request, state).await?;
        let documents = match request {
            ArchiveDocumentsRequest { documents: Some(documents), .. } => documents,
            ArchiveDocumentsRequest { file_name, content, metadata, .. } => {
                let missing = |field| wrong(&[field], "is required, or a list of documents");
                vec![ArchiveDocument {
                    file_name: file_name.ok_or_else(|| missing("file_name"))?,
                    content: content.ok_or_else(|| missing("content"))?,
                    metadata,
                }]
            }
        };
        let file = |ArchiveDocument { file_name, content, metadata }| File {
            name: file_name,
            bytes: content.into(),
            metadata: Arc::new(metadata),
        };
        Self::of(documents.into_iter().map(file).collect(), "documents")
    }
}

impl Files {
    fn of(files: Vec<File>, field: &str) -> Result<Self, ApiError> {
        if files.is_empty() {
            return Err(wrong(&[field], "is required: at least one"));
        }
        if files.len() > MOST_FILES {
            return Err(wrong(
                &[field],
                format!("must be {MOST_FILES} at most: send them in turn"),
            ));
        }
        Ok(Self(files))
    }
}

async fn of_form(mut form: Multipart) -> Result<Files, ApiError> {
    let (mut files, mut metadata) = (Vec::new(), Map::new());
    while let Some(field) = form.next_field().await.map_err(|error| refused_form(&error))? {
        match field.name() {
            Some(FILE | FILES) => {
                let name = field.file_name().unwrap_or_default().to_owned();
                let bytes = field.bytes().await.map_err(|error| refused_form(&error))?;
                files.push((name, bytes));
            }
            Some(METADATA) => {
                let text = field.text().await.map_err(|error| refused_form(&error))?;
                if text.len() > LARGEST_METADATA {
                    let told = format!("must take {LARGEST_METADATA} bytes at most");
                    return Err(wrong(&[METADATA], told));
                }
                metadata = serde_json::from_str(&text)
                    .map_err(|_| wrong(&[METADATA], "must be a JSON object"))?;
            }
            _ => return Err(wrong(&[], "the form's fields are file (any number) and metadata")),
        }
    }
    let metadata = Arc::new(metadata);
    let file = |(name, bytes)| File { name, bytes, metadata: Arc::clone(&metadata) };
    Files::of(files.into_iter().map(file).collect(), FILE)
}
