//! Talks over `/v1`: whose they are, what is remembered of them, and what the model is shown.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt as _;
use rhapsode::engine::scripted::{Call, ScriptedEngine};
use rhapsode::engine::{Capabilities, Engine, FinishReason, GenerateRequest};
use rhapsode::store::Store;
use rhapsode::tokens::TokenCount;
use serde_json::{Value, json};

use crate::support::{Answer, Scripted, TestApp, answer_with, prompt_of};

const CHAT: &str = "/v1/chat/completions";

/// A client that keeps its history, as roleplay front ends do.
struct Client {
    persona: &'static str,
    history: Vec<Value>,
    /// Messages it sends at most; the oldest stay behind.
    window: usize,
    more: Value,
}

impl Client {
    fn new(persona: &'static str) -> Self {
        Self { persona, history: Vec::new(), window: usize::MAX, more: json!({}) }
    }

    fn named(persona: &'static str, session: &str) -> Self {
        Self { more: json!({ "user": session }), ..Self::new(persona) }
    }

    fn body(&self) -> Value {
        let first = self.history.len().saturating_sub(self.window);
        let mut messages = vec![json!({ "role": "system", "content": self.persona })];
        messages.extend(self.history[first..].iter().cloned());
        let mut body = json!({ "messages": messages, "max_tokens": 60 });
        for (name, value) in self.more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        body
    }

    fn says(&mut self, text: &str) {
        self.history.push(json!({ "role": "user", "content": text }));
    }

    fn hears(&mut self, text: &str) {
        self.history.push(json!({ "role": "assistant", "content": text }));
    }
}

/// One turn: the client speaks, the model answers with these words. What the model was shown.
async fn turn(scripted: &mut Scripted, client: &mut Client, says: &str, answer: &str) -> Shown {
    client.says(says);
    let shown = ask(scripted, client, answer).await;
    client.hears(answer);
    shown
}

/// What the model was shown, and what the client got.
struct Shown {
    request: GenerateRequest,
    answer: Answer,
}

impl Shown {
    fn prompt(&self) -> String {
        prompt_of(&self.request)
    }
}

async fn ask(scripted: &mut Scripted, client: &Client, answer: &str) -> Shown {
    let asking = scripted.app.post(CHAT, client.body().to_string());
    let answering = async {
        let call = scripted.script.next_call().await.expect("a call");
        let request = call.request.clone();
        speak(call, answer);
        request
    };
    let (reply, request) = tokio::join!(asking, answering);
    assert_eq!(reply.status, 200, "{}", reply.text);
    Shown { request, answer: reply }
}

