//! Asking the server without a socket: what the command line's `write` does, so that it can whatever
//! the API can.

use async_stream::try_stream;
use axum::body::{Body, Bytes};
use axum::http::{Request, header};
use futures_util::{Stream, StreamExt};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::App;
use crate::http;

impl App {
    /// Sends a request to a story endpoint and yields the events of its answer; where that is plain
    /// JSON, as the one result. Dropping the stream stops the work.
    pub fn ask(
        &self,
        endpoint: &str,
        body: Vec<u8>,
    ) -> impl Stream<Item = anyhow::Result<Value>> + use<> {
        let router = self.router();
        let path = http::story_path(&self.http, endpoint);
        try_stream! {
            let request = Request::post(path)
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::ACCEPT, "text/event-stream")
                .extension(http::InProcess)
                .body(Body::from(body))?;
            let response = router.oneshot(request).await?;
            let is_stream = response
                .headers()
                .get(header::CONTENT_TYPE)
                .is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream"));
            let status = response.status();
            let mut data = response.into_body().into_data_stream();
            let mut frames = Frames::default();
            while let Some(bytes) = data.next().await {
                frames.seen.extend_from_slice(&bytes?);
                while is_stream && let Some(frame) = frames.next() {
                    if let Some(event) = event(&frame)? {
                        yield event;
                    }
                }
            }
            if !is_stream {
                let answer: Value = serde_json::from_slice(&frames.seen)?;
                if !status.is_success() {
                    Err(anyhow::anyhow!(problem(&answer)))?;
                }
                yield json!({ "type": "result", "data": answer });
            }
        }
    }
}

/// Server-sent events as they arrive: frames end at blank lines.
#[derive(Default)]
struct Frames {
    seen: Vec<u8>,
}

impl Frames {
    fn next(&mut self) -> Option<Bytes> {
        let end = self.seen.windows(2).position(|pair| pair == b"\n\n")?;
        Some(self.seen.drain(..end + 2).collect())
    }
}

/// The JSON of a frame's data; comments have none.
fn event(frame: &[u8]) -> anyhow::Result<Option<Value>> {
    let data = frame.strip_prefix(b"data: ");
    Ok(data.map(serde_json::from_slice).transpose()?)
}

/// A problem in words, as the server's errors tell it.
fn problem(answer: &Value) -> String {
    let faults = answer["errors"].as_array().into_iter().flatten().map(|fault| {
        let (path, message) = (&fault["path"], &fault["message"]);
        format!("{}: {}", path.as_str().unwrap_or_default(), message.as_str().unwrap_or_default())
    });
    let faults: Vec<_> = faults.collect();
    match answer["detail"].as_str() {
        Some(detail) => detail.to_owned(),
        None if !faults.is_empty() => faults.join("\n"),
        None => answer.to_string(),
    }
}
