//! The distiller before a scripted engine.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use super::extract::Limit;
use super::made::Made;
use super::strategy::Strategy;
use super::*;
use crate::clock::Clock;
use crate::engine::scripted::{Script, ScriptedEngine};
use crate::engine::{ClientId, EngineError, FinishReason};
use crate::ids::Ids;
use crate::prompts::Prompts;
use crate::store::Store;
use crate::tokens::{Estimate, TokenCounter as _, TokenizerChoice, Tokenizers};

const STORY: &str = "Aria left the village of Oakhill at dawn with her brother Tom. \
    They walked for three days through the forest, and the rain never stopped. \
    At the gate an old Warden asked them for their names and for twelve silver coins. \
    Tom had lost the purse in the river, so they could not pay what the old man wanted. \
    The gate stayed closed behind its iron bars until the evening fell on the road.";
const SUMMARY: &str = "Aria and her brother Tom left Oakhill and walked three days. \
    A Warden at the gate wanted twelve coins.";

fn settings() -> DistilSettings {
    let temperatures = Temperatures {
        general: 0.3,
        plot_summary: 0.31,
        character_summary: 0.32,
        scene_summary: 0.33,
        dialogue_summary: 0.4,
        feedback_summary: 0.2,
        system_prompt: 0.1,
        conversation: 0.34,
    };
    let sampling = Sampling {
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        min_p: 0.0,
        repeat_penalty: 1.0,
        presence_penalty: 0.0,
        frequency_penalty: 0.0,
        seed: 0,
    };
    DistilSettings {
        temperatures,
        sampling,
        method: ChosenMethod::Model,
        cache_entries: 100,
        deadline: Duration::from_hours(1),
        side_by_side: 2,
    }
}

/// A distiller, its engine and what the engine is asked.
struct Bench {
    distiller: Distiller,
    engine: Arc<ScriptedEngine>,
    script: Script,
    client: ClientId,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn with(settings: DistilSettings, window: usize) -> Self {
        let (engine, script) = ScriptedEngine::new(TokenCount::new(window));
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed("2026-01-02T03:04:05Z".parse().unwrap());
        let distiller = Distiller::new(
            Arc::clone(&engine) as _,
            None,
            Arc::new(Prompts::load(None).unwrap()),
            Arc::new(Tokenizers::new(TokenizerChoice::Estimate, false, || None)),
            Some(Store::open(folder.path()).unwrap()),
            Ids::seeded(clock, 7),
            settings,
        );
        Self { distiller, engine, script, client: ClientId::new("tester"), _folder: folder }
    }

    fn new() -> Self {
        Self::with(settings(), 4_096)
    }

    /// Distils while the model answers every request with this.
    async fn distil(&mut self, sources: &[Source], answer: &str) -> Vec<Distilled> {
        let distilled =
            self.distiller.distil(&self.client, sources.to_vec(), Urgency::Rolling, &|_| {});
        tokio::select! {
            distilled = distilled => distilled.unwrap(),
            () = answer_always(&mut self.script, answer) => unreachable!("the engine lives"),
        }
    }

    async fn one(&mut self, answer: &str) -> Distilled {
        self.distil(&[source("plot", STORY)], answer).await.remove(0)
    }
}

async fn answer_always(script: &mut Script, answer: &str) {
    while let Some(mut call) = script.next_call().await {
        call.text(answer);
        call.finish(FinishReason::Stop);
    }
}

fn source(id: &str, text: &str) -> Source {
    Source {
        id: id.to_owned(),
        text: text.to_owned(),
        tokens: Estimate.count(text),
        strategy: Strategy::EmotionalMoment,
    }
}

#[tokio::test]
async fn a_good_summary_is_taken_and_says_where_it_comes_from() {
    let distilled = Bench::new().one(SUMMARY).await;
    assert_eq!(distilled.text, SUMMARY);
    let account = &distilled.account;
    assert_eq!((account.method, account.degraded.as_ref()), (Method::Model, None));
    assert!(!account.cached && account.depth == 1 && account.quality > 0.999);
    let second = &account.sentences[1];
    assert!(distilled.text[second.start..second.end].starts_with("A Warden"));
    assert!(STORY[second.spans[0].start..second.spans[0].end].contains("old Warden asked"));
}

