//! One error for all routes, and one table: code → status → log level → title. A handler's `?` makes
//! an [`ApiError`]; it travels in the response's extensions, and one layer renders and logs it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tracing::Level;

use crate::chat::ChatError;
use crate::context::ContextError;
use crate::engine::EngineError;
use crate::memory::RecordError;
use crate::store::StoreError;
use crate::story::StoryError;

/// What went wrong, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    MalformedJson,
    ValidationFailed,
    ContextTooLarge,
    ContradictoryFilters,
    BodyTooLarge,
    BadRequest,
    NotFound,
    Conflict,
    MethodNotAllowed,
    QueueFull,
    LlmLoading,
    LlmNotAvailable,
    LlmFailed,
    LlmUnsupported,
    LlmRefused,
    LlmUnreachable,
    LlmTimeout,
    EmptyAnswer,
    BadAnswer,
    IterationError,
    MaxIterationsExceeded,
    DeadlinePassed,
    ShuttingDown,
    MemoryOff,
    Internal,
}

impl Code {
    /// Wire name, status, level of the log line, title.
    fn row(self) -> (&'static str, StatusCode, Level, &'static str) {
        use StatusCode as S;
        match self {
            Self::MalformedJson => {
                ("MALFORMED_JSON", S::UNPROCESSABLE_ENTITY, Level::INFO, "The body is not JSON")
            }
            Self::ValidationFailed => (
                "VALIDATION_FAILED",
                S::UNPROCESSABLE_ENTITY,
                Level::INFO,
                "The request is not valid",
            ),
            Self::ContextTooLarge => (
                "CONTEXT_TOO_LARGE",
                S::UNPROCESSABLE_ENTITY,
                Level::INFO,
                "The context does not fit",
            ),
            Self::ContradictoryFilters => (
                "CONTRADICTORY_FILTERS",
                S::UNPROCESSABLE_ENTITY,
                Level::INFO,
                "The filters contradict each other",
            ),
            Self::BodyTooLarge => {
                ("BODY_TOO_LARGE", S::PAYLOAD_TOO_LARGE, Level::INFO, "The body is too large")
            }
            Self::BadRequest => {
                ("BAD_REQUEST", S::BAD_REQUEST, Level::INFO, "The request cannot be read")
            }
            Self::NotFound => ("NOT_FOUND", S::NOT_FOUND, Level::INFO, "There is nothing here"),
            Self::Conflict => {
                ("CONFLICT", S::CONFLICT, Level::INFO, "It is in the way of something else")
            }
            Self::MethodNotAllowed => (
                "METHOD_NOT_ALLOWED",
                S::METHOD_NOT_ALLOWED,
                Level::INFO,
                "This path has no such method",
            ),
            Self::QueueFull => {
                ("QUEUE_FULL", S::TOO_MANY_REQUESTS, Level::WARN, "Too many requests are waiting")
            }
            Self::LlmLoading => {
                ("LLM_LOADING", S::SERVICE_UNAVAILABLE, Level::INFO, "The model is loading")
            }
            Self::LlmNotAvailable => {
                ("LLM_NOT_AVAILABLE", S::SERVICE_UNAVAILABLE, Level::WARN, "There is no model")
            }
            Self::LlmFailed => {
                ("LLM_FAILED", S::INTERNAL_SERVER_ERROR, Level::ERROR, "The model failed")
            }
            Self::LlmUnsupported => {
                ("LLM_UNSUPPORTED", S::BAD_REQUEST, Level::INFO, "The model can't do this")
            }
            Self::LlmRefused => {
                ("LLM_REFUSED", S::BAD_GATEWAY, Level::WARN, "The model's server refused")
            }
            Self::LlmUnreachable => {
                ("LLM_UNREACHABLE", S::BAD_GATEWAY, Level::WARN, "The model's server failed")
            }
            Self::LlmTimeout => {
                ("LLM_TIMEOUT", S::GATEWAY_TIMEOUT, Level::WARN, "The model's server is too slow")
            }
            Self::EmptyAnswer => {
                ("EMPTY_ANSWER", S::BAD_GATEWAY, Level::WARN, "The model wrote nothing")
            }
            Self::BadAnswer => {
                ("BAD_ANSWER", S::BAD_GATEWAY, Level::WARN, "The model's answer can't be used")
            }
            Self::IterationError => {
                ("ITERATION_ERROR", S::BAD_GATEWAY, Level::WARN, "An iteration failed")
            }
            Self::MaxIterationsExceeded => (
                "MAX_ITERATIONS_EXCEEDED",
                S::UNPROCESSABLE_ENTITY,
                Level::INFO,
                "The editor is not satisfied",
            ),
            Self::DeadlinePassed => {
                ("DEADLINE_PASSED", S::GATEWAY_TIMEOUT, Level::WARN, "It took too long")
            }
            Self::ShuttingDown => {
                ("SHUTTING_DOWN", S::SERVICE_UNAVAILABLE, Level::INFO, "The server is stopping")
            }
            Self::MemoryOff => {
                ("MEMORY_OFF", S::SERVICE_UNAVAILABLE, Level::INFO, "Nothing is remembered here")
            }
            Self::Internal => {
                ("INTERNAL", S::INTERNAL_SERVER_ERROR, Level::ERROR, "Something broke")
            }
        }
    }

