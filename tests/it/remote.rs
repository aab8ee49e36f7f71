//! Engines whose model runs elsewhere, against providers played on a free port: what they are asked,
//! how their answers are read, and what becomes of every way to fail.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_stream::stream;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream as streams};
use rhapsode::app::remote_settings;
use rhapsode::clock::Clock;
use rhapsode::config::Config;
use rhapsode::engine::remote::RemoteEngine;
use rhapsode::engine::{
    Engine, EngineError, EngineState, EngineStatus, Event, FinishReason, Finished, GenerateRequest,
    Generation, Message, Tools,
};
use rhapsode::tokens::TokenCount;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::engine_llama::request;
use crate::support::{PATIENCE, Scripted, TestApp, documented_request, prompt_of, types_of};

const KEY: &str = "sk-hunter2-hunter2";
const ANSWER: &str = "Grüße, 狐 said the 🦊.";
const OPENAI: &str = include_str!("data/openai_stream.txt");
const OLLAMA: &str = include_str!("data/ollama_chat.txt");
const GEMINI: &str = include_str!("data/gemini_stream.txt");

/// What a provider was asked.
#[derive(Clone, Debug)]
struct Asked {
    path: String,
    headers: HeaderMap,
    body: Value,
    at: Instant,
}

/// A provider that is played here.
struct Played {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Played {
    /// One that answers the nth request, from 0 on, with what `answer` makes of it. Probes find it
    /// well.
    async fn with(answer: impl Fn(usize) -> Response + Clone + Send + Sync + 'static) -> Self {
        Self::probed(answer, |_| axum::Json(json!({})).into_response()).await
    }

