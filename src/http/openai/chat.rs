//! `POST /v1/chat/completions`: one turn of talk, in one piece or as a stream.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_stream::stream;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use serde::Serialize;
use serde_json::{Value, json};

use super::TalkDefaults;
use super::identity::SaidOutside;
use super::sampling::{self, MOST_ALTERNATIVES, unsupported, wrong};
use super::wire::{
    AnswerMessage, ChatCompletion, ChatCompletionChunk, ChatCompletionRequest, ChatMessage,
    ChatRole, Choice, ChunkChoice, Content, Delta, Logprobs, ResponseFormat, Stop, UsageReport,
    finish_reason,
};
use crate::chat::{Answer, ChatService, Remembers, Sent, Spoken, TurnRequest};
use crate::engine::{ClientId, EngineError, Role, TokenLogprob, Tools};
use crate::http::Lifecycle;
use crate::http::client::Client;
use crate::http::error::{ApiError, Style};
use crate::http::extract::JsonBody;
use crate::tokens::TokenCount;

/// How often a quiet stream sends a comment.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
const SESSION: HeaderName = HeaderName::from_static("x-session-id");
const RECEIPT: HeaderName = HeaderName::from_static("x-receipt-id");
const MEMORY: HeaderName = HeaderName::from_static("x-memory");

pub(in super::super) async fn chat_completions(
    State(chat): State<Arc<ChatService>>,
    State(defaults): State<Arc<TalkDefaults>>,
    State(lifecycle): State<Lifecycle>,
    Client(client): Client,
    outside: SaidOutside,
    JsonBody(request): JsonBody<ChatCompletionRequest>,
) -> Result<Response, ApiError> {
    let is_stream = request.stream.unwrap_or(false);
    let tells_usage =
        request.stream_options.and_then(|options| options.include_usage).unwrap_or(false);
    let wants_logprobs = request.logprobs.unwrap_or(false);
    let model = request.model.clone();
    let turn = turn(&chat, &defaults, client, outside, request)?;
    let answer = chat.answer(turn).await?;
    let head = Head {
        id: format!("chatcmpl-{}", answer.receipt.id),
        created: chat.clock.now().as_second(),
        model: answer.receipt.model.clone().or(model).unwrap_or_default(),
    };
    let mut headers = headers(&answer);
    let response = if is_stream {
        events(answer, head, tells_usage, wants_logprobs, lifecycle)
    } else {
        let (completion, memory) = whole(answer, head, wants_logprobs, &lifecycle).await?;
        headers.insert(MEMORY, memory);
        Json(completion).into_response()
    };
    Ok((headers, response).into_response())
}

/// What all pieces of an answer say of it.
#[derive(Clone)]
struct Head {
    id: String,
    created: i64,
    model: String,
}

fn turn(
    chat: &ChatService,
    defaults: &TalkDefaults,
    client: ClientId,
    outside: SaidOutside,
    request: ChatCompletionRequest,
) -> Result<TurnRequest, ApiError> {
    let remembers = remembers(&outside, &request)?;
    let sampling = sampling::sampling(&request.sampling, defaults, &chat.ids)?;
    let logit_bias = sampling::logit_bias(&request.sampling)?;
    let choices = sampling::choices(request.n)?;
    let max_tokens = match request.max_completion_tokens.or(request.max_tokens) {
        Some(0) => return Err(wrong("max_tokens", "0 tokens hold no answer")),
        Some(most) => TokenCount::from(most),
        None => defaults.max_tokens.min(chat.usual_answer()),
    };
    let logprobs = match (request.logprobs.unwrap_or(false), request.top_logprobs) {
        (_, Some(count)) if count > MOST_ALTERNATIVES => {
            let message = format!("{count} is not within 0 and {MOST_ALTERNATIVES}");
            return Err(wrong("top_logprobs", message));
        }
        (true, count) => Some(count.unwrap_or(0)),
        (false, _) => None,
    };
    let capabilities = chat.engine.supports();
    let messages = request.messages.into_iter();
    let messages = messages.map(|message| sent(message, capabilities.tools));
    let messages = messages.collect::<Result<Vec<_>, _>>()?;
    if messages.is_empty() {
        return Err(wrong("messages", "at least one message is needed"));
    }
    Ok(TurnRequest {
        client,
        session: outside.session(request.user, request.model.as_deref())?,
        remembers,
        messages,
        sampling,
        max_tokens,
        stop: request.stop.map(Stop::strings).unwrap_or_default(),
        json_schema: request.response_format.and_then(schema),
        logit_bias,
        logprobs,
        tools: tools(request.tools, request.tool_choice, capabilities.tools),
        choices,
    })
}

