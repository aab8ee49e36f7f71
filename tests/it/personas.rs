//! Personas over HTTP and by the command line: the file that may change, cards in and out.

use std::io::{Cursor, Write as _};
use std::path::Path;
use std::process::Command;

use rhapsode::persona::lorebook::Lorebook;
use rhapsode::store::Store;
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::documents::assert_valid;
use crate::support::{Scripted, TestApp};

const ROOT: &str = "/api/v1/personas";

async fn app() -> TestApp {
    Scripted::answering(&["Text."], &[]).await
}

fn example(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/personas");
    std::fs::read(folder.join(name)).unwrap()
}

fn card(name: &str) -> Vec<u8> {
    json!({ "spec": "chara_card_v2", "data": { "name": name } }).to_string().into_bytes()
}

async fn status_and_json(answer: reqwest::Response) -> (u16, Value) {
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    (status, serde_json::from_str(&text).unwrap())
}

/// Sends a card as the body.
async fn import(app: &TestApp, query: &str, kind: &str, card: Vec<u8>) -> (u16, Value) {
    let request = app.client.post(format!("{}{ROOT}/import{query}", app.base));
    let request = if kind.is_empty() { request } else { request.header("content-type", kind) };
    let answer = request.body(card).send().await.unwrap();
    status_and_json(answer).await
}