#[tokio::test]
async fn the_request_is_as_the_settings_say() {
    let mut bench = Bench::new();
    let work = bench.distiller.distil(
        &bench.client,
        vec![source("plot", STORY)],
        Urgency::Rolling,
        &|_| {},
    );
    let call = tokio::select! {
        _ = work => panic!("nobody answered"),
        call = bench.script.next_call() => call.unwrap(),
    };
    let request = &call.request;
    assert_eq!(request.client, bench.client);
    assert!((request.sampling.temperature - 0.4).abs() < 1e-6 && request.sampling.seed != 0);
    let target = Estimate.count(STORY).scaled(0.5);
    assert_eq!(request.max_tokens, target.scaled(1.3) + TokenCount::new(32));
    assert!(request.messages[1].content.contains(STORY) && request.deadline.is_some());
}

#[tokio::test]
async fn garbage_is_replaced_by_the_texts_own_sentences_and_the_reason_is_told() {
    let distilled = Bench::new().one("lorem ipsum dolor. sit amet!").await;
    assert_eq!(distilled.account.method, Method::Extractive);
    let reason = distilled.account.degraded.as_ref().unwrap();
    assert!(reason.contains("not about the text"), "{reason}");
    assert!(distilled.account.quality >= 0.95);
    for (sentence, origin) in copies(&distilled) {
        assert_eq!(sentence, &STORY[origin.start..origin.end]);
    }
}

/// Sentences with their one span.
fn copies(distilled: &Distilled) -> impl Iterator<Item = (&str, &Span)> {
    distilled.account.sentences.iter().map(|sentence| {
        assert_eq!(sentence.spans.len(), 1);
        (&distilled.text[sentence.start..sentence.end], &sentence.spans[0])
    })
}

#[tokio::test]
async fn invented_people_are_removed_and_missing_ones_put_back() {
    let answer = "Aria and Tom left the village and walked three days. Robert hated Tom. \
        At the gate they could not pay the twelve coins that the Warden asked for.";
    let distilled = Bench::new().one(answer).await;
    assert_eq!(distilled.account.method, Method::Repaired);
    assert!(!distilled.text.contains("Robert") && distilled.text.contains("Oakhill"));
    assert!(distilled.account.quality > 0.999);
}

#[tokio::test]
async fn the_second_time_all_is_cached_and_the_engine_is_not_asked() {
    let mut bench = Bench::new();
    let sources = [source("one", STORY), source("two", "It rained. Nobody came to the old gate.")];
    for urgency in [Urgency::Rolling, Urgency::Emergency] {
        assert!(bench.distiller.cached(&sources[0], urgency).await.is_none());
    }
    let first = bench.distil(&sources, SUMMARY).await;
    let mut renamed = sources.clone();
    renamed[0].id = "renamed".into();
    let finished = AtomicUsize::new(0);
    for urgency in [Urgency::Rolling, Urgency::Emergency] {
        let done = |count| finished.store(count, Ordering::Relaxed);
        let client = &bench.client;
        let again = bench.distiller.distil(client, renamed.to_vec(), urgency, &done).await.unwrap();
        assert_eq!(finished.swap(0, Ordering::Relaxed), 2);
        for (first, again) in first.iter().zip(&again) {
            assert_eq!(first.text, again.text);
            assert!(!first.account.cached && again.account.cached);
        }
        assert_eq!(again[0].account.sentences[0].spans[0].source, "renamed");
        let cached = bench.distiller.cached_all(&renamed, urgency).await;
        assert_eq!(cached.into_iter().flatten().collect::<Vec<_>>(), again);
    }
    bench.engine.refuse_with(Some(EngineError::ShuttingDown));
    assert_eq!(bench.distil(&sources, "unused").await[0].text, SUMMARY);
}

#[tokio::test]
async fn a_failure_that_passes_is_not_kept() {
    let mut bench = Bench::new();
    for failing in [true, false] {
        let work = bench.distiller.distil(
            &bench.client,
            vec![source("plot", STORY)],
            Urgency::Rolling,
            &|_| {},
        );
        let answer = async {
            let mut call = bench.script.next_call().await.unwrap();
            if failing {
                call.fail(EngineError::Backend("out of memory".into()));
            } else {
                call.text(SUMMARY);
                call.finish(FinishReason::Stop);
            }
        };
        let (distilled, ()) = tokio::join!(work, answer);
        let account = distilled.unwrap().remove(0).account;
        assert_eq!(account.degraded.is_some(), failing, "{:?}", account.degraded);
        assert!(!account.cached);
    }
}

#[tokio::test]
async fn an_engine_that_is_not_ready_costs_the_model_only() {
    let mut bench = Bench::new();
    bench.engine.refuse_with(Some(EngineError::Unavailable("no model".into())));
    for cached in [false, true] {
        let account = bench.one("unused").await.account;
        assert_eq!(account.degraded.as_deref(), Some("no model"));
        assert_eq!((account.method, account.cached), (Method::Extractive, cached));
    }
}

