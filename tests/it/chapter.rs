//! `POST /api/v1/generate-chapter` with a scripted model.

use futures_util::StreamExt;
use rhapsode::engine::{ClientId, EngineError, EngineState, FinishReason};
use rhapsode::tokens::TokenCount;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::support::{PATIENCE, Scripted, documented_request, events_of, types_of};

const PATH: &str = "/api/v1/generate-chapter";

/// Times that really passed differ from run to run.
fn without_times(mut events: Vec<Value>) -> String {
    for event in &mut events {
        if let Some(time) = event.pointer_mut("/data/context_metadata/processing_time_ms") {
            *time = json!(0.0);
        }
    }
    let frames: Vec<_> = events.iter().map(|event| format!("data: {event}")).collect();
    frames.join("\n\n")
}

#[tokio::test]
async fn the_documented_request_streams_a_chapter() {
    let app = Scripted::answering(&["Aria ", "entered ", "the forest."], &[]).await;
    let events = app.events(PATH, documented_request()).await;
    insta::assert_snapshot!(without_times(events));
}

#[tokio::test]
async fn a_stream_tells_proxies_to_let_it_through() {
    let app = Scripted::answering(&["Text."], &[]).await;
    let answer = app.post(PATH, documented_request().to_string()).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(answer.header("cache-control"), "no-cache");
    assert_eq!(answer.header("x-accel-buffering"), "no");
}

#[tokio::test]
async fn one_json_object_for_who_accepts_json_or_asks_for_no_stream() {
    let app = Scripted::answering(&["  Aria ran.", " The end.\n"], &[]).await;
    let accepted = app.post_json(PATH, documented_request()).await.json();
    let asked = app.post(&format!("{PATH}?stream=false"), documented_request().to_string()).await;
    for answer in [accepted, asked.json()] {
        assert_eq!(answer["chapterText"], "Aria ran. The end.");
        assert_eq!(answer["wordCount"], 4);
        assert_eq!(answer["metadata"]["plotPoint"], "Hero enters forest");
        assert_eq!(answer["metadata"]["contextMode"], "structured");
        assert_eq!(answer["metadata"]["generatedAt"], "2026-01-02T03:04:05Z");
        assert_eq!(answer["metadata"]["finish_reason"].as_str(), None);
        assert_eq!(answer["metadata"]["finishReason"], "stop");
        assert_eq!(answer["context_metadata"]["processing_mode"], "structured");
    }
}

#[tokio::test]
async fn text_comes_as_it_is_written() {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    let mut body = app.send(PATH, documented_request().to_string(), "*/*").await.bytes_stream();
    let mut call = script.next_call().await.unwrap();
    call.start(TokenCount::ZERO);
    call.text("first");
    let mut seen = String::new();
    while !seen.contains(r#""content":"first""#) {
        let chunk = timeout(PATIENCE, body.next()).await.unwrap().unwrap().unwrap();
        seen.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    call.text(" second");
    call.finish(FinishReason::Length);
    while let Some(chunk) = body.next().await {
        seen.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    let events = events_of(&seen);
    let result = events.last().unwrap();
    assert_eq!(result["data"]["chapterText"], "first second");
    assert_eq!(result["data"]["metadata"]["finishReason"], "length");
}

#[tokio::test]
async fn client_disconnect_stops_generation() {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    let response = app.send(PATH, documented_request().to_string(), "*/*").await;
    let call = script.next_call().await.unwrap();
    call.start(TokenCount::ZERO);
    drop(response);
    timeout(PATIENCE, call.cancelled()).await.expect("the generation is cancelled");
}

#[tokio::test]
async fn client_disconnect_stops_a_generation_that_answers_in_json() {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    let request = app.send(PATH, documented_request().to_string(), "application/json");
    let call = tokio::select! {
        _ = request => panic!("nothing was written yet"),
        call = script.next_call() => call.unwrap(),
    };
    timeout(PATIENCE, call.cancelled()).await.expect("the generation is cancelled");
}

#[tokio::test]
async fn a_failure_in_the_middle_is_the_one_terminal_event() {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    let (events, ()) = tokio::join!(app.events(PATH, documented_request()), async {
        let mut call = script.next_call().await.unwrap();
        call.start(TokenCount::ZERO);
        call.text("Once");
        call.fail(EngineError::DeadlinePassed);
    });
    assert_eq!(types_of(&events), ["status", "context", "status", "partial", "error"]);
    assert_eq!(events[4]["error_code"], "DEADLINE_PASSED");
}

#[tokio::test]
async fn a_model_that_vanishes_is_an_error_not_a_hang() {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    let (events, ()) = tokio::join!(app.events(PATH, documented_request()), async {
        drop(script.next_call().await.unwrap());
    });
    assert_eq!(events.last().unwrap()["error_code"], "LLM_FAILED");
}

#[tokio::test]
async fn a_model_that_writes_nothing_is_an_error_not_an_empty_chapter() {
    let app = Scripted::answering(&[" \n"], &[]).await;
    let events = app.events(PATH, documented_request()).await;
    assert_eq!(events.last().unwrap()["error_code"], "EMPTY_ANSWER");
    assert_eq!(app.post_json(PATH, documented_request()).await.status, 502);
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let Scripted { app, engine, .. } = Scripted::start(&[]).await;
    engine.refuse_with(Some(EngineError::QueueFull { waiting: 32, retry_after_seconds: 9 }));
    let answer = app.post(PATH, documented_request().to_string()).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "9"));
    assert_eq!(answer.json()["code"], "QUEUE_FULL");
}

