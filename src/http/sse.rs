//! Server-sent events, whatever they tell: frames of `data: <json>` only, and quiet spells bridged by
//! comments, which clients ignore.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt as _};
use serde::Serialize;

/// How often a quiet stream sends a comment, so that proxies don't close it.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// A stream of these frames.
pub(super) fn response(frames: impl Stream<Item = Event> + Send + 'static) -> Response {
    let mut response = Sse::new(frames.map(Ok::<_, Infallible>))
        .keep_alive(KeepAlive::new().interval(COMMENT_EVERY))
        .into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
    // nginx would otherwise hold the text back until its buffer is full.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// One frame. The types are ours and have only string keys, so they can be written as JSON.
pub(super) fn frame(data: &impl Serialize) -> Event {
    Event::default().json_data(data).unwrap_or_default()
}