#[tokio::test]
async fn a_bad_summary_is_not_asked_for_again() {
    let mut bench = Bench::new();
    let first = bench.one("Nothing.").await;
    let again = bench.one(SUMMARY).await;
    assert_eq!(again.account.degraded, first.account.degraded);
    assert!(again.account.cached && again.account.degraded.is_some());
}

#[tokio::test]
async fn a_summary_that_takes_too_long_is_given_up_for_good() {
    let mut bench = Bench::with(DistilSettings { deadline: Duration::ZERO, ..settings() }, 4_096);
    for cached in [false, true] {
        let account = bench.one("unused").await.account;
        assert!(account.degraded.unwrap().contains("DISTILLATION_TIMEOUT_SECONDS"));
        assert_eq!(account.cached, cached);
    }
}

#[tokio::test]
async fn an_emergency_and_the_extractive_method_ask_no_model() {
    let extractive = DistilSettings { method: ChosenMethod::Extractive, ..settings() };
    for (settings, urgency, told) in
        [(settings(), Urgency::Emergency, true), (extractive, Urgency::Rolling, false)]
    {
        let bench = Bench::with(settings, 4_096);
        let sources = vec![source("plot", STORY)];
        let distilled = bench.distiller.distil(&bench.client, sources, urgency, &|_| {}).await;
        let account = distilled.unwrap().remove(0).account;
        assert_eq!((account.method, account.degraded.is_some()), (Method::Extractive, told));
    }
}

