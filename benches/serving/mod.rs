//! What benches of talk have in common: a server over a database, and who asks it. The real router,
//! SQLite and tokenizer; a model that answers at once.

#![allow(dead_code, reason = "each bench uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rhapsode::account::SigningKey;
use rhapsode::app::{App, Parts, checks, llama_settings};
use rhapsode::clock::Clock;
use rhapsode::config::Config;
use rhapsode::embedding::{Embedder, EmbeddingError};
use rhapsode::engine::llama::LlamaEngine;
use rhapsode::engine::scripted::{Script, ScriptedEngine};
use rhapsode::engine::{
    Capabilities, Engine, EngineError, EngineStatus, FinishReason, GenerateRequest, Generation,
    Message,
};
use rhapsode::ids::Ids;
use rhapsode::memory::Memory;
use rhapsode::metrics::Metrics;
use rhapsode::persona::Personas;
use rhapsode::prompts::Prompts;
use rhapsode::store::Store;
use rhapsode::tokens::{TokenCount, TokenCounter};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const WINDOW: usize = 8192;

/// The model's tokenizer before a queue that notes when a prompt arrives and answers at once.
pub(crate) struct Queue {
    tokenizer: Option<LlamaEngine>,
    script: Arc<ScriptedEngine>,
    arrived: Mutex<Option<(Instant, Vec<Message>)>>,
}

impl Queue {
    async fn start(config: &Config, with_tokenizer: bool) -> Arc<Self> {
        let (script, asked) = ScriptedEngine::new(TokenCount::new(WINDOW));
        tokio::spawn(answer(asked));
        let tokenizer = if with_tokenizer {
            let model = rhapsode::app::model_path(config).expect("run: make models");
            let engine = LlamaEngine::start(llama_settings(config, model, Clock::system()));
            let engine = engine.unwrap();
            checks::wait_until_loaded(&engine, |_| {}).await;
            Some(engine)
        } else {
            None
        };
        Arc::new(Self { tokenizer, script, arrived: Mutex::default() })
    }
}

async fn answer(mut asked: Script) {
    while let Some(mut call) = asked.next_call().await {
        call.start(TokenCount::ZERO);
        call.text("I know. Look at the water, and tell me what you see.");
        call.finish(FinishReason::Stop);
    }
}

impl Engine for Queue {
    fn status(&self) -> EngineStatus {
        self.script.status()
    }

