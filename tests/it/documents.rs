//! The documentation, and that it describes what is served.

use std::path::Path;

use serde_json::Value;

use crate::support::{Scripted, TestApp, documented_request};

async fn app() -> TestApp {
    Scripted::answering(&["Text."], &[]).await
}

#[tokio::test]
async fn the_docs_page_needs_no_network() {
    let app = app().await;
    let page = app.get("/docs").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html");
    assert!(!page.text.contains("https://") && !page.text.contains("src=\"//"), "{}", page.text);
    for script in ["swagger-ui-bundle.js", "swagger-ui.css", "swagger-initializer.js"] {
        let file = app.get(&format!("/docs/{script}")).await;
        assert_eq!(file.status, 200, "{script}");
    }
    let initializer = app.get("/docs/swagger-initializer.js").await;
    assert!(initializer.text.contains("/api/v1/openapi.json"), "{}", initializer.text);
    assert_eq!(app.get("/docs/missing.js").await.status, 404);
}

#[tokio::test]
async fn every_reference_in_openapi_resolves() {
    let document = app().await.get("/api/v1/openapi.json").await.json();
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect_references<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            into.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|field| collect_references(field, into));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, into)),
        _ => {}
    }
}

#[tokio::test]
async fn the_api_prefix_is_a_setting() {
    let app = Scripted::answering(&["Text."], &[("API_V1_STR", "/writer")]).await;
    let document = app.get("/writer/openapi.json").await.json();
    assert!(document["paths"]["/writer/generate-chapter"].is_object());
    let answer = app.post_json("/writer/generate-chapter", documented_request()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// A schema file, compiled.
fn validator(name: &str) -> jsonschema::Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(name);
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

pub(crate) fn assert_valid(schema: &str, value: &Value) {
    let faults: Vec<_> = validator(schema).iter_errors(value).map(|e| e.to_string()).collect();
    assert!(faults.is_empty(), "{schema}: {faults:?}\n{value}");
}

#[tokio::test]
async fn what_goes_over_the_wire_matches_the_schemas() {
    let app = app().await;
    assert_valid("GenerateChapterRequest.json", &documented_request());
    for event in app.events("/api/v1/generate-chapter", documented_request()).await {
        assert_valid("GenerateChapterEvent.json", &event);
        if event["type"] == "result" {
            assert_valid("GenerateChapterResponse.json", &event["data"]);
            assert_valid("Receipt.json", &event["data"]["context_metadata"]["receipt"]);
        }
    }
    assert_valid("Health.json", &app.get("/health").await.json());
    assert_valid("ServerInfo.json", &app.get("/").await.json());
    assert_valid("TokenStrategies.json", &app.get("/api/v1/tokens/strategies").await.json());
    assert_valid("TokenLimits.json", &app.get("/api/v1/tokens/limits").await.json());
    let counted = app.post("/api/v1/tokens/count", r#"{"text": "x"}"#).await.json();
    assert_valid("TokenCountResponse.json", &counted);
    let refused = app.post("/api/v1/tokens/count", "{}").await.json();
    assert_valid("TokenError.json", &refused);
    let problem = app.post("/api/v1/generate-chapter", "{}").await.json();
    assert_valid("Problem.json", &problem);
}

#[tokio::test]
async fn what_the_docs_suggest_to_try_works() {
    let app = Scripted::fitting("Aria ran.", &[]).await;
    let document = app.get("/api/v1/openapi.json").await.json();
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let body = &methods["post"]["requestBody"]["content"]["application/json"];
        // What is remembered, or an account, must be there first, and cards are files; tests of their
        // own try these.
        let tag = methods["post"]["tags"][0].as_str().unwrap_or_default();
        let is_tried_here = !["memory", "personas", "account", "companion"].contains(&tag);
        if body.is_object() && is_tried_here {
            assert!(body["example"].is_object(), "{path} has no example");
            let answer = app.post_json(path, &body["example"]).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text);
            tried += 1;
        }
    }
    assert_eq!(tried, 35);
}

/// Method and path of a line such as `curl -X DELETE http://127.0.0.1:8000/v1/x?y -d '{}'`.
fn asked_by_curl(line: &str) -> Option<(&str, &str)> {
    let rest = line.split_once("http://127.0.0.1:8000").or_else(|| line.split_once("$U"))?.1;
    let path = rest.split([' ', '?', '\'', '"', '`']).next()?;
    let says_method = line.split_once("-X ").and_then(|(_, rest)| rest.split(' ').next());
    let has_body = [" -d ", " -F ", " --data-binary "].iter().any(|flag| line.contains(flag));
    let method = says_method.unwrap_or(if has_body { "POST" } else { "GET" });
    Some((method, if path.is_empty() { "/" } else { path }))
}

fn is_path_of(template: &str, path: &str) -> bool {
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(step, name)| step == name || step.starts_with('{'))
}

#[tokio::test]
async fn every_operation_stands_in_the_readme_as_a_curl_line() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).unwrap().replace("\\\n", " ");
    let asked: Vec<_> =
        readme.lines().filter(|line| line.contains("curl ")).filter_map(asked_by_curl).collect();
    let document = app().await.get("/api/v1/openapi.json").await.json();
    let mut missing = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        // The same as elsewhere, or no HTTP.
        if path.starts_with("/s/{session}") || path.starts_with("/ws/") {
            continue;
        }
        for (method, operation) in methods.as_object().unwrap() {
            let about = operation["summary"].as_str().unwrap_or_default();
            let is_asked = asked
                .iter()
                .any(|(asked, of)| asked.eq_ignore_ascii_case(method) && is_path_of(path, of));
            if !is_asked && !about.starts_with("The same as") {
                missing.push(format!("{method} {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "the README has no curl line for {missing:#?}");
}
