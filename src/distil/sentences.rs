//! Where sentences and clauses begin and end, as bytes of the text. Pure, and no slower on odd texts
//! than on others: Unicode's rules see a few kilobytes at a time.
//!
//! Unicode ends a sentence at every line and after every exclamation mark. Here a line that was merely
//! wrapped goes on, and so does `'Stop!' said the king`.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// Bytes that Unicode's rules see at a time.
const WINDOW: usize = 4 * 1024;
/// Bytes of the longest sentence; what is longer is cut at a clause or a word.
const LONGEST: usize = 800;
/// Characters of a line that was ended because it was full, not because the author wanted it.
const FULL_LINE: usize = 45;
/// Bytes of the shortest clause.
const SHORTEST_CLAUSE: usize = 20;

const QUOTES_AND_BRACKETS: [char; 15] =
    ['\'', '"', '‘', '’', '“', '”', '«', '»', '(', ')', '[', ']', '_', '*', '`'];
const TITLES: [&str; 14] = [
    "mr", "mrs", "ms", "dr", "st", "prof", "capt", "col", "gen", "lt", "sgt", "rev", "hon",
    "messrs",
];

/// The sentences in order, without the white space around them. Nothing but white space lies between.
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut sentences = Vec::new();
    let mut current: Option<Range<usize>> = None;
    let mut paragraph_ended = false;
    for piece in pieces(text) {
        if text[piece.clone()].trim().is_empty() {
            paragraph_ended |= text[piece].contains('\n');
            continue;
        }
        current = match current.take() {
            Some(open)
                if !paragraph_ended
                    && piece.end - open.start <= LONGEST
                    && goes_on(&text[open.clone()], &text[piece.clone()]) =>
            {
                Some(open.start..piece.end)
            }
            Some(finished) => {
                push(text, finished, &mut sentences);
                Some(piece)
            }
            None => Some(piece),
        };
        paragraph_ended = false;
    }
    if let Some(last) = current {
        push(text, last, &mut sentences);
    }
    sentences
}

/// The text in its sentences, however long, each with the white space after it: together they are the
/// text.
pub fn whole_sentences(text: &str) -> Vec<&str> {
    let mut whole: Vec<Range<usize>> = Vec::new();
    for piece in pieces(text) {
        match whole.last_mut() {
            Some(open) if belongs(&text[open.clone()], &text[piece.clone()]) => {
                open.end = piece.end;
            }
            _ => whole.push(piece),
        }
    }
    whole.into_iter().map(|sentence| &text[sentence]).collect()
}

fn belongs(open: &str, next: &str) -> bool {
    let after = &open[open.trim_end().len()..];
    let paragraph_ended = after.bytes().filter(|&byte| byte == b'\n').count() > 1;
    next.trim().is_empty() || (!paragraph_ended && goes_on(open, next))
}

/// What Unicode takes for sentences, each with the white space after it.
fn pieces(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    let mut waiting = Vec::new().into_iter();
    std::iter::from_fn(move || {
        loop {
            if let Some(piece) = waiting.next() {
                return Some(piece);
            }
            if from == text.len() {
                return None;
            }
            let to = text.floor_char_boundary(from + WINDOW);
            let mut found: Vec<_> = text[from..to]
                .split_sentence_bound_indices()
                .map(|(at, piece)| from + at..from + at + piece.len())
                .collect();
            if to < text.len() && found.len() > 1 {
                found.pop(); // It may go on beyond what was looked at.
            }
            from = found.last().map_or(to, |last| last.end);
            waiting = found.into_iter();
        }
    })
}

/// Whether `next` belongs to the sentence that `open` began.
fn goes_on(open: &str, next: &str) -> bool {
    let said = open.trim_end();
    let ended = said.trim_end_matches(QUOTES_AND_BRACKETS).ends_with(['.', '!', '?', '…', '。']);
    let next_word = next.trim_start().trim_start_matches(QUOTES_AND_BRACKETS);
    let lower_case = next_word.chars().next().is_some_and(char::is_lowercase);
    if ended {
        return lower_case || abbreviated(said);
    }
    let line = said.rsplit('\n').next().unwrap_or(said);
    let was_full = line.chars().nth(FULL_LINE).is_some();
    !opens_an_entry(next) && (lower_case || was_full)
}

/// Whether the full stop is that of a title or an initial.
fn abbreviated(said: &str) -> bool {
    let Some(word) = said.strip_suffix('.').and_then(|said| {
        said.rsplit(|c: char| c.is_whitespace() || QUOTES_AND_BRACKETS.contains(&c)).next()
    }) else {
        return false;
    };
    let mut letters = word.chars();
    let initial = letters.next().is_some_and(char::is_uppercase) && letters.next().is_none();
    (initial && word != "I") || TITLES.iter().any(|title| title.eq_ignore_ascii_case(word))
}

/// Whether a line is an entry of a list or a heading.
pub(super) fn opens_an_entry(line: &str) -> bool {
    let line = line.trim_start();
    let after_number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    line.starts_with(['-', '*', '•', '#', '–'])
        || (after_number.len() < line.len() && after_number.starts_with(['.', ')']))
}

