//! What a writer's request means. Stateless: everything a job needs is in its request.
//!
//! A job first decides what the model will see, and only then starts to stream: a request that can't
//! be met is refused with its reason before the first event.

mod agentic_modify_chapter;
mod answering;
mod chapter_outlines;
mod character_details;
mod character_feedback;
mod consultation;
mod container;
mod conversation;
mod editor_review;
mod elements;
mod events;
mod flesh_out;
mod full_state;
mod generate_chapter;
mod job;
mod modify_chapter;
mod panel;
mod phase_transition;
mod preview;
mod rater_feedback;
mod regenerate_bio;
mod shortening;
mod single;
mod source;

use std::sync::Arc;

pub use self::agentic_modify_chapter::{AgenticModifyRequest, AgenticModifyResponse};
pub use self::chapter_outlines::{ChapterOutlineRequest, ChapterOutlineResponse};
pub use self::character_details::{CharacterDetailsRequest, CharacterDetailsResponse};
pub use self::character_feedback::{CharacterFeedbackRequest, CharacterFeedbackResponse};
pub use self::consultation::Consultation;
pub use self::container::{
    CharacterContext, CharacterState, ContextProcessingConfig, CustomFilters, MinPriority,
    PlotElement, PriorityLevel, StructuredContext, SystemInstruction, UserRequest,
};
pub use self::conversation::{ConversationRequest, ConversationResponse};
pub use self::editor_review::{EditorReviewRequest, EditorReviewResponse};
pub use self::elements::{Levels, Priorities};
pub use self::events::{ContextMetadata, JobPhase, Member, StoryEvent};
pub use self::flesh_out::{FleshOutRequest, FleshOutResponse};
pub use self::generate_chapter::{GenerateChapterRequest, GenerateChapterResponse};
pub use self::modify_chapter::{ModifyChapterRequest, ModifyChapterResponse};
pub use self::panel::{PanelRequest, PanelResponse};
pub use self::phase_transition::{
    PhaseTransitionRequest, PhaseTransitionResponse, PhaseValidation, Presence, TransitionError,
};
pub use self::preview::{PreviewRequest, PreviewResponse};
pub use self::rater_feedback::{RaterFeedbackRequest, RaterFeedbackResponse};
pub use self::regenerate_bio::{RegenerateBioRequest, RegenerateBioResponse};
pub use self::single::{Degradation, Events, StoryRequest, SuggestionForm};
use crate::agents::Profile;
use crate::archive::Archive;
use crate::clock::Clock;
use crate::context::{
    AllocationMode, ContextError, LayerBudgets, OverflowStrategy, Priority, TooLong,
};
use crate::distil::{DistilError, Distiller};
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
    pub distiller: Distiller,
    /// `None` while receipts aren't kept.
    pub receipts: Option<ReceiptBook>,
    /// Where passages are looked up; `None` while there is no archive, or nothing is to be looked up.
    pub archive: Option<Archive>,
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
    /// Tokens of context above which it is told shorter even if it fits.
    pub summarization_threshold: TokenCount,
    pub profiles: Profiles,
    pub phase_validation: PhaseValidation,
}

/// How each job writes.
#[derive(Clone, Debug)]
pub struct Profiles {
    pub chapter: Profile,
    pub modify: Profile,
    pub character: Profile,
    pub editor: Profile,
    pub rater: Profile,
    pub flesh_out: Profile,
    pub character_details: Profile,
    pub biography: Profile,
    pub outline: Profile,
    pub conversation: Profile,
    pub verdict: Profile,
}

impl StoryService {
    /// Whether a phase of writing is done well enough to go on.
    pub fn judge_transition(
        &self,
        request: &PhaseTransitionRequest,
    ) -> Result<PhaseTransitionResponse, StoryError> {
        Ok(request.judge(&self.settings.phase_validation, self.clock.now())?)
    }
}

/// Why a job wasn't done.
#[derive(Debug, thiserror::Error)]
pub enum StoryError {
    #[error("{}", list(.0))]
    Invalid(Vec<Fault>),
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error(
        "the request itself takes {fixed} tokens, more than the {budget} a prompt may have here; shorten it, or allow more with LLM_N_CTX or max_context_length"
    )]
    RequestTooLarge { fixed: TokenCount, budget: TokenCount },
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Distil(#[from] DistilError),
    #[error("the model wrote nothing; try again, or another model")]
    EmptyAnswer,
    #[error("the model's answer can't be used: {0}; try again, or another model")]
    BadAnswer(String),
    #[error("{0}")]
    BadRequest(String),
    #[error(transparent)]
    Transition(#[from] TransitionError),
    /// A loop of writing and judging that broke off; nothing of it is lost.
    #[error("{message}")]
    Iteration { message: String, exhausted: bool, data: serde_json::Value },
    #[error("the job's thread was lost; see the server's log")]
    Lost,
}

impl From<TooLong> for StoryError {
    fn from(TooLong { tokens, budget }: TooLong) -> Self {
        Self::RequestTooLarge { fixed: tokens, budget }
    }
}

/// One thing wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, from the body on: `["structured_context", "character_contexts", "1"]`.
    pub path: Vec<String>,
    pub message: String,
    pub kind: FaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    Missing,
    Wrong,
}

fn list(faults: &[Fault]) -> String {
    let lines: Vec<_> =
        faults.iter().map(|fault| format!("{}: {}", fault.path.join("."), fault.message)).collect();
    lines.join("; ")
}
