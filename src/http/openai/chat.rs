//! `POST /v1/chat/completions`: one turn of talk, in one piece or as a stream.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::identity::{SaidOutside, alias, header_of};
use super::messages::sent;
use super::models::own_model;
use super::sampling::{self, MOST_ALTERNATIVES, unsupported, wrong};
use super::stream::{Head, Telling};
use super::wire::{ChatCompletionRequest, ChatRole, ResponseFormat};
use super::{TalkDefaults, spoken};
use crate::chat::{Answer, Beside, ChatService, Lore, MemoryState, Remembers, Sent, TurnRequest};
use crate::engine::{Capabilities, ClientId, Role, Tools};
use crate::http::Lifecycle;
use crate::http::client::Client;
use crate::http::error::ApiError;
use crate::http::extract::JsonBody;
use crate::memory::{Memory, Whose};
use crate::persona::{Persona, Personas};

pub(in super::super) const SESSION: HeaderName = HeaderName::from_static("x-session-id");
pub(in super::super) const RECEIPT: HeaderName = HeaderName::from_static("x-receipt-id");
pub(in super::super) const MEMORY: HeaderName = HeaderName::from_static("x-memory");

pub(in super::super) async fn chat_completions(
    State(chat): State<Arc<ChatService>>,
    State(defaults): State<Arc<TalkDefaults>>,
    State(lifecycle): State<Lifecycle>,
    State(personas): State<Personas>,
    Client(client): Client,
    outside: SaidOutside,
    JsonBody(request): JsonBody<ChatCompletionRequest>,
) -> Result<Response, ApiError> {
    let is_stream = request.stream.unwrap_or(false);
    let tells_usage =
        request.stream_options.and_then(|options| options.include_usage).unwrap_or(false);
    let wants_logprobs = request.logprobs.unwrap_or(false);
    let model = request.model.clone();
    let turn = turn(&chat, &defaults, &personas, client, outside, request)?;
    let answer = chat.answer(turn).await?;
    let head = Head {
        id: format!("chatcmpl-{}", answer.receipt.id),
        created: chat.clock.now().as_second(),
        model: answer.receipt.model.clone().or(model).unwrap_or_default(),
    };
    let telling = Telling { head, tells_usage, lifecycle, metrics: chat.metrics.clone() };
    let mut headers = headers(&answer, &chat);
    let response = if is_stream {
        spoken::events(answer, telling)
    } else {
        let (completion, memory) = spoken::whole(answer, telling, wants_logprobs).await?;
        headers.insert(MEMORY, memory);
        Json(completion).into_response()
    };
    Ok((headers, response).into_response())
}

fn turn(
    chat: &ChatService,
    defaults: &TalkDefaults,
    personas: &Personas,
    client: ClientId,
    outside: SaidOutside,
    mut request: ChatCompletionRequest,
) -> Result<TurnRequest, ApiError> {
    let own = own_model(chat);
    let asked = request.model.take().unwrap_or_default();
    let alias = alias(&asked, &own);
    // An alias is a persona's, or else a session's.
    let persona = alias.and_then(|alias| personas.get(alias));
    let alias = alias.filter(|_| persona.is_none());
    let remembers = remembers(&outside, &request)?;
    let sampling = sampling::sampling(&request.sampling, defaults, &chat.ids)?;
    let logit_bias = sampling::logit_bias(&request.sampling)?;
    let choices = sampling::choices(request.n)?;
    let max_tokens = sampling::max_tokens(request.max_completion_tokens.or(request.max_tokens))?;
    let logprobs = match (request.logprobs.unwrap_or(false), request.top_logprobs) {
        (_, Some(count)) if count > MOST_ALTERNATIVES => {
            let message = format!("{count} is not within 0 and {MOST_ALTERNATIVES}");
            return Err(wrong("top_logprobs", message));
        }
        (true, count) => Some(count.unwrap_or(0)),
        (false, _) => None,
    };
    let capabilities = chat.engine.supports();
    Ok(TurnRequest {
        client,
        whose: outside.session(request.user, alias)?.map(Whose::Named),
        remembers,
        messages: spoken_by(persona.as_deref(), sent(request.messages, capabilities.tools)?),
        sampling,
        max_tokens: max_tokens.unwrap_or_else(|| defaults.max_tokens.min(chat.usual_answer())),
        stop: sampling::stops(request.stop)?,
        json_schema: request
            .response_format
            .map_or(Ok(None), |format| schema(format, capabilities))?,
        logit_bias,
        logprobs,
        tools: tools(request.tools, request.tool_choice, capabilities.tools),
        choices,
        beside: Beside {
            lore: persona.as_deref().and_then(|it| lore(it, chat)),
            ..Beside::default()
        },
        held: None,
    })
}

/// The messages, with the persona's words before them, unless the client brings a persona of its own.
fn spoken_by(persona: Option<&Persona>, mut messages: Vec<Sent>) -> Vec<Sent> {
    let has_its_own = messages.first().is_some_and(|first| first.role == Role::System);
    if let Some(persona) = persona.filter(|_| !has_its_own) {
        let content = persona.system_prompt.clone();
        messages.insert(0, Sent { role: Role::System, name: None, content, wire: None });
    }
    messages
}

/// The persona's book.
fn lore(persona: &Persona, chat: &ChatService) -> Option<Lore> {
    let seed = u64::from(chat.ids.sampler_seed());
    let (character, user) = (persona.name.clone(), "User".to_owned());
    let key = persona.key.clone();
    persona.book.clone().map(|book| Lore { book, key, character, user, seed })
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

fn schema(
    format: ResponseFormat,
    capabilities: Capabilities,
) -> Result<Option<Arc<Value>>, ApiError> {
    let schema = match format {
        ResponseFormat::Text => return Ok(None),
        ResponseFormat::JsonObject => json!({ "type": "object" }),
        ResponseFormat::JsonSchema { json_schema } => json_schema.schema,
    };
    if !capabilities.json_schema {
        return Err(unsupported(
            "the model's server doesn't hold answers to a schema: leave response_format out, or set LLM_PROVIDER to a server that knows it",
        ));
    }
    Ok(Some(Arc::new(schema)))
}

fn tools(declarations: Option<Value>, choice: Option<Value>, are_known: bool) -> Option<Tools> {
    let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let declarations = declarations.filter(|value| !is_empty(value))?;
    // Somebody who forbids their use loses nothing.
    let is_forbidden = choice.as_ref().is_some_and(|choice| choice == "none");
    (are_known || !is_forbidden).then_some(Tools { declarations, choice })
}

fn headers(answer: &Answer, chat: &ChatService) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut insert = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    insert(RECEIPT, &answer.receipt.id.to_string());
    insert(MEMORY, memory_at_first(answer.memory, chat.memory.as_ref()).name());
    if let Some(session) = answer.session() {
        insert(SESSION, &header_of(session));
    }
    headers
}

/// How memory serves an answer that isn't stored yet. What waits for the database bodes ill for it.
fn memory_at_first(state: MemoryState, memory: Option<&Memory>) -> MemoryState {
    match state {
        MemoryState::On if memory.is_some_and(|memory| memory.unsaved() > 0) => {
            MemoryState::Degraded
        }
        state => state,
    }
}