/// Clients that ask for something beside the talk (a summary, a picture's description) end with an
/// instruction and want the answer in one piece.
fn remembers(
    outside: &SaidOutside,
    request: &ChatCompletionRequest,
) -> Result<Remembers, ApiError> {
    let is_aside = !request.stream.unwrap_or(false)
        && request.messages.last().is_some_and(|last| last.role == ChatRole::System);
    match outside.memory.as_deref().map(str::trim) {
        Some("off") => Ok(Remembers::Nothing),
        Some("quiet") => Ok(Remembers::Quietly),
        Some("on") => Ok(Remembers::Fully),
        Some(_) => Err(wrong("X-Memory", "is on, quiet or off")),
        None if is_aside => Ok(Remembers::Quietly),
        None => Ok(Remembers::Fully),
    }
}

fn schema(format: ResponseFormat) -> Option<Arc<Value>> {
    match format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(Arc::new(json!({ "type": "object" }))),
        ResponseFormat::JsonSchema { json_schema } => Some(Arc::new(json_schema.schema)),
    }
}

fn tools(declarations: Option<Value>, choice: Option<Value>, are_known: bool) -> Option<Tools> {
    let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let declarations = declarations.filter(|value| !is_empty(value))?;
    // Somebody who forbids their use loses nothing.
    let is_forbidden = choice.as_ref().is_some_and(|choice| choice == "none");
    (are_known || !is_forbidden).then_some(Tools { declarations, choice })
}

fn sent(message: ChatMessage, engine_speaks_openai: bool) -> Result<Sent, ApiError> {
    let ChatMessage { role, content, name, rest } = message;
    let (text, more) = match content {
        None => (String::new(), Vec::new()),
        Some(Content::Text(text)) => (text, Vec::new()),
        Some(Content::Parts(parts)) => texts_and_more(parts),
    };
    let is_more_than_text = !more.is_empty()
        || matches!(role, ChatRole::Tool | ChatRole::Function)
        || rest.get("tool_calls").is_some_and(|calls| !calls.is_null());
    if is_more_than_text && !engine_speaks_openai {
        return Err(unsupported(
            "this engine reads text alone: leave out images, tool calls and tool results, or set LLM_PROVIDER to a server whose model knows them",
        ));
    }
    let wire = is_more_than_text.then(|| {
        let mut wire = serde_json::Map::from_iter([("role".to_owned(), json!(role_name(role)))]);
        let parts = (!text.is_empty()).then(|| json!({ "type": "text", "text": text }));
        let parts: Vec<Value> = parts.into_iter().chain(more.iter().cloned()).collect();
        let content = if more.is_empty() { json!(text) } else { json!(parts) };
        wire.insert("content".to_owned(), content);
        wire.extend(name.iter().map(|name| ("name".to_owned(), json!(name))));
        wire.extend(rest);
        Arc::new(Value::Object(wire))
    });
    let role = match role {
        ChatRole::System | ChatRole::Developer => Role::System,
        ChatRole::User | ChatRole::Tool | ChatRole::Function => Role::User,
        ChatRole::Assistant => Role::Assistant,
    };
    Ok(Sent { role, name, content: text, wire })
}

fn role_name(role: ChatRole) -> &'static str {
    match role {
        ChatRole::System => "system",
        ChatRole::Developer => "developer",
        ChatRole::User => "user",
        ChatRole::Assistant => "assistant",
        ChatRole::Tool => "tool",
        ChatRole::Function => "function",
    }
}

/// The text of a message in parts, and the parts that are something else.
fn texts_and_more(parts: Vec<Value>) -> (String, Vec<Value>) {
    let mut texts = Vec::new();
    let mut more = Vec::new();
    for part in parts {
        match part["text"].as_str() {
            Some(text) => texts.push(text.to_owned()),
            None => more.push(part),
        }
    }
    (texts.join("\n"), more)
}

fn headers(answer: &Answer) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut insert = |name, value: &str| {
        // A session's name may be anything; a header's value may not.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    insert(RECEIPT, &answer.receipt.id.to_string());
    insert(MEMORY, answer.memory.name());
    if let Some(session) = answer.session() {
        insert(SESSION, session);
    }
    headers
}

/// The answer in one piece, and how memory served it.
async fn whole(
    mut answer: Answer,
    head: Head,
    wants_logprobs: bool,
    lifecycle: &Lifecycle,
) -> Result<(ChatCompletion, HeaderValue), ApiError> {
    let mut choices: Vec<Choice> = Vec::new();
    let mut usage = UsageReport::default();
    loop {
        let spoken = tokio::select! {
            () = lifecycle.hard_stop.cancelled() => return Err(EngineError::ShuttingDown.into()),
            spoken = answer.next() => spoken,
        };
        let Some(spoken) = spoken else { break };
        while choices.len() <= spoken.choice() {
            choices.push(empty_choice(choices.len(), wants_logprobs));
        }
        match spoken {
            Spoken::Text { choice, text } => {
                choices[choice].message.content.get_or_insert_default().push_str(&text);
            }
            Spoken::Tokens { choice, tokens } => {
                let told = Logprobs::from(tokens).content;
                choices[choice].logprobs.get_or_insert_default().content.extend(told);
            }
            Spoken::ToolCalls { choice, calls } => {
                merge_calls(&mut choices[choice].message.tool_calls, calls);
            }
            Spoken::Finished { choice, finished } => {
                usage.add(&finished.usage);
                choices[choice].finish_reason = finish_reason(&finished);
            }
            Spoken::Failed { error, .. } => return Err(error.into()),
        }
    }
    for choice in &mut choices {
        if choice.message.tool_calls.is_none() {
            choice.message.content.get_or_insert_default();
        }
    }
    let Head { id, created, model } = head;
    let memory = HeaderValue::from_static(answer.memory.name());
    Ok((ChatCompletion { id, object: "chat.completion", created, model, choices, usage }, memory))
}

