//! The words of a query, as Chroma can look for them, and BM25 over what it found.
//!
//! Chroma has no word index that knows inflections. It matches regular expressions (in the syntax of
//! Rust's crate `regex`) on raw text, so each term becomes an expression that at least all words of
//! that term match; which of the texts found do hold the term is decided here. An apostrophe inside a
//! word is looked for after its first two letters only ("o'clock", "ma'am").

use std::collections::{HashMap, HashSet};

use crate::retrieval::{MOST_SATURATED, idf, saturated, terms};

/// Each costs the server a pass over the archive. Of longer queries the longest words count, as
/// these are mostly the rarest.
const MOST_WORDS: usize = 12;
/// In shorter words, in letters, no apostrophe is looked for.
const SHORTEST_WITH_APOSTROPHE: usize = 4;

/// A word of the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) term: String,
    /// Matches every text that holds the term, and others.
    pub(super) pattern: String,
}

/// The words to look for, each once.
pub(super) fn words_of(query: &str) -> Vec<Word> {
    let mut seen = HashSet::new();
    let mut terms: Vec<_> =
        terms(query).into_iter().filter(|term| seen.insert(term.clone())).collect();
    // Stable, so that among equals the first ones stay.
    terms.sort_by_key(|term| std::cmp::Reverse(term.chars().count()));
    terms.truncate(MOST_WORDS);
    terms.into_iter().map(|term| Word { pattern: pattern(&term), term }).collect()
}

fn pattern(term: &str) -> String {
    // Scripts without capitals may be written without spaces, too.
    let begins = |letter: char| letter.is_ascii_alphanumeric() || letter.is_lowercase();
    let border = if term.starts_with(begins) { r"\b" } else { "" };
    let body = match term {
        // The stemmer's exceptions: dying, lying, tying.
        "die" | "lie" | "tie" => format!("{}(?:ie|y)", &term[..1]),
        _ if term.is_ascii() => english(term),
        _ => begun(term),
    };
    format!("(?i){border}{body}")
}

/// A stem is what its words begin with, but for its last letter, which stands for others: happi is
/// happy, too, hope is hoping, and sensibl is sensibility.
fn english(stem: &str) -> String {
    let before = |last: &[char]| stem.strip_suffix(last).filter(|rest| !rest.is_empty());
    if let Some(rest) = before(&['e', 'i', 'y']) {
        return format!("{}[aeiouy]", begun(rest));
    }
    match stem.strip_suffix("bl") {
        Some(rest) if !rest.is_empty() => format!("{}b[il]", begun(rest)),
        _ => begun(stem),
    }
}

fn begun(word: &str) -> String {
    let mut letters = word.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if word.chars().count() >= SHORTEST_WITH_APOSTROPHE => {
            let (first, second) = (escaped(&first.to_string()), escaped(&second.to_string()));
            format!("{first}['’]?{second}['’]?{}", escaped(letters.as_str()))
        }
        _ => escaped(word),
    }
}

