//! Shortens a text to a number of tokens, ending (or beginning) where a sentence does. Pure.

use super::element::KeepEnd;
use crate::distil::whole_sentences;
use crate::tokens::{TokenCount, TokenCounter};

/// Sentences are looked for this many bytes at a time, so that no text, however odd, takes longer
/// than its length deserves; one that is longer counts as having no end.
const LONGEST_SENTENCE: usize = 4 * 1024;

/// The longest run of whole sentences at the given end that takes at most `limit` tokens, and what
/// it takes. `None` if not even one sentence fits.
pub(super) fn cut(
    text: &str,
    limit: TokenCount,
    keep: KeepEnd,
    counter: &dyn TokenCounter,
) -> Option<(String, TokenCount)> {
    let mut sentences = fitting_sentences(text, limit, keep, counter);
    // Sentences counted together can take some tokens more than counted one by one.
    while !sentences.is_empty() {
        let joined = match keep {
            KeepEnd::Start => sentences.concat(),
            KeepEnd::End => sentences.iter().rev().copied().collect(),
        };
        let joined = joined.trim();
        if joined.is_empty() {
            return None;
        }
        let tokens = counter.count(joined);
        if tokens <= limit {
            return Some((joined.to_owned(), tokens));
        }
        let share = limit.get() as f64 / tokens.get() as f64;
        let fewer = TokenCount::new(sentences.len()).scaled(share).get();
        sentences.truncate(fewer.min(sentences.len() - 1));
    }
    None
}

/// Whole sentences from the kept end on, as far as `limit` tokens reach.
fn fitting_sentences<'a>(
    text: &'a str,
    limit: TokenCount,
    keep: KeepEnd,
    counter: &dyn TokenCounter,
) -> Vec<&'a str> {
    let mut rest = text;
    let mut used = TokenCount::ZERO;
    let mut fitting = Vec::new();
    loop {
        let found = match keep {
            KeepEnd::Start => first_sentences(rest),
            KeepEnd::End => last_sentences(rest),
        };
        if found.is_empty() {
            return fitting;
        }
        for sentence in found {
            used += counter.count(sentence);
            if used > limit {
                return fitting;
            }
            rest = match keep {
                KeepEnd::Start => &rest[sentence.len()..],
                KeepEnd::End => &rest[..rest.len() - sentence.len()],
            };
            fitting.push(sentence);
        }
    }
}

/// Sentences that surely end within reach of the start, first one first.
fn first_sentences(text: &str) -> Vec<&str> {
    let seen = &text[..text.floor_char_boundary(LONGEST_SENTENCE)];
    let mut sentences = whole_sentences(seen);
    if seen.len() < text.len() {
        sentences.pop(); // It may go on beyond what was looked at.
    }
    sentences
}

/// Sentences that surely begin within reach of the end, last one first.
fn last_sentences(text: &str) -> Vec<&str> {
    let from = text.ceil_char_boundary(text.len().saturating_sub(LONGEST_SENTENCE));
    let mut sentences = whole_sentences(&text[from..]);
    sentences.reverse();
    if from > 0 {
        sentences.pop(); // It may have begun before.
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::Estimate;

    const TEXT: &str = "Rain fell. Aria ran to the gate. Nobody was there.";

    fn shortened(limit: usize, keep: KeepEnd) -> Option<String> {
        cut(TEXT, TokenCount::new(limit), keep, &Estimate).map(|(text, _)| text)
    }

    #[test]
    fn the_start_is_kept_to_a_sentence_end() {
        assert_eq!(shortened(9, KeepEnd::Start).unwrap(), "Rain fell. Aria ran to the gate.");
    }

    #[test]
    fn the_end_is_kept_from_a_sentence_start() {
        assert_eq!(shortened(6, KeepEnd::End).unwrap(), "Nobody was there.");
    }

    #[test]
    fn a_line_that_was_wrapped_ends_no_sentence_and_an_entry_does() {
        let wrapped = "The storm came up from the sea and the harbour lights went\n\
                       out one by one. Aria ran to the gate while the wind kept\n\
                       beating on the windows of the house.\n\nNobody was there.";
        let cut = |text, limit, keep| {
            cut(text, TokenCount::new(limit), keep, &Estimate).map(|(text, _)| text)
        };
        let first = "The storm came up from the sea and the harbour lights went\nout one by one.";
        assert_eq!(cut(wrapped, 30, KeepEnd::Start).unwrap(), first);
        assert_eq!(cut(wrapped, 12, KeepEnd::End).unwrap(), "Nobody was there.");
        let entries = "Name: Aria\nTrade: a smith\nWants: to know who wrote the letter\n";
        assert_eq!(cut(entries, 9, KeepEnd::Start).unwrap(), "Name: Aria\nTrade: a smith");
    }

    #[test]
    fn nothing_is_left_where_no_sentence_fits() {
        assert_eq!(shortened(1, KeepEnd::Start), None);
    }

    #[test]
    fn long_texts_are_cut_to_nearly_the_limit_at_either_end() {
        let text = "Rain fell on the town.\n\nNobody spoke, not even Tom. ".repeat(4_000);
        for keep in [KeepEnd::Start, KeepEnd::End] {
            let (cut, tokens) = cut(&text, TokenCount::new(5_000), keep, &Estimate).unwrap();
            assert!(tokens.get() <= 5_000 && tokens.get() > 4_000, "{tokens}");
            assert!(text.contains(&cut));
        }
    }

    #[test]
    fn odd_texts_take_no_longer_than_others() {
        let limit = TokenCount::new(30_000);
        for odd in ["\n", " ", "()", "\"'"] {
            let text = format!("A.{}B.", odd.repeat(300_000));
            let _ = cut(&text, limit, KeepEnd::Start, &Estimate);
            let _ = cut(&text, limit, KeepEnd::End, &Estimate);
        }
    }

    #[test]
    fn a_megabyte_without_a_full_stop_is_refused_quickly() {
        let text = "word ".repeat(200_000);
        assert_eq!(cut(&text, TokenCount::new(50), KeepEnd::Start, &Estimate), None);
    }
}
