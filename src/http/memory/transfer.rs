//! Sessions as a whole: copied, written out, read in.

use async_stream::try_stream;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Place;
use super::wire::{MemoryFork, MemoryForkRequest, MemoryImport};
use crate::http::error::ApiError;
use crate::http::extract::{JsonBody, Whole};
use crate::http::parameters::{Parameters, wrong};
use crate::memory::{Format, RecordError};

pub(in super::super) async fn fork(
    place: Place,
    JsonBody(request): JsonBody<MemoryForkRequest>,
) -> Result<(StatusCode, Json<MemoryFork>), ApiError> {
    let MemoryForkRequest { to, at_message } = request;
    let forked = place.memory.fork(place.session, to.clone(), at_message).await?;
    place.chat.look_after(&to);
    Ok((StatusCode::CREATED, Json(MemoryFork::new(to, forked))))
}

pub(in super::super) async fn export(
    place: Place,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let format = match parameters.text("format") {
        None | Some("jsonl") => Format::Jsonl,
        Some("sillytavern") => Format::SillyTavern,
        Some(_) => return Err(wrong(&["format"], "must be jsonl or sillytavern")),
    };
    let mut export = place.memory.export(place.session, format).await?;
    // What fails after the beginning breaks the answer off, so that nobody takes it for whole.
    let lines = try_stream! {
        while let Some(lines) = export.next().await? {
            yield Bytes::from(lines);
        }
    };
    let lines: futures_util::stream::BoxStream<'static, Result<Bytes, RecordError>> =
        Box::pin(lines);
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"session.jsonl\""),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

pub(in super::super) async fn import(
    place: Place,
    parameters: Parameters,
    Whole(body): Whole,
) -> Result<Json<MemoryImport>, ApiError> {
    let replace = parameters.flag("replace")?;
    let imported = place.memory.import(place.session.clone(), body, replace).await?;
    place.look_after();
    Ok(Json(imported.into()))
}
