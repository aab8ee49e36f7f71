//! A novel in a window of 8,192 tokens: *Alice's Adventures in Wonderland* cut into 60 plot elements,
//! with 12 characters.

use std::collections::BTreeSet;

use rhapsode::engine::{Engine, FinishReason};
use rhapsode::tokens::TokenCount;
use serde_json::{Value, json};

use crate::engine_llama::{settings, wait_until_loaded};
use crate::support::{Scripted, TestApp, fitting, prompt_of};

const ALICE: &str = include_str!("data/alice.txt");
const PATH: &str = "/api/v1/generate-chapter";
const WINDOW: usize = 8_192;
const HIGH: [usize; 3] = [0, 30, 59];
/// Sentences are compared by their words: quick, and what a server without an embedder does.
const LEXICAL: [(&str, &str); 1] = [("MODELS_DIR", "nowhere")];

/// The novel in pieces of about the same size that end with a paragraph.
fn pieces(count: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut passed = 0;
    for paragraph in ALICE.split("\n\n") {
        if passed * count / ALICE.len() >= pieces.len() {
            pieces.push(String::new());
        }
        passed += paragraph.len() + 2;
        let piece = pieces.last_mut().unwrap();
        piece.push_str(&paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
        piece.push_str("\n\n");
    }
    pieces
}

fn request() -> Value {
    let pieces = pieces(60);
    assert_eq!(pieces.len(), 60);
    let elements = (0..).zip(&pieces).map(|(at, piece)| {
        let priority = if HIGH.contains(&at) { "high" } else { "medium" };
        let content = if HIGH.contains(&at) { &piece[..=piece.find('.').unwrap()] } else { piece };
        json!({"id": format!("scene-{at}"), "type": "scene", "content": content, "priority": priority})
    });
    let names = [
        "Alice",
        "White Rabbit",
        "Mouse",
        "Dodo",
        "Bill",
        "Caterpillar",
        "Duchess",
        "Cheshire Cat",
        "Hatter",
        "March Hare",
        "Queen of Hearts",
        "Mock Turtle",
    ];
    let characters = names.map(|name| {
        let memory = ALICE.split_inclusive(". ").find(|it| it.contains(name)).unwrap_or(name);
        json!({"character_id": name, "character_name": name, "memories": [memory], "goals": ["to be left alone"]})
    });
    json!({
    "plotPoint": "Alice tells her sister of her dream.",
    "structured_context": {
        "plot_elements": elements.collect::<Vec<_>>(),
        "character_contexts": characters,
    }})
}

/// Words with a capital letter in the middle of a sentence, and digits; the plain way, not the
/// server's own.
fn names_and_numbers(text: &str) -> BTreeSet<String> {
    let words: Vec<_> = text.split_whitespace().collect();
    let lower: BTreeSet<_> = ALICE.split(|c: char| !c.is_alphabetic()).collect();
    let mut found = BTreeSet::new();
    for pair in words.windows(2) {
        let begins = pair[0].ends_with(['.', '!', '?', ':', '\'', '"', '-', '*', ')']);
        let word = pair[1].trim_matches(|c: char| !c.is_alphanumeric());
        let word = word.trim_end_matches("'s");
        let first = word.chars().next();
        let is_number = first.is_some_and(|c| c.is_ascii_digit());
        let is_name = first.is_some_and(char::is_uppercase)
            && word.len() > 2
            && word.chars().skip(1).all(char::is_lowercase)
            && pair[1].starts_with(char::is_alphanumeric);
        let is_also_a_word = || lower.contains(word.to_lowercase().as_str());
        if is_number || (is_name && !begins && !is_also_a_word()) {
            found.insert(word.to_owned());
        }
    }
    found
}

/// The receipt of one request, and the prompt.
async fn assembled(app: &TestApp, request: &Value) -> (Value, u64) {
    let receipt = app.receipt_once_writing(PATH, request).await;
    let tokens = receipt["prompt"]["tokens"].as_u64().unwrap();
    (receipt, tokens)
}

fn elements<'a>(receipt: &'a Value, outcome: &str) -> Vec<&'a Value> {
    let all = receipt["elements"].as_array().unwrap();
    all.iter().filter(|it| it["outcome"] == outcome).collect()
}

fn assert_it_holds(receipt: &Value, prompt_tokens: u64) {
    let reserved = receipt["budget"]["reserved_for_answer"].as_u64().unwrap();
    assert!(prompt_tokens + reserved <= WINDOW as u64, "{prompt_tokens} and {reserved}");
    for at in HIGH {
        let element = &receipt["elements"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["id"] == format!("scene-{at}"));
        assert_eq!(element.unwrap()["outcome"], "kept", "scene-{at}");
    }
    // What is told shorter, one by one or together, keeps its names and numbers.
    let all = receipt["elements"].as_array().unwrap();
    let accounts: Vec<_> =
        all.iter().map(|it| &it["distilled"]).filter(|it| it.is_object()).collect();
    assert!(!accounts.is_empty());
    let qualities: Vec<_> = accounts.iter().map(|it| it["quality"].as_f64().unwrap()).collect();
    assert!(qualities.iter().all(|&quality| quality >= 0.95), "{qualities:?}");
    // Nothing is lost in silence: what is not in by itself is told with others.
    assert!(elements(receipt, "dropped").is_empty(), "{:?}", elements(receipt, "dropped"));
    for told in all.iter().filter(|it| it["told_by"].is_string()) {
        let teller =
            all.iter().find(|it| it["id"] == told["told_by"]).expect("the teller is there");
        assert_eq!(teller["outcome"], "kept");
    }
}