    pub fn name(self) -> &'static str {
        self.row().0
    }

    pub fn status(self) -> StatusCode {
        self.row().1
    }

    fn level(self) -> Level {
        self.row().2
    }

    fn title(self) -> &'static str {
        self.row().3
    }
}

/// An error on its way to a client. `detail` is for everybody; `cause` only for the log, and for
/// clients while `DEBUG` is on.
#[derive(Clone, Debug)]
pub struct ApiError {
    pub code: Code,
    pub detail: String,
    pub faults: Vec<FieldFault>,
    /// More for programs: sizes per layer, for example.
    pub more: Option<(&'static str, Value)>,
    pub retry_after_seconds: Option<u64>,
    pub cause: Option<String>,
}

/// One fault in a body, with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldFault {
    /// Keys and indices from the body on.
    pub path: Vec<Value>,
    pub message: String,
    pub kind: FaultKind,
}

/// The kinds of faults that FastAPI's clients tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    NotJson,
    Missing,
    Wrong,
}

impl FaultKind {
    fn name(self) -> &'static str {
        match self {
            Self::NotJson => "json_invalid",
            Self::Missing => "missing",
            Self::Wrong => "value_error",
        }
    }
}

impl FieldFault {
    /// RFC 6901.
    fn pointer(&self) -> String {
        let part = |part: &Value| match part {
            Value::String(key) => key.replace('~', "~0").replace('/', "~1"),
            other => other.to_string(),
        };
        self.path.iter().flat_map(|step| ["/".to_owned(), part(step)]).collect()
    }

    /// The place as FastAPI tells it.
    fn location(&self) -> Vec<Value> {
        std::iter::once(Value::from("body")).chain(self.path.iter().cloned()).collect()
    }
}

/// In [`ApiError::more`], what an event carries as its whole `data`.
pub(super) const DATA: &str = "data";

/// Ten thousand elements with the same mistake need not be listed ten thousand times.
pub(super) const MOST_FAULTS: usize = 50;

/// The shapes an error can take on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// RFC 9457. For an invalid body `detail` is the list that FastAPI's clients read.
    Problem,
    /// The token routes' `{success: false, error, details}`.
    Tokens,
    /// OpenAI's `{error: {message, type, param, code}}`; what can't be understood is 400.
    OpenAi,
}