fn speak(mut call: Call, text: &str) {
    call.start(TokenCount::ZERO);
    call.text(text);
    call.finish(FinishReason::Stop);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_the_chunks_that_clients_expect() {
    let app = Scripted::answering(&["Good ", "evening."], &[]).await;
    let body = json!({
        "model": "any", "stream": true, "stream_options": { "include_usage": true },
        "messages": [{ "role": "user", "content": "Hello" }],
    });
    let answer = app.post(CHAT, body.to_string()).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert!(!answer.header("x-receipt-id").is_empty());
    assert_eq!(answer.header("x-memory"), "on");
    insta::assert_snapshot!(answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_one_piece_tells_usage() {
    let app = Scripted::answering(&["Good ", "evening."], &[]).await;
    let answer = app
        .post(CHAT, json!({ "messages": [{ "role": "user", "content": "Hello" }] }).to_string())
        .await;
    insta::assert_json_snapshot!(answer.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_answers_come_side_by_side() {
    let mut scripted = Scripted::start(&[]).await;
    let body = json!({ "n": 3, "messages": [{ "role": "user", "content": "Hello" }] });
    let asking = scripted.app.post(CHAT, body.to_string());
    let answering = async {
        for text in ["One.", "Two.", "Three."] {
            speak(scripted.script.next_call().await.expect("a call"), text);
        }
    };
    let (answer, ()) = tokio::join!(asking, answering);
    let answer = answer.json();
    let texts: Vec<_> =
        (0..3).map(|at| answer["choices"][at]["message"]["content"].as_str().unwrap()).collect();
    assert_eq!(texts, ["One.", "Two.", "Three."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_no_longer_sends_is_remembered() {
    let mut scripted = Scripted::start(&[]).await;
    let mut client = Client { window: 3, ..Client::new("You are Aria, keeper of the lamp.") };
    let (lamp, gulls) = ("My sister Mara hid the brass key under the third stair.", "Gulls again.");
    turn(&mut scripted, &mut client, lamp, "I will remember the stair.").await;
    for at in 0..12 {
        turn(&mut scripted, &mut client, &format!("{gulls} {at}"), &format!("So I hear. {at}"))
            .await;
    }
    let shown =
        turn(&mut scripted, &mut client, "Where is the brass key?", "Under the stair.").await;
    assert!(shown.prompt().contains("under the third stair"), "{}", shown.prompt());
}

#[tokio::test(flavor = "multi_thread")]
async fn swiped_and_edited_words_never_come_back() {
    let mut scripted = Scripted::start(&[("MAX_WORKING_MEMORY_SIZE", "2")]).await;
    let mut client = Client { window: 3, ..Client::new("You are Aria.") };
    turn(&mut scripted, &mut client, "Hello Aria.", "Hello.").await;
    turn(&mut scripted, &mut client, "What is the vault's code?", "The code is FALSE-ANSWER-99.")
        .await;
    // Swiped: the same question again, another answer.
    client.history.pop();
    ask(&mut scripted, &client, "The code is 4711.").await;
    client.hears("The code is 4711.");
    // Edited: the user takes a message back and says something else.
    turn(&mut scripted, &mut client, "I was born in WRONGTOWN.", "A fine town.").await;
    client.history.truncate(client.history.len() - 2);
    turn(&mut scripted, &mut client, "I was born in Havenport.", "A fine harbour.").await;
    for at in 0..6 {
        turn(&mut scripted, &mut client, &format!("It rains. {at}"), &format!("It does. {at}"))
            .await;
    }
    let code = turn(&mut scripted, &mut client, "What was the vault's code?", "4711.").await;
    assert!(code.prompt().contains("4711"), "{}", code.prompt());
    assert!(!code.prompt().contains("FALSE-ANSWER"), "{}", code.prompt());
    let town = turn(&mut scripted, &mut client, "Where was I born?", "In Havenport.").await;
    assert!(town.prompt().contains("Havenport"), "{}", town.prompt());
    assert!(!town.prompt().contains("WRONGTOWN"), "{}", town.prompt());
}

#[tokio::test(flavor = "multi_thread")]
async fn talks_with_the_same_opening_stay_apart_once_they_differ() {
    // A window so small that the opening leaves it.
    let settings = [("MAX_WORKING_MEMORY_SIZE", "2"), ("DISTILLATION_METHOD", "extractive")];
    let mut scripted = Scripted::with_window(400, &settings).await;
    let mut talks: Vec<Client> = (0..2).map(|_| Client::new("You are Aria.")).collect();
    let secrets = ["the password is heron", "the password is plover"];
    for (client, secret) in talks.iter_mut().zip(secrets) {
        client.hears("Welcome to the lighthouse.");
        turn(&mut scripted, client, "Good evening.", "Good evening to you.").await;
        turn(&mut scripted, client, secret, "I will keep it.").await;
    }
    for at in 0..9 {
        for client in &mut talks {
            let calm = format!("{at}: the sea is calm and the gulls sit on the rail, as ever.");
            let yes = format!("{at}: yes, and the lamp is lit, the log is written, all is well.");
            turn(&mut scripted, client, &calm, &yes).await;
        }
    }
    for (client, (own, other)) in talks.iter_mut().zip([("heron", "plover"), ("plover", "heron")]) {
        let shown = turn(&mut scripted, client, "What is the password?", "I know it.").await;
        assert!(shown.prompt().contains(own), "{}", shown.prompt());
        assert!(!shown.prompt().contains(other), "{}", shown.prompt());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_turns_keep_the_persona_whole_and_the_facts_at_hand() {
    const PERSONA: &str = "You are Aria Vane, keeper of the lighthouse on Gull Rock. You never lie, \
        you fear deep water, and you speak in short, warm sentences.";
    const FACTS: [(&str, &str, &str); 5] = [
        ("My dog is called Biscuit.", "What is the name of my dog?", "Biscuit"),
        ("I am allergic to walnuts.", "What am I allergic to?", "walnuts"),
        ("I grew up in Havenport.", "Which town did I grow up in?", "Havenport"),
        ("Mara owes me forty silver crowns.", "How much silver does Mara owe me?", "forty silver"),
        ("I play the cello on Sundays.", "Which instrument do I play?", "cello"),
    ];
    let settings = [("DISTILLATION_METHOD", "extractive")];
    let mut scripted = Scripted::start(&settings).await;
    let mut client = Client { window: 9, ..Client::named(PERSONA, "three-hundred") };
    for (fact, _, _) in FACTS {
        let shown = turn(&mut scripted, &mut client, fact, "I will remember that.").await;
        assert!(shown.prompt().contains(PERSONA));
    }
    for at in 0..290 {
        let says = format!("The tide turned {at} times and the wind blew from the north.");
        let hears = format!("I counted wave {at} as well, friend.");
        let shown = turn(&mut scripted, &mut client, &says, &hears).await;
        assert!(shown.prompt().contains(PERSONA), "turn {at}");
    }
    for (_, question, wanted) in FACTS {
        let shown = turn(&mut scripted, &mut client, question, "Of course.").await;
        assert!(shown.prompt().contains(PERSONA));
        assert!(shown.prompt().contains(wanted), "{question}: {}", shown.prompt());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_beside_the_talk_leaves_no_trace() {
    let mut scripted = Scripted::start(&[]).await;
    let mut client = Client { window: 3, ..Client::named("You are Aria.", "quiet") };
    turn(&mut scripted, &mut client, "The key is under the stair.", "Good.").await;
    let mut aside = client.body();
    let summarize = json!({ "role": "system", "content": "Summarize the story. QUIETMARK" });
    aside["messages"].as_array_mut().unwrap().push(summarize);
    let asking = scripted.app.post(CHAT, aside.to_string());
    let (answer, ()) = tokio::join!(asking, async {
        speak(scripted.script.next_call().await.unwrap(), "They spoke of a key. QUIETMARK");
    });
    assert_eq!(answer.header("x-memory"), "quiet");
    let kept = scripted.app.get("/api/v1/memory/quiet?branches=true").await.json();
    assert_eq!(kept["total"], 2, "{kept}");
    for at in 0..4 {
        turn(&mut scripted, &mut client, &format!("It rains. {at}"), &format!("Yes. {at}")).await;
    }
    let shown = turn(&mut scripted, &mut client, "What was the story? QUIETMARK", "A key.").await;
    let said = shown.request.messages.iter().rev().skip(1);
    assert!(
        said.clone().all(|message| !message.content.contains("QUIETMARK")),
        "{}",
        shown.prompt()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_by_path_header_user_and_model_in_this_order() {
    let app = Scripted::answering(&["Yes."], &[]).await;
    let body = json!({
        "model": "any@by-model", "user": "by-user",
        "messages": [{ "role": "user", "content": "Hello" }],
    });
    let ask = async |path: &str, header: Option<&str>, body: &Value| {
        let mut request = app.client.post(format!("{}{path}", app.base)).body(body.to_string());
        if let Some(header) = header {
            request = request.header("x-session-id", header);
        }
        let response = request.send().await.unwrap();
        response.headers()["x-session-id"].to_str().unwrap().to_owned()
    };
    let path = "/s/by-path/v1/chat/completions";
    assert_eq!(ask(path, Some("by-header"), &body).await, "by-path");
    assert_eq!(ask(CHAT, Some("by-header"), &body).await, "by-header");
    assert_eq!(ask(CHAT, None, &body).await, "by-user");
    let mut body = body;
    body["user"] = Value::Null;
    assert_eq!(ask(CHAT, None, &body).await, "by-model");
    body["model"] = json!("any");
    assert_eq!(ask(CHAT, None, &body).await.len(), 36, "a name of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_id_is_data() {
    let app = Scripted::answering(&["Yes."], &[]).await;
    let hello = json!([{ "role": "user", "content": "Hello" }]);
    for name in ["../../etc/passwd", "a\0b", "'; DROP TABLE sessions; --", "𓂀 名前", "con"] {
        let body = json!({ "user": name, "messages": hello });
        let answer = app.post(CHAT, body.to_string()).await;
        assert_eq!((answer.status, answer.header("x-memory")), (200, "on"), "{name:?}");
    }
    let long = json!({ "user": "x".repeat(10_000), "messages": hello });
    let answer = app.post(CHAT, long.to_string()).await;
    assert_eq!(answer.status, 400);
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("shorter"));
    let answer = app
        .post(
            "/s/..%2F..%2Fetc%2Fpasswd/v1/chat/completions",
            json!({ "messages": hello }).to_string(),
        )
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_sessions_at_once_keep_to_themselves() {
    let Scripted { app, script, .. } = Scripted::start(&[]).await;
    tokio::spawn(answer_with(script, |request| {
        let prompt = prompt_of(request);
        let secrets: BTreeSet<&str> = prompt.split("SECRET").skip(1).map(|it| &it[..4]).collect();
        format!("You said {secrets:?}.")
    }));
    let talks = (0..200).map(|number| {
        let app = &app;
        async move {
            let mut client = Client::new("You are Aria.");
            // Every other one is known by its words alone, and all begin alike.
            if number % 2 == 0 {
                client.more = json!({ "user": format!("session {number}") });
            }
            let secret = format!("SECRET{number:04}");
            for says in ["Good evening.", secret.as_str(), "And what did I say?", "And now?"] {
                client.says(says);
                let answer = app.post(CHAT, client.body().to_string()).await;
                assert_eq!(answer.status, 200, "{}", answer.text);
                let said = answer.json()["choices"][0]["message"]["content"].clone();
                let known = if says == "Good evening." { vec![] } else { vec![&secret[6..]] };
                assert_eq!(said, format!("You said {:?}.", BTreeSet::from_iter(known)));
                client.hears(said.as_str().unwrap());
            }
        }
    });
    futures_util::future::join_all(talks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_talk_that_begins_like_another_knows_nothing_of_it() {
    let long = "I have come a long way over the moor tonight, and I would like to stay here.";
    for opening in ["Hi", long] {
        let mut scripted = Scripted::start(&[]).await;
        let mut first = Client::new("You are Aria.");
        turn(&mut scripted, &mut first, opening, "Hello.").await;
        turn(&mut scripted, &mut first, "The password is heron.", "I will keep it.").await;
        turn(&mut scripted, &mut first, opening, "Hello again.").await;
        turn(&mut scripted, &mut first, "It rains.", "It does.").await;
        let mut second = Client::new("You are Aria.");
        let shown = turn(&mut scripted, &mut second, opening, "Good evening.").await;
        assert!(!shown.prompt().contains("heron"), "{}", shown.prompt());
        let shown = turn(&mut scripted, &mut second, "What is the password?", "Which?").await;
        assert!(!shown.prompt().contains("heron"), "{}", shown.prompt());
        let shown = turn(&mut scripted, &mut first, "What is the password?", "Heron.").await;
        assert!(shown.prompt().contains("heron") && !shown.prompt().contains("Which?"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persona_that_tells_the_time_stays_one_talk() {
    let mut scripted = Scripted::start(&[]).await;
    let mut client = Client::new("You are Aria. It is 20:01.");
    let answer = "Come in, come in, and mind the third stair, it has been loose since the storm.";
    let first = turn(&mut scripted, &mut client, "Hello.", answer).await;
    client.persona = "You are Aria. It is 20:02.";
    let second = turn(&mut scripted, &mut client, "Thank you.", "Sit down.").await;
    assert_eq!(first.answer.header("x-session-id"), second.answer.header("x-session-id"));
    client.persona = "You are Aria. It is 20:03.";
    let shown = turn(&mut scripted, &mut client, "What a storm.", "It was.").await;
    assert!(shown.prompt().contains("20:03") && !shown.prompt().contains("20:02"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_before_the_end_is_told_is_remembered_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut scripted = Scripted::in_folder(folder.path(), &[]).await;
    let mut client = Client::named("You are Aria.", "left");
    turn(&mut scripted, &mut client, "Hello.", "Hello.").await;
    let database = rusqlite::Connection::open(folder.path().join("rhapsode.db")).unwrap();
    client.says("The key is under the stair.");
    client.more = json!({ "user": "left", "stream": true });
    let response = scripted.app.send(CHAT, client.body().to_string(), "*/*").await;
    let mut call = scripted.script.next_call().await.unwrap();
    // Whatever is to be stored now waits.
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    call.start(TokenCount::ZERO);
    call.text("I shall remember it.");
    call.finish(FinishReason::Stop);
    let mut frames = response.bytes_stream();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("remember it.") {
        seen.extend(frames.next().await.unwrap().unwrap());
    }
    drop(frames);
    database.execute_batch("COMMIT").unwrap();
    scripted.app.stop_and_wait().await;
    let said = texts_in(&database);
    assert_eq!(said[2..], ["The key is under the stair.", "I shall remember it."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_the_database_does_not_bring_a_deleted_session_back() {
    for more in [json!({}), json!({ "user": "gone" })] {
        let folder = tempfile::tempdir().unwrap();
        let mut scripted = Scripted::in_folder(folder.path(), &[]).await;
        let mut client = Client { more, ..Client::new("You are Aria.") };
        let answer = "Come in, come in, and mind the third stair, it has been loose for years.";
        let first = turn(&mut scripted, &mut client, "Hello.", answer).await;
        let mut kept = Client::named("You are Bo.", "kept");
        let database = rusqlite::Connection::open(folder.path().join("rhapsode.db")).unwrap();
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        let shown = turn(&mut scripted, &mut client, "The code is 4711.", "I see.").await;
        assert_eq!(shown.answer.header("x-memory"), "degraded");
        turn(&mut scripted, &mut kept, "I am still here.", "You are.").await;
        database.execute_batch("COMMIT").unwrap();
        let session = first.answer.header("x-session-id");
        let path = format!("{}/api/v1/memory/{session}", scripted.app.base);
        let deleted = scripted.app.client.delete(path).send().await.unwrap();
        assert!(deleted.status().is_success(), "{deleted:?}");
        scripted.app.stop_and_wait().await;
        assert_eq!(texts_in(&database), ["I am still here.", "You are."]);
    }
}

fn texts_in(database: &rusqlite::Connection) -> Vec<String> {
    let mut statement = database.prepare("SELECT text FROM messages ORDER BY id").unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_tools_and_their_results_reach_the_model_whole_and_are_not_remembered() {
    let mut scripted = Scripted::start(&[]).await;
    let mut client = Client::named("You are Aria.", "tools");
    turn(&mut scripted, &mut client, "I am so happy to see you!", "Welcome!").await;
    let fact = json!({ "text": "The guest is a sailor." });
    let added = scripted.app.post_json("/api/v1/memory/tools/facts", fact).await;
    assert!(added.status < 300, "{}", added.text);
    client.says("I am so happy! How is the weather?");
    let call = json!({
        "role": "assistant", "content": null,
        "tool_calls": [{ "id": "c1", "type": "function",
            "function": { "name": "weather", "arguments": "{\"place\":\"Skarn\"}" } }],
    });
    let result = json!({ "role": "tool", "tool_call_id": "c1", "content": "{\"rain\":true}" });
    client.history.extend([call.clone(), result.clone()]);
    client.more = json!({
        "user": "tools",
        "tools": [{ "type": "function", "function": { "name": "weather", "parameters": {} } }],
    });
    let shown = ask(&mut scripted, &client, "It rains.").await;
    client.hears("It rains.");
    let messages = &shown.request.messages;
    let wires: Vec<_> = messages.iter().map(|it| it.wire.as_deref()).collect();
    let last = messages.len() - 1;
    assert_eq!(wires[last - 1..], [Some(&call), Some(&result)], "{}", shown.prompt());
    assert_eq!(messages[last - 2].content, "I am so happy! How is the weather?");
    assert!(messages[last - 3].content.contains("sailor"), "{}", shown.prompt());
    // The talk goes on behind them.
    let shown = turn(&mut scripted, &mut client, "Thank you.", "You are welcome.").await;
    assert_eq!(shown.request.messages.iter().filter(|it| it.wire.is_some()).count(), 2);
    let kept = scripted.app.get("/api/v1/memory/tools?branches=true").await.json();
    let kept: Vec<_> =
        kept["messages"].as_array().unwrap().iter().map(|it| it["text"].clone()).collect();
    assert_eq!(kept.len(), 6, "{kept:?}");
    assert!(kept.iter().all(|text| !text.as_str().unwrap().contains("rain\"")), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_without_words_reaches_the_model() {
    let mut scripted = Scripted::start(&[]).await;
    let mut client = Client::named("You are Aria.", "picture");
    let parts =
        json!([{ "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } }]);
    client.history.push(json!({ "role": "user", "content": parts }));
    let shown = ask(&mut scripted, &client, "A lighthouse.").await;
    let last = shown.request.messages.last().unwrap();
    assert_eq!(last.wire.as_ref().unwrap()["content"], parts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persona_that_exceeds_its_share_is_told_shorter_and_the_receipt_says_so() {
    let mut scripted = Scripted::with_window(1024, &[]).await;
    let years = (0..120).map(|at| format!("In the year {at} she kept lamp number {at} for Mara."));
    let long = format!("You are Aria Vane. {}", years.collect::<Vec<_>>().join(" "));
    let mut client = Client::new(Box::leak(long.into_boxed_str()));
    let shown = turn(&mut scripted, &mut client, "Hello.", "Hello.").await;
    assert!(shown.prompt().contains("Aria Vane"));
    let id = shown.answer.header("x-receipt-id");
    let receipt = scripted.app.get(&format!("/api/v1/receipts/{id}")).await.json();
    let persona = &receipt["elements"][0];
    assert_eq!((&persona["id"], &persona["outcome"]), (&json!("persona"), &json!("distilled")));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_told_in_openais_shape() {
    let Scripted { app, engine, script } = Scripted::start(&[]).await;
    engine.set_capabilities(Capabilities::default());
    tokio::spawn(script.answer_all(&["Yes."]));
    let hello = json!([{ "role": "user", "content": "Hello" }]);
    let bodies = [
        (json!({ "messages": [] }), "messages"),
        (json!({ "messages": hello, "temperature": 9 }), "temperature"),
        (json!({ "messages": hello, "n": 9 }), "n"),
        (json!({ "messages": hello, "max_tokens": 0 }), "max_tokens"),
        (json!({ "messages": [{ "role": "wizard", "content": "x" }] }), "messages.0.role"),
        (json!({ "messages": hello, "logit_bias": { "x": 1 } }), "logit_bias"),
        (json!({ "messages": hello, "logprobs": true, "top_logprobs": 50 }), "top_logprobs"),
    ];
    for (body, param) in bodies {
        let answer = app.post(CHAT, body.to_string()).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["param"]), (400, &json!(param)), "{}", answer.text);
        assert_eq!(error["type"], "invalid_request_error");
    }
    let image = json!([{ "role": "user", "content": [{ "type": "image_url", "image_url": {} }] }]);
    let answer = app.post(CHAT, json!({ "messages": image }).to_string()).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert_eq!(app.post(CHAT, "{").await.status, 400);
    assert_eq!(app.get("/v1/models/none").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_without_a_key_are_let_in_whatever_they_write_there() {
    let app = Scripted::answering(&["Yes."], &[]).await;
    for key in ["Bearer null", "Bearer undefined", "Bearer sk-1234"] {
        let request = app.client.get(format!("{}/v1/models", app.base));
        let response = request.header("authorization", key).send().await.unwrap();
        assert_eq!(response.status(), 200, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_stops_the_model_and_what_was_said_is_remembered() {
    let mut scripted = Scripted::start(&[]).await;
    let mut client = Client::named("You are Aria.", "left");
    client.says("Tell me of the storm.");
    let mut body = client.body();
    body["stream"] = json!(true);
    let sending = scripted.app.send(CHAT, body.to_string(), "*/*");
    let answering = async {
        let mut call = scripted.script.next_call().await.unwrap();
        call.start(TokenCount::ZERO);
        call.text("The storm took the BRASSBELL");
        call
    };
    let (response, call) = tokio::join!(sending, answering);
    let mut response = response;
    while let Some(bytes) = response.chunk().await.unwrap() {
        if String::from_utf8_lossy(&bytes).contains("BRASSBELL") {
            break;
        }
    }
    drop(response);
    call.cancelled().await;
    // Whoever asks next builds on it, once it is stored.
    client.hears("The storm took the BRASSBELL");
    turn(&mut scripted, &mut client, "And then?", "Then it was quiet.").await;
    client.window = 1;
    let shown = turn(&mut scripted, &mut client, "What did the storm take?", "The bell.").await;
    assert!(shown.prompt().contains("BRASSBELL"), "{}", shown.prompt());
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_come_as_floats_and_as_base64() {
    let app = Scripted::answering(&[], &[]).await;
    let ask = async |body: Value| app.post("/v1/embeddings", body.to_string()).await.json();
    let floats = ask(json!({ "input": ["The lamp went out.", "It was dark."] })).await;
    let first = floats["data"][0]["embedding"].as_array().unwrap();
    assert_eq!((first.len(), floats["data"][1]["index"].as_u64()), (384, Some(1)));
    let encoded = ask(json!({ "input": "The lamp went out.", "encoding_format": "base64" })).await;
    assert_eq!(
        encoded["data"][0]["embedding"].as_str().unwrap().len(),
        (384 * 4_usize).div_ceil(3) * 4
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_turn_has_a_receipt_of_its_own() {
    let mut scripted = Scripted::start(&[]).await;
    let mut client = Client::new("You are Aria.");
    let mut ids = HashSet::new();
    for at in 0..3 {
        let shown = turn(&mut scripted, &mut client, &format!("Hello {at}."), "Hello.").await;
        let id = shown.answer.header("x-receipt-id").to_owned();
        let receipt = scripted.app.get(&format!("/api/v1/receipts/{id}")).await.json();
        assert_eq!(receipt["elements"][0]["id"], "persona");
        assert!(ids.insert(id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_talk_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut client = Client { window: 1, ..Client::new("You are Aria.") };
    let talk =
        "The brass key lies under the third stair, behind the loose board of the lighthouse.";
    {
        let mut scripted = Scripted::in_folder(folder.path(), &[]).await;
        turn(&mut scripted, &mut client, talk, "I shall remember it, board and stair.").await;
        scripted.app.stop_and_wait().await;
    }
    let mut scripted = Scripted::in_folder(folder.path(), &[]).await;
    client.window = 3;
    turn(&mut scripted, &mut client, "It rains.", "It does.").await;
    turn(&mut scripted, &mut client, "Still?", "Still.").await;
    let shown = turn(&mut scripted, &mut client, "Where is the brass key?", "There.").await;
    assert!(shown.prompt().contains("third stair"), "{}", shown.prompt());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_costs_memory_and_not_the_answer_and_takes_it_all_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut scripted = Scripted::in_folder(folder.path(), &[("MEMORY_TIMEOUT_MS", "100")]).await;
    let mut client = Client::named("You are Aria.", "locked");
    let database = rusqlite::Connection::open(folder.path().join("rhapsode.db")).unwrap();
    // Nobody may write; whoever tries waits for a while and is refused.
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let shown = turn(&mut scripted, &mut client, "The key is under the stair.", "Good.").await;
    assert_eq!(shown.answer.header("x-memory"), "degraded");
    assert_eq!(scripted.app.get("/health").await.json()["database"], "degraded");
    database.execute_batch("COMMIT").unwrap();
    client.window = 1;
    let shown = turn(&mut scripted, &mut client, "Where is the key?", "Under the stair.").await;
    assert_eq!(shown.answer.header("x-memory"), "on");
    let stored = texts_in(&database);
    let said = ["The key is under the stair.", "Good.", "Where is the key?", "Under the stair."];
    assert_eq!(stored, said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_costs_memory_and_not_the_answer_and_is_made_up_for_later() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (engine, script) = ScriptedEngine::new(TokenCount::new(4096));
    let app = TestApp::over(Arc::clone(&engine) as Arc<dyn Engine>, store.clone(), &[]).await;
    let mut scripted = Scripted { app, engine, script };
    let mut client = Client { window: 1, ..Client::named("You are Aria.", "full") };
    turn(&mut scripted, &mut client, "It rains.", "It does.").await;
    // SQLite fails as it does when there is no space left.
    limit_pages(&store, 1).await;
    let long = "The rain fell on the old town and nobody spoke. ".repeat(100);
    let mut said = vec!["It rains.".to_owned(), "It does.".to_owned()];
    let mut states = HashSet::new();
    for at in 0..3 {
        let says = format!("{at}: {long}");
        let shown = turn(&mut scripted, &mut client, &says, "I listen.").await;
        states.insert(shown.answer.header("x-memory").to_owned());
        said.extend([says.trim().to_owned(), "I listen.".to_owned()]);
    }
    assert!(states.contains("degraded"), "{states:?}");
    let health = scripted.app.get("/health").await.json();
    assert_eq!((&health["status"], &health["database"]), (&json!("degraded"), &json!("degraded")));
    limit_pages(&store, 1 << 20).await;
    let shown = turn(&mut scripted, &mut client, "Is there room?", "There is.").await;
    assert_eq!(shown.answer.header("x-memory"), "on");
    said.extend(["Is there room?".to_owned(), "There is.".to_owned()]);
    let listed = scripted.app.get("/api/v1/memory/full?limit=100").await.json();
    let listed = listed["messages"].as_array().unwrap().iter();
    let listed: Vec<_> = listed.map(|it| it["text"].as_str().unwrap().trim().to_owned()).collect();
    assert_eq!(listed, said);
}

async fn limit_pages(store: &Store, pages: u32) {
    let limited = store.run(move |connection| {
        // Never less than there are.
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        Ok(())
    });
    limited.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_costs_the_talks_that_lie_there_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("DISTILLATION_METHOD", "extractive")];
    let long = "The rain fell on the old town and nobody spoke. ".repeat(20);
    let mut old = Client { window: 1, ..Client::named("You are Aria.", "old") };
    {
        let mut scripted = Scripted::in_folder(folder.path(), &settings).await;
        for at in 0..30 {
            turn(&mut scripted, &mut old, &format!("{at}: {long}"), &format!("{at}!")).await;
        }
        let mut other = Client::named("You are Bo.", "other");
        turn(&mut scripted, &mut other, "The key is under the stair.", "Good.").await;
        scripted.app.stop_and_wait().await;
    }
    spoil_a_page_of_messages(&folder.path().join("rhapsode.db"));
    let mut scripted = Scripted::in_folder(folder.path(), &settings).await;
    let shown = turn(&mut scripted, &mut old, "Do you remember?", "No.").await;
    assert_eq!(shown.answer.header("x-memory"), "degraded");
    assert!(shown.prompt().contains("You are Aria.") && shown.prompt().contains("remember?"));
    let listed = scripted.app.get("/api/v1/memory/old?limit=100").await;
    assert_eq!(listed.status, 503, "{}", listed.text);
    assert!(listed.text.contains("malformed") && listed.text.contains("backup"), "{}", listed.text);
    let health = scripted.app.get("/health").await.json();
    assert_eq!((&health["status"], &health["database"]), (&json!("degraded"), &json!("degraded")));
    // What can't be stored keeps nothing else from being stored.
    let mut other = Client { window: 1, ..Client::named("You are Bo.", "other") };
    let shown = turn(&mut scripted, &mut other, "Where is the key?", "Under the stair.").await;
    assert_eq!(shown.answer.header("x-memory"), "on");
    assert!(shown.prompt().contains("The key is under the stair."), "{}", shown.prompt());
    let listed = scripted.app.get("/api/v1/memory/other").await.json();
    assert_eq!(listed["messages"].as_array().unwrap().len(), 4, "{listed}");
}

/// Overwrites one of the pages on which messages' texts lie, not the newest.
fn spoil_a_page_of_messages(path: &Path) {
    use std::os::unix::fs::FileExt as _;
    let database = rusqlite::Connection::open(path).unwrap();
    database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let number = |sql: &str| -> u32 { database.query_row(sql, [], |row| row.get(0)).unwrap() };
    let size = number("PRAGMA page_size");
    let page = number(
        "SELECT pageno FROM dbstat WHERE name = 'messages' AND pagetype = 'leaf'
         ORDER BY path LIMIT 1 OFFSET 2",
    );
    drop(database);
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(&vec![0xA5; size as usize], u64::from((page - 1) * size)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_lost_while_the_server_runs_costs_memory_and_not_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let mut scripted = Scripted::in_folder(folder.path(), &[]).await;
    let mut client = Client::named("You are Aria.", "damaged");
    turn(&mut scripted, &mut client, "Hello.", "Hello.").await;
    let database = rusqlite::Connection::open(folder.path().join("rhapsode.db")).unwrap();
    database.execute_batch("PRAGMA foreign_keys = off; DROP TABLE messages;").unwrap();
    let shown = turn(&mut scripted, &mut client, "Are you there?", "I am.").await;
    assert_eq!(shown.answer.header("x-memory"), "degraded");
    assert!(shown.prompt().contains("Are you there?"));
    let health = scripted.app.get("/health").await.json();
    assert_eq!((&health["status"], &health["database"]), (&json!("degraded"), &json!("degraded")));
}
