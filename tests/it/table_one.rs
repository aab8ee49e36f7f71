//! Table 1 of the story contract, row by row: where the documents, the code and the front ends in use
//! disagree, all of them are served. Row 13, the archive's documents, comes with the archive.

use rhapsode::engine::{ClientId, GenerateRequest};
use rhapsode::tokens::TokenCount;
use serde_json::{Value, json};

use crate::support::{Scripted, documented_request, fitting, prompt_of};

const CHAPTER: &str = "/api/v1/generate-chapter";

/// What the model is sent for a chapter from this request.
async fn prompt_for(request: Value) -> String {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    let (answer, prompt) = tokio::join!(app.post_json(CHAPTER, &request), async {
        let mut call = script.next_call().await.unwrap();
        call.text("Text.");
        let prompt = prompt_of(&call.request);
        call.finish(rhapsode::engine::FinishReason::Stop);
        prompt
    });
    assert_eq!(answer.status, 200, "{}", answer.text);
    prompt
}

#[tokio::test]
async fn row_1_the_chat_has_both_its_paths() {
    let app = Scripted::fitting("Because.", &[]).await;
    let request =
        json!({"messages": [{"role": "user", "content": "Why?"}], "agent_type": "writer"});
    for path in ["/api/v1/llm-chat", "/api/v1/chat/llm"] {
        let answer = app.post_json(path, &request).await;
        assert_eq!(answer.json()["message"]["content"], "Because.", "{path}");
    }
}

#[tokio::test]
async fn row_2_the_plot_point_is_the_first_important_scene_where_it_is_missing() {
    let prompt = prompt_for(documented_request()).await;
    assert!(prompt.contains("In this chapter: Hero enters forest"), "{prompt}");
}

#[tokio::test]
async fn row_3_a_state_is_a_word_an_object_or_nothing() {
    for (state, told) in [
        (json!("determined"), "determined"),
        (json!({"mood": "calm"}), "mood: calm"),
        (Value::Null, "Aria"),
    ] {
        let mut request = documented_request();
        request["structured_context"]["character_contexts"][0]["current_state"] = state;
        assert!(prompt_for(request).await.contains(told));
    }
}

#[tokio::test]
async fn row_4_a_request_may_be_of_any_type() {
    for kind in ["instruction", "feedback", "preference", "modification", "whim"] {
        let mut request = documented_request();
        request["structured_context"]["user_requests"][0]["type"] = kind.into();
        assert!(prompt_for(request).await.contains("Add sensory details"));
    }
}

#[tokio::test]
async fn row_5_plot_may_be_a_detail_and_have_an_element_id() {
    let Scripted { app, script, .. } = Scripted::start(&[]).await;
    tokio::spawn(script.answer_all(&["Text."]));
    let request = json!({"structured_context": {"plot_elements": [
        {"element_id": "e", "type": "detail", "content": "A ring."}, {"id": "i", "type": "scene", "content": "Rain."}]}});
    let answer = app.post_json(CHAPTER, &request).await.json();
    let elements = &answer["context_metadata"]["receipt"]["elements"];
    assert_eq!((&elements[0]["id"], &elements[1]["id"]), (&json!("e"), &json!("i")));
}

#[tokio::test]
async fn row_6_an_instruction_may_be_of_any_type() {
    for kind in ["format", "behavior", "mood"] {
        let instruction = json!({"type": kind, "content": "NO LISTS"});
        let mut request = documented_request();
        request["structured_context"]["system_instructions"] = json!([instruction]);
        assert!(prompt_for(request).await.contains("NO LISTS"));
    }
}

