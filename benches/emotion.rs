//! Emotions on `GoEmotions`' dev.tsv, on narrated actions, and what one answer costs beside the
//! embedding of the same text. `GOEMOTIONS` names the folder with the data.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that can't measure should stop"
)]

use std::collections::HashMap;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use comfy_table::Table;
use rhapsode::embedding::{Embedder, MiniLm};
use rhapsode::emotion::{Detector, Emotion};

const ACTIONS: [(&str, &str); 3] = [
    ("narrated actions", include_str!("../src/emotion/fixtures/narration.tsv")),
    ("written after the lexicon", include_str!("../src/emotion/fixtures/held_out_narration.tsv")),
    ("neutral actions", include_str!("../src/emotion/fixtures/neutral_narration.tsv")),
];
const BATCH: usize = 32;
const ROUNDS: usize = 15;

fn main() {
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let embedder = MiniLm::load(&embedder_folder()).unwrap();
    match setting("GOEMOTIONS") {
        Some(folder) => {
            let rows = Rows::of_dev(Path::new(&folder), &embedder);
            println!("dev.tsv, {} rows: those whose labels map to one class", rows.texts.len());
            println!("{}", rows.table(embedder.id()));
        }
        None => eprintln!("GOEMOTIONS isn't set: dev.tsv isn't measured"),
    }
    println!("{}", actions(&embedder));
    println!("{}", cost(&embedder));
}

#[expect(clippy::disallowed_methods, reason = "benches have no settings to ask")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn embedder_folder() -> PathBuf {
    let models = setting("MODELS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("models"), PathBuf::from);
    rhapsode::models::sentence_embedder_dir(&models)
}

/// Texts, their vectors, and the emotion that each should have.
struct Rows {
    texts: Vec<String>,
    vectors: Vec<Vec<f32>>,
    wanted: Vec<Emotion>,
}

impl Rows {
    fn new(rows: Vec<(String, Emotion)>, embedder: &MiniLm) -> Self {
        let (texts, wanted): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(BATCH) {
            let batch: Vec<_> = batch.iter().map(String::as_str).collect();
            vectors.extend(embedder.embed(&batch).unwrap());
        }
        Self { texts, vectors, wanted }
    }

    /// Rows whose labels, mapped to the seven, are all the same one.
    fn of_dev(folder: &Path, embedder: &MiniLm) -> Self {
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let mapping: HashMap<String, Vec<String>> =
            serde_json::from_str(&read("ekman_mapping.json")).unwrap();
        let emotion_of = |label: &str| {
            let found = mapping.iter().find(|(_, fine)| fine.iter().any(|name| name == label));
            found.map_or(Emotion::Neutral, |(name, _)| name.parse().unwrap())
        };
        let classes: Vec<_> = read("emotions.txt").lines().map(emotion_of).collect();
        let row = |line: &str| {
            let mut fields = line.split('\t');
            let text = fields.next().unwrap().to_owned();
            let labels = fields.next().unwrap().split(',');
            let mut emotions = labels.map(|label| classes[label.parse::<usize>().unwrap()]);
            let first = emotions.next().unwrap();
            emotions.all(|emotion| emotion == first).then_some((text, first))
        };
        let dev = read("dev.tsv");
        Self::new(
            dev.split('\n').filter(|line| !line.is_empty()).filter_map(row).collect(),
            embedder,
        )
    }

    fn of_fixture(fixture: &str, embedder: &MiniLm) -> Self {
        let lines = fixture.lines().filter(|line| !line.starts_with('#'));
        let row = |line: &str| {
            let (emotion, text) = line.split_once('\t').unwrap();
            (text.to_owned(), emotion.parse().unwrap())
        };
        Self::new(lines.map(row).collect(), embedder)
    }

    fn feel(&self, detector: &Detector, embedder: Option<&str>) -> Vec<Emotion> {
        let rows = self.texts.iter().zip(&self.vectors);
        rows.map(|(text, vector)| {
            detector.feel(text, embedder.map(|id| (id, vector.as_slice()))).emotion()
        })
        .collect()
    }

