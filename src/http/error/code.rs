//! The table of codes: what each is called, its status, how loud its log line is, its title.

use axum::http::StatusCode;
use tracing::Level;

/// What went wrong, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    MalformedJson,
    ValidationFailed,
    ContextTooLarge,
    ContradictoryFilters,
    BodyTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    Conflict,
    MethodNotAllowed,
    RateLimited,
    QueueFull,
    LlmLoading,
    LlmNotAvailable,
    LlmFailed,
    LlmUnsupported,
    LlmRefused,
    LlmRefusedRequest,
    LlmRateLimited,
    LlmUnreachable,
    LlmTimeout,
    EmptyAnswer,
    BadAnswer,
    IterationError,
    MaxIterationsExceeded,
    DeadlinePassed,
    ShuttingDown,
    TooManySockets,
    MemoryOff,
    ArchiveOff,
    ArchiveUnavailable,
    UnknownPersona,
    TooManySessions,
    ConversationBusy,
    DatabaseUnavailable,
    Internal,
}

impl Code {
    /// Wire name, status, level of the log line, title.
    #[expect(clippy::too_many_lines, reason = "it is a table")]
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
            Self::RequestTimeout => {
                ("REQUEST_TIMEOUT", S::REQUEST_TIMEOUT, Level::INFO, "The body came too slowly")
            }
            Self::UnsupportedMediaType => (
                "UNSUPPORTED_MEDIA_TYPE",
                S::UNSUPPORTED_MEDIA_TYPE,
                Level::INFO,
                "This kind of file is not read",
            ),
            Self::BadRequest => {
                ("BAD_REQUEST", S::BAD_REQUEST, Level::INFO, "The request cannot be read")
            }
            Self::Unauthorized => {
                ("UNAUTHORIZED", S::UNAUTHORIZED, Level::INFO, "Who asks isn't known")
            }
            Self::Forbidden => ("FORBIDDEN", S::FORBIDDEN, Level::INFO, "This isn't allowed"),
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
            Self::RateLimited => {
                ("RATE_LIMITED", S::TOO_MANY_REQUESTS, Level::INFO, "This is asked too often")
            }
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
            Self::LlmRefusedRequest => (
                "LLM_REFUSED_REQUEST",
                S::BAD_REQUEST,
                Level::WARN,
                "The model's server doesn't take this",
            ),
            Self::LlmRateLimited => (
                "LLM_RATE_LIMITED",
                S::TOO_MANY_REQUESTS,
                Level::WARN,
                "The model's server is asked too often",
            ),
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
            Self::TooManySockets => (
                "TOO_MANY_SOCKETS",
                S::SERVICE_UNAVAILABLE,
                Level::WARN,
                "Too many sockets are open",
            ),
            Self::MemoryOff => {
                ("MEMORY_OFF", S::SERVICE_UNAVAILABLE, Level::INFO, "Nothing is remembered here")
            }
            Self::ArchiveOff => {
                ("ARCHIVE_OFF", S::SERVICE_UNAVAILABLE, Level::INFO, "There is no archive here")
            }
            Self::ArchiveUnavailable => (
                "ARCHIVE_UNAVAILABLE",
                S::SERVICE_UNAVAILABLE,
                Level::WARN,
                "The archive can't be used",
            ),
            Self::UnknownPersona => {
                ("UNKNOWN_PERSONA", S::BAD_REQUEST, Level::INFO, "There is no such persona")
            }
            Self::TooManySessions => (
                "TOO_MANY_SESSIONS",
                S::TOO_MANY_REQUESTS,
                Level::INFO,
                "The user has too many sessions",
            ),
            Self::ConversationBusy => (
                "CONVERSATION_BUSY",
                S::TOO_MANY_REQUESTS,
                Level::INFO,
                "The conversation is being answered",
            ),
            Self::DatabaseUnavailable => (
                "DATABASE_UNAVAILABLE",
                S::SERVICE_UNAVAILABLE,
                Level::ERROR,
                "The database can't be used",
            ),
            Self::Internal => {
                ("INTERNAL", S::INTERNAL_SERVER_ERROR, Level::ERROR, "Something broke")
            }
        }
    }

    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// What OpenAI's clients know it by.
    pub(super) fn name_at_openai(self) -> String {
        match self {
            Self::ContextTooLarge => "context_length_exceeded".to_owned(),
            _ => self.name().to_ascii_lowercase(),
        }
    }

    pub fn status(self) -> StatusCode {
        self.row().1
    }

    pub(super) fn level(self) -> Level {
        self.row().2
    }

    pub(super) fn title(self) -> &'static str {
        self.row().3
    }
}
