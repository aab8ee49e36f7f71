//! Shortening a real novel, with the real sentence embedder and the real small model.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rhapsode::clock::Clock;
use rhapsode::distil::{
    ChosenMethod, DistilSettings, Distilled, Distiller, Method, Source, Strategy, Temperatures,
    Urgency,
};
use rhapsode::embedding::LazyEmbedder;
use rhapsode::engine::llama::LlamaEngine;
use rhapsode::engine::scripted::ScriptedEngine;
use rhapsode::engine::{ClientId, Engine};
use rhapsode::ids::Ids;
use rhapsode::models::sentence_embedder_dir;
use rhapsode::prompts::Prompts;
use rhapsode::store::Store;
use rhapsode::tokens::{
    TiktokenCounter, TokenCount, TokenCounter as _, TokenizerChoice, Tokenizers,
};

use crate::engine_llama::{greedy, settings, wait_until_loaded};
use crate::support::model_path;

const ALICE: &str = include_str!("data/alice.txt");
const COUNTER: TiktokenCounter = TiktokenCounter::O200k;

fn embedder_folder() -> PathBuf {
    sentence_embedder_dir(model_path().parent().unwrap())
}

fn distiller(engine: Arc<dyn Engine>, method: ChosenMethod, store: Option<Store>) -> Distiller {
    let temperatures = Temperatures {
        general: 0.0,
        plot_summary: 0.0,
        character_summary: 0.0,
        scene_summary: 0.0,
        dialogue_summary: 0.0,
        feedback_summary: 0.0,
        system_prompt: 0.0,
        conversation: 0.0,
    };
    let settings = DistilSettings {
        temperatures,
        sampling: greedy(),
        method,
        cache_entries: 1_000,
        deadline: Duration::from_hours(1),
        side_by_side: 4,
    };
    Distiller::new(
        engine,
        Some(Arc::new(LazyEmbedder::new(embedder_folder()))),
        Arc::new(Prompts::load(None).unwrap()),
        Arc::new(Tokenizers::new(TokenizerChoice::Tiktoken(COUNTER), true, || None)),
        store,
        Ids::seeded(Clock::system(), 7),
        settings,
    )
}

/// The novel in this many pieces of whole lines.
fn pieces(count: usize, strategy: Strategy) -> Vec<Source> {
    let lines: Vec<&str> = ALICE.split_inclusive('\n').collect();
    let chunks = lines.chunks(lines.len().div_ceil(count));
    chunks
        .enumerate()
        .map(|(number, lines)| {
            let text = lines.concat();
            Source { id: format!("piece {number}"), tokens: COUNTER.count(&text), text, strategy }
        })
        .collect()
}

/// Every span lies in its source.
fn assert_traced(sources: &[Source], distilled: &Distilled) {
    assert!(!distilled.account.sentences.is_empty());
    for sentence in &distilled.account.sentences {
        assert!(distilled.text.get(sentence.start..sentence.end).is_some());
        assert!(!sentence.spans.is_empty());
        for span in &sentence.spans {
            let source = sources.iter().find(|source| source.id == span.source).unwrap();
            assert!(source.text.get(span.start..span.end).is_some_and(|text| !text.is_empty()));
        }
    }
}

#[tokio::test]
async fn names_and_numbers_of_a_novel_survive_a_choice_of_sentences() {
    let (engine, _script) = ScriptedEngine::new(TokenCount::new(2048));
    let distiller = distiller(engine, ChosenMethod::Extractive, None);
    let sources = pieces(60, Strategy::PlotSummary);
    assert_eq!(sources.len(), 60);
    let client = ClientId::default();
    let distilled =
        distiller.distil(&client, sources.clone(), Urgency::Rolling, &|_| {}).await.unwrap();
    let mut kept = 0;
    for (source, distilled) in sources.iter().zip(&distilled) {
        assert!(distilled.account.quality >= 0.95, "{}: {}", source.id, distilled.account.quality);
        assert_eq!(distilled.account.method, Method::Extractive);
        assert_traced(&sources, distilled);
        kept += distilled.tokens.get();
    }
    let all: usize = sources.iter().map(|source| source.tokens.get()).sum();
    println!("kept {kept} of {all}");
    assert!(kept as f64 <= all as f64 * 0.45, "{kept} of {all} tokens");
}

#[tokio::test]
async fn the_models_summaries_of_a_novel_keep_its_names_and_numbers() {
    let engine = Arc::new(LlamaEngine::start(settings()).unwrap());
    wait_until_loaded(&engine);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let distiller = distiller(engine, ChosenMethod::Model, Some(store));
    let sources: Vec<_> = pieces(200, Strategy::PlotSummary).into_iter().step_by(50).collect();
    let client = ClientId::default();
    let distilled =
        distiller.distil(&client, sources.clone(), Urgency::Rolling, &|_| {}).await.unwrap();
    for (source, distilled) in sources.iter().zip(&distilled) {
        println!(
            "{:?} {} {}\n{}\n",
            distilled.account, distilled.tokens, source.tokens, distilled.text
        );
        assert!(distilled.tokens < source.tokens);
        assert!(distilled.account.quality >= 0.95, "{}: {}", source.id, distilled.account.quality);
        assert_traced(&sources, distilled);
    }
}