    fn ready(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn counter(&self) -> Option<Arc<dyn TokenCounter>> {
        self.tokenizer.as_ref().map_or_else(|| self.script.counter(), Engine::counter)
    }

    fn prompt_tokens(&self, messages: &[Message]) -> Result<TokenCount, EngineError> {
        match &self.tokenizer {
            Some(engine) => engine.prompt_tokens(messages),
            None => self.script.prompt_tokens(messages),
        }
    }

    fn supports(&self) -> Capabilities {
        self.script.supports()
    }

    fn submit(&self, request: GenerateRequest) -> Result<Generation, EngineError> {
        *self.arrived.lock().unwrap() = Some((Instant::now(), request.messages.clone()));
        self.script.submit(request)
    }
}

/// A server over the database in this folder, and who asks it.
pub(crate) struct Server {
    pub(crate) base: String,
    pub(crate) engine: Arc<Queue>,
    pub(crate) memory: Memory,
    pub(crate) client: reqwest::Client,
    stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Server {
    pub(crate) async fn start(
        folder: &Path,
        embedder: Arc<dyn Embedder>,
        with_tokenizer: bool,
    ) -> Self {
        let config = config();
        let engine = Queue::start(&config, with_tokenizer).await;
        let clock = Clock::system();
        let prompts = Arc::new(Prompts::load(None).unwrap());
        let store = Store::open(folder).unwrap();
        let (kept, words) = (Some(store.clone()), Arc::clone(&prompts));
        let app = App::new(
            &config,
            Parts {
                engine: Arc::clone(&engine) as Arc<dyn Engine>,
                prompts,
                embedder,
                metrics: Metrics::new().unwrap(),
                store: Some(store),
                personas: Personas::open(None, kept, words, clock.clone()).unwrap(),
                ids: Ids::unpredictable(clock.clone()),
                library: None,
                signing_key: SigningKey::of_secret(b"only for these measurements"),
                clock,
            },
        );
        let memory = app.state.chat.memory.clone().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(app.serve(listener, stop.clone(), CancellationToken::new()));
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { base, engine, memory, client: reqwest::Client::new(), stop }
    }

    /// How long it takes from asking until the engine has the prompt, and that prompt.
    pub(crate) async fn ask(&self, path: &str, body: &Value) -> (Duration, Vec<Message>) {
        let (time, prompt, _) = self.ask_as("none", path, body).await;
        (time, prompt)
    }

    /// The same with this token, and the answer.
    pub(crate) async fn ask_as(
        &self,
        token: &str,
        path: &str,
        body: &Value,
    ) -> (Duration, Vec<Message>, Value) {
        let body = body.to_string();
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(token);
        let request = request.header("content-type", "application/json").body(body);
        let asked = Instant::now();
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{text}");
        if let Some(memory) = headers.get("x-memory") {
            assert_eq!(memory, "on");
        }
        let (arrived, prompt) = self.engine.arrived.lock().unwrap().take().unwrap();
        (arrived - asked, prompt, serde_json::from_str(&text).unwrap_or_default())
    }

    /// Does now what is otherwise done between turns.
    pub(crate) async fn rest(&self, session: &str) {
        while self.memory.embed_some(session).await.unwrap() {}
        let counter = self.engine.counter().unwrap();
        while self.memory.summarize_one(session, Arc::clone(&counter)).await.unwrap() {}
    }
}

pub(crate) fn config() -> Config {
    let models = models_dir().display().to_string();
    let settings = [
        ("MODELS_DIR", models.as_str()),
        ("DISTILLATION_METHOD", "extractive"),
        ("FACTS_BY_MODEL", "false"),
        ("RATE_LIMIT_PER_MINUTE", "0"),
        ("LOGIN_RATE_LIMIT_PER_MINUTE", "0"),
        ("LLM_QUEUE_SIZE", "1000"),
    ];
    Config::from_pairs(&settings).unwrap()
}

pub(crate) fn models_dir() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "benches are told by the environment")]
    let given = std::env::var_os("MODELS_DIR");
    given.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("models"), PathBuf::from)
}

/// Vectors without a model: of the right length, and different ones for different texts.
pub(crate) struct Made;

impl Embedder for Made {
    fn id(&self) -> &'static str {
        "made"
    }

    fn dimensions(&self) -> usize {
        384
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbeddingError> {
        let made = texts.iter().map(|text| {
            let seed = text
                .bytes()
                .fold(7_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let vector: Vec<f32> = (0..384).map(|_| random.random_range(-1.0..1.0)).collect();
            let length = vector.iter().map(|it| it * it).sum::<f32>().sqrt();
            vector.into_iter().map(|it| it / length).collect()
        });
        Ok(made.collect())
    }
}

/// What it prints.
pub(crate) fn own_binary(arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    // As the server does at its start.
    let cores = std::thread::available_parallelism().unwrap().get();
    for name in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
        command.env(name, (cores / 2).max(1).to_string());
    }
    let done = command.args(arguments).stderr(std::process::Stdio::inherit()).output().unwrap();
    assert!(done.status.success());
    String::from_utf8(done.stdout).unwrap()
}

/// Linux only.
pub(crate) fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

pub(crate) fn percentiles(times: &mut [Duration]) -> String {
    let p50 = median(times);
    format!("{p50}, {}", milliseconds(times[times.len() * 9 / 10]))
}

pub(crate) fn median(times: &mut [Duration]) -> String {
    times.sort_unstable();
    milliseconds(times[times.len() / 2])
}

pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}
