//! One error for all routes. A handler's `?` makes an [`ApiError`]; it travels in the response's
//! extensions, and one layer renders, logs and counts it.

mod code;
mod origins;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tracing::Level;

pub use self::code::Code;
use crate::metrics::Metrics;

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

/// OpenAI's header for whether asking again may help.
pub(super) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

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

    /// Counts an error and writes its one log line. A fault's message may quote what the client wrote,
    /// and so does `detail` then; the log keeps to code, cause and count.
    pub(super) fn record(&self, of_what: &str, duration_ms: Option<f64>, metrics: &Metrics) {
        metrics.errors.with_label_values(&[self.code.name()]).inc();
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
            "code": self.code.name_at_openai(),
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
        if self.code == Code::Unauthorized {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.code == Code::LlmRefused {
            // OpenAI's clients would otherwise send again what a 502 answers.
            response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        response.extensions_mut().insert(self);
        response
    }
}
