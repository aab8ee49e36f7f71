//! Seeing and mending what is remembered, over HTTP.

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};

use crate::documents::assert_valid;
use crate::support::{PATIENCE, Scripted, TestApp};

/// Summaries are made only where a test brings its own: else one could come between two looks.
const NO_SUMMARIES: (&str, &str) = ("SUMMARIZE_AFTER_MESSAGES", "1000");

/// Answers tell what they answer to; a swipe, asked for with another seed, reads another way.
async fn app() -> TestApp {
    let say = |request: &rhapsode::engine::GenerateRequest| {
        let asked = request.messages.last().map_or("", |message| message.content.as_str());
        let again = if request.sampling.seed == 2 { " again" } else { "" };
        format!("{} I answer{again}.", asked.lines().last().unwrap_or_default())
    };
    Scripted::saying(say, &[NO_SUMMARIES]).await
}

async fn ask(
    app: &TestApp,
    method: &str,
    path: &str,
    body: impl Into<reqwest::Body>,
) -> (u16, Value) {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = app.client.request(method, format!("{}/api/v1/memory{path}", app.base));
    let answer = request.body(body).send().await.unwrap();
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn done(app: &TestApp, method: &str, path: &str, body: Value) -> Value {
    let (status, answer) = ask(app, method, path, body.to_string()).await;
    assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
    answer
}

async fn seen(app: &TestApp, path: &str) -> Value {
    done(app, "GET", path, Value::Null).await
}

async fn export(app: &TestApp, path: &str) -> String {
    app.get(&format!("/api/v1/memory{path}")).await.text
}

/// Says these things one after another; the last one `seeds` times.
async fn talk(app: &TestApp, session: &str, said: &[&str], swipes: usize) {
    let mut messages = vec![json!({ "role": "system", "content": "You are Aria." })];
    for (at, text) in said.iter().enumerate() {
        messages.push(json!({ "role": "user", "content": text }));
        let times = if at + 1 == said.len() { swipes } else { 1 };
        for seed in 1..=times {
            let body = json!({ "user": session, "messages": messages, "seed": seed });
            let answer = app.post_json("/v1/chat/completions", &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            if seed == times {
                messages.push(answer.json()["choices"][0]["message"].clone());
            }
        }
    }
}

async fn until_embedded(app: &TestApp, session: &str) {
    let is_bare = |it: &Value| it["has_vector"] == false && it["forgotten"] == false;
    let embedded = async {
        while seen(app, &format!("/{session}?branches=true")).await["messages"]
            .as_array()
            .is_some_and(|messages| messages.iter().any(is_bare))
        {}
    };
    tokio::time::timeout(PATIENCE, embedded).await.expect("all is embedded in the end");
}

fn texts(messages: &Value) -> Vec<&str> {
    messages.as_array().unwrap().iter().map(|it| it["text"].as_str().unwrap()).collect()
}

fn ids(messages: &Value) -> Vec<i64> {
    messages.as_array().unwrap().iter().map(|it| it["id"].as_i64().unwrap()).collect()
}

/// A session as another server exported it: so many messages in a row, a summary of the first
/// twenty, and two facts, one superseded.
fn exported(messages: usize) -> String {
    let mut lines = vec![
        json!({ "type": "session", "version": 1, "name": "elsewhere", "persona": "You are Aria.",
            "persona_is_set": true, "created_at": "2025-06-01T00:00:00Z" }),
    ];
    lines.extend((0..messages).map(|at| {
        let role = if at % 2 == 0 { "user" } else { "assistant" };
        json!({ "type": "message", "id": at + 7, "parent": at.checked_sub(1).map(|it| it + 7),
            "role": role, "text": format!("word{at} of the storm"), "said_at": "2025-06-01T00:00:00Z" })
    }));
    lines.push(json!({ "type": "fact", "id": 1, "text": "Mara is tall.", "source_message": 8,
        "made_at": "2025-06-02T00:00:00Z", "superseded_by": 2 }));
    lines.push(json!({ "type": "fact", "id": 2, "text": "Mara is short.", "source_message": 8,
        "made_at": "2025-06-03T00:00:00Z" }));
    if messages >= 20 {
        lines.push(json!({ "type": "summary", "level": 0, "first_depth": 0, "last_depth": 19,
            "last_message": 26, "text": "There was a storm.", "tokens": 5,
            "made_at": "2025-06-02T00:00:00Z", "account": { "strategy": "conversation_history",
            "method": "model", "ratio": 0.5, "quality": 1.0, "degraded": null, "cached": false,
            "depth": 1, "sentences": [] } }));
    }
    let lines: Vec<_> = lines.iter().map(Value::to_string).collect();
    lines.join("\n")
}

async fn import(app: &TestApp, session: &str, body: impl Into<reqwest::Body>) -> Value {
    let (status, answer) = ask(app, "POST", &format!("/{session}/import"), body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test]
async fn a_session_is_shown_whatever_its_name() {
    let app = app().await;
    talk(&app, "a/b.c\0 ü?#%2F", &["Hello.", "Who lit the lamp?"], 2).await;
    let list = seen(&app, "?limit=1").await;
    assert_valid("MemorySessions.json", &list);
    assert_eq!((&list["total"], &list["sessions"][0]["messages"]), (&json!(1), &json!(4)));
    assert_eq!(list["sessions"][0]["session"], "a/b.c\0 ü?#%2F");
    assert_eq!(list["sessions"][0]["used_at"], "2026-01-02T03:04:05Z");
    let path = "/a%2Fb%2Ec%00%20%C3%BC%3F%23%252F";
    let session = seen(&app, path).await;
    assert_valid("MemorySession.json", &session);
    let newest = &session["messages"][3];
    assert_eq!(newest["text"], "Who lit the lamp? I answer again.");
    assert_eq!((&newest["provisional"], &newest["depth"]), (&json!(true), &json!(3)));
    assert_eq!(session["messages"][1]["provisional"], false);
    let page = seen(&app, &format!("{path}?offset=1&limit=2")).await;
    assert_eq!(
        page["messages"].as_array().unwrap()[..],
        session["messages"].as_array().unwrap()[1..3]
    );
    let all = seen(&app, &format!("{path}?branches=true")).await;
    assert_eq!((&all["total"], &session["total"]), (&json!(5), &json!(4)));
    let off: Vec<_> =
        all["messages"].as_array().unwrap().iter().filter(|it| it["on_path"] == false).collect();
    assert_eq!(off.len(), 1);
    assert_eq!(off[0]["text"], "Who lit the lamp? I answer.");
    let lamp = &session["messages"][2];
    let source = seen(&app, &format!("{path}/messages/{}", lamp["id"])).await;
    assert_valid("MemoryProvenance.json", &source);
    assert_eq!(texts(&source["before"]), ["Hello.", "Hello. I answer."]);
    assert_eq!(ids(&source["children"]).len(), 2);
}

#[tokio::test]
async fn what_is_corrected_or_forgotten_is_found_by_its_old_words_never_again() {
    let app = app().await;
    import(&app, "s", exported(25)).await;
    let search = async |words: &str| {
        let found = seen(&app, &format!("/s/search?q={words}")).await;
        assert_valid("MemorySearch.json", &found);
        found["results"].as_array().unwrap().clone()
    };
    let found = search("storm%20word3").await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["snippet"], "[word3] of the [storm]");
    assert!(found[0]["score"].as_f64().unwrap() > 0.0);
    assert!(search("%22*%20(%20NEAR(%20%00").await.is_empty(), "syntax is no syntax");
    let path = format!("/s/messages/{}", found[0]["message"]["id"]);
    let before = seen(&app, &path).await;
    assert_eq!(before["summaries"].as_array().unwrap().len(), 1);
    until_embedded(&app, "s").await;
    let change = json!({ "corrected": "a calm night", "pinned": true });
    let changed = done(&app, "PATCH", &path, change).await;
    assert_valid("MemoryMessage.json", &changed);
    assert_eq!((&changed["has_vector"], &changed["pinned"]), (&json!(false), &json!(true)));
    assert!(search("word3").await.is_empty());
    assert_eq!(search("calm").await[0]["snippet"], "a [calm] night");
    // The summary told the old words; none tells the message now.
    assert!(seen(&app, &path).await["summaries"].as_array().unwrap().is_empty());
    until_embedded(&app, "s").await;
    done(&app, "PATCH", &path, json!({ "forgotten": true })).await;
    assert!(search("calm").await.is_empty() && search("word3").await.is_empty());
    assert_eq!(done(&app, "PATCH", &path, json!({})).await["has_vector"], false);
    done(&app, "PATCH", &path, json!({ "forgotten": false, "corrected": null })).await;
    assert_eq!(search("word3").await.len(), 1);
    until_embedded(&app, "s").await;
}

#[tokio::test]
async fn a_deleted_message_takes_what_followed_with_it() {
    let app = app().await;
    talk(&app, "s", &["One.", "Two.", "Three."], 1).await;
    let before = ids(&seen(&app, "/s").await["messages"]);
    let gone = done(&app, "DELETE", &format!("/s/messages/{}", before[3]), Value::Null).await;
    assert_eq!(gone, json!({ "deleted": 3 }));
    assert_eq!(ids(&seen(&app, "/s?branches=true").await["messages"]), before[..3]);
    assert_eq!(seen(&app, "").await["sessions"][0]["messages"], 3);
    // The talk goes on from there.
    talk(&app, "s", &["One.", "Two."], 1).await;
    assert_eq!(seen(&app, "/s").await["total"], 4);
    done(&app, "DELETE", &format!("/s/messages/{}", before[0]), Value::Null).await;
    assert_eq!(seen(&app, "/s").await["messages"], json!([]));
}

/// Where this stands in the database's files, each with what follows it.
fn marked(app: &TestApp, mark: &str) -> Vec<String> {
    let files = std::fs::read_dir(app.folder()).unwrap();
    let files = files.filter_map(|entry| std::fs::read(entry.unwrap().path()).ok());
    files
        .filter_map(|bytes| {
            let lower = bytes.to_ascii_lowercase();
            let at = lower.windows(mark.len()).position(|window| window == mark.as_bytes())?;
            let end = (at + 40).min(bytes.len());
            Some(String::from_utf8_lossy(&bytes[at..end]).into_owned())
        })
        .collect()
}

#[tokio::test]
async fn nothing_of_a_deleted_session_can_be_read_in_the_files() {
    let app = app().await;
    talk(&app, "secret-xyzzy-name", &["The xyzzyword is plugh.", "And xyzzyagain."], 2).await;
    let body = json!({ "text": "Xyzzypersona. ".repeat(500) });
    done(&app, "PUT", "/secret-xyzzy-name/persona", body).await;
    done(&app, "POST", "/secret-xyzzy-name/facts", json!({ "text": "xyzzyfact" })).await;
    import(&app, "secret-xyzzy-name", exported(30).replace("storm", &"xyzzylong ".repeat(2000)))
        .await;
    talk(&app, "another", &["Hello."], 1).await;
    assert!(!marked(&app, "xyzzy").is_empty());
    let deleted = done(&app, "DELETE", "/secret-xyzzy-name", Value::Null).await;
    assert_eq!(deleted, json!({ "deleted": true }));
    assert_eq!(marked(&app, "xyzzy"), Vec::<String>::new());
    assert_eq!(ask(&app, "GET", "/secret-xyzzy-name", "").await.0, 404);
    assert_eq!(seen(&app, "/another").await["total"], 2);
}

#[tokio::test]
async fn a_persona_set_by_hand_stands_until_it_is_cleared() {
    let app = app().await;
    let card = json!({ "name": "Mara", "description": "{{char}} sails with {{user}}.", "first_mes": "Ahoy." });
    let set = done(&app, "PUT", "/s/persona", json!({ "card": card })).await;
    assert_eq!(set["persona"], "You are Mara.\n\nMara sails with User.");
    talk(&app, "s", &["Hello."], 1).await;
    let session = seen(&app, "/s").await;
    assert_eq!((&session["persona"], &session["persona_is_set"]), (&set["persona"], &json!(true)));
    done(&app, "PUT", "/s/persona", json!({ "text": "You are a gull." })).await;
    assert_eq!(seen(&app, "").await["sessions"][0]["persona"], "You are a gull.");
    done(&app, "DELETE", "/s/persona", Value::Null).await;
    talk(&app, "s", &["Hello.", "Who are you?"], 1).await;
    assert_eq!(seen(&app, "/s").await["persona"], "You are Aria.");
}

#[tokio::test]
async fn a_changed_fact_supersedes_the_old_one() {
    let app = app().await;
    talk(&app, "s", &["My sister is Mara."], 1).await;
    let said = ids(&seen(&app, "/s").await["messages"])[0];
    let body = json!({ "text": "Mara is the user's sister.", "source_message": said });
    let fact = done(&app, "POST", "/s/facts", body).await;
    assert_valid("MemoryFact.json", &fact);
    assert_eq!(seen(&app, &format!("/s/messages/{said}")).await["facts"], json!([fact]));
    let path = format!("/s/facts/{}", fact["id"]);
    let unpinned = done(&app, "PATCH", &path, json!({ "pinned": false })).await;
    assert_eq!((&unpinned["id"], &unpinned["pinned"]), (&fact["id"], &json!(false)));
    let new = done(&app, "PATCH", &path, json!({ "text": "Mara is her cousin." })).await;
    assert_eq!((&new["source_message"], &new["pinned"]), (&json!(said), &json!(false)));
    assert_eq!(seen(&app, "/s").await["facts"][0]["superseded_by"], new["id"]);
    assert_eq!(ask(&app, "PATCH", &path, r#"{"text": "x"}"#).await.0, 409);
    done(&app, "DELETE", &format!("/s/facts/{}", new["id"]), Value::Null).await;
    let left = &seen(&app, "/s").await["facts"];
    assert_eq!((left.as_array().unwrap().len(), &left[0]["pinned"]), (1, &json!(false)));
}

/// An export without what is its own: the name, and ids by their order.
fn nameless(export: &str) -> Vec<Value> {
    let mut lines: Vec<Value> =
        export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for kind in ["message", "fact"] {
        let of_kind = lines.iter().filter(|line| line["type"] == kind);
        let ids: Vec<Value> = of_kind.map(|line| line["id"].clone()).collect();
        for line in &mut lines {
            for key in ["id", "parent", "tip", "source_message", "superseded_by", "last_message"] {
                let is_of_kind = match key {
                    "id" => line["type"] == kind,
                    "superseded_by" => kind == "fact",
                    _ => kind == "message",
                };
                if is_of_kind && line[key].is_i64() {
                    line[key] =
                        json!(format!("{kind} {:?}", ids.iter().position(|id| *id == line[key])));
                }
            }
        }
    }
    lines[0]["name"] = Value::Null;
    lines
}

#[tokio::test]
async fn an_export_is_read_back_without_loss_and_a_second_time_without_effect() {
    let app = app().await;
    import(&app, "one", exported(25)).await;
    talk(&app, "one", &["Hello.", "Aria: Who?"], 3).await;
    let id = ids(&seen(&app, "/one").await["messages"])[4];
    let change = json!({ "corrected": "calm", "forgotten": true, "pinned": true });
    done(&app, "PATCH", &format!("/one/messages/{id}"), change).await;
    // With their vectors messages are judged anew.
    until_embedded(&app, "one").await;
    let first = export(&app, "/one/export").await;
    for line in first.lines() {
        assert_valid("MemoryLine.json", &serde_json::from_str(line).unwrap());
    }
    let counts = import(&app, "two", first.clone()).await;
    assert_eq!((&counts["facts"], &counts["skipped"]), (&json!(2), &json!(0)), "{counts}");
    until_embedded(&app, "two").await;
    let second = export(&app, "/two/export").await;
    assert_eq!(nameless(&first), nameless(&second));
    let again = import(&app, "two", first.clone()).await;
    assert_eq!(
        (&again["messages"], &again["facts"], &again["summaries"]),
        (&json!(0), &json!(0), &json!(0))
    );
    assert_eq!(export(&app, "/two/export").await, second);
    // In the place of something else.
    talk(&app, "three", &["Other words."], 1).await;
    let (status, _) = ask(&app, "POST", "/three/import?replace=true", first.clone()).await;
    assert_eq!((status, nameless(&export(&app, "/three/export").await)), (200, nameless(&first)));
}

#[tokio::test]
async fn swipes_go_to_sillytavern_and_come_back() {
    let app = app().await;
    talk(&app, "s", &["Hello.", "Who lit the lamp?"], 2).await;
    let chat = export(&app, "/s/export?format=sillytavern").await;
    insta::assert_snapshot!("sillytavern_chat", chat);
    let counts = import(&app, "t", chat.clone()).await;
    assert_eq!(counts, json!({ "messages": 5, "facts": 0, "summaries": 0, "skipped": 0 }));
    let (there, back) = (seen(&app, "/s").await, seen(&app, "/t").await);
    assert_eq!(texts(&there["messages"]), texts(&back["messages"]));
    assert_eq!(import(&app, "s", chat).await["messages"], 0, "the hashes are the same");
    let hidden = r#"{"user_name": "You", "character_name": "Aria"}
{"name": "System", "is_system": true, "mes": "Welcome!"}
{"name": "Aria", "mes": "Ahoy.", "swipes": ["Ahoy.", "Hello."], "swipe_id": 0, "send_date": "January 2, 2025 3:04pm"}"#;
    assert_eq!(import(&app, "u", hidden).await["skipped"], 1);
    let first = &seen(&app, "/u").await["messages"][0];
    assert_eq!(
        (&first["speaker"], &first["said_at"]),
        (&json!("Aria"), &json!("2025-01-02T15:04:00Z"))
    );
}

#[tokio::test]
async fn a_fork_goes_its_own_way_with_all_it_had() {
    let app = app().await;
    import(&app, "one", exported(25)).await;
    let messages = ids(&seen(&app, "/one").await["messages"]);
    done(&app, "PATCH", &format!("/one/messages/{}", messages[21]), json!({ "corrected": "calm" }))
        .await;
    let body = json!({ "to": "two", "at_message": messages[21] });
    let fork = done(&app, "POST", "/one/fork", body.clone()).await;
    assert_eq!(fork, json!({ "session": "two", "messages": 22, "facts": 2, "summaries": 1 }));
    let two = seen(&app, "/two").await;
    assert_eq!(
        (&two["persona"], &two["messages"][21]["corrected"]),
        (&json!("You are Aria."), &json!("calm"))
    );
    assert_eq!(two["facts"][0]["superseded_by"], two["facts"][1]["id"]);
    assert_eq!(two["facts"][0]["source_message"], two["messages"][1]["id"]);
    done(&app, "DELETE", &format!("/two/messages/{}", two["messages"][0]["id"]), Value::Null).await;
    assert_eq!(seen(&app, "/one").await["total"], 25);
    assert_eq!(ask(&app, "POST", "/one/fork", body.to_string()).await.0, 409);
}

/// Far deeper than SQLite follows from row to row by itself.
const LONG: usize = 20_000;

#[tokio::test]
async fn a_long_talk_is_read_in_and_deleted_while_others_read() {
    let app = app().await;
    let body = exported(LONG);
    let (begun, mut reads, mut longest) = (Instant::now(), 0, 0.0_f64);
    let importing = import(&app, "s", body);
    tokio::pin!(importing);
    let counts = loop {
        let asked = Instant::now();
        tokio::select! {
            counts = &mut importing => break counts,
            _ = seen(&app, "") => {
                reads += 1;
                longest = longest.max(asked.elapsed().as_secs_f64());
            }
        }
    };
    println!(
        "imported in {:.1?}; {reads} reads meanwhile, the longest {longest:.3} s",
        begun.elapsed()
    );
    assert!(reads > 0);
    assert_eq!(counts["messages"], LONG);
    let begun = Instant::now();
    let written = export(&app, "/s/export").await;
    assert_eq!(written.matches(r#"{"type":"message""#).count(), LONG);
    println!("exported in {:.1?}", begun.elapsed());
    let begun = Instant::now();
    let first =
        seen(&app, &format!("/s?limit=1&offset={}", LONG / 2)).await["messages"][0]["id"].clone();
    println!("a page from the middle in {:.1?}", begun.elapsed());
    let begun = Instant::now();
    let gone = done(&app, "DELETE", &format!("/s/messages/{first}"), Value::Null).await;
    assert_eq!(gone["deleted"], LONG / 2);
    println!("half of them deleted in {:.1?}", begun.elapsed());
    let begun = Instant::now();
    done(&app, "DELETE", "/s", Value::Null).await;
    println!("the session deleted in {:.1?}", begun.elapsed());
    assert_eq!(marked(&app, "storm"), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_changes_nothing() {
    let app = app().await;
    import(&app, "s", exported(25)).await;
    let before = export(&app, "/s/export").await;
    let id = ids(&seen(&app, "/s").await["messages"])[0];
    let (message, long) = (format!("/s/messages/{id}"), "x".repeat(1001));
    let nul = format!("/{long}/persona");
    let cases = [
        (404, "GET", "/none", "", "no session"),
        (404, "DELETE", "/none", "", "no session"),
        (404, "GET", "/s/messages/999999", "", "branches=true"),
        (404, "GET", "/s/messages/x", "", "number"),
        (404, "PATCH", "/s/messages/999999", "{}", "999999"),
        (404, "POST", "/none/facts", r#"{"text": "x"}"#, "no session"),
        (404, "DELETE", "/s/facts/999", "", "999"),
        (404, "POST", "/s/fork", r#"{"to": "t", "at_message": 999999}"#, "999999"),
        (422, "GET", "?limit=0", "", "/limit"),
        (422, "GET", "/s?offset=-1", "", "/offset"),
        (422, "GET", "/s?branches=maybe", "", "/branches"),
        (422, "GET", "/s/search", "", "/q"),
        (422, "GET", "/s/export?format=pdf", "", "/format"),
        (422, "PATCH", &message, r#"{"corrected": " "}"#, "/corrected"),
        (422, "PATCH", &message, r#"{"pinned": "yes"}"#, "/pinned"),
        (422, "PUT", "/s/persona", "{}", "/text"),
        (422, "PUT", "/s/persona", r#"{"text": ""}"#, "/text"),
        (422, "PUT", &nul, r#"{"text": "x"}"#, "/session"),
        (422, "PUT", "/s/persona", r#"{"card": {"data": {"name": 1}}}"#, "/card/data/name"),
        (422, "POST", "/s/facts", r#"{"text": "x", "source_message": 999999}"#, "/source_message"),
        (422, "POST", "/s/fork", r#"{"to": " "}"#, "/to"),
        (422, "POST", "/s/import", "", "line 1"),
        (422, "POST", "/s/import", "{\"type\": \"session\", \"version\": 9}", "line 1"),
        (422, "POST", "/s/import", "{\"user_name\": \"x\"}\n\n{\"mes\": 1}", "line 3"),
        (422, "POST", "/s/import", "[1]", "SillyTavern"),
        (400, "GET", "/%FF", "", "UTF-8"),
        (405, "PUT", "/s", "", "method"),
    ];
    for (status, method, path, body, says) in cases {
        let (found, answer) = ask(&app, method, path, body.to_owned()).await;
        assert_eq!(found, status, "{method} {path}: {answer}");
        assert_valid("Problem.json", &answer);
        assert!(answer.to_string().contains(says), "{method} {path}: {answer}");
    }
    let new = r#"{"type": "message", "id": 1, "role": "user", "text": "new"}"#;
    for (last, says) in [
        (r#"{"type": "message", "id": 1, "role": "user", "text": "x"}"#, "line 3: an earlier"),
        (r#"{"type": "message", "id": 2, "parent": 9, "role": "user", "text": "x"}"#, "message 9"),
        (r#"{"type": "message", "id": 2, "role": "narrator", "text": "x"}"#, "line 3: unknown"),
        (r#"{"type": "message", "id": 2, "role": "user", "text": "x", "said_at": "soon"}"#, "RFC"),
        (r#"{"type": "fact", "id": 2, "text": "x", "superseded_by": 3}"#, "fact 3"),
        ("{", "line 3: EOF"),
    ] {
        let body = format!("{{\"type\": \"session\", \"version\": 1}}\n{new}\n{last}");
        let (status, answer) = ask(&app, "POST", "/s/import?replace=true", body).await;
        assert_eq!(status, 422, "{answer}");
        assert!(answer.to_string().contains(says), "{says}: {answer}");
    }
    assert_eq!(export(&app, "/s/export").await, before);
}

#[tokio::test]
async fn the_bodies_the_docs_suggest_work() {
    let app = app().await;
    talk(&app, "s", &["Hello."], 1).await;
    let message = ids(&seen(&app, "/s").await["messages"])[0];
    let fact = done(&app, "POST", "/s/facts", json!({ "text": "x" })).await["id"].clone();
    let document = app.get("/api/v1/openapi.json").await.json();
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let Some(rest) = path.strip_prefix("/api/v1/memory") else { continue };
        for (method, operation) in methods.as_object().unwrap() {
            let body = &operation["requestBody"]["content"]["application/json"]["example"];
            if body.is_object() {
                let id = if rest.contains("/messages/") { json!(message) } else { fact.clone() };
                let path = rest.replace("{session}", "s").replace("{id}", &id.to_string());
                done(&app, &method.to_uppercase(), &path, body.clone()).await;
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 5);
}
