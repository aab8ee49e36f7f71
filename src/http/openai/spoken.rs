//! How an answer reaches the client: in one piece, or as it is spoken.

use std::collections::BTreeMap;

use async_stream::stream;
use axum::http::HeaderValue;
use axum::response::Response;

use super::stream::{Head, Telling, done};
use super::tool_calls::ToolCalls;
use super::wire::{
    AnswerMessage, ChatCompletion, ChatCompletionChunk, Choice, ChunkChoice, Delta, Logprobs,
    UsageReport, finish_reason,
};
use crate::chat::{Answer, Spoken};
use crate::engine::TokenLogprob;
use crate::http::error::ApiError;
use crate::http::sse::{self, frame};

/// One choice, as far as it came.
#[derive(Default)]
struct Building {
    content: Option<String>,
    tool_calls: ToolCalls,
    tokens: Vec<TokenLogprob>,
    finish_reason: Option<&'static str>,
}

/// The answer in one piece, and how memory served it.
pub(super) async fn whole(
    mut answer: Answer,
    telling: Telling,
    wants_logprobs: bool,
) -> Result<(ChatCompletion, HeaderValue), ApiError> {
    let mut choices: BTreeMap<usize, Building> = BTreeMap::new();
    let mut usage = UsageReport::default();
    while let Some(spoken) = telling.lifecycle.or_stop(answer.next()).await? {
        let choice = choices.entry(spoken.choice()).or_default();
        match spoken {
            Spoken::Text { text, .. } => {
                choice.content.get_or_insert_default().push_str(&text);
            }
            Spoken::Tokens { tokens, .. } => choice.tokens.extend(tokens),
            Spoken::ToolCalls { calls, .. } => choice.tool_calls.add(calls),
            Spoken::Finished { finished, .. } => {
                usage.add(&finished.usage);
                choice.finish_reason = Some(finish_reason(&finished));
            }
            Spoken::Failed { error, .. } => return Err(error.into()),
        }
    }
    let choices = choices.into_iter();
    let choices = choices.map(|(index, building)| building.choice(index, wants_logprobs)).collect();
    let Head { id, created, model } = telling.head;
    let memory = HeaderValue::from_static(answer.memory.name());
    Ok((ChatCompletion { id, object: "chat.completion", created, model, choices, usage }, memory))
}

impl Building {
    fn choice(self, index: usize, wants_logprobs: bool) -> Choice {
        let tool_calls = self.tool_calls.into_json();
        let nothing = || tool_calls.is_none().then(String::new);
        Choice {
            index,
            message: AnswerMessage {
                role: "assistant",
                content: self.content.or_else(nothing),
                tool_calls,
            },
            logprobs: wants_logprobs.then(|| Logprobs::from(self.tokens)),
            finish_reason: self.finish_reason.unwrap_or("stop"),
        }
    }
}

/// The answer as it is spoken: a chunk with the role, chunks of text, one with the reason it ended,
/// one with the usage if asked for, `[DONE]`.
pub(super) fn events(mut answer: Answer, telling: Telling) -> Response {
    let chunk = |head: &Head, choice| frame(&head.chunk(vec![choice], None));
    sse::response(stream! {
        let mut usage = UsageReport::default();
        // Tokens whose text follows, by choice; a choice that is here was introduced.
        let mut tokens: BTreeMap<usize, Vec<TokenLogprob>> = BTreeMap::new();
        loop {
            let spoken = match telling.lifecycle.or_stop(answer.next()).await {
                Ok(Some(spoken)) => spoken,
                Ok(None) => break,
                Err(stopping) => {
                    yield telling.error(stopping);
                    break;
                }
            };
            let index = spoken.choice();
            if let Spoken::Failed { error, .. } = spoken {
                yield telling.error(error);
                continue;
            }
            if !tokens.contains_key(&index) {
                yield chunk(&telling.head, introduction(index));
            }
            let tokens = tokens.entry(index).or_default();
            let (delta, finish_reason) = match spoken {
                Spoken::Text { text, .. } => {
                    (Delta { content: Some(text), ..Delta::default() }, None)
                }
                Spoken::ToolCalls { calls, .. } => {
                    (Delta { tool_calls: Some(calls), ..Delta::default() }, None)
                }
                Spoken::Finished { finished, .. } => {
                    usage.add(&finished.usage);
                    (Delta::default(), Some(finish_reason(&finished)))
                }
                Spoken::Tokens { tokens: more, .. } => {
                    tokens.extend(more);
                    continue;
                }
                Spoken::Failed { .. } => continue,
            };
            let tokens = std::mem::take(tokens);
            let logprobs = (!tokens.is_empty()).then(|| Logprobs::from(tokens));
            yield chunk(&telling.head, ChunkChoice { index, delta, logprobs, finish_reason });
        }
        if telling.tells_usage {
            yield frame(&telling.head.chunk(Vec::new(), Some(usage)));
        }
        yield done();
    })
}

/// The first chunk of a choice.
fn introduction(index: usize) -> ChunkChoice {
    let delta = Delta { role: Some("assistant"), content: Some(String::new()), tool_calls: None };
    ChunkChoice { index, delta, logprobs: None, finish_reason: None }
}

impl Head {
    fn chunk(&self, choices: Vec<ChunkChoice>, usage: Option<UsageReport>) -> ChatCompletionChunk {
        ChatCompletionChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk",
            created: self.created,
            model: self.model.clone(),
            choices,
            usage,
        }
    }
}
