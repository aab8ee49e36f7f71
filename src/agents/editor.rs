//! The editor: reviews of a text, and the verdict on a rewritten one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::sample_guidance;
use crate::prompts::Prompt;

/// The editor's part of the prompt for a review.
#[derive(Clone, Debug, Serialize)]
pub struct ReviewPrompt {
    pub guidance: String,
}

impl Prompt for ReviewPrompt {
    const FILE: &'static str = "editor/review.j2";

    fn sample() -> Self {
        Self { guidance: sample_guidance() }
    }
}

/// A review, as the editor answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewAnswer {
    #[schemars(length(min = 1, max = 400))]
    pub overall_assessment: String,
    #[schemars(length(min = 1, max = 6))]
    pub suggestions: Vec<Suggestion>,
}

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Suggestion {
    #[schemars(length(min = 1, max = 200))]
    pub issue: String,
    #[schemars(length(min = 1, max = 200))]
    pub suggestion: String,
    pub priority: Urgency,
}

/// How much a suggestion matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Urgency {
    High,
    Medium,
    Low,
}

/// The editor's part of the prompt for a verdict.
#[derive(Clone, Debug, Serialize)]
pub struct EvaluatePrompt {
    pub request: Option<String>,
    pub guidance: String,
}

impl Prompt for EvaluatePrompt {
    const FILE: &'static str = "editor/evaluate.j2";

    fn sample() -> Self {
        Self { request: Some("Let it rain.".into()), guidance: sample_guidance() }
    }
}

/// A verdict, as the editor answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// 1 to 10.
    #[schemars(range(min = 1, max = 10))]
    pub score: u8,
    /// Whether nothing important is left to do.
    pub passes: bool,
    /// What is left to do.
    #[schemars(length(min = 1, max = 400))]
    pub feedback: String,
}
