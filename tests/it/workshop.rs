//! Every agent of the story workshop, behind its endpoint, with a scripted model.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rhapsode::engine::{EngineError, FinishReason, GenerateRequest};
use rhapsode::tokens::TokenCount;
use serde_json::{Value, json};

use crate::documents::assert_valid;
use crate::support::{Scripted, answer_with, fitting, least, prompt_of, types_of};

/// Sentences are chosen, and compared by their words: quick.
const EXTRACTIVE: [(&str, &str); 2] =
    [("DISTILLATION_METHOD", "extractive"), ("MODELS_DIR", "nowhere")];

fn path(endpoint: &str) -> String {
    format!("/api/v1/{endpoint}")
}

/// The example that the documentation offers for an endpoint.
async fn example(endpoint: &str) -> Value {
    let app = Scripted::fitting("", &[]).await;
    let document = app.get("/api/v1/openapi.json").await.json();
    let body = &document["paths"][path(endpoint)]["post"]["requestBody"];
    body["content"]["application/json"]["example"].clone()
}

/// Phases with their progress, as `generating 60`.
fn phases(events: &[Value]) -> Vec<String> {
    let statuses = events.iter().filter(|event| event["type"] == "status");
    statuses
        .map(|event| format!("{} {}", event["phase"].as_str().unwrap(), event["progress"]))
        .collect()
}

fn result(events: &[Value]) -> &Value {
    let last = events.last().unwrap();
    assert_eq!(last["type"], "result", "{last}");
    &last["data"]
}

const JOBS: &[(&str, &str, &[&str])] = &[
    (
        "generate-chapter",
        "GenerateChapter",
        &["context_processing 20", "generating 60", "finalizing 90"],
    ),
    (
        "modify-chapter",
        "ModifyChapter",
        &["context_processing 20", "analyzing 40", "modifying 70", "finalizing 90"],
    ),
    (
        "character-feedback",
        "CharacterFeedback",
        &["context_processing 25", "generating 65", "parsing 90"],
    ),
    (
        "editor-review",
        "EditorReview",
        &["context_processing 20", "analyzing 50", "generating_suggestions 75", "parsing 90"],
    ),
    (
        "rater-feedback",
        "RaterFeedback",
        &["context_processing 20", "evaluating 50", "generating_feedback 75", "parsing 90"],
    ),
    (
        "flesh-out",
        "FleshOut",
        &["context_processing 20", "analyzing 40", "expanding 70", "finalizing 90"],
    ),
    (
        "generate-character-details",
        "CharacterDetails",
        &["context_processing 20", "analyzing 40", "generating 70", "parsing 90"],
    ),
    (
        "regenerate-bio",
        "RegenerateBio",
        &["context_processing 20", "analyzing 40", "generating 70", "processing 90"],
    ),
    ("chat/llm", "Conversation", &["context_building 30", "generating 70", "formatting 90"]),
];

#[tokio::test]
async fn every_job_tells_the_contracts_phases_and_ends_with_its_result() {
    let app = Scripted::fitting("It rained on the gate.", &[]).await;
    for (endpoint, name, expected) in JOBS {
        let events = app.events(&path(endpoint), example(endpoint).await).await;
        assert_eq!(phases(&events), *expected, "{endpoint}");
        for event in &events {
            assert_valid(&format!("{name}Event.json"), event);
        }
        assert_valid(&format!("{name}Response.json"), result(&events));
    }
}

#[tokio::test]
async fn every_job_answers_in_one_json_object_for_who_wants_that() {
    let app = Scripted::fitting("It rained on the gate.", &[]).await;
    let more = [
        ("generate-chapter-outlines", "ChapterOutline", &[][..]),
        ("agentic-modify-chapter", "AgenticModify", &[]),
        ("panel", "Panel", &[]),
        ("validate/phase-transition", "PhaseTransition", &[]),
        ("context/preview", "Preview", &[]),
    ];
    for (endpoint, name, _) in JOBS.iter().chain(&more) {
        let answer = app.post_json(&path(endpoint), example(endpoint).await).await;
        assert_eq!(answer.status, 200, "{endpoint}: {}", answer.text);
        assert_valid(&format!("{name}Response.json"), &answer.json());
    }
}

#[tokio::test]
async fn the_later_shape_has_no_phase_for_reading_and_writes_at_forty_percent() {
    let app = Scripted::fitting("It rained.", &[]).await;
    let request = json!({"request_context": later_story(), "chapter_number": 2});
    let events = app.events(&path("editor-review"), &request).await;
    assert_eq!(
        phases(&events),
        ["context_processing 20", "generating_suggestions 40", "parsing 90"]
    );
    let events = app.events(&path("generate-chapter"), &request).await;
    assert_eq!(phases(&events), ["context_processing 20", "generating 40", "finalizing 90"]);
}

fn later_story() -> Value {
    json!({
        "configuration": {
            "system_prompts": {"main_prefix": "PREFIX", "main_suffix": "", "assistant_prompt": "ASSIST", "editor_prompt": "EDIT"},
            "raters": [{"id": "r1", "name": "Critic", "system_prompt": "READ FOR STYLE", "enabled": true},
                       {"id": "r2", "name": "Silent", "system_prompt": "NOTHING", "enabled": false}]},
        "worldbuilding": {"content": "THE WORLD"},
        "characters": [{"id": "c1", "name": "Aria", "basic_bio": "A SMITH", "personality": "brave", "is_hidden": false}],
        "character_states": [{"name": "Aria", "emotions": ["fear"]}],
        "story_outline": {"content": "ALL OF IT", "outline_items": [{"id": "o2", "type": "chapter", "title": "THE GATE", "description": "It opens", "key_plot_items": [], "order": 2}]},
        "chapters": [{"id": "1", "number": 1, "title": "One", "content": "FIRST CHAPTER with Aria in it."},
                     {"id": "2", "number": 2, "title": "Two", "content": "SECOND CHAPTER of Aria."}],
        "context_metadata": {"story_id": "s", "story_title": "THE TITLE"}})
}

