//! The server as a whole: what streaming costs beside a bare llama.cpp loop, how much memory it takes
//! without a model, how soon it answers. Both sides of a ratio are measured in turn, in one run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that can't measure should stop"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use comfy_table::Table;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::sampling::LlamaSampler;
use rhapsode::context::assemble;
use rhapsode::tokens::Estimate;

#[path = "elements/mod.rs"]
mod context;

const ROUNDS: usize = 11;
const WINDOW: u32 = 2048;
const TOKENS: usize = 500;
const REQUEST: &str = r#"{"plotPoint": "Alice follows the White Rabbit into the long hall and tries every door.",
    "structured_context": {"plot_elements": [{"type": "scene", "content": "A long, low hall with many locked doors."}]}}"#;

fn main() {
    // `cargo test --benches` and `cargo bench -- --list` only want to know that it starts.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut table = Table::new();
    table.set_header(["what", "measured", "bar"]);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);

    let (ratio, raw, http) = runtime.block_on(streaming(threads));
    table.add_row([
        format!("decode through HTTP against a bare llama.cpp loop, {threads} threads"),
        format!("{ratio:.3} ({http:.1} against {raw:.1} tokens/s)"),
        "at least 0.97".to_owned(),
    ]);
    let (ready, memory) = runtime.block_on(idle_server());
    table.add_row([
        "from start to the first answer of /health".to_owned(),
        format!("{:.0} ms", ready.as_secs_f64() * 1e3),
        "at most 300 ms".to_owned(),
    ]);
    table.add_row([
        "memory of the idle server, no model".to_owned(),
        memory.map_or("unknown here".to_owned(), |bytes| format!("{:.1} MB", bytes / 1e6)),
        "under 60 MB".to_owned(),
    ]);
    for (count, time) in assembly() {
        table.add_row([
            format!("assembly of {count} elements, token counting aside"),
            format!("{:.3} ms a thousand", time.as_secs_f64() * 1e6 / f64::from(count)),
            "under 1 ms a thousand".to_owned(),
        ]);
    }
    println!("{table}");
}

/// Median times; `benches/context.rs` measures the same with criterion.
fn assembly() -> Vec<(u32, Duration)> {
    let rules = context::rules();
    [10, 100, 1_000, 10_000]
        .into_iter()
        .map(|count| {
            let elements: Vec<_> = (0..count as usize).map(context::element).collect();
            let mut times: Vec<_> = (0..50)
                .map(|_| {
                    let started = Instant::now();
                    std::hint::black_box(assemble(&elements, &rules, &Estimate)).unwrap();
                    started.elapsed().as_secs_f64()
                })
                .collect();
            (count, Duration::from_secs_f64(median(&mut times)))
        })
        .collect()
}

fn models_dir() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "benches are told by the environment")]
    let given = std::env::var_os("MODELS_DIR");
    given.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("models"), PathBuf::from)
}

/// Ratio of the medians, and both in tokens a second.
async fn streaming(threads: usize) -> (f64, f64, f64) {
    let server = Server::start(&[
        ("LLM_N_CTX", WINDOW.to_string()),
        ("LLM_N_THREADS", threads.to_string()),
        ("LLM_REPEAT_PENALTY", "1".to_owned()),
        ("ENDPOINT_GENERATE_CHAPTER_TEMPERATURE", "0".to_owned()),
        ("ENDPOINT_GENERATE_CHAPTER_MAX_TOKENS", TOKENS.to_string()),
        ("MODELS_DIR", models_dir().display().to_string()),
    ]);
    server.wait_until_ready().await;
    let model = models_dir().join("SmolLM2-135M-Instruct.Q4_1.gguf");
    let bare = BareLoop::load(&model);
    let (mut ratios, mut raws, mut https) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (http, prompt, written) = server.stream_chapter();
        let raw = bare.decode(threads, prompt, written);
        eprintln!("{http:.1} against {raw:.1} tokens/s");
        ratios.push(http / raw);
        raws.push(raw);
        https.push(http);
    }
    (median(&mut ratios), median(&mut raws), median(&mut https))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// llama.cpp without anything around it.
struct BareLoop {
    backend: LlamaBackend,
    model: Arc<LlamaModel>,
}

impl BareLoop {
    fn load(path: &Path) -> Self {
        llama_cpp_2::send_logs_to_tracing(
            llama_cpp_2::LogOptions::default().with_logs_enabled(false),
        );
        let backend = LlamaBackend::init().unwrap();
        let model =
            LlamaModel::load_from_file(&backend, path, &LlamaModelParams::default()).unwrap();
        Self { backend, model: Arc::new(model) }
    }

