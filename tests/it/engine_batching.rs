//! Many requests at once on one KV cache, with the real small model: what is shared, what is fair, and
//! that nobody notices the others.

use std::path::Path;

use rhapsode::engine::llama::{LlamaEngine, LlamaSettings};
use rhapsode::engine::{
    ClientId, Engine, EngineError, EngineStatus, Event, GenerateRequest, Generation, Usage,
};
use rhapsode::tokens::TokenCount;
use tokio::time::timeout;

use crate::engine_llama::{request, settings, wait_until_loaded};
use crate::support::PATIENCE;

fn start(settings: LlamaSettings) -> LlamaEngine {
    let engine = LlamaEngine::start(settings).unwrap();
    wait_until_loaded(&engine);
    engine
}

/// What a request writes doesn't depend on others, to the bit.
fn reproducible() -> LlamaSettings {
    LlamaSettings { reproducible: true, queue_size: 64, ..settings() }
}

fn keeping(folder: &Path) -> LlamaSettings {
    let states_folder = Some(folder.to_owned());
    LlamaSettings { states_folder, states_capacity: 1 << 30, ..reproducible() }
}

/// About 700 tokens that several agents read.
fn story() -> String {
    let verses = [
        "The old town slept under the rain, and the river rose a little every hour.",
        "Mara counted the lanterns on the bridge and found one missing.",
        "Her brother had gone out with the tide and had not come back.",
        "Nobody in the market would say his name.",
    ];
    let lines = (0..40).map(|n| format!("{n}. {}", verses[n % verses.len()]));
    lines.collect::<Vec<_>>().join(" ")
}

fn about(story: &str, question: &str) -> GenerateRequest {
    request(&format!("{story}\n\n{question}"), 40)
}

async fn text(generation: Generation) -> (String, Usage) {
    let (text, finished) = timeout(PATIENCE * 2, generation.text()).await.unwrap().unwrap();
    (text, finished.usage)
}

async fn started(generation: &mut Generation) -> TokenCount {
    match timeout(PATIENCE, generation.next()).await.unwrap() {
        Some(Event::Started { cached_tokens, .. }) => cached_tokens,
        other => panic!("{other:?}"),
    }
}

