//! OpenAI's shapes, as far as this server knows them. Fields it doesn't know are ignored, as clients
//! expect.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::{Finished, TokenLogprob, Usage};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(example = serde_json::from_str::<Value>(super::examples::CHAT).unwrap_or_default())]
pub(in super::super) struct ChatCompletionRequest {
    #[schemars(length(min = 1))]
    pub(super) messages: Vec<ChatMessage>,
    /// Any name; `model@session` names the session.
    #[serde(default)]
    pub(super) model: Option<String>,
    #[serde(flatten)]
    pub(super) sampling: SamplingFields,
    /// Most tokens of the answer.
    #[serde(default)]
    pub(super) max_tokens: Option<u32>,
    /// The same under its newer name.
    #[serde(default)]
    pub(super) max_completion_tokens: Option<u32>,
    #[serde(default)]
    pub(super) stop: Option<Stop>,
    /// How many answers, 1 to 8.
    #[serde(default)]
    #[schemars(range(min = 1, max = 8))]
    pub(super) n: Option<u32>,
    /// Whether the tokens' log probabilities are told.
    #[serde(default)]
    pub(super) logprobs: Option<bool>,
    /// How many other tokens are told with each, 0 to 20.
    #[serde(default)]
    #[schemars(range(min = 0, max = 20))]
    pub(super) top_logprobs: Option<u8>,
    #[serde(default)]
    pub(super) response_format: Option<ResponseFormat>,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    #[serde(default)]
    pub(super) stream_options: Option<StreamOptions>,
    /// Names the session.
    #[serde(default)]
    pub(super) user: Option<String>,
    /// Passed on to engines that know tools.
    #[serde(default)]
    pub(super) tools: Option<Value>,
    #[serde(default)]
    pub(super) tool_choice: Option<Value>,
}

