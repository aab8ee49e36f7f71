//! Routes of the server itself, and of counting tokens.

use axum::routing::{get, post};

use super::Endpoint;
use crate::http::error::Style;
use crate::http::{health, tokens};

const SERVER: &str = "server";
const TOKENS: &str = "tokens";

pub(super) const ROWS: &[Endpoint] = &[
    Endpoint::new("get", "/", SERVER, || get(health::root))
        .about("Name, version and the model's state")
        .answers("ServerInfo"),
    Endpoint::new("get", "/health", SERVER, || get(health::health))
        .about("Whether the server and its model are well; always 200")
        .answers("Health"),
    Endpoint::new("get", "/metrics", SERVER, || get(health::metrics))
        .about("Counters, in Prometheus' text format")
        .answers("Metrics"),
    Endpoint::new("post", "{api}/tokens/count", TOKENS, || post(tokens::count))
        .about("Count the tokens of one text or many")
        .takes("TokenCountRequest", r#"{"text": "Once upon a time"}"#)
        .answers("TokenCountResponse")
        .fails(&[400, 413, 422, 503])
        .tells(Style::Tokens),
    Endpoint::new("post", "{api}/tokens/validate", TOKENS, || post(tokens::validate))
        .about("Whether texts fit a budget")
        .takes("TokenValidationRequest", r#"{"texts": ["Once upon a time"], "budget": 100}"#)
        .answers("TokenValidationResponse")
        .fails(&[400, 413, 422, 503])
        .tells(Style::Tokens),
    Endpoint::new("get", "{api}/tokens/strategies", TOKENS, || get(tokens::strategies))
        .about("Counting strategies, content types and limits")
        .answers("TokenStrategies")
        .tells(Style::Tokens),
    Endpoint::new("get", "{api}/tokens/limits", TOKENS, || get(tokens::limits))
        .about("Recommended token limits of an editor's prompt fields")
        .answers("TokenLimits")
        .tells(Style::Tokens),
];
