//! The archive: what is found of sentences told in other words, how fast 100,000 chunks are searched
//! beside a ChromaDB server over the same vectors, what bringing a novel takes beside its embedding,
//! and how much RAM the index takes. `-- found` leaves the large archive out, `-- search` the novels.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that can't measure should stop"
)]

#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../tests/it/chroma.rs"]
mod chroma;
mod serving;

use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use comfy_table::Table;
use futures_util::StreamExt as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rhapsode::archive::{
    Archive, ArchiveParts, ArchiveSettings, ArchiveStore, Candidate, Chunk, ChunkSize, Document,
    DocumentId, Embedded, EmbeddedStore, Filter, Meaning, NewDocument, Passage, Probe, Progress,
    Search, SentenceVectors,
};
use rhapsode::clock::Clock;
use rhapsode::embedding::{Embedder, EmbeddingError, MiniLm};
use rhapsode::models::sentence_embedder_dir;
use serde_json::{Map, Value, json};

use self::chroma::ChromaServer;
use self::serving::{milliseconds, models_dir, own_binary, resident_bytes};

const NOVELS: [(&str, &str); 2] = [
    ("alice", include_str!("../tests/it/data/alice.txt")),
    ("frankenstein", include_str!("../tests/it/data/frankenstein.txt")),
];
/// Of each line: the novel, the set, a sentence of it, and the same told in other words.
const KNOWN_ITEMS: &str = include_str!("known_items.tsv");
const LOOKED_AT: usize = 5;

const DIMENSIONS: usize = 384;
const DOCUMENTS: usize = 500;
const CHUNKS_OF_ONE: usize = 200;
const CHUNKS: usize = DOCUMENTS * CHUNKS_OF_ONE;
const SENTENCES: usize = 8;
const WORDS_OF_A_SENTENCE: usize = 20;
const SAY_NOTHING: [&str; 8] = ["the", "of", "and", "to", "in", "was", "her", "with"];
const SEARCHES: usize = 400;
/// Searches that are under way at once where throughput is measured.
const AT_ONCE: usize = 4;
/// Given to the bench's own binary, which then only searches, so that memory is measured in a process
/// that did nothing before.
const RESIDENT: &str = "--resident";

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    // `cargo test --benches` and `cargo bench -- --list` only want to know that it starts.
    if arguments.iter().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let [_, RESIDENT, folder] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        println!("{}", runtime.block_on(resident(Path::new(folder))));
        return;
    }
    let wants =
        |part: &str| arguments.iter().all(|it| it != "found" && it != "search" || it == part);
    if wants("found") {
        println!("{}", runtime.block_on(found()));
    }
    if wants("search") {
        println!("{}", runtime.block_on(large()));
    }
}

fn settings() -> ArchiveSettings {
    ArchiveSettings {
        chunk_size: ChunkSize { characters: 1_000, overlap: 200 },
        collection: "bench".to_owned(),
        largest_file: 1 << 30,
    }
}

fn archive(folder: &Path, embedder: Arc<dyn Embedder>) -> (Archive, Arc<EmbeddedStore>) {
    let store = Arc::new(EmbeddedStore::new(folder.join("bench.sqlite3"), Clock::system()));
    let parts = ArchiveParts {
        store: Arc::clone(&store) as Arc<dyn ArchiveStore>,
        embedder,
        clock: Clock::system(),
        settings: settings(),
    };
    (Archive::new(parts), store)
}

/// The real embedder, and how long it was at work.
struct Timed {
    embedder: MiniLm,
    nanoseconds: AtomicU64,
}

impl Embedder for Timed {
    fn id(&self) -> &str {
        self.embedder.id()
    }

