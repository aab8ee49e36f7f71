//! Plain text, as it is; lines such as "CHAPTER I." that stand alone are where its sections begin.
//! Better no section than a wrong one.

use serde_json::{Map, Value};

use super::super::document::Section;
use super::sections::{self, Sections};

/// Longest line that is a heading, in characters.
const HEADING_CHARACTERS: usize = 80;

/// Most headings with nothing between them that are not a table of contents.
const HEADINGS_IN_A_ROW: usize = 2;

/// Most headings that are looked at; a table of contents may name all of them once more.
const MOST_LOOKED_AT: usize = 2 * sections::MOST;

/// Characters in which a Project Gutenberg text says what it is.
const PREAMBLE_LINES: usize = 60;

const PARTS: [&str; 8] = ["chapter", "letter", "book", "part", "volume", "canto", "act", "scene"];

/// Headings that need no number.
const ALONE: [&str; 2] = ["prologue", "epilogue"];

const NUMBERS: [&str; 31] = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "last",
];

/// A line that may begin a section.
struct Heading {
    title: String,
    /// The kind of part and its number, to tell one chapter from another.
    part: String,
    number: String,
    char_start: usize,
    /// Whether another one follows and nothing is between them.
    is_followed: bool,
}

/// A text's chapters, letters and other parts.
pub(super) fn sections(text: &str) -> Vec<Section> {
    let mut headings: Vec<Heading> = Vec::new();
    let mut lines = text.split('\n').peekable();
    let (mut char_start, mut follows_blank, mut has_text) = (0, true, true);
    while let Some(line) = lines.next() {
        let found = if follows_blank { heading(line) } else { None };
        let rest = lines.clone();
        if let Some((mut found, is_bare)) = found
            && let Some(subtitle) = stands_alone(rest, is_bare)
        {
            if let Some(last) = headings.last_mut().filter(|_| !has_text) {
                last.is_followed = true;
            }
            found.char_start = char_start;
            if let Some(subtitle) = subtitle {
                found.title = format!("{} {subtitle}", found.title);
                char_start += line.chars().count() + 1;
                // It was looked at already.
                let subtitle = lines.next().unwrap_or_default();
                char_start += subtitle.chars().count() + 1;
            } else {
                char_start += line.chars().count() + 1;
            }
            headings.push(found);
            if headings.len() == MOST_LOOKED_AT {
                break;
            }
            (follows_blank, has_text) = (false, false);
            continue;
        }
        follows_blank = line.trim().is_empty();
        has_text |= !follows_blank;
        char_start += line.chars().count() + 1;
    }
    without_contents(&headings)
}

/// A heading of that line, and whether it is nothing but a number.
fn heading(line: &str) -> Option<(Heading, bool)> {
    if line.len() > 4 * HEADING_CHARACTERS || line.chars().count() > HEADING_CHARACTERS {
        return None;
    }
    let title = line.trim().trim_matches(['_', '*', '=']).trim();
    let (part, rest) = title.split_once(' ').unwrap_or((title, ""));
    if !part.starts_with(char::is_uppercase) {
        return None;
    }
    let name = part.trim_end_matches(['.', ':']).to_lowercase();
    let heading = |number: &str| Heading {
        title: title.split_whitespace().collect::<Vec<_>>().join(" "),
        part: name.clone(),
        number: number.to_lowercase(),
        char_start: 0,
        is_followed: false,
    };
    if ALONE.contains(&name.as_str()) {
        return rest.is_empty().then(|| (heading(""), true));
    }
    if !PARTS.contains(&name.as_str()) || part.len() != name.len() {
        return None;
    }
    let rest = rest.trim();
    let rest = rest.strip_prefix("the ").or_else(|| rest.strip_prefix("THE ")).unwrap_or(rest);
    let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '-');
    let (number, after) = rest.split_at(end.unwrap_or(rest.len()));
    is_number(number).then_some(())?;
    let name = after.trim_start();
    let is_bare = name.trim_start_matches(['.', ':']).is_empty();
    let is_set_off = name.starts_with(['.', ':', '—', '–', '-', '(']);
    // "Chapter 7 was short." is a sentence.
    let ends_a_sentence = name.ends_with(['.', ',', ';']) && !is_bare;
    (is_bare || (is_set_off && !ends_a_sentence)).then(|| (heading(number), is_bare))
}

fn is_number(word: &str) -> bool {
    let word = word.to_lowercase();
    let is_decimal = word.len() <= 4 && word.bytes().all(|byte| byte.is_ascii_digit());
    let is_roman = word.len() <= 8 && word.bytes().all(|byte| b"ivxlcdm".contains(&byte));
    let is_word = word.split('-').all(|word| {
        NUMBERS.contains(&word) || matches!(word, "thirty" | "forty" | "fifty" | "sixty")
    });
    !word.is_empty() && (is_decimal || is_roman || is_word)
}