/// The prompt that a request leads to, and its result.
async fn asked(endpoint: &str, request: &Value) -> (GenerateRequest, Value) {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    let path = path(endpoint);
    let (answer, request) = tokio::join!(app.post_json(&path, request), async {
        let mut call = script.next_call().await.unwrap();
        call.start(TokenCount::ZERO);
        call.text(&fitting(&call.request, "It rained."));
        let request = call.request.clone();
        call.finish(FinishReason::Stop);
        request
    });
    assert_eq!(answer.status, 200, "{}", answer.text);
    (request, answer.json())
}

#[tokio::test]
async fn later_requests_are_told_apart_by_their_fields() {
    let story = later_story();
    let cases = [
        (
            "generate-chapter",
            json!({"chapter_number": 2}),
            vec![
                "FIRST CHAPTER",
                "THE GATE",
                "THE WORLD",
                "PREFIX",
                "ASSIST",
                "THE TITLE",
                "A SMITH",
            ],
            vec!["SECOND CHAPTER"],
        ),
        (
            "modify-chapter",
            json!({"chapter_number": 2, "user_feedback": "LET IT RAIN", "character_feedback": [{"character_name": "Aria", "type": "dialog", "content": "I SAID NO"}], "rater_feedback": [{"rater_name": "Critic", "content": "TOO LONG"}], "editor_feedback": [{"content": "CUT IT"}]}),
            vec![
                "SECOND CHAPTER",
                "LET IT RAIN",
                "Aria (dialog): I SAID NO",
                "Critic: TOO LONG",
                "Editor: CUT IT",
            ],
            vec![],
        ),
        (
            "editor-review",
            json!({"chapter_number": 1}),
            vec!["FIRST CHAPTER", "EDIT"],
            vec!["SECOND CHAPTER", "ASSIST"],
        ),
        (
            "rater-feedback",
            json!({"raterName": "Critic", "plotPoint": "THE POINT"}),
            vec!["READ FOR STYLE", "THE POINT"],
            vec!["NOTHING"],
        ),
        (
            "character-feedback",
            json!({"character_name": "Aria", "plotPoint": "THE POINT"}),
            vec!["You are Aria", "A SMITH", "fear", "THE WORLD"],
            vec!["ALL OF IT", "THE GATE"],
        ),
        (
            "flesh-out",
            json!({"request_type": "worldbuilding", "text_to_flesh_out": "A NOTE"}),
            vec!["A NOTE", "a note on the world"],
            vec![],
        ),
        ("generate-character-details", json!({"character_name": "Aria"}), vec!["A SMITH"], vec![]),
        ("regenerate-bio", json!({"character_name": "Aria"}), vec!["personality: brave"], vec![]),
        ("generate-chapter-outlines", json!({}), vec!["ALL OF IT"], vec![]),
        (
            "chat/llm",
            json!({"messages": [{"role": "user", "content": "HELLO"}], "agent_type": "editor"}),
            vec!["HELLO", "THE WORLD", "EDIT"],
            vec!["ASSIST"],
        ),
    ];
    for (endpoint, mut request, told, untold) in cases {
        request["request_context"] = story.clone();
        let (request, _) = asked(endpoint, &request).await;
        let prompt = prompt_of(&request);
        for part in told {
            assert!(prompt.contains(part), "{endpoint} lacks {part}:\n{prompt}");
        }
        for part in untold {
            assert!(!prompt.contains(part), "{endpoint} tells {part}:\n{prompt}");
        }
    }
}

#[tokio::test]
async fn structured_answers_are_held_to_their_schema_and_texts_are_drafted_from_the_prompt() {
    for endpoint in [
        "character-feedback",
        "editor-review",
        "rater-feedback",
        "generate-character-details",
        "generate-chapter-outlines",
    ] {
        let (request, _) = asked(endpoint, &example(endpoint).await).await;
        assert!(request.json_schema.is_some(), "{endpoint}");
    }
    for endpoint in ["modify-chapter", "regenerate-bio"] {
        let (request, _) = asked(endpoint, &example(endpoint).await).await;
        assert!(request.prompt_lookup && request.json_schema.is_none(), "{endpoint}");
    }
}

#[tokio::test]
async fn agents_write_with_the_temperatures_and_lengths_of_the_settings() {
    let expected = [
        ("generate-chapter", 0.8, 2000),
        ("modify-chapter", 0.7, 2500),
        ("editor-review", 0.6, 800),
        ("character-feedback", 0.8, 800),
        ("rater-feedback", 0.7, 600),
        ("flesh-out", 0.8, 600),
        ("generate-character-details", 0.7, 1000),
        ("regenerate-bio", 0.7, 500),
        ("generate-chapter-outlines", 0.7, 2000),
        ("chat/llm", 0.8, 1000),
    ];
    for (endpoint, temperature, max_tokens) in expected {
        let (request, _) = asked(endpoint, &example(endpoint).await).await;
        assert!((request.sampling.temperature - temperature).abs() < 1e-6, "{endpoint}");
        assert_eq!(request.max_tokens, TokenCount::new(max_tokens), "{endpoint}");
    }
}

