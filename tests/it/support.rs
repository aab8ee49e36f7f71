//! A server as tests start it: real router, real SQLite, a clock that tests move, seeded ids, any
//! free port.

use std::borrow::Borrow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use rhapsode::app::{self, App, Parts};
use rhapsode::archive::Library;
use rhapsode::clock::{Clock, Hands};
use rhapsode::config::Config;
use rhapsode::embedding::{Embedder, LazyEmbedder};
use rhapsode::engine::scripted::{Script, ScriptedEngine};
use rhapsode::engine::{Engine, FinishReason, GenerateRequest};
use rhapsode::ids::Ids;
use rhapsode::metrics::Metrics;
use rhapsode::persona::Personas;
use rhapsode::prompts::Prompts;
use rhapsode::store::Store;
use rhapsode::tokens::TokenCount;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::asking::Shelf;

/// Far longer than anything takes; only a fault lasts this long.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// What a test's server has for an archive, unless the test's settings say otherwise.
enum TestArchive {
    /// A file in this folder.
    In(PathBuf),
    /// These documents, to be asked about only.
    Of(Arc<Shelf>),
    Off,
}

pub(crate) struct TestApp {
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
    pub(crate) stop: CancellationToken,
    pub(crate) stop_now: CancellationToken,
    pub(crate) server: JoinHandle<anyhow::Result<()>>,
    /// Stands still until a test advances it.
    pub(crate) clock: Hands,
    folder: Option<TempDir>,
}

/// A server before a scripted engine.
pub(crate) struct Scripted {
    pub(crate) app: TestApp,
    pub(crate) engine: Arc<ScriptedEngine>,
    pub(crate) script: Script,
}

impl Scripted {
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        Self::with_window(4096, settings).await
    }

    pub(crate) async fn with_window(window: usize, settings: &[(&str, &str)]) -> Self {
        let (engine, script) = ScriptedEngine::new(TokenCount::new(window));
        let app = TestApp::start(Arc::clone(&engine) as Arc<dyn Engine>, settings).await;
        Self { app, engine, script }
    }

    /// A server over the database in this folder.
    pub(crate) async fn in_folder(folder: &Path, settings: &[(&str, &str)]) -> Self {
        let (engine, script) = ScriptedEngine::new(TokenCount::new(4096));
        let app =
            TestApp::in_folder(Arc::clone(&engine) as Arc<dyn Engine>, folder, settings).await;
        Self { app, engine, script }
    }

    /// A server whose model answers with what `say` makes of a request.
    pub(crate) async fn saying(
        say: impl FnMut(&GenerateRequest) -> String + Send + 'static,
        settings: &[(&str, &str)],
    ) -> TestApp {
        let Self { app, script, .. } = Self::start(settings).await;
        tokio::spawn(answer_with(script, say));
        app
    }

    /// A server whose model answers whatever is asked in the form it is asked for.
    pub(crate) async fn fitting(prose: &'static str, settings: &[(&str, &str)]) -> TestApp {
        let Self { app, script, .. } = Self::start(settings).await;
        tokio::spawn(answer_with(script, move |request| fitting(request, prose)));
        app
    }

    /// A server whose model writes these pieces for whoever asks.
    pub(crate) async fn answering(
        pieces: &'static [&'static str],
        settings: &[(&str, &str)],
    ) -> TestApp {
        let Self { app, script, .. } = Self::start(settings).await;
        tokio::spawn(script.answer_all(pieces));
        app
    }
}

/// Answers every request with what `say` makes of it.
pub(crate) async fn answer_with(
    mut script: Script,
    mut say: impl FnMut(&GenerateRequest) -> String,
) {
    while let Some(mut call) = script.next_call().await {
        call.start(TokenCount::ZERO);
        call.text(&say(&call.request));
        call.finish(FinishReason::Stop);
    }
}

/// What a model could answer: these words as prose, the least that fits where the answer is held to a
/// schema.
pub(crate) fn fitting(request: &GenerateRequest, prose: &str) -> String {
    let schema = request.json_schema.as_deref();
    schema.map_or_else(|| prose.to_owned(), |schema| least(schema).to_string())
}

/// What a model was sent, as one text.
pub(crate) fn prompt_of(request: &GenerateRequest) -> String {
    let messages: Vec<_> = request.messages.iter().map(|it| it.content.as_str()).collect();
    messages.join("\n---\n")
}

