//! A document's beginning and end, where the whole is too long: cut where a paragraph, else a sentence,
//! else a word ends. Pure.

use std::ops::Range;

use crate::distil::sentences;

/// Of the characters there are, those of the beginning.
const HEAD: (usize, usize) = (3, 5);
/// How far back a border is looked for, as a share of the part.
const REACH: (usize, usize) = (3, 10);

/// Bytes of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub(super) head: Range<usize>,
    /// `None` where the head is the whole text.
    pub(super) tail: Option<Range<usize>>,
}

/// At most so many characters of a text.
pub(super) fn excerpt(text: &str, most: usize) -> Excerpt {
    if text.char_indices().nth(most).is_none() {
        return Excerpt { head: 0..text.len(), tail: None };
    }
    let for_head = most * HEAD.0 / HEAD.1;
    let first = text.char_indices().nth(for_head).map_or(text.len(), |(at, _)| at);
    let head = 0..end_of_head(&text[..first]);
    let from_end = (most - for_head).checked_sub(1);
    let last = from_end.and_then(|from_end| text.char_indices().nth_back(from_end));
    let last = last.map_or(text.len(), |(at, _)| at);
    let tail = last + start_of_tail(&text[last..]);
    let tail = (tail < text.len()).then_some(tail..text.len());
    Excerpt { head, tail }
}

fn end_of_head(head: &str) -> usize {
    let reach = head.ceil_char_boundary(head.len() - within_reach(head.len()));
    let seen = &head[reach..];
    let paragraph = seen.rfind("\n\n");
    let sentence = || sentences(seen).iter().rev().nth(1).map(|sentence| sentence.end);
    let word = || seen.rfind(char::is_whitespace);
    reach + paragraph.or_else(sentence).or_else(word).unwrap_or(seen.len())
}

fn start_of_tail(tail: &str) -> usize {
    let seen = &tail[..tail.floor_char_boundary(within_reach(tail.len()))];
    let paragraph = seen.find("\n\n").map(|at| at + 2);
    let sentence = || sentences(seen).get(1).map(|sentence| sentence.start);
    let word = || seen.find(char::is_whitespace).map(|at| at + 1);
    let start = paragraph.or_else(sentence).or_else(word);
    start.filter(|&at| tail.is_char_boundary(at)).unwrap_or(0)
}

fn within_reach(length: usize) -> usize {
    length * REACH.0 / REACH.1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end_in_whole_sentences() {
        let text =
            format!("It began here. {}It ended there.", "Rain fell on the town. ".repeat(50));
        let Excerpt { head, tail } = excerpt(&text, 400);
        let (head, tail) = (&text[head], &text[tail.unwrap()]);
        assert!(head.starts_with("It began here.") && head.ends_with("town."), "{head}");
        assert!(tail.starts_with("Rain") && tail.ends_with("It ended there."), "{tail}");
    }

    #[test]
    fn paragraphs_are_kept_whole_where_they_end_near() {
        let text = "One went out. Two came in.\n\n".repeat(20);
        let Excerpt { head, tail } = excerpt(&text, 200);
        assert!(text[head].ends_with("in."));
        assert!(text[tail.unwrap()].starts_with("One"));
    }

    proptest! {
        #[test]
        fn an_excerpt_keeps_to_its_length_and_to_the_text(
            text in "([a-zA-Z.!? é🦊\u{2003}]|\n\n){0,400}",
            most in 1_usize..300,
        ) {
            let Excerpt { head, tail } = excerpt(&text, most);
            prop_assert_eq!(head.start, 0);
            let head_text = text.get(head.clone()).unwrap();
            let tail_text = tail.clone().map_or("", |tail| text.get(tail).unwrap());
            prop_assert!(head_text.chars().count() + tail_text.chars().count() <= most);
            match tail {
                Some(tail) => prop_assert!(head.end <= tail.start && tail.end == text.len()),
                None => prop_assert!(head.end == text.len() || text.chars().count() > most),
            }
        }
    }
}