/// Whether the lines after a heading leave it alone; with its title where that is a line of its own.
/// The outer `None` is a heading that is part of a paragraph.
#[expect(clippy::option_option, reason = "no heading, and no title of a heading, differ")]
fn stands_alone<'a>(
    mut after: impl Iterator<Item = &'a str>,
    is_bare: bool,
) -> Option<Option<&'a str>> {
    let next = after.next().unwrap_or_default().trim();
    if next.is_empty() {
        return Some(None);
    }
    if !is_bare || heading(next).is_some() {
        return None;
    }
    let ends = after.next().unwrap_or_default().trim().is_empty();
    let is_title = ends
        && next.chars().count() <= HEADING_CHARACTERS
        && next.starts_with(char::is_uppercase)
        && !next.ends_with(['.', ',', ';', ':', '"', '”', '\'', '’']);
    Some(is_title.then_some(next))
}

/// Leaves out headings that stand in a table of contents: many in a row, with nothing between them.
fn without_contents(headings: &[Heading]) -> Vec<Section> {
    let mut sections = Sections::default();
    let rows = headings.chunk_by(|one, _| one.is_followed);
    for row in rows {
        let (first, last) = (&row[0], &row[row.len() - 1]);
        let begins_again = first.part == last.part && first.number == last.number;
        let kept = match row.len() {
            0..=HEADINGS_IN_A_ROW if row.len() == 1 || first.part != last.part => row,
            length if begins_again && length > 1 => &row[length - 1..],
            0..=HEADINGS_IN_A_ROW => &row[row.len() - 1..],
            _ => &[],
        };
        for heading in kept {
            sections.push(&heading.title, heading.char_start);
        }
    }
    sections.into_vec()
}

/// Title, author and language that a Project Gutenberg text begins with.
pub(super) fn metadata(text: &str) -> Map<String, Value> {
    let mut metadata = Map::new();
    let preamble = || text.lines().take(PREAMBLE_LINES);
    if !preamble().any(|line| line.contains("Project Gutenberg")) {
        return metadata;
    }
    for line in preamble() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let (name, value) = (name.trim().to_lowercase(), value.trim());
        if matches!(name.as_str(), "title" | "author" | "language") && !value.is_empty() {
            metadata.entry(name).or_insert_with(|| sections::shortened(value).into());
        }
    }
    metadata
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn titles(text: &str) -> Vec<String> {
        sections(text)
            .into_iter()
            .inspect(|section| {
                let from: String = text.chars().skip(section.char_start).collect();
                let word = section.title.split(' ').next().unwrap();
                assert!(from.lines().next().unwrap().contains(word), "{section:?}: {from}");
            })
            .map(|section| section.title)
            .collect()
    }

    #[test]
    fn lines_that_stand_alone_begin_sections() {
        let text = "Ünder\n\nPROLOGUE\n\nRain.\n\nBOOK ONE\n\n  CHAPTER I.  Down the Hole\n\nText.\n\n\
                    CHAPTER II.\nThe Pool of Tears\n\nText.\n\nChapter 3\nI am by birth a Genevese.\n\n\
                    _Letter 4_\n\nText.\n\nCHAPTER the Last: Home?\n\nText.\n\nPart Twenty-One\n\nEnd";
        assert_eq!(
            titles(text),
            [
                "PROLOGUE",
                "BOOK ONE",
                "CHAPTER I. Down the Hole",
                "CHAPTER II. The Pool of Tears",
                "Chapter 3",
                "Letter 4",
                "CHAPTER the Last: Home?",
                "Part Twenty-One",
            ]
        );
    }

    #[test]
    fn sentences_and_contents_begin_none() {
        for text in [
            "I read\nChapter 7\nand slept.",
            "Chapter 7 was short.\n\nYes.",
            "Chapter 7: it was short, and he slept.\n\nYes.",
            "chapter 1\n\nno",
            "Letter to Jane\n\nDear Jane",
            "Act quickly\n\nor not",
            "Part of it\n\nno",
            "Scene: a wood\n\nno",
            "CHAPTER I. One\nCHAPTER II. Two\nCHAPTER III. Three\n\nText",
            "CHAPTER I\n\nCHAPTER II\n\nCHAPTER III\n\nText",
        ] {
            assert!(titles(text).is_empty(), "{text}: {:?}", titles(text));
        }
        let text = "CHAPTER I\n\nCHAPTER II\n\nCHAPTER I\n\nText\n\nCHAPTER II\n\nText";
        assert_eq!(titles(text), ["CHAPTER I", "CHAPTER II"]);
        assert_eq!(sections(text)[0].char_start, 23);
    }

    #[test]
    fn a_gutenberg_text_says_what_it_is() {
        let text = "The Project Gutenberg eBook of Emma\n\nTitle: Emma\n\nAuthor: Jane Austen\n";
        let metadata = metadata(text);
        assert_eq!(metadata["title"], "Emma");
        assert_eq!(metadata["author"], "Jane Austen");
        assert!(super::metadata("Title: Emma").is_empty());
    }

    proptest! {
        #[test]
        fn sections_lie_in_the_text(text in "(CHAPTER |Letter |I|V|\\.|:|\n|\n\n|é| |Prologue|1|Part){0,60}") {
            let sections = sections(&text);
            prop_assert!(sections.is_sorted_by_key(|section| section.char_start));
            for section in sections {
                let from: String = text.chars().skip(section.char_start).collect();
                prop_assert!(from.trim_start().starts_with(|it: char| it.is_uppercase()));
            }
        }
    }
}