    async fn probed(
        answer: impl Fn(usize) -> Response + Clone + Send + Sync + 'static,
        probe: impl Fn(&str) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let router = Router::new().fallback(async move |request: Request| {
            let (parts, body) = request.into_parts();
            let path = parts.uri.to_string();
            if parts.method == Method::GET {
                return probe(&path);
            }
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let body = serde_json::from_slice(&body).unwrap();
            let asked = Asked { path, headers: parts.headers, body, at: Instant::now() };
            let mut seen = seen.lock().unwrap();
            seen.push(asked);
            answer(seen.len() - 1)
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn engine(&self, settings: &[(&str, &str)]) -> RemoteEngine {
        engine_at(&self.url, settings)
    }
}

fn engine_at(url: &str, settings: &[(&str, &str)]) -> RemoteEngine {
    let usual = [
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "test-model"),
        ("LLM_BASE_URL", url),
        ("LLM_API_KEY", KEY),
        ("LLM_RETRIES", "2"),
    ];
    let pairs: Vec<_> = usual
        .into_iter()
        .filter(|(name, _)| settings.iter().all(|(other, _)| other != name))
        .chain(settings.iter().copied())
        .collect();
    let settings = remote_settings(&Config::from_pairs(&pairs).unwrap()).unwrap();
    assert!(!format!("{settings:?}").contains(KEY));
    RemoteEngine::start(settings, Clock::system(), Handle::current()).unwrap()
}

/// A stream of events in pieces of this many bytes.
fn in_pieces(body: &'static str, bytes: usize, kind: &'static str) -> Response {
    let pieces = body.as_bytes().chunks(bytes).map(|piece| Ok::<_, String>(Bytes::from(piece)));
    ([(header::CONTENT_TYPE, kind)], Body::from_stream(streams::iter(pieces))).into_response()
}

fn events(body: &'static str) -> Response {
    in_pieces(body, 4096, "text/event-stream")
}

fn fine() -> Response {
    events(OPENAI)
}

/// A stream of these pieces that then goes on as `end` does.
fn text_and_then(
    pieces: &'static [&'static str],
    end: impl futures_util::Stream<Item = Result<Bytes, String>> + Send + 'static,
) -> Response {
    let said = streams::iter(pieces).map(|piece| Ok(Bytes::from(said(piece))));
    let body = Body::from_stream(said.chain(end));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn said(text: &str) -> String {
    let chunk = json!({"choices": [{"index": 0, "delta": {"content": text}}]});
    format!("data: {chunk}\n\n")
}

fn failing(status: u16, headers: &[(&'static str, &'static str)]) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    let body = json!({"error": {"message": format!("no, {KEY}"), "type": "x", "code": null}});
    let mut response = (status, axum::Json(body)).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

/// Everything that is heard of a request: its text, and how it ended. Nothing comes after the end.
async fn hear(mut generation: Generation) -> (String, Result<Finished, EngineError>) {
    let mut text = String::new();
    loop {
        match timeout(PATIENCE, generation.next()).await.unwrap() {
            Some(Event::Text(piece)) => text.push_str(&piece),
            Some(Event::Finished(finished)) => {
                assert!(generation.next().await.is_none());
                return (text, Ok(finished));
            }
            Some(Event::Failed(error)) => {
                assert!(generation.next().await.is_none());
                assert!(!error.to_string().contains(KEY), "{error}");
                return (text, Err(error));
            }
            Some(_) => {}
            None => panic!("no end"),
        }
    }
}

async fn ask(engine: &RemoteEngine) -> (String, Result<Finished, EngineError>) {
    hear(engine.submit(request("Who?", 50)).unwrap()).await
}

async fn until(engine: &RemoteEngine, holds: impl Fn(&EngineStatus) -> bool) -> EngineStatus {
    let waiting = async {
        loop {
            let status = engine.status();
            if holds(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{:?}", engine.status()))
}

#[tokio::test]
async fn an_openai_server_is_asked_in_its_language_and_its_answer_streams() {
    for bytes in [1, 2, 3, 7, 4096] {
        let played = Played::with(move |_| in_pieces(OPENAI, bytes, "text/event-stream")).await;
        let engine = played.engine(&[]);
        let (text, finished) = ask(&engine).await;
        assert_eq!(text, ANSWER);
        let finished = finished.unwrap();
        assert_eq!(finished.reason, FinishReason::Stop);
        let usage = finished.usage;
        assert_eq!(
            [usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens]
                .map(TokenCount::get),
            [1217, 1024, 11]
        );
        let asked = &played.asked()[0];
        assert_eq!(asked.path, "/chat/completions");
        assert_eq!(asked.headers[header::AUTHORIZATION], format!("Bearer {KEY}"));
        assert_eq!(asked.body["model"], "test-model");
        assert_eq!(asked.body["messages"], json!([{"role": "user", "content": "Who?"}]));
        assert_eq!(asked.body["stream_options"]["include_usage"], true);
        let status = until(&engine, |status| status.running == 0).await;
        assert_eq!((status.state, status.counters.requests), (EngineState::Ready, 1));
        assert_eq!(status.counters.cached_tokens, 1024);
    }
}

#[tokio::test]
async fn an_ollama_server_is_asked_in_its_language_and_its_answer_streams() {
    for bytes in [1, 3, 4096] {
        let played = Played::with(move |_| in_pieces(OLLAMA, bytes, "application/x-ndjson")).await;
        let engine = played.engine(&[("LLM_PROVIDER", "ollama"), ("LLM_N_CTX", "8192")]);
        let (text, finished) = ask(&engine).await;
        assert_eq!(text, ANSWER);
        let usage = finished.unwrap().usage;
        assert_eq!((usage.prompt_tokens.get(), usage.completion_tokens.get()), (26, 11));
        let asked = &played.asked()[0];
        assert_eq!(asked.path, "/api/chat");
        assert_eq!(asked.body["options"]["num_ctx"], 8192);
    }
}

#[tokio::test]
async fn gemini_is_asked_in_its_language_and_its_answer_streams() {
    for bytes in [1, 3, 4096] {
        let played = Played::with(move |_| in_pieces(GEMINI, bytes, "text/event-stream")).await;
        let engine =
            played.engine(&[("LLM_PROVIDER", "gemini"), ("LLM_MODEL", "gemini-2.5-flash")]);
        let (text, finished) = ask(&engine).await;
        assert_eq!(text, ANSWER);
        let usage = finished.unwrap().usage;
        assert_eq!(
            [usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens]
                .map(TokenCount::get),
            [26, 20, 11]
        );
        let asked = &played.asked()[0];
        assert_eq!(asked.path, "/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
        assert_eq!(asked.headers["x-goog-api-key"], KEY);
        assert_eq!(asked.headers.get(header::AUTHORIZATION), None);
    }
}

#[tokio::test]
async fn tools_and_likelihoods_pass_through() {
    const BODY: &str = concat!(
        r#"data: {"choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":{"content":[{"token":"Hi","logprob":-0.25,"bytes":[72,105],"top_logprobs":[]}]}}]}"#,
        "\n\n",
        r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#,
        "\n\ndata: [DONE]\n\n",
    );
    let played = Played::with(|_| events(BODY)).await;
    let engine = played.engine(&[]);
    let tools = Tools { declarations: json!([{"type": "function"}]), choice: None };
    let asked = GenerateRequest { tools: Some(tools), logprobs: Some(0), ..request("Who?", 50) };
    let mut generation = engine.submit(asked).unwrap();
    let mut heard = Vec::new();
    while let Some(event) = generation.next().await {
        heard.push(match event {
            Event::Started { .. } => "started".to_owned(),
            Event::Tokens(tokens) => format!("{} {}", tokens[0].token, tokens[0].logprob),
            Event::Text(text) => text,
            Event::ToolCalls(calls) => calls[0]["function"]["name"].to_string(),
            Event::Finished(finished) => format!("{:?}", finished.reason),
            Event::Failed(error) => panic!("{error}"),
        });
    }
    assert_eq!(heard, ["started", "Hi -0.25", "Hi", "\"f\"", "ToolCalls"]);
}

#[tokio::test]
async fn a_stop_string_the_server_ignores_ends_the_answer_here() {
    let played = Played::with(|_| fine()).await;
    let mut asked = request("Who?", 50);
    asked.stop = ["1", "2", "3", "4", "said the"].map(str::to_owned).to_vec();
    let engine = played.engine(&[]);
    let (text, finished) = hear(engine.submit(asked).unwrap()).await;
    assert_eq!((text.as_str(), finished.unwrap().reason), ("Grüße, 狐 ", FinishReason::Stop));
    assert_eq!(played.asked()[0].body["stop"], json!(["1", "2", "3", "4"]));
}

#[tokio::test]
async fn a_busy_server_is_asked_again_until_it_answers() {
    let played = Played::with(|nth| match nth {
        0 => failing(429, &[("retry-after", "0")]),
        1 => failing(503, &[("retry-after", "0")]),
        _ => fine(),
    })
    .await;
    let (text, finished) = ask(&played.engine(&[])).await;
    assert_eq!((text.as_str(), finished.is_ok()), (ANSWER, true));
    assert_eq!(played.asked().len(), 3);
}

#[tokio::test]
async fn a_server_that_says_nothing_of_when_is_asked_again_all_the_same() {
    let played = Played::with(|nth| match nth {
        0 => failing(429, &[]),
        1 => failing(503, &[]),
        _ => fine(),
    })
    .await;
    assert_eq!(ask(&played.engine(&[])).await.0, ANSWER);
    assert_eq!(played.asked().len(), 3);
}

#[tokio::test]
async fn what_a_try_that_failed_left_behind_is_no_part_of_the_answer() {
    const FAILED: &str = concat!(
        r#"data: {"choices":[{"index":0,"delta":{"content":""},"logprobs":{"content":[{"token":"X","logprob":-9,"bytes":null}]},"finish_reason":"length"}],"usage":{"prompt_tokens":777,"completion_tokens":777}}"#,
        "\n\ndata: {\"error\":{\"message\":\"overloaded\"}}\n\n",
    );
    const ANSWERED: &str = concat!(
        r#"data: {"choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":{"content":[{"token":"Hi","logprob":0,"bytes":null}]}}]}"#,
        "\n\n",
        r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        "\n\ndata: [DONE]\n\n",
    );
    let played = Played::with(|nth| events(if nth == 0 { FAILED } else { ANSWERED })).await;
    let asked = GenerateRequest { logprobs: Some(0), ..request("Who?", 50) };
    let engine = played.engine(&[]);
    let mut generation = engine.submit(asked).unwrap();
    let mut tokens = Vec::new();
    let finished = loop {
        match timeout(PATIENCE, generation.next()).await.unwrap().unwrap() {
            Event::Tokens(told) => tokens.extend(told.into_iter().map(|token| token.token)),
            Event::Finished(finished) => break finished,
            Event::Failed(error) => panic!("{error}"),
            _ => {}
        }
    };
    assert_eq!(tokens, ["Hi"]);
    assert_eq!(finished.reason, FinishReason::Stop);
    assert_eq!(finished.usage.completion_tokens, TokenCount::new(1));
    assert_ne!(finished.usage.prompt_tokens, TokenCount::new(777));
    assert_eq!(played.asked().len(), 2);
}

#[tokio::test]
async fn a_limit_of_requests_tells_when_to_come_back() {
    let played = Played::with(|_| failing(429, &[("retry-after", "77")])).await;
    let (_, failed) = ask(&played.engine(&[("LLM_RETRIES", "0")])).await;
    let error = failed.unwrap_err();
    let after = Some(Duration::from_secs(77));
    assert!(
        matches!(&error, EngineError::Refused { status: 429, retry_after, .. } if *retry_after == after),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_says_when_to_come_back_is_left_alone_until_then() {
    let played = Played::with(|nth| match nth {
        0 => failing(429, &[("retry-after", "1")]),
        _ => fine(),
    })
    .await;
    ask(&played.engine(&[])).await.1.unwrap();
    let asked = played.asked();
    assert!(asked[1].at - asked[0].at >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_server_that_keeps_failing_is_given_up_and_health_says_so() {
    let played = Played::with(|_| failing(500, &[("retry-after", "0")])).await;
    let engine = played.engine(&[]);
    let (_, failed) = ask(&engine).await;
    let said = failed.unwrap_err().to_string();
    assert!(said.contains("500") && said.contains("no, ****"), "{said}");
    assert_eq!(played.asked().len(), 3);
    let status = engine.status();
    assert_eq!(status.state, EngineState::Failed);
    let seen = status.last_error.unwrap();
    assert!(seen.message.contains("500") && !seen.message.contains("no,"), "{seen:?}");
}

#[tokio::test]
async fn what_the_server_will_never_accept_is_not_sent_twice() {
    for (status, advice) in
        [(400, "LLM_N_CTX"), (401, "LLM_API_KEY"), (404, "LLM_MODEL"), (402, "credit")]
    {
        let played = Played::with(move |_| failing(status, &[])).await;
        let (_, failed) = ask(&played.engine(&[])).await;
        let error = failed.unwrap_err();
        assert!(matches!(error, EngineError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains(advice), "{error}");
        assert_eq!(played.asked().len(), 1);
    }
}

fn refusing(said: &str) -> Response {
    let said = json!({"error": {"message": said}});
    (StatusCode::BAD_REQUEST, axum::Json(said)).into_response()
}

/// What a field was, each time that the provider was asked.
fn sent(played: &Played, field: &str) -> Vec<Option<Value>> {
    played.asked().iter().map(|asked| asked.body.get(field).cloned()).collect()
}

#[tokio::test]
async fn a_field_the_server_does_not_know_is_left_out_from_then_on() {
    let played = Played::with(|nth| match nth {
        0 => refusing("Unsupported value: 'temperature' does not support 0 with this model."),
        _ => fine(),
    })
    .await;
    let engine = played.engine(&[("LLM_RETRIES", "0")]);
    ask(&engine).await.1.unwrap();
    ask(&engine).await.1.unwrap();
    let sent: Vec<_> = sent(&played, "temperature").iter().map(Option::is_some).collect();
    assert_eq!(sent, [true, false, false]);
}

#[tokio::test]
async fn a_refusal_that_another_wording_does_not_mend_teaches_nothing() {
    let played = Played::with(|nth| match nth {
        0 | 1 => refusing("not supported: 'Plant the seed.'"),
        2 => refusing("max_tokens is too large: 50. The maximum context length is 40."),
        _ => fine(),
    })
    .await;
    let engine = played.engine(&[]);
    for _ in 0..2 {
        let error = ask(&engine).await.1.unwrap_err();
        assert!(matches!(error, EngineError::Refused { status: 400, .. }), "{error:?}");
    }
    ask(&engine).await.1.unwrap();
    let seeds: Vec<_> = sent(&played, "seed").iter().map(Option::is_some).collect();
    assert_eq!(seeds, [true, false, true, true]);
    assert_eq!(sent(&played, "max_tokens"), vec![Some(json!(50)); 4]);
}

#[tokio::test]
async fn a_server_without_schemas_is_asked_for_json_and_its_engine_says_so() {
    let played = Played::with(|nth| match nth {
        0 => refusing("This response_format type is unavailable now"),
        _ => fine(),
    })
    .await;
    let engine = played.engine(&[]);
    assert!(engine.supports().json_schema);
    let schema = json!({"type": "object", "required": ["a"]});
    for schema in [schema.clone(), schema, json!({"type": "object"})] {
        let asked = GenerateRequest { json_schema: Some(Arc::new(schema)), ..request("Who?", 50) };
        hear(engine.submit(asked).unwrap()).await.1.unwrap();
    }
    let sent = sent(&played, "response_format").into_iter().flatten();
    let kinds: Vec<_> = sent.map(|format| format["type"].clone()).collect();
    assert_eq!(kinds, ["json_schema", "json_object", "json_object", "json_object"]);
    assert!(!engine.supports().json_schema);
}

#[tokio::test]
async fn stop_strings_hold_where_the_server_knows_none() {
    let played = Played::with(|nth| match nth {
        0 => refusing("Unsupported parameter: 'stop' is not supported with this model."),
        _ => fine(),
    })
    .await;
    let asked = GenerateRequest { stop: vec!["said the".to_owned()], ..request("Who?", 50) };
    let (text, finished) = hear(played.engine(&[]).submit(asked).unwrap()).await;
    assert_eq!((text.as_str(), finished.unwrap().reason), ("Grüße, 狐 ", FinishReason::Stop));
    assert_eq!(sent(&played, "stop"), [Some(json!(["said the"])), None]);
}

#[tokio::test]
async fn the_provider_hears_who_speaks() {
    let played = Played::with(|_| fine()).await;
    let app = TestApp::start(Arc::new(played.engine(&[])), &[]).await;
    let body = json!({"messages": [
        {"role": "system", "content": "You are Aria."},
        {"role": "user", "name": "Lady Anne", "content": "Who?"},
    ]});
    app.post("/v1/chat/completions", body.to_string()).await;
    let messages = sent(&played, "messages").remove(0).unwrap();
    let last = messages.as_array().unwrap().last().unwrap();
    assert_eq!(last, &json!({"role": "user", "content": "Who?", "name": "Lady_Anne"}));
}

#[tokio::test]
async fn nobody_at_the_address_is_an_error_that_names_the_setting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let engine = engine_at(&url, &[("LLM_RETRIES", "0")]);
    let (_, failed) = ask(&engine).await;
    let error = failed.unwrap_err();
    assert!(matches!(error, EngineError::Unreachable(_)), "{error:?}");
    assert!(error.to_string().contains("LLM_BASE_URL"), "{error}");
    until(&engine, |status| status.state == EngineState::Failed).await;
    engine.ready().unwrap();
}

#[tokio::test]
async fn a_server_that_stalls_is_left_at_the_deadline_or_when_its_time_is_over() {
    let played = Played::with(|_| text_and_then(&["Once "], streams::pending())).await;
    let mut asked = request("Who?", 50);
    asked.deadline = Some(Instant::now() + Duration::from_millis(200));
    let (_, failed) = hear(played.engine(&[]).submit(asked).unwrap()).await;
    assert_eq!(failed.unwrap_err(), EngineError::DeadlinePassed);

    let engine = played.engine(&[("LLM_STALL_TIMEOUT_SECONDS", "1")]);
    let (text, failed) = ask(&engine).await;
    assert_eq!(text, "Once ");
    assert!(failed.unwrap_err().to_string().contains("LLM_STALL_TIMEOUT_SECONDS"));

    let played = Played::with(|_| text_and_then(&[], streams::pending())).await;
    let engine = played.engine(&[("LLM_FIRST_TOKEN_TIMEOUT_SECONDS", "1")]);
    let (_, failed) = ask(&engine).await;
    assert!(failed.unwrap_err().to_string().contains("LLM_FIRST_TOKEN_TIMEOUT_SECONDS"));
    assert_eq!(played.asked().len(), 1);
}

/// A frame that holds no answer yet.
const THOUGHT: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"Hm.\"}}]}\n\n";

#[tokio::test]
async fn a_model_that_thinks_first_may_think_for_long_but_not_in_silence() {
    let settings = [("LLM_FIRST_TOKEN_TIMEOUT_SECONDS", "1"), ("LLM_STALL_TIMEOUT_SECONDS", "1")];
    let played = Played::with(|_| {
        let body = stream! {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(1500) {
                tokio::time::sleep(Duration::from_millis(5)).await;
                yield Ok::<_, String>(Bytes::from(THOUGHT));
            }
            yield Ok(Bytes::from(OPENAI));
        };
        ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response()
    })
    .await;
    assert_eq!(ask(&played.engine(&settings)).await.0, ANSWER);

    let played = Played::with(|_| {
        let body = streams::iter([Ok::<_, String>(Bytes::from(THOUGHT))]).chain(streams::pending());
        ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response()
    })
    .await;
    let error = ask(&played.engine(&settings)).await.1.unwrap_err().to_string();
    assert!(error.contains("LLM_STALL_TIMEOUT_SECONDS"), "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_fails_once_and_what_came_before_holds() {
    for how in ["breaks", "ends", "says so"] {
        let gate = Arc::new(Semaphore::new(0));
        let heard = Arc::clone(&gate);
        let played = Played::with(move |_| {
            let gate = Arc::clone(&gate);
            let end = stream! {
                gate.acquire().await.unwrap().forget();
                match how {
                    "breaks" => yield Err("gone".to_owned()),
                    "ends" => {}
                    _ => yield Ok(Bytes::from("data: {\"error\":{\"message\":\"CUDA\"}}\n\n")),
                }
            };
            text_and_then(&["Once ", "upon"], end)
        })
        .await;
        let engine = played.engine(&[]);
        let mut generation = engine.submit(request("Who?", 50)).unwrap();
        let mut text = String::new();
        while text != "Once upon" {
            if let Some(Event::Text(piece)) = generation.next().await {
                text.push_str(&piece);
            }
        }
        heard.add_permits(1);
        let (rest, failed) = hear(generation).await;
        assert_eq!(rest, "", "{how}");
        assert!(matches!(failed, Err(EngineError::Unreachable(_))), "{how}: {failed:?}");
        assert_eq!(played.asked().len(), 1, "{how}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_before_its_first_word_is_asked_for_again() {
    let played = Played::with(|nth| match nth {
        0 => text_and_then(&[], streams::empty()),
        _ => fine(),
    })
    .await;
    assert_eq!(ask(&played.engine(&[])).await.0, ANSWER);
    assert_eq!(played.asked().len(), 2);
}

#[tokio::test]
async fn the_server_hears_at_once_when_nobody_waits_any_more() {
    struct Closes(mpsc::UnboundedSender<()>);
    impl Drop for Closes {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (closed, mut was_closed) = mpsc::unbounded_channel();
    let played = Played::with(move |_| {
        let guard = Closes(closed.clone());
        text_and_then(
            &["Once "],
            stream! {
                let _guard = guard;
                loop {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    yield Ok(Bytes::from(": still there\n\n"));
                }
            },
        )
    })
    .await;
    let engine = played.engine(&[]);
    let mut generation = engine.submit(request("Who?", 50)).unwrap();
    while !matches!(generation.next().await, Some(Event::Text(_))) {}
    drop(generation);
    timeout(PATIENCE, was_closed.recv()).await.unwrap().unwrap();
    until(&engine, |status| status.running == 0).await;
}

#[tokio::test]
async fn who_leaves_during_a_pause_gives_the_place_back() {
    let played = Played::with(|_| failing(503, &[("retry-after", "60")])).await;
    let engine = played.engine(&[("LLM_MAX_IN_FLIGHT", "1")]);
    let generation = engine.submit(request("Who?", 50)).unwrap();
    while played.asked().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(generation);
    until(&engine, |status| status.running == 0).await;
    assert_eq!(played.asked().len(), 1);
}

#[tokio::test]
async fn a_pause_longer_than_the_deadline_is_not_waited_for() {
    let played = Played::with(|_| failing(503, &[("retry-after", "60")])).await;
    let mut asked = request("Who?", 50);
    asked.deadline = Some(Instant::now() + Duration::from_secs(30));
    let (_, failed) = hear(played.engine(&[]).submit(asked).unwrap()).await;
    assert!(failed.unwrap_err().to_string().contains("503"));
}

#[tokio::test]
async fn a_provider_gets_no_more_at_a_time_than_the_setting_allows() {
    let gate = Arc::new(Semaphore::new(0));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (for_gate, for_now, for_most) = (gate.clone(), now.clone(), most.clone());
    let played = Played::with(move |_| {
        let (gate, now, most) = (for_gate.clone(), for_now.clone(), for_most.clone());
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let body = stream! {
            gate.acquire().await.unwrap().forget();
            now.fetch_sub(1, Ordering::SeqCst);
            yield Ok::<_, String>(Bytes::from(OPENAI));
        };
        ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response()
    })
    .await;
    let engine = played.engine(&[]);
    let all: Vec<_> = (0..12).map(|_| engine.submit(request("Who?", 50)).unwrap()).collect();
    let five = async {
        while now.load(Ordering::SeqCst) < 5 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, five).await.unwrap();
    let status = engine.status();
    assert_eq!((status.running, status.waiting), (5, 7));
    gate.add_permits(12);
    for generation in all {
        assert_eq!(hear(generation).await.0, ANSWER);
    }
    assert_eq!(most.load(Ordering::SeqCst), 5);
    assert_eq!(played.asked().len(), 12);
}

#[tokio::test]
async fn a_full_line_refuses_with_when_to_come_back() {
    let played = Played::with(|_| text_and_then(&[], streams::pending())).await;
    let engine = played.engine(&[("LLM_MAX_IN_FLIGHT", "1"), ("LLM_QUEUE_SIZE", "1")]);
    let _running = engine.submit(request("Who?", 50)).unwrap();
    let waiting = engine.submit(request("Who?", 50)).unwrap();
    let refused = engine.submit(request("Who?", 50)).unwrap_err();
    assert!(
        matches!(refused, EngineError::QueueFull { waiting: 1, retry_after_seconds: 1.. }),
        "{refused:?}"
    );
    assert_eq!(engine.ready(), Err(refused));
    drop(waiting);
    until(&engine, |status| status.waiting == 0).await;
    engine.ready().unwrap();
}

#[tokio::test]
async fn nonsense_from_a_server_is_an_error_and_nothing_worse() {
    type Answers = fn(usize) -> Response;
    fn flood(piece: impl Fn() -> Vec<u8> + Send + 'static) -> Response {
        let endless = streams::repeat_with(move || Ok::<_, String>(Bytes::from(piece())));
        ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(endless)).into_response()
    }
    let cases: [(&str, Answers); 8] = [
        ("calls that are none", |_| {
            events("data: {\"choices\":[{\"delta\":{\"tool_calls\":[\"x\"]}}]}\n\n")
        }),
        ("an endless line", |_| flood(|| vec![b'a'; 1 << 16])),
        ("endless tokens without a text", |_| {
            let tokens = vec![json!({"token": "a", "logprob": 0.0}); 1000];
            let choice = json!({"delta": {}, "logprobs": {"content": tokens}});
            let frame = format!("data: {}\n\n", json!({ "choices": [choice] }));
            flood(move || frame.clone().into_bytes())
        }),
        ("endless text", |_| flood(|| said(&"word ".repeat(1000)).into_bytes())),
        ("no JSON", |_| events("data: {\"choices\": [\n\n")),
        ("no UTF-8", |_| flood(|| b"data: \xff\xfe\n\n".to_vec())),
        ("a page", |_| axum::response::Html("<h1>It works!</h1>").into_response()),
        ("one piece", |_| axum::Json(json!({"choices": []})).into_response()),
    ];
    for (what, answer) in cases {
        let played = Played::with(answer).await;
        let (_, failed) = ask(&played.engine(&[])).await;
        assert!(matches!(failed, Err(EngineError::BadAnswer(_))), "{what}: {failed:?}");
        assert_eq!(played.asked().len(), 1, "{what}");
    }
}

#[tokio::test]
async fn a_huge_error_is_cut_short() {
    let played = Played::with(|_| {
        let body = json!({"error": {"message": "long ".repeat(1 << 20)}}).to_string();
        (StatusCode::FORBIDDEN, body).into_response()
    })
    .await;
    let (_, failed) = ask(&played.engine(&[])).await;
    assert!(failed.unwrap_err().to_string().len() < 1000);
}

#[tokio::test]
async fn no_redirect_takes_the_key_elsewhere() {
    let elsewhere = Played::with(|_| fine()).await;
    let target: &'static str = elsewhere.url.clone().leak();
    let played = Played::with(move |_| failing(307, &[("location", target)])).await;
    let (_, failed) = ask(&played.engine(&[])).await;
    let error = failed.unwrap_err();
    assert!(matches!(error, EngineError::Refused { status: 307, .. }), "{error:?}");
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn a_model_the_server_lacks_shows_in_its_health_until_it_answers() {
    let tags = |_: &str| axum::Json(json!({"models": [{"name": "qwen:7b"}]})).into_response();
    let played = Played::probed(|_| in_pieces(OLLAMA, 4096, "application/x-ndjson"), tags).await;
    let engine = played.engine(&[("LLM_PROVIDER", "ollama"), ("LLM_MODEL", "llama3.2")]);
    let status = until(&engine, |status| status.state != EngineState::Loading).await;
    let said = status.error.unwrap();
    assert!(said.contains("ollama pull llama3.2") && said.contains("qwen:7b"), "{said}");
    ask(&engine).await.1.unwrap();
    let status = engine.status();
    assert_eq!((status.state, status.error), (EngineState::Ready, None));
    assert!(status.last_error.is_some());
}

#[tokio::test]
async fn a_wrong_key_shows_at_once_and_is_not_quoted() {
    let played = Played::probed(|_| fine(), |_| failing(401, &[])).await;
    let engine = played.engine(&[]);
    let status = until(&engine, |status| status.state == EngineState::Failed).await;
    let said = status.error.unwrap();
    assert!(said.contains("LLM_API_KEY") && !said.contains(KEY), "{said}");
}

#[tokio::test]
async fn what_does_not_fit_or_is_not_known_is_refused_before_anything_is_sent() {
    let played = Played::with(|_| fine()).await;
    let engine = played.engine(&[("LLM_N_CTX", "256"), ("LLM_MAX_TOKENS", "100")]);
    let long = request(&"word ".repeat(300), 50);
    assert!(matches!(engine.submit(long), Err(EngineError::PromptTooLong { .. })));
    let nothing = engine.submit(request("Who?", 0)).unwrap_err();
    assert_eq!(nothing, EngineError::NothingToWrite);

    let engine = played.engine(&[("LLM_PROVIDER", "gemini")]);
    let asked = GenerateRequest { logprobs: Some(1), ..request("Who?", 5) };
    let refused = engine.submit(asked).unwrap_err().to_string();
    assert!(refused.contains("logprobs") && refused.contains("LLM_PROVIDER"), "{refused}");

    let engine = played.engine(&[("LLM_PROVIDER", "ollama")]);
    let url = "https://example.org/fox.png";
    let wire =
        json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]});
    let mut asked = request("Who?", 5);
    asked.messages = vec![Message { wire: Some(Arc::new(wire)), ..Message::user("") }];
    assert!(matches!(engine.submit(asked), Err(EngineError::Unsupported(_))));
    assert!(played.asked().is_empty());
}

#[tokio::test]
async fn an_engine_that_goes_ends_its_requests() {
    let played = Played::with(|_| text_and_then(&["Once "], streams::pending())).await;
    let engine = played.engine(&[]);
    let mut generation = engine.submit(request("Who?", 50)).unwrap();
    while !matches!(generation.next().await, Some(Event::Text(_))) {}
    drop(engine);
    let (_, failed) = hear(generation).await;
    assert_eq!(failed.unwrap_err(), EngineError::ShuttingDown);
}

#[tokio::test]
async fn a_chapter_is_written_by_a_model_elsewhere() {
    let played = Played::with(|_| fine()).await;
    let engine = Arc::new(played.engine(&[]));
    let app = TestApp::start(engine, &[]).await;
    let events = app.events("/api/v1/generate-chapter", documented_request()).await;
    let result = events.iter().find(|event| event["type"] == "result");
    let result = result.unwrap_or_else(|| panic!("{:?}", types_of(&events)));
    assert_eq!(result["data"]["chapterText"], ANSWER, "{result}");
    let health = app.get("/health").await.json();
    assert_eq!(health["llm_available"], true);
    assert_eq!(health["engine"]["model"], "test-model");
    let asked = &played.asked()[0].body;
    assert!(asked["messages"].to_string().contains("Hero enters forest"));
}

#[tokio::test]
async fn a_chapter_that_the_provider_refuses_is_an_error_event_that_says_what_to_do() {
    let played = Played::with(|_| failing(401, &[])).await;
    let app = TestApp::start(Arc::new(played.engine(&[])), &[]).await;
    let events = app.events("/api/v1/generate-chapter", documented_request()).await;
    let last = events.last().unwrap().to_string();
    assert!(last.contains("LLM_REFUSED") && last.contains("LLM_API_KEY"), "{last}");
    assert!(!last.contains(KEY));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_rhapsode_may_run_the_model() {
    let mut far = Scripted::start(&[("LLM_REPEAT_PENALTY", "1.3")]).await;
    let engine = engine_at(&format!("{}/v1", far.app.base), &[]);
    until_ready(&engine).await;
    let near = TestApp::start(Arc::new(engine), &[("LLM_REPEAT_PENALTY", "1.0")]).await;
    for (says, answer) in [("The key is under the stair.", "So it is."), ("Where?", "The stair.")] {
        let body = json!({
            "user": "s", "max_tokens": 50, "temperature": 1, "stream": true,
            "stream_options": { "include_usage": true },
            "messages": [
                { "role": "system", "content": "You are Aria." },
                { "role": "user", "content": says },
            ],
        });
        let asking = near.post("/v1/chat/completions", body.to_string());
        let answering = async {
            let mut call = far.script.next_call().await.expect("a call");
            call.start(TokenCount::ZERO);
            for word in answer.split_inclusive(' ') {
                call.text(word);
            }
            let request = call.request.clone();
            call.finish(FinishReason::Stop);
            request
        };
        let (got, request) = tokio::join!(asking, answering);
        assert_eq!(got.header("x-memory"), "on");
        let frames = got.text.lines().filter_map(|line| line.strip_prefix("data: "));
        let frames: Vec<Value> =
            frames.filter_map(|frame| serde_json::from_str(frame).ok()).collect();
        let text: String = frames
            .iter()
            .filter_map(|frame| frame["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(text, answer);
        assert!(frames.iter().any(|frame| frame["usage"]["completion_tokens"].is_u64()));
        // What the near one remembers stands in the prompt; the far one adds nothing of its own.
        let prompt = prompt_of(&request);
        assert!(
            prompt.starts_with("You are Aria.") && prompt.contains("under the stair"),
            "{prompt}"
        );
        assert_eq!(prompt.matches("under the stair").count(), 1, "{prompt}");
        let sampling = request.sampling;
        assert!(
            (sampling.temperature - 1.0).abs() < 1e-6
                && (sampling.repeat_penalty - 1.0).abs() < 1e-6
        );
        assert_eq!(request.max_tokens, TokenCount::new(50));
    }
    // One remembers, and not both.
    assert_eq!(near.get("/api/v1/memory/s").await.json()["messages"].as_array().unwrap().len(), 4);
    assert_eq!(far.app.get("/health").await.json()["memory_sessions"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_stops_the_model_of_the_other_rhapsode() {
    let mut far = Scripted::start(&[]).await;
    let engine = engine_at(&format!("{}/v1", far.app.base), &[]);
    until_ready(&engine).await;
    let near = TestApp::start(Arc::new(engine), &[]).await;
    let body = json!({ "stream": true, "messages": [{ "role": "user", "content": "Hello." }] });
    let response = near.send("/v1/chat/completions", body.to_string(), "*/*").await;
    let mut call = far.script.next_call().await.expect("a call");
    call.start(TokenCount::ZERO);
    call.text("Well, ");
    let mut frames = response.bytes_stream();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("Well, ") {
        seen.extend(frames.next().await.expect("text comes").expect("a frame"));
    }
    drop(frames);
    timeout(PATIENCE, call.cancelled()).await.expect("it hears that nobody waits");
}

async fn until_ready(engine: &RemoteEngine) {
    let status = rhapsode::app::checks::wait_until_loaded(engine, |_| {}).await;
    assert_eq!(status.state, EngineState::Ready, "{status:?}");
}