#[tokio::test]
async fn summaries_run_side_by_side_and_keep_their_order() {
    let mut bench = Bench::new();
    let names = ["Anna", "Berta", "Carla", "Dora"];
    let sources: Vec<Source> = names
        .iter()
        .map(|name| source(name, &format!("{name} slept well. The night was long and quiet.")))
        .collect();
    let heard = Mutex::new(Vec::new());
    let done = |count| heard.lock().unwrap().push(count);
    let work = bench.distiller.distil(&bench.client, sources, Urgency::Rolling, &done);
    let answers = async {
        // Two stand in the engine at once; the later one is answered first.
        for _ in 0..2 {
            let first = bench.script.next_call().await.unwrap();
            let second = bench.script.next_call().await.unwrap();
            for mut call in [second, first] {
                let text = &call.request.messages[1].content;
                let name = names.iter().find(|name| text.contains(**name)).unwrap();
                call.text(&format!("{name} slept."));
                call.finish(FinishReason::Stop);
            }
        }
    };
    let (distilled, ()) = tokio::join!(work, answers);
    let texts: Vec<_> = distilled.unwrap().into_iter().map(|distilled| distilled.text).collect();
    assert_eq!(texts, ["Anna slept.", "Berta slept.", "Carla slept.", "Dora slept."]);
    assert_eq!(*heard.lock().unwrap(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn dropping_the_work_stops_the_engine() {
    let mut bench = Bench::new();
    let work = bench.distiller.distil(
        &bench.client,
        vec![source("plot", STORY)],
        Urgency::Rolling,
        &|_| {},
    );
    let mut work = Box::pin(work);
    let call = tokio::select! {
        _ = &mut work => panic!("nobody answered"),
        call = bench.script.next_call() => call.unwrap(),
    };
    drop(work);
    call.cancelled().await;
}

#[tokio::test]
async fn a_source_longer_than_the_window_is_summarised_in_parts() {
    let mut bench = Bench::with(settings(), 700);
    let parts: Vec<String> = (0..8).map(|n| STORY.replace("Tom", &format!("Tom{n}"))).collect();
    let long = parts.join("\n\n");
    let work = bench.distiller.distil(
        &bench.client,
        vec![source("long", &long)],
        Urgency::Rolling,
        &|_| {},
    );
    let asked = AtomicUsize::new(0);
    let answers = async {
        while let Some(mut call) = bench.script.next_call().await {
            asked.fetch_add(1, Ordering::Relaxed);
            call.text("They asked for twelve coins. ");
            call.finish(FinishReason::Stop);
        }
    };
    let distilled = tokio::select! {
        distilled = work => distilled.unwrap().remove(0),
        () = answers => unreachable!("the engine lives"),
    };
    assert!(asked.load(Ordering::Relaxed) > 1);
    assert!(distilled.account.quality >= 0.95, "{}", distilled.account.quality);
    for (sentence, span) in copies(&distilled) {
        assert_eq!(sentence, &long[span.start..span.end]);
    }
}

#[tokio::test]
async fn texts_that_fit_are_rolled_as_they_are() {
    let bench = Bench::new();
    let sources = vec![source("one", "It rained."), source("two", "It snowed.")];
    let target = TokenCount::new(100);
    let rolled = bench.distiller.roll(&bench.client, sources, target, Urgency::Rolling, &|_| {});
    let rolled = rolled.await.unwrap();
    assert_eq!(rolled.text, "It rained.\n\nIt snowed.");
    assert_eq!(rolled.account.sentences[1].spans[0].source, "two");
    assert_eq!((rolled.account.depth, rolled.account.degraded), (1, None));
}

#[tokio::test]
async fn summaries_of_summaries_fit_and_lead_back_to_the_sources() {
    let mut bench = Bench::new();
    let sources: Vec<Source> = (0..12).map(|n| source(&format!("s{n}"), STORY)).collect();
    let finished = AtomicUsize::new(0);
    let done = |count| {
        finished.fetch_max(count, Ordering::Relaxed);
    };
    let target = TokenCount::new(60);
    let work =
        bench.distiller.roll(&bench.client, sources.clone(), target, Urgency::Rolling, &done);
    let rolled = tokio::select! {
        rolled = work => rolled.unwrap(),
        () = answer_always(&mut bench.script, SUMMARY) => unreachable!("the engine lives"),
    };
    assert!(rolled.tokens <= target && !rolled.text.is_empty(), "{}", rolled.tokens);
    assert!((2..=3).contains(&rolled.account.depth), "{}", rolled.account.depth);
    assert_eq!(finished.load(Ordering::Relaxed), 12 + 3);
    for sentence in &rolled.account.sentences {
        assert!(rolled.text.is_char_boundary(sentence.start) && !sentence.spans.is_empty());
        for span in &sentence.spans {
            let source = sources.iter().find(|source| source.id == span.source).unwrap();
            assert!(source.text.get(span.start..span.end).is_some());
        }
    }
}

#[tokio::test]
async fn rolling_in_an_emergency_holds_the_target() {
    let bench = Bench::new();
    for target in [0, 1, 7, 40] {
        let sources = vec![source("one", STORY), source("two", &"word ".repeat(2_000))];
        let target = TokenCount::new(target);
        let rolled =
            bench.distiller.roll(&bench.client, sources, target, Urgency::Emergency, &|_| {});
        let rolled = rolled.await.unwrap();
        assert!(rolled.tokens <= target, "{} of {target}", rolled.tokens);
    }
}

#[tokio::test]
async fn nothing_gives_nothing() {
    let mut bench = Bench::new();
    assert!(bench.distil(&[], "unused").await.is_empty());
    let empty = bench.distil(&[source("empty", " \n")], "unused").await.remove(0);
    assert_eq!(empty.text, "");
    let rolled =
        bench.distiller.roll(&bench.client, vec![], TokenCount::ZERO, Urgency::Rolling, &|_| {});
    assert_eq!(rolled.await.unwrap().text, "");
}

#[test]
fn a_megabyte_is_shortened_however_odd_it_is() {
    let sentence = "Aria met Tom at the gate of Oakhill in 1812. ";
    for odd in [sentence, "word ", "\n", "é", "A. ", "a,b;", "\u{200D}\u{301}"] {
        let text = odd.repeat(1_000_000 / odd.len());
        let target = Estimate.count(&text).scaled(0.3);
        let (made, _) = Made::extracted(&text, target, Limit::Soft, None, &Estimate);
        assert!(made.tokens <= target.scaled(2.0), "{odd:?}: {}", made.tokens);
    }
}

proptest! {
    #[test]
    fn what_is_chosen_are_pieces_of_the_source_in_order(
        text in "(([A-Z]?[a-zé]{0,8}|[0-9]{1,3})[ ,.;!?\n\u{1F98A}\u{301}']{1,2}|\\PC){0,120}",
        share in 0.0..1.2,
        hard: bool,
    ) {
        let target = Estimate.count(&text).scaled(share);
        let limit = if hard { Limit::Hard } else { Limit::Soft };
        let (made, _) = Made::extracted(&text, target, limit, None, &Estimate);
        if hard {
            prop_assert!(made.tokens <= target);
        }
        prop_assert!((0.0..=1.0).contains(&made.quality));
        prop_assert!(made.text.len() <= text.len());
        let (mut end, mut from_end) = (0, 0);
        for (place, from) in &made.origins {
            prop_assert_eq!(&made.text[place.clone()], &text[from[0].clone()]);
            let between = made.text[end..place.start].trim();
            prop_assert!(between.is_empty() || between == "…");
            prop_assert!(from[0].start >= from_end && !from[0].is_empty());
            (end, from_end) = (place.end, from[0].end);
        }
        prop_assert_eq!(end, made.text.len());
    }
}