/// The least that a JSON Schema lets through, as far as ours go.
pub(crate) fn least(schema: &Value) -> Value {
    fn of(schema: &Value, root: &Value) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            return of(root.pointer(&reference[1..]).expect("a definition"), root);
        }
        if let Some(options) = schema["enum"].as_array() {
            return options[0].clone();
        }
        match schema["type"].as_str() {
            Some("object") => {
                let required = schema["required"].as_array().cloned().unwrap_or_default();
                let names = required.iter().map(|name| name.as_str().expect("a name"));
                names
                    .map(|name| (name.to_owned(), of(&schema["properties"][name], root)))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            }
            Some("array") => {
                let items = schema["minItems"].as_u64().unwrap_or(0);
                (0..items).map(|_| of(&schema["items"], root)).collect()
            }
            Some("integer") => schema["minimum"].as_u64().unwrap_or(0).into(),
            Some("number") => schema["minimum"].as_f64().unwrap_or(0.0).into(),
            Some("boolean") => true.into(),
            _ => "word".into(),
        }
    }
    of(schema, schema)
}

impl TestApp {
    pub(crate) async fn start(engine: Arc<dyn Engine>, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self::in_folder(engine, folder.path(), settings).await.keeping(folder)
    }

    /// A server over a database that may be there already.
    pub(crate) async fn in_folder(
        engine: Arc<dyn Engine>,
        folder: &Path,
        settings: &[(&str, &str)],
    ) -> Self {
        let store = Store::open(folder).expect("a database");
        let archive = TestArchive::In(folder.to_owned());
        Self::with_seed(engine, store, settings, 7 + earlier_starts(folder), archive).await
    }

    /// A server over an open database.
    pub(crate) async fn over(
        engine: Arc<dyn Engine>,
        store: Store,
        settings: &[(&str, &str)],
    ) -> Self {
        Self::with_seed(engine, store, settings, 7, TestArchive::Off).await
    }

    /// A server that answers from these documents, or has no archive.
    pub(crate) async fn answering_from(
        library: Option<Arc<Shelf>>,
        engine: Arc<dyn Engine>,
        settings: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path()).expect("a database");
        let archive = library.map_or(TestArchive::Off, TestArchive::Of);
        Self::with_seed(engine, store, settings, 7, archive).await.keeping(folder)
    }

    async fn with_seed(
        engine: Arc<dyn Engine>,
        store: Store,
        settings: &[(&str, &str)],
        seed: u64,
        archive: TestArchive,
    ) -> Self {
        let (backend, archive_folder, library) = match archive {
            TestArchive::In(folder) => ("embedded", folder, None),
            TestArchive::Of(library) => ("embedded", PathBuf::new(), Some(library)),
            TestArchive::Off => ("off", PathBuf::new(), None),
        };
        let archive_folder = archive_folder.to_str().expect("a folder in Unicode").to_owned();
        let patient = [
            ("ARCHIVE_BACKEND", backend),
            ("ARCHIVE_DB_PATH", archive_folder.as_str()),
            // However busy the machine is.
            ("MEMORY_TIMEOUT_MS", "60000"),
            ("JWT_SECRET", "no secret at all, but long enough for tests"),
            // All tests come from one address.
            ("RATE_LIMIT_PER_MINUTE", "0"),
            ("LOGIN_RATE_LIMIT_PER_MINUTE", "0"),
        ];
        let patient = patient.iter().filter(|(name, _)| !settings.iter().any(|it| it.0 == *name));
        let settings: Vec<_> = settings.iter().chain(patient).copied().collect();
        let config = Config::from_pairs(&settings).expect("the test's settings are valid");
        let (clock, hands) = Clock::settable("2026-01-02T03:04:05Z".parse().expect("a timestamp"));
        let prompts = Arc::new(Prompts::load(None).expect("the shipped prompts"));
        let personas = Personas::open(
            config.chat.personas_file.clone(),
            Some(store.clone()),
            Arc::clone(&prompts),
            clock.clone(),
        );
        let ids = Ids::seeded(clock.clone(), seed);
        let parts = Parts {
            engine,
            prompts,
            embedder: embedder(),
            metrics: Metrics::new().expect("new metrics"),
            store: Some(store),
            // Tests change the file and look at once.
            personas: personas.expect("personas").look_every(Duration::ZERO),
            signing_key: app::signing_key(&config, &ids).expect("a key"),
            ids,
            clock,
            library: library.map(|library| library as Arc<dyn Library>),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (stop, stop_now) = (CancellationToken::new(), CancellationToken::new());
        let app = App::new(&config, parts);
        let server = tokio::spawn(app.serve(listener, stop.clone(), stop_now.clone()));
        Self {
            base: format!("http://{address}"),
            client: client(),
            stop,
            stop_now,
            server,
            clock: hands,
            folder: None,
        }
    }

    /// The same, with this folder for as long as it lives.
    pub(crate) fn keeping(self, folder: TempDir) -> Self {
        Self { folder: Some(folder), ..self }
    }

    /// Holds the database.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.as_ref().expect("a folder of its own").path()
    }

    /// Ends the server, and waits until all it had to do is done.
    pub(crate) async fn stop_and_wait(self) {
        self.stop.cancel();
        self.server.await.expect("it doesn't panic").expect("it ends well");
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let request = self.client.get(format!("{}{path}", self.base));
        Answer::of(request.send().await.expect("an answer")).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        Answer::of(self.send(path, body, "*/*").await).await
    }

    pub(crate) async fn post_json(&self, path: &str, body: impl Borrow<Value>) -> Answer {
        Answer::of(self.send(path, body.borrow().to_string(), "application/json").await).await
    }

    /// The events of a stream, in order.
    pub(crate) async fn events(&self, path: &str, body: impl Borrow<Value>) -> Vec<Value> {
        let answer = self.post(path, body.borrow().to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        events_of(&answer.text)
    }

    /// The receipt of a job whose first text was seen; the rest is not waited for.
    pub(crate) async fn receipt_once_writing(&self, path: &str, body: impl Borrow<Value>) -> Value {
        let response = self.send(path, body.borrow().to_string(), "*/*").await;
        assert_eq!(response.status(), 200);
        let mut frames = response.bytes_stream();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(r#"{"type":"partial""#) {
            seen.extend(frames.next().await.expect("text comes").expect("a whole frame"));
        }
        let seen = String::from_utf8_lossy(&seen);
        // The last frame may have come in part.
        let whole = seen.rfind("\n\n").map_or("", |end| &seen[..end]);
        let events = events_of(whole);
        let context = events.iter().find(|event| event["type"] == "context");
        context.expect("a receipt comes before the text")["receipt"].clone()
    }

    pub(crate) async fn send(
        &self,
        path: &str,
        body: impl Into<reqwest::Body>,
        accept: &str,
    ) -> reqwest::Response {
        self.client
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .header("accept", accept)
            .body(body)
            .send()
            .await
            .expect("an answer")
    }
}