#[tokio::test]
async fn row_7_tokens_are_counted_of_one_text_or_many() {
    let app = Scripted::fitting("", &[]).await;
    let one = app.post("/api/v1/tokens/count", r#"{"text": "Your text here"}"#).await;
    let many = app.post("/api/v1/tokens/count", r#"{"texts": [{"text": "Your text here"}]}"#).await;
    assert_eq!((one.status, many.status), (200, 200));
    assert_eq!(many.json()["results"][0]["text"], "Your text here");
}

#[tokio::test]
async fn row_8_ratings_have_a_streaming_path_and_the_third_shape_is_read() {
    let request = json!({
        "raterPrompt": "Read.", "plotPoint": "The gate.",
        "structured_context": {
            "systemPrompts": {"mainPrefix": "PREFIX", "mainSuffix": "SUFFIX", "assistantPrompt": "A"},
            "worldbuilding": {"content": "THE WORLD", "lastModified": "2026-01-01", "wordCount": 2},
            "storySummary": {"summary": "THE SUMMARY", "lastModified": "2026-01-01", "wordCount": 2},
            "previousChapters": [{"number": 1, "title": "One", "content": "CHAPTER ONE"}],
            "characters": [{"name": "Aria"}],
            "plotContext": {"plotPoint": "The gate.", "plotOutline": "THE OUTLINE", "plotOutlineStatus": "draft"}}});
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let say = move |request: &GenerateRequest| {
        tell.send(prompt_of(request)).unwrap();
        fitting(request, "")
    };
    let app = Scripted::saying(say, &[]).await;
    let events = app.events("/api/v1/rater-feedback/stream", &request).await;
    assert_eq!(events.last().unwrap()["type"], "result");
    let prompt = told.try_recv().unwrap();
    for part in ["PREFIX", "SUFFIX", "THE WORLD", "THE SUMMARY", "CHAPTER ONE", "THE OUTLINE"] {
        assert!(prompt.contains(part), "{part} is missing:\n{prompt}");
    }
}

#[tokio::test]
async fn row_9_a_rating_is_events_or_one_json_object() {
    let app = Scripted::fitting("", &[]).await;
    let request = json!({"raterPrompt": "Read.", "plotPoint": "x", "structured_context": {}});
    let path = "/api/v1/rater-feedback";
    let events = app.post(path, request.to_string()).await;
    assert_eq!(events.header("content-type"), "text/event-stream");
    assert_eq!(events.header("access-control-allow-origin"), "*");
    assert_eq!(events.header("access-control-allow-headers"), "Cache-Control");
    let accepted = app.post_json(path, &request).await;
    let asked = app.post(&format!("{path}?stream=false"), request.to_string()).await;
    for answer in [accepted, asked] {
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.json()["raterName"], "Rater");
    }
}

#[tokio::test]
async fn row_10_the_containers_metadata_are_any_object() {
    for metadata in [json!({"anything": [1]}), json!({}), Value::Null] {
        let mut request = documented_request();
        request["structured_context"]["metadata"] = metadata;
        prompt_for(request).await;
    }
}

#[tokio::test]
async fn row_11_elements_are_filtered_by_phase() {
    for key in ["current_phase", "phase"] {
        let mut request = documented_request();
        request["structured_context"]["plot_elements"] = json!([
            {"type": "scene", "content": "FOR NOW", "metadata": {"phase": "chapter_detail"}},
            {"type": "scene", "content": "FOR LATER", "metadata": {"phases": ["final_edit"]}}]);
        request["context_processing_config"] = json!({key: "chapter_detail"});
        let prompt = prompt_for(request).await;
        assert!(prompt.contains("FOR NOW") && !prompt.contains("FOR LATER"), "{prompt}");
    }
}

#[tokio::test]
async fn row_12_what_does_not_fit_is_distilled_and_tokens_are_counted() {
    let settings = [("DISTILLATION_METHOD", "extractive"), ("MODELS_DIR", "nowhere")];
    let app = Scripted::fitting("Text.", &settings).await;
    let content = "Aria walked on. Tom found 3 coins in the mud. The rain fell. ".repeat(60);
    let elements: Vec<_> = (0..3)
        .map(|_| json!({"type": "scene", "content": content, "priority": "medium"}))
        .collect();
    let request = json!({"plotPoint": "x", "structured_context": {"plot_elements": elements}});
    let answer = app.post_json(CHAPTER, &request).await.json();
    let receipt = &answer["context_metadata"]["receipt"];
    let outcomes: Vec<_> = receipt["elements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["outcome"].as_str().unwrap())
        .collect();
    assert!(outcomes.contains(&"distilled"), "{outcomes:?}");
    // Not the hundred tokens an element that the older server reported.
    assert_eq!(
        receipt["elements"][0]["tokens"],
        json!((content.trim_end().len() + 9).div_ceil(4) + 1)
    );
}

#[tokio::test]
async fn row_14_structured_character_feedback_has_a_path() {
    let app = Scripted::fitting("", &[]).await;
    let request = json!({"plotPoint": "x", "structured_context": {"character_contexts": [{"character_id": "a", "character_name": "Aria"}]}});
    let answer = app.post_json("/api/v1/character-feedback/structured", &request).await.json();
    assert_eq!(answer["characterName"], "Aria");
    assert!(answer["feedback"]["internalMonologue"].is_array());
}

#[tokio::test]
async fn row_15_a_raters_suggestions_are_objects_when_asked_for() {
    let say = |request: &GenerateRequest| {
        let mut rating: Value = serde_json::from_str(&fitting(request, "")).unwrap();
        rating["suggestions"] =
            json!([{"issue": "Slow", "suggestion": "Cut it.", "priority": "low"}]);
        rating.to_string()
    };
    let app = Scripted::saying(say, &[]).await;
    let request = json!({"raterPrompt": "Read.", "plotPoint": "x", "structured_context": {}});
    let path = "/api/v1/rater-feedback";
    let plain = app.post_json(path, &request).await.json();
    assert_eq!(plain["feedback"]["suggestions"], json!(["Slow: Cut it."]));
    let objects = app.post_json(&format!("{path}?suggestions=objects"), &request).await.json();
    assert_eq!(objects["feedback"]["suggestions"][0]["priority"], "low");
    assert_eq!(app.post_json(&format!("{path}?suggestions=poems"), &request).await.status, 400);
}

#[tokio::test]
async fn row_16_an_editors_review_has_an_overall_assessment() {
    let app = Scripted::fitting("", &[]).await;
    let request = json!({"chapterToReview": "Rain.", "structured_context": {}});
    let answer = app.post_json("/api/v1/editor-review", &request).await.json();
    assert_eq!(answer["overallAssessment"], "word");
    assert_eq!(answer["suggestions"][0]["priority"], "high");
}

#[tokio::test]
async fn row_17_one_process_serves_many_requests_from_one_engine() {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    // Three at once stand in the engine's one queue before any is answered.
    let requests = async {
        tokio::join!(
            app.post_json(CHAPTER, documented_request()),
            app.post_json(CHAPTER, documented_request()),
            app.post_json(CHAPTER, documented_request()),
        )
    };
    let engine = async {
        let mut calls = Vec::new();
        for _ in 0..3 {
            calls.push(script.next_call().await.unwrap());
        }
        for mut call in calls {
            assert_eq!(call.request.client, ClientId::new("127.0.0.1"));
            call.start(TokenCount::ZERO);
            call.text("Text.");
            call.finish(rhapsode::engine::FinishReason::Stop);
        }
    };
    let ((one, two, three), ()) = tokio::join!(requests, engine);
    for answer in [one, two, three] {
        assert_eq!(answer.status, 200);
    }
}
