//! One turn of talk: identify → feel → recall → assemble → speak → remember. Used by every API that
//! talks; what those send is theirs to read.
//!
//! - Nothing of memory holds the first token up longer than [`ChatSettings::patience`]; without memory
//!   the answer is given all the same, and says so.
//! - What was said is stored before the client is told that the answer is complete.
//! - Prompts go from what changes least to what changes most: persona, summaries, history, and what
//!   came to mind just before the newest message.

mod answer;
mod arrangement;
mod recollection;
mod room;
mod transcript;
mod turn;
mod upkeep;
mod words;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

pub use self::answer::{Answer, Spoken};
pub use self::room::Shares;
pub use self::transcript::Sent;
use self::upkeep::Upkeep;
pub use self::words::check_prompts;
use crate::clock::Clock;
use crate::context::{ContextError, Receipt};
use crate::distil::Distiller;
use crate::engine::{ClientId, Engine, EngineError, Sampling, Tools};
use crate::ids::Ids;
use crate::memory::{Memory, Whose};
use crate::metrics::Metrics;
use crate::persona::lorebook::Lorebook;
use crate::prompts::{PromptError, Prompts};
use crate::receipts::ReceiptBook;
use crate::tokens::{TokenCount, Tokenizers};

/// Everything talk is made of.
pub struct ChatService {
    pub engine: Arc<dyn Engine>,
    pub prompts: Arc<Prompts>,
    pub tokenizers: Arc<Tokenizers>,
    pub distiller: Distiller,
    /// `None` where nothing is to be kept.
    pub memory: Option<Memory>,
    pub receipts: Option<ReceiptBook>,
    pub clock: Clock,
    pub ids: Ids,
    pub metrics: Metrics,
    pub settings: ChatSettings,
    /// What goes on after an answer: storing what was said when a client left.
    pub tasks: TaskTracker,
    upkeep: Upkeep,
}

/// What a service is made of.
pub struct ChatParts {
    pub engine: Arc<dyn Engine>,
    pub prompts: Arc<Prompts>,
    pub tokenizers: Arc<Tokenizers>,
    pub distiller: Distiller,
    pub memory: Option<Memory>,
    pub receipts: Option<ReceiptBook>,
    pub clock: Clock,
    pub ids: Ids,
    pub metrics: Metrics,
    pub settings: ChatSettings,
}

#[derive(Clone, Debug)]
pub struct ChatSettings {
    pub shares: Shares,
    /// Memories in a prompt.
    pub recalled: usize,
    /// The window where the engine doesn't tell its own.
    pub window: TokenCount,
    /// The longest that looking into memory may hold a turn up.
    pub patience: Duration,
    /// The longest that one answer may take.
    pub generation_limit: Duration,
}

/// What a client wants answered.
#[derive(Clone, Debug)]
pub struct TurnRequest {
    pub client: ClientId,
    /// Whose talk it is; `None` where its messages tell.
    pub whose: Option<Whose>,
    pub remembers: Remembers,
    pub messages: Vec<Sent>,
    pub sampling: Sampling,
    pub max_tokens: TokenCount,
    pub stop: Vec<String>,
    pub json_schema: Option<Arc<serde_json::Value>>,
    pub logit_bias: Vec<(u32, f32)>,
    pub logprobs: Option<u8>,
    pub tools: Option<Tools>,
    /// How many answers.
    pub choices: usize,
    /// What the caller knows beside.
    pub beside: Beside,
    /// Let go of once the turn is stored, or once it is clear that it never will be.
    pub held: Option<Arc<dyn Any + Send + Sync>>,
}

/// What a caller knows beside what was said in the talk.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// How the speaker is to treat the user, right after the persona: always in the prompt, and whole.
    pub standing: Option<String>,
    /// To be kept in mind, the most important first.
    pub known: Vec<Known>,
    /// The newest messages that the prompt holds at most; what is older is recalled and summarised.
    pub most_messages: Option<usize>,
    pub lore: Option<Lore>,
}