#[tokio::test]
async fn a_missing_model_says_what_to_do() {
    let Scripted { app, engine, .. } = Scripted::start(&[]).await;
    engine.refuse_with(Some(EngineError::Unavailable("run `rhapsode models pull x`".to_owned())));
    engine.set_status(|status| status.state = EngineState::Absent);
    let answer = app.post(PATH, documented_request().to_string()).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["detail"], "run `rhapsode models pull x`");
}

#[tokio::test]
async fn shutting_down_ends_open_streams_with_an_event() {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    let request = app.events(PATH, documented_request());
    let (events, call) = tokio::join!(request, async {
        let call = script.next_call().await.unwrap();
        call.start(TokenCount::ZERO);
        app.stop.cancel();
        app.stop_now.cancel();
        call
    });
    assert_eq!(events.last().unwrap()["error_code"], "SHUTTING_DOWN");
    timeout(PATIENCE, call.cancelled()).await.expect("the generation is cancelled");
    timeout(PATIENCE, app.server).await.expect("the server ends").unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_stalls_does_not_keep_the_server_from_ending() {
    let Scripted { app, .. } = Scripted::start(&[]).await;
    let address = app.base.strip_prefix("http://").unwrap();
    let mut stalled = tokio::net::TcpStream::connect(address).await.unwrap();
    let half = b"POST /api/v1/generate-chapter HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{";
    stalled.write_all(half).await.unwrap();
    // Answered by the same server, so the stalled connection was accepted before.
    assert_eq!(app.get("/health").await.status, 200);
    app.stop.cancel();
    app.stop_now.cancel();
    timeout(PATIENCE, app.server).await.expect("the server ends").unwrap().unwrap();
}

#[tokio::test]
async fn an_open_stream_may_finish_while_the_server_stops() {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    let request = app.events(PATH, documented_request());
    let (events, ()) = tokio::join!(request, async {
        let mut call = script.next_call().await.unwrap();
        app.stop.cancel();
        call.start(TokenCount::ZERO);
        call.text("The end.");
        call.finish(FinishReason::Stop);
    });
    assert_eq!(events.last().unwrap()["type"], "result");
    timeout(PATIENCE, app.server).await.expect("the server ends").unwrap().unwrap();
}

#[tokio::test]
async fn the_engine_knows_clients_by_their_address() {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    let (_, client) = tokio::join!(app.events(PATH, documented_request()), async {
        let mut call = script.next_call().await.unwrap();
        let client = call.request.client.clone();
        call.start(TokenCount::ZERO);
        call.text("Text.");
        call.finish(FinishReason::Stop);
        client
    });
    assert_eq!(client, ClientId::new("127.0.0.1"));
}

/// What the writer was sent, as one text.
async fn prompt_for(request: &Value, settings: &[(&str, &str)]) -> (String, Value) {
    let Scripted { app, mut script, .. } = Scripted::start(settings).await;
    let (events, prompt) = tokio::join!(app.events(PATH, request), async {
        let mut call = script.next_call().await.unwrap();
        call.start(TokenCount::new(3));
        call.text("Text.");
        let messages: Vec<_> =
            call.request.messages.iter().map(|message| message.content.clone()).collect();
        call.finish(FinishReason::Stop);
        messages.join("\n---\n")
    });
    (prompt, events.last().unwrap()["data"].clone())
}

#[tokio::test]
async fn the_writer_reads_the_story_in_cache_friendly_order() {
    let request: Value =
        serde_json::from_str(include_str!("../../examples/generate-chapter.json")).unwrap();
    let (prompt, _) = prompt_for(&request, &[]).await;
    insta::assert_snapshot!(prompt);
}

#[tokio::test]
async fn older_editors_send_another_shape_and_are_understood() {
    let request = json!({"structured_context": {
        "systemPrompts": {"mainPrefix": "PREFIX", "mainSuffix": "SUFFIX", "assistantPrompt": "ASSISTANT", "editorPrompt": "EDITOR"},
        "worldbuilding": {"content": "WORLD", "lastModified": "2025-01-01", "wordCount": 1},
        "storySummary": {"summary": "SUMMARY", "lastModified": "2025-01-01", "wordCount": 1},
        "previousChapters": [{"number": 1, "title": "One", "content": "CHAPTER ONE."}],
        "characters": [
            {"name": "Aria", "basicBio": "A BIO", "age": 30, "relationships": "Tom's sister"},
            {"name": "Hidden", "isHidden": true},
        ],
        "plotContext": {"plotPoint": "POINT", "plotOutline": "OUTLINE", "plotOutlineStatus": "draft"},
    }});
    let (prompt, result) = prompt_for(&request, &[]).await;
    let parts = [
        "PREFIX",
        "SUFFIX",
        "ASSISTANT",
        "WORLD",
        "SUMMARY",
        "OUTLINE",
        "A BIO",
        "Tom's sister",
        "CHAPTER ONE.",
        "POINT",
    ];
    for part in parts {
        assert!(prompt.contains(part), "{part} is missing from:\n{prompt}");
    }
    assert!(!prompt.contains("EDITOR") && !prompt.contains("Hidden"), "{prompt}");
    assert_eq!(result["metadata"]["plotPoint"], "POINT");
}

#[tokio::test]
async fn words_the_contract_does_not_know_are_taken_as_they_are() {
    let request = json!({
        "unknown": 1,
        "structured_context": {
            "another": {"deep": []},
            "plot_elements": [{"element_id": "e1", "type": "detail", "content": "A DETAIL", "surprise": true}],
            "character_contexts": [
                {"character_id": "a", "character_name": "Aria", "current_state": {"mood": "calm", "wounds": ["arm", "leg"]}},
                {"character_id": "b", "character_name": "Tom", "current_state": null},
            ],
            "user_requests": [{"type": "feedback", "content": "SHORTER"}],
            "system_instructions": [{"type": "format", "content": "NO LISTS"}],
            "metadata": {"anything": "goes"},
        },
        "context_processing_config": {"character_focus": true},
    });
    let (prompt, result) = prompt_for(&request, &[]).await;
    for part in ["detail: A DETAIL", "mood: calm", "wounds: arm, leg", "Tom", "SHORTER", "NO LISTS"]
    {
        assert!(prompt.contains(part), "{part} is missing from:\n{prompt}");
    }
    let receipt = &result["context_metadata"]["receipt"];
    assert_eq!(receipt["elements"][1]["id"], "e1");
    assert_eq!(receipt["notes"][0], "context_processing_config.character_focus has no effect");
}

#[tokio::test]
async fn custom_filters_phase_and_relationships_are_obeyed() {
    let request = json!({
        "plotPoint": "They meet.",
        "structured_context": {
            "plot_elements": [
                {"id": "in", "type": "scene", "content": "IN", "tags": ["a"]},
                {"id": "excluded", "type": "scene", "content": "EXCLUDED", "tags": ["a", "b"]},
                {"id": "untagged", "type": "scene", "content": "UNTAGGED"},
                {"id": "type", "type": "twist", "content": "TWIST", "tags": ["a"]},
                {"id": "phase", "type": "scene", "content": "PHASE", "tags": ["a"], "metadata": {"phases": ["final_edit"]}},
            ],
            "character_contexts": [
                {"character_id": "a", "character_name": "Aria", "relationships": {"Tom": "BROTHER"}},
                {"character_id": "b", "character_name": "Bob"},
            ],
        },
        "context_processing_config": {
            "target_agent": "writer",
            "current_phase": "chapter_detail",
            "include_relationships": false,
            "custom_filters": {"required_tags": ["a"], "excluded_tags": ["b"], "allowed_types": ["scene"], "character_ids": ["a"]},
        },
    });
    let (prompt, result) = prompt_for(&request, &[]).await;
    assert!(prompt.contains("IN") && prompt.contains("Aria"), "{prompt}");
    for absent in ["EXCLUDED", "UNTAGGED", "TWIST", "PHASE", "Bob", "BROTHER"] {
        assert!(!prompt.contains(absent), "{absent} is in:\n{prompt}");
    }
    let reasons: Vec<_> = result["context_metadata"]["receipt"]["elements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|element| element["reason"].as_str().unwrap())
        .collect();
    assert_eq!(
        reasons,
        [
            "fits_budget",
            "filtered_out",
            "filtered_out",
            "filtered_out",
            "other_phase",
            "fits_budget",
            "filtered_out"
        ]
    );
}

#[tokio::test]
async fn a_story_larger_than_the_window_is_cut_and_the_receipt_says_where() {
    let scene = "The rain fell on the old town. Nobody spoke. ".repeat(40);
    let elements: Vec<_> = (0..40)
        .map(|at| json!({"id": format!("s{at}"), "type": "scene", "content": scene, "priority": if at == 0 { "high" } else { "medium" }}))
        .collect();
    let request =
        json!({"plotPoint": "More rain.", "structured_context": {"plot_elements": elements}});
    let settings = [("CONTEXT_OVERFLOW_STRATEGY", "truncate")];
    let (prompt, result) = prompt_for(&request, &settings).await;
    let receipt = &result["context_metadata"]["receipt"];
    assert!(prompt.len() / 4 <= 4096 - 2000, "{} characters", prompt.len());
    let outcome = |at: usize| receipt["elements"][at]["outcome"].as_str().unwrap();
    assert_eq!(outcome(0), "kept");
    assert_eq!(outcome(39), "kept", "of equal ones the later is kept first");
    assert_eq!(outcome(1), "dropped");
    assert!(receipt["elements"].as_array().unwrap().iter().any(|e| e["outcome"] == "trimmed"));
    assert!(receipt["budget"]["scale"].as_f64().unwrap() < 0.1, "{}", receipt["budget"]);
    assert_eq!(result["context_metadata"]["processing_applied"], true);
}

#[tokio::test]
async fn the_cache_that_was_really_used_is_in_the_result() {
    let (_, result) = prompt_for(&documented_request(), &[]).await;
    assert_eq!(result["context_metadata"]["receipt"]["prompt"]["cached_tokens"], 3);
}

#[tokio::test]
async fn the_settings_reach_the_sampler() {
    let Scripted { app, mut script, .. } = Scripted::start(&[
        ("ENDPOINT_GENERATE_CHAPTER_TEMPERATURE", "0.25"),
        ("ENDPOINT_GENERATE_CHAPTER_MAX_TOKENS", "777"),
        ("LLM_TOP_P", "0.5"),
        ("LLM_TOP_K", "7"),
        ("LLM_REPEAT_PENALTY", "1.5"),
    ])
    .await;
    let ((), call) = tokio::join!(
        async {
            let response = app.send(PATH, documented_request().to_string(), "*/*").await;
            drop(response);
        },
        script.next_call()
    );
    let request = call.unwrap().request;
    assert_eq!(request.max_tokens, TokenCount::new(777));
    let sampling = &request.sampling;
    assert_eq!((sampling.temperature, sampling.top_p, sampling.top_k), (0.25, 0.5, 7));
    assert_eq!(sampling.repeat_penalty, 1.5);
}
