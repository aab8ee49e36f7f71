//! What can only be brought about from inside.

use std::path::{Path, PathBuf};

use super::*;
use crate::clock::Clock;
use crate::engine::{ClientId, GenerateRequest, Sampling};

impl Shared {
    pub(super) fn panic_if_told(&self) {
        assert!(!self.panics_at_next_step.swap(false, Ordering::Relaxed), "on purpose");
    }
}

fn settings() -> LlamaSettings {
    #[expect(clippy::disallowed_methods, reason = "tests are told by the environment")]
    let given = std::env::var_os("MODELS_DIR");
    let folder =
        given.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("models"), PathBuf::from);
    LlamaSettings {
        model_path: folder.join("SmolLM2-135M-Instruct.Q4_1.gguf"),
        window: TokenCount::new(512),
        gpu_layers: None,
        threads: Some(1),
        queue_size: 4,
        parallel: 2,
        kv_tokens: None,
        flash_attention: FlashAttention::Auto,
        reproducible: false,
        states_folder: None,
        states_capacity: 0,
        verbose: false,
        clock: Clock::system(),
    }
}

fn request() -> GenerateRequest {
    let sampling = Sampling {
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        min_p: 0.0,
        repeat_penalty: 1.0,
        presence_penalty: 0.0,
        frequency_penalty: 0.0,
        seed: 1,
    };
    let messages = vec![Message::user("Tell a tale of a fox.")];
    GenerateRequest::new(ClientId::default(), messages, sampling, TokenCount::new(5))
}

#[tokio::test]
async fn a_panicking_thread_fails_its_requests_reports_and_starts_again() {
    let engine = LlamaEngine::start(settings()).unwrap();
    while engine.status().state == EngineState::Loading {
        std::thread::yield_now();
    }
    engine.shared.panics_at_next_step.store(true, Ordering::Relaxed);
    let failed = engine.submit(request()).unwrap().text().await;
    assert_eq!(failed.unwrap_err(), EngineError::Lost);
    let (text, _) = engine.submit(request()).unwrap().text().await.unwrap();
    assert!(!text.is_empty());
    let status = engine.status();
    assert_eq!((status.state, status.counters.restarts), (EngineState::Ready, 1));
    assert_eq!((status.running, status.waiting), (0, 0));
}
