//! What a talk's memory finds, and how fast. `LOCOMO=path/to/locomo.json` names conversations in the
//! format of LoCoMo; without it only times are measured.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that can't measure should stop"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use comfy_table::Table;
use cpu_time::ThreadTime;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rhapsode::embedding::{Embedder as _, MiniLm};
use rhapsode::memory::recall::{Entry, Index, Query};
use rhapsode::models::sentence_embedder_dir;

mod locomo;

const DIMENSIONS: usize = 384;
const LIMIT: usize = 10;
const SEARCHES: usize = 500;

fn main() {
    // `cargo test --benches` and `cargo bench -- --list` only want to know that it starts.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    match told("LOCOMO") {
        Some(path) => {
            let models = told("MODELS_DIR")
                .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("models"));
            let embedder = MiniLm::load(&sentence_embedder_dir(&models)).unwrap();
            locomo::measure(&path, &|texts: &[&str]| embedder.embed(texts).unwrap());
        }
        None => println!(
            "What is found is measured with LoCoMo's conversations (locomo10.json of its authors, \
             CC BY-NC 4.0):\n    make bench-memory LOCOMO=path/to/locomo10.json\n"
        ),
    }
    println!("{}", speed());
}

fn told(name: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "benches are told by the environment")]
    let told = std::env::var_os(name);
    told.filter(|told| !told.is_empty()).map(PathBuf::from)
}

/// A made talk: words by Zipf's law, vectors around a common middle, as sentences' are.
struct Talk {
    random: ChaCha8Rng,
    middle: Vec<f32>,
}

impl Talk {
    const WORDS: u32 = 30_000;

    fn new() -> Self {
        let mut talk = Self { random: ChaCha8Rng::seed_from_u64(7), middle: Vec::new() };
        talk.middle = talk.noise();
        talk
    }

    /// Rank r comes with a chance of about 1/r.
    fn text(&mut self, words: usize) -> String {
        let word = |_| {
            let rank = f64::from(Self::WORDS).powf(self.random.random::<f64>());
            format!("word{rank:.0} ")
        };
        (0..words).map(word).collect()
    }

    fn noise(&mut self) -> Vec<f32> {
        (0..DIMENSIONS).map(|_| self.random.random_range(-1.0..1.0)).collect()
    }

    /// Cosines of two such are about 0.2, and seldom above 0.4.
    fn vector(&mut self) -> Vec<f32> {
        let noise = self.noise();
        unit(noise.iter().zip(&self.middle).map(|(noise, middle)| noise + 0.5 * middle).collect())
    }
}

fn unit(vector: Vec<f32>) -> Vec<f32> {
    let length = dot(&vector, &vector).sqrt();
    vector.into_iter().map(|component| component / length).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Searches in talks of several lengths, each beside a plain scan over `f32` vectors that adds no
/// words, in turn. The processor's time leaves out what other programs took.
fn speed() -> Table {
    let mut table = Table::new();
    table.set_header([
        "messages",
        "words of the query",
        "p50, p99",
        "processor's p50, p99",
        "bar of p99",
        "plain f32 scan: processor's p50, p99",
        "its p50 / ours",
        "bytes a message",
        "a push",
        "cutting off half",
    ]);
    for (messages, bar) in [(300, ""), (1_000, "0.5 ms"), (100_000, "10 ms")] {
        let mut made = Made::new(messages);
        let bytes = made.index.bytes() / messages;
        let rows = [10, 200].map(|words| (words, made.searches(words)));
        let cut = timed(|| made.index.truncate(messages / 2));
        for (words, [wall, ours, plain]) in rows {
            table.add_row([
                messages.to_string(),
                words.to_string(),
                percentiles(&wall),
                percentiles(&ours),
                bar.to_owned(),
                percentiles(&plain),
                format!("{:.2}", plain[SEARCHES / 2].div_duration_f64(ours[SEARCHES / 2])),
                bytes.to_string(),
                milliseconds(made.pushing / u32::try_from(messages).unwrap()),
                milliseconds(cut),
            ]);
        }
    }
    table
}

/// An index over a made talk, and the same vectors as they came.
struct Made {
    talk: Talk,
    people: [String; 2],
    index: Index,
    vectors: Vec<f32>,
    /// What all pushes took.
    pushing: Duration,
}

impl Made {
    fn new(messages: usize) -> Self {
        let mut made = Self {
            talk: Talk::new(),
            people: ["Maria".to_owned(), "John".to_owned()],
            index: Index::new(DIMENSIONS),
            vectors: Vec::with_capacity(messages * DIMENSIONS),
            pushing: Duration::ZERO,
        };
        for number in 0..messages {
            let (text, turn) = (made.talk.text(25), made.talk.vector());
            let window = made.talk.vector();
            made.vectors.extend(turn.iter().zip(&window).map(|(a, b)| f32::midpoint(*a, *b)));
            let entry = Entry {
                text: &text,
                speaker: Some(&made.people[number % 2]),
                vector: Some(&turn),
                window: Some(&window),
                emotion: Some(u8::from(made.talk.random.random_bool(0.25))),
                importance: 0.8,
            };
            made.pushing += timed(|| made.index.push(&entry));
        }
        made
    }

    /// How long searches took, how long the processor worked on them and on plain scans; each from
    /// the shortest.
    fn searches(&mut self, words: usize) -> [Vec<Duration>; 3] {
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..SEARCHES {
            let (text, vector) = (format!("Maria {}", self.talk.text(words)), self.talk.vector());
            let query = Query {
                text: &text,
                vector: Some(&vector),
                participants: &self.people,
                upto: usize::MAX,
                emotion: Some(1),
            };
            let worked = ThreadTime::now();
            times[0].push(timed(|| drop(std::hint::black_box(self.index.search(&query, LIMIT)))));
            times[1].push(worked.elapsed());
            let worked = ThreadTime::now();
            drop(std::hint::black_box(scan(&self.vectors, &vector)));
            times[2].push(worked.elapsed());
        }
        times.each_mut().map(|times| {
            times.sort_unstable();
            std::mem::take(times)
        })
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn percentiles(times: &[Duration]) -> String {
    let [p50, p99] = [SEARCHES / 2, SEARCHES * 99 / 100].map(|place| milliseconds(times[place]));
    format!("{p50}, {p99}")
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1e3)
}

/// The best by cosine alone, every component read as it is.
fn scan(vectors: &[f32], query: &[f32]) -> Vec<(usize, f32)> {
    let mut all: Vec<_> =
        vectors.chunks_exact(DIMENSIONS).map(|vector| lanes(vector, query)).enumerate().collect();
    let last = LIMIT.min(all.len()) - 1;
    all.select_nth_unstable_by(last, |a, b| b.1.total_cmp(&a.1));
    all.truncate(LIMIT);
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all
}

/// A dot product in 16 sums, which compilers turn into vector instructions; in one sum they may not.
fn lanes(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 16];
    for (a, b) in a.chunks_exact(16).zip(b.chunks_exact(16)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}