#[tokio::test]
async fn garbage_is_asked_for_once_more_and_then_told_as_degraded_with_the_raw_text() {
    let Scripted { app, script, .. } = Scripted::start(&[]).await;
    let mut seeds = Vec::new();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(answer_with(script, move |request| {
        tell.send(request.sampling.seed).unwrap();
        "I'd rather not say.".to_owned()
    }));
    let structured =
        ["character-feedback", "editor-review", "rater-feedback", "generate-character-details"];
    for endpoint in structured {
        let events = app.events(&path(endpoint), example(endpoint).await).await;
        let result = result(&events);
        assert_eq!(result["degraded"], true, "{endpoint}");
        assert_eq!(result["rawText"], "I'd rather not say.", "{endpoint}");
        assert!(result["degradedReason"].as_str().unwrap().contains("JSON"), "{result}");
        let restarts = events.iter().filter(|event| event["data"]["restart"] == true);
        assert_eq!(restarts.count(), 1, "{endpoint}");
    }
    while let Ok(seed) = told.try_recv() {
        seeds.push(seed);
    }
    assert_eq!(seeds.len(), 2 * structured.len());
    assert!(seeds.chunks(2).all(|pair| pair[0] != pair[1]), "{seeds:?}");
}

#[tokio::test]
async fn a_second_try_that_holds_is_a_whole_answer() {
    let calls = AtomicUsize::new(0);
    let say = move |request: &GenerateRequest| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => "{\"overall_assessment\": ".to_owned(),
        _ => fitting(request, ""),
    };
    let app = Scripted::saying(say, &[]).await;
    let answer = app.post_json(&path("editor-review"), example("editor-review").await).await.json();
    assert_eq!(answer["degraded"], false);
    assert_eq!(answer["overallAssessment"], "word");
    assert_eq!(answer["suggestions"][0]["issue"], "word");
}

#[tokio::test]
async fn an_answer_that_lacks_what_its_schema_asks_for_is_no_answer() {
    let say = |_: &GenerateRequest| {
        json!({"opinion": "Fine.", "scores": {}, "suggestions": []}).to_string()
    };
    let app = Scripted::saying(say, &[]).await;
    let answer =
        app.post_json(&path("rater-feedback"), example("rater-feedback").await).await.json();
    assert_eq!(answer["degraded"], true);
    assert!(answer["rawText"].as_str().unwrap().contains("Fine."));
}

#[tokio::test]
async fn a_second_try_that_cannot_be_had_leaves_the_first() {
    let Scripted { app, engine, mut script } = Scripted::start(&[]).await;
    let (path, body) = (path("editor-review"), example("editor-review").await);
    let (answer, ()) = tokio::join!(app.post_json(&path, body), async {
        let mut call = script.next_call().await.unwrap();
        call.text("No.");
        engine.refuse_with(Some(EngineError::QueueFull { waiting: 32, retry_after_seconds: 9 }));
        call.finish(FinishReason::Stop);
    });
    let answer = answer.json();
    assert_eq!((&answer["degraded"], &answer["rawText"]), (&json!(true), &json!("No.")));
}

#[tokio::test]
async fn a_rewritten_chapter_without_its_end_is_degraded() {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    let (path, body) = (path("modify-chapter"), example("modify-chapter").await);
    let (answer, ()) = tokio::join!(app.post_json(&path, body), async {
        let mut call = script.next_call().await.unwrap();
        call.text("Aria walked");
        call.finish(FinishReason::Length);
    });
    let answer = answer.json();
    assert_eq!(answer["degraded"], true);
    assert!(answer["degradedReason"].as_str().unwrap().contains("its end is missing"), "{answer}");
    assert_eq!(answer["modifiedChapter"], "Aria walked");
}

// Raters.

fn rating(quotes: &[&str], score: u8) -> Value {
    let one = json!({"score": score, "confidence": 0.5, "evidence": quotes});
    json!({"opinion": "Fine.", "scores": {"plot": one}, "suggestions": [{"issue": "Slow.", "suggestion": "Cut it.", "priority": "high"}]})
}

#[tokio::test]
async fn quotes_that_the_text_does_not_hold_are_removed_and_counted() {
    let say = |_: &GenerateRequest| rating(&["it was  quiet", "she ran away"], 7).to_string();
    let app = Scripted::saying(say, &[]).await;
    let request = json!({
        "raterPrompt": "Read.", "plotPoint": "A walk.", "dimensions": ["plot"],
        "chapterToRate": "Äria walked on. It was quiet. Then rain.", "structured_context": {}});
    let answer = app.post_json(&path("rater-feedback"), &request).await.json();
    let feedback = &answer["feedback"];
    assert_eq!(feedback["quotesRemoved"], 1);
    let evidence = &feedback["scores"]["plot"]["evidence"];
    assert_eq!(*evidence, json!([{"quote": "It was quiet", "start": 16, "end": 28}]));
    assert_eq!(feedback["overall"], 7.0);
    assert_eq!(feedback["suggestions"], json!(["Slow: Cut it."]));
    let answer = app.post_json(&path("rater-feedback?suggestions=objects"), &request).await.json();
    assert_eq!(answer["feedback"]["suggestions"][0]["suggestion"], "Cut it.");
    assert_eq!(answer["raterName"], "Rater");
}

