//! The emotion classifier with the real embedder, beside what the training's own code says.

use rhapsode::embedding::{Embedder as _, MiniLm};
use rhapsode::emotion::Detector;
use rhapsode::models::sentence_embedder_dir;
use serde::Deserialize;

use crate::support::models_dir;

/// One text of the fixture that `tools/train_emotion.py` fills.
#[derive(Deserialize)]
struct Agreement {
    text: String,
    both: [f32; 7],
}

#[test]
fn vectors_are_read_as_in_training() {
    let embedder = MiniLm::load(&sentence_embedder_dir(&models_dir())).unwrap();
    let detector = Detector::trained().without_lexicon();
    let lines = include_str!("../../src/emotion/fixtures/agreement.jsonl").lines();
    for Agreement { text, both } in lines.map(|line| serde_json::from_str(line).unwrap()) {
        let vector = &embedder.embed(&[&text]).unwrap()[0];
        let with = detector.feel(&text, Some((embedder.id(), vector))).distribution();
        for (ours, theirs) in with.into_iter().zip(both) {
            assert!((ours - theirs).abs() < 2e-3, "{text:?}: {with:?} is not {both:?}");
        }
        assert_ne!(with, detector.feel(&text, None).distribution(), "{text:?}");
    }
}
