//! Texts as terms: words by Unicode's rules, in lower case, without those that say nothing, English
//! ones cut to their stems.

use rust_stemmers::{Algorithm, Stemmer};
use unicode_segmentation::UnicodeSegmentation as _;

use super::stop_words::is_stop_word;

/// Longer words are cut: pictures in base64 and the like need no more to be told apart.
const LONGEST: usize = 48;

/// The terms of a text, in its order, with repetitions.
pub(super) fn terms(text: &str) -> Vec<String> {
    let stemmer = Stemmer::create(Algorithm::English);
    text.unicode_words().filter_map(|word| term(word, &stemmer)).collect()
}

fn term(word: &str, stemmer: &Stemmer) -> Option<String> {
    let end = word.char_indices().nth(LONGEST).map_or(word.len(), |(end, _)| end);
    let mut word = word[..end].to_lowercase();
    if word.contains(['\'', '’']) {
        word = without_ending(&word);
    }
    if is_stop_word(&word) {
        return None;
    }
    // The stemmer is made for English; Cyrillic or Chinese words it must not touch.
    Some(if word.is_ascii() { stemmer.stem(&word).into_owned() } else { word })
}

/// "Maria's" → "maria", "they'll" → "they", "didn't" → "did", "o'clock" → "oclock".
fn without_ending(word: &str) -> String {
    let word = word.replace('’', "'");
    if let Some(verb) = word.strip_suffix("n't") {
        return verb.to_owned();
    }
    match word.rsplit_once('\'') {
        Some((stem, "s" | "d" | "m" | "ll" | "re" | "ve" | "")) => stem.replace('\'', ""),
        Some(_) => word.replace('\'', ""),
        None => word,
    }
}

/// How much of a text asks, in 255ths: the share of its sentences that end with a question mark.
pub(super) fn asking(text: &str) -> u8 {
    let (mut sentences, mut questions) = (0_usize, 0_usize);
    let mut open = false;
    // A sentence ends where white space (or nothing) follows its mark; "?!" is one mark, and asks.
    let mut mark = None;
    for letter in text.chars().chain([' ']) {
        if matches!(letter, '.' | '!' | '?' | '…' | '。' | '！' | '？') {
            let asks = matches!(letter, '?' | '？') || mark == Some(true);
            mark = Some(asks);
        } else if letter.is_whitespace() {
            if let Some(asks) = mark.take().filter(|_| open) {
                sentences += 1;
                questions += usize::from(asks);
                open = false;
            }
        } else if letter.is_alphanumeric() {
            open = true;
            mark = None;
        }
    }
    sentences += usize::from(open);
    u8::try_from(questions * 255 / sentences.max(1)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_to_their_stems() {
        assert_eq!(terms("The horses were GALLOPING"), ["hors", "gallop"]);
        assert_eq!(terms("Maria's well-known gallops"), ["maria", "well", "known", "gallop"]);
    }

    #[test]
    fn contractions_and_function_words_say_nothing() {
        assert_eq!(terms("I didn’t, you won't, they'll, what's that? It can't!"), [""; 0]);
        assert_eq!(terms("at five o'clock"), ["five", "oclock"]);
    }

    #[test]
    fn other_scripts_are_split_by_their_own_rules() {
        assert_eq!(terms("Жёлтый дом"), ["жёлтый", "дом"]);
        assert_eq!(terms("東京へ"), ["東", "京", "へ"]);
        assert_eq!(terms("🦊 … --"), [""; 0]);
    }

    #[test]
    fn long_words_are_cut() {
        let terms = terms(&"Ab".repeat(10_000));
        assert_eq!(terms.len(), 1);
        assert!(terms[0].len() <= LONGEST);
    }

    #[test]
    fn questions_are_counted_by_sentences() {
        for (text, share) in [
            ("", 0),
            ("?", 0),
            ("I went home.", 0),
            ("Where were you?", 255),
            ("What?! Really?", 255),
            ("I was at home. You?", 127),
            ("“Where?” she asked", 127),
            ("*smiles* How are you?", 255),
            ("It cost 3.50. Why?", 127),
        ] {
            assert_eq!(asking(text), share, "{text}");
        }
    }
}
