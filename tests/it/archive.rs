//! The archive over HTTP and on the command line, each claim over the embedded archive and over a real
//! ChromaDB server.

use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt as _;
use rhapsode::archive::{ArchiveStore, ChromaStore, DocumentId, EmbeddedStore};
use rhapsode::clock::Clock;
use rhapsode::engine::FinishReason;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chroma::ChromaServer;
use crate::documents::assert_valid;
use crate::support::{
    PATIENCE, Scripted, TestApp, documented_request, events_of, models_dir, prompt_of, types_of,
};

const DOCUMENTS: &str = "/api/v1/archive/documents";
const SEARCH: &str = "/api/v1/archive/search";

const HARBOUR: &str = "Aria kept the lighthouse of Skarn for eleven years. On the night of the great \
    storm she let the lamp go out, and she told nobody why.\n\nIn spring the fishermen found the wreck \
    of the Halcyon on the northern rocks, with her holds full of oranges.\n";
const SMITHY: &str = "Tom forged a sword for the Warden of the gate. It was heavier than he was, and \
    it sang when the moon rose.\n";

/// Where a test's archive is: settings that name it, and what must live as long.
struct Place {
    settings: Vec<(&'static str, String)>,
    folder: TempDir,
}

impl Place {
    fn in_a_file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        Self { settings: vec![("ARCHIVE_DB_PATH", path)], folder }
    }

    fn on_chroma() -> Self {
        let chroma = ChromaServer::shared().settings();
        let settings = vec![
            ("ARCHIVE_BACKEND", "chroma".to_owned()),
            ("CHROMA_URL", chroma.url),
            ("ARCHIVE_COLLECTION_NAME", chroma.collection),
        ];
        Self { settings, folder: tempfile::tempdir().unwrap() }
    }

    fn settings<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let own = self.settings.iter().map(|(name, value)| (*name, value.as_str()));
        own.chain(more.iter().copied()).collect()
    }

    async fn server(&self, more: &[(&str, &str)]) -> Scripted {
        Scripted::start(&self.settings(more)).await
    }

    /// The store itself, as another process has it.
    fn store(&self) -> Arc<dyn ArchiveStore> {
        let told = |wanted: &str| {
            self.settings.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone())
        };
        match told("CHROMA_URL") {
            None => {
                let file = self.folder.path().join("story_archive.sqlite3");
                Arc::new(EmbeddedStore::new(file, Clock::system()))
            }
            Some(url) => {
                let collection = told("ARCHIVE_COLLECTION_NAME").unwrap();
                let settings = ChromaServer::shared().settings();
                let settings = rhapsode::archive::ChromaSettings { url, collection, ..settings };
                Arc::new(ChromaStore::new(settings, Clock::system()))
            }
        }
    }

    /// `rhapsode archive …`, in a folder of its own.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhapsode"));
        command
            .arg("archive")
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("MODELS_DIR", models_dir())
            .envs(self.settings.iter().map(|(name, value)| (*name, value)));
        command
    }

    fn run(&self, arguments: &[&str]) -> (Output, String) {
        let output = self.command(arguments).output().unwrap();
        let said = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it)).concat();
        (output, said)
    }
}

/// A test for each claim, about the archive at the place that the expression makes.
macro_rules! claims {
    ($module:ident, $place:expr) => {
        mod $module {
            use super::Place;

            claims! { @ $place;
                what_is_added_is_found_read_and_removed
                adding_again_changes_what_is_new
                metadata_and_names_choose_where_is_searched
                a_form_brings_files_of_every_kind_and_tells_which_failed
                progress_is_told_while_documents_come
                files_that_will_not_do_are_refused_with_what_to_do
                one_text_brought_twice_at_once_is_one_document
                results_lie_where_they_say
                a_writer_consults_the_archive
                an_answer_cites_what_was_found
                the_command_line_takes_folders_and_takes_out_again
                a_process_killed_anywhere_leaves_nothing_half_and_the_next_one_completes_it
                a_client_that_leaves_stops_the_work_and_may_come_back
            }
        }
    };
    (@ $place:expr; $($claim:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $claim() {
            super::$claim($place).await;
        }
    )*};
}

