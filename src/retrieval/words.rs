//! Texts as terms: words by Unicode's rules, in lower case, without those that say nothing, English
//! ones cut to their stems.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::ops::Range;

use rust_stemmers::{Algorithm, Stemmer};
use unicode_segmentation::UnicodeSegmentation as _;

use super::stop_words::is_stop_word;

/// Longer words are cut: pictures in base64 and the like need no more to be told apart.
const LONGEST: usize = 48;

/// The terms of a text, in its order, with repetitions.
pub fn terms(text: &str) -> Vec<String> {
    placed_terms(text.unicode_word_indices()).map(|(_, term)| term).collect()
}

/// Where words of a text stand, in bytes, whose terms are wanted; with their terms.
pub fn places<'a, S: BuildHasher>(
    text: &'a str,
    wanted: &'a HashSet<String, S>,
) -> impl Iterator<Item = (Range<usize>, String)> + 'a {
    // A term begins as its word does, so most words need not be brought to their stems.
    let beginnings: HashSet<char> = wanted.iter().filter_map(|term| term.chars().next()).collect();
    let may_be = move |word: &str| {
        let first = word.chars().next().and_then(|first| first.to_lowercase().next());
        first.is_some_and(|first| beginnings.contains(&first))
    };
    let words = text.unicode_word_indices().filter(move |(_, word)| may_be(word));
    placed_terms(words).filter(|(_, term)| wanted.contains(term))
}

fn placed_terms<'a>(
    words: impl Iterator<Item = (usize, &'a str)>,
) -> impl Iterator<Item = (Range<usize>, String)> {
    let stemmer = Stemmer::create(Algorithm::English);
    words.filter_map(move |(start, word)| Some((start..start + word.len(), term(word, &stemmer)?)))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_are_those_of_the_terms(
            text in "(([A-Za-z]{1,9}|[a-zİŐß]{1,4}|dying|skis|[a-z]'[a-z]{1,2}) ?){0,12}",
            query in "(([A-Za-z]{1,2}|[a-zİŐß]{1,2}|dies|ski) ){0,4}",
        ) {
            let wanted: HashSet<String> = terms(&query).into_iter().chain(terms(&text)).collect();
            let found: Vec<_> = places(&text, &wanted).map(|(_, term)| term).collect();
            prop_assert_eq!(found, terms(&text));
            let wanted: HashSet<String> = terms(&query).into_iter().collect();
            let mut expected = terms(&text);
            expected.retain(|term| wanted.contains(term));
            let found: Vec<_> = places(&text, &wanted).map(|(_, term)| term).collect();
            prop_assert_eq!(found, expected);
        }
    }

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
}
