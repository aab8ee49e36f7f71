//! Routes of those who ask the archive.

use axum::routing::{get, post};

use super::Endpoint;
use crate::http::archive::asking;

const ARCHIVE: &str = "archive";

const ASKING_ERRORS: &[u16] = &[400, 404, 413, 422, 429, 500, 502, 503, 504];

pub(super) const ROWS: &[Endpoint] = &[
    Endpoint::new("get", "{api}/archive/rag/status", ARCHIVE, || get(asking::status))
        .about("Whether questions about the archive can be answered")
        .answers("AskingStatus"),
    Endpoint::new("post", "{api}/archive/rag/query", ARCHIVE, || post(asking::query))
        .about("An answer from the archive, with its sources; one JSON object, or events where asked for")
        .takes("AskRequest", asking::QUESTION_EXAMPLE)
        .answers("AskResponse")
        .streams("AskEvent")
        .fails(ASKING_ERRORS),
    Endpoint::new("post", "{api}/archive/rag/query/stream", ARCHIVE, || post(asking::query_stream))
        .about("The same as /archive/rag/query, as it is written")
        .takes("AskRequest", asking::QUESTION_EXAMPLE)
        .answers("AskResponse")
        .streams("AskEvent")
        .fails(ASKING_ERRORS),
    Endpoint::new("post", "{api}/archive/rag/chat", ARCHIVE, || post(asking::chat))
        .about("A conversation about the archive; follow-ups go back to what was asked before")
        .takes("AskChatRequest", asking::CHAT_EXAMPLE)
        .answers("AskResponse")
        .streams("AskEvent")
        .fails(ASKING_ERRORS),
];
