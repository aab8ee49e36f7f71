//! A turn of talk: what the pipeline (whose talk, what it feels like, recall, assembly) adds before the
//! engine gets the prompt, beside a plain completion that knows no memory; and how much RAM working
//! memory takes. The real router, SQLite, sentence embedder and tokenizer; what is left out is the model.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that can't measure should stop"
)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use comfy_table::Table;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rhapsode::account::SigningKey;
use rhapsode::app::{App, Parts, checks, llama_settings};
use rhapsode::clock::Clock;
use rhapsode::config::Config;
use rhapsode::embedding::{Embedder, EmbeddingError, LazyEmbedder};
use rhapsode::engine::llama::LlamaEngine;
use rhapsode::engine::scripted::{Script, ScriptedEngine};
use rhapsode::engine::{
    Capabilities, Engine, EngineError, EngineStatus, FinishReason, GenerateRequest, Generation,
    Message,
};
use rhapsode::ids::Ids;
use rhapsode::memory::{Memory, Role, Said, Talk, Whose};
use rhapsode::metrics::Metrics;
use rhapsode::models;
use rhapsode::persona::Personas;
use rhapsode::prompts::Prompts;
use rhapsode::store::Store;
use rhapsode::tokens::{TokenCount, TokenCounter};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const PROSE: &str = include_str!("chapter.txt");
const PERSONA: &str = "You are Mira, who keeps the lighthouse of Skarn. You speak plainly, you never \
    left the island, and you are afraid of fire since the old lamp house burned.";
const STORED: usize = 10_000;
const TURNS: usize = 100;
const STARTS: usize = 7;
const WINDOW: usize = 8192;
/// Given to the bench's own binary, which then only fills a database, or only talks in the sessions of
/// one, so that memory is measured in a process that did nothing before; or measures turns.
const FILL: &str = "--fill";
const TALK: &str = "--talk";
const ADDED: &str = "--added";

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    // `cargo test --benches` and `cargo bench -- --list` only want to know that it starts.
    if arguments.iter().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, FILL, folder, sessions, messages] => {
            let (sessions, messages) = (sessions.parse().unwrap(), messages.parse().unwrap());
            runtime.block_on(fill(Path::new(folder), sessions, messages));
        }
        [_, ADDED] => println!("{}", runtime.block_on(added())),
        [_, TALK, folder, sessions] => {
            let told = runtime.block_on(talk(Path::new(folder), sessions.parse().unwrap()));
            println!("{told}");
        }
        _ => {
            // `-- added` leaves the slow part out.
            if arguments.iter().all(|argument| argument != "added") {
                println!("{}", working_memory());
            }
            println!("{}", own_binary(&[ADDED]));
        }
    }
}

/// The model's tokenizer before a queue that notes when a prompt arrives and answers at once.
struct Queue {
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
struct Server {
    base: String,
    engine: Arc<Queue>,
    memory: Memory,
    client: reqwest::Client,
    stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Server {
    async fn start(folder: &Path, embedder: Arc<dyn Embedder>, with_tokenizer: bool) -> Self {
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
    async fn ask(&self, path: &str, body: &Value) -> (Duration, Vec<Message>) {
        let body = body.to_string();
        let request = self.client.post(format!("{}{path}", self.base));
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
        (arrived - asked, prompt)
    }

    /// Does now what is otherwise done between turns.
    async fn rest(&self, session: &str) {
        while self.memory.embed_some(session).await.unwrap() {}
        let counter = self.engine.counter().unwrap();
        while self.memory.summarize_one(session, Arc::clone(&counter)).await.unwrap() {}
    }
}

fn config() -> Config {
    let models = models_dir().display().to_string();
    let settings = [("MODELS_DIR", models.as_str()), ("DISTILLATION_METHOD", "extractive")];
    Config::from_pairs(&settings).unwrap()
}

fn models_dir() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "benches are told by the environment")]
    let given = std::env::var_os("MODELS_DIR");
    given.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("models"), PathBuf::from)
}

/// Prose in pieces of a sentence, no two alike.
struct Prose {
    sentences: Vec<String>,
    random: ChaCha8Rng,
    count: usize,
}