/// A book whose entries come into the prompt when the talk touches them.
#[derive(Clone, Debug)]
pub struct Lore {
    pub book: Arc<Lorebook>,
    /// Tells one book from another: what lasts of one means nothing to the other.
    pub key: String,
    /// Names that stand for the book's placeholders.
    pub character: String,
    pub user: String,
    /// Decides where an entry has a probability.
    pub seed: u64,
}

/// Something to be kept in mind: what is known of the user, say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Unique among those of a turn; what the receipt calls it.
    pub id: String,
    /// What it is, for the receipt.
    pub kind: &'static str,
    pub text: String,
}

/// What a turn has to do with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembers {
    /// It recalls and is remembered.
    Fully,
    /// It recalls and leaves no trace.
    Quietly,
    /// Neither.
    Nothing,
}

/// How memory served a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MemoryState {
    On,
    /// Looked into, but nothing is stored.
    Quiet,
    Off,
    /// Something failed; the answer was given without it, and the log says why.
    Degraded,
}

impl MemoryState {
    pub fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Quiet => "quiet",
            Self::Off => "off",
            Self::Degraded => "degraded",
        }
    }
}

/// Whether talks can be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseState {
    Ok,
    /// It can't be read, or refuses what was said; that waits in RAM.
    Degraded,
    /// Nothing is kept.
    Off,
}

/// Why a turn can't be answered.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    #[error("{0}")]
    Context(#[from] ContextError),
    #[error("{0}")]
    Engine(#[from] EngineError),
    #[error("{0}")]
    Prompt(#[from] PromptError),
    #[error(
        "the conversation's fixed parts take {fixed} tokens and the model's window has {window}; shorten the system messages or the newest message, ask for a shorter answer, or raise LLM_N_CTX"
    )]
    TooLarge { fixed: TokenCount, window: TokenCount },
    #[error("the turn was lost; see the server's log")]
    Lost,
}

impl ChatService {
    pub fn new(parts: ChatParts) -> Self {
        let ChatParts {
            engine,
            prompts,
            tokenizers,
            distiller,
            memory,
            receipts,
            clock,
            ids,
            metrics,
            settings,
        } = parts;
        Self {
            engine,
            prompts,
            tokenizers,
            distiller,
            memory,
            receipts,
            clock,
            ids,
            metrics,
            settings,
            tasks: TaskTracker::new(),
            upkeep: Upkeep::default(),
        }
    }

    /// Looks whether talks can be stored.
    pub async fn database(&self) -> DatabaseState {
        match &self.memory {
            None => DatabaseState::Off,
            Some(memory) if memory.unsaved() > 0 || memory.check().await.is_err() => {
                DatabaseState::Degraded
            }
            Some(_) => DatabaseState::Ok,
        }
    }

    /// Waits until what was said is stored, as far as the database lets it.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        if let Some(memory) = &self.memory
            && let Err(error) = memory.flush().await
        {
            tracing::error!(
                turns = memory.unsaved(),
                "what was said last can't be stored: {error}"
            );
        }
    }

    /// The tokens that an answer may take where nothing else is asked for.
    pub fn usual_answer(&self) -> TokenCount {
        let window = self.engine.status().window.unwrap_or(self.settings.window);
        window.scaled(self.settings.shares.answer / 100.0).max(TokenCount::new(1))
    }

    /// Keeps the receipt, in a task of its own: neither a slow database nor a client that leaves may
    /// come between. A database that can't doesn't keep an answer from being given.
    fn keep(&self, receipt: &Receipt) -> JoinHandle<()> {
        let (book, receipt) = (self.receipts.clone(), receipt.clone());
        self.tasks.spawn(async move {
            if let Some(book) = book
                && let Err(error) = book.save(&receipt).await
            {
                tracing::error!(receipt_id = %receipt.id, "the receipt couldn't be kept: {error}");
            }
        })
    }
}

/// Runs what may block off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ChatError> + Send + 'static,
) -> Result<T, ChatError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ChatError::Lost)?
}
