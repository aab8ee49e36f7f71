//! What is asked of an engine. Every engine reads the same request; what one can't do it refuses.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::EngineError;
use crate::tokens::TokenCount;

/// What an engine is asked to write.
#[derive(Clone, Debug)]
pub struct GenerateRequest {
    /// Who asks. Clients take turns, however much each asks for.
    pub client: ClientId,
    pub messages: Vec<Message>,
    pub sampling: Sampling,
    /// Most tokens to write; the window may end it earlier.
    pub max_tokens: TokenCount,
    /// Strings that end the answer. They are not part of it.
    pub stop: Vec<String>,
    /// A JSON Schema that the answer must match, enforced while sampling.
    pub json_schema: Option<Arc<serde_json::Value>>,
    /// Whether the answer mostly repeats the prompt, as a chapter with one change does. Then its
    /// tokens are drafted from there and checked many at a time. It changes the time it takes,
    /// nothing else; for other answers it takes more.
    pub prompt_lookup: bool,
    /// When to give up, waiting included.
    pub deadline: Option<Instant>,
    /// Added to the logits of these tokens before sampling: −100 bans, 100 forces. Tokens are the
    /// model's own numbers.
    pub logit_bias: Vec<(u32, f32)>,
    /// How many alternatives to report with each token's log probability (0–20); `None` reports
    /// none.
    pub logprobs: Option<u8>,
    /// Tools the model may call, for engines that know them.
    pub tools: Option<Tools>,
    /// Whether nothing of it may be kept beyond this process: talks that belong to somebody, who may
    /// have them deleted.
    pub private: bool,
}

impl GenerateRequest {
    /// A request for text and nothing more.
    pub fn new(
        client: ClientId,
        messages: Vec<Message>,
        sampling: Sampling,
        max_tokens: TokenCount,
    ) -> Self {
        Self {
            client,
            messages,
            sampling,
            max_tokens,
            stop: Vec::new(),
            json_schema: None,
            prompt_lookup: false,
            deadline: None,
            logit_bias: Vec::new(),
            logprobs: None,
            tools: None,
            private: false,
        }
    }

    /// Refuses what no engine can do.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        if self.max_tokens == TokenCount::ZERO {
            return Err(EngineError::NothingToWrite);
        }
        Ok(())
    }
}

/// What a model may call, as an OpenAI client declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tools {
    /// OpenAI's `tools`: an array.
    pub declarations: serde_json::Value,
    /// OpenAI's `tool_choice`: a word or an object.
    pub choice: Option<serde_json::Value>,
}

/// Tells the engine's clients apart, so that it can be fair between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientId(Arc<str>);

impl ClientId {
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    pub role: Role,
    pub content: String,
    /// The message as an OpenAI client sent it, where it holds more than text (tool calls and their
    /// results, images). Engines that speak that language send it as it stands; others read
    /// `content`.
    #[serde(skip)]
    pub wire: Option<Arc<serde_json::Value>>,
    /// Who speaks, as the client names them. Engines that speak OpenAI's language tell it; others
    /// read `content`.
    #[serde(skip)]
    pub name: Option<String>,
}

impl Message {
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), wire: None, name: None }
    }

    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    User,
    Assistant,
}

/// How the next token is chosen from the model's distribution.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 always takes the likeliest token.
    pub temperature: f32,
    /// Nucleus sampling: the smallest set of tokens whose probabilities sum to this.
    pub top_p: f32,
    /// The likeliest k tokens; 0 means all.
    pub top_k: u32,
    /// Tokens at least this fraction as likely as the likeliest; 0 means all.
    pub min_p: f32,
    /// Divides the logits of the last 64 tokens written; 1 is off.
    pub repeat_penalty: f32,
    /// Subtracted once from the logits of those tokens; 0 is off.
    pub presence_penalty: f32,
    /// Subtracted for each of their occurrences; 0 is off.
    pub frequency_penalty: f32,
    pub seed: u32,
}