impl Prose {
    fn new() -> Self {
        let whole = PROSE.split_whitespace().collect::<Vec<_>>().join(" ");
        let sentences = whole.split_inclusive(['.', '!', '?', ';']).map(|it| it.trim().to_owned());
        Self { sentences: sentences.collect(), random: ChaCha8Rng::seed_from_u64(7), count: 0 }
    }

    fn next(&mut self) -> Said {
        let one = &self.sentences[self.random.random_range(0..self.sentences.len())];
        let text = format!("{one} That was on day {}.", self.count / 4);
        let role = if self.count.is_multiple_of(2) { Role::User } else { Role::Assistant };
        self.count += 1;
        Said::new(role, None, text)
    }

    fn talk(&mut self, messages: usize) -> Vec<Said> {
        (0..messages).map(|_| self.next()).collect()
    }
}

fn wire(said: &[Said]) -> Vec<Value> {
    let line = |said: &Said| {
        let role = if said.role == Role::User { "user" } else { "assistant" };
        json!({ "role": role, "content": said.text })
    };
    said.iter().map(line).collect()
}

/// What a client sends of the talk.
struct Client {
    what: &'static str,
    /// Messages before the newest.
    sends: usize,
    names_its_session: bool,
}

const CLIENTS: [Client; 4] = [
    Client { what: "the newest message, session named", sends: 0, names_its_session: true },
    Client { what: "the last 60, session named", sends: 60, names_its_session: true },
    Client { what: "the last 60, session recognised", sends: 60, names_its_session: false },
    Client { what: "all 10,001, session recognised", sends: STORED, names_its_session: false },
];

const NAMED: &str = "named";
const RECOGNISED: &str = "recognised";

/// Each turn beside a plain completion of the very prompt that it came to, and beside the newest
/// message's embedding, in turn.
async fn added() -> Table {
    let mut table = Table::new();
    table.set_header([
        "the client sends",
        "turn: p50, p90",
        "plain completion: p50",
        "added: p50, p90",
        "of that, one embedding: p50",
        "bar of added p50",
    ]);
    let real = LazyEmbedder::new(models::sentence_embedder_dir(&models_dir()));
    let embedder = Arc::new(Quick { real, is_filling: AtomicBool::new(true) });
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Arc::clone(&embedder) as _, true).await;
    let mut prose = Prose::new();
    let stored = prose.talk(STORED);
    let named = Whose::Named(NAMED.to_owned());
    let recognised = Whose::Recognised { otherwise: RECOGNISED.to_owned() };
    for whose in [named, recognised] {
        let (persona, history) = (Some(PERSONA.to_owned()), stored.clone());
        let talk = Talk { whose, persona, history, feeling: None, lore_timers: None };
        let remembered = server.memory.remember(talk, Vec::new()).await.unwrap();
        server.rest(&remembered.session).await;
    }
    embedder.is_filling.store(false, Ordering::Relaxed);
    let (mut of_named, mut of_recognised) = (stored.clone(), stored);
    for client in &CLIENTS {
        let (session, sent) = if client.names_its_session {
            (NAMED, &mut of_named)
        } else {
            (RECOGNISED, &mut of_recognised)
        };
        let (mut turns, mut plain, mut more, mut single) = (vec![], vec![], vec![], vec![]);
        for turn in 0..=TURNS {
            let newest = prose.next();
            prose.count += 1;
            let mut messages = vec![json!({ "role": "system", "content": PERSONA })];
            messages.extend(wire(&sent[sent.len() - client.sends..]));
            messages.extend(wire(std::slice::from_ref(&newest)));
            let mut body = json!({ "messages": messages });
            if client.names_its_session {
                body["user"] = session.into();
            }
            let (time, prompt) = server.ask("/v1/chat/completions", &body).await;
            server.rest(session).await;
            let prompt = prompt.into_iter().map(|it| it.content).collect::<Vec<_>>().join("\n");
            let completion = json!({ "prompt": prompt, "max_tokens": 100 });
            let (unaided, _) = server.ask("/v1/completions", &completion).await;
            let began = Instant::now();
            embedder.embed(&[newest.text.as_str()]).unwrap();
            let took = began.elapsed();
            sent.push(newest);
            sent.push(Said::new(
                Role::Assistant,
                None,
                "I know. Look at the water, and tell me what you see.".to_owned(),
            ));
            // The first warms everything up.
            if turn > 0 {
                turns.push(time);
                plain.push(unaided);
                more.push(time.saturating_sub(unaided));
                single.push(took);
            }
        }
        table.add_row([
            client.what.to_owned(),
            percentiles(&mut turns),
            median(&mut plain),
            percentiles(&mut more),
            median(&mut single),
            "25 ms".to_owned(),
        ]);
    }
    drop(server);
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let server = Server::start(folder.path(), Arc::clone(&embedder) as _, true).await;
        let newest = Said::new(Role::User, None, prose.next().text);
        let body = json!({ "user": NAMED, "messages": wire(&[newest]) });
        starts.push(server.ask("/v1/chat/completions", &body).await.0);
    }
    let first = median(&mut starts);
    table.add_row(["the newest message, the first turn after a start".to_owned(), first]);
    table
}