/// How many servers were started over this folder before: a later one must not make the ids of an
/// earlier one again.
fn earlier_starts(folder: &Path) -> u64 {
    let mut starts = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("starts"))
        .expect("the folder can be written");
    let earlier = starts.metadata().expect("a file").len();
    std::io::Write::write_all(&mut starts, b".").expect("the folder can be written");
    earlier
}

/// An answer that was read to its end.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.expect("a whole body") }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a readable header"))
    }
}

pub(crate) fn events_of(text: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).expect("a JSON event"))
        .collect()
}

pub(crate) fn types_of(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().expect("a type")).collect()
}

pub(crate) fn client() -> reqwest::Client {
    // An error means that another test was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(PATIENCE * 5).build().expect("a client")
}

/// The story contract's documented chapter request, verbatim.
pub(crate) fn documented_request() -> Value {
    json!({"structured_context": {
      "plot_elements": [{"type": "scene", "content": "Hero enters forest", "priority": "high"}],
      "character_contexts": [{"character_id": "hero", "character_name": "Aria", "current_state": "determined"}],
      "user_requests": [{"type": "instruction", "content": "Add sensory details", "priority": "high"}]}})
}

/// The real sentence embedder, one for all tests.
pub(crate) fn embedder() -> Arc<dyn Embedder> {
    static EMBEDDER: LazyLock<Arc<LazyEmbedder>> = LazyLock::new(|| {
        Arc::new(LazyEmbedder::new(rhapsode::models::sentence_embedder_dir(&models_dir())))
    });
    Arc::clone(&EMBEDDER) as Arc<dyn Embedder>
}

/// Where `make models` puts the models.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where models lie")]
pub(crate) fn models_dir() -> PathBuf {
    std::env::var_os("MODELS_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models"), PathBuf::from)
}

pub(crate) fn model_path() -> PathBuf {
    let path = models_dir().join("SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(path.exists(), "the model is missing; run: make models");
    path
}
