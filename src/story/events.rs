//! What a story job tells while it works, and the account it gives of the context.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StoryError;
use crate::context::{Outcome, Receipt};

/// One step of a job. Ends with exactly one `Result` or `Error`.
#[derive(Debug)]
pub enum StoryEvent<T> {
    Status {
        phase: JobPhase,
        message: &'static str,
        progress: u8,
    },
    /// What the model is going to see.
    Context(Box<Receipt>),
    /// A piece of text as it is written.
    Partial(String),
    Result(Box<T>),
    Error(StoryError),
}

/// The steps of the story contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobPhase {
    ContextProcessing,
    Generating,
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
    pub trimmed: usize,
    pub dropped: usize,
}

impl ContextMetadata {
    pub fn new(receipt: Receipt, processing_time_ms: f64) -> Self {
        let mut by_outcome = FilteredElements::default();
        for element in &receipt.elements {
            match element.outcome {
                Outcome::Kept => by_outcome.kept += 1,
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
            processing_applied: by_outcome.trimmed + by_outcome.dropped > 0,
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