    fn dimensions(&self) -> usize {
        self.embedder.dimensions()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbeddingError> {
        let started = Instant::now();
        let vectors = self.embedder.embed(texts);
        let nanoseconds = u64::try_from(started.elapsed().as_nanos()).unwrap();
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        vectors
    }
}

async fn found() -> Table {
    let folder = tempfile::tempdir().unwrap();
    let embedder = MiniLm::load(&sentence_embedder_dir(&models_dir())).unwrap();
    let embedder = Arc::new(Timed { embedder, nanoseconds: AtomicU64::new(0) });
    let (archive, _) = archive(folder.path(), Arc::clone(&embedder) as Arc<dyn Embedder>);
    let mut table = Table::new();
    table.set_header(["measure", "figure", "bar"]);
    let started = Instant::now();
    for (name, text) in NOVELS {
        let new = NewDocument {
            file_path: format!("{name}.txt"),
            text: text.replace("\r\n", "\n"),
            metadata: Map::new(),
            sections: Vec::new(),
        };
        let mut steps = pin!(archive.ingest(new));
        while let Some(step) = steps.next().await {
            if let Progress::Done(done) = step.unwrap() {
                eprintln!("{name}: {} chunks", done.document.chunks);
            }
        }
    }
    let whole = started.elapsed();
    let embedding = Duration::from_nanos(embedder.nanoseconds.load(Ordering::Relaxed));
    let rest = 1.0 - embedding.div_duration_f64(whole);
    let of_it = format!("{:.1} % of {:.1} s", rest * 100.0, whole.as_secs_f64());
    table.add_row(["bringing two novels, what isn't embedding", &of_it, "< 10 %"]);
    for set in ["dev", "test"] {
        let (mut items, mut best, mut near) = (0, 0, 0);
        for line in KNOWN_ITEMS.lines() {
            let [novel, of_set, sentence, told] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            if of_set != set {
                continue;
            }
            items += 1;
            let has = |passage: &Passage| holds(passage, novel, sentence);
            let first = archive.search(&ask(told, LOOKED_AT)).await.unwrap();
            best += usize::from(first.iter().any(has));
            // All that there is, so that the order is another's.
            let mut all = archive.search(&ask(told, 50)).await.unwrap();
            all.sort_by(|a, b| b.cosine.unwrap().total_cmp(&a.cosine.unwrap()));
            near += usize::from(all.iter().take(LOOKED_AT).any(has));
        }
        let share = |hits: usize| format!("{hits} of {items}");
        let bar = if set == "test" { "≥ 90" } else { "" };
        table.add_row([
            format!("known items found in the first 5, {set}"),
            share(best),
            bar.to_owned(),
        ]);
        table.add_row([
            format!("the same by the chunks' cosines alone, {set}"),
            share(near),
            String::new(),
        ]);
    }
    table
}

fn ask(query: &str, max_results: usize) -> Search {
    Search { query: query.to_owned(), max_results, filter: Filter::default() }
}

/// Whether most of the sentence stands in the passage.
fn holds(passage: &Passage, novel: &str, sentence: &str) -> bool {
    let text = passage.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let words: Vec<_> = sentence.split(' ').collect();
    let most = words.len() * 3 / 5;
    let (first, last) = (words[..most].join(" "), words[words.len() - most..].join(" "));
    passage.document.file_name.starts_with(novel) && (text.contains(&first) || text.contains(&last))
}

/// Made chunks: words by Zipf's law, vectors around their document's middle, which lies around a
/// common one, as sentences' do.
struct Made {
    random: ChaCha8Rng,
    middle: Vec<f32>,
    vectors: Vec<Vec<f32>>,
}

impl Made {
    fn new() -> Self {
        let mut made =
            Self { random: ChaCha8Rng::seed_from_u64(11), middle: Vec::new(), vectors: Vec::new() };
        made.middle = made.noise();
        made
    }

    fn noise(&mut self) -> Vec<f32> {
        (0..DIMENSIONS).map(|_| self.random.random_range(-1.0..1.0)).collect()
    }

    fn around(&mut self, middle: &[f32], share: f32) -> Vec<f32> {
        let noise = self.noise();
        noise.iter().zip(middle).map(|(noise, middle)| noise + share * middle).collect()
    }

