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

async fn shortened(
    distiller: Distiller,
    sources: &[Source],
    urgency: Urgency,
) -> (Vec<Distilled>, f64) {
    let client = ClientId::default();
    let texts = distiller.distil(&client, sources.to_vec(), urgency, &|_| {}).await.unwrap();
    assert_eq!(texts.len(), sources.len());
    for (source, text) in sources.iter().zip(&texts) {
        assert!(text.account.quality >= 0.95, "{}: {}", source.id, text.account.quality);
        assert!(text.tokens < source.tokens);
        assert_traced(sources, text);
    }
    let kept: usize = texts.iter().map(|text| text.tokens.get()).sum();
    let all: usize = sources.iter().map(|source| source.tokens.get()).sum();
    (texts, kept as f64 / all as f64)
}

fn without_model() -> Distiller {
    let (engine, _script) = ScriptedEngine::new(TokenCount::new(2048));
    distiller(engine, ChosenMethod::Extractive, None)
}

#[tokio::test]
async fn names_and_numbers_of_a_novel_survive_a_choice_of_sentences_by_meaning() {
    // Every tenth piece: the embedder takes a second for each.
    let sources: Vec<_> = pieces(60, Strategy::PlotSummary).into_iter().step_by(10).collect();
    let (texts, share) = shortened(without_model(), &sources, Urgency::Rolling).await;
    assert!(texts.iter().all(|text| text.account.method == Method::Extractive));
    assert!(share < 0.36, "{share:.2} of the tokens were kept");
}

#[tokio::test]
async fn names_and_numbers_of_a_novel_survive_an_emergency() {
    for strategy in [Strategy::PlotSummary, Strategy::DialogueSummary] {
        let sources = pieces(60, strategy);
        let (_, share) = shortened(without_model(), &sources, Urgency::Emergency).await;
        println!("{strategy}: {share:.3}");
        assert!(share < strategy.ratio() * 1.2, "{share:.2} of the tokens were kept");
    }
}

#[tokio::test]
async fn the_models_summaries_of_a_novel_keep_its_names_and_numbers() {
    let engine = Arc::new(LlamaEngine::start(settings()).unwrap());
    wait_until_loaded(&engine);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let distiller = distiller(engine, ChosenMethod::Model, Some(store));
    let sources: Vec<_> = pieces(200, Strategy::PlotSummary).into_iter().step_by(70).collect();
    let (first, share) = shortened(distiller.clone(), &sources, Urgency::Rolling).await;
    assert!(share < 0.6, "{share:.2} of the tokens were kept");
    let (again, _) = shortened(distiller, &sources, Urgency::Rolling).await;
    for (first, again) in first.iter().zip(&again) {
        assert!(again.account.cached && first.text == again.text);
    }
}

#[tokio::test]
async fn a_novel_is_rolled_into_a_page() {
    let client = ClientId::default();
    let sources = pieces(60, Strategy::PlotSummary);
    let target = TokenCount::new(700);
    let distiller = without_model();
    let rolled =
        distiller.roll(&client, sources.clone(), target, Urgency::Emergency, &|_| {}).await;
    let rolled = rolled.unwrap();
    assert!(rolled.tokens <= target && rolled.tokens > target.scaled(0.8), "{}", rolled.tokens);
    assert_traced(&sources, &rolled);
}