    fn table(&self, id: &str) -> Table {
        let mut table = Table::new();
        table.set_header(["detector", "accuracy", "macro-F1"]);
        let (trained, plain) = (Detector::trained(), Detector::trained().without_lexicon());
        for (name, detector, embedder) in [
            ("keywords", &Detector::keywords(), None),
            ("TF-IDF alone", &plain, None),
            ("TF-IDF + lexicon", &trained, None),
            ("fused", &plain, Some(id)),
            ("fused + lexicon", &trained, Some(id)),
        ] {
            let found = self.feel(detector, embedder);
            table.add_row([
                name.to_owned(),
                format!("{:.4}", self.accuracy(&found)),
                format!("{:.4}", self.macro_f1(&found)),
            ]);
        }
        table
    }

    fn right(&self, found: &[Emotion]) -> usize {
        self.wanted.iter().zip(found).filter(|(wanted, found)| wanted == found).count()
    }

    fn accuracy(&self, found: &[Emotion]) -> f64 {
        self.right(found) as f64 / found.len() as f64
    }

    /// Mean over the classes of 2 × right / (found + wanted).
    fn macro_f1(&self, found: &[Emotion]) -> f64 {
        let f1 = |emotion: Emotion| {
            let pairs = self.wanted.iter().zip(found);
            let right = pairs.filter(|(a, b)| **a == emotion && **b == emotion).count();
            let either = self.wanted.iter().chain(found).filter(|found| **found == emotion).count();
            2.0 * right as f64 / either.max(1) as f64
        };
        Emotion::ALL.into_iter().map(f1).sum::<f64>() / Emotion::ALL.len() as f64
    }
}

fn actions(embedder: &MiniLm) -> Table {
    let mut table = Table::new();
    table.set_header(["right", "of", "keywords", "fused", "with lexicon", "the same, no vectors"]);
    let (trained, plain) = (Detector::trained(), Detector::trained().without_lexicon());
    for (name, fixture) in ACTIONS {
        let rows = Rows::of_fixture(fixture, embedder);
        let right = |detector: &Detector, id| rows.right(&rows.feel(detector, id)).to_string();
        table.add_row([
            name.to_owned(),
            rows.texts.len().to_string(),
            right(&Detector::keywords(), None),
            right(&plain, Some(embedder.id())),
            right(&trained, Some(embedder.id())),
            right(&trained, None),
        ]);
    }
    table
}

/// One answer against one embedding, in turns; the median of the rounds' ratios.
fn cost(embedder: &MiniLm) -> Table {
    let detector = Detector::trained();
    let mut table = Table::new();
    table.set_header(["message", "one feeling", "its embedding", "ratio"]);
    let sentence =
        "*grins* \"You came back!\" She threw her arms around him, and her hands shook. ";
    for times in [1, 7, 50] {
        let text = sentence.repeat(times);
        let mut rounds: Vec<(Duration, Duration)> = (0..ROUNDS)
            .map(|_| {
                let start = Instant::now();
                let vector = embedder.embed(&[&text]).unwrap().remove(0);
                let embedding = start.elapsed();
                let start = Instant::now();
                black_box(detector.feel(black_box(&text), Some((embedder.id(), &vector))));
                (start.elapsed(), embedding)
            })
            .collect();
        let ratio = |(feeling, embedding): &(Duration, Duration)| {
            feeling.as_secs_f64() / embedding.as_secs_f64()
        };
        rounds.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
        let median = rounds[ROUNDS / 2];
        table.add_row([
            format!("{} characters", text.chars().count()),
            format!("{:.2} ms", median.0.as_secs_f64() * 1_000.0),
            format!("{:.2} ms", median.1.as_secs_f64() * 1_000.0),
            format!("{:.4}", ratio(&median)),
        ]);
    }
    table
}
