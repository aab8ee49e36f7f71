//! What OpenAI's clients rely on in `/v1`: names, limits, errors and streams.

use std::sync::Arc;

use rhapsode::engine::scripted::{Script, ScriptedEngine};
use rhapsode::engine::{Capabilities, Engine, EngineError, FinishReason, TokenLogprob};
use rhapsode::store::Store;
use rhapsode::tokens::TokenCount;
use serde_json::{Value, json};

use crate::support::{Answer, Scripted, TestApp, documented_request};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

fn hello() -> Value {
    json!([{ "role": "user", "content": "Hello" }])
}

/// The chunks of a stream, and that it was ended.
fn chunks(answer: &Answer) -> Vec<Value> {
    let data = answer.text.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut data: Vec<_> = data.collect();
    assert_eq!(data.pop(), Some("[DONE]"), "{}", answer.text);
    data.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect()
}

/// A server whose database can be interfered with.
async fn over_a_store() -> (TestApp, Script, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (engine, script) = ScriptedEngine::new(TokenCount::new(4096));
    let app = TestApp::over(engine as Arc<dyn Engine>, store.clone(), &[]).await;
    (app.keeping(folder), script, store)
}

/// From now on SQLite fails as it does when there is no space left.
async fn fill(store: &Store) {
    let limited = store.run(|connection| {
        Ok(connection.pragma_update_and_check(None, "max_page_count", 1, |_| Ok(()))?)
    });
    limited.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engines_own_model_names_no_session_whatever_it_is_called() {
    for own in ["@cf/meta/llama-3.1-8b-instruct", "claude-3-5-sonnet@20241022"] {
        let Scripted { app, engine, script } = Scripted::start(&[]).await;
        engine.set_status(|status| status.model = Some(own.to_owned()));
        tokio::spawn(script.answer_all(&["Yes."]));
        let body = json!({ "text": "You are Mira." });
        let persona = "/api/v1/memory/mira%40example.org/persona";
        let put = app.client.put(format!("{}{persona}", app.base)).body(body.to_string());
        assert!(put.send().await.unwrap().status().is_success());
        let models = app.get("/v1/models").await.json();
        let session = async |ending: &str| {
            let ids =
                models["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap());
            let model = ids.into_iter().find(|id| id.ends_with(ending)).unwrap();
            let answer = app.post_json(CHAT, json!({ "model": model, "messages": hello() })).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            answer.header("x-session-id").to_owned()
        };
        assert_eq!(session(own).await.len(), 36, "{own}: a name of its own");
        assert_eq!(session("@mira@example.org").await, "mira@example.org");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_of_a_persona_speaks_as_that_persona_unless_the_client_brings_its_own() {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    let models = app.get("/v1/models").await.json();
    let ids = models["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap());
    assert!(ids.into_iter().any(|id| id == "scripted@sarah"), "{models}");
    let own = json!([{ "role": "system", "content": "You are Mira." }, { "role": "user", "content": "Hello" }]);
    for (messages, system) in [(hello(), "You are Sarah"), (own, "You are Mira.")] {
        let body = json!({ "model": "scripted@sarah", "messages": messages });
        let answering = async {
            let mut call = script.next_call().await.unwrap();
            let first = call.request.messages[0].content.clone();
            call.text("Hi.");
            call.finish(FinishReason::Stop);
            first
        };
        let (answer, first) = tokio::join!(app.post_json(CHAT, &body), answering);
        assert!(first.starts_with(system), "{first}");
        // Everybody's talk with the persona is their own.
        assert_eq!(answer.header("x-session-id").len(), 36);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_any_letters_is_told_percent_encoded_and_never_ignored() {
    let app = Scripted::answering(&["Yes."], &[]).await;
    let body = json!({ "messages": hello() }).to_string();
    for (sent, told) in [(&b"Zo\xeb"[..], "Zo%C3%AB"), (b"Zo\xe9", "Zo%C3%A9"), (b"50%", "50%25")] {
        let request = app.client.post(format!("{}{CHAT}", app.base));
        let response = request.header("x-session-id", sent).body(body.clone()).send();
        assert_eq!(response.await.unwrap().headers()["x-session-id"], told);
    }
    let answer = app.post(&format!("/s/%F0%93%82%80{CHAT}"), body.clone()).await;
    assert_eq!(answer.header("x-session-id"), "%F0%93%82%80");
    let answer = app.post(&format!("/s/%FF{CHAT}"), body).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("UTF-8"));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_outside_every_handler_are_openais_too() {
    let app = Scripted::answering(&[], &[]).await;
    let answers = [
        (404, app.post_json("/v1/responses", json!({})).await),
        (404, app.get("/v1/models/a/b").await),
        (404, app.get("/s/one/v1/models/none").await),
        (404, app.get("/s/one/v1/models/a/b").await),
        (405, app.get(CHAT).await),
        (405, app.get("/s/one/v1/chat/completions").await),
    ];
    for (status, answer) in answers {
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(answer.json()["error"]["message"].is_string(), "{}", answer.text);
    }
    let other = app.get("/api/v1/nothing").await;
    assert_eq!(other.header("content-type"), "application/problem+json");
    let scripted = app.get("/s/one/v1/models/scripted").await;
    assert_eq!((scripted.status, &scripted.json()["id"]), (200, &json!("scripted")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_asks_too_much_of_is_told_by_name() {
    let app = Scripted::answering(&["Yes."], &[("LLM_QUEUE_SIZE", "4")]).await;
    let many: Vec<_> = (0..20_001).map(|_| json!({ "role": "user", "content": "x" })).collect();
    let stops = |count| vec!["x"; count];
    let bodies = [
        (CHAT, json!({ "messages": many }), "messages"),
        (CHAT, json!({ "messages": hello(), "stop": stops(65) }), "stop"),
        (CHAT, json!({ "messages": hello(), "stop": "x".repeat(1_001) }), "stop"),
        (COMPLETIONS, json!({ "prompt": "Once", "stop": stops(65) }), "stop"),
        (COMPLETIONS, json!({ "prompt": "Once", "max_tokens": 0 }), "max_tokens"),
        (COMPLETIONS, json!({ "prompt": ["a", "b", "c"], "n": 2 }), "prompt"),
    ];
    for (path, body, param) in bodies {
        let answer = app.post_json(path, body).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        assert_eq!(answer.json()["error"]["param"], param, "{}", answer.text);
    }
    let most = json!({ "messages": hello(), "stop": stops(64) });
    assert_eq!(app.post_json(CHAT, most).await.status, 200);
    let most = json!({ "prompt": ["a", "b"], "n": 2 });
    assert_eq!(app.post_json(COMPLETIONS, most).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_cannot_do_is_refused_and_not_left_out() {
    let Scripted { app, engine, script } = Scripted::start(&[]).await;
    engine.set_capabilities(Capabilities::default());
    tokio::spawn(script.answer_all(&["Yes."]));
    let schema = json!({ "type": "json_schema", "json_schema": { "schema": {} } });
    for (path, body, said) in [
        (CHAT, json!({ "messages": hello(), "response_format": schema }), "response_format"),
        (
            CHAT,
            json!({ "messages": hello(), "response_format": { "type": "json_object" } }),
            "response_format",
        ),
        (COMPLETIONS, json!({ "prompt": "Once" }), "/v1/chat/completions"),
    ] {
        let answer = app.post_json(path, body).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["code"]), (400, &json!("llm_unsupported")), "{error}");
        assert!(error["message"].as_str().unwrap().contains(said), "{error}");
    }
    let text = json!({ "messages": hello(), "response_format": { "type": "text" } });
    assert_eq!(app.post_json(CHAT, text).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_tells_clients_whether_to_ask_again() {
    let Scripted { app, engine, .. } = Scripted::start(&[]).await;
    let refused =
        |status| EngineError::Refused { status, message: "no".to_owned(), retry_after: None };
    for (error, status, code, should_retry) in [
        (refused(400), 400, "llm_refused_request", ""),
        (refused(413), 400, "llm_refused_request", ""),
        (refused(422), 400, "llm_refused_request", ""),
        (refused(429), 429, "llm_rate_limited", ""),
        (refused(401), 502, "llm_refused", "false"),
        (refused(403), 502, "llm_refused", "false"),
        (refused(404), 502, "llm_refused", "false"),
        (EngineError::Unreachable("gone".to_owned()), 502, "llm_unreachable", ""),
        (EngineError::Schema("no".to_owned()), 400, "validation_failed", ""),
    ] {
        engine.refuse_with(Some(error.clone()));
        let answer = app.post_json(CHAT, json!({ "messages": hello() })).await;
        let told = answer.json()["error"].clone();
        assert_eq!((answer.status, &told["code"]), (status, &json!(code)), "{error}");
        assert_eq!(answer.header("x-should-retry"), should_retry, "{error}");
        assert_eq!(answer.header("retry-after").is_empty(), status != 429, "{error}");
        let is_schema = matches!(error, EngineError::Schema(_));
        assert_eq!(told["param"] == "response_format", is_schema, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_does_not_fit_has_openais_code() {
    let app = Scripted::with_window(300, &[]).await.app;
    let long = "The lamp went out. ".repeat(500);
    for (path, body) in [
        (CHAT, json!({ "messages": [{ "role": "user", "content": long }] })),
        (COMPLETIONS, json!({ "prompt": long })),
    ] {
        let answer = app.post_json(path, body).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        assert_eq!(answer.json()["error"]["code"], "context_length_exceeded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_is_told_in_its_own_words_and_asked_again_later() {
    let (app, _script, store) = over_a_store().await;
    let persona = format!("{}/api/v1/memory/full/persona", app.base);
    let put = async |text: &str| {
        let body = json!({ "text": text }).to_string();
        app.client.put(&persona).body(body).send().await.unwrap()
    };
    assert_eq!(put("You are Aria.").await.status(), 200);
    fill(&store).await;
    let refused = put(&"You are Aria, keeper of the lamp. ".repeat(2_000)).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let problem: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!(problem["code"], "DATABASE_UNAVAILABLE");
    assert!(problem["detail"].as_str().unwrap().contains("The disk is full"), "{problem}");
    assert!(!problem["detail"].as_str().unwrap().contains("database or disk"), "{problem}");
    // What a restart alone won't mend isn't to be asked for again, and nobody is shown SQL.
    let broken = store.run(|connection| Ok(connection.execute_batch("DROP TABLE facts")?));
    broken.await.unwrap();
    let answer = app.get("/api/v1/memory/full").await;
    assert_eq!((answer.status, answer.header("retry-after")), (500, ""), "{}", answer.text);
    assert!(!answer.json()["detail"].as_str().unwrap().contains("facts"), "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn log_probabilities_stay_with_their_choice() {
    let mut scripted = Scripted::start(&[]).await;
    let body = json!({ "n": 2, "stream": true, "logprobs": true, "messages": hello() });
    let asking = scripted.app.post(CHAT, body.to_string());
    let answering = async {
        let mut calls = Vec::new();
        for _ in 0..2 {
            let call = scripted.script.next_call().await.expect("a call");
            call.start(TokenCount::ZERO);
            calls.push(call);
        }
        let token = |text: &str| TokenLogprob {
            token: text.to_owned(),
            bytes: text.as_bytes().to_vec(),
            logprob: -1.0,
            top: Vec::new(),
        };
        // Both choices tell their tokens before either says its text.
        for piece in 0..3 {
            for (choice, call) in calls.iter().enumerate() {
                call.tokens(vec![token(&format!("{choice}-{piece}a")), token("b")]);
            }
        }
        for (choice, call) in calls.iter_mut().enumerate() {
            call.text_alone(&format!("{choice}"));
        }
        for call in calls {
            call.finish(FinishReason::Stop);
        }
    };
    let (answer, ()) = tokio::join!(asking, answering);
    for choice in 0..2 {
        let chunks = chunks(&answer);
        let chunks = chunks.iter().map(|chunk| &chunk["choices"][0]);
        let own = chunks.filter(|it| it["index"] == choice);
        let tokens = own.filter_map(|it| it["logprobs"]["content"].as_array()).flatten();
        let tokens: Vec<_> = tokens.map(|it| it["token"].as_str().unwrap().to_owned()).collect();
        let wanted: Vec<_> =
            (0..3).flat_map(|piece| [format!("{choice}-{piece}a"), "b".to_owned()]).collect();
        assert_eq!(tokens, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_prompt_counts_once_in_a_completions_usage() {
    let app = Scripted::answering(&["Yes, ", "yes."], &[]).await;
    let usage = async |body: Value| {
        let answer = app.post_json(COMPLETIONS, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        if body["stream"] == true {
            let chunks = chunks(&answer);
            return chunks.last().unwrap()["usage"].clone();
        }
        answer.json()["usage"].clone()
    };
    let (long, short) = ("The lamp went out at midnight, and", "Once");
    let alone =
        async |prompt: &str| usage(json!({ "prompt": prompt })).await["prompt_tokens"].as_u64();
    let prompts = alone(long).await.unwrap() + alone(short).await.unwrap();
    for stream in [false, true] {
        let usage = usage(json!({
            "prompt": [long, short], "n": 3,
            "stream": stream, "stream_options": { "include_usage": true },
        }));
        let usage = usage.await;
        assert_eq!(usage["prompt_tokens"], prompts, "{usage}");
        assert_eq!(
            (&usage["completion_tokens"], &usage["total_tokens"]),
            (&json!(12), &json!(prompts + 12))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stream_is_sent_as_it_is_written() {
    let app = Scripted::answering(&["Yes."], &[]).await;
    for (path, body) in [
        (CHAT, json!({ "messages": hello(), "stream": true })),
        (COMPLETIONS, json!({ "prompt": "Once", "stream": true })),
        ("/api/v1/generate-chapter", documented_request()),
    ] {
        let answer = app.post(path, body.to_string()).await;
        assert_eq!(answer.header("content-type"), "text/event-stream");
        assert_eq!(answer.header("cache-control"), "no-cache", "{path}");
        assert_eq!(answer.header("x-accel-buffering"), "no", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_a_stream_is_told_and_counted() {
    let mut scripted = Scripted::start(&[]).await;
    for (path, body) in [
        (CHAT, json!({ "messages": hello(), "stream": true })),
        (COMPLETIONS, json!({ "prompt": "Once", "stream": true })),
        ("/api/v1/generate-chapter", documented_request()),
    ] {
        let asking = scripted.app.post(path, body.to_string());
        let answering = async {
            let mut call = scripted.script.next_call().await.expect("a call");
            call.start(TokenCount::ZERO);
            call.text("Well, ");
            call.fail(EngineError::Backend("broken".to_owned()));
        };
        let (answer, ()) = tokio::join!(asking, answering);
        assert_eq!(answer.status, 200);
        assert!(answer.text.contains("the engine failed: broken"), "{}", answer.text);
    }
    let metrics = scripted.app.get("/metrics").await.text;
    assert!(metrics.contains("errors_total{code=\"LLM_FAILED\"} 3"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_says_at_its_beginning_that_turns_before_it_wait_for_the_database() {
    let (app, script, store) = over_a_store().await;
    tokio::spawn(script.answer_all(&["Yes."]));
    let stream = json!({ "user": "other", "messages": hello(), "stream": true });
    assert_eq!(app.post(CHAT, stream.to_string()).await.header("x-memory"), "on");
    fill(&store).await;
    let long = "The rain fell on the old town and nobody spoke. ".repeat(100);
    let turn = json!({ "user": "full", "messages": [{ "role": "user", "content": long }] });
    assert_eq!(app.post_json(CHAT, turn).await.header("x-memory"), "degraded");
    assert_eq!(app.post(CHAT, stream.to_string()).await.header("x-memory"), "degraded");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_server_sends_as_tool_calls_is_put_together() {
    let mut scripted = Scripted::start(&[]).await;
    let tools = json!([{ "type": "function", "function": { "name": "look" } }]);
    let body = json!({ "messages": hello(), "tools": tools });
    let asking = scripted.app.post_json(CHAT, body);
    let answering = async {
        let mut call = scripted.script.next_call().await.expect("a call");
        call.start(TokenCount::ZERO);
        let function = |name, arguments| json!({ "name": name, "arguments": arguments });
        call.tool_calls(
            json!([{ "index": 1, "id": "a", "function": function("look", "{\"at\"") }]),
        );
        call.tool_calls(json!([{ "index": 1, "function": "nonsense" }, 7]));
        call.tool_calls(json!([{ "index": 1, "function": { "arguments": ":1}" } }]));
        call.finish(FinishReason::ToolCalls);
    };
    let (answer, ()) = tokio::join!(asking, answering);
    let message = answer.json()["choices"][0]["message"].clone();
    let wanted = json!([{
        "id": "a", "type": "function", "function": { "name": "look", "arguments": "{\"at\":1}" },
    }]);
    assert_eq!((&message["content"], &message["tool_calls"]), (&Value::Null, &wanted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_a_browser_may_read_what_the_headers_say() {
    let app = Scripted::answering(&["Yes."], &[]).await;
    let request = app.client.post(format!("{}{CHAT}", app.base));
    let request = request.header("origin", "http://localhost:4200");
    let response = request.body(json!({ "messages": hello() }).to_string()).send().await.unwrap();
    let exposed = response.headers()["access-control-expose-headers"].to_str().unwrap();
    for name in ["x-receipt-id", "x-memory", "x-session-id", "retry-after", "x-should-retry"] {
        assert!(exposed.split(',').any(|it| it.trim() == name), "{name}: {exposed}");
    }
}