impl ApiError {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            faults: Vec::new(),
            more: None,
            retry_after_seconds: None,
            cause: None,
        }
    }

    pub fn invalid(faults: Vec<FieldFault>) -> Self {
        let lines: Vec<_> = faults
            .iter()
            .map(|fault| match fault.pointer() {
                pointer if pointer.is_empty() => fault.message.clone(),
                pointer => format!("{pointer}: {}", fault.message),
            })
            .collect();
        Self { faults, ..Self::new(Code::ValidationFailed, lines.join("; ")) }
    }

    pub(super) fn internal(cause: impl std::fmt::Display) -> Self {
        Self {
            cause: Some(cause.to_string()),
            ..Self::new(Code::Internal, "the server failed; its log says more")
        }
    }

    /// The one log line of an error. A fault's message may quote what the client wrote, and so does
    /// `detail` then; the log keeps to code, cause and count.
    pub(super) fn log(&self, of_what: &str, duration_ms: Option<f64>) {
        let (code, status) = (self.code.name(), self.code.status().as_u16());
        let (cause, faults) = (self.cause.as_deref(), self.faults.len());
        match self.code.level() {
            Level::ERROR => {
                tracing::error!(status, code, duration_ms, cause, faults, "{of_what}: {code}");
            }
            Level::WARN => {
                tracing::warn!(status, code, duration_ms, cause, faults, "{of_what}: {code}");
            }
            _ => tracing::info!(status, code, duration_ms, cause, faults, "{of_what}: {code}"),
        }
    }

    pub(super) fn body(&self, style: Style, debug: bool) -> Value {
        let mut body = match style {
            Style::Problem => self.problem(),
            Style::OpenAi => return self.openai(debug),
            Style::Tokens => json!({
                "success": false,
                "error": self.detail,
                "details": { "code": self.code.name(), "errors": self.field_errors() },
            }),
        };
        if let Some((name, value)) = &self.more {
            body[name] = value.clone();
        }
        if let Some(cause) = self.cause.as_ref().filter(|_| debug) {
            body["cause"] = json!(cause);
        }
        body
    }

    fn problem(&self) -> Value {
        let detail = match self.code {
            Code::ValidationFailed | Code::MalformedJson => self.fastapi_detail(),
            _ => json!(self.detail),
        };
        json!({
            "type": "about:blank",
            "title": self.code.title(),
            "status": self.code.status().as_u16(),
            "detail": detail,
            "code": self.code.name(),
            "errors": self.field_errors(),
        })
    }

    fn openai(&self, debug: bool) -> Value {
        let status = self.status(Style::OpenAi);
        let kind = match status.as_u16() {
            429 => "rate_limit_error",
            401 | 403 => "authentication_error",
            404 => "not_found_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        };
        let param = self.faults.first().map(FieldFault::pointer);
        let param = param.map(|pointer| pointer.trim_start_matches('/').replace('/', "."));
        let mut error = json!({
            "message": self.detail,
            "type": kind,
            "param": param.filter(|param| !param.is_empty()),
            "code": self.code.name().to_ascii_lowercase(),
        });
        if let Some(cause) = self.cause.as_ref().filter(|_| debug) {
            error["cause"] = json!(cause);
        }
        json!({ "error": error })
    }

    /// The status, as clients of this style know it.
    pub(super) fn status(&self, style: Style) -> StatusCode {
        match self.code.status() {
            StatusCode::UNPROCESSABLE_ENTITY if style == Style::OpenAi => StatusCode::BAD_REQUEST,
            status => status,
        }
    }

    fn field_errors(&self) -> Vec<Value> {
        let error =
            |fault: &FieldFault| json!({ "path": fault.pointer(), "message": fault.message });
        self.faults.iter().map(error).collect()
    }

    fn fastapi_detail(&self) -> Value {
        let item = |fault: &FieldFault| json!({ "loc": fault.location(), "msg": fault.message, "type": fault.kind.name() });
        self.faults.iter().map(item).collect()
    }
}

