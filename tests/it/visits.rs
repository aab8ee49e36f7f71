//! Sessions of visitors, over HTTP and WebSocket, with a real WebSocket client.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rhapsode::engine::FinishReason;
use rhapsode::tokens::TokenCount;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::accounts::ask;
use crate::documents::assert_valid;
use crate::support::{PATIENCE, Scripted, TestApp, prompt_of};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(app: &TestApp, user: &str) -> Socket {
    let url = format!("{}/ws/chat/{user}", app.base.replace("http://", "ws://"));
    timeout(PATIENCE, connect_async(url)).await.unwrap().unwrap().0
}

async fn send(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

/// The next event; pings are answered by the client itself.
async fn event(socket: &mut Socket) -> Value {
    loop {
        match timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Text(text) => {
                let event = serde_json::from_str(&text).unwrap();
                assert_valid("SocketEvent.json", &event);
                return event;
            }
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn close_code(socket: &mut Socket) -> CloseCode {
    loop {
        match timeout(PATIENCE, socket.next()).await.unwrap() {
            Some(Ok(Message::Close(Some(frame)))) => return frame.code,
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn start(app: &TestApp, user: &str, persona: &str) -> Value {
    let answer =
        app.post_json("/session/start", json!({ "user_id": user, "persona": persona })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_begun_spoken_in_shown_and_cleared() {
    let app = Scripted::answering(&["I ", "hear you."], &[]).await;
    let body =
        json!({ "user_id": "kiosk/7", "persona": "supportive_coach", "metadata": { "room": 7 } });
    let begun = app.post_json("/session/start", &body).await.json();
    assert_valid("SessionOpen.json", &begun);
    assert_eq!(begun["persona"], "supportive_coach");
    assert_eq!(begun["metadata"], json!({ "room": 7 }));
    let answer =
        app.post_json("/chat", json!({ "user_id": "kiosk/7", "message": "Hello." })).await.json();
    assert_valid("SessionReply.json", &answer);
    assert_eq!(
        (&answer["response"], &answer["user_id"]),
        (&json!("I hear you."), &json!("kiosk/7"))
    );
    assert_eq!(answer["session_id"], begun["session_id"]);
    let again = app.post_json("/session/start", &body).await.json();
    assert_eq!(again["session_id"], begun["session_id"], "an open session goes on");
    assert!(again["message_count"].as_u64().unwrap() >= 2);
    let history = app.get("/session/kiosk%2F7/history").await;
    assert_valid("SessionHistory.json", &history.json());
    let history = history.json();
    let last = history["messages"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["role"], &last["content"]), (&json!("assistant"), &json!("I hear you.")));
    let active = app.get("/sessions/active").await.json();
    assert_valid("ActiveSessions.json", &active);
    assert_eq!(active, json!({ "active_users": ["kiosk/7"], "count": 1 }));
    let cleared = ask(&app, "delete", "/session/kiosk%2F7/clear", &[], &Value::Null).await;
    assert_valid("SessionCleared.json", &cleared.json());
    assert_eq!(cleared.json()["status"], "success");
    assert_eq!(app.get("/session/kiosk%2F7/history").await.status, 404);
    let none = ask(&app, "delete", "/session/kiosk%2F7/clear", &[], &Value::Null).await;
    assert_eq!(none.status, 404);
    // One is made where none is.
    let made =
        app.post_json("/chat", json!({ "user_id": "new", "message": "Hello." })).await.json();
    assert_eq!(made["persona"], "mental_health_nurse");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_told_what_is_wrong() {
    let app = Scripted::answering(&["I see."], &[]).await;
    for (path, body, status, told) in [
        ("/session/start", json!({ "user_id": "bo", "persona": "x" }), 400, "Unknown persona: x"),
        ("/session/start", json!({ "user_id": " " }), 422, "user_id"),
        ("/session/start", json!({}), 422, "user_id"),
        ("/session/start", json!({ "user_id": "bo", "metadata": 3 }), 422, "metadata"),
        ("/chat", json!({ "user_id": "bo" }), 422, "message"),
        ("/chat", json!({ "user_id": "bo", "message": "" }), 422, "message"),
        (
            "/api/chat",
            json!({ "session_id": "none", "user_message": "Hi." }),
            404,
            "Session not found",
        ),
        ("/api/chat", json!({ "user_message": "Hi." }), 422, "session_id"),
    ] {
        let answer = app.post_json(path, &body).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text);
        assert!(answer.text.contains(told), "{path} {body}: {}", answer.text);
    }
    let plain = app.get("/ws/chat/bo").await;
    assert_eq!(plain.status, 400);
    assert!(plain.text.contains("WebSocket"), "{}", plain.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_expire_and_a_user_has_so_many() {
    let app = Scripted::answering(
        &["I see."],
        &[("SESSION_TIMEOUT", "60"), ("MAX_SESSIONS_PER_USER", "2")],
    )
    .await;
    let first = start(&app, "bo", "supportive_coach").await;
    start(&app, "bo", "mental_health_nurse").await;
    let third =
        app.post_json("/api/session/create", json!({ "user_id": "bo", "persona": "sarah" })).await;
    assert_eq!(third.status, 429, "{}", third.text);
    assert!(third.text.contains("MAX_SESSIONS_PER_USER"), "{}", third.text);
    start(&app, "another", "sarah").await;
    app.post_json("/chat", json!({ "user_id": "bo", "message": "My secret is Zyzzyva." })).await;

    app.clock.advance(Duration::from_secs(59));
    assert_eq!(app.get("/session/bo/history").await.status, 200);
    app.clock.advance(Duration::from_secs(2));
    assert_eq!(app.get("/session/bo/history").await.status, 404);
    assert_eq!(app.get("/sessions/active").await.json()["count"], 0);
    let body = json!({ "session_id": first["session_id"], "user_message": "Hi." });
    assert_eq!(app.post_json("/api/chat", &body).await.status, 404);
    // What was said is deleted beside the next that begins.
    let anew = start(&app, "bo", "supportive_coach").await;
    assert_ne!(anew["session_id"], first["session_id"]);
    let holds = |word: &[u8]| {
        let database = std::fs::read(app.folder().join("rhapsode.db")).unwrap();
        database.windows(word.len()).any(|part| part == word)
    };
    let deleted = async {
        while holds(b"Zyzzyva") {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, deleted).await.expect("what was said is deleted");
    assert!(holds(b"supportive_coach"), "the search finds what is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_hold_the_newest_messages_and_each_of_them_once() {
    let Scripted { app, mut script, .. } =
        Scripted::start(&[("MAX_CONTEXT_MESSAGES", "4"), ("RAG_TOP_K", "0")]).await;
    start(&app, "bo", "supportive_coach").await;
    for turn in 0..5_usize {
        let talking = app
            .post_json("/chat", json!({ "user_id": "bo", "message": format!("Message {turn}.") }));
        let answering = async {
            let mut call = script.next_call().await.unwrap();
            let prompt = prompt_of(&call.request);
            call.text(&format!("Answer {turn}."));
            call.finish(FinishReason::Stop);
            prompt
        };
        let (answer, prompt) = tokio::join!(talking, answering);
        assert_eq!(answer.status, 200);
        assert_eq!(prompt.matches(&format!("Message {turn}.")).count(), 1, "{prompt}");
        // Four messages, this one among them.
        let told = |what: &str| {
            let is_told = |it: &usize| prompt.contains(&format!("{what} {it}."));
            (0..turn).filter(is_told).collect::<Vec<_>>()
        };
        assert_eq!(told("Message"), (turn.saturating_sub(1)..turn).collect::<Vec<_>>(), "{prompt}");
        assert_eq!(told("Answer"), (turn.saturating_sub(2)..turn).collect::<Vec<_>>(), "{prompt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_through_a_socket_piece_by_piece() {
    let app = Scripted::answering(&["I ", "hear ", "you."], &[]).await;
    start(&app, "bo", "supportive_coach").await;
    let mut socket = connect(&app, "bo").await;
    for _ in 0..2 {
        send(&mut socket, json!({ "text": "Hello." })).await;
        let mut text = String::new();
        let last = loop {
            let event = event(&mut socket).await;
            match event["type"].as_str().unwrap() {
                "chunk" => text.push_str(event["content"].as_str().unwrap()),
                _ => break event,
            }
        };
        assert_eq!(last["type"], "complete");
        assert_eq!(last["response"], "I hear you.");
        assert_eq!(text, "I hear you.");
    }
    assert_eq!(
        app.get("/session/bo/history").await.json()["messages"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|it| it["role"] == "user")
            .count(),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_without_a_session_is_told_and_closed() {
    let app = Scripted::answering(&["I see."], &[]).await;
    let mut socket = connect(&app, "nobody").await;
    send(&mut socket, json!({ "text": "Hello?" })).await;
    assert_eq!(
        event(&mut socket).await,
        json!({ "type": "error", "message": "Session not found" })
    );
    assert_eq!(close_code(&mut socket).await, CloseCode::Policy);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_answer_at_a_time_and_stop_ends_it() {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    start(&app, "bo", "supportive_coach").await;
    let mut socket = connect(&app, "bo").await;
    send(&mut socket, json!({ "type": "stop" })).await;
    send(&mut socket, json!({ "text": "Tell me a long story." })).await;
    let mut call = script.next_call().await.unwrap();
    call.start(TokenCount::ZERO);
    call.text("Once upon ");
    assert_eq!(event(&mut socket).await["content"], "Once upon ");
    send(&mut socket, json!({ "text": "And another." })).await;
    let refused = event(&mut socket).await;
    assert_eq!(refused["type"], "error");
    assert!(refused["message"].as_str().unwrap().contains("stop"), "{refused}");
    call.text("a time");
    assert_eq!(event(&mut socket).await["content"], "a time");
    send(&mut socket, json!({ "type": "stop" })).await;
    let last = event(&mut socket).await;
    assert_eq!(
        last,
        json!({ "type": "complete", "response": "Once upon a time", "stopped": true })
    );
    timeout(PATIENCE, call.cancelled()).await.unwrap();
    // The next is answered, and knows what was said so far.
    send(&mut socket, json!({ "text": "Go on." })).await;
    let mut call = script.next_call().await.unwrap();
    assert!(prompt_of(&call.request).contains("Once upon a time"));
    call.text("The end.");
    call.finish(FinishReason::Stop);
    assert_eq!(event(&mut socket).await["content"], "The end.");
    assert_eq!(event(&mut socket).await["type"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_socket_stops_its_answer_and_keeps_what_was_said() {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    start(&app, "bo", "supportive_coach").await;
    let mut socket = connect(&app, "bo").await;
    send(&mut socket, json!({ "text": "Tell me a long story." })).await;
    let mut call = script.next_call().await.unwrap();
    call.start(TokenCount::ZERO);
    call.text("Once upon ");
    event(&mut socket).await;
    drop(socket);
    timeout(PATIENCE, call.cancelled()).await.unwrap();
    let kept = async {
        loop {
            let history = app.get("/session/bo/history").await.json();
            let last = history["messages"].as_array().unwrap().last().cloned().unwrap_or_default();
            if last["content"] == "Once upon" || last["content"] == "Once upon " {
                return last;
            }
            tokio::task::yield_now().await;
        }
    };
    let last = timeout(PATIENCE, kept).await.unwrap();
    assert_eq!(last["metadata"]["interrupted"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_told_so_and_what_is_too_large_ends_the_connection() {
    let app = Scripted::answering(&["I see."], &[]).await;
    start(&app, "bo", "supportive_coach").await;
    let mut socket = connect(&app, "bo").await;
    for message in ["not json", "{}", "[]", r#"{"text": 3}"#, r#"{"text": "  "}"#] {
        socket.send(Message::text(message)).await.unwrap();
        let told = event(&mut socket).await;
        assert_eq!(told["type"], "error", "{message}");
        assert!(told["message"].as_str().unwrap().contains("send {\"text\""), "{told}");
    }
    send(&mut socket, json!({ "text": "x".repeat(5_001) })).await;
    let told = event(&mut socket).await;
    assert!(told["message"].as_str().unwrap().contains("5000"), "{told}");
    send(&mut socket, json!({ "text": "Hello." })).await;
    assert_eq!(event(&mut socket).await["type"], "chunk");
    assert_eq!(event(&mut socket).await["type"], "complete");
    socket.send(Message::text("x".repeat(40_000))).await.unwrap();
    assert_eq!(close_code(&mut socket).await, CloseCode::Size);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_model_is_told_and_a_stopping_server_says_goodbye() {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    start(&app, "bo", "supportive_coach").await;
    let mut idle = connect(&app, "bo").await;
    let mut socket = connect(&app, "bo").await;
    send(&mut socket, json!({ "text": "Hello." })).await;
    let mut call = script.next_call().await.unwrap();
    call.start(TokenCount::ZERO);
    call.text("Well");
    event(&mut socket).await;
    // The answer is let finish; whoever waits for nothing is sent home at once.
    app.stop.cancel();
    assert_eq!(close_code(&mut idle).await, CloseCode::Away);
    call.finish(FinishReason::Stop);
    assert_eq!(event(&mut socket).await["type"], "complete");
    assert_eq!(close_code(&mut socket).await, CloseCode::Away);
    timeout(PATIENCE, app.server).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_server_closes_the_socket_with_1011() {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    start(&app, "bo", "supportive_coach").await;
    let mut socket = connect(&app, "bo").await;
    send(&mut socket, json!({ "text": "Hello." })).await;
    let call = script.next_call().await.unwrap();
    drop(call);
    assert_eq!(event(&mut socket).await["type"], "error");
    assert_eq!(close_code(&mut socket).await, CloseCode::Error);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_idle_and_fifty_talking_sockets_are_all_served() {
    let app = Scripted::answering(&["I ", "hear ", "you."], &[("LLM_QUEUE_SIZE", "100")]).await;
    for user in 0..50 {
        start(&app, &format!("talker-{user}"), "supportive_coach").await;
    }
    let mut idle = Vec::new();
    for user in 0..500 {
        idle.push(connect(&app, &format!("idle-{user}")).await);
    }
    let talking = (0..50).map(async |user| {
        let mut socket = connect(&app, &format!("talker-{user}")).await;
        for _ in 0..3 {
            send(&mut socket, json!({ "text": "Hello." })).await;
            while event(&mut socket).await["type"] != "complete" {}
        }
    });
    futures_util::future::join_all(talking).await;
    // None was dropped: each still answers.
    for socket in &mut idle {
        send(socket, json!({ "type": "what" })).await;
        assert_eq!(event(socket).await["type"], "error");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_hears_a_stop_while_its_turn_waits() {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    start(&app, "bo", "supportive_coach").await;
    let (mut first, mut second) = (connect(&app, "bo").await, connect(&app, "bo").await);
    send(&mut first, json!({ "text": "Tell me a long story." })).await;
    let mut call = script.next_call().await.unwrap();
    call.start(TokenCount::ZERO);
    call.text("Once upon ");
    assert_eq!(event(&mut first).await["content"], "Once upon ");
    send(&mut second, json!({ "text": "And me another." })).await;
    send(&mut second, json!({ "text": "Are you there?" })).await;
    assert_eq!(event(&mut second).await["type"], "error");
    send(&mut second, json!({ "type": "stop" })).await;
    let stopped = json!({ "type": "complete", "response": "", "stopped": true });
    assert_eq!(event(&mut second).await, stopped);
    // A waiting socket that must close, does.
    send(&mut second, json!({ "text": "And me another." })).await;
    send(&mut second, json!({ "text": "Are you there?" })).await;
    assert_eq!(event(&mut second).await["type"], "error");
    app.stop_now.cancel();
    app.stop.cancel();
    assert_eq!(close_code(&mut second).await, CloseCode::Away);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_comes_through_a_socket() {
    let Scripted { app, mut script, .. } = Scripted::start(&[]).await;
    start(&app, "bo", "supportive_coach").await;
    let mut socket = connect(&app, "bo").await;
    send(&mut socket, json!({ "text": "Tell me a long story." })).await;
    let mut call = script.next_call().await.unwrap();
    call.start(TokenCount::ZERO);
    let long = "word ".repeat(40_000);
    call.text(&long);
    call.finish(FinishReason::Stop);
    loop {
        let event = event(&mut socket).await;
        if event["type"] == "complete" {
            assert_eq!(event["response"].as_str().unwrap().trim(), long.trim());
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_opens_no_socket() {
    use tokio_tungstenite::tungstenite::Error;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
    let app = Scripted::answering(&["I see."], &[]).await;
    let url = format!("{}/ws/chat/bo", app.base.replace("http://", "ws://"));
    for (origin, status) in [("http://evil.example", 403), ("http://localhost:4200", 101)] {
        let mut request = url.as_str().into_client_request().unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        let answered = match timeout(PATIENCE, connect_async(request)).await.unwrap() {
            Ok((_, response)) => response.status(),
            Err(Error::Http(response)) => response.status(),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(answered.as_u16(), status, "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_ends_with_the_newest_unless_told_where_to_begin() {
    let app = Scripted::answering(&["I see."], &[]).await;
    start(&app, "bo", "supportive_coach").await;
    for turn in 0..3 {
        let body = json!({ "user_id": "bo", "message": format!("Message {turn}.") });
        assert_eq!(app.post_json("/chat", body).await.status, 200);
    }
    let told = async |query: &str| {
        let history = app.get(&format!("/session/bo/history{query}")).await.json();
        let messages = history["messages"].as_array().unwrap().clone();
        messages.iter().map(|it| it["content"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = told("").await;
    assert!(all.len() >= 6, "{all:?}");
    assert_eq!(told("?limit=2").await, ["Message 2.", "I see."]);
    assert_eq!(told("?limit=2&offset=0").await, all[..2]);
    assert_eq!(told("?limit=200").await, all);
}
