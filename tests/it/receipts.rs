//! Receipts asked for by id.

use crate::support::{Scripted, documented_request};

const CHAPTER: &str = "/api/v1/generate-chapter";

#[tokio::test]
async fn a_receipt_can_be_asked_for_by_its_id() {
    let app = Scripted::answering(&["Text."], &[]).await;
    let answer = app.post_json(CHAPTER, documented_request()).await.json();
    let receipt = &answer["context_metadata"]["receipt"];
    let id = receipt["id"].as_str().unwrap();
    let found = app.get(&format!("/api/v1/receipts/{id}")).await;
    assert_eq!(found.status, 200);
    assert_eq!(&found.json(), receipt);
}

#[tokio::test]
async fn an_unknown_receipt_is_not_found() {
    let app = Scripted::answering(&["Text."], &[]).await;
    for id in ["nonsense", "00000000-0000-0000-0000-000000000000", "..%2F..%2Fetc%2Fpasswd"] {
        let answer = app.get(&format!("/api/v1/receipts/{id}")).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (404, Some("NOT_FOUND")));
    }
}

#[tokio::test]
async fn only_the_newest_are_kept() {
    let app = Scripted::answering(&["Text."], &[("RECEIPTS_KEPT", "2")]).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let answer = app.post_json(CHAPTER, documented_request()).await.json();
        ids.push(answer["context_metadata"]["receipt"]["id"].as_str().unwrap().to_owned());
    }
    // The clock stands still here, so "newest" is by the ids' random part.
    let mut kept = 0;
    for id in ids {
        kept += usize::from(app.get(&format!("/api/v1/receipts/{id}")).await.status == 200);
    }
    assert_eq!(kept, 2);
}

#[tokio::test]
async fn nothing_is_kept_where_monitoring_is_off() {
    let app = Scripted::answering(&["Text."], &[("CONTEXT_ENABLE_MONITORING", "false")]).await;
    let answer = app.post_json(CHAPTER, documented_request()).await.json();
    let id = answer["context_metadata"]["receipt"]["id"].as_str().unwrap().to_owned();
    let found = app.get(&format!("/api/v1/receipts/{id}")).await;
    assert_eq!(found.status, 404);
    assert!(found.text.contains("CONTEXT_ENABLE_MONITORING"), "{}", found.text);
}