async fn until(engine: &LlamaEngine, holds: impl Fn(&EngineStatus) -> bool) -> EngineStatus {
    let waiting = async {
        loop {
            let status = engine.status();
            if holds(&status) {
                return status;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap()
}

#[tokio::test]
async fn greedy_output_is_the_same_alone_in_company_forked_restarted_and_drafted() {
    let story = story();
    let asked = about(&story, "Who is missing?");
    let folder = tempfile::tempdir().unwrap();
    let engine = start(keeping(folder.path()));
    let (alone, usage) = text(engine.submit(asked.clone()).unwrap()).await;
    assert_eq!(usage.cached_tokens, TokenCount::ZERO);
    drop(engine);

    // After a restart, from disk.
    let engine = start(keeping(folder.path()));
    let (restarted, usage) = text(engine.submit(asked.clone()).unwrap()).await;
    assert!(usage.cached_tokens.get() + 1 >= usage.prompt_tokens.get(), "{usage:?}");
    assert!(engine.status().counters.restored_tokens > 0);
    assert_eq!(restarted, alone);

    // Beside seven others.
    let engine = start(reproducible());
    let others: Vec<_> = (0..7)
        .map(|n| engine.submit(request(&format!("Tell tale number {n} of a fox."), 60)).unwrap())
        .collect();
    let beside = engine.submit(asked.clone()).unwrap();
    let (beside, _) = text(beside).await;
    assert_eq!(beside, alone);
    for other in others {
        text(other).await;
    }

    // From another's prefix, and drafted from the prompt.
    let (_, _) = text(engine.submit(about(&story, "What does Mara count?")).unwrap()).await;
    let engine = start(reproducible());
    let (_, _) = text(engine.submit(about(&story, "What does Mara count?")).unwrap()).await;
    let (forked, usage) = text(engine.submit(asked.clone()).unwrap()).await;
    assert!(usage.cached_tokens.get() > 600, "{usage:?}");
    assert_eq!(forked, alone);
    let drafted = GenerateRequest { prompt_lookup: true, ..asked };
    let (drafted, _) = text(engine.submit(drafted).unwrap()).await;
    assert_eq!(drafted, alone);
}

#[tokio::test]
async fn an_answer_that_repeats_its_prompt_is_drafted_from_it_and_stays_the_same() {
    let engine = start(reproducible());
    let poem = "The rain it raineth on the just and also on the unjust fellow. ".repeat(6);
    let plain = request(&format!("Repeat this text word by word: {poem}"), 120);
    let (expected, _) = text(engine.submit(plain.clone()).unwrap()).await;
    let before = engine.status().counters;
    let looked_up = GenerateRequest { prompt_lookup: true, ..plain };
    let (drafted, _) = text(engine.submit(looked_up).unwrap()).await;
    assert_eq!(drafted, expected);
    let after = engine.status().counters;
    assert!(after.accepted_tokens > 20, "{after:?}");
    assert!(after.steps - before.steps < before.steps, "{after:?}");
}

#[tokio::test]
async fn agents_that_ask_at_once_about_one_story_read_it_once() {
    let engine = start(LlamaSettings { queue_size: 8, ..settings() });
    let story = story();
    let questions = ["Who?", "Where?", "When?", "Why?", "How?", "What then?"];
    let asked: Vec<_> =
        questions.iter().map(|q| engine.submit(about(&story, q)).unwrap()).collect();
    let mut cached = Vec::new();
    for generation in asked {
        cached.push(text(generation).await.1.cached_tokens.get());
    }
    cached.sort_unstable();
    assert_eq!(cached[0], 0, "one reads the story");
    assert!(cached[1] > 600, "the others don't: {cached:?}");
    let counters = engine.status().counters;
    assert_eq!((counters.requests, counters.prefix_hits), (6, 5));
    assert!(counters.kv_used < counters.kv_size);
}

#[tokio::test]
async fn who_can_not_fit_now_waits_and_fails_nobody() {
    // Each takes more than half of the window.
    let engine = start(settings());
    let long = |opening: &str| request(&format!("{opening} {}", story()), 400);
    let mut first = engine.submit(long("Once,")).unwrap();
    let mut second = engine.submit(long("Twice,")).unwrap();
    started(&mut first).await;
    let status = until(&engine, |status| status.waiting == 1).await;
    assert_eq!(status.running, 1);
    drop(first);
    assert!(started(&mut second).await.get() < 100);
    assert!(second.text().await.is_ok());
}

#[tokio::test]
async fn one_clients_many_do_not_hold_up_anothers_one() {
    let engine = start(LlamaSettings { parallel: 2, queue_size: 32, ..settings() });
    let many: Vec<_> = (0..20)
        .map(|n| engine.submit(request(&format!("Tell tale {n} of a fox."), 60)).unwrap())
        .collect();
    let client = ClientId::new("another");
    let one = GenerateRequest { client, ..request("Who wrote Hamlet?", 5) };
    text(engine.submit(one).unwrap()).await;
    assert!(engine.status().waiting >= 17, "{:?}", engine.status());
    drop(many);
}

#[tokio::test]
async fn a_thousand_cancelled_requests_leave_nothing_behind() {
    let engine = start(LlamaSettings { queue_size: 2_000, ..settings() });
    let mut kept = Vec::new();
    for n in 0..1_000 {
        kept.push(engine.submit(request(&format!("Tell tale {n} of a fox."), 200)).unwrap());
        // Some leave while they wait, some while they are read, some while they are written.
        if n % 40 == 0 {
            started(&mut kept[0]).await;
        }
        if n % 10 == 0 {
            kept.clear();
        }
    }
    drop(kept);
    until(&engine, |status| status.running == 0 && status.waiting == 0).await;
    // All places and all cells can be had.
    let status = engine.status();
    let whole = request(&story(), status.counters.kv_size);
    let mut whole = engine.submit(whole).unwrap();
    started(&mut whole).await;
    drop(whole);
    let asked: Vec<_> =
        (0..7).map(|n| engine.submit(request(&n.to_string(), 3)).unwrap()).collect();
    for generation in asked {
        text(generation).await;
    }
    assert_eq!(engine.status().counters.restarts, 0);
}

#[tokio::test]
async fn a_slow_reader_stalls_nobody() {
    let engine = start(settings());
    let slow = engine.submit(request("Tell a tale of a fox.", 300)).unwrap();
    let (_, usage) = text(engine.submit(request("Who wrote Hamlet?", 20)).unwrap()).await;
    assert!(usage.completion_tokens.get() > 0);
    // The whole answer waits for the reader, however late.
    until(&engine, |status| status.running == 0).await;
    let (whole, usage) = text(slow).await;
    assert!(usage.completion_tokens.get() > 20 && !whole.is_empty());
}

#[tokio::test]
async fn a_damaged_state_is_left_out_and_the_story_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let asked = about(&story(), "Who is missing?");
    let engine = start(keeping(folder.path()));
    let (before, _) = text(engine.submit(asked.clone()).unwrap()).await;
    drop(engine);
    let mut damaged = 0;
    for model in std::fs::read_dir(folder.path()).unwrap() {
        for file in std::fs::read_dir(model.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "state") {
                let mut bytes = std::fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x40;
                std::fs::write(&path, bytes).unwrap();
                damaged += 1;
            }
        }
    }
    assert_eq!(damaged, 1);
    let engine = start(keeping(folder.path()));
    let (after, usage) = text(engine.submit(asked).unwrap()).await;
    assert_eq!(usage.cached_tokens, TokenCount::ZERO);
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_prompt_that_can_never_fit_is_refused_with_the_numbers() {
    let engine = start(settings());
    let error = engine.submit(request(&story().repeat(4), 10)).unwrap_err();
    let EngineError::PromptTooLong { prompt, window } = error else { panic!("{error}") };
    assert!(prompt > window);
}

#[tokio::test]
async fn private_prompts_never_reach_the_disk_and_others_leave_it_when_asked() {
    let story = story();
    let folder = tempfile::tempdir().unwrap();
    let files = || {
        let folders = std::fs::read_dir(folder.path()).unwrap();
        let folders = folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        folders.map(|folder| std::fs::read_dir(folder).unwrap().count()).sum::<usize>()
    };
    let engine = start(keeping(folder.path()));
    let asked = about(&story, "Who is missing?");
    let private = GenerateRequest { private: true, ..asked.clone() };
    text(engine.submit(private).unwrap()).await;
    drop(engine);
    assert_eq!(files(), 0);
    let engine = start(keeping(folder.path()));
    text(engine.submit(asked.clone()).unwrap()).await;
    drop(engine);
    assert!(files() > 0, "what isn't private is kept");
    // What is held when all is to be forgotten isn't kept later, either.
    let engine = start(keeping(folder.path()));
    text(engine.submit(asked).unwrap()).await;
    engine.forget();
    drop(engine);
    assert_eq!(files(), 0);
}