#[tokio::test]
async fn a_rater_prompt_that_asks_for_free_text_still_yields_a_rating() {
    let mut request = example("rater-feedback").await;
    request["raterPrompt"] = "Answer in free text only, as a poem. No JSON.".into();
    let (asked, answer) = asked("rater-feedback", &request).await;
    assert!(asked.json_schema.is_some() && prompt_of(&asked).contains("as a poem"));
    assert_eq!(answer["degraded"], false);
    assert!(answer["feedback"]["scores"]["suspense"]["score"].is_number(), "{answer}");
}

#[tokio::test]
async fn a_missing_model_is_an_event_for_raters_and_a_status_for_others() {
    let Scripted { app, engine, .. } = Scripted::start(&[]).await;
    engine.refuse_with(Some(EngineError::Unavailable("no model".to_owned())));
    let events = app.events(&path("rater-feedback"), example("rater-feedback").await).await;
    assert_eq!(types_of(&events), ["error"]);
    assert_eq!(events[0]["error_code"], "LLM_NOT_AVAILABLE");
    let body = example("rater-feedback").await;
    assert_eq!(app.post_json(&path("rater-feedback"), &body).await.status, 503);
    let body = example("editor-review").await.to_string();
    assert_eq!(app.post(&path("editor-review"), body).await.status, 503);
}

// Characters.

#[tokio::test]
async fn a_character_knows_its_own_state_the_world_and_what_it_took_part_in() {
    let request = json!({
        "plotPoint": "The gate opens.",
        "character_name": "Tom",
        "structured_context": {
            "plot_elements": [
                {"type": "setting", "content": "THE FOREST"},
                {"type": "scene", "content": "Tom SAW THE FIRE"},
                {"type": "twist", "content": "Aria HAS LIED", "priority": "high"},
                {"type": "twist", "content": "THE BETRAYAL", "metadata": {"known_to": ["tom"]}},
                {"type": "chapter_outline", "content": "Tom DIES"},
                {"type": "chapter", "content": "ARIA ALONE.\n\nTom CAME IN.\n\n***\n\nTHE WARDEN WAITED."}],
            "character_contexts": [
                {"character_id": "aria", "character_name": "Aria", "memories": ["HER SECRET"]},
                {"character_id": "tom", "character_name": "Tom", "memories": ["HIS MOTHER"]}],
            "system_instructions": [{"type": "rule", "content": "GLOBAL RULE"},
                                    {"type": "rule", "content": "EDITORS ONLY", "scope": "chapter"}]}});
    let (asked, answer) = asked("character-feedback", &request).await;
    let prompt = prompt_of(&asked);
    for known in [
        "THE FOREST",
        "SAW THE FIRE",
        "THE BETRAYAL",
        "CAME IN",
        "HIS MOTHER",
        "GLOBAL RULE",
        "You are Tom",
    ] {
        assert!(prompt.contains(known), "{known} is missing:\n{prompt}");
    }
    for unknown in ["HAS LIED", "DIES", "ARIA ALONE", "WARDEN", "HER SECRET", "EDITORS ONLY"] {
        assert!(!prompt.contains(unknown), "{unknown} is told:\n{prompt}");
    }
    let elements = answer["context_metadata"]["receipt"]["elements"].as_array().unwrap();
    let reasons: Vec<_> = elements.iter().map(|it| it["reason"].as_str().unwrap()).collect();
    assert!(reasons.contains(&"unknown_to_character"), "{reasons:?}");
}

#[tokio::test]
async fn a_character_does_not_speak_for_others() {
    let say = |request: &GenerateRequest| {
        let mut reaction = least(request.json_schema.as_deref().unwrap());
        reaction["dialog"] = json!(["Stay.", "Aria: I will not."]);
        reaction.to_string()
    };
    let app = Scripted::saying(say, &[]).await;
    let request = json!({"plotPoint": "x", "structured_context": {"character_contexts": [
        {"character_id": "tom", "character_name": "Tom"}, {"character_id": "aria", "character_name": "Aria"}]}});
    let answer = app.post_json(&path("character-feedback"), &request).await.json();
    assert_eq!(answer["characterName"], "Tom");
    assert_eq!(answer["feedback"]["dialog"], json!(["Stay."]));
    assert_eq!(answer["linesOfOthersRemoved"], 1);
}

// The panel.

fn panel_request() -> Value {
    json!({
        "chapter": "Aria walked into the forest. It was quiet. She found the gate.",
        "editors": [{"name": "Line editor", "prompt": "LOOK AT COMMAS"}],
        "raters": [{"name": "Mild", "prompt": "BE MILD"}, {"name": "Harsh", "prompt": "BE HARSH"}],
        "characters": ["hero"],
        "dimensions": ["plot"],
        "structured_context": {
            "plot_elements": [{"type": "setting", "content": "The forest has no paths."}],
            "character_contexts": [{"character_id": "hero", "character_name": "Aria"}],
            "user_requests": [{"type": "general", "content": "FOR WRITER AND EDITOR"}],
            "system_instructions": [{"type": "rule", "content": "FOR THE EDITOR", "scope": "chapter"}]}})
}