async fn bytes(app: &TestApp, path: &str) -> (String, String, Vec<u8>) {
    let answer = app.client.get(format!("{}{ROOT}/{path}", app.base)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    let (kind, disposition) = (header("content-type"), header("content-disposition"));
    (kind, disposition, answer.bytes().await.unwrap().to_vec())
}

/// Sends these fields as a form.
async fn send(app: &TestApp, fields: &[(&str, &[u8])]) -> (u16, Value) {
    let mut body = Vec::new();
    for (name, value) in fields {
        let head = format!("--limit\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend([head.as_bytes(), value, b"\r\n"].concat());
    }
    body.extend(b"--limit--\r\n");
    import(app, "", "multipart/form-data; boundary=limit", body).await
}

async fn delete(app: &TestApp, key: &str) -> (u16, Value) {
    let request = app.client.delete(format!("{}{ROOT}/{key}", app.base));
    let answer = request.send().await.unwrap();
    status_and_json(answer).await
}

fn keys(list: &Value) -> Vec<&str> {
    list["personas"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_shipped_personas_are_listed_at_both_places() {
    let app = app().await;
    let list = app.get("/personas").await.json();
    assert_valid("PersonaList.json", &list);
    let shipped = ["sarah", "xhash", "neutral", "mental_health_nurse", "supportive_coach"];
    assert_eq!(keys(&list), shipped);
    assert_eq!(app.get(ROOT).await.json(), list);
    assert_eq!(list["personas"][3]["name"], "Clara");
    assert!(list.get("error").is_none());
    let clara = app.get(&format!("{ROOT}/mental_health_nurse")).await.json();
    assert_valid("PersonaDetails.json", &clara);
    assert!(clara["system_prompt"].as_str().unwrap().contains("emergency"), "{clara}");
    assert_eq!(clara["imported"], false);
    assert_eq!(app.get(&format!("{ROOT}/nobody")).await.status, 404);
}

#[tokio::test]
async fn a_card_goes_in_and_comes_out_as_it_was() {
    let app = app().await;
    let keeper = example("lighthouse-keeper.json");
    let (status, imported) = import(&app, "", "application/json", keeper.clone()).await;
    assert_eq!(status, 201, "{imported}");
    assert_valid("PersonaImported.json", &imported);
    assert_eq!(imported["warnings"], json!([]));
    assert_eq!(imported["persona"]["key"], "ilse");
    assert_eq!(keys(&app.get("/personas").await.json()).last(), Some(&"ilse"));
    let details = app.get(&format!("{ROOT}/ilse")).await.json();
    assert_valid("PersonaDetails.json", &details);
    assert_eq!((&details["imported"], &details["book_entries"]), (&json!(true), &json!(8)));
    assert!(details["after_history"].as_str().unwrap().starts_with("Answer as Ilse"));
    let (kind, disposition, own) = bytes(&app, "ilse/export").await;
    assert_eq!((kind.as_str(), own == keeper), ("application/json", true));
    assert_eq!(disposition, "attachment; filename=\"persona.json\"");

    let (kind, _, png) = bytes(&app, "ilse/export?format=png").await;
    assert_eq!(kind, "image/png");
    assert_eq!(import(&app, "?key=by-picture", "image/png", png.clone()).await.0, 201);
    assert_eq!(bytes(&app, "by-picture/export").await.2, png);
    let (kind, _, charx) = bytes(&app, "by-picture/export?format=charx").await;
    assert_eq!(kind, "application/zip");
    assert_eq!(import(&app, "?key=by-archive", "application/zip", charx).await.0, 201);
    assert_eq!(bytes(&app, "by-archive/export?format=json").await.2, keeper);

    assert_eq!(delete(&app, "ilse").await, (200, json!({ "deleted": true })));
    assert_eq!(delete(&app, "ilse").await.0, 404);
    assert_eq!(app.get(&format!("{ROOT}/ilse/export")).await.status, 404);
    assert_eq!(app.get(&format!("{ROOT}/by-picture/export?format=gif")).await.status, 422);
}

#[tokio::test]
async fn a_form_takes_key_and_replace() {
    let app = app().await;
    let (aria, tove, key) = (card("Aria"), card("Tove"), ("key", &b"mara"[..]));
    assert_eq!(send(&app, &[("file", &aria), key]).await.0, 201);
    assert_eq!(send(&app, &[("file", &tove), key]).await.0, 409);
    let (status, replaced) = send(&app, &[("file", &tove), key, ("replace", b"true")]).await;
    assert_eq!((status, &replaced["persona"]["name"]), (201, &json!("Tove")));
    assert_eq!(app.get(&format!("{ROOT}/mara")).await.json()["name"], "Tove");
    let (status, refused) = send(&app, &[key]).await;
    assert_eq!((status, &refused["errors"][0]["path"]), (422, &json!("/file")), "{refused}");
    assert_eq!(send(&app, &[("file", &tove), ("replace", b"perhaps")]).await.0, 422);
    assert_eq!(send(&app, &[("file", &tove), ("colour", b"blue")]).await.0, 422);
    let broken = import(&app, "", "multipart/form-data; boundary=x", aria.clone()).await;
    assert_eq!(broken.0, 400, "{}", broken.1);
    assert_eq!(import(&app, "", "multipart/form-data", aria).await.0, 400);
}

#[tokio::test]
async fn what_is_refused_says_why_and_where() {
    let app = app().await;
    let json = "application/json";
    let (status, refused) = import(&app, "", json, card("Sarah")).await;
    assert_eq!((status, &refused["code"]), (409, &json!("CONFLICT")), "{refused}");
    assert_eq!(import(&app, "?key=sarah&replace=true", json, card("Aria")).await.0, 409);
    assert_eq!(import(&app, "", json, card("Aria")).await.0, 201);
    assert_eq!(import(&app, "", json, card("Aria")).await.0, 409);
    assert_eq!(import(&app, "?replace=true", "", card("Aria")).await.0, 201);
    assert_eq!(import(&app, "?replace=1", json, card("Aria")).await.0, 422);
    assert_eq!(import(&app, "?key=No%20Key", json, card("Aria")).await.0, 422);
    assert_eq!(import(&app, "", "text/html", card("Mara")).await.0, 415);
    let (status, refused) = import(&app, "", "image/png", b"GIF89a".to_vec()).await;
    assert_eq!((status, &refused["code"]), (415, &json!("UNSUPPORTED_MEDIA_TYPE")));
    let wrong = json!({ "data": { "name": "Mara", "scenario": 3 } }).to_string();
    let (status, refused) = import(&app, "", json, wrong.into_bytes()).await;
    assert_eq!(status, 422);
    assert_eq!(refused["errors"][0]["path"], "/file/data/scenario", "{refused}");
    for broken in [&b"\x89PNG\r\n\x1a\n"[..], b"PK\x03\x04", b"{", b"{\"name\": \"\xff\"}"] {
        let (status, refused) = import(&app, "", "application/octet-stream", broken.into()).await;
        assert_eq!((status, &refused["errors"][0]["path"]), (422, &json!("/file")), "{refused}");
    }
    assert_eq!(import(&app, "", json, Vec::new()).await.0, 422);
    let deep = format!("{{\"name\": {}", "[".repeat(1_000_000));
    assert_eq!(import(&app, "", json, deep.into_bytes()).await.0, 422);
    assert_eq!(delete(&app, "sarah").await.0, 409);
    assert_eq!(delete(&app, "nobody").await.0, 404);
    assert_eq!(keys(&app.get("/personas").await.json()).len(), 6);
}

#[tokio::test]
async fn what_is_too_large_is_refused_packed_or_not() {
    let app = app().await;
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("card.json", SimpleFileOptions::default()).unwrap();
    for _ in 0..100 {
        archive.write_all(&vec![b' '; 1024 * 1024]).unwrap();
    }
    let bomb = archive.finish().unwrap().into_inner();
    let (status, refused) = import(&app, "", "application/zip", bomb).await;
    assert_eq!((status, &refused["code"]), (413, &json!("BODY_TOO_LARGE")), "{refused}");
    let small = Scripted::answering(&["Text."], &[("MAX_REQUEST_BYTES", "1KiB")]).await;
    let large = card(&"a".repeat(2_000));
    assert_eq!(import(&small, "", "application/json", large.clone()).await.0, 413);
    assert_eq!(send(&small, &[("file", &large)]).await.0, 413);
}

#[tokio::test]
async fn a_persona_of_the_file_can_be_exported_as_a_card() {
    let app = app().await;
    let (kind, _, sarah) = bytes(&app, "sarah/export").await;
    assert_eq!(kind, "application/json");
    let (status, imported) = import(&app, "?key=sarah-2", "application/json", sarah).await;
    assert_eq!(status, 201, "{imported}");
    let prompts = ["sarah", "sarah-2"].map(|key| format!("{ROOT}/{key}"));
    let (own, copy) = (app.get(&prompts[0]).await.json(), app.get(&prompts[1]).await.json());
    for field in ["name", "role", "system_prompt", "temperature", "max_tokens", "tags", "greeting"]
    {
        assert_eq!(own[field], copy[field], "{field}");
    }
}

#[tokio::test]
async fn cards_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let Scripted { app, .. } = Scripted::in_folder(folder.path(), &[]).await;
    assert_eq!(import(&app, "", "application/json", card("Ärla Ø")).await.0, 201);
    app.stop_and_wait().await;
    let Scripted { app, .. } = Scripted::in_folder(folder.path(), &[]).await;
    assert_eq!(keys(&app.get("/personas").await.json()).last(), Some(&"ärla-ø"));
    assert_eq!(bytes(&app, "%C3%A4rla-%C3%B8/export").await.2, card("Ärla Ø"));
    assert_eq!(delete(&app, "%C3%A4rla-%C3%B8").await.0, 200);
}

#[tokio::test]
async fn a_changed_file_is_taken_up_and_a_bad_one_keeps_the_running_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.yaml");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write("aria: {system_prompt: You are Aria.}\n");
    let settings = [("PERSONAS_FILE", path.to_str().unwrap())];
    let app = Scripted::answering(&["Text."], &settings).await;
    assert_eq!(keys(&app.get("/personas").await.json()), ["aria"]);

    write("aria: {system_prompt: You are Aria.}\nmara: {system_prompt: You are Mara.}\n");
    assert_eq!(keys(&app.get("/personas").await.json()), ["aria", "mara"]);

    write("tove:\n  system_prompt: You are Tove.\n  temperature: 3\n");
    let list = app.get("/personas").await.json();
    assert_valid("PersonaList.json", &list);
    assert_eq!(keys(&list), ["aria", "mara"]);
    let error = list["error"].as_str().unwrap();
    assert!(error.contains("line 3, column 16") && error.contains("tove.temperature"), "{error}");

    std::fs::remove_file(&path).unwrap();
    let list = app.get("/personas").await.json();
    assert_eq!(keys(&list), ["aria", "mara"]);
    assert!(list["error"].as_str().unwrap().contains("PERSONAS_FILE"), "{list}");

    write("tove: {system_prompt: You are Tove., tags: [tall]}\n");
    let list = app.get("/personas").await.json();
    assert_eq!((keys(&list), list.get("error")), (vec!["tove"], None));
    assert_eq!(list["personas"][0]["tags"], json!(["tall"]));
    assert_eq!(app.get(&format!("{ROOT}/aria")).await.status, 404);
}

#[tokio::test]
async fn a_thousand_cards_are_kept_and_one_of_them_can_still_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let file = card("Aria");
    let filling = store.run(move |connection| {
        let sql = "WITH RECURSIVE number(at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM number
                WHERE at < 1000)
            INSERT INTO persona_cards (key, format, file, made_at)
            SELECT 'card-' || at, 'json', ?1, 0 FROM number";
        Ok(connection.execute(sql, [file])?)
    });
    assert_eq!(filling.await.unwrap(), 1_000);
    let Scripted { app, .. } = Scripted::in_folder(folder.path(), &[]).await;
    let json = "application/json";
    let (status, refused) = import(&app, "?key=another", json, card("Mara")).await;
    assert_eq!(status, 409, "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("remove some"), "{refused}");
    assert_eq!(import(&app, "?key=card-7&replace=true", json, card("Mara")).await.0, 201);
    assert_eq!(delete(&app, "card-8").await.0, 200);
    assert_eq!(import(&app, "?key=another", json, card("Mara")).await.0, 201);
}

#[tokio::test]
async fn a_card_gives_way_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.yaml");
    std::fs::write(&path, "aria: {system_prompt: You are Aria.}\n").unwrap();
    let settings = [("PERSONAS_FILE", path.to_str().unwrap())];
    let app = Scripted::answering(&["Text."], &settings).await;
    assert_eq!(import(&app, "", "application/json", card("Mara")).await.0, 201);
    std::fs::write(&path, "mara: {system_prompt: You are another., name: Another}\n").unwrap();
    assert_eq!(keys(&app.get("/personas").await.json()), ["mara"]);
    assert_eq!(app.get(&format!("{ROOT}/mara")).await.json()["name"], "Another");
}