    /// Nearly half are words that say nothing, as in English; of the others that of rank r comes with
    /// a chance of about 1/r, from the thirtieth on.
    fn sentence(&mut self, words: usize) -> String {
        let mut word = || {
            if self.random.random_bool(0.45) {
                return SAY_NOTHING[self.random.random_range(0..SAY_NOTHING.len())].to_owned();
            }
            pseudo_word(30.0 * 1_000_f64.powf(self.random.random()))
        };
        let words: Vec<_> = (0..words).map(|_| word()).collect();
        format!("So {}. ", words.join(" "))
    }

    async fn fill(&mut self, store: &EmbeddedStore) {
        for number in 0..DOCUMENTS {
            let middle = self.middle.clone();
            let middle = self.around(&middle, 0.5);
            let mut chunks = Vec::new();
            let (mut byte_start, mut whole) = (0, String::new());
            for index in 0..CHUNKS_OF_ONE {
                let text =
                    (0..SENTENCES).map(|_| self.sentence(WORDS_OF_A_SENTENCE)).collect::<String>();
                let vector = unit(self.around(&middle, 0.8));
                self.vectors.push(vector.clone());
                let sentences: Vec<_> =
                    (0..SENTENCES).map(|_| unit(self.around(&vector, 8.0))).collect();
                whole.push_str(&text);
                let chunk = Chunk { index, byte_start, char_start: byte_start, text };
                byte_start = chunk.bytes().end;
                let sentences = SentenceVectors::of(&sentences);
                chunks.push(Embedded { chunk, vector, sentences });
            }
            let id = DocumentId::of(&whole);
            store.stage(&id, "bench", &chunks).await.unwrap();
            let document = Document {
                id,
                file_path: format!("story-{number:04}.txt"),
                file_name: format!("story-{number:04}.txt"),
                metadata: Map::new(),
                sections: Vec::new(),
                bytes: whole.len(),
                characters: whole.len(),
                chunks: CHUNKS_OF_ONE,
                added_at: String::new(),
            };
            store.publish(&document).await.unwrap();
        }
    }

    /// Near one of the chunks, and some words.
    fn query(&mut self) -> (String, Vec<f32>) {
        let chunk = self.vectors[self.random.random_range(0..CHUNKS)].clone();
        (self.sentence(WORDS_OF_A_SENTENCE), unit(self.around(&chunk, 12.0)))
    }

