//! `POST /v1/completions`: a text goes on. No chat template, no memory, no receipt.

use std::sync::Arc;
use std::time::Instant;

use async_stream::stream;
use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use futures_util::stream::select_all;

use super::TalkDefaults;
use super::chat::{error_frame, frame};
use super::sampling::{self, wrong};
use super::wire::{
    Completion, CompletionRequest, Prompt, Stop, TextChoice, UsageReport, finish_reason,
};
use crate::chat::ChatService;
use crate::engine::{self, EngineError, GenerateRequest, Generation, Message};
use crate::http::Lifecycle;
use crate::http::client::Client;
use crate::http::error::ApiError;
use crate::http::extract::JsonBody;
use crate::tokens::TokenCount;

/// Most prompts of one request.
const MOST_PROMPTS: usize = 16;

/// What every piece says.
struct Head {
    id: String,
    created: i64,
    model: String,
}

impl Head {
    fn completion(&self, choices: Vec<TextChoice>, usage: Option<UsageReport>) -> Completion {
        Completion {
            id: self.id.clone(),
            object: "text_completion",
            created: self.created,
            model: self.model.clone(),
            choices,
            usage,
        }
    }
}

pub(in super::super) async fn completions(
    State(chat): State<Arc<ChatService>>,
    State(defaults): State<Arc<TalkDefaults>>,
    State(lifecycle): State<Lifecycle>,
    Client(client): Client,
    JsonBody(request): JsonBody<CompletionRequest>,
) -> Result<Response, ApiError> {
    let prompts = match request.prompt {
        Prompt::One(prompt) => vec![prompt],
        Prompt::Several(prompts) => prompts,
    };
    if prompts.is_empty() || prompts.len() > MOST_PROMPTS {
        return Err(wrong("prompt", format!("between 1 and {MOST_PROMPTS} prompts can be sent")));
    }
    let choices = sampling::choices(request.n)?;
    let mut usual = sampling::sampling(&request.sampling, &defaults, &chat.ids)?;
    let logit_bias = sampling::logit_bias(&request.sampling)?;
    let max_tokens = request.max_tokens.map_or(defaults.max_tokens, TokenCount::from);
    let stop = request.stop.map(Stop::strings).unwrap_or_default();
    let head = Head {
        id: format!("cmpl-{}", chat.ids.receipt()),
        created: chat.clock.now().as_second(),
        model: chat.engine.status().model.or(request.model).unwrap_or_default(),
    };
    let mut requests = Vec::new();
    for prompt in &prompts {
        for _ in 0..choices {
            requests.push(GenerateRequest {
                stop: stop.clone(),
                logit_bias: logit_bias.clone(),
                deadline: Some(Instant::now() + chat.settings.generation_limit),
                ..GenerateRequest::new(
                    client.clone(),
                    vec![Message::assistant(prompt.clone())],
                    usual.clone(),
                    max_tokens,
                )
            });
            usual.seed = usual.seed.wrapping_add(1);
        }
    }
    let echo = request.echo.unwrap_or(false);
    let echoes = prompts.iter().flat_map(|prompt| std::iter::repeat_n(prompt, choices));
    let echoes: Vec<String> =
        echoes.map(|prompt| if echo { prompt.clone() } else { String::new() }).collect();
    let engine = Arc::clone(&chat.engine);
    let submit = move || requests.into_iter().map(|request| engine.submit(request)).collect();
    let generations: Result<Vec<_>, _> =
        tokio::task::spawn_blocking(submit).await.map_err(ApiError::internal)?;
    let generations = generations?;
    if request.stream.unwrap_or(false) {
        let tells_usage = request.stream_options.and_then(|it| it.include_usage).unwrap_or(false);
        return Ok(events(generations, echoes, head, tells_usage, lifecycle));
    }
    let mut usage = UsageReport::default();
    let mut texts = Vec::new();
    for (index, (generation, echo)) in generations.into_iter().zip(echoes).enumerate() {
        let (text, finished) = tokio::select! {
            () = lifecycle.hard_stop.cancelled() => return Err(EngineError::ShuttingDown.into()),
            text = generation.text() => text?,
        };
        usage.add(&finished.usage);
        let finish_reason = Some(finish_reason(&finished));
        texts.push(TextChoice { index, text: echo + &text, logprobs: None, finish_reason });
    }
    Ok(Json(head.completion(texts, Some(usage))).into_response())
}

fn events(
    generations: Vec<Generation>,
    echoes: Vec<String>,
    head: Head,
    tells_usage: bool,
    lifecycle: Lifecycle,
) -> Response {
    let events = generations.into_iter().enumerate().map(|(index, mut generation)| {
        Box::pin(stream! {
            while let Some(event) = generation.next().await {
                yield (index, event);
            }
        })
    });
    let mut events = select_all(events);
    let frames = stream! {
        let mut usage = UsageReport::default();
        let choice = |index, text, finish_reason| {
            head.completion(vec![TextChoice { index, text, logprobs: None, finish_reason }], None)
        };
        for (index, echo) in echoes.into_iter().enumerate().filter(|(_, echo)| !echo.is_empty()) {
            yield frame(&choice(index, echo, None));
        }
        loop {
            let event = tokio::select! {
                () = lifecycle.hard_stop.cancelled() => {
                    yield error_frame(&EngineError::ShuttingDown.into());
                    break;
                }
                event = events.next() => event,
            };
            match event {
                None => break,
                Some((index, engine::Event::Text(text))) => yield frame(&choice(index, text, None)),
                Some((index, engine::Event::Finished(finished))) => {
                    usage.add(&finished.usage);
                    yield frame(&choice(index, String::new(), Some(finish_reason(&finished))));
                }
                Some((_, engine::Event::Failed(error))) => yield error_frame(&error.into()),
                Some(_) => {}
            }
        }
        if tells_usage {
            yield frame(&head.completion(Vec::new(), Some(usage)));
        }
        yield Event::default().data("[DONE]");
    };
    Sse::new(frames.map(Ok::<_, std::convert::Infallible>)).into_response()
}