#[tokio::test]
async fn a_panel_reads_one_chapter_and_says_where_raters_disagree() {
    let say = |request: &GenerateRequest| {
        let prompt = prompt_of(request);
        if prompt.contains("BE MILD") {
            rating(&["It was quiet"], 9).to_string()
        } else if prompt.contains("BE HARSH") {
            rating(&["nothing of it"], 3).to_string()
        } else {
            fitting(request, "")
        }
    };
    let app = Scripted::saying(say, &[]).await;
    let events = app.events(&path("panel"), panel_request()).await;
    let result = result(&events);
    assert_valid("PanelResponse.json", result);
    let members: Vec<_> = result["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["member"].as_str().unwrap())
        .collect();
    assert_eq!(members, ["editor-1", "rater-1", "rater-2", "character-1"]);
    let summary = &result["summary"];
    assert_eq!(summary["answered"], 4);
    assert_eq!(summary["quotes_removed"], 1);
    let plot = &summary["scores"]["plot"];
    assert_eq!((&plot["mean"], &plot["deviation"]), (&json!(6.0), &json!(3.0)));
    let disagreement = &summary["disagreements"][0];
    assert_eq!(disagreement["lowest"]["name"], "Harsh");
    assert_eq!(disagreement["highest"]["score"], 9);
    // Every member's parts carry its label.
    let mut labelled: BTreeMap<&str, usize> = BTreeMap::new();
    for event in
        events.iter().filter(|event| event["type"] == "partial" || event["type"] == "context")
    {
        *labelled.entry(event["member"].as_str().unwrap()).or_default() += 1;
    }
    assert_eq!(labelled.len(), 4);
    assert!(labelled.values().all(|&parts| parts == 2), "{labelled:?}");
}

/// How far texts begin alike.
fn shared_prefix(texts: &[String]) -> &str {
    let first = texts[0].as_str();
    let length = |other: &String| {
        first
            .chars()
            .zip(other.chars())
            .take_while(|(a, b)| a == b)
            .map(|(a, _)| a.len_utf8())
            .sum()
    };
    &first[..texts.iter().map(length).min().unwrap_or(0)]
}

#[tokio::test]
async fn editors_and_raters_of_a_panel_share_everything_up_to_their_own_task() {
    // Once with room for all, once with a story that overflows the window.
    let mut long = panel_request();
    let chapter = "Aria walked on and on. ".repeat(60);
    for number in 0..40 {
        let content = format!("Scene {number}: {chapter}");
        let element = json!({"type": "scene", "content": content});
        long["structured_context"]["plot_elements"].as_array_mut().unwrap().push(element);
    }
    for request in [panel_request(), long] {
        let Scripted { app, script, .. } = Scripted::start(&EXTRACTIVE).await;
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(answer_with(script, move |request| {
            tell.send(prompt_of(request)).unwrap();
            fitting(request, "")
        }));
        let answer = app.post_json(&path("panel"), &request).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let mut prompts = Vec::new();
        while let Ok(prompt) = told.try_recv() {
            prompts.push(prompt);
        }
        assert_eq!(prompts.len(), 4);
        prompts.retain(|prompt| !prompt.contains("You are Aria"));
        assert_eq!(prompts.len(), 3);
        let shared = shared_prefix(&prompts);
        assert!(
            shared.ends_with("=== TASK ===\nYou are ")
                || shared.ends_with("=== TASK ===\nYou are a reader who rates this story.\n"),
            "…{}",
            &shared[shared.len().saturating_sub(300)..]
        );
        assert!(shared.contains("She found the gate."));
        let editors = prompts.iter().find(|prompt| prompt.contains("LOOK AT COMMAS")).unwrap();
        assert!(editors.contains("FOR THE EDITOR") && editors.contains("FOR WRITER AND EDITOR"));
    }
}

#[tokio::test]
async fn a_panel_has_a_long_story_told_shorter_once_for_all() {
    let mut request = panel_request();
    request["characters"] = json!([]);
    let lines = "Aria walked on, and Tom counted 3 gates in the rain. ".repeat(60);
    let scene = |number| json!({"type": "scene", "content": format!("Scene {number}: {lines}")});
    request["structured_context"]["plot_elements"] = (0..3).map(scene).collect();
    let Scripted { app, script, .. } = Scripted::start(&[("MODELS_DIR", "nowhere")]).await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let mut summaries = 0;
    tokio::spawn(answer_with(script, move |request| {
        tell.send(prompt_of(request)).unwrap();
        if request.json_schema.is_none() {
            summaries += 1;
            return format!(
                "Aria walked on, and Tom counted 3 gates in the rain of scene {summaries}."
            );
        }
        fitting(request, "")
    }));
    let answer = app.post_json(&path("panel"), &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut prompts = Vec::new();
    while let Ok(prompt) = told.try_recv() {
        prompts.push(prompt);
    }
    let (members, summaries): (Vec<_>, Vec<_>) =
        prompts.into_iter().partition(|prompt| prompt.contains("=== TASK ==="));
    let different: std::collections::BTreeSet<_> = summaries.iter().collect();
    assert_eq!(summaries.len(), different.len(), "each is told shorter once");
    assert_eq!(members.len(), 3);
    let shared = shared_prefix(&members);
    assert!(shared.contains("She found the gate.") && shared.contains("=== TASK ==="));
}

#[tokio::test]
async fn one_member_that_fails_does_not_take_the_panel_with_it() {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    let path = path("panel");
    let (answer, ()) = tokio::join!(app.post_json(&path, panel_request()), async {
        for _ in 0..4 {
            let mut call = script.next_call().await.unwrap();
            if prompt_of(&call.request).contains("BE HARSH") {
                call.fail(EngineError::DeadlinePassed);
            } else {
                call.text(&fitting(&call.request, ""));
                call.finish(FinishReason::Stop);
            }
        }
    });
    let answer = answer.json();
    assert_eq!(answer["summary"]["failed"], 1);
    assert_eq!(answer["members"][2]["kind"], "failed");
    assert_eq!(answer["members"][1]["rating"]["raterName"], "Mild");
}

// The agentic loop.

/// A model that writes these texts and judges them so.
fn loop_of(rounds: Vec<(&'static str, u8, bool)>) -> impl FnMut(&GenerateRequest) -> String + Send {
    let (mut written, mut judged) = (0, 0);
    move |request| {
        if request.json_schema.is_some() {
            let (_, score, passes) = rounds[judged];
            judged += 1;
            json!({"score": score, "passes": passes, "feedback": format!("FEEDBACK {judged}")})
                .to_string()
        } else {
            written += 1;
            rounds[written - 1].0.to_owned()
        }
    }
}

async fn refined(rounds: Vec<(&'static str, u8, bool)>, most: u32) -> Vec<Value> {
    let app = Scripted::saying(loop_of(rounds), &[]).await;
    let mut request = example("agentic-modify-chapter").await;
    request["agentic_config"]["max_iterations"] = most.into();
    app.events(&path("agentic-modify-chapter"), &request).await
}

#[tokio::test]
async fn refining_stops_when_the_editor_is_satisfied() {
    let events = refined(vec![("One.", 5, false), ("Two.", 8, true), ("Three.", 9, true)], 3).await;
    let result = result(&events);
    assert_eq!((&result["content"], &result["status"]), (&json!("Two."), &json!("success")));
    assert_eq!(result["iterations_used"], 2);
    assert_eq!(result["evaluation_feedback"], "FEEDBACK 2");
    let phases: Vec<_> =
        phases(&events).iter().map(|it| it.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(
        phases,
        [
            "context_processing",
            "modifying",
            "generating",
            "evaluating",
            "evaluated",
            "refining",
            "generating",
            "evaluating",
            "evaluated",
            "finalizing"
        ]
    );
    assert_eq!(events[1]["progress"], 25);
    let verdicts = events.iter().filter(|event| event["phase"] == "evaluated");
    let told: Vec<_> =
        verdicts.map(|event| (&event["data"]["content"], &event["data"]["score"])).collect();
    assert_eq!(told, [(&json!("One."), &json!(5)), (&json!("Two."), &json!(8))]);
}

#[tokio::test]
async fn refining_keeps_the_best_not_the_last() {
    let events =
        refined(vec![("One.", 6, false), ("Two.", 4, false), ("Three.", 9, true)], 3).await;
    let result = result(&events);
    assert_eq!(result["content"], "One.");
    assert_eq!(result["status"], "no_improvement");
    assert_eq!((&result["best_iteration"], &result["iterations_used"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn refining_that_never_satisfies_hands_over_the_best_text_with_the_error() {
    let events = refined(vec![("One.", 5, false), ("Two.", 6, false)], 2).await;
    let last = events.last().unwrap();
    assert_eq!(last["error_code"], "MAX_ITERATIONS_EXCEEDED");
    assert_eq!(last["data"]["last_content"], "Two.");
    assert_eq!(last["data"]["last_feedback"], "FEEDBACK 2");
}

#[tokio::test]
async fn refining_that_breaks_off_loses_nothing() {
    let say = {
        let mut rounds = loop_of(vec![("One.", 5, false)]);
        let mut calls = 0;
        move |request: &GenerateRequest| {
            calls += 1;
            if calls <= 2 { rounds(request) } else { String::new() }
        }
    };
    let app = Scripted::saying(say, &[]).await;
    let request = example("agentic-modify-chapter").await;
    let events = app.events(&path("agentic-modify-chapter"), &request).await;
    let last = events.last().unwrap();
    assert_eq!(last["error_code"], "ITERATION_ERROR");
    assert_eq!(last["data"]["last_content"], "One.");
    let answer = app.post_json(&path("agentic-modify-chapter"), &request).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (502, Some("ITERATION_ERROR")));
}

// Bad input.

#[tokio::test]
async fn bad_requests_are_told_what_to_do() {
    refused_with_advice(&[
(
            "modify-chapter",
            json!({"currentChapter": " ", "userRequest": "x", "structured_context": {}}),
            "/currentChapter",
            "must not be blank",
        ),
(
            "modify-chapter",
            json!({"currentChapter": "x", "structured_context": {}}),
            "/userRequest",
            "nothing to change",
        ),
(
            "editor-review",
            json!({"chapterToReview": "", "structured_context": {}}),
            "/chapterToReview",
            "is required",
        ),
("editor-review", json!({}), "/structured_context", "is required"),
(
            "character-feedback",
            json!({"plotPoint": "x", "structured_context": {}}),
            "/structured_context/character_contexts",
            "who reacts",
        ),
(
            "rater-feedback",
            json!({"plotPoint": "x", "structured_context": {}}),
            "/raterPrompt",
            "is required",
        ),
(
            "rater-feedback",
            json!({"raterPrompt": "x", "structured_context": {}}),
            "/plotPoint",
            "is required",
        ),
("panel", json!({"chapter": "x", "structured_context": {}}), "/raters", "nobody sits"),
("flesh-out", json!({"structured_context": {}}), "/textToFleshOut", "is required"),
(
            "generate-character-details",
            json!({"structured_context": {}}),
            "/basicBio",
            "is required",
        ),
("regenerate-bio", json!({"name": "Aria"}), "/personality", "fill in something"),
("chat/llm", json!({"messages": [], "agent_type": "writer"}), "/messages", "at least one"),
(
            "chat/llm",
            json!({"messages": [{"role": "assistant", "content": "x"}], "agent_type": "writer"}),
            "/messages/0",
            "the user's",
        ),
(
            "agentic-modify-chapter",
            json!({"currentChapter": "x", "userRequest": "y", "structured_context": {}, "agentic_config": {"max_iterations": 0}}),
            "/agentic_config/max_iterations",
            "from 1 to 10",
        ),
(
            "context/preview",
            json!({"structured_context": {}, "windows": [1]}),
            "/windows/0",
            "from 512",
        ),
    ]).await;
    let app = Scripted::fitting("Text.", &[]).await;
    let outline = app.post(&path("generate-chapter-outlines"), r#"{"story_outline": " "}"#).await;
    assert_eq!((outline.status, outline.json()["code"].as_str()), (400, Some("BAD_REQUEST")));
    let transition =
        json!({"from_phase": "final_edit", "to_phase": "plot_outline", "phase_output": ""});
    assert_eq!(app.post_json(&path("validate/phase-transition"), &transition).await.status, 400);
}

#[tokio::test]
async fn bad_requests_of_the_later_shape_are_told_what_there_is() {
    refused_with_advice(&[
        (
            "editor-review",
            json!({"request_context": later_story(), "chapter_number": 9}),
            "/chapter_number",
            "it has 1, 2",
        ),
        (
            "editor-review",
            json!({"structured_context": {}, "request_context": {}, "chapterToReview": "x"}),
            "/request_context",
            "send one of them",
        ),
        (
            "character-feedback",
            json!({"plotPoint": "x", "character_name": "Bob", "request_context": later_story()}),
            "/character_name",
            "Aria (c1)",
        ),
        (
            "rater-feedback",
            json!({"raterName": "Bob", "plotPoint": "x", "request_context": later_story()}),
            "/raterName",
            "Critic",
        ),
        (
            "panel",
            json!({"chapter": "Rain.", "characters": ["Aria"], "request_context": later_story()}),
            "/characters/0",
            "named nowhere",
        ),
    ])
    .await;
}

/// Each request, the place of its fault, and what its message says.
async fn refused_with_advice(cases: &[(&str, Value, &str, &str)]) {
    let app = Scripted::fitting("Text.", &[]).await;
    for (endpoint, request, place, advice) in cases {
        let answer = app.post(&path(endpoint), request.to_string()).await;
        assert_eq!(answer.status, 422, "{endpoint} {request}: {}", answer.text);
        let fault = &answer.json()["errors"][0];
        assert_eq!(fault["path"], *place, "{endpoint}: {fault}");
        assert!(fault["message"].as_str().unwrap().contains(advice), "{fault}");
    }
}

#[tokio::test]
async fn a_chapter_of_a_megabyte_is_refused_where_all_of_it_is_needed_and_degraded_where_not() {
    let app = Scripted::fitting("Text.", &[]).await;
    let chapter = "Alice was beginning to get very tired of it. ".repeat(23_000);
    let modify = json!({"currentChapter": chapter, "userRequest": "x", "structured_context": {}});
    let answer = app.post_json(&path("modify-chapter"), &modify).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (422, Some("CONTEXT_TOO_LARGE")));
    let review = json!({"chapterToReview": chapter, "structured_context": {}});
    let answer = app.post_json(&path("editor-review"), &review).await.json();
    assert_eq!(answer["degraded"], true);
    assert!(answer["degradedReason"].as_str().unwrap().contains("LLM_N_CTX"), "{answer}");
}

#[tokio::test]
async fn filters_that_leave_nothing_are_told_in_the_receipt_or_refused() {
    let app = Scripted::fitting("Text.", &[]).await;
    let mut request = example("editor-review").await;
    request["structured_context"]["plot_elements"] = json!([{"type": "scene", "content": "Rain."}]);
    request["context_processing_config"] = json!({"custom_filters": {"required_tags": ["war"]}});
    let answer = app.post_json(&path("editor-review"), &request).await.json();
    let elements = &answer["context_metadata"]["receipt"]["elements"];
    assert!(
        elements.as_array().unwrap().iter().any(|it| it["reason"] == "filtered_out"),
        "{elements}"
    );
    request["context_processing_config"]["custom_filters"]["excluded_tags"] = json!(["war"]);
    let answer = app.post_json(&path("editor-review"), &request).await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (422, Some("CONTRADICTORY_FILTERS"))
    );
}

// Conversation.

#[tokio::test]
async fn a_conversation_goes_to_the_model_turn_by_turn_the_oldest_shorter() {
    let turn = |role: &str, number: usize| json!({"role": role, "content": format!("TURN {number}. {}", "Rain fell on it. ".repeat(40))});
    let mut messages: Vec<_> = (0..40)
        .map(|number| turn(if number % 2 == 0 { "user" } else { "assistant" }, number))
        .collect();
    messages.push(json!({"role": "user", "content": "THE QUESTION"}));
    let request = json!({"messages": messages, "agent_type": "writer",
        "system_prompts": {"mainPrefix": "PREFIX"},
        "compose_context": {"story_context": {"theme": "LONELINESS"}, "chapter_draft": "THE DRAFT"}});
    let Scripted { app, script, .. } = Scripted::start(&EXTRACTIVE).await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(answer_with(script, move |request| {
        tell.send(request.clone()).unwrap();
        "Because.".to_owned()
    }));
    let answer = app.post_json(&path("llm-chat"), &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let asked = told.try_recv().unwrap();
    assert_eq!(asked.messages.last().unwrap().content, "THE QUESTION");
    let prompt = prompt_of(&asked);
    for part in ["PREFIX", "LONELINESS", "THE DRAFT", "TURN 39"] {
        assert!(prompt.contains(part), "{part} is missing");
    }
    let told_of = |number: usize| {
        let begin = format!("TURN {number}.");
        let turn = asked.messages.iter().find(|message| message.content.starts_with(&begin));
        turn.map_or(0, |turn| turn.content.len())
    };
    assert!(told_of(39) > 600, "the last turn is whole");
    assert!(told_of(0) < 300, "the first one is told shorter, or not at all");
    assert_eq!(answer.json()["metadata"]["conversationLength"], 41);
    assert_eq!(answer.json()["message"]["role"], "assistant");
}

#[tokio::test]
async fn a_character_in_conversation_knows_no_more_than_elsewhere() {
    let story = json!({
        "plot_elements": [{"type": "scene", "content": "Tom SAW THE FIRE"}, {"type": "twist", "content": "Aria LIED"},
                          {"type": "story_summary", "content": "Tom and Aria: ALL OF IT"}],
        "character_contexts": [{"character_id": "tom", "character_name": "Tom", "memories": ["HIS MOTHER"]},
                               {"character_id": "aria", "character_name": "Aria", "memories": ["HER SECRET"]}],
        "plotContext": {"plotPoint": "THE PLAN"}});
    let mut request = json!({"messages": [{"role": "user", "content": "Who are you?"}], "agent_type": "character",
        "compose_context": {"story_context": story}});
    let (asked_tom, _) = asked("chat/llm", &request).await;
    let prompt = prompt_of(&asked_tom);
    assert!(prompt.contains("SAW THE FIRE") && prompt.contains("HIS MOTHER"), "{prompt}");
    for unknown in ["LIED", "HER SECRET", "THE PLAN"] {
        assert!(!prompt.contains(unknown), "{unknown} is told:\n{prompt}");
    }
    request["character_name"] = "aria".into();
    let (asked_aria, _) = asked("chat/llm", &request).await;
    let prompt = prompt_of(&asked_aria);
    assert!(prompt.contains("HER SECRET") && !prompt.contains("HIS MOTHER"), "{prompt}");
    request["compose_context"]["story_context"] = json!({"secret": "THE END"});
    request.as_object_mut().unwrap().remove("character_name");
    let (asked_nobody, _) = asked("chat/llm", &request).await;
    assert!(!prompt_of(&asked_nobody).contains("THE END"));
}

#[tokio::test]
async fn a_threshold_for_telling_shorter_refuses_and_cuts_nothing_that_fits() {
    let chapter = "Aria walked on and on in the rain. ".repeat(60);
    let request = json!({"currentChapter": chapter, "userRequest": "Let it stop raining.", "structured_context": {},
        "context_processing_config": {"summarization_threshold": 100}});
    let (asked, _) = asked("modify-chapter", &request).await;
    assert!(prompt_of(&asked).contains(chapter.trim()));
}

// Examples.

#[tokio::test]
async fn every_example_matches_its_schema_and_is_accepted_within_the_default_window() {
    let names = [
        ("agentic-modify-chapter", "AgenticModify"),
        ("character-feedback", "CharacterFeedback"),
        ("chat-llm", "Conversation"),
        ("context-preview", "Preview"),
        ("editor-review", "EditorReview"),
        ("editor-review-later-shape", "EditorReview"),
        ("flesh-out", "FleshOut"),
        ("generate-chapter", "GenerateChapter"),
        ("generate-chapter-long", "GenerateChapter"),
        ("generate-chapter-outlines", "ChapterOutline"),
        ("generate-character-details", "CharacterDetails"),
        ("modify-chapter", "ModifyChapter"),
        ("panel", "Panel"),
        ("rater-feedback", "RaterFeedback"),
        ("regenerate-bio", "RegenerateBio"),
        ("validate-phase-transition", "PhaseTransition"),
    ];
    let app = Scripted::fitting("It rained.", &EXTRACTIVE).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let count = std::fs::read_dir(&folder).unwrap().count() - 2; // README.md, personas
    assert_eq!(count, names.len());
    for (file, name) in names {
        let text = std::fs::read_to_string(folder.join(format!("{file}.json"))).unwrap();
        let request: Value = serde_json::from_str(&text).unwrap();
        assert_valid(&format!("{name}Request.json"), &request);
        let endpoint = match file {
            "chat-llm" => "chat/llm",
            "context-preview" => "context/preview",
            "validate-phase-transition" => "validate/phase-transition",
            "editor-review-later-shape" => "editor-review",
            "generate-chapter-long" => "generate-chapter",
            same => same,
        };
        let answer = app.post_json(&path(endpoint), &request).await;
        assert_eq!(answer.status, 200, "{file}: {}", answer.text);
        assert_valid(&format!("{name}Response.json"), &answer.json());
    }
}
