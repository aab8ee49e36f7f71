//! Cuts a document into chunks that overlap, at paragraphs, then at sentences, then at words. Every
//! byte of the text lies in a chunk, in order, so that joining them gives it back. Pure.
//!
//! The splitter looks at all that is left of a text for every chunk, so it is given windows: the last
//! chunk of a window, which its end has cut, is where the next one begins.

use std::ops::Range;

use text_splitter::{Characters, ChunkConfig, TextSplitter};

use super::document::Chunk;
use super::sentences::without_endless_marks;

/// A window has so many bytes for each character of a chunk: two of the longest chunks at least, of
/// four bytes a character. A text without words or lines costs its length times this.
const WINDOW_FACTOR: usize = 8;

/// A line of so many characters is long enough to have been broken to fit a page.
const FULL_LINE_CHARACTERS: usize = 50;

/// Longest heading in characters.
const HEADING_CHARACTERS: usize = 60;

/// Most blank lines between a heading and what it is the heading of; in a row of more of them only
/// these are seen.
const MOST_BLANK_LINES: usize = 4;

/// How large chunks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSize {
    /// Longest chunk in characters. One that has taken in white space may have twice as many.
    pub characters: usize,
    /// Most characters that a chunk repeats of the one before; less than half of a chunk.
    pub overlap: usize,
}

/// A document's chunks; none for an empty text. A text that fits is one chunk.
pub fn chunks(text: &str, size: ChunkSize) -> Vec<Chunk> {
    let pieces = with_white_space_attached(text, pieces(text, size), size);
    let mut chunks = Vec::with_capacity(pieces.len());
    let (mut byte, mut character) = (0, 0);
    for (index, piece) in pieces.into_iter().enumerate() {
        character += text[byte..piece.start].chars().count();
        byte = piece.start;
        chunks.push(Chunk {
            index,
            text: text[piece].to_owned(),
            byte_start: byte,
            char_start: character,
        });
    }
    chunks
}

/// Where the chunks lie, in bytes: each begins after the one before begins, at its end or earlier,
/// and ends after it.
fn pieces(text: &str, size: ChunkSize) -> Vec<Range<usize>> {
    let characters = size.characters.max(1);
    let overlap = size.overlap.min((characters - 1) / 2);
    let config = || ChunkConfig::new(characters).with_trim(false);
    // The overlap is less than a chunk, so this can't fail; without one the text is still cut.
    let config = config().with_overlap(overlap).unwrap_or_else(|_| config());
    let splitter = TextSplitter::new(config);
    let window_bytes = characters.saturating_mul(WINDOW_FACTOR).max(WINDOW_FACTOR);
    let flowing = without_endless_marks(with_lines_joined(text));

    let mut pieces: Vec<Range<usize>> = Vec::new();
    let mut from = 0;
    while from < text.len() {
        let to = text.floor_char_boundary(from.saturating_add(window_bytes));
        let found = in_window(&splitter, &flowing, from..to);
        let is_last = to == text.len();
        let whole = if is_last { found.len() } else { found.len().saturating_sub(1).max(1) };
        let next = if is_last { to } else { found.get(whole).map_or(to, |cut| cut.start) };
        for piece in found.into_iter().take(whole) {
            // The first of a window may lie within the overlap it began with.
            if pieces.last().is_none_or(|last| piece.end > last.end) {
                pieces.push(piece);
            }
        }
        from = next.max(from + 1);
    }
    pieces
}

fn in_window(
    splitter: &TextSplitter<Characters>,
    text: &str,
    window: Range<usize>,
) -> Vec<Range<usize>> {
    let from = window.start;
    let found = splitter.chunk_indices(&text[window]);
    found.map(|(start, piece)| from + start..from + start + piece.len()).collect()
}

/// The text as the splitter sees it, of the same length: where a line was broken in the middle of a
/// sentence to fit a page there is a space, so that no chunk ends there for the line's sake. The
/// line ends after a heading are spaces, too, so that it is no chunk of its own.
fn with_lines_joined(text: &str) -> String {
    let mut flowing = String::with_capacity(text.len());
    let mut lines = text.split_inclusive('\n').peekable();
    let mut blank_lines = 1;
    while let Some(line) = lines.next() {
        let words = line.trim_end();
        let is_heading = blank_lines > 0 && is_heading(words);
        let goes_on = lines.peek().is_some_and(|next| goes_on(words, next));
        blank_lines = if words.is_empty() { blank_lines + 1 } else { 0 };
        // The splitter is slow where a text is nothing but line ends.
        if !is_heading && !goes_on && blank_lines <= MOST_BLANK_LINES {
            flowing.push_str(line);
            continue;
        }
        push_without_end(&mut flowing, line);
        let blank = |line: &&str| line.trim().is_empty();
        for _ in 0..if is_heading { MOST_BLANK_LINES } else { 0 } {
            let Some(gap) = lines.next_if(blank) else { break };
            push_without_end(&mut flowing, gap);
            blank_lines += 1;
        }
    }
    flowing
}

fn push_without_end(flowing: &mut String, line: &str) {
    match line.strip_suffix('\n') {
        Some(words) => {
            flowing.push_str(words);
            flowing.push(' ');
        }
        None => flowing.push_str(line),
    }
}

/// Whether a line that follows a blank one is short and no sentence.
fn is_heading(words: &str) -> bool {
    !words.is_empty()
        && !words.ends_with(ends_sentence)
        && words.chars().take(HEADING_CHARACTERS + 1).count() <= HEADING_CHARACTERS
}