claims!(embedded, Place::in_a_file());
claims!(chroma, Place::on_chroma());

async fn add(app: &TestApp, name: &str, content: &str, metadata: Value) -> Value {
    let body = json!({ "file_name": name, "content": content, "metadata": metadata });
    let answer = app.post_json(DOCUMENTS, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_valid("ArchiveDocumentsResponse.json", &answer.json());
    answer.json()["documents"][0].clone()
}

async fn found(app: &TestApp, body: Value) -> Vec<Value> {
    let answer = app.post_json(SEARCH, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer = answer.json();
    assert_valid("ArchiveSearchResponse.json", &answer);
    let results = answer["results"].as_array().unwrap().clone();
    assert_eq!(answer["total_results"], results.len());
    results
}

async fn delete(app: &TestApp, path: &str) -> u16 {
    let request = app.client.delete(format!("{}{path}", app.base));
    request.send().await.unwrap().status().as_u16()
}

async fn stats(app: &TestApp) -> Value {
    app.get("/api/v1/archive/stats").await.json()
}

async fn what_is_added_is_found_read_and_removed(place: Place) {
    let Scripted { app, .. } = place.server(&[]).await;
    assert_eq!(found(&app, json!({ "query": "anything" })).await, [] as [Value; 0]);
    let added = add(&app, "tales/harbour.md", HARBOUR, json!({ "author": "R. Vance" })).await;
    assert_eq!(added["outcome"], "added");
    add(&app, "smithy.txt", SMITHY, json!({})).await;
    let results = found(&app, json!({ "query": "a keeper who let her beacon die" })).await;
    let best = &results[0];
    assert_eq!(best["file_path"], "tales/harbour.md");
    assert_eq!(best["file_name"], "harbour.md");
    assert_eq!(best["metadata"]["author"], "R. Vance");
    assert_eq!(best["matching_section"], HARBOUR);
    assert!(best["score"].as_f64().unwrap() > results[1]["score"].as_f64().unwrap());
    assert!(best["similarity_score"].as_f64().unwrap() > 0.35, "{best}");
    assert!(best["highlight"]["text"].as_str().unwrap().contains("lamp go out"), "{best}");
    let files = app.get("/api/v1/archive/files").await.json();
    assert_eq!(files["total_files"], 2);
    assert_eq!(files["files"][1]["file_path"], "tales/harbour.md");
    let path = "/api/v1/archive/files/content?file_path=tales/harbour.md";
    assert_eq!(app.get(path).await.json()["content"], HARBOUR);
    assert_eq!(stats(&app).await["total_chunks"], 2);
    let id = added["document"]["id"].as_str().unwrap();
    let view = app.get(&format!("{DOCUMENTS}/{id}")).await;
    assert_eq!(view.json()["characters"], HARBOUR.len());
    let list = app.get(&format!("{DOCUMENTS}?limit=1&offset=1")).await.json();
    assert_eq!((&list["total"], &list["documents"][0]["id"]), (&json!(2), &json!(id)));
    assert_eq!(delete(&app, &format!("{DOCUMENTS}/{id}")).await, 200);
    assert_eq!(delete(&app, &format!("{DOCUMENTS}/{id}")).await, 404);
    assert_eq!(delete(&app, &format!("{DOCUMENTS}?file_path=smithy.txt")).await, 200);
    assert_eq!(app.get(path).await.status, 404);
    assert_eq!(stats(&app).await["total_files"], 0);
    assert_eq!(found(&app, json!({ "query": "lighthouse" })).await, [] as [Value; 0]);
}

async fn adding_again_changes_what_is_new(place: Place) {
    let Scripted { app, .. } = place.server(&[]).await;
    let outcome = |added: Value| added["outcome"].as_str().unwrap().to_owned();
    assert_eq!(outcome(add(&app, "a.txt", HARBOUR, json!({})).await), "added");
    assert_eq!(outcome(add(&app, "a.txt", HARBOUR, json!({})).await), "unchanged");
    assert_eq!(outcome(add(&app, "a.txt", HARBOUR, json!({ "year": 3 })).await), "updated");
    let elsewhere = add(&app, "b.txt", HARBOUR, json!({})).await;
    assert_eq!(elsewhere["outcome"], "duplicate");
    assert_eq!(elsewhere["document"]["file_path"], "a.txt");
    assert_eq!(outcome(add(&app, "a.txt", SMITHY, json!({})).await), "replaced");
    assert_eq!(stats(&app).await["total_files"], 1);
    let results = found(&app, json!({ "query": "the lighthouse keeper" })).await;
    assert!(results.iter().all(|it| it["matching_section"] == SMITHY), "{results:?}");
}

async fn metadata_and_names_choose_where_is_searched(place: Place) {
    let Scripted { app, .. } = place.server(&[]).await;
    add(&app, "tales/harbour.md", HARBOUR, json!({ "tags": ["sea"], "chapter": 3 })).await;
    add(&app, "smithy.txt", SMITHY, json!({ "tags": ["iron"], "chapter": 4.0 })).await;
    for (narrowed, expected) in [
        (json!({ "filter_file_name": "smithy.txt" }), "smithy.txt"),
        (json!({ "filter_file_name": "HARBOUR.md" }), "harbour.md"),
        (json!({ "filter": { "tags": "iron" } }), "smithy.txt"),
        (json!({ "filter": { "chapter": { "$gte": 2, "$lt": 4 } } }), "harbour.md"),
    ] {
        let mut body = json!({ "query": "storm, sword and gate" });
        body.as_object_mut().unwrap().extend(narrowed.as_object().unwrap().clone());
        let results = found(&app, body.clone()).await;
        assert_eq!(results.len(), 1, "{body}");
        assert_eq!(results[0]["file_name"], expected, "{body}");
    }
    let nowhere = json!({ "query": "storm", "filter": { "tags": "air" } });
    assert_eq!(found(&app, nowhere).await, [] as [Value; 0]);
    let meaningless = json!({ "query": "storm", "filter": { "chapter": { "$near": 3 } } });
    let answer = app.post_json(SEARCH, meaningless).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(answer.text.contains("$gte"), "{}", answer.text);
}

/// Sends these files as a form.
async fn send(app: &TestApp, files: &[(&str, &[u8])], metadata: &str) -> (u16, Value) {
    let mut body = Vec::new();
    for (name, bytes) in files {
        let head = format!(
            "--limit\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
        );
        body.extend([head.as_bytes(), bytes, b"\r\n"].concat());
    }
    let head = "--limit\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n";
    body.extend(format!("{head}{metadata}\r\n--limit--\r\n").into_bytes());
    let request = app.client.post(format!("{}{DOCUMENTS}", app.base));
    let request = request.header("content-type", "multipart/form-data; boundary=limit");
    let answer = request.body(body).send().await.unwrap();
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    (status, serde_json::from_str(&text).unwrap())
}

async fn a_form_brings_files_of_every_kind_and_tells_which_failed(place: Place) {
    let Scripted { app, .. } = place.server(&[]).await;
    let page = b"<html><head><title>The Mill</title><script>alert('mill')</script></head>\
        <body><p>The miller ground no corn that year.</p></body></html>";
    let latin = b"Der Bl\xe4tterwald schwieg, und der K\xf6nig h\xf6rte zu. Es war sehr sp\xe4t.";
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain("Wide letters tell of the queen.".encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    let files: &[(&str, &[u8])] = &[
        ("mill.html", page),
        ("wald.txt", latin),
        ("wide.txt", &utf16),
        ("empty.txt", b" \n"),
        ("picture.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0"),
        ("../up.txt", b"Out of the house."),
    ];
    let (status, answer) = send(&app, files, r#"{"tags": ["sent"]}"#).await;
    assert_eq!(status, 200, "{answer}");
    let outcomes: Vec<_> = answer["documents"].as_array().unwrap().iter().collect();
    let told: Vec<_> = outcomes.iter().map(|it| it["outcome"].as_str().unwrap()).collect();
    assert_eq!(told, ["added", "added", "added", "failed", "failed", "failed"]);
    assert_eq!(answer["failed"], 3);
    for (place, reason) in [(3, "empty"), (4, "convert it"), (5, "going up")] {
        let error = outcomes[place]["error"].as_str().unwrap();
        assert!(error.contains(reason), "{error}");
    }
    let mill = &outcomes[0]["document"]["metadata"];
    assert_eq!((&mill["title"], &mill["tags"]), (&json!("The Mill"), &json!(["sent"])));
    let text = |name: &str| format!("/api/v1/archive/files/content?file_path={name}");
    let mill = app.get(&text("mill.html")).await.json()["content"].clone();
    assert!(mill.as_str().unwrap().contains("ground no corn"), "{mill}");
    assert!(!mill.as_str().unwrap().contains("alert"), "{mill}");
    let wald = app.get(&text("wald.txt")).await.json()["content"].clone();
    assert!(wald.as_str().unwrap().contains("Blätterwald"), "{wald}");
    let wide = app.get(&text("wide.txt")).await.json()["content"].clone();
    assert_eq!(wide, "Wide letters tell of the queen.");
}

async fn progress_is_told_while_documents_come(place: Place) {
    let Scripted { app, .. } = place.server(&[("ARCHIVE_CHUNK_CHARACTERS", "401")]).await;
    let body = json!({ "documents": [
        { "file_name": "a.txt", "content": HARBOUR.repeat(20) },
        { "file_name": "b.txt", "content": SMITHY },
    ] });
    let answer = app.send(DOCUMENTS, body.to_string(), "text/event-stream").await;
    let text = answer.text().await.unwrap();
    let events = events_of(&text);
    for event in &events {
        assert_valid("ArchiveIngestEvent.json", event);
    }
    let (last, before) = events.split_last().unwrap();
    assert_eq!(last["type"], "result");
    assert_eq!(last["data"]["total_documents"], 2);
    assert!(types_of(before).iter().all(|kind| *kind == "status"), "{text}");
    let progress: Vec<_> = before.iter().map(|it| it["progress"].as_u64().unwrap()).collect();
    assert!(progress.is_sorted() && progress.last() == Some(&100), "{progress:?}");
    let embedding = before.iter().filter(|it| it["phase"] == "embedding").count();
    assert!(embedding > 3, "{text}");
}

async fn files_that_will_not_do_are_refused_with_what_to_do(place: Place) {
    let Scripted { app, .. } = place.server(&[("ARCHIVE_MAX_FILE_BYTES", "2000")]).await;
    for (name, content, status, told) in [
        ("a.txt", " \n\t".to_owned(), 422, "empty"),
        ("a.txt", "\0\u{1}\u{2}\u{3}".repeat(100), 422, "convert it"),
        ("a.txt", "word ".repeat(1_000), 413, "ARCHIVE_MAX_FILE_BYTES"),
        ("a\nb.txt", HARBOUR.to_owned(), 422, "line break"),
        ("../../etc/passwd", HARBOUR.to_owned(), 422, "going up"),
        ("", HARBOUR.to_owned(), 422, "missing"),
        ("book.epub", "PK\u{3}\u{4} but no zip".to_owned(), 422, "convert it"),
    ] {
        let answer = app.post_json(DOCUMENTS, json!({ "file_name": name, "content": content }));
        let answer = answer.await;
        assert_eq!(answer.status, status, "{name:?}: {}", answer.text);
        assert!(answer.text.contains(told), "{name:?}: {}", answer.text);
    }
    for wrong in [json!({}), json!({ "documents": [] }), json!({ "file_name": "a.txt" })] {
        assert_eq!(app.post_json(DOCUMENTS, &wrong).await.status, 422, "{wrong}");
    }
    for wrong in [json!({ "query": " " }), json!({ "query": "a", "max_results": 51 })] {
        assert_eq!(app.post_json(SEARCH, &wrong).await.status, 422, "{wrong}");
    }
    assert_eq!(stats(&app).await["total_files"], 0);
}

async fn one_text_brought_twice_at_once_is_one_document(place: Place) {
    let Scripted { app, .. } = place.server(&[]).await;
    let body = json!({ "file_name": "a.txt", "content": HARBOUR.repeat(9) });
    let both = tokio::join!(app.post_json(DOCUMENTS, &body), app.post_json(DOCUMENTS, &body));
    let outcome = |answer: Value| answer["documents"][0]["outcome"].as_str().unwrap().to_owned();
    let mut outcomes = [outcome(both.0.json()), outcome(both.1.json())];
    outcomes.sort();
    assert_eq!(outcomes, ["added", "unchanged"]);
    assert_eq!(stats(&app).await["total_files"], 1);
}

async fn results_lie_where_they_say(place: Place) {
    let Scripted { app, .. } = place.server(&[("ARCHIVE_CHUNK_CHARACTERS", "401")]).await;
    let novel: String = include_str!("data/alice.txt").chars().take(12_000).collect();
    let novel = format!("# Ärger — 兎\n\n{novel}");
    add(&app, "alice.md", &novel, json!({})).await;
    let letters: Vec<char> = novel.chars().collect();
    let cut = |span: &Value| -> String {
        let place = |name: &str| usize::try_from(span[name].as_u64().unwrap()).unwrap();
        letters[place("char_start")..place("char_end")].iter().collect()
    };
    let results =
        found(&app, json!({ "query": "the White Rabbit's watch", "max_results": 5 })).await;
    assert_eq!(results.len(), 5);
    for result in &results {
        assert_eq!(cut(result), result["matching_section"].as_str().unwrap());
        assert_eq!(cut(&result["highlight"]), result["highlight"]["text"].as_str().unwrap());
        for word in result["matches"].as_array().unwrap() {
            let word = cut(word).to_lowercase();
            assert!(["white", "rabbit", "watch"].iter().any(|it| word.starts_with(it)), "{word}");
        }
    }
    let touches = |a: &Value, b: &Value| {
        a["char_end"].as_u64() >= b["char_start"].as_u64()
            && b["char_end"].as_u64() >= a["char_start"].as_u64()
    };
    let long = |it: &Value| it["matching_section"].as_str().unwrap().len() > 1_000;
    for (place, result) in results.iter().enumerate() {
        for other in &results[place + 1..] {
            assert!(!touches(result, other) || long(result) || long(other), "{result} {other}");
        }
    }
}

async fn a_writer_consults_the_archive(place: Place) {
    let Scripted { app, engine: _engine, mut script } = place.server(&[]).await;
    add(&app, "tales/harbour.md", HARBOUR, json!({ "tags": ["sea"] })).await;
    add(&app, "smithy.txt", SMITHY, json!({ "tags": ["iron"] })).await;
    let mut request = documented_request();
    request["context_processing_config"] = json!({
        "archive": { "query": "why the light went out", "max_results": 1, "filter": { "tags": "sea" } },
    });
    let asking = app.receipt_once_writing("/api/v1/generate-chapter", &request);
    let answering = async {
        let mut call = script.next_call().await.unwrap();
        let prompt = prompt_of(&call.request);
        call.text("The lamp.");
        (prompt, call)
    };
    let (receipt, (prompt, _call)) = tokio::join!(asking, answering);
    assert!(prompt.contains("FROM EARLIER STORIES") && prompt.contains("let the lamp go out"));
    assert!(!prompt.contains("forged"), "{prompt}");
    let elements = receipt["elements"].as_array().unwrap();
    let passage = elements.iter().find(|it| it["kind"] == "archive_passage").unwrap();
    assert_eq!(passage["layer"], "E");
    assert_eq!(passage["outcome"], "kept");
    let id = passage["id"].as_str().unwrap();
    assert!(id.starts_with("archive:tales/harbour.md:0-"), "{id}");
    request["context_processing_config"]["archive"]["max_results"] = json!(21);
    let refused = app.post_json("/api/v1/generate-chapter", &request).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("/context_processing_config/archive/max_results"));
    // A preview shows the same, and a character knows nothing of it.
    let preview = json!({
        "agent": "writer", "structured_context": request["structured_context"],
        "context_processing_config": { "archive": { "query": "a sword that sings" } },
    });
    let seen = app.post_json("/api/v1/context/preview", &preview).await;
    assert!(seen.text.contains("archive:smithy.txt:0-"), "{}", seen.text);
}

async fn an_answer_cites_what_was_found(place: Place) {
    let Scripted { app, engine: _engine, mut script } = place.server(&[]).await;
    add(&app, "tales/harbour.md", HARBOUR, json!({})).await;
    let body = json!({ "question": "Who let the lamp of the lighthouse go out?" });
    let asking = app.post_json("/api/v1/archive/rag/query", &body);
    let answering = async {
        let mut call = script.next_call().await.unwrap();
        let prompt = prompt_of(&call.request);
        call.text("Aria let the lamp go out on the night of the great storm [1].");
        call.finish(FinishReason::Stop);
        prompt
    };
    let (answer, prompt) = tokio::join!(asking, answering);
    assert!(prompt.contains("she let the lamp go out"), "{prompt}");
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer = answer.json();
    assert_eq!(answer["found"], true);
    assert_eq!(answer["sources"][0]["file_path"], "tales/harbour.md");
    assert_eq!(answer["sources"][0]["number"], 1);
    assert_eq!(answer["unsupported"], json!([]));
}

async fn the_command_line_takes_folders_and_takes_out_again(place: Place) {
    let stories = place.folder.path().join("stories/sea");
    std::fs::create_dir_all(&stories).unwrap();
    std::fs::write(stories.join("harbour.txt"), HARBOUR).unwrap();
    std::fs::write(stories.join("../smithy.md"), SMITHY).unwrap();
    std::fs::write(stories.join("cover.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    std::fs::write(stories.join("empty.txt"), "").unwrap();
    let (output, said) = place.run(&["add", "stories", "-m", "author=R. Vance"]);
    assert!(!output.status.success(), "an empty file is told by the exit status: {said}");
    assert!(said.contains("empty.txt: the file is empty"), "{said}");
    assert!(said.contains("2 added, 1 left out"), "{said}");
    std::fs::remove_file(stories.join("empty.txt")).unwrap();
    let (output, said) = place.run(&["add", "stories", "-m", "author=R. Vance"]);
    assert!(output.status.success() && said.contains("2 there already"), "{said}");
    let (_, said) = place.run(&["list"]);
    assert!(said.contains("stories/sea/harbour.txt") && said.contains("R. Vance"), "{said}");
    let (_, said) = place.run(&["find", "who let the lamp go out", "-n", "1"]);
    assert!(said.contains("harbour.txt") && said.contains("let the lamp go out"), "{said}");
    let (output, said) = place.run(&["remove", "stories/sea/harbour.txt"]);
    assert!(output.status.success(), "{said}");
    let (output, said) = place.run(&["remove", "stories/sea/harbour.txt"]);
    assert!(!output.status.success() && said.contains("archive list"), "{said}");
}

/// Waits until so many chunks of the text are staged.
async fn until_staged(store: &dyn ArchiveStore, id: &DocumentId, chunks: usize) {
    let started = Instant::now();
    while store.staged(id).await.unwrap_or(0) < chunks {
        assert!(started.elapsed() < PATIENCE, "nothing is staged");
        tokio::task::yield_now().await;
    }
}

fn kill(mut process: Child) {
    process.kill().unwrap();
    process.wait().unwrap();
}

async fn a_process_killed_anywhere_leaves_nothing_half_and_the_next_one_completes_it(place: Place) {
    let novel: String = include_str!("data/alice.txt").chars().take(30_000).collect();
    std::fs::write(place.folder.path().join("alice.txt"), &novel).unwrap();
    let arguments = ["add", "alice.txt", "-s", "ARCHIVE_CHUNK_CHARACTERS=401"];
    let (store, id) = (place.store(), DocumentId::of(&novel));
    // Each goes on where the one before was killed.
    for chunks in [1, 17, 40, 64] {
        let mut command = place.command(&arguments);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until_staged(&*store, &id, chunks).await;
        kill(process);
        assert!(store.documents().await.unwrap().is_empty(), "half a document is shown");
        let (_, said) = place.run(&["find", "the White Rabbit"]);
        assert!(said.contains("nothing was found"), "{said}");
    }
    let staged = store.staged(&id).await.unwrap();
    let (output, said) = place.run(&arguments);
    assert!(output.status.success() && said.contains("1 added"), "{said}");
    let documents = store.documents().await.unwrap();
    assert_eq!(documents.len(), 1);
    assert!(staged >= 64 && documents[0].chunks > staged, "nothing was left to do");
    let chunks = store.chunks(&id, 0, usize::MAX).await.unwrap();
    assert_eq!(rhapsode::archive::joined(&chunks), novel);
}

async fn a_client_that_leaves_stops_the_work_and_may_come_back(place: Place) {
    let Scripted { app, .. } = place.server(&[("ARCHIVE_CHUNK_CHARACTERS", "401")]).await;
    let novel: String = include_str!("data/alice.txt").chars().take(20_000).collect();
    let body = json!({ "file_name": "alice.txt", "content": novel });
    let response = app.send(DOCUMENTS, body.to_string(), "text/event-stream").await;
    let mut frames = response.bytes_stream();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("16 of ") {
        seen.extend(frames.next().await.unwrap().unwrap());
    }
    drop(frames);
    assert_eq!(stats(&app).await["total_files"], 0);
    let again = app.send(DOCUMENTS, body.to_string(), "text/event-stream").await;
    let events = events_of(&again.text().await.unwrap());
    let first = events.iter().find(|it| it["phase"] == "embedding").unwrap();
    let message = first["message"].as_str().unwrap();
    assert!(!message.contains(" 0 of "), "it begins anew: {message}");
    assert_eq!(events.last().unwrap()["data"]["documents"][0]["outcome"], "added");
    assert_eq!(stats(&app).await["total_files"], 1);
}

#[tokio::test]
async fn without_an_archive_its_routes_say_how_to_have_one() {
    let Scripted { app, .. } = Scripted::start(&[("ARCHIVE_BACKEND", "off")]).await;
    for path in ["files", "stats", "documents", "files/content?file_path=a"] {
        let answer = app.get(&format!("/api/v1/archive/{path}")).await;
        assert_eq!(answer.status, 503, "{path}");
        let told = "Archive feature is not enabled. Please configure ARCHIVE_DB_PATH";
        assert!(answer.json()["detail"].as_str().unwrap().starts_with(told), "{}", answer.text);
    }
    let preview = json!({
        "agent": "writer", "structured_context": documented_request()["structured_context"],
        "context_processing_config": { "archive": {} },
    });
    let seen = app.post_json("/api/v1/context/preview", &preview).await;
    assert_eq!(seen.status, 200);
    assert!(seen.text.contains("the archive is off"), "{}", seen.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_chroma_is_away_everything_else_works_and_it_heals_by_itself() {
    let mut server = ChromaServer::start();
    let url = server.url();
    let settings = [("ARCHIVE_BACKEND", "chroma"), ("CHROMA_URL", url.as_str())];
    let Scripted { app, .. } = Scripted::start(&settings).await;
    add(&app, "a.txt", HARBOUR, json!({})).await;
    server.kill();
    let answer = app.post_json(SEARCH, json!({ "query": "lamp" })).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert_eq!(answer.json()["code"], "ARCHIVE_UNAVAILABLE");
    assert!(answer.text.contains("CHROMA_URL"), "{}", answer.text);
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(app.get("/health").await.status, 200);
    let preview = json!({
        "agent": "writer", "structured_context": documented_request()["structured_context"],
        "context_processing_config": { "archive": {} },
    });
    let seen = app.post_json("/api/v1/context/preview", &preview).await;
    assert!(seen.status == 200 && seen.text.contains("nothing was looked up"), "{}", seen.text);
    server.restart();
    assert_eq!(found(&app, json!({ "query": "lamp" })).await.len(), 1);
}