/// The text itself, in a regular expression.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii_punctuation() {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// BM25 of texts that were found. `holding` tells for each word in how many texts of the archive it
/// was found, and `all` how many texts there are; the mean length is that of the texts given. And what
/// it could come to at most.
pub(super) fn bm25(
    words: &[Word],
    holding: &[usize],
    all: usize,
    texts: &[&str],
) -> (Vec<f32>, f32) {
    let numbers: HashMap<&str, usize> =
        words.iter().enumerate().map(|(number, word)| (word.term.as_str(), number)).collect();
    let counted: Vec<(Vec<u32>, usize)> = texts
        .iter()
        .map(|text| {
            let terms = terms(text);
            let mut counts = vec![0_u32; words.len()];
            for term in &terms {
                if let Some(&number) = numbers.get(term.as_str()) {
                    counts[number] += 1;
                }
            }
            (counts, terms.len())
        })
        .collect();
    let total: usize = counted.iter().map(|(_, length)| length).sum();
    let mean_length = (total as f32 / counted.len().max(1) as f32).max(1.0);
    let idfs: Vec<f32> = (0..words.len())
        .map(|number| {
            let seen = counted.iter().filter(|(counts, _)| counts[number] > 0).count();
            idf(all.max(counted.len()), holding.get(number).copied().unwrap_or(0).max(seen))
        })
        .collect();
    let score = |(counts, length): &(Vec<u32>, usize)| {
        let length = *length as f32 / mean_length;
        let share = |(&count, idf): (&u32, &f32)| {
            if count == 0 { 0.0 } else { idf * saturated(count as f32, length) }
        };
        counts.iter().zip(&idfs).map(share).sum()
    };
    let scores = counted.iter().map(score).collect();
    // Words that are nowhere can't be asked of any text.
    let known = (0..words.len()).filter(|&number| {
        holding.get(number).is_some_and(|holding| *holding > 0)
            || counted.iter().any(|(counts, _)| counts[number] > 0)
    });
    (scores, known.map(|number| idfs[number] * MOST_SATURATED).sum())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fancy_regex::Regex;
    use proptest::prelude::*;
    use unicode_segmentation::UnicodeSegmentation as _;

    use super::*;
    use crate::retrieval::Lexicon;

    fn finds(query: &str, text: &str) -> bool {
        words_of(query)
            .iter()
            .all(|word| Regex::new(&word.pattern).unwrap().is_match(text).unwrap())
    }

    #[test]
    fn inflections_and_capitals_are_found() {
        for (query, text) in [
            ("horses", "A HORSE stood"),
            ("galloping", "they gallop"),
            ("happy", "Happiness"),
            ("happiness", "so happy"),
            ("city", "the Cities"),
            ("hoping", "a hope"),
            ("sensible", "Sensibility"),
            ("dying", "to die"),
            ("die", "dying"),
            ("o'clock", "at five O’Clock"),
            ("d’Artagnan", "and D'Artagnan"),
            ("ma'am", "Yes, Ma’am"),
            ("l’été", "L'ÉTÉ"),
            ("дом", "Жёлтый ДОМ"),
            ("京", "東京へ"),
            ("C++", "in C++"),
            ("3.14", "is 3.14"),
        ] {
            assert!(finds(query, text), "{query}: {:?}", words_of(query));
        }
        assert!(!finds("horse", "a seahorse"));
        assert!(!finds("3.14", "is 3714"));
    }

    #[test]
    fn every_word_of_a_novel_is_matched_by_the_pattern_of_its_term() {
        let novel = include_str!("../../../tests/it/data/alice.txt");
        let words: BTreeSet<&str> = novel.unicode_words().collect();
        assert!(words.len() > 1_000);
        for word in words {
            // Within a sentence, as in a text.
            assert!(finds(word, &format!("“{word}”")), "{word}: {:?}", words_of(word));
        }
    }

    #[test]
    fn long_queries_are_cut_and_words_come_once() {
        let query: Vec<_> = (0..100).map(|number| format!("word{number} Horses horse")).collect();
        assert_eq!(words_of(&query.join(" ")).len(), MOST_WORDS);
        assert_eq!(words_of("Horses horse").len(), 1);
        assert!(words_of("the of and — 🦊").is_empty());
    }

    proptest! {
        #[test]
        fn patterns_are_regular_expressions(query in any::<String>()) {
            for word in words_of(&query) {
                prop_assert!(Regex::new(&word.pattern).is_ok(), "{}", word.pattern);
            }
        }

        #[test]
        fn over_all_texts_it_is_the_bm25_of_the_lexicon(
            texts in proptest::collection::vec("(oak|key|sea|fog|inn| ){0,12}", 1..10),
        ) {
            let words = words_of("oak sea fog");
            let mut lexicon = Lexicon::default();
            for text in &texts {
                lexicon.push(terms(text));
            }
            let query: Vec<_> = words.iter().map(|word| word.term.clone()).collect();
            let found = lexicon.look_up(&query, texts.len());
            let (expected, most) = (found.scores(), found.most());
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let (scores, most_here) = bm25(&words, &[0, 0, 0], texts.len(), &texts);
            prop_assert!((most_here - most).abs() < 1e-4, "{} is not {}", most_here, most);
            for (score, expected) in scores.iter().zip(expected) {
                prop_assert!((score - expected).abs() < 1e-4, "{} is not {}", score, expected);
            }
        }
    }
}
