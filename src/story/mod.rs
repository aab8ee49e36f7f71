//! What a writer's request means. Stateless: everything a job needs is in its request.
//!
//! A job first decides what the model will see, and only then starts to stream: a request that can't
//! be met is refused with its reason before the first event.

mod container;
mod elements;
mod events;
pub mod generate_chapter;
mod job;

use std::sync::Arc;

pub use self::container::{
    CharacterContext, CharacterState, ContextProcessingConfig, CustomFilters, MinPriority,
    PlotElement, PriorityLevel, StructuredContext, SystemInstruction, UserRequest,
};
pub use self::elements::{Levels, Priorities};
pub use self::events::{ContextMetadata, JobPhase, StoryEvent};
use crate::agents::Profile;
use crate::clock::Clock;
use crate::context::{AllocationMode, ContextError, LayerBudgets, OverflowStrategy, Priority};
use crate::engine::{Engine, EngineError};
use crate::ids::Ids;
use crate::prompts::{PromptError, Prompts};
use crate::receipts::ReceiptBook;
use crate::tokens::{TokenCount, Tokenizers};

/// Everything story jobs work with.
pub struct StoryService {
    pub engine: Arc<dyn Engine>,
    pub prompts: Arc<Prompts>,
    pub tokenizers: Arc<Tokenizers>,
    /// `None` while receipts aren't kept.
    pub receipts: Option<ReceiptBook>,
    pub clock: Clock,
    pub ids: Ids,
    pub settings: StorySettings,
}

/// The settings of story jobs, in the units the jobs use.
#[derive(Clone, Debug)]
pub struct StorySettings {
    pub budgets: LayerBudgets,
    /// Most tokens a prompt may take, however large the window.
    pub most_prompt_tokens: TokenCount,
    pub allocation: AllocationMode,
    pub overflow: OverflowStrategy,
    pub high_priority: Priority,
    pub lowest_priority: Priority,
    pub priorities: Priorities,
    /// Assembly slower than this is noted.
    pub assembly_limit: std::time::Duration,
    pub generation_limit: std::time::Duration,
    pub chapter: Profile,
}

/// Why a job wasn't done.
#[derive(Debug, thiserror::Error)]
pub enum StoryError {
    #[error("{}", list(.0))]
    Invalid(Vec<Fault>),
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error(
        "the request itself takes {fixed} tokens, more than the {budget} a prompt may have here; shorten plotPoint, or allow more with LLM_N_CTX or max_context_length"
    )]
    RequestTooLarge { fixed: TokenCount, budget: TokenCount },
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error("the model wrote nothing; try again, or another model")]
    EmptyAnswer,
    #[error("the job's thread was lost; see the server's log")]
    Lost,
}

/// One thing wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, from the body on: `["structured_context", "character_contexts", "1"]`.
    pub path: Vec<String>,
    pub message: String,
}

fn list(faults: &[Fault]) -> String {
    let lines: Vec<_> =
        faults.iter().map(|fault| format!("{}: {}", fault.path.join("."), fault.message)).collect();
    lines.join("; ")
}
