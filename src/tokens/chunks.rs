//! Cuts long texts where tokenizers cut them anyway. Byte-pair tokenizers first split a text into
//! words, each with the space before it, and merge only within a word; so tokenizing pieces that
//! begin at a word gives the same tokens. It keeps megabytes of text away from regular expressions
//! that recurse, and bounds a single "word" of any length. Pure.

/// Far above any word, far below what a recursive matcher's stack holds.
const CHUNK_BYTES: usize = 8 * 1024;

/// The text in pieces of at most 8 KiB, each but the first beginning at a word where there is one.
/// Joined, they are the text.
pub(crate) fn word_chunks(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let (chunk, rest) = text.split_at(chunk_length(text));
        text = rest;
        Some(chunk)
    })
}

fn chunk_length(text: &str) -> usize {
    if text.len() <= CHUNK_BYTES {
        return text.len();
    }
    let limit = text.floor_char_boundary(CHUNK_BYTES);
    let window = &text[..limit];
    word_start_after_newline(window).or_else(|| word_start_at_space(window)).unwrap_or(limit)
}

/// The last place where a letter follows a line's end: whitespace and word never share a token there.
fn word_start_after_newline(window: &str) -> Option<usize> {
    let from = window.floor_char_boundary(window.len() / 2);
    window[from..]
        .rmatch_indices('\n')
        .map(|(at, _)| from + at + 1)
        .find(|&at| window[at..].chars().next().is_some_and(char::is_alphabetic))
}

/// The last single space between two letters; the space goes with the word after it.
fn word_start_at_space(window: &str) -> Option<usize> {
    let from = window.floor_char_boundary(window.len() / 2);
    window[from..].rmatch_indices(' ').map(|(at, _)| from + at).find(|&at| {
        let before = window[..at].chars().next_back();
        let after = window[at + 1..].chars().next();
        before.is_some_and(char::is_alphabetic) && after.is_some_and(char::is_alphabetic)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tiktoken_rs::o200k_base_singleton;

    use super::*;

    proptest! {
        #[test]
        fn chunks_join_to_the_text(text in "[a-zé \n]{0,400}", repeat in 1_usize..100) {
            let text = text.repeat(repeat);
            let chunks: Vec<_> = word_chunks(&text).collect();
            prop_assert_eq!(chunks.concat(), text.as_str());
            prop_assert!(chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= CHUNK_BYTES));
        }
    }

    #[test]
    fn chunked_prose_has_the_tokens_of_the_whole() {
        let prose =
            "The rain had stopped, and Aria said: \"Now.\"\n\nShe didn't look back. ".repeat(2_000);
        let encoding = o200k_base_singleton();
        let chunked: usize = word_chunks(&prose).map(|chunk| encoding.count_ordinary(chunk)).sum();
        assert_eq!(chunked, encoding.count_ordinary(&prose));
    }

    #[test]
    fn a_word_without_end_is_cut_at_a_character() {
        let word = "é".repeat(10_000);
        assert_eq!(word_chunks(&word).collect::<String>(), word);
    }
}