impl IntoResponse for ApiError {
    /// Only status and extension: the layer around the routes writes the body.
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoryError> for ApiError {
    fn from(error: StoryError) -> Self {
        let detail = error.to_string();
        match error {
            StoryError::Invalid(faults) => {
                let fault = |fault: crate::story::Fault| FieldFault {
                    path: fault.path.into_iter().map(key_or_index).collect(),
                    message: fault.message,
                    kind: match fault.kind {
                        crate::story::FaultKind::Missing => FaultKind::Missing,
                        crate::story::FaultKind::Wrong => FaultKind::Wrong,
                    },
                };
                Self::invalid(faults.into_iter().take(MOST_FAULTS).map(fault).collect())
            }
            StoryError::Context(error) => error.into(),
            StoryError::RequestTooLarge { .. } => Self::new(Code::ContextTooLarge, detail),
            StoryError::Engine(error) => error.into(),
            StoryError::EmptyAnswer => Self::new(Code::EmptyAnswer, detail),
            StoryError::BadAnswer(_) => Self::new(Code::BadAnswer, detail),
            StoryError::BadRequest(_) | StoryError::Transition(_) => {
                Self::new(Code::BadRequest, detail)
            }
            StoryError::Iteration { exhausted, data, .. } => {
                let code =
                    if exhausted { Code::MaxIterationsExceeded } else { Code::IterationError };
                Self { more: Some((DATA, data)), ..Self::new(code, detail) }
            }
            StoryError::Prompt(_) | StoryError::Distil(_) | StoryError::Lost => {
                Self::internal(detail)
            }
        }
    }
}

impl From<ChatError> for ApiError {
    fn from(error: ChatError) -> Self {
        let detail = error.to_string();
        match error {
            ChatError::Context(error) => error.into(),
            ChatError::Engine(error) => error.into(),
            ChatError::TooLarge { .. } => Self::new(Code::ContextTooLarge, detail),
            ChatError::Prompt(_) | ChatError::Lost => Self::internal(detail),
        }
    }
}

impl From<ContextError> for ApiError {
    fn from(error: ContextError) -> Self {
        let detail = error.to_string();
        match error {
            ContextError::HighPriorityTooLarge { layers, .. }
            | ContextError::Overflow { layers, .. } => Self {
                more: Some(("layers", json!(layers))),
                ..Self::new(Code::ContextTooLarge, detail)
            },
            ContextError::ContradictoryFilter(_) => Self::new(Code::ContradictoryFilters, detail),
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let detail = error.to_string();
        match error {
            EngineError::Loading { .. } => {
                Self { retry_after_seconds: Some(2), ..Self::new(Code::LlmLoading, detail) }
            }
            EngineError::Unavailable(_) => Self::new(Code::LlmNotAvailable, detail),
            EngineError::QueueFull { retry_after_seconds, .. } => Self {
                retry_after_seconds: Some(retry_after_seconds),
                ..Self::new(Code::QueueFull, detail)
            },
            EngineError::PromptTooLong { .. } => Self::new(Code::ContextTooLarge, detail),
            EngineError::Unsupported(_) => Self::new(Code::LlmUnsupported, detail),
            EngineError::LogitBias(_) => Self::new(Code::BadRequest, detail),
            EngineError::Refused { .. } => Self::new(Code::LlmRefused, detail),
            EngineError::Unreachable(_) | EngineError::BadAnswer(_) => {
                Self::new(Code::LlmUnreachable, detail)
            }
            EngineError::TooSlow(_) => Self::new(Code::LlmTimeout, detail),
            EngineError::DeadlinePassed => Self::new(Code::DeadlinePassed, detail),
            EngineError::ShuttingDown => Self::new(Code::ShuttingDown, detail),
            EngineError::Template(_)
            | EngineError::Schema(_)
            | EngineError::Backend(_)
            | EngineError::Lost => Self::new(Code::LlmFailed, detail),
        }
    }
}

impl From<RecordError> for ApiError {
    fn from(error: RecordError) -> Self {
        let detail = error.to_string();
        let invalid = |path, message| {
            Self::invalid(vec![FieldFault { path, message, kind: FaultKind::Wrong }])
        };
        match error {
            RecordError::NoSession | RecordError::NoMessage(_) | RecordError::NoFact(_) => {
                Self::new(Code::NotFound, detail)
            }
            RecordError::Exists | RecordError::Superseded { .. } => {
                Self::new(Code::Conflict, detail)
            }
            RecordError::Wrong { field, fault } => invalid(vec![field.into()], fault.to_owned()),
            RecordError::Line { line, .. } => invalid(vec![line.into()], detail),
            RecordError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::internal(error)
    }
}

/// Indices came as text.
fn key_or_index(step: String) -> Value {
    step.parse::<u64>().map_or(Value::String(step), Value::from)
}