    /// The numbers of the nearest ten, by a plain scan.
    fn nearest(&self, query: &[f32]) -> Vec<usize> {
        let cosines = self.vectors.iter().map(|vector| dot(vector, query));
        let mut rows: Vec<(usize, f32)> = cosines.enumerate().collect();
        rows.sort_by(|a, b| b.1.total_cmp(&a.1));
        rows.into_iter().take(10).map(|(row, _)| row).collect()
    }
}

/// Syllables that count up to the rank.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ranks are small")]
fn pseudo_word(rank: f64) -> String {
    const CONSONANTS: &[u8] = b"bdfgklmnprstvz";
    const VOWELS: &[u8] = b"aeiou";
    let mut left = rank as usize;
    let mut word = String::new();
    while word.is_empty() || left > 0 {
        word.push(CONSONANTS[left % CONSONANTS.len()].into());
        left /= CONSONANTS.len();
        word.push(VOWELS[left % VOWELS.len()].into());
        left /= VOWELS.len();
    }
    word
}

fn unit(vector: Vec<f32>) -> Vec<f32> {
    let length = dot(&vector, &vector).sqrt();
    vector.into_iter().map(|component| component / length).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// An embedder that knows its texts, and takes no time.
#[derive(Default)]
struct Known(Mutex<std::collections::HashMap<String, Vec<f32>>>);

impl Embedder for Known {
    fn id(&self) -> &'static str {
        "bench"
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbeddingError> {
        let known = self.0.lock().unwrap();
        let usual = || unit(vec![1.0; DIMENSIONS]);
        Ok(texts.iter().map(|text| known.get(*text).cloned().unwrap_or_else(usual)).collect())
    }
}

async fn large() -> Table {
    let folder = tempfile::tempdir().unwrap();
    let known = Arc::new(Known::default());
    let (archive, store) = archive(folder.path(), Arc::clone(&known) as Arc<dyn Embedder>);
    let mut made = Made::new();
    eprintln!("making {CHUNKS} chunks");
    made.fill(&store).await;
    let queries: Vec<_> = (0..SEARCHES).map(|_| made.query()).collect();
    known.0.lock().unwrap().extend(queries.iter().cloned());
    let started = Instant::now();
    search(&archive, &queries[0].0).await;
    let first = started.elapsed();
    let chroma = ChromaServer::start();
    eprintln!("giving them to ChromaDB");
    let collection = Collection::filled(&chroma, &made).await;

    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for (text, vector) in &queries {
        let started = Instant::now();
        search(&archive, text).await;
        ours.push(started.elapsed());
        let started = Instant::now();
        collection.nearest(vector).await;
        theirs.push(started.elapsed());
    }
    // In turn, so that all have the same share of a machine that others use, too.
    let (mut our_time, mut our_nearest_time) = (Duration::ZERO, Duration::ZERO);
    let mut their_time = Duration::ZERO;
    for some in queries.chunks(SEARCHES / 8) {
        our_time += together(some, |(text, _)| search(&archive, text)).await;
        their_time += together(some, |(_, vector)| collection.nearest(vector)).await;
        our_nearest_time += together(some, |(_, vector)| nearest(&store, vector)).await;
    }
    let (our_recall, their_recall) = recall(&made, &store, &collection, &queries[..100]).await;
    let per_second = |time: Duration| SEARCHES as f64 / time.as_secs_f64();
    let (our_rate, their_rate) = (per_second(our_time), per_second(their_time));
    let our_nearest_rate = per_second(our_nearest_time);
    let mut table = Table::new();
    table.set_header(["measure", "embedded, whole search", "ChromaDB, its own query", "bar"]);
    let row = |measure: &str, ours: String, theirs: String, bar: &str| {
        [measure.to_owned(), ours, theirs, bar.to_owned()]
    };
    let percentile = |times: &mut Vec<Duration>, share: usize| {
        times.sort_unstable();
        milliseconds(times[times.len() * share / 100])
    };
    table.add_row(row(
        "one after the other, p50",
        percentile(&mut ours, 50),
        percentile(&mut theirs, 50),
        "",
    ));
    table.add_row(row("p99", percentile(&mut ours, 99), percentile(&mut theirs, 99), "≤ 25 ms"));
    table.add_row(row(
        "four at once, searches a second",
        format!("{our_rate:.0}"),
        format!("{their_rate:.0}"),
        "",
    ));
    table.add_row(row(
        "ours / its",
        format!("{:.2}", our_rate / their_rate),
        String::new(),
        "≥ 1.0",
    ));
    table.add_row(row(
        "the nearest ten by meaning alone, four at once",
        format!("{our_nearest_rate:.0}"),
        format!("{their_rate:.0}"),
        "",
    ));
    table.add_row(row(
        "ours / its",
        format!("{:.2}", our_nearest_rate / their_rate),
        String::new(),
        "≥ 1.0",
    ));
    table.add_row(row(
        "recall@10 of exact, by meaning",
        format!("{our_recall:.3}"),
        format!("{their_recall:.3}"),
        "≥ 0.99",
    ));
    table.add_row(row(
        "the first search, which makes the index",
        milliseconds(first),
        String::new(),
        "",
    ));
    let bytes = format!("{:.0} MB", store.index_bytes() as f64 / 1e6);
    table.add_row(row("the index by its own account", bytes, String::new(), ""));
    drop((archive, store));
    let resident = own_binary(&[RESIDENT, folder.path().to_str().unwrap()]);
    table.add_row(row(
        "growth of a process that searches",
        resident.trim().to_owned(),
        String::new(),
        "< 250 MB",
    ));
    table
}

async fn search(archive: &Archive, text: &str) {
    assert!(!archive.search(&ask(text, 10)).await.unwrap().is_empty());
}

/// The shares of the nearest ten that are found, by us and by it.
async fn recall(
    made: &Made,
    store: &EmbeddedStore,
    collection: &Collection,
    queries: &[(String, Vec<f32>)],
) -> (f64, f64) {
    let (mut ours, mut theirs) = (0, 0);
    let documents = store.documents().await.unwrap();
    for (_, vector) in queries {
        let exact = made.nearest(vector);
        let rows = nearest(store, vector).await.into_iter().map(|it| {
            let number = documents.iter().position(|document| document.id == it.document);
            number.unwrap() * CHUNKS_OF_ONE + it.index
        });
        ours += rows.filter(|row| exact.contains(row)).count();
        let rows = collection.nearest(vector).await;
        theirs += rows.into_iter().filter(|row| exact.contains(row)).count();
    }
    let all = (10 * queries.len()) as f64;
    (ours as f64 / all, theirs as f64 / all)
}

/// What ChromaDB is asked, too: the nearest ten, by meaning.
async fn nearest(store: &EmbeddedStore, vector: &[f32]) -> Vec<Candidate> {
    let meaning = Meaning { embedder: "bench".to_owned(), vector: vector.to_vec() };
    let probe = Probe { text: String::new(), meaning: Some(meaning), within: None, limit: 10 };
    store.candidates(&probe).await.unwrap().found
}

/// How long all of them take, some at once.
async fn together<'a, T: 'a, F: Future<Output = R>, R>(
    queries: &'a [T],
    ask: impl Fn(&'a T) -> F,
) -> Duration {
    let started = Instant::now();
    futures_util::stream::iter(queries.iter().map(ask))
        .buffer_unordered(AT_ONCE)
        .for_each(|_| std::future::ready(()))
        .await;
    started.elapsed()
}

async fn resident(folder: &Path) -> String {
    let before = resident_bytes().unwrap_or_default();
    let (archive, _store) = archive(folder, Arc::new(Known::default()));
    let mut made = Made::new();
    for _ in 0..20 {
        let text = made.sentence(WORDS_OF_A_SENTENCE);
        search(&archive, &text).await;
    }
    let after = resident_bytes().unwrap_or_default();
    format!("{:.0} MB", (after - before) / 1e6)
}

/// A collection as anybody would ask it, over HTTP, without a client that could slow it down.
struct Collection {
    client: reqwest::Client,
    url: String,
}

impl Collection {
    async fn filled(server: &ChromaServer, made: &Made) -> Self {
        let base = format!(
            "{}/api/v2/tenants/default_tenant/databases/default_database/collections",
            server.url()
        );
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::new();
        let asked = json!({ "name": "bench", "metadata": { "hnsw:space": "cosine" } });
        let made_collection = client.post(&base).body(asked.to_string());
        let answer = made_collection.header("content-type", "application/json").send().await;
        let text = answer.unwrap().error_for_status().unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        let collection = Self { client, url: format!("{base}/{}", answer["id"].as_str().unwrap()) };
        let document = "word ".repeat(200);
        for (batch, vectors) in made.vectors.chunks(1_000).enumerate() {
            let ids: Vec<_> =
                (0..vectors.len()).map(|at| (batch * 1_000 + at).to_string()).collect();
            let documents = vec![&document; vectors.len()];
            let records = json!({ "ids": ids, "embeddings": vectors, "documents": documents });
            collection.ask("add", &records).await;
        }
        collection
    }

    async fn ask(&self, what: &str, body: &Value) -> Value {
        let request = self.client.post(format!("{}/{what}", self.url)).body(body.to_string());
        let answer = request.header("content-type", "application/json").send().await.unwrap();
        let text = answer.error_for_status().unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The numbers of the nearest ten.
    async fn nearest(&self, vector: &[f32]) -> Vec<usize> {
        let include = ["documents", "distances"];
        let query = json!({ "query_embeddings": [vector], "n_results": 10, "include": include });
        let found = self.ask("query", &query).await;
        let ids = found["ids"][0].as_array().unwrap();
        ids.iter().map(|id| id.as_str().unwrap().parse().unwrap()).collect()
    }
}