fn push(text: &str, sentence: Range<usize>, sentences: &mut Vec<Range<usize>>) {
    let mut rest = trimmed(text, sentence);
    while rest.len() > LONGEST {
        let cut = rest.start + border(&text[rest.clone()]);
        sentences.push(trimmed(text, rest.start..cut));
        rest = trimmed(text, cut..rest.end);
    }
    if !rest.is_empty() {
        sentences.push(rest);
    }
}

/// Where to cut a sentence that is too long: behind a clause, else behind a word, else anywhere.
fn border(sentence: &str) -> usize {
    let seen = &sentence[..sentence.floor_char_boundary(LONGEST)];
    let from = seen.floor_char_boundary(LONGEST / 2);
    let last = |found: fn(char) -> bool| {
        let mut spaces = seen[from..].match_indices(char::is_whitespace).map(|(at, _)| from + at);
        spaces.rfind(|&at| seen[..at].chars().next_back().is_some_and(found))
    };
    last(|c| ENDS_OF_CLAUSES.contains(&c)).or_else(|| last(|_| true)).unwrap_or(seen.len())
}

pub(super) const ENDS_OF_CLAUSES: [char; 6] = [',', ';', ':', '—', '–', '-'];

/// The clauses of a sentence, without the marks that part them.
pub(super) fn clauses(text: &str, sentence: Range<usize>) -> Vec<Range<usize>> {
    let mut clauses: Vec<Range<usize>> = Vec::new();
    let mut start = sentence.start;
    let spaces = text[sentence.clone()].match_indices(char::is_whitespace);
    let ends = spaces.map(|(at, _)| sentence.start + at).chain([sentence.end]);
    for end in ends {
        let clause = &text[start..end];
        if end < sentence.end
            && (clause.len() < SHORTEST_CLAUSE || !clause.ends_with(ENDS_OF_CLAUSES))
        {
            continue;
        }
        let trimmed_clause = trimmed(text, start..end);
        let bare = text[trimmed_clause.clone()].trim_end_matches(ENDS_OF_CLAUSES);
        if !bare.is_empty() {
            clauses.push(trimmed_clause.start..trimmed_clause.start + bare.len());
        }
        start = end;
    }
    clauses
}

/// The longest beginning of whole words that `fits`, found in few tries.
pub(super) fn words_that_fit(text: &str, fits: impl Fn(&str) -> bool) -> &str {
    let spaces = text.match_indices(char::is_whitespace).map(|(at, _)| at);
    let ends: Vec<usize> = spaces.chain([text.len()]).collect();
    let count = ends.partition_point(|&end| fits(text[..end].trim_end()));
    count.checked_sub(1).map_or("", |last| text[..ends[last]].trim_end())
}

pub(super) fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let slice = &text[range.clone()];
    let start = range.start + (slice.len() - slice.trim_start().len());
    start..start + slice.trim().len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn a_wrapped_line_goes_on_and_a_list_does_not() {
        let wrapped = "Alice was beginning to get very tired of sitting by\nAlfred. She slept.";
        assert_eq!(split(wrapped).len(), 2);
        assert_eq!(split("Rules:\n- Be brief\n- Be kind").len(), 3);
        assert_eq!(split("Of the Queen\n\nShe was loud").len(), 2);
    }

    #[test]
    fn who_said_it_stays_with_what_was_said() {
        assert_eq!(
            split("'Off with her head!' said the Queen. Nobody moved. 'Why?' Alice asked."),
            ["'Off with her head!' said the Queen.", "Nobody moved.", "'Why?'", "Alice asked."]
        );
    }

    #[test]
    fn titles_and_initials_end_no_sentence() {
        assert_eq!(
            split("Mr. Smith met J. Brown. It rained."),
            ["Mr. Smith met J. Brown.", "It rained."]
        );
    }

    #[test]
    fn clauses_are_parted_at_their_marks() {
        let text = "The old king, who was nearly ninety, slept; the guards of the gate did not.";
        let clauses: Vec<_> = clauses(text, 0..text.len()).into_iter().map(|r| &text[r]).collect();
        assert_eq!(
            clauses,
            ["The old king, who was nearly ninety", "slept; the guards of the gate did not."]
        );
    }

    #[test]
    fn the_longest_beginning_is_found() {
        assert_eq!(words_that_fit("one two three", |text| text.len() <= 8), "one two");
        assert_eq!(words_that_fit("one two three", |_| true), "one two three");
        assert_eq!(words_that_fit("one", |_| false), "");
    }

    proptest! {
        #[test]
        fn nothing_but_white_space_lies_between_sentences(
            text in "([a-zA-Z.!?',;\\-é\u{1F98A}\u{200D}\u{301} \n]|\\PC){0,200}",
            repeat in 1_usize..40,
        ) {
            let text = text.repeat(repeat);
            let mut end = 0;
            for sentence in sentences(&text) {
                prop_assert!(text[end..sentence.start].trim().is_empty());
                prop_assert!(!sentence.is_empty() && sentence.len() <= LONGEST);
                for clause in clauses(&text, sentence.clone()) {
                    prop_assert!(sentence.start <= clause.start && clause.end <= sentence.end);
                    prop_assert!(!text[clause].is_empty());
                }
                end = sentence.end;
            }
            prop_assert!(text[end..].trim().is_empty());
        }
    }
}
