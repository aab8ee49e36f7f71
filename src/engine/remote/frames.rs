//! An answer's body as the frames it comes in: server-sent events or lines, however the network cuts
//! them. No frame may grow without end.

use std::io::Cursor;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_stream::try_stream;
use futures_util::{Stream, StreamExt as _, stream};
use reqwest::Response;
use sse_stream::{Error, SseByteStream};

use super::failure::Failure;

/// Bytes of one frame; real ones have hundreds.
const LONGEST_FRAME: usize = 4 << 20;

/// How a provider cuts its answers into frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Server-sent events; a frame is the data of one.
    Events,
    /// One JSON value a line.
    Lines,
}

pub(super) type Frames = Pin<Box<dyn Stream<Item = Result<String, Failure>> + Send>>;

/// Why there is no next frame.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Connection(#[from] reqwest::Error),
    #[error("a frame of more than {LONGEST_FRAME} bytes")]
    TooLong,
    #[error("bytes that are no UTF-8")]
    NoText,
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Connection(error) => Self::connection(error),
            other => Self::nonsense(other.to_string()),
        }
    }
}

pub(super) fn frames(response: Response, framing: Framing) -> Frames {
    let bytes = response.bytes_stream().map(|piece| Ok(piece?.to_vec()));
    match framing {
        Framing::Events => Box::pin(events(bytes)),
        Framing::Lines => Box::pin(lines(bytes)),
    }
}

fn events(
    bytes: impl Stream<Item = Result<Vec<u8>, Broken>> + Send,
) -> impl Stream<Item = Result<String, Failure>> + Send {
    let since_an_event = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&since_an_event);
    let bytes = bytes.map(move |piece| {
        let piece = piece?;
        let before = counted.fetch_add(piece.len(), Ordering::Relaxed);
        if before + piece.len() > LONGEST_FRAME { Err(Broken::TooLong) } else { Ok(piece) }
    });
    // Some servers leave out the blank line after the last event.
    let end = stream::once(std::future::ready(Ok(b"\n\n".to_vec())));
    let events = SseByteStream::new(Box::pin(bytes.chain(end).map(|it| it.map(Cursor::new))));
    events.filter_map(move |event| {
        since_an_event.store(0, Ordering::Relaxed);
        std::future::ready(match event {
            Ok(event) => event.data.filter(|data| !data.is_empty()).map(Ok),
            Err(Error::Body(error)) => Some(Err(match error.downcast::<Broken>() {
                Ok(broken) => Failure::from(*broken),
                Err(other) => Failure::nonsense(other.to_string()),
            })),
            Err(_) => Some(Err(Broken::NoText.into())),
        })
    })
}

fn lines(
    bytes: impl Stream<Item = Result<Vec<u8>, Broken>> + Send,
) -> impl Stream<Item = Result<String, Failure>> + Send {
    let bytes = Box::pin(bytes);
    try_stream! {
        let mut line = Vec::new();
        for await piece in bytes {
            let piece: Vec<u8> = piece?;
            let mut parts = piece.split(|&byte| byte == b'\n');
            line.extend_from_slice(parts.next().unwrap_or_default());
            for part in parts {
                if let Some(line) = text(&line)? {
                    yield line;
                }
                line.clear();
                line.extend_from_slice(part);
            }
            if line.len() > LONGEST_FRAME {
                Err(Broken::TooLong)?;
            }
        }
        if let Some(line) = text(&line)? {
            yield line;
        }
    }
}

fn text(line: &[u8]) -> Result<Option<String>, Failure> {
    let text = std::str::from_utf8(line).map_err(|_| Broken::NoText)?.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The frames of a body that comes in pieces of these lengths, again and again.
    fn read(body: &[u8], lengths: &[usize], framing: Framing) -> Result<Vec<String>, Failure> {
        let mut pieces = Vec::new();
        let (mut rest, mut lengths) = (body, lengths.iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*lengths.next().unwrap()).clamp(1, rest.len()));
            pieces.push(Ok(piece.to_vec()));
            rest = after;
        }
        let pieces = stream::iter(pieces);
        let frames: Frames = match framing {
            Framing::Events => Box::pin(events(pieces)),
            Framing::Lines => Box::pin(lines(pieces)),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(frames.collect::<Vec<_>>()).into_iter().collect()
    }

    const EVENTS: &str = "\u{feff}: a comment\r\ndata: {\"a\":\"Grüße 🦊\"}\r\n\r\ndata:{\"b\":1}\n\n\
        event: x\nid: 7\ndata: two\ndata: lines\n\n:\n\nretry: 5\n\ndata: [DONE]";

    proptest! {
        #[test]
        fn events_are_the_same_however_they_are_cut(
            lengths in proptest::collection::vec(1_usize..9, 1..9),
        ) {
            let frames = read(EVENTS.as_bytes(), &lengths, Framing::Events).unwrap();
            prop_assert_eq!(
                frames,
                ["{\"a\":\"Grüße 🦊\"}", "{\"b\":1}", "two\nlines", "[DONE]"]
            );
        }

        #[test]
        fn lines_are_the_same_however_they_are_cut(
            lengths in proptest::collection::vec(1_usize..9, 1..9),
        ) {
            let body = "{\"a\":\"Grüße 🦊\"}\n\r\n{\"b\":1}\r\n{\"c\":2}";
            let frames = read(body.as_bytes(), &lengths, Framing::Lines).unwrap();
            prop_assert_eq!(frames, ["{\"a\":\"Grüße 🦊\"}", "{\"b\":1}", "{\"c\":2}"]);
        }

        #[test]
        fn no_bytes_make_a_reader_panic(
            body in proptest::collection::vec(any::<u8>(), 0..200),
            lengths in proptest::collection::vec(1_usize..50, 1..5),
        ) {
            let _ = read(&body, &lengths, Framing::Events);
            let _ = read(&body, &lengths, Framing::Lines);
        }
    }

    #[test]
    fn a_frame_without_end_and_bytes_that_are_no_text_are_errors() {
        for framing in [Framing::Events, Framing::Lines] {
            let endless = [b"data: ".to_vec(), vec![b'a'; LONGEST_FRAME + 1]].concat();
            let failure = read(&endless, &[1 << 16], framing).unwrap_err();
            assert!(failure.error.to_string().contains("bytes") && !failure.again);
            read(b"data: \xff\xfe\n\n", &[3], framing).unwrap_err();
        }
    }
}