    /// Tokens a second after a prompt of so many tokens, likeliest token each time.
    fn decode(&self, threads: usize, prompt: usize, written: usize) -> f64 {
        let threads = i32::try_from(threads).unwrap();
        let parameters = LlamaContextParams::default()
            .with_n_ctx(std::num::NonZeroU32::new(WINDOW))
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_no_perf(true);
        let mut context = self.model.new_context(&self.backend, parameters).unwrap();
        let text = "The rain fell on the old town and nobody spoke. ".repeat(200);
        let vocabulary = self.model.vocab();
        let tokens = vocabulary.tokenize(text.as_bytes(), true, false);
        let mut batch = LlamaBatch::new(WINDOW as usize, 1);
        for (position, token) in tokens[..prompt].iter().enumerate() {
            let last = position + 1 == prompt;
            batch.add(*token, i32::try_from(position).unwrap(), &[0], last).unwrap();
        }
        context.decode(&mut batch).unwrap();
        let mut sampler = LlamaSampler::chain_simple([LlamaSampler::greedy()]);
        let mut token = sampler.sample(&context, batch.n_tokens() - 1);
        let started = Instant::now();
        for position in prompt..prompt + written - 1 {
            batch.clear();
            batch.add(token, i32::try_from(position).unwrap(), &[0], true).unwrap();
            context.decode(&mut batch).unwrap();
            token = sampler.sample(&context, 0);
        }
        (written - 1) as f64 / started.elapsed().as_secs_f64()
    }
}

/// The real binary on a free port.
struct Server {
    process: Child,
    base: String,
    client: reqwest::Client,
    /// Kept open: the server may have more to say.
    _output: BufReader<ChildStdout>,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(settings: &[(&str, String)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_rhapsode"))
            .args(["serve", "--port", "0"])
            .current_dir(folder.path())
            .envs(settings.iter().map(|(name, value)| (*name, value.as_str())))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut greeting = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut greeting).unwrap();
        let base = greeting.trim().rsplit(' ').next().unwrap().to_owned();
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { process, base, client: reqwest::Client::new(), _output: output, _folder: folder }
    }

    async fn health(&self) -> serde_json::Value {
        let answer = self.client.get(format!("{}/health", self.base)).send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    async fn wait_until_ready(&self) {
        while self.health().await["engine"]["state"] == "loading" {
            tokio::task::yield_now().await;
        }
        assert_eq!(self.health().await["engine"]["state"], "ready", "run: make models");
    }

    /// Tokens a second from the first piece of text to the last; tokens of prompt and answer. A bare
    /// client: what it does takes time from the model's cores.
    fn stream_chapter(&self) -> (f64, usize, usize) {
        let address = self.base.strip_prefix("http://").unwrap();
        let mut connection = TcpStream::connect(address).unwrap();
        write!(
            connection,
            "POST /api/v1/generate-chapter HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{REQUEST}",
            REQUEST.len()
        )
        .unwrap();
        let mut answer = Vec::new();
        let mut buffer = vec![0; 1 << 20];
        let (mut first, mut last) = (None, Instant::now());
        loop {
            let read = connection.read(&mut buffer).unwrap();
            if read == 0 {
                break;
            }
            // The first bytes of a frame tell its type.
            if buffer[..read.min(64)].windows(9).any(|bytes| bytes == b"\"partial\"") {
                last = Instant::now();
                first.get_or_insert(last);
            }
            answer.extend_from_slice(&buffer[..read]);
        }
        let answer = String::from_utf8(answer).unwrap();
        let result = answer.lines().filter_map(|line| line.strip_prefix("data: ")).next_back();
        let result: serde_json::Value = serde_json::from_str(result.unwrap()).unwrap();
        let usage = &result["data"]["metadata"]["usage"];
        let tokens = |name: &str| usize::try_from(usage[name].as_u64().unwrap()).unwrap();
        let written = tokens("completion_tokens");
        let seconds = (last - first.unwrap()).as_secs_f64();
        ((written - 1) as f64 / seconds, tokens("prompt_tokens"), written)
    }
}

/// Time until /health answers, and resident memory in bytes once it does; no model to load.
async fn idle_server() -> (Duration, Option<f64>) {
    let mut times = Vec::new();
    let mut memory = None;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let server = Server::start(&[("MODELS_DIR", "nowhere".to_owned())]);
        assert_eq!(server.health().await["status"], "healthy");
        times.push(started.elapsed().as_secs_f64());
        memory = resident_bytes(server.process.id());
    }
    (Duration::from_secs_f64(median(&mut times)), memory)
}

/// Linux only.
fn resident_bytes(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024.0)
}
