//! What a story job tells while it works, and the account it gives of the context.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::StoryError;
use crate::context::{Outcome, Receipt};

/// One step of a job. Ends with exactly one `Result` or `Error`.
#[derive(Debug)]
pub enum StoryEvent<T, E = StoryError> {
    Status {
        phase: JobPhase,
        message: Cow<'static, str>,
        /// Percent.
        progress: u8,
        /// More for programs: how many elements are told shorter, an iteration's verdict.
        data: Option<Value>,
        /// Whose step it is, in a panel.
        member: Option<Member>,
    },
    /// What the model is going to see.
    Context {
        receipt: Box<Receipt>,
        member: Option<Member>,
    },
    /// A piece of text as it is written; where the answer is JSON, a piece of that.
    Partial {
        content: String,
        member: Option<Member>,
    },
    Result(Box<T>),
    Error(E),
}

/// Names a member of a panel, in its events and in its result.
pub type Member = Arc<str>;

impl<T> StoryEvent<T> {
    pub(super) fn status(
        phase: JobPhase,
        message: impl Into<Cow<'static, str>>,
        progress: u8,
    ) -> Self {
        Self::Status { phase, message: message.into(), progress, data: None, member: None }
    }

    pub(super) fn context(receipt: Box<Receipt>) -> Self {
        Self::Context { receipt, member: None }
    }

    pub(super) fn partial(content: String) -> Self {
        Self::Partial { content, member: None }
    }

    pub(super) fn shortening(progress: u8, done: usize, of: usize) -> Self {
        let message = format!("Telling what doesn't fit shorter: {done} of {of}");
        let data = json!({ "shortened": done, "to_shorten": of });
        Self::status(JobPhase::ContextProcessing, message, progress).with_data(data)
    }

    /// What was written so far is void.
    pub(super) fn again(phase: JobPhase, progress: u8, reason: &str) -> Self {
        let message = "The answer can't be used; asking once more";
        let data = json!({ "restart": true, "reason": reason });
        Self::status(phase, message, progress).with_data(data)
    }

    #[must_use]
    pub(super) fn with_data(mut self, more: Value) -> Self {
        if let Self::Status { data, .. } = &mut self {
            *data = Some(more);
        }
        self
    }

    #[must_use]
    pub(super) fn of(mut self, whose: &Member) -> Self {
        match &mut self {
            Self::Status { member, .. }
            | Self::Context { member, .. }
            | Self::Partial { member, .. } => *member = Some(Arc::clone(whose)),
            Self::Result(_) | Self::Error(_) => {}
        }
        self
    }
}

/// The steps of the story contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobPhase {
    ContextProcessing,
    ContextBuilding,
    Initializing,
    Retrieving,
    Analyzing,
    Evaluating,
    Evaluated,
    Generating,
    GeneratingFeedback,
    GeneratingSuggestions,
    Modifying,
    Refining,
    Expanding,
    Processing,
    Formatting,
    Parsing,
    Finalizing,
}

/// How a context was put together: the contract's fields, and the receipt.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ContextMetadata {
    pub total_elements: usize,
    pub processing_applied: bool,
    pub processing_mode: ProcessingMode,
    pub optimization_level: OptimizationLevel,
    /// Tokens used as a share of the tokens the elements have.
    pub compression_ratio: Option<f64>,
    /// Elements in the prompt and left out, by outcome.
    pub filtered_elements: FilteredElements,
    pub processing_time_ms: f64,
    pub created_at: String,
    pub version: String,
    pub receipt: Receipt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProcessingMode {
    Structured,
}

/// How much had to be left out: nothing, under a tenth, under half, or more of the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OptimizationLevel {
    None,
    Light,
    Moderate,
    Aggressive,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilteredElements {
    pub kept: usize,
    pub distilled: usize,
    pub trimmed: usize,
    pub dropped: usize,
}

impl ContextMetadata {
    pub fn new(receipt: Receipt, processing_time_ms: f64) -> Self {
        let mut by_outcome = FilteredElements::default();
        for element in &receipt.elements {
            match element.outcome {
                Outcome::Kept => by_outcome.kept += 1,
                Outcome::Distilled => by_outcome.distilled += 1,
                Outcome::Trimmed => by_outcome.trimmed += 1,
                Outcome::Dropped => by_outcome.dropped += 1,
            }
        }
        let needed: usize = receipt.layers.iter().map(|layer| layer.needed.get()).sum();
        let used: usize = receipt.layers.iter().map(|layer| layer.used.get()).sum();
        let ratio = (needed > 0).then(|| used as f64 / needed as f64);
        let optimization_level = match ratio {
            None => OptimizationLevel::None,
            Some(_) if used == needed => OptimizationLevel::None,
            Some(ratio) if ratio > 0.9 => OptimizationLevel::Light,
            Some(ratio) if ratio > 0.5 => OptimizationLevel::Moderate,
            Some(_) => OptimizationLevel::Aggressive,
        };
        Self {
            total_elements: receipt.elements.len(),
            processing_applied: by_outcome.kept < receipt.elements.len(),
            processing_mode: ProcessingMode::Structured,
            optimization_level,
            compression_ratio: ratio,
            filtered_elements: by_outcome,
            processing_time_ms,
            created_at: receipt.created_at.clone(),
            version: "1.0".to_owned(),
            receipt,
        }
    }
}
