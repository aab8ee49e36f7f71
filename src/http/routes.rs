//! The table of routes: what the router serves and what the OpenAPI document describes are the same
//! list. To add an endpoint: its handler in a file of its own, its line here.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};

use super::error::Style;
use super::{AppState, HttpSettings, docs, health, layers, receipts, story, tokens};

/// One method on one path.
pub(super) struct Endpoint {
    pub(super) method: &'static str,
    /// `{api}` stands for the configured prefix.
    pub(super) path: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    /// Name of the body's type in [`super::wire::TYPES`].
    pub(super) request: Option<&'static str>,
    /// A body to try it with.
    pub(super) example: Option<&'static str>,
    pub(super) response: &'static str,
    /// Name of the events' type, where the answer can be a stream.
    pub(super) events: Option<&'static str>,
    /// Statuses of errors it can answer.
    pub(super) errors: &'static [u16],
    pub(super) style: Style,
    handler: fn() -> MethodRouter<AppState>,
}

const GENERATION_ERRORS: &[u16] = &[413, 422, 429, 500, 502, 503, 504];

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "get",
        path: "/",
        tag: "server",
        summary: "Name, version and the model's state",
        request: None,
        example: None,
        response: "ServerInfo",
        events: None,
        errors: &[],
        style: Style::Problem,
        handler: || get(health::root),
    },
    Endpoint {
        method: "get",
        path: "/health",
        tag: "server",
        summary: "Whether the server and its model are well; always 200",
        request: None,
        example: None,
        response: "Health",
        events: None,
        errors: &[],
        style: Style::Problem,
        handler: || get(health::health),
    },
    Endpoint {
        method: "post",
        path: "{api}/generate-chapter",
        tag: "story",
        summary: "Write a chapter from a structured context",
        request: Some("GenerateChapterRequest"),
        example: Some(story::EXAMPLE),
        response: "GenerateChapterResponse",
        events: Some("GenerateChapterEvent"),
        errors: GENERATION_ERRORS,
        style: Style::Problem,
        handler: || post(story::generate_chapter),
    },
    Endpoint {
        method: "get",
        path: "{api}/receipts/{id}",
        tag: "story",
        summary: "What a prompt was made of, and why",
        request: None,
        example: None,
        response: "Receipt",
        events: None,
        errors: &[404, 500],
        style: Style::Problem,
        handler: || get(receipts::find),
    },
    Endpoint {
        method: "post",
        path: "{api}/tokens/count",
        tag: "tokens",
        summary: "Count the tokens of one text or many",
        request: Some("TokenCountRequest"),
        example: Some(r#"{"text": "Once upon a time"}"#),
        response: "TokenCountResponse",
        events: None,
        errors: &[400, 413, 422, 503],
        style: Style::Tokens,
        handler: || post(tokens::count),
    },
    Endpoint {
        method: "post",
        path: "{api}/tokens/validate",
        tag: "tokens",
        summary: "Whether texts fit a budget",
        request: Some("TokenValidationRequest"),
        example: Some(r#"{"texts": ["Once upon a time"], "budget": 100}"#),
        response: "TokenValidationResponse",
        events: None,
        errors: &[400, 413, 422, 503],
        style: Style::Tokens,
        handler: || post(tokens::validate),
    },
    Endpoint {
        method: "get",
        path: "{api}/tokens/strategies",
        tag: "tokens",
        summary: "Counting strategies, content types and limits",
        request: None,
        example: None,
        response: "TokenStrategies",
        events: None,
        errors: &[],
        style: Style::Tokens,
        handler: || get(tokens::strategies),
    },
    Endpoint {
        method: "get",
        path: "{api}/tokens/limits",
        tag: "tokens",
        summary: "Recommended token limits of an editor's prompt fields",
        request: None,
        example: None,
        response: "TokenLimits",
        events: None,
        errors: &[],
        style: Style::Tokens,
        handler: || get(tokens::limits),
    },
];

impl Endpoint {
    pub(super) fn full_path(&self, prefix: &str) -> String {
        self.path.replace("{api}", prefix)
    }
}

/// The router of all endpoints and the documentation.
pub(super) fn all(settings: &HttpSettings) -> Router<AppState> {
    let group = |style: Style| {
        ENDPOINTS.iter().filter(|endpoint| endpoint.style == style).fold(
            Router::new(),
            |router, endpoint| {
                router.route(&endpoint.full_path(&settings.api_prefix), (endpoint.handler)())
            },
        )
    };
    let tokens = group(Style::Tokens)
        .layer(from_fn_with_state((Style::Tokens, settings.debug), layers::render_errors));
    group(Style::Problem).merge(tokens).merge(docs::pages(&settings.api_prefix))
}
