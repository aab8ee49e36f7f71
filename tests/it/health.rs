//! `GET /`, `GET /health`, and cross-origin rules.

use rhapsode::engine::EngineState;

use crate::support::Scripted;

#[tokio::test]
async fn health_is_always_200_and_tells_about_the_model() {
    let Scripted { app, engine, .. } = Scripted::start(&[]).await;
    let ready = app.get("/health").await;
    assert_eq!(ready.status, 200);
    let ready = ready.json();
    assert_eq!(ready["status"], "healthy");
    assert_eq!((&ready["llm_available"], &ready["llm_loading"]), (&true.into(), &false.into()));
    assert!(ready["llm_error"].is_null());
    assert_eq!(ready["engine"]["state"], "ready");
    assert_eq!(ready["engine"]["window"], 4096);

    engine.set_status(|status| {
        status.state = EngineState::Failed;
        status.error = Some("no such file".to_owned());
    });
    let failed = app.get("/health").await;
    assert_eq!(failed.status, 200);
    assert_eq!(failed.json()["llm_error"], "no such file");
}

#[tokio::test]
async fn the_root_names_the_model_state_in_the_contracts_words() {
    let Scripted { app, engine, .. } = Scripted::start(&[]).await;
    for (state, words) in [
        (EngineState::Loading, "loading"),
        (EngineState::Ready, "available"),
        (EngineState::Absent, "not configured"),
        (EngineState::Failed, "error: broken"),
    ] {
        engine.set_status(|status| {
            status.state = state;
            status.error = Some("broken".to_owned());
        });
        let root = app.get("/").await.json();
        assert_eq!(root["llm_status"], words);
        assert!(root["message"].is_string() && root["version"].is_string());
    }
}

#[tokio::test]
async fn the_editors_origin_may_call_and_others_may_not() {
    let Scripted { app, .. } = Scripted::start(&[]).await;
    let preflight = |origin: &'static str| {
        app.client
            .request(reqwest::Method::OPTIONS, format!("{}/api/v1/generate-chapter", app.base))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,x-anything")
            .send()
    };
    let allowed = preflight("http://localhost:4200").await.unwrap();
    assert_eq!(allowed.headers()["access-control-allow-origin"], "http://localhost:4200");
    assert_eq!(allowed.headers()["access-control-allow-credentials"], "true");
    assert_eq!(allowed.headers()["access-control-allow-methods"], "POST");
    assert_eq!(allowed.headers()["access-control-allow-headers"], "content-type,x-anything");
    let refused = preflight("http://elsewhere.example").await.unwrap();
    assert!(!refused.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn a_star_lets_every_origin_in() {
    let Scripted { app, .. } = Scripted::start(&[("CORS_ORIGINS", "*")]).await;
    let request =
        app.client.get(format!("{}/health", app.base)).header("origin", "http://a.example");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "http://a.example");
}
