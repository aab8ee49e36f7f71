//! Questions about the archive: read → find → show what fits → write → hold against the sources.
//!
//! - The model is shown numbered passages and is to answer from them alone; only what it was shown can
//!   be cited, and every number in an answer leads to a source.
//! - Where nothing is found that has to do with the question, no model is asked.
//! - Stateless: a conversation comes whole with each question, and what was found for a question before
//!   is found again.

mod answering;
mod citations;
mod earlier;
mod excerpt;
mod inquiry;
mod library;
mod prompt;
mod question;
mod shown;
mod sources;
mod standalone;
mod support;
mod wire;

use std::sync::Arc;
use std::time::Duration;

pub use self::answering::{AskEvent, AskEvents};
use self::inquiry::Inquiry;
pub use self::library::Library;
pub use self::wire::{
    AskChatRequest, AskMessage, AskOptions, AskRequest, AskResponse, AskSpeaker, CharacterRange,
    CitedSource,
};
use super::{ArchiveError, FilterError};
use crate::clock::Clock;
use crate::context::{
    AllocationMode, ContextError, LayerBudgets, OverflowStrategy, Receipt, TooLong,
};
use crate::distil::{DistilError, Distiller};
use crate::engine::{ClientId, Engine, EngineError, Sampling};
use crate::ids::Ids;
use crate::prompts::{PromptError, Prompts};
use crate::receipts::ReceiptBook;
use crate::tokens::{TokenCount, Tokenizers};

/// Answers questions about the archive.
pub struct AskingService {
    pub library: Arc<dyn Library>,
    pub engine: Arc<dyn Engine>,
    pub prompts: Arc<Prompts>,
    pub tokenizers: Arc<Tokenizers>,
    pub distiller: Distiller,
    /// `None` while receipts aren't kept.
    pub receipts: Option<ReceiptBook>,
    pub clock: Clock,
    pub ids: Ids,
    pub settings: AskingSettings,
}

/// How questions are answered.
#[derive(Clone, Debug)]
pub struct AskingSettings {
    /// Answers'; the other temperatures take the place of its own.
    pub sampling: Sampling,
    /// When a follow-up is put in words that can be searched for.
    pub search_temperature: f32,
    /// When whole documents are told shorter.
    pub document_temperature: f32,
    /// When what was said before is told shorter.
    pub conversation_temperature: f32,
    pub budgets: LayerBudgets,
    /// Most tokens a prompt may take, however large the window.
    pub most_prompt_tokens: TokenCount,
    pub allocation: AllocationMode,
    pub overflow: OverflowStrategy,
    /// The longest that one answer may take.
    pub generation_limit: Duration,
}

/// Why a question isn't answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("{}: {fault}", .path.join("."))]
    Wrong {
        /// Where, from the body on.
        path: Vec<String>,
        fault: &'static str,
    },
    #[error("the archive has no document named {name:?}{}; GET archive/files lists all there are", told(.near))]
    NoFile { name: String, near: Vec<String> },
    #[error(
        "the document {0:?} doesn't meet the request's filter; ask without the filter, or without the source: tag"
    )]
    FilteredOut(String),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error(
        "the question itself takes {fixed} tokens, more than the {budget} a prompt may have here; ask shorter, ask for a shorter answer, or raise LLM_N_CTX"
    )]
    TooLarge { fixed: TokenCount, budget: TokenCount },
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Distil(#[from] DistilError),
    #[error("the model wrote nothing; try again, or another model")]
    EmptyAnswer,
    #[error("the question's thread was lost; see the server's log")]
    Lost,
}

impl From<TooLong> for AskError {
    fn from(TooLong { tokens, budget }: TooLong) -> Self {
        Self::TooLarge { fixed: tokens, budget }
    }
}

fn told(near: &[String]) -> String {
    match near {
        [] => String::new(),
        near => format!(" (near it: {})", near.join(", ")),
    }
}

impl AskError {
    fn wrong(field: &str, fault: &'static str) -> Self {
        Self::wrong_at(&[field], fault)
    }

    fn wrong_at(path: &[&str], fault: &'static str) -> Self {
        Self::Wrong { path: path.iter().map(|step| (*step).to_owned()).collect(), fault }
    }
}

impl AskingService {
    /// Begins to answer a question: its events, or why it is refused.
    pub async fn ask(
        self: Arc<Self>,
        request: AskRequest,
        client: ClientId,
    ) -> Result<AskEvents, AskError> {
        let options = request.options.clone();
        let read = move || Inquiry::read(request.messages(), options, &["question"]);
        self.begin(blocking(read).await?, client).await
    }

    /// The same within a conversation.
    pub async fn chat(
        self: Arc<Self>,
        request: AskChatRequest,
        client: ClientId,
    ) -> Result<AskEvents, AskError> {
        let AskChatRequest { messages, options } = request;
        let read = move || {
            let last = messages.len().saturating_sub(1).to_string();
            Inquiry::read(messages, options, &["messages", &last, "content"])
        };
        self.begin(blocking(read).await?, client).await
    }

    async fn begin(
        self: Arc<Self>,
        mut inquiry: Inquiry,
        client: ClientId,
    ) -> Result<AskEvents, AskError> {
        self.engine.ready()?;
        if !inquiry.files.is_empty() {
            let documents = self.library.documents().await?;
            let resolve = move || inquiry.resolve(&documents).map(|()| inquiry);
            inquiry = blocking(resolve).await?;
        }
        Ok(self.answer(inquiry, client))
    }

    /// Keeps the receipt. A database that can't doesn't keep an answer from being given.
    async fn keep(&self, receipt: &Receipt) {
        let Some(book) = &self.receipts else { return };
        if let Err(error) = book.save(receipt).await {
            tracing::error!(receipt_id = %receipt.id, "the receipt couldn't be kept: {error}");
        }
    }
}

/// Runs what may block off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AskError> + Send + 'static,
) -> Result<T, AskError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| AskError::Lost)?
}
