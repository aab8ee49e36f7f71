use proptest::prelude::*;
use serde::Deserialize;

use super::*;

/// What the training's own code says of a text by its words alone; see `tools/train_emotion.py`.
/// What it says by both is compared in `tests/it/emotion.rs`, with the real embedder.
#[derive(Deserialize)]
struct Agreement {
    text: String,
    words: [f32; 7],
}

fn agreements() -> Vec<Agreement> {
    let lines = include_str!("fixtures/agreement.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn assert_agrees(text: &str, ours: [f32; 7], theirs: [f32; 7]) {
    for (our, their) in ours.into_iter().zip(theirs) {
        assert!((our - their).abs() < 2e-3, "{text:?}: {ours:?} is not {theirs:?}");
    }
}

#[test]
fn words_are_read_as_in_training() {
    let detector = Detector::trained().without_lexicon();
    let agreements = agreements();
    assert!(agreements.len() >= 36);
    for Agreement { text, words, .. } in agreements {
        assert_agrees(&text, detector.feel(&text, None).distribution(), words);
    }
}

#[test]
fn vectors_of_another_embedder_are_not_used() {
    let detector = Detector::trained();
    let text = "I can't believe you came back.";
    let vector = [0.051; 384];
    let plain = detector.feel(text, None);
    let ours = "minilm-53aa51172d14";
    assert_ne!(detector.feel(text, Some((ours, &vector))), plain);
    assert_eq!(detector.feel(text, Some(("minilm-000000000000", &vector))), plain);
    assert_eq!(detector.feel(text, Some((ours, &vector[1..]))), plain);
    assert_eq!(detector.feel(text, Some((ours, &[]))), plain);
    assert_eq!(detector.feel(text, Some((ours, &[f32::NAN; 384]))), plain);
}

/// Emotion wanted and text.
fn rows(fixture: &str) -> Vec<(Emotion, &str)> {
    let lines = fixture.lines().filter(|line| !line.starts_with('#'));
    let row = |line| str::split_once(line, '\t').unwrap();
    lines.map(row).map(|(emotion, text)| (emotion.parse().unwrap(), text)).collect()
}

/// Rows that come out as wanted, and the others to be read in a failure.
fn right(rows: &[(Emotion, &str)], detector: &Detector) -> (usize, Vec<String>) {
    let feelings = rows.iter().map(|(wanted, text)| (wanted, text, detector.feel(text, None)));
    let wrong: Vec<_> = feelings
        .filter(|(wanted, _, feeling)| feeling.emotion() != **wanted)
        .map(|(wanted, text, feeling)| format!("{wanted}, not {}: {text}", feeling.emotion()))
        .collect();
    (rows.len() - wrong.len(), wrong)
}

#[test]
fn narrated_actions_show_what_they_show() {
    let rows = rows(include_str!("fixtures/narration.tsv"));
    assert_eq!(rows.len(), 60);
    let (found, wrong) = right(&rows, &Detector::trained());
    assert!(found >= 57, "{found}: {wrong:#?}");
}

#[test]
fn the_lexicon_is_what_finds_them() {
    let rows = rows(include_str!("fixtures/narration.tsv"));
    let (found, _) = right(&rows, &Detector::trained().without_lexicon());
    assert!(found < 20, "{found}");
}

#[test]
fn actions_written_after_the_lexicon_are_mostly_found() {
    let rows = rows(include_str!("fixtures/held_out_narration.tsv"));
    assert_eq!(rows.len(), 30);
    let (found, wrong) = right(&rows, &Detector::trained());
    assert!(found >= 18, "{found}: {wrong:#?}");
}

#[test]
fn neutral_actions_stay_neutral() {
    let rows = rows(include_str!("fixtures/neutral_narration.tsv"));
    assert_eq!(rows.len(), 20);
    let felt: Vec<_> = rows
        .iter()
        .map(|(_, text)| (text, Detector::trained().feel(text, None)))
        .filter(|(_, found)| found.emotion() != Emotion::Neutral && found.confidence() >= 0.4)
        .collect();
    assert!(felt.len() <= 4, "{felt:#?}");
}

#[test]
fn what_is_denied_is_not_felt() {
    let denials = [
        ("She did not tremble.", Emotion::Fear),
        ("*shakes hands without a smile*", Emotion::Joy),
        ("He was no longer angry.", Emotion::Anger),
        ("I'm not happy", Emotion::Joy),
        ("I am not afraid", Emotion::Fear),
        ("\"I am not afraid,\" she said.", Emotion::Fear),
        ("I’m not angry with you.", Emotion::Anger),
        ("*never once glares, never scowls*", Emotion::Anger),
        ("He didn't cry.", Emotion::Sadness),
    ];
    for (text, emotion) in denials {
        let found = Detector::trained().feel(text, None);
        assert_ne!(found.emotion(), emotion, "{text} {found:?}");
    }
}

#[test]
fn what_cannot_be_helped_is_felt() {
    for text in
        ["He could not help but smile.", "She couldn't stop laughing.", "*can't hide a grin*"]
    {
        assert_eq!(Detector::trained().feel(text, None).emotion(), Emotion::Joy, "{text}");
    }
}

#[test]
fn narration_outweighs_what_is_said_in_quotes() {
    let text = "\"How wonderful,\" she said. Tears ran down her cheeks, and her shoulders shook.";
    assert_eq!(Detector::trained().feel(text, None).emotion(), Emotion::Sadness);
    let spoken = "\"Tears ran down her cheeks\" is a line of the song.";
    let detector = Detector::trained();
    assert_eq!(detector.feel(spoken, None), detector.without_lexicon().feel(spoken, None));
}

#[test]
fn names_are_read_in_any_case() {
    for emotion in Emotion::ALL {
        assert_eq!(emotion.name().to_uppercase().parse(), Ok(emotion));
        assert_eq!(serde_json::to_value(emotion).unwrap(), emotion.name());
    }
    assert!("happiness".parse::<Emotion>().is_err());
}

#[test]
fn a_feeling_of_an_emotion_is_that_emotion() {
    for emotion in Emotion::ALL {
        for confidence in [f32::NAN, -1.0, 0.0, 1.0 / 7.0, 0.2, 0.5, 1.0, 7.0] {
            assert_eq!(Feeling::of(emotion, confidence).emotion(), emotion, "{confidence}");
        }
    }
    assert_eq!(Feeling::of(Emotion::Fear, 0.4).confidence().to_bits(), 0.4_f32.to_bits());
}

#[test]
fn a_book_is_read_at_both_ends() {
    let middle = "Я тоже. ".repeat(80_000);
    assert!(middle.len() > 1_000_000);
    let detector = Detector::trained();
    let feel = |text: &str| detector.feel(text, None);
    let joyful = "*grins from ear to ear* ".repeat(60);
    let plain = feel(&middle).probability(Emotion::Joy);
    assert!(feel(&format!("{joyful}{middle}")).probability(Emotion::Joy) > plain + 0.3);
    assert!(feel(&format!("{middle}{joyful}")).probability(Emotion::Joy) > plain + 0.3);
    assert_eq!(feel(&format!("{middle}{joyful}{middle}")), feel(&middle));
}

#[test]
fn hostile_texts_are_read_too() {
    let texts =
        ["*", "**", "\"", "'", "_", "* \" *", "\u{0}", "\u{FEFF}", "a'", "'''", "🏳️‍🌈", "e\u{301}"];
    for text in texts {
        for times in [1, 3, 5_000] {
            assert_sound(&text.repeat(times));
        }
    }
    assert_sound(&"he smiled and grinned and laughed and wept ".repeat(100));
    assert_sound(&"hands ".repeat(1_000));
}

fn assert_sound(text: &str) {
    for detector in [Detector::trained(), Detector::keywords()] {
        let feeling = detector.feel(text, None);
        let sum: f32 = feeling.distribution().iter().sum();
        assert!((sum - 1.0).abs() < 1e-4, "{text:?}: {feeling:?}");
        assert!(feeling.distribution().iter().all(|share| (0.0..=1.0).contains(share)));
        let importance = importance(text, &feeling);
        assert!((0.0..=1.0).contains(&importance), "{importance}");
    }
}

proptest! {
    #[test]
    fn any_text_has_a_feeling(text in any::<String>()) {
        assert_sound(&text);
    }

    #[test]
    fn any_narration_has_a_feeling(text in "([*\"_.,!?'\n ]|not |didn't |hands |shook |smiled |tears |her |é|🦊){0,60}") {
        assert_sound(&text);
    }
}
