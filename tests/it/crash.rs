//! The process dies without warning: what was acknowledged is still there.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{PATIENCE, client, model_path, models_dir};

/// A server in a process of its own.
struct Server {
    process: Child,
    base: String,
}

impl Server {
    async fn start(folder: &TempDir) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_rhapsode"))
            .args(["serve", "--port", "0", "--model"])
            .arg(model_path())
            .current_dir(folder.path())
            .env("MODELS_DIR", models_dir())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut greeting = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut greeting).unwrap();
        let base = greeting.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        let server = Self { process, base: base.trim_end_matches('/').to_owned() };
        let waiting = async {
            loop {
                let health = client().get(format!("{}/health", server.base)).send().await;
                if let Ok(health) = health {
                    let health = health.text().await.unwrap();
                    let health: Value = serde_json::from_str(&health).unwrap();
                    if health["llm_available"] == true {
                        return;
                    }
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the server is ready in time");
        server
    }

    /// As the operating system does when memory runs out.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Texts of all messages in the database.
fn stored(folder: &TempDir) -> Vec<String> {
    let path = folder.path().join("data/rhapsode.db");
    let connection = rusqlite::Connection::open(path).unwrap();
    let check: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let mut statement = connection.prepare("SELECT text FROM messages").unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..4_usize {
        let server = Server::start(&folder).await;
        // One talk is answered to its end again and again; the kill falls somewhere into the next.
        let mut history: Vec<Value> = Vec::new();
        for at in 0..3 {
            let says = format!("This is message {at} of round {round}.");
            history.push(json!({ "role": "user", "content": says }));
            let body = json!({
                "messages": history, "stream": true, "max_tokens": 8, "user": format!("round {round}"),
            });
            let request = client().post(format!("{}/v1/chat/completions", server.base));
            let mut response = request.body(body.to_string()).send().await.unwrap();
            let (mut text, mut bytes, mut is_done) = (String::new(), Vec::new(), false);
            // The last turn of a round is its last: half of the times after some chunks, half of the
            // times at the very moment when the client is told that the answer is complete.
            let (is_last, somewhere) = (at == 2, round % 2 == 1);
            let most = if is_last && somewhere { rand::random_range(1..9) } else { usize::MAX };
            for _ in 0..most {
                let Some(chunk) = response.chunk().await.unwrap() else { break };
                bytes.extend_from_slice(&chunk);
                is_done |= String::from_utf8_lossy(&bytes).contains("\"finish_reason\":\"");
                if is_done && is_last {
                    break;
                }
            }
            for line in String::from_utf8_lossy(&bytes).lines() {
                let Some(data) = line.strip_prefix("data: ") else { continue };
                let Ok(chunk) = serde_json::from_str::<Value>(data) else { continue };
                text.push_str(chunk["choices"][0]["delta"]["content"].as_str().unwrap_or(""));
            }
            if is_done {
                acknowledged.push(says);
                acknowledged.extend((!text.trim().is_empty()).then(|| text.clone()));
                history.push(json!({ "role": "assistant", "content": text }));
            }
        }
        server.kill();
        let stored = stored(&folder);
        for said in &acknowledged {
            assert!(stored.contains(said), "lost in round {round}: {said:?} of {stored:?}");
        }
    }
    assert!(acknowledged.len() >= 8, "{acknowledged:?}");
}
