//! `POST /v1/completions`: a text goes on. No chat template, no memory, no receipt.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_stream::stream;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;

use super::TalkDefaults;
use super::sampling::{self, unsupported, wrong};
use super::stream::{Head, Telling, done};
use super::wire::{Completion, CompletionRequest, Prompt, TextChoice, UsageReport, finish_reason};
use crate::chat::ChatService;
use crate::engine::{self, ClientId, GenerateRequest, Generation, Message, side_by_side};
use crate::http::Lifecycle;
use crate::http::client::Client;
use crate::http::error::ApiError;
use crate::http::extract::JsonBody;
use crate::http::sse::{self, frame};

/// Most prompts of one request.
const MOST_PROMPTS: usize = 16;

pub(in super::super) async fn completions(
    State(chat): State<Arc<ChatService>>,
    State(defaults): State<Arc<TalkDefaults>>,
    State(lifecycle): State<Lifecycle>,
    Client(client): Client,
    JsonBody(request): JsonBody<CompletionRequest>,
) -> Result<Response, ApiError> {
    let is_stream = request.stream.unwrap_or(false);
    let head = Head {
        id: format!("cmpl-{}", chat.ids.receipt()),
        created: chat.clock.now().as_second(),
        model: chat.engine.status().model.or_else(|| request.model.clone()).unwrap_or_default(),
    };
    let tells_usage = request.stream_options.and_then(|it| it.include_usage).unwrap_or(false);
    let telling = Telling { head, tells_usage, lifecycle, metrics: chat.metrics.clone() };
    let asked = Asked::of(request, &chat, &defaults, client)?;
    let Asked { requests, echoes, texts_a_prompt } = asked;
    let engine = Arc::clone(&chat.engine);
    let submit = move || requests.into_iter().map(|request| engine.submit(request)).collect();
    let generations: Result<Vec<_>, _> =
        tokio::task::spawn_blocking(submit).await.map_err(ApiError::internal)?;
    let answers = Answers { generations: generations?, echoes, texts_a_prompt };
    if is_stream {
        return Ok(answers.events(telling));
    }
    answers.whole(telling).await.map(|completion| Json(completion).into_response())
}

/// What the engine is to write.
struct Asked {
    requests: Vec<GenerateRequest>,
    /// What stands before each text.
    echoes: Vec<String>,
    texts_a_prompt: usize,
}

impl Asked {
    fn of(
        request: CompletionRequest,
        chat: &ChatService,
        defaults: &TalkDefaults,
        client: ClientId,
    ) -> Result<Self, ApiError> {
        if !chat.engine.supports().continues_text {
            return Err(unsupported(
                "the model's server answers messages and doesn't continue a text: use /v1/chat/completions, or LLM_PROVIDER=llama",
            ));
        }
        let prompts = match request.prompt {
            Prompt::One(prompt) => vec![prompt],
            Prompt::Several(prompts) => prompts,
        };
        if prompts.is_empty() || prompts.len() > MOST_PROMPTS {
            let message = format!("between 1 and {MOST_PROMPTS} prompts can be sent");
            return Err(wrong("prompt", message));
        }
        let texts_a_prompt = sampling::choices(request.n)?;
        let texts = prompts.len() * texts_a_prompt;
        if texts > defaults.queue_size {
            return Err(wrong(
                "prompt",
                format!(
                    "{} prompts with {texts_a_prompt} texts each are {texts} requests, and LLM_QUEUE_SIZE lets {} wait; send fewer at once",
                    prompts.len(),
                    defaults.queue_size
                ),
            ));
        }
        let mut usual = sampling::sampling(&request.sampling, defaults, &chat.ids)?;
        let usual_request = GenerateRequest {
            stop: sampling::stops(request.stop)?,
            logit_bias: sampling::logit_bias(&request.sampling)?,
            deadline: Some(Instant::now() + chat.settings.generation_limit),
            ..GenerateRequest::new(
                client,
                Vec::new(),
                usual.clone(),
                sampling::max_tokens(request.max_tokens)?.unwrap_or(defaults.max_tokens),
            )
        };
        let echo = request.echo.unwrap_or(false);
        let mut asked = Self { requests: Vec::new(), echoes: Vec::new(), texts_a_prompt };
        for prompt in prompts {
            for _ in 0..texts_a_prompt {
                asked.requests.push(GenerateRequest {
                    messages: vec![Message::assistant(prompt.clone())],
                    sampling: usual.clone(),
                    ..usual_request.clone()
                });
                asked.echoes.push(if echo { prompt.clone() } else { String::new() });
                usual.seed = usual.seed.wrapping_add(1);
            }
        }
        Ok(asked)
    }
}

/// The texts as they are written: those to the first prompt, those to the second, and so on.
struct Answers {
    generations: Vec<Generation>,
    echoes: Vec<String>,
    texts_a_prompt: usize,
}

impl Answers {
    async fn whole(self, telling: Telling) -> Result<Completion, ApiError> {
        let mut usage = UsageByPrompt::new(self.texts_a_prompt);
        let mut texts = Vec::new();
        let answers = self.generations.into_iter().zip(self.echoes);
        for (index, (generation, echo)) in answers.enumerate() {
            let (text, finished) = telling.lifecycle.or_stop(generation.text()).await??;
            usage.add(index, &finished.usage);
            let finish_reason = Some(finish_reason(&finished));
            texts.push(TextChoice { index, text: echo + &text, logprobs: None, finish_reason });
        }
        Ok(telling.head.completion(texts, Some(usage.sum())))
    }

    fn events(self, telling: Telling) -> Response {
        let mut events = side_by_side(self.generations);
        let mut usage = UsageByPrompt::new(self.texts_a_prompt);
        let piece = |head: &Head, index, text, finish_reason| {
            let choice = TextChoice { index, text, logprobs: None, finish_reason };
            frame(&head.completion(vec![choice], None))
        };
        sse::response(stream! {
            let echoes = self.echoes.into_iter().enumerate();
            for (index, echo) in echoes.filter(|(_, echo)| !echo.is_empty()) {
                yield piece(&telling.head, index, echo, None);
            }
            loop {
                let (index, event) = match telling.lifecycle.or_stop(events.next()).await {
                    Ok(Some(event)) => event,
                    Ok(None) => break,
                    Err(stopping) => {
                        yield telling.error(stopping);
                        break;
                    }
                };
                match event {
                    engine::Event::Text(text) => yield piece(&telling.head, index, text, None),
                    engine::Event::Finished(finished) => {
                        usage.add(index, &finished.usage);
                        let reason = Some(finish_reason(&finished));
                        yield piece(&telling.head, index, String::new(), reason);
                    }
                    engine::Event::Failed(error) => yield telling.error(error),
                    engine::Event::Started { .. }
                    | engine::Event::Tokens(_)
                    | engine::Event::ToolCalls(_) => {}
                }
            }
            if telling.tells_usage {
                yield frame(&telling.head.completion(Vec::new(), Some(usage.sum())));
            }
            yield done();
        })
    }
}

/// What the prompts took, each counted once however many texts it gets.
struct UsageByPrompt {
    prompts: BTreeMap<usize, UsageReport>,
    texts_a_prompt: usize,
}

impl UsageByPrompt {
    fn new(texts_a_prompt: usize) -> Self {
        Self { prompts: BTreeMap::new(), texts_a_prompt }
    }

    fn add(&mut self, text: usize, usage: &engine::Usage) {
        self.prompts.entry(text / self.texts_a_prompt).or_default().add(usage);
    }

    fn sum(self) -> UsageReport {
        self.prompts.into_values().sum()
    }
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