/// Whether a sentence goes from one line over to the next.
fn goes_on(words: &str, next: &str) -> bool {
    let Some(first) = next.chars().next().filter(|letter| !letter.is_whitespace()) else {
        return false;
    };
    !words.is_empty()
        && !words.ends_with(ends_sentence)
        && (first.is_lowercase() || words.chars().count() >= FULL_LINE_CHARACTERS)
}

fn ends_sentence(letter: char) -> bool {
    matches!(letter, '.' | '!' | '?' | '…' | ':' | '"' | '”' | '»')
}

/// Gives white space that would be a chunk of its own to the chunk before it, or after it at the
/// beginning; what would double a chunk stays alone.
fn with_white_space_attached(
    text: &str,
    pieces: Vec<Range<usize>>,
    size: ChunkSize,
) -> Vec<Range<usize>> {
    let longest = size.characters.saturating_mul(2);
    let fits = |start: usize, end: usize| text[start..end].chars().count() <= longest;
    let is_blank = |piece: &Range<usize>| text[piece.clone()].trim().is_empty();
    let mut kept: Vec<Range<usize>> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match kept.last_mut() {
            Some(last) if (is_blank(&piece) || is_blank(last)) && fits(last.start, piece.end) => {
                last.end = piece.end;
            }
            _ => kept.push(piece),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::document::joined;
    use super::*;

    const USUAL: ChunkSize = ChunkSize { characters: 1_000, overlap: 200 };

    fn check(text: &str, size: ChunkSize) -> Result<Vec<Chunk>, TestCaseError> {
        let chunks = chunks(text, size);
        prop_assert_eq!(joined(&chunks), text);
        for (index, chunk) in chunks.iter().enumerate() {
            prop_assert_eq!(chunk.index, index);
            prop_assert!(!chunk.text.is_empty());
            prop_assert!(chunk.text.chars().count() <= 2 * size.characters);
            prop_assert_eq!(&text[chunk.bytes()], &chunk.text);
            prop_assert_eq!(text[..chunk.byte_start].chars().count(), chunk.char_start);
        }
        for pair in chunks.windows(2) {
            prop_assert!(pair[0].byte_start < pair[1].byte_start);
            prop_assert!(pair[1].byte_start <= pair[0].bytes().end);
            prop_assert!(pair[0].bytes().end < pair[1].bytes().end);
        }
        Ok(chunks)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn joined_chunks_are_the_text(
            words in prop::collection::vec("[a-zA-Zéß夢🦀 .!?\n]{1,30}|\n{1,9}| {1,9}|\\PC{1,9}", 0..200),
            repeat in 1_usize..12,
            characters in 200_usize..2_000,
            overlap in 0_usize..100,
        ) {
            check(&words.concat().repeat(repeat), ChunkSize { characters, overlap })?;
        }

        #[test]
        fn texts_of_one_kind_of_letter_are_cut(
            letter in prop::sample::select(vec!["a", "é", "夢", "🦀", "\n", " ", "\u{301}", "e\u{301}", "\u{200d}", ")", ".", ". ", ".)) "]),
            repeat in 0_usize..70_000,
            characters in 200_usize..2_000,
        ) {
            check(&letter.repeat(repeat), ChunkSize { characters, overlap: characters / 5 })?;
        }
    }

    #[test]
    fn a_long_row_of_marks_costs_its_length() {
        for mark in ["(", " ", "”", ")\u{301}"] {
            let text = format!(".{}", mark.repeat(8_000)).repeat(6);
            check(&text, USUAL).unwrap();
        }
    }

    #[test]
    fn a_text_that_fits_is_one_chunk() {
        let text = "One.\n\nTwo.\n\n\n\n";
        let chunks = chunks(text, USUAL);
        assert_eq!(chunks.len(), 1);
        assert_eq!(chunks[0].text, text);
    }

    #[test]
    fn chunks_end_with_paragraphs_or_sentences_and_overlap() {
        let sentence = "The tide went out before the lamps were lit,\nand nobody saw it go. ";
        let text = format!("{}\n\n", sentence.repeat(12).trim_end()).repeat(200);
        let chunks = chunks(&text, USUAL);
        for pair in chunks.windows(2) {
            assert!(pair[0].text.trim_end().ends_with("go."), "{:?}", pair[0].text);
            assert!(pair[1].byte_start < pair[0].bytes().end, "no overlap");
        }
    }

    #[test]
    fn a_heading_stays_with_what_follows() {
        let paragraph = "The tide went out before the lamps were lit. ".repeat(30);
        let text = format!("Chapter 2\n{paragraph}\n\n\n\nCHAPTER III\n\n\n{paragraph}");
        let chunks = chunks(&text, USUAL);
        for heading in ["Chapter 2\n", "CHAPTER III\n\n\n"] {
            let whole = format!("{heading}The tide");
            assert!(chunks.iter().any(|chunk| chunk.text.contains(&whole)), "{heading}");
        }
    }

    #[test]
    fn white_space_is_no_chunk_of_its_own() {
        let text = format!("{}The end.{}", "\n".repeat(600), "\n".repeat(1_200));
        let chunks = chunks(&text, USUAL);
        assert!(chunks.iter().all(|chunk| !chunk.text.trim().is_empty()), "{chunks:?}");
        assert_eq!(joined(&chunks), text);
    }
}
