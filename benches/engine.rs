//! The engine against llama.cpp's own `llama-server`: same model file, threads and window, in turn, in
//! one run. `LLAMA_SERVER` names the peer's binary; without it only what compares the engine with
//! itself is measured.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that can't measure should stop"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use comfy_table::Table;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use rhapsode::clock::Clock;
use rhapsode::engine::llama::{FlashAttention, LlamaEngine, LlamaSettings};
use rhapsode::engine::{ClientId, Engine, EngineState, Event, GenerateRequest, Message, Sampling};
use rhapsode::tokens::TokenCount;
use serde_json::{Value, json};

const MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const ROUNDS: usize = 3;
/// About 1,630 tokens.
const STORY_CHARACTERS: usize = 6_100;

fn main() {
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let only: Vec<_> = std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut bench = Bench::new();
        let wanted = |name: &str| only.is_empty() || only.iter().any(|given| given == name);
        if bench.peer.is_some() {
            if wanted("single") {
                bench.one_stream().await;
            }
            if wanted("eight") {
                bench.eight_streams(450).await;
            }
            if wanted("eight-long") {
                bench.eight_streams(3_000).await;
            }
            if wanted("panel") {
                bench.panel().await;
            }
            if wanted("prefix") {
                bench.same_prefix().await;
            }
        } else {
            eprintln!("LLAMA_SERVER isn't set: nothing is compared with the peer");
        }
        if wanted("lookup") {
            bench.lookup().await;
        }
        if wanted("grammar") {
            bench.grammar().await;
        }
        if wanted("threads") {
            bench.threads().await;
        }
        println!("{}", bench.table);
    });
}

struct Bench {
    peer: Option<PathBuf>,
    model: PathBuf,
    threads: usize,
    novel: String,
    table: Table,
}

/// One answer, as its reader saw it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    first: Duration,
    whole: Duration,
    prompt: usize,
    cached: usize,
    written: usize,
}

impl Seen {
    fn prefill_rate(&self) -> f64 {
        (self.prompt - self.cached) as f64 / self.first.as_secs_f64()
    }

    fn decode_rate(&self) -> f64 {
        (self.written - 1) as f64 / self.whole.saturating_sub(self.first).as_secs_f64()
    }
}

