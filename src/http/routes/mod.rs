//! The table of routes: what the router serves and what the OpenAPI document describes are the same
//! list. To add an endpoint: its handler in a file of its own, its line here.

mod accounts;
mod archive;
mod archive_rag;
mod companions;
mod memory;
mod query;
mod server;
mod story;
mod talk;

use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use axum::{Extension, Router};

pub(super) use self::query::Parameter;
use super::error::Style;
use super::extract::LargestHere;
use super::{AppState, HttpSettings, Limits, docs, keys, layers, limits};

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
    pub(super) query: &'static [Parameter],
    /// Of the answer.
    pub(super) status: u16,
    /// Whether the body is lines of JSON.
    pub(super) takes_lines: bool,
    pub(super) answers_lines: bool,
    /// Content types besides the form, where the body is a file.
    pub(super) takes_files: &'static [&'static str],
    /// Name of the form's type, where the body may be JSON or a form.
    pub(super) form: Option<&'static str>,
    /// Content types, where the answer is a file.
    pub(super) answers_files: &'static [&'static str],
    pub(super) style: Style,
    handler: fn() -> MethodRouter<AppState>,
}

/// Who gets an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody.
    Open,
    /// Who sends one of the server's keys, where it has any.
    Key,
    /// Who is logged in.
    Account,
}

/// Tags of the routes that accounts guard and limits hold.
const OF_ACCOUNTS: [&str; 2] = ["account", "companion"];
/// Tags of the routes whose bodies are small, and the most bytes of one: such a body is read into
/// memory for everybody, and JSON takes far more there.
const OF_SMALL_BODIES: [&str; 4] = ["account", "companion", "sessions", "legacy"];
const SMALL_BODY: usize = 256 * 1024;
/// Where one gets what the others ask for.
const SIGN_IN: [&str; 3] = ["{api}/auth/register", "{api}/auth/login", "{api}/auth/refresh"];

/// Every endpoint there is.
pub(super) fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    let rooms = [
        server::ROWS,
        story::ROWS,
        talk::ROWS,
        talk::IN_SESSION,
        memory::ROWS,
        accounts::ROWS,
        companions::ROWS,
        archive::ROWS,
        archive_rag::ROWS,
    ];
    rooms.into_iter().flatten()
}

impl Endpoint {
    /// One that takes no body, answers nothing and fails never, until the following say otherwise.
    const fn new(
        method: &'static str,
        path: &'static str,
        tag: &'static str,
        handler: fn() -> MethodRouter<AppState>,
    ) -> Self {
        Self {
            method,
            path,
            tag,
            summary: "",
            request: None,
            example: None,
            response: "",
            events: None,
            errors: &[],
            query: &[],
            status: 200,
            takes_lines: false,
            answers_lines: false,
            takes_files: &[],
            form: None,
            answers_files: &[],
            style: Style::Problem,
            handler,
        }
    }

    const fn about(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    /// Name of the body's type, and a body to try it with.
    const fn takes(self, request: &'static str, example: &'static str) -> Self {
        Self { request: Some(request), example: Some(example), ..self }
    }

    /// Name of the body's type, where no body can be tried.
    const fn takes_untried(self, request: &'static str) -> Self {
        Self { request: Some(request), ..self }
    }

    const fn answers(self, response: &'static str) -> Self {
        Self { response, ..self }
    }

    const fn streams(self, events: &'static str) -> Self {
        Self { events: Some(events), ..self }
    }

    const fn fails(self, errors: &'static [u16]) -> Self {
        Self { errors, ..self }
    }

    /// What may stand after the question mark.
    const fn asks(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    /// It answers that something was made, status 201.
    const fn created(self) -> Self {
        Self { status: 201, ..self }
    }

    /// The body is lines of JSON.
    const fn takes_lines(self) -> Self {
        Self { takes_lines: true, ..self }
    }

    const fn answers_lines(self) -> Self {
        Self { answers_lines: true, ..self }
    }

    /// The body may be a form with a file, or a file of these content types.
    const fn takes_files(self, content_types: &'static [&'static str]) -> Self {
        Self { takes_files: content_types, ..self }
    }

    /// The body may be a form as well as JSON.
    const fn takes_forms(self, form: &'static str) -> Self {
        Self { form: Some(form), ..self }
    }

    /// The answer is a file of one of these content types.
    const fn answers_files(self, content_types: &'static [&'static str]) -> Self {
        Self { answers_files: content_types, ..self }
    }

    /// How it tells errors; else as problems.
    const fn tells(self, style: Style) -> Self {
        Self { style, ..self }
    }

    pub(super) fn access(&self) -> Access {
        match self.tag {
            _ if SIGN_IN.contains(&self.path) => Access::Open,
            tag if OF_ACCOUNTS.contains(&tag) => Access::Account,
            "server" if self.path != "/metrics" => Access::Open,
            _ => Access::Key,
        }
    }

    /// Whether addresses and accounts have a share of requests here.
    pub(super) fn is_limited(&self) -> bool {
        OF_ACCOUNTS.contains(&self.tag)
    }

    /// The handler behind what guards it.
    fn guarded(&self, settings: &HttpSettings, limits: &Limits) -> MethodRouter<AppState> {
        let mut handler = (self.handler)();
        if OF_SMALL_BODIES.contains(&self.tag) && SMALL_BODY < settings.max_request_bytes {
            let told = Extension(LargestHere(SMALL_BODY));
            let limit = DefaultBodyLimit::max(SMALL_BODY);
            handler = handler.route_layer(limit).route_layer(told);
        }
        let handler = if self.access() == Access::Key {
            handler.route_layer(from_fn_with_state(settings.keys.clone(), keys::required))
        } else {
            handler
        };
        if SIGN_IN.contains(&self.path) {
            handler.route_layer(from_fn_with_state(limits.clone(), limits::logins))
        } else if self.is_limited() {
            handler.route_layer(from_fn_with_state(limits.clone(), limits::requests))
        } else {
            handler
        }
    }

    pub(super) fn full_path(&self, prefix: &str) -> String {
        self.path.replace("{api}", prefix)
    }
}

/// Names of the endpoints that take a story request: their paths below the prefix.
pub fn story_jobs() -> impl Iterator<Item = &'static str> {
    let jobs = endpoints().filter(|it| it.tag == "story" && it.request.is_some());
    jobs.filter_map(|endpoint| endpoint.path.strip_prefix("{api}/"))
}

/// The path of one of [`story_jobs`].
pub fn story_path(settings: &HttpSettings, endpoint: &str) -> String {
    format!("{}/{endpoint}", settings.api_prefix)
}

/// The router of all endpoints and the documentation.
pub(super) fn all(settings: &HttpSettings, limits: &Limits) -> Router<AppState> {
    let group = |style: Style| {
        endpoints().filter(|endpoint| endpoint.style == style).fold(
            Router::new(),
            |router, endpoint| {
                let path = endpoint.full_path(&settings.api_prefix);
                router.route(&path, endpoint.guarded(settings, limits))
            },
        )
    };
    let styled = |style: Style| {
        group(style).layer(from_fn_with_state((style, settings.debug), layers::render_errors))
    };
    styled(Style::Problem)
        .merge(styled(Style::Tokens))
        .merge(styled(Style::OpenAi))
        .merge(docs::pages(&settings.api_prefix))
}