/// How much a process grows when so many sessions are talked in.
fn working_memory() -> Table {
    let mut table = Table::new();
    table.set_header([
        "sessions",
        "messages each",
        "in working memory: sessions, messages",
        "the process grows by",
        "bar",
    ]);
    for (sessions, messages) in [("1000", "50"), ("1000", "200")] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().to_str().unwrap();
        own_binary(&[FILL, folder, sessions, messages]);
        let told = own_binary(&[TALK, folder, sessions]);
        let (held, grown) = told.trim().split_once('|').unwrap();
        table.add_row([sessions, messages, held, grown, "under 100 MB"]);
    }
    table
}

/// What it prints.
fn own_binary(arguments: &[&str]) -> String {
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

async fn fill(folder: &Path, sessions: usize, messages: usize) {
    let server = Server::start(folder, Arc::new(Made), false).await;
    let mut prose = Prose::new();
    for session in 0..sessions {
        let name = format!("session {session}");
        let talk = Talk {
            whose: Whose::Named(name.clone()),
            persona: Some(PERSONA.to_owned()),
            history: prose.talk(messages),
            feeling: None,
            lore_timers: None,
        };
        server.memory.remember(talk, Vec::new()).await.unwrap();
        while server.memory.embed_some(&name).await.unwrap() {}
    }
}

/// Sessions and messages in working memory after one turn in each, and by how much the process grew.
async fn talk(folder: &Path, sessions: usize) -> String {
    let server = Server::start(folder, Arc::new(Made), false).await;
    let says = |session: String, text: &str| {
        let said = [Said::new(Role::User, None, text.to_owned())];
        json!({ "user": session, "messages": wire(&said) })
    };
    // What the first turns of all take (prompts, connections) is no working memory.
    for turn in 0..20 {
        let stranger = says(format!("stranger {turn}"), "Who are you?");
        server.ask("/v1/chat/completions", &stranger).await;
    }
    let before = resident_bytes();
    for session in 0..sessions {
        let asked = says(format!("session {session}"), "What did the White Rabbit say?");
        server.ask("/v1/chat/completions", &asked).await;
    }
    let grown = before.and_then(|before| Some(resident_bytes()? - before));
    let grown = grown.map_or("unknown here".to_owned(), |bytes| format!("{:.0} MB", bytes / 1e6));
    let (held, messages) = server.memory.working();
    format!("{held}, {messages}|{grown}")
}

/// The real embedder, except while the database is filled.
struct Quick {
    real: LazyEmbedder,
    is_filling: AtomicBool,
}

impl Embedder for Quick {
    fn id(&self) -> &str {
        self.real.id()
    }

    fn dimensions(&self) -> usize {
        self.real.dimensions()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbeddingError> {
        if self.is_filling.load(Ordering::Relaxed) {
            Made.embed(texts)
        } else {
            self.real.embed(texts)
        }
    }
}

/// Vectors without a model: of the right length, and different ones for different texts.
struct Made;

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

/// Linux only.
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

fn percentiles(times: &mut [Duration]) -> String {
    let p50 = median(times);
    format!("{p50}, {}", milliseconds(times[times.len() * 9 / 10]))
}

fn median(times: &mut [Duration]) -> String {
    times.sort_unstable();
    milliseconds(times[times.len() / 2])
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}