/// Fields of chats and completions alike.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(in super::super) struct SamplingFields {
    /// 0 to 2.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub(super) temperature: Option<f32>,
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) top_p: Option<f32>,
    /// 0 or less means all.
    #[serde(default)]
    pub(super) top_k: Option<i64>,
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) min_p: Option<f32>,
    #[serde(default)]
    pub(super) seed: Option<i64>,
    #[serde(default)]
    #[schemars(range(min = -2.0, max = 2.0))]
    pub(super) presence_penalty: Option<f32>,
    #[serde(default)]
    #[schemars(range(min = -2.0, max = 2.0))]
    pub(super) frequency_penalty: Option<f32>,
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub(super) repetition_penalty: Option<f32>,
    /// Token numbers, and what is added to their logits, −100 to 100.
    #[serde(default)]
    pub(super) logit_bias: Option<HashMap<String, f32>>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(in super::super) struct ChatMessage {
    pub(super) role: ChatRole,
    #[serde(default)]
    pub(super) content: Option<Content>,
    /// The speaker, where there are several.
    #[serde(default)]
    pub(super) name: Option<String>,
    /// Tool calls and what else a message holds, as it came.
    #[serde(flatten)]
    pub(super) rest: serde_json::Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ChatRole {
    System,
    /// OpenAI's newer word for system.
    Developer,
    User,
    Assistant,
    Tool,
    /// OpenAI's older word for tool.
    Function,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Content {
    Text(String),
    Parts(Vec<Value>),
}

impl From<Content> for Value {
    fn from(content: Content) -> Self {
        match content {
            Content::Text(text) => Self::String(text),
            Content::Parts(parts) => Self::Array(parts),
        }
    }
}

/// At most 64 strings of at most 1,000 bytes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Stop {
    One(String),
    Several(Vec<String>),
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ResponseFormat {
    Text,
    /// Any JSON object.
    JsonObject,
    /// What matches the schema, enforced while it is written.
    JsonSchema {
        json_schema: NamedSchema,
    },
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(super) struct NamedSchema {
    pub(super) schema: Value,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub(super) struct StreamOptions {
    #[serde(default)]
    pub(super) include_usage: Option<bool>,
}

/// What went wrong, in OpenAI's shape.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(in super::super) struct OpenAiError {
    error: ErrorBody,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct ErrorBody {
    message: String,
    /// `invalid_request_error`, `rate_limit_error`, `not_found_error` or `server_error`.
    #[serde(rename = "type")]
    kind: String,
    /// The field that is wrong.
    param: Option<String>,
    code: String,
}

/// An answer in one piece.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(in super::super) struct ChatCompletion {
    pub(super) id: String,
    pub(super) object: &'static str,
    /// Seconds since 1970.
    pub(super) created: i64,
    pub(super) model: String,
    pub(super) choices: Vec<Choice>,
    pub(super) usage: UsageReport,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Choice {
    pub(super) index: usize,
    pub(super) message: AnswerMessage,
    pub(super) logprobs: Option<Logprobs>,
    pub(super) finish_reason: &'static str,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct AnswerMessage {
    pub(super) role: &'static str,
    /// Null where tools are called instead.
    pub(super) content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_calls: Option<Value>,
}

/// A piece of an answer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(in super::super) struct ChatCompletionChunk {
    pub(super) id: String,
    pub(super) object: &'static str,
    pub(super) created: i64,
    pub(super) model: String,
    pub(super) choices: Vec<ChunkChoice>,
    /// In the last chunk, where `stream_options.include_usage` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<UsageReport>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct ChunkChoice {
    pub(super) index: usize,
    pub(super) delta: Delta,
    pub(super) logprobs: Option<Logprobs>,
    pub(super) finish_reason: Option<&'static str>,
}

#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(super) struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_calls: Option<Value>,
}

#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(super) struct Logprobs {
    pub(super) content: Vec<TokenReport>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct TokenReport {
    pub(super) token: String,
    pub(super) logprob: f32,
    pub(super) bytes: Vec<u8>,
    pub(super) top_logprobs: Vec<TopToken>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct TopToken {
    pub(super) token: String,
    pub(super) logprob: f32,
    pub(super) bytes: Vec<u8>,
}

impl From<Vec<TokenLogprob>> for Logprobs {
    fn from(tokens: Vec<TokenLogprob>) -> Self {
        let top = |(token, bytes, logprob)| TopToken { token, logprob, bytes };
        let report = |it: TokenLogprob| TokenReport {
            token: it.token,
            logprob: it.logprob,
            bytes: it.bytes,
            top_logprobs: it.top.into_iter().map(top).collect(),
        };
        Self { content: tokens.into_iter().map(report).collect() }
    }
}

#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
pub(super) struct UsageReport {
    pub(super) prompt_tokens: usize,
    pub(super) completion_tokens: usize,
    pub(super) total_tokens: usize,
    pub(super) prompt_tokens_details: PromptDetails,
}

#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
pub(super) struct PromptDetails {
    /// Of the prompt, what the engine had read before.
    pub(super) cached_tokens: usize,
}

impl UsageReport {
    /// Adds another answer to the same prompt.
    pub(super) fn add(&mut self, usage: &Usage) {
        self.prompt_tokens = usage.prompt_tokens.get();
        self.completion_tokens += usage.completion_tokens.get();
        self.total_tokens = self.prompt_tokens + self.completion_tokens;
        let cached = &mut self.prompt_tokens_details.cached_tokens;
        *cached = (*cached).max(usage.cached_tokens.get());
    }
}

impl std::iter::Sum for UsageReport {
    /// Of several prompts.
    fn sum<I: Iterator<Item = Self>>(prompts: I) -> Self {
        let mut sum = Self::default();
        for usage in prompts {
            sum.prompt_tokens += usage.prompt_tokens;
            sum.completion_tokens += usage.completion_tokens;
            sum.total_tokens += usage.total_tokens;
            sum.prompt_tokens_details.cached_tokens += usage.prompt_tokens_details.cached_tokens;
        }
        sum
    }
}

pub(super) fn finish_reason(finished: &Finished) -> &'static str {
    use crate::engine::FinishReason;
    match finished.reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(in super::super) struct CompletionRequest {
    pub(super) prompt: Prompt,
    #[serde(default)]
    pub(super) model: Option<String>,
    #[serde(flatten)]
    pub(super) sampling: SamplingFields,
    #[serde(default)]
    pub(super) max_tokens: Option<u32>,
    #[serde(default)]
    pub(super) stop: Option<Stop>,
    /// How many texts for each prompt, 1 to 8.
    #[serde(default)]
    #[schemars(range(min = 1, max = 8))]
    pub(super) n: Option<u32>,
    /// Whether the prompt stands before the text.
    #[serde(default)]
    pub(super) echo: Option<bool>,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    #[serde(default)]
    pub(super) stream_options: Option<StreamOptions>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Prompt {
    One(String),
    Several(Vec<String>),
}

/// A text in one piece, or a piece of it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(in super::super) struct Completion {
    pub(super) id: String,
    pub(super) object: &'static str,
    pub(super) created: i64,
    pub(super) model: String,
    pub(super) choices: Vec<TextChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<UsageReport>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct TextChoice {
    pub(super) index: usize,
    pub(super) text: String,
    /// Always null.
    pub(super) logprobs: Option<Value>,
    pub(super) finish_reason: Option<&'static str>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(in super::super) struct EmbeddingRequest {
    pub(super) input: Prompt,
    /// Any name; there is one embedder.
    #[serde(default)]
    #[expect(dead_code, reason = "it is read so that its type is checked")]
    pub(super) model: Option<String>,
    #[serde(default)]
    pub(super) encoding_format: Option<EncodingFormat>,
    /// Only the embedder's own number.
    #[serde(default)]
    pub(super) dimensions: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum EncodingFormat {
    Float,
    /// 32-bit floats, little-endian.
    Base64,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(in super::super) struct EmbeddingResponse {
    pub(super) object: &'static str,
    pub(super) data: Vec<EmbeddingEntry>,
    pub(super) model: String,
    pub(super) usage: EmbeddingUsage,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct EmbeddingEntry {
    pub(super) object: &'static str,
    pub(super) index: usize,
    pub(super) embedding: Vector,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Vector {
    Floats(Vec<f32>),
    Base64(String),
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(super) struct EmbeddingUsage {
    pub(super) prompt_tokens: usize,
    pub(super) total_tokens: usize,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(in super::super) struct ModelList {
    pub(super) object: &'static str,
    pub(super) data: Vec<ModelEntry>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(in super::super) struct ModelEntry {
    pub(super) id: String,
    pub(super) object: &'static str,
    /// Seconds since 1970.
    pub(super) created: i64,
    pub(super) owned_by: &'static str,
}
