//! What companions cost: a companion's turn beside the same turn over `/v1`, until the engine has the
//! prompt; `WebSockets`, idle and talking; and what logins do to everybody else. The real router, SQLite,
//! sentence embedder and tokenizer; what is left out is the model.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that can't measure should stop"
)]

mod serving;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use comfy_table::Table;
use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use rhapsode::embedding::LazyEmbedder;
use rhapsode::models;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use self::serving::{Made, Server, median, models_dir, own_binary, percentiles, resident_bytes};

const TURNS: usize = 100;
const IDLE: usize = 500;
const TALKING: usize = 50;
const SAID_EACH: usize = 5;
const LOGINS: usize = 32;
/// Given to the bench's own binary, so that memory is measured in a process that did nothing before.
const SOCKETS: &str = "--sockets";
const PARTS: &str = "--parts";
const PASSWORD: &str = "correct horse battery";

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    // `cargo test --benches` and `cargo bench -- --list` only want to know that it starts.
    if arguments.iter().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, SOCKETS, folder] => println!("{}", runtime.block_on(sockets(Path::new(folder)))),
        [_, PARTS] => {
            println!("{}", runtime.block_on(turns()));
            println!("{}", runtime.block_on(logins()));
        }
        _ => {
            println!("{}", own_binary(&[PARTS]));
            let folder = tempfile::tempdir().unwrap();
            println!("{}", own_binary(&[SOCKETS, folder.path().to_str().unwrap()]));
        }
    }
}

async fn register(server: &Server, name: &str) -> String {
    let body =
        json!({ "email": format!("{name}@example.org"), "username": name, "password": PASSWORD });
    let request = server.client.post(format!("{}/api/v1/auth/register", server.base));
    let answer = request.body(body.to_string()).send().await.unwrap().text().await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

/// A companion's turn and the same words over `/v1`, in turn, in two talks that grow alike.
async fn turns() -> Table {
    let mut table = Table::new();
    table.set_header([
        "until the engine has the prompt: /v1, p50, p90",
        "a companion's: p50, p90",
        "added: p50, p90",
        "bar",
    ]);
    let folder = tempfile::tempdir().unwrap();
    let embedder = Arc::new(LazyEmbedder::new(models::sentence_embedder_dir(&models_dir())));
    let server = Server::start(folder.path(), embedder, true).await;
    let token = register(&server, "anna").await;
    let mut conversation = Value::Null;
    let mut name = String::new();
    let (mut plain, mut companion, mut added) = (vec![], vec![], vec![]);
    for turn in 0..=TURNS {
        let text = format!(
            "On day {turn} I walked along the shore to see my sister Mara. I like old maps, and I wonder what you did?"
        );
        let mut body = json!({ "message": text, "personality": "sarah" });
        if !conversation.is_null() {
            body["conversation_id"] = conversation.clone();
        }
        let (with, prompt, answer) = server.ask_as(&token, "/api/v1/chat/message", &body).await;
        conversation = answer["conversation_id"].clone();
        name = format!("private/{}", conversation.as_str().unwrap());
        server.rest(&name).await;
        let persona = &prompt[0].content;
        let messages = json!([
            { "role": "system", "content": persona },
            { "role": "user", "content": text },
        ]);
        let body = json!({ "messages": messages, "user": "anna", "max_tokens": 200 });
        let (without, _) = server.ask("/v1/chat/completions", &body).await;
        server.rest("anna").await;
        // The first warms everything up.
        if turn > 0 {
            plain.push(without);
            companion.push(with);
            added.push(with.saturating_sub(without));
        }
    }
    assert!(!name.is_empty());
    table.add_row([
        percentiles(&mut plain),
        percentiles(&mut companion),
        percentiles(&mut added),
        "5 ms".to_owned(),
    ]);
    table
}

/// Logins all at once, and how long others wait meanwhile.
async fn logins() -> Table {
    let mut table = Table::new();
    table.set_header([
        "one login: p50",
        "/health while nobody logs in: p50, p90",
        "/health during 32 logins at once: p50, p90",
        "bar",
    ]);
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Arc::new(Made), false).await;
    register(&server, "anna").await;
    let login = async || {
        let body = json!({ "username": "anna", "password": PASSWORD });
        let began = Instant::now();
        let request = server.client.post(format!("{}/api/v1/auth/login", server.base));
        let answer = request.body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success());
        answer.bytes().await.unwrap();
        began.elapsed()
    };
    let mut alone = Vec::new();
    for _ in 0..10 {
        alone.push(login().await);
    }
    let quiet = async {
        let mut times = Vec::new();
        for _ in 0..50 {
            times.push(health(&server).await);
        }
        times
    };
    let mut quiet = quiet.await;
    let storm = join_all((0..LOGINS).map(|_| login()));
    tokio::pin!(storm);
    let mut busy = Vec::new();
    loop {
        tokio::select! {
            biased;
            _ = &mut storm => break,
            time = health(&server) => busy.push(time),
        }
    }
    table.add_row([
        median(&mut alone),
        percentiles(&mut quiet),
        percentiles(&mut busy),
        "50–100 ms; nobody waits".to_owned(),
    ]);
    table
}