impl Bench {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "benches are told by the environment")]
        let told = |name| std::env::var_os(name).map(PathBuf::from);
        let models = told("MODELS_DIR")
            .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("models"));
        let mut table = Table::new();
        table.set_header(["work", "Rhapsode", "other side", "ratio", "bar"]);
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            peer: told("LLAMA_SERVER"),
            model: models.join(MODEL),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            novel: novel(),
            table,
        }
    }

    fn settings(&self, window: usize) -> LlamaSettings {
        LlamaSettings {
            model_path: self.model.clone(),
            window: TokenCount::new(window.min(8_192)),
            gpu_layers: Some(0),
            threads: Some(self.threads),
            queue_size: 64,
            parallel: 9,
            kv_tokens: Some(TokenCount::new(window)),
            flash_attention: FlashAttention::Auto,
            reproducible: false,
            states_folder: None,
            states_capacity: 0,
            verbose: false,
            clock: Clock::system(),
        }
    }

    fn engine(&self, window: usize) -> LlamaEngine {
        start(self.settings(window))
    }

    async fn server(&self, window: usize, more: &[&str]) -> Peer {
        Peer::start(self.peer.as_ref().unwrap(), &self.model, self.threads, window, more).await
    }

    /// A stretch of the novel that no other number begins with.
    fn story(&self, number: usize, characters: usize) -> String {
        let from = self.novel.len() / 40 * (number % 30);
        let text: String = self.novel.chars().skip(from).take(characters).collect();
        format!("Story {number}.\n{text}")
    }

    fn row(&mut self, work: &str, sides: [String; 2], ratio: f64, bar: &str) {
        let [ours, other] = sides;
        eprintln!("{work}: {ours} against {other}: {ratio:.2} ({bar})");
        self.table.add_row([work, &*ours, &*other, &format!("{ratio:.2}"), bar]);
    }

    async fn one_stream(&mut self) {
        let (mut prefills, mut decodes) = (Vec::new(), Vec::new());
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let asked = long_answer(&self.story(round, STORY_CHARACTERS));
            let peer = self.server(8_192, &["-np", "1"]).await;
            let other = peer.ask(&asked, 100).await.unwrap();
            drop(peer);
            let engine = self.engine(8_192);
            let own = ask(&engine, request(&asked, 100)).await;
            prefills.push(own.prefill_rate() / other.prefill_rate());
            decodes.push(own.decode_rate() / other.decode_rate());
            ours.push(own);
            theirs.push(other);
        }
        let rate = |seen: &[Seen], of: fn(&Seen) -> f64| {
            format!("{:.0} tokens/s", median(seen.iter().map(of).collect()))
        };
        self.row(
            "one stream, prefill of 1,630 tokens",
            [rate(&ours, Seen::prefill_rate), rate(&theirs, Seen::prefill_rate)],
            median(prefills),
            "≥ 1.0",
        );
        self.row(
            "one stream, decode of 100 tokens behind them",
            [rate(&ours, Seen::decode_rate), rate(&theirs, Seen::decode_rate)],
            median(decodes),
            "≥ 1.0",
        );
    }

    async fn eight_streams(&mut self, characters: usize) {
        const CACHES: [&str; 2] = ["--kv-unified", "--no-kv-unified"];
        let mut ratios = [Vec::new(), Vec::new()];
        let (mut ours, mut theirs) = (Vec::new(), [Vec::new(), Vec::new()]);
        let mut tokens = 0;
        for round in 0..ROUNDS {
            let asked: Vec<_> =
                (0..8).map(|n| long_answer(&self.story(round * 8 + n, characters))).collect();
            let engine = self.engine(16_384);
            let started = Instant::now();
            let seen = join_all(asked.iter().map(|asked| ask(&engine, request(asked, 100)))).await;
            let written: usize = seen.iter().map(|seen| seen.written).sum();
            tokens = seen[0].prompt;
            let own = started.elapsed().as_secs_f64() / written as f64 * 800.0;
            drop(engine);
            ours.push(own);
            for (place, cache) in CACHES.iter().enumerate() {
                let peer = self.server(16_384, &["-np", "8", cache]).await;
                let started = Instant::now();
                let seen = join_all(asked.iter().map(|asked| peer.ask(asked, 100))).await;
                let written: usize = seen.iter().map(|seen| seen.as_ref().unwrap().written).sum();
                let other = started.elapsed().as_secs_f64() / written as f64 * 800.0;
                ratios[place].push(other / own);
                theirs[place].push(other);
            }
        }
        for (place, cache) in
            ["sharing one cache, as ours", "with its cache split in eight"].iter().enumerate()
        {
            self.row(
                &format!(
                    "8 streams, different prompts of about {tokens} tokens, 100 tokens each; the peer {cache}"
                ),
                [
                    format!("{:.1} s", median(ours.clone())),
                    format!("{:.1} s", median(theirs[place].clone())),
                ],
                median(ratios[place].clone()),
                "≥ 1.0",
            );
        }
    }

    async fn panel(&mut self) {
        const AGENTS: [&str; 6] =
            ["editor", "rater", "reader", "critic", "publisher", "translator"];
        let (mut ratios, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let story = self.story(round, STORY_CHARACTERS);
            let asked = AGENTS.map(|agent| {
                long_answer(&format!(
                    "{story}\n\nYou are the {agent}. Say at length what you think."
                ))
            });
            let mut best = f64::INFINITY;
            for cache in ["--kv-unified", "--no-kv-unified"] {
                let peer = self.server(16_384, &["-np", "6", cache]).await;
                let started = Instant::now();
                let seen = join_all(asked.iter().map(|asked| peer.ask(asked, 100))).await;
                let written: usize = seen.iter().map(|seen| seen.as_ref().unwrap().written).sum();
                let seconds = started.elapsed().as_secs_f64();
                eprintln!("peer {cache}: {seconds:.1} s for {written} tokens");
                best = best.min(seconds);
            }
            let engine = self.engine(16_384);
            let started = Instant::now();
            let seen = join_all(asked.iter().map(|asked| ask(&engine, request(asked, 100)))).await;
            let own = started.elapsed().as_secs_f64();
            let written: usize = seen.iter().map(|seen| seen.written).sum();
            eprintln!("Rhapsode: {own:.1} s for {written} tokens");
            ratios.push(best / own);
            ours.push(own);
            theirs.push(best);
        }
        self.row(
            "panel: six agents, one context of 1,630 tokens, 100 tokens each",
            [format!("{:.1} s", median(ours)), format!("{:.1} s", median(theirs))],
            median(ratios),
            "≥ 3.5",
        );

        // The same in a window that they fit into only together.
        let story = self.story(0, STORY_CHARACTERS);
        let asked = AGENTS.map(|agent| long_answer(&format!("{story}\n\nYou are the {agent}.")));
        let peer = self.server(8_192, &["-np", "6", "--kv-unified"]).await;
        let seen = join_all(asked.iter().map(|asked| peer.ask(asked, 100))).await;
        let failed = seen.iter().filter(|seen| seen.is_err()).count();
        drop(peer);
        let engine = self.engine(8_192);
        let seen = join_all(asked.iter().map(|asked| ask(&engine, request(asked, 100)))).await;
        let own = seen.iter().filter(|seen| seen.written > 0).count();
        self.row(
            "panel in a window of 8,192 tokens",
            [format!("{own} of 6 answer"), format!("{} of 6 answer", 6 - failed)],
            own as f64 / (6 - failed) as f64,
            "works",
        );
    }

    async fn same_prefix(&mut self) {
        let (mut warm, mut cold) = (Vec::new(), Vec::new());
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let (mut restarted, mut colds) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let story = self.story(round, STORY_CHARACTERS);
            let first = long_answer(&format!("{story}\n\nYou are the editor."));
            let second = long_answer(&format!("{story}\n\nYou are the rater."));
            let peer = self.server(8_192, &["-np", "1"]).await;
            let other_cold = peer.ask(&first, 20).await.unwrap();
            let other_warm = peer.ask(&second, 20).await.unwrap();
            drop(peer);
            let folder = tempfile::tempdir().unwrap();
            let settings = LlamaSettings {
                states_folder: Some(folder.path().to_owned()),
                states_capacity: 1 << 30,
                ..self.settings(8_192)
            };
            let engine = start(settings.clone());
            ask(&engine, request(&first, 20)).await;
            let own_warm = ask(&engine, request(&second, 20)).await;
            drop(engine);
            let engine = start(settings);
            let own_restarted = ask(&engine, request(&second, 20)).await;
            assert!(own_restarted.cached > 1_000, "{own_restarted:?}");
            warm.push(other_warm.first.as_secs_f64() / own_warm.first.as_secs_f64());
            cold.push(other_cold.first.as_secs_f64() / own_restarted.first.as_secs_f64());
            ours.push(own_warm.first.as_secs_f64());
            theirs.push(other_warm.first.as_secs_f64());
            restarted.push(own_restarted.first.as_secs_f64());
            colds.push(other_cold.first.as_secs_f64());
        }
        let milliseconds = |seconds| format!("{:.0} ms", median(seconds) * 1e3);
        self.row(
            "second request with the same 1,630 tokens, to the first token",
            [milliseconds(ours), milliseconds(theirs)],
            median(warm),
            "≥ 1.0",
        );
        self.row(
            "the same after a restart, against the peer's cold start",
            [milliseconds(restarted), milliseconds(colds)],
            median(cold),
            "≥ 10",
        );
    }

    /// A chapter of 600 words (from Lewis Carroll's Alice) comes back with one sentence changed. So small
    /// a model can't do that by itself, so it is held to the answer that a larger one would give; both
    /// sides pay alike for that.
    async fn lookup(&mut self) {
        let chapter = include_str!("chapter.txt").replace('\n', " ");
        let sentences: Vec<_> = chapter.split_inclusive(". ").collect();
        let middle = sentences.len() / 2;
        let changed =
            [&sentences[..middle], &["Then it began to rain. "], &sentences[middle + 1..]];
        let schema = Arc::new(json!({"type": "string", "const": changed.concat().concat()}));
        let asked = format!("{chapter}\n\nLet it begin to rain in the middle of this chapter.");
        let (mut ratios, mut plains, mut drafts) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let engine = self.engine(8_192);
            let plain = GenerateRequest {
                json_schema: Some(Arc::clone(&schema)),
                ..request(&asked, 1_500)
            };
            // The prompt is read once, for both.
            ask(&engine, GenerateRequest { max_tokens: TokenCount::new(1), ..plain.clone() }).await;
            let drafted = GenerateRequest { prompt_lookup: true, ..plain.clone() };
            let drafted = ask(&engine, drafted).await;
            let counters = engine.status().counters;
            let plain = ask(&engine, plain).await;
            eprintln!(
                "drafted {} tokens, {} right; {} tokens at {:.0}/s, plain {} at {:.0}/s",
                counters.drafted_tokens,
                counters.accepted_tokens,
                drafted.written,
                drafted.decode_rate(),
                plain.written,
                plain.decode_rate()
            );
            ratios.push(drafted.decode_rate() / plain.decode_rate());
            plains.push(plain.decode_rate());
            drafts.push(drafted.decode_rate());
        }
        self.row(
            "a chapter of 600 words with one change, greedy: lookup against plain decoding",
            [format!("{:.0} tokens/s", median(drafts)), format!("{:.0} tokens/s", median(plains))],
            median(ratios),
            "≥ 1.5",
        );
    }

    /// What three free streams lose when a fourth is held to a schema.
    async fn grammar(&mut self) {
        let engine = self.engine(8_192);
        let schema = Arc::new(json!({
            "type": "object",
            "properties": {
                "opinion": {"type": "string", "maxLength": 2000},
                "score": {"type": "integer", "minimum": 1, "maximum": 10},
            },
            "required": ["opinion", "score"],
            "additionalProperties": false,
        }));
        // The grammar's tables are made once.
        let held = |schema: Option<Arc<Value>>| GenerateRequest {
            json_schema: schema,
            sampling: Sampling { temperature: 0.8, ..greedy() },
            ..request("Rate the tale of the fox and the well at length.", 150)
        };
        ask(&engine, held(Some(Arc::clone(&schema)))).await;
        let (mut ratios, mut frees, mut besides) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..2 * ROUNDS {
            let mut rates = [0.0; 2];
            // Which comes first changes from round to round.
            for turn in [round % 2, 1 - round % 2] {
                let fourth = held((turn == 1).then(|| Arc::clone(&schema)));
                let free = (0..3).map(|n| request(&format!("Tell long tale {n} of a fox."), 100));
                let free = join_all(free.map(|asked| ask(&engine, asked)));
                let (seen, _) = tokio::join!(free, ask(&engine, fourth));
                rates[turn] = seen.iter().map(Seen::decode_rate).sum::<f64>();
            }
            ratios.push(rates[1] / rates[0]);
            frees.push(rates[0]);
            besides.push(rates[1]);
        }
        self.row(
            "three free streams beside a fourth that is held to a schema, and beside a free one",
            [format!("{:.0} tokens/s", median(besides)), format!("{:.0} tokens/s", median(frees))],
            median(ratios),
            "≥ 0.95",
        );
    }

    /// Threads by measurement against fixed counts, on the machine as it is and with a busy neighbour
    /// on one core.
    async fn threads(&mut self) {
        for busy in [false, true] {
            let neighbour = busy.then(Neighbour::start);
            let (mut ratios, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
            for round in 0..2 * ROUNDS {
                let asked = long_answer(&self.story(round, 450));
                let mut rates = Vec::new();
                // With a neighbour, all threads are no measure: they are what is to be avoided.
                let counts = [None, (!busy).then_some(self.threads), Some(1)];
                for (place, threads) in counts.into_iter().enumerate() {
                    if place == 1 && threads.is_none() {
                        rates.push(0.0);
                        continue;
                    }
                    // One after another: OpenMP's threads of several engines would disturb each other.
                    let engine = start(LlamaSettings { threads, ..self.settings(2_048) });
                    ask(&engine, request("Tell a tale of a fox.", 30)).await;
                    let seen = ask(&engine, request(&asked, 400)).await;
                    assert!(seen.written > 100, "{seen:?}");
                    rates.push(seen.decode_rate());
                }
                let best = rates[1].max(rates[2]);
                eprintln!("measured {:.1}, all {:.1}, one {:.1}", rates[0], rates[1], rates[2]);
                ratios.push(rates[0] / best);
                ours.push(rates[0]);
                theirs.push(best);
            }
            drop(neighbour);
            let (work, bar) = if busy {
                ("threads by measurement, one core busy, against one thread", "≥ 0.8")
            } else {
                ("threads by measurement, no neighbour, against the best fixed count", "≥ 0.97")
            };
            self.row(
                work,
                [
                    format!("{:.0} tokens/s", median(ours)),
                    format!("{:.0} tokens/s", median(theirs)),
                ],
                median(ratios),
                bar,
            );
        }
    }
}

