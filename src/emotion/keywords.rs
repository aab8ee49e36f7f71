//! The detector of last resort: words and emoji counted, whole words only.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::words::Words;
use super::{Emotion, Feeling};

/// This many words make it certain.
const CERTAIN: f32 = 3.0;
/// Of a text without any such word.
const NEUTRAL_CONFIDENCE: f32 = 0.5;

/// A word may speak for one emotion only.
static KEYWORDS: LazyLock<HashMap<&str, Emotion>> = LazyLock::new(|| {
    let lines = include_str!("keywords.txt").lines().filter_map(|line| line.split_once(": "));
    lines
        .filter_map(|(name, words)| Some((name.parse().ok()?, words)))
        .flat_map(|(emotion, words)| words.split_whitespace().map(move |word| (word, emotion)))
        .collect()
});

/// The emotion with the most words, of equals the first in [`Emotion::ALL`]; its confidence is
/// min(words / 3, 1). Neutral, 0.5, where there is none.
pub(super) fn feel(parts: [&str; 2]) -> Feeling {
    let mut counts = [0_u16; 7];
    for part in parts {
        for emotion in Words::of(part).iter().filter_map(|word| KEYWORDS.get(word)) {
            counts[emotion.index()] += 1;
        }
    }
    let most = counts.into_iter().max().unwrap_or(0);
    let found = Emotion::ALL.into_iter().find(|emotion| counts[emotion.index()] == most);
    match found {
        Some(emotion) if most > 0 => Feeling::of(emotion, f32::from(most) / CERTAIN),
        _ => Feeling::of(Emotion::Neutral, NEUTRAL_CONFIDENCE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn felt(text: &str) -> (Emotion, f32) {
        let feeling = feel([text, ""]);
        (feeling.emotion(), feeling.confidence())
    }

    #[test]
    fn confidence_grows_with_the_words_and_stops_at_one() {
        assert_eq!(felt("I am happy"), (Emotion::Joy, 1.0 / 3.0));
        assert_eq!(felt("happy, glad"), (Emotion::Joy, 2.0 / 3.0));
        assert_eq!(felt("happy, glad, delighted"), (Emotion::Joy, 1.0));
        assert_eq!(felt("happy, glad, delighted, proud \u{1F600}"), (Emotion::Joy, 1.0));
    }

    #[test]
    fn no_keyword_is_neutral_by_half() {
        assert_eq!(felt("The train leaves at nine."), (Emotion::Neutral, 0.5));
        assert_eq!(felt(""), (Emotion::Neutral, 0.5));
    }

    #[test]
    fn only_whole_words_count() {
        // "made", "hellebore", "sadly shutters": mad, hell, sad and shut are in them.
        assert_eq!(
            felt("He made hellebore tea behind the shutters, saddled up").0,
            Emotion::Neutral
        );
    }

    #[test]
    fn emoji_count_with_their_variants() {
        assert_eq!(felt("\u{2764}\u{FE0F}").0, Emotion::Joy);
        assert_eq!(felt("\u{1F621}").0, Emotion::Anger);
    }

    #[test]
    fn no_word_speaks_for_two_emotions() {
        let lines = include_str!("keywords.txt").lines().filter(|line| !line.starts_with('#'));
        let lines = lines.filter_map(|line| line.split_once(": "));
        let words: usize = lines.map(|(_, words)| words.split_whitespace().count()).sum();
        assert_eq!(words, KEYWORDS.len());
    }
}
