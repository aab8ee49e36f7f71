//! The numbers in an answer that lead to its sources: read, put in one form, and those that lead nowhere
//! taken out. Pure.

use std::fmt::Write as _;
use std::ops::Range;

/// A number in brackets is a citation up to this; beyond it, a year perhaps.
const LARGEST: usize = 99;
/// Words that models put before the number.
const LABELS: [&str; 4] = ["sources", "source", "passages", "passage"];
const BRACKETS: [(char, char); 2] = [('[', ']'), ('【', '】')];

/// An answer without its citations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bare {
    pub(super) text: String,
    /// Where the citations stood, in bytes of `text`, in order; with the numbers that exist.
    pub(super) cited: Vec<(usize, Vec<usize>)>,
}

/// Takes the citations out. Only numbers that `exists` knows are kept.
pub(super) fn without_citations(answer: &str, exists: impl Fn(usize) -> bool) -> Bare {
    let mut bare = Bare::default();
    let mut from = 0;
    while let Some((place, numbers)) = next_citation(answer, from) {
        bare.text.push_str(&answer[from..place.start]);
        let spaces = bare.text.len() - bare.text.trim_end_matches(' ').len();
        let rest = &answer[place.end..];
        // "gone [1]." and "gone [1] and" without the mark are "gone." and "gone and".
        if rest.is_empty() || rest.starts_with(|c: char| !c.is_alphanumeric()) {
            bare.text.truncate(bare.text.len() - spaces);
        }
        let mut known: Vec<usize> = Vec::new();
        for number in numbers {
            if exists(number) && !known.contains(&number) {
                known.push(number);
            }
        }
        if !known.is_empty() {
            bare.cited.push((bare.text.len(), known));
        }
        from = place.end;
    }
    bare.text.push_str(&answer[from..]);
    bare
}

/// The next place from this byte on that is a citation, and its numbers.
fn next_citation(text: &str, from: usize) -> Option<(Range<usize>, Vec<usize>)> {
    let opens = |c: char| BRACKETS.iter().find(|(open, _)| *open == c);
    let mut places = text[from..].char_indices();
    places.find_map(|(at, c)| {
        let (open, close) = opens(c)?;
        let start = from + at;
        let inside = &text[start + open.len_utf8()..];
        // A citation is short; a bracket that never closes must not be looked for again and again.
        let seen = &inside[..inside.floor_char_boundary(80)];
        let end = seen.find(*close)?;
        let numbers = numbers(&inside[..end])?;
        let length = open.len_utf8() + end + close.len_utf8();
        Some((start..start + length, numbers))
    })
}

/// The numbers of "1", "1, 2", "2-4", "Source 3"; `None` if it is anything else.
fn numbers(inside: &str) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    for part in inside.split([',', ';', '&']) {
        let part = unlabelled(part);
        let (first, last) = part.split_once(['-', '–']).unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

fn unlabelled(part: &str) -> &str {
    let part = part.trim();
    let lower = part.to_ascii_lowercase();
    let label = LABELS.iter().find(|label| lower.starts_with(*label));
    part[label.map_or(0, |label| label.len())..].trim_start().trim_start_matches('#')
}

fn number(text: &str) -> Option<usize> {
    let text = unlabelled(text);
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && (1..=LARGEST).contains(number))
}

/// As it stands in an answer.
pub(super) fn mark(numbers: &[usize]) -> String {
    numbers.iter().fold(String::new(), |mut marks, number| {
        // Writing into a String cannot fail.
        let _ = write!(marks, "[{number}]");
        marks
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn up_to_three(answer: &str) -> Bare {
        without_citations(answer, |number| number <= 3)
    }

    #[test]
    fn citations_are_read_in_every_form_models_write() {
        for (answer, text, numbers) in [
            ("He left [1].", "He left.", &[&[1][..]][..]),
            ("He left. [1] She stayed [2, 3].", "He left. She stayed.", &[&[1], &[2, 3]]),
            ("He left [1][2].", "He left.", &[&[1], &[2]]),
            ("He left【1】.", "He left.", &[&[1]]),
            (
                "He left [Source 2], she [passages 1 and 2]",
                "He left, she [passages 1 and 2]",
                &[&[2]],
            ),
            ("He left [1-3].", "He left.", &[&[1, 2, 3]]),
            ("In [1818] he left [7] for [2; 9] good", "In [1818] he left for good", &[&[2]]),
            ("He [laughing] left", "He [laughing] left", &[]),
            ("[1] He left", " He left", &[&[1]]),
        ] {
            let bare = up_to_three(answer);
            assert_eq!(bare.text, text, "{answer}");
            let read: Vec<_> = bare.cited.iter().map(|(_, numbers)| &numbers[..]).collect();
            assert_eq!(read, numbers, "{answer}");
        }
    }

    proptest! {
        #[test]
        fn what_is_cited_exists_and_stands_in_the_text(
            answer in "(\\[|\\]|【|】|[0-9,; -]|source|[a-z.]|\\PC){0,80}",
        ) {
            let bare = up_to_three(&answer);
            let mut end = 0;
            for (at, numbers) in &bare.cited {
                prop_assert!(bare.text.is_char_boundary(*at) && *at >= end);
                prop_assert!(!numbers.is_empty() && numbers.iter().all(|it| (1..=3).contains(it)));
                end = *at;
            }
        }

        #[test]
        fn a_text_without_brackets_stays_as_it_is(answer in "[^\\[【]{0,80}") {
            prop_assert_eq!(up_to_three(&answer), Bare { text: answer, cited: Vec::new() });
        }
    }
}