fn empty_choice(index: usize, wants_logprobs: bool) -> Choice {
    Choice {
        index,
        message: AnswerMessage { role: "assistant", content: None, tool_calls: None },
        logprobs: wants_logprobs.then(Logprobs::default),
        finish_reason: "stop",
    }
}

/// Pieces of tool calls, put together: by `index`, with arguments joined.
fn merge_calls(calls: &mut Option<Value>, pieces: Value) {
    let calls = calls.get_or_insert_with(|| json!([]));
    let (Value::Array(calls), Value::Array(pieces)) = (calls, pieces) else { return };
    for mut piece in pieces {
        let index = piece["index"].as_u64().and_then(|index| usize::try_from(index).ok());
        if let Some(index) = index.filter(|index| *index < calls.len()) {
            let more = piece["function"]["arguments"].as_str().unwrap_or("").to_owned();
            let arguments = &mut calls[index]["function"]["arguments"];
            *arguments = json!(arguments.as_str().unwrap_or("").to_owned() + &more);
            continue;
        }
        if let Some(piece) = piece.as_object_mut() {
            piece.remove("index");
        }
        calls.push(piece);
    }
}

/// The answer as it is spoken: a chunk with the role, chunks of text, one with the reason it ended,
/// one with the usage if asked for, `[DONE]`.
fn events(
    mut answer: Answer,
    head: Head,
    tells_usage: bool,
    wants_logprobs: bool,
    lifecycle: Lifecycle,
) -> Response {
    let frames = stream! {
        let mut usage = UsageReport::default();
        let mut tokens: Vec<TokenLogprob> = Vec::new();
        let mut introduced = Vec::new();
        let chunk = |choice: ChunkChoice| head.chunk(vec![choice], None);
        loop {
            let spoken = tokio::select! {
                () = lifecycle.hard_stop.cancelled() => {
                    yield error_frame(&EngineError::ShuttingDown.into());
                    break;
                }
                spoken = answer.next() => spoken,
            };
            let Some(spoken) = spoken else { break };
            let index = spoken.choice();
            if !introduced.contains(&index) && !matches!(spoken, Spoken::Failed { .. }) {
                introduced.push(index);
                let delta = Delta {
                    role: Some("assistant"),
                    content: Some(String::new()),
                    tool_calls: None,
                };
                yield frame(&chunk(ChunkChoice { index, delta, logprobs: None, finish_reason: None }));
            }
            let (delta, ended) = match spoken {
                Spoken::Text { text, .. } => {
                    (Delta { content: Some(text), ..Delta::default() }, None)
                }
                Spoken::Tokens { tokens: more, .. } => {
                    tokens.extend(more);
                    continue;
                }
                Spoken::ToolCalls { calls, .. } => {
                    (Delta { tool_calls: Some(calls), ..Delta::default() }, None)
                }
                Spoken::Finished { finished, .. } => {
                    usage.add(&finished.usage);
                    (Delta::default(), Some(finish_reason(&finished)))
                }
                Spoken::Failed { error, .. } => {
                    yield error_frame(&error.into());
                    continue;
                }
            };
            let logprobs = wants_logprobs.then(|| Logprobs::from(std::mem::take(&mut tokens)));
            let logprobs = logprobs.filter(|it| !it.content.is_empty());
            yield frame(&chunk(ChunkChoice { index, delta, logprobs, finish_reason: ended }));
        }
        if tells_usage {
            yield frame(&head.chunk(Vec::new(), Some(usage)));
        }
        yield Event::default().data("[DONE]");
    };
    let mut response = Sse::new(frames.map(Ok::<_, Infallible>))
        .keep_alive(KeepAlive::new().interval(COMMENT_EVERY))
        .into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
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

pub(super) fn frame(chunk: &impl Serialize) -> Event {
    // The types are ours and have only string keys, so they can be written as JSON.
    Event::default().json_data(chunk).unwrap_or_default()
}

pub(super) fn error_frame(error: &ApiError) -> Event {
    error.log("a stream", None);
    frame(&error.body(Style::OpenAi, false))
}