async fn health(server: &Server) -> Duration {
    let began = Instant::now();
    let answer = server.client.get(format!("{}/health", server.base)).send().await.unwrap();
    answer.bytes().await.unwrap();
    began.elapsed()
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(server: &Server, user: &str) -> Socket {
    let url = format!("{}/ws/chat/{user}", server.base.replace("http://", "ws://"));
    connect_async(url).await.unwrap().0
}

/// The next event of an answer, until it is complete.
async fn heard(socket: &mut Socket, what: Value) -> Value {
    socket.send(Message::text(what.to_string())).await.unwrap();
    loop {
        let message = socket.next().await.expect("it wasn't dropped").unwrap();
        let Message::Text(text) = message else { continue };
        let event: Value = serde_json::from_str(&text).unwrap();
        if event["type"] != "chunk" {
            return event;
        }
    }
}

/// Clients and server share this process, so what a socket takes here is both its ends.
async fn sockets(folder: &Path) -> Table {
    let mut table = Table::new();
    table.set_header([
        "sockets idle, talking",
        "answers heard",
        "dropped",
        "the process grows a socket, both ends",
        "bar",
    ]);
    let server = Server::start(folder, Arc::new(Made), false).await;
    for user in 0..TALKING {
        let body = json!({ "user_id": format!("talker-{user}"), "persona": "supportive_coach" });
        let request = server.client.post(format!("{}/session/start", server.base));
        assert!(request.body(body.to_string()).send().await.unwrap().status().is_success());
    }
    // What the first of all takes is no socket's.
    let mut first = connect(&server, "talker-0").await;
    heard(&mut first, json!({ "text": "Hello." })).await;
    drop(first);
    let before = resident_bytes();
    let mut idle = Vec::new();
    for user in 0..IDLE {
        idle.push(connect(&server, &format!("idle-{user}")).await);
    }
    let server = &server;
    let talking = (0..TALKING).map(async |user| {
        let mut socket = connect(server, &format!("talker-{user}")).await;
        let mut heard_of = 0;
        for turn in 0..SAID_EACH {
            let text = format!("What shall I do on day {turn}?");
            let event = heard(&mut socket, json!({ "text": text })).await;
            assert_eq!(event["type"], "complete", "{event}");
            heard_of += 1;
        }
        (socket, heard_of)
    });
    let talkers = join_all(talking).await;
    let answers: usize = talkers.iter().map(|(_, heard)| heard).sum();
    let grown = before.and_then(|before| Some(resident_bytes()? - before));
    let mut dropped = 0;
    for socket in &mut idle {
        // Nothing is said in it, so there is nothing to answer: it is told so.
        let event = heard(socket, json!({ "type": "what" })).await;
        dropped += usize::from(event["type"] != "error");
    }
    let each = grown.map_or("unknown here".to_owned(), |bytes| {
        format!("{:.0} KB", bytes / 1e3 / (IDLE + TALKING) as f64)
    });
    table.add_row([
        format!("{IDLE}, {TALKING}"),
        format!("{answers} of {}", TALKING * SAID_EACH),
        dropped.to_string(),
        each,
        "none dropped, under 1 MB".to_owned(),
    ]);
    table
}
