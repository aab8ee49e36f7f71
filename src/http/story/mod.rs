//! The story routes: one handler for all jobs, one a file for what is no job.

pub(super) mod examples;
mod jobs;
mod phase_transition;
mod preview;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

pub(super) use self::jobs::{job, job_in_json, rating};
pub(super) use self::phase_transition::phase_transition;
pub(super) use self::preview::preview;

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