/// A process that takes one core.
struct Neighbour(Child);

impl Neighbour {
    fn start() -> Self {
        let shell = Command::new("sh").args(["-c", "while :; do :; done"]).spawn();
        Self(shell.unwrap())
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(settings: LlamaSettings) -> LlamaEngine {
    let engine = LlamaEngine::start(settings).unwrap();
    while engine.status().state == EngineState::Loading {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(engine.status().state, EngineState::Ready, "run: make models");
    engine
}

fn greedy() -> Sampling {
    Sampling {
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        min_p: 0.0,
        repeat_penalty: 1.0,
        presence_penalty: 0.0,
        frequency_penalty: 0.0,
        seed: 1,
    }
}

fn long_answer(text: &str) -> String {
    format!("{text}\n\nWrite on from here, and do not stop before it is very long.")
}

fn request(asked: &str, max_tokens: usize) -> GenerateRequest {
    let messages = vec![Message::user(asked)];
    GenerateRequest::new(ClientId::default(), messages, greedy(), TokenCount::new(max_tokens))
}

async fn ask(engine: &LlamaEngine, request: GenerateRequest) -> Seen {
    let started = Instant::now();
    let mut generation = engine.submit(request).unwrap();
    let mut first = None;
    loop {
        match generation.next().await.unwrap() {
            Event::Started { .. } | Event::Tokens(_) | Event::ToolCalls(_) => {}
            Event::Text(_) => {
                first.get_or_insert_with(|| started.elapsed());
            }
            Event::Finished(finished) => {
                let whole = started.elapsed();
                return Seen {
                    first: first.unwrap_or(whole),
                    whole,
                    prompt: finished.usage.prompt_tokens.get(),
                    cached: finished.usage.cached_tokens.get(),
                    written: finished.usage.completion_tokens.get(),
                };
            }
            Event::Failed(error) => panic!("{error}"),
        }
    }
}

/// `llama-server` on a free port.
struct Peer {
    process: Child,
    base: String,
    client: reqwest::Client,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Peer {
    async fn start(
        binary: &Path,
        model: &Path,
        threads: usize,
        window: usize,
        more: &[&str],
    ) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(binary)
            .arg("-m")
            .arg(model)
            .args(["-c", &window.to_string(), "-t", &threads.to_string(), "-ngl", "0"])
            .args(["--port", &port.to_string()])
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let base = format!("http://127.0.0.1:{port}");
        let peer = Self { process, base, client: reqwest::Client::new() };
        loop {
            let health = peer.client.get(format!("{}/health", peer.base)).send().await;
            if health.is_ok_and(|answer| answer.status().is_success()) {
                return peer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn ask(&self, asked: &str, max_tokens: usize) -> Result<Seen, String> {
        let body = json!({
            "messages": [{"role": "user", "content": asked}],
            "temperature": 0,
            "max_tokens": max_tokens,
            "stream": true,
            "timings_per_token": false,
        });
        let started = Instant::now();
        let answer = self
            .client
            .post(format!("{}/v1/chat/completions", self.base))
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(answer.text().await.unwrap_or_default());
        }
        let (mut first, mut last, mut text) = (None, Duration::ZERO, String::new());
        let mut pieces = answer.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| error.to_string())?;
            last = started.elapsed();
            let piece = String::from_utf8_lossy(&piece).into_owned();
            if first.is_none() && piece.contains("\"content\":\"") {
                first = Some(last);
            }
            text.push_str(&piece);
        }
        let chunks = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let chunks = chunks.filter_map(|chunk| serde_json::from_str::<Value>(chunk).ok());
        let timings = chunks.filter_map(|chunk| chunk.get("timings").cloned()).next_back();
        let timings = timings.ok_or_else(|| text.chars().rev().take(300).collect::<String>())?;
        let count = |name: &str| usize::try_from(timings[name].as_u64().unwrap_or(0)).unwrap();
        Ok(Seen {
            first: first.ok_or("no text")?,
            whole: last,
            prompt: count("prompt_n") + count("cache_n"),
            cached: count("cache_n"),
            written: count("predicted_n"),
        })
    }
}

/// A text of some length that isn't all alike, so that nothing is found in it twice by chance.
fn novel() -> String {
    let names = ["Mara", "Tom", "the ferryman", "old Brandt", "the miller's girl", "a stranger"];
    let deeds = [
        "counted the lanterns on the bridge",
        "waited below the mill",
        "read the letter twice",
        "would not say a word",
        "went out with the tide",
        "left the door unlocked",
        "dreamt of the sea again",
        "hid the key under the stone",
        "laughed at the constable",
    ];
    let times = [
        "before the rain",
        "on the third night",
        "while the market slept",
        "at first light",
        "when the bells had stopped",
        "in the week of the flood",
        "after supper",
    ];
    let ends = [
        "and nobody asked why.",
        "as her mother had done.",
        "though it was forbidden.",
        "because the river had risen.",
        "and the dog did not bark.",
        "for the last time.",
        "without looking back.",
        "as if nothing had happened.",
    ];
    let sentence = |n: usize| {
        // A walk through the combinations that comes round late.
        let pick = |words: &[&'static str], step: usize| words[(n * step + n / 7) % words.len()];
        let (name, deed) = (pick(&names, 5), pick(&deeds, 7));
        format!("{}, {name} {deed} {} Page {n}.", pick(&times, 3), pick(&ends, 11))
    };
    (0..4_000).map(sentence).collect::<Vec<_>>().join(" ")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
