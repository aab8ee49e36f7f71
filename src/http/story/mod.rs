//! The story routes: one handler a file.

mod generate_chapter;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

pub(super) use self::generate_chapter::generate_chapter;

/// The smallest request that shows what a context is.
pub const EXAMPLE: &str = r#"{"structured_context": {"plot_elements": [{"type": "scene", "content": "Hero enters forest", "priority": "high"}], "character_contexts": [{"character_id": "hero", "character_name": "Aria", "current_state": "determined"}], "user_requests": [{"type": "instruction", "content": "Add sensory details", "priority": "high"}]}}"#;

/// RFC 9457, as errors of these routes come.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Problem {
    r#type: String,
    title: String,
    status: u16,
    /// What to do; for an invalid body, a list of `{loc, msg, type}`.
    detail: Value,
    /// What went wrong, for programs.
    code: String,
    errors: Vec<ProblemField>,
}

/// One fault of a body.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProblemField {
    /// Where: a JSON pointer (RFC 6901).
    path: String,
    message: String,
}
