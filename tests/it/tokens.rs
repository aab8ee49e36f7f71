//! The token routes.

use serde_json::json;

use crate::support::{Scripted, TestApp};

async fn app(settings: &[(&str, &str)]) -> TestApp {
    Scripted::answering(&["Text."], settings).await
}

#[tokio::test]
async fn the_documented_request_of_one_text_is_counted() {
    let answer =
        app(&[]).await.post_json("/api/v1/tokens/count", &json!({"text": "Your text here"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    assert_eq!((&body["text"], &body["token_count"]), (&json!("Your text here"), &json!(4)));
    assert_eq!(body["results"][0]["token_count"], 4);
}

#[tokio::test]
async fn strategies_and_content_types_multiply() {
    let app = app(&[("TOKENIZER", "o200k")]).await;
    let text = "tiktoken is great!".repeat(10);
    let body = app
        .post_json(
            "/api/v1/tokens/count",
            &json!({
                "texts": [{"text": text, "content_type": "system_prompt"}, {"text": text}],
                "strategy": "conservative",
            }),
        )
        .await
        .json();
    let base = body["results"][0]["metadata"]["base_count"].as_f64().unwrap();
    assert_eq!(body["results"][0]["token_count"].as_f64().unwrap(), (base * 1.25 * 1.15).floor());
    assert_eq!(body["results"][1]["content_type"], "narrative");
    assert_eq!(body["results"][1]["metadata"]["auto_detected_type"], true);
    assert_eq!(body["results"][1]["metadata"]["tokenizer_used"], "o200k");
    assert_eq!(body["summary"]["total_texts"], 2);
    assert_eq!(body["summary"]["tokenizer_ready"], true);
    assert_eq!(
        body["summary"]["content_type_distribution"],
        json!({"narrative": 1, "system_prompt": 1})
    );
}

#[tokio::test]
async fn a_budget_is_checked() {
    let app = app(&[]).await;
    let body = app
        .post_json(
            "/api/v1/tokens/validate",
            &json!({"texts": ["word ".repeat(100)], "budget": 100}),
        )
        .await
        .json();
    assert_eq!(body["fits_budget"], false);
    assert_eq!(body["strategy_used"], "conservative");
    let (total, over) =
        (body["total_tokens"].as_u64().unwrap(), body["overflow_tokens"].as_u64().unwrap());
    assert_eq!(total - over, 100);
    assert_eq!(body["remaining_tokens"], 0);
}

#[tokio::test]
async fn faults_come_in_the_token_routes_own_shape() {
    let app = app(&[]).await;
    for (path, body) in [
        ("count", json!({})),
        ("count", json!({"texts": []})),
        ("count", json!({"texts": vec![json!({"text": "x"}); 51]})),
        ("count", json!({"text": "x".repeat(100_001)})),
        ("count", json!({"texts": [{"text": "x", "content_type": "poem"}]})),
        ("count", json!({"text": "x", "strategy": "wild"})),
        ("validate", json!({"texts": ["x"], "budget": 0})),
        ("validate", json!({"texts": ["x"], "budget": -5})),
        ("validate", json!({"texts": ["x"]})),
    ] {
        let answer = app.post_json(&format!("/api/v1/tokens/{path}"), &body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text);
        let fault = answer.json();
        assert_eq!(fault["success"], false);
        assert!(fault["error"].is_string() && fault["details"]["errors"].is_array(), "{fault}");
    }
}

#[tokio::test]
async fn strategies_and_limits_follow_the_settings() {
    let app = app(&[("CONTEXT_LAYER_A_TOKENS", "1000")]).await;
    let strategies = app.get("/api/v1/tokens/strategies").await.json();
    assert_eq!(strategies["strategies"]["conservative"]["multiplier"], 1.25);
    assert_eq!(strategies["default_strategy"], "exact");
    assert_eq!(strategies["content_types"].as_array().unwrap().len(), 8);
    assert_eq!(
        strategies["batch_limits"],
        json!({"max_texts_per_request": 50, "max_text_size_bytes": 100_000})
    );
    let limits = app.get("/api/v1/tokens/limits").await.json();
    let limits = &limits["token_limits"];
    assert_eq!(limits["llm_context_window"], 4096);
    assert_eq!(limits["context_management"]["layer_limits"]["system_instructions"], 1000);
    assert_eq!(limits["recommended_limits"]["system_prompt_prefix"], 250);
    assert_eq!(limits["recommended_limits"]["writing_assistant_prompt"], 500);
}

#[tokio::test]
async fn a_hundred_thousand_letters_without_a_space_are_counted() {
    let app = app(&[("TOKENIZER", "cl100k")]).await;
    let answer = app.post_json("/api/v1/tokens/count", &json!({"text": "a".repeat(100_000)})).await;
    assert_eq!(answer.status, 200);
}