#[test]
fn the_examples_are_read_without_a_warning() {
    let card: Value = serde_json::from_slice(&example("lighthouse-keeper.json")).unwrap();
    let (book, warnings) = Lorebook::of_card(&card);
    assert_eq!((book.len(), warnings), (8, Vec::new()));
    let book: Value = serde_json::from_slice(&example("saltmere-lorebook.json")).unwrap();
    let (book, warnings) = Lorebook::of_world_info(&book);
    assert_eq!((book.len(), warnings), (9, Vec::new()));
}

/// What the binary says, and its exit code.
fn rhapsode(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhapsode"));
    let output = command.args(arguments).current_dir(folder).env_clear().output().unwrap();
    let said = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it)).concat();
    (output.status.code().unwrap(), said)
}

#[test]
fn the_command_line_imports_lists_exports_and_removes() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = example("lighthouse-keeper.json");
    std::fs::write(folder.path().join("keeper.json"), &keeper).unwrap();
    let run = |arguments: &[&str]| rhapsode(folder.path(), arguments);
    let (code, said) = run(&["persona", "import", "keeper.json"]);
    assert!(code == 0 && said.contains("imported Ilse as ilse"), "{said}");
    assert_eq!(run(&["persona", "import", "keeper.json"]).0, 1);
    assert_eq!(run(&["persona", "import", "keeper.json", "--replace"]).0, 0);
    assert_eq!(run(&["persona", "import", "keeper.json", "--key", "keeper"]).0, 0);
    let (_, said) = run(&["persona", "list"]);
    assert!(said.contains("sarah") && said.contains("keeper") && said.contains("a card"), "{said}");
    assert_eq!(run(&["persona", "export", "ilse", "--format", "png", "-o", "a.png"]).0, 0);
    assert_eq!(run(&["persona", "import", "a.png", "--key", "painted"]).0, 0);
    let (code, json) = run(&["persona", "export", "painted", "--format", "json"]);
    assert_eq!((code, json.into_bytes()), (0, keeper));
    assert_eq!(run(&["persona", "remove", "ilse"]).0, 0);
    let (code, said) = run(&["persona", "remove", "ilse"]);
    assert!(code == 1 && said.contains("no persona"), "{said}");
    let (code, said) = run(&["persona", "import", "nowhere.png"]);
    assert!(code == 1 && said.contains("nowhere.png"), "{said}");
}

#[test]
fn a_bad_or_missing_file_is_a_fault_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("personas.yaml"), "aria:\n  name: Aria\n").unwrap();
    for command in ["check", "serve"] {
        let (code, said) = rhapsode(folder.path(), &[command, "-s", "MODEL_PATH=nowhere"]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("line 1") && said.contains("aria: lacks its"), "{said}");
        let missing = [command, "-s", "PERSONAS_FILE=no.yaml", "-s", "MODEL_PATH=nowhere"];
        let (code, said) = rhapsode(folder.path(), &missing);
        assert!(code == 1 && said.contains("no.yaml") && said.contains("PERSONAS_FILE"), "{said}");
    }
}
