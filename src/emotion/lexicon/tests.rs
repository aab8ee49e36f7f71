use super::*;

fn evidence(text: &str) -> [f32; 7] {
    Lexicon::curated().evidence([text, ""]).0
}

fn is_none(text: &str) -> bool {
    Lexicon::curated().evidence([text, ""]) == Evidence::default()
}

fn of(text: &str, emotion: Emotion) -> f32 {
    evidence(text)[emotion.index()]
}

#[test]
fn every_line_of_the_lexicon_is_understood() {
    let (parsed, unread) = pattern::parse(include_str!("actions.txt"));
    assert!(unread.is_empty(), "{unread:#?}");
    assert!(parsed.patterns.len() > 350);
    for emotion in Emotion::ALL {
        let meant = (emotion != Emotion::Neutral).then_some(emotion);
        let count = parsed.patterns.iter().filter(|pattern| pattern.emotion == meant).count();
        assert!(count >= 15, "{emotion}: {count}");
    }
}

#[test]
fn faulty_lines_are_given_back() {
    for line in ["[bliss]", "[joy", "smil*", "x smil*", "1", "1 a*", "1 @nobody", "1 a b c d e f"] {
        let (parsed, unread) = pattern::parse(line);
        assert_eq!(unread, [line]);
        assert!(parsed.patterns.is_empty());
    }
}

#[test]
fn the_longest_pattern_keeps_its_words() {
    assert!(of("*her smile fades*", Emotion::Sadness) > 0.0);
    assert_eq!(of("*her smile fades*", Emotion::Joy).to_bits(), 0);
}

#[test]
fn what_only_looks_like_feeling_is_none() {
    for text in ["*shakes his head*", "*tears open the envelope*", "*the dog barks at the cat*"] {
        assert!(is_none(text), "{text}");
    }
}

#[test]
fn narration_counts_and_dialogue_does_not() {
    assert!(of("*trembles*", Emotion::Fear) > 0.0);
    assert!(of("\"Well.\" She trembled.", Emotion::Fear) > 0.0);
    assert!(of("She trembled.", Emotion::Fear) > 0.0);
    assert!(of("Her hands tremble.", Emotion::Fear) > 0.0);
    assert!(of("_trembles_", Emotion::Fear) > 0.0);
    assert_eq!(of("\"She trembled.\"", Emotion::Fear).to_bits(), 0);
    assert_eq!(of("you are trembling", Emotion::Fear).to_bits(), 0);
    assert_eq!(of("*nods* She trembled, you know.", Emotion::Fear).to_bits(), 0);
}

#[test]
fn one_word_in_a_plain_sentence_proves_less() {
    assert!(of("She trembled.", Emotion::Fear) < of("*trembled*", Emotion::Fear));
}

#[test]
fn denials_count_against() {
    assert!(of("*does not tremble*", Emotion::Fear) < 0.0);
    assert!(of("I'm not happy", Emotion::Joy) < 0.0);
    // The clause ends before the action.
    assert!(of("*says nothing, trembling*", Emotion::Fear) > 0.0);
    assert!(of("*did not speak but trembled*", Emotion::Fear) > 0.0);
}

#[test]
fn evidence_is_bounded() {
    let text = "*grins, laughs, giggles, beams, chuckles* ".repeat(40);
    assert!(of(&text, Emotion::Joy) <= MOST);
    let text = "*does not grin, never laughs, never giggles* ".repeat(40);
    assert!(of(&text, Emotion::Joy) >= -MOST_DENIED);
}

#[test]
fn a_lone_asterisk_opens_nothing() {
    assert!(is_none("5 * 3, you trembling fool"));
}
