//! Shortens a text to a number of tokens, ending (or beginning) where a sentence does. Pure.

use unicode_segmentation::UnicodeSegmentation;

use super::element::KeepEnd;
use crate::tokens::{TokenCount, TokenCounter};

/// No tokenizer's tokens average more bytes than this over prose, so looking at `limit` times as
/// many bytes is looking far enough, however long the text is.
const MOST_BYTES_A_TOKEN: usize = 16;

/// The longest run of whole sentences at the given end that takes at most `limit` tokens, and what
/// it takes. `None` if not even one sentence fits.
pub(super) fn cut(
    text: &str,
    limit: TokenCount,
    keep: KeepEnd,
    counter: &dyn TokenCounter,
) -> Option<(String, TokenCount)> {
    let reach = limit.get().saturating_mul(MOST_BYTES_A_TOKEN);
    let sentences: Vec<&str> = match keep {
        KeepEnd::Start => {
            let seen = &text[..text.floor_char_boundary(reach)];
            let mut sentences: Vec<_> = seen.split_sentence_bounds().collect();
            if seen.len() < text.len() {
                sentences.pop(); // It may go on beyond what was looked at.
            }
            sentences
        }
        KeepEnd::End => {
            let from = text.ceil_char_boundary(text.len().saturating_sub(reach));
            let mut sentences: Vec<_> = text[from..].split_sentence_bounds().collect();
            if from > 0 && !sentences.is_empty() {
                sentences.remove(0); // It may have begun before.
            }
            sentences.reverse();
            sentences
        }
    };
    let mut taken = take_while_fitting(&sentences, limit, counter);
    // Sentences counted together can take a token more than counted one by one.
    while taken > 0 {
        let mut kept: Vec<&str> = sentences[..taken].to_vec();
        if keep == KeepEnd::End {
            kept.reverse();
        }
        let joined = kept.concat().trim().to_owned();
        let tokens = counter.count(&joined);
        if !joined.is_empty() && tokens <= limit {
            return Some((joined, tokens));
        }
        taken -= 1;
    }
    None
}

fn take_while_fitting(sentences: &[&str], limit: TokenCount, counter: &dyn TokenCounter) -> usize {
    let mut used = TokenCount::ZERO;
    sentences
        .iter()
        .take_while(|sentence| {
            used += counter.count(sentence.trim());
            used <= limit
        })
        .count()
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
    fn nothing_is_left_where_no_sentence_fits() {
        assert_eq!(shortened(1, KeepEnd::Start), None);
    }

    #[test]
    fn a_megabyte_without_a_full_stop_is_refused_quickly() {
        let text = "word ".repeat(200_000);
        assert_eq!(cut(&text, TokenCount::new(50), KeepEnd::Start, &Estimate), None);
    }
}