#[tokio::test]
async fn a_novel_fits_the_window_with_all_that_must_be_in_and_its_names() {
    let Scripted { app, mut script, .. } = Scripted::with_window(WINDOW, &LEXICAL).await;
    let request = request();
    let mut receipts = Vec::new();
    for _ in 0..2 {
        let ((receipt, tokens), prompt) = tokio::join!(assembled(&app, &request), async {
            let mut call = script.next_call().await.unwrap();
            call.text(&fitting(&call.request, "Text."));
            let prompt = prompt_of(&call.request);
            call.finish(FinishReason::Stop);
            prompt
        });
        assert_it_holds(&receipt, tokens);
        assert!(prompt.contains("Alice was beginning to get very tired"));
        let elements = request["structured_context"]["plot_elements"].as_array().unwrap();
        let distilled = receipt["elements"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|it| it["outcome"] == "distilled");
        let sources: Vec<_> = distilled
            .filter_map(|it| elements.iter().find(|element| element["id"] == it["id"]))
            .map(|element| element["content"].as_str().unwrap())
            .collect();
        let told = names_and_numbers(&prompt);
        let all: BTreeSet<_> = sources.iter().flat_map(|text| names_and_numbers(text)).collect();
        let missing: Vec<_> = all.difference(&told).collect();
        assert!(missing.len() * 20 <= all.len(), "of {} are missing: {missing:?}", all.len());
        receipts.push((receipt, prompt));
    }
    // The second time nothing is made anew, and the prompt is the same to the letter.
    let (again, prompt) = &receipts[1];
    for element in again["elements"].as_array().unwrap() {
        if element["distilled"].is_object() {
            assert_eq!(element["distilled"]["cached"], true, "{}", element["id"]);
        }
    }
    assert_eq!(*prompt, receipts[0].1);
}

#[tokio::test]
async fn the_real_tokenizer_agrees_and_the_second_request_finds_its_prefix() {
    let mut settings = settings();
    settings.window = TokenCount::new(WINDOW);
    let engine =
        std::sync::Arc::new(rhapsode::engine::llama::LlamaEngine::start(settings).unwrap());
    wait_until_loaded(&engine);
    let app = TestApp::start(engine as std::sync::Arc<dyn Engine>, &LEXICAL).await;
    let request = request();
    for is_first in [true, false] {
        let (receipt, tokens) = assembled(&app, &request).await;
        assert_it_holds(&receipt, tokens);
        let cached = receipt["prompt"]["predicted_cached_tokens"].as_u64().unwrap();
        assert_eq!(cached + 1 >= tokens, !is_first, "{cached} of {tokens}");
    }
}

#[tokio::test]
async fn a_preview_tells_what_each_window_would_hold_without_asking_the_model() {
    let Scripted { app, mut script, .. } = Scripted::with_window(WINDOW, &LEXICAL).await;
    let mut request = request();
    for agent in ["writer", "editor", "rater", "character", "worldbuilding"] {
        request["agent"] = agent.into();
        let answer = app.post_json("/api/v1/context/preview", &request).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let previews = answer.json()["previews"].as_array().unwrap().clone();
        let windows: Vec<_> = previews.iter().map(|it| it["window"].as_u64().unwrap()).collect();
        assert_eq!(windows, [4096, 8192, 16384, 32768]);
        for preview in &previews {
            let receipt = &preview["receipt"];
            assert_eq!(receipt["agent"], agent);
            let tokens = receipt["prompt"]["tokens"].as_u64().unwrap();
            assert!(tokens <= preview["window"].as_u64().unwrap());
        }
        let kept = |preview: &Value| elements(&preview["receipt"], "kept").len();
        assert!(kept(&previews[0]) <= kept(&previews[3]), "{agent}");
    }
    tokio::select! {
        biased;
        _ = script.next_call() => panic!("the model was asked"),
        () = std::future::ready(()) => {}
    }
}

#[tokio::test]
async fn a_preview_says_what_does_not_fit_at_all() {
    let Scripted { app, .. } = Scripted::start(&[]).await;
    let content = "Rain fell on the roof. ".repeat(200);
    let request = json!({"windows": [1024, 8192], "structured_context": {"plot_elements": [
        {"type": "scene", "content": content, "priority": "high"}]}});
    let answer = app.post_json("/api/v1/context/preview", &request).await.json();
    assert!(answer["previews"][0]["error"].as_str().unwrap().contains("must be in the prompt"));
    assert!(answer["previews"][1]["receipt"].is_object());
}
