//! Markdown stays as it is written; its headings are its sections.

use super::super::document::Section;
use super::sections::{Sections, shortened};

/// A document's headings, and its title: the first heading of the first level.
pub(super) fn sections(text: &str) -> (Vec<Section>, Option<String>) {
    let mut sections = Sections::default();
    let mut title = None;
    let mut fence: Option<&str> = None;
    let mut char_start = 0;
    let (front, body) = text.split_at(front_matter(text));
    let mut before = Before { is_blank: true, ..Before::default() };
    char_start += front.chars().count();
    for line in body.split_inclusive('\n') {
        let words = line.trim_end();
        let heading = if let Some(opened) = fence {
            fence = fence.filter(|_| !closes(words, opened));
            None
        } else {
            fence = opens(words);
            hashed(words)
                .map(|(level, title)| (level, title, char_start))
                .or_else(|| underlined(words, &before))
        };
        let is_plain = fence.is_none() && heading.is_none() && is_plain(words);
        before = Before {
            // A heading may stand right below a blank line, or another heading.
            follows_blank: before.is_blank,
            is_blank: words.is_empty() || heading.is_some(),
            line: if is_plain { words } else { "" },
            char_start,
        };
        if let Some((level, heading, char_start)) = heading {
            if level == 1 && title.is_none() {
                title = Some(heading.clone());
            }
            sections.push(&heading, char_start);
        }
        char_start += line.chars().count();
    }
    (sections.into_vec(), title)
}

/// The line before.
#[derive(Default)]
struct Before<'a> {
    is_blank: bool,
    follows_blank: bool,
    /// Empty if it can't be the words of an underlined heading.
    line: &'a str,
    char_start: usize,
}

/// Length of the YAML between two lines of `---` that a file may begin with.
fn front_matter(text: &str) -> usize {
    let mut lines = text.split_inclusive('\n');
    let Some(first) = lines.next().filter(|line| line.trim_end() == "---") else { return 0 };
    let mut end = first.len();
    for line in lines {
        end += line.len();
        if matches!(line.trim_end(), "---" | "...") {
            return end;
        }
    }
    0
}

/// What is left of a line that is not indented as code is.
fn unindented(line: &str) -> Option<&str> {
    let words = line.trim_start_matches(' ');
    (line.len() - words.len() < 4).then_some(words)
}

/// `## Heading ##`: its level and its words.
fn hashed(line: &str) -> Option<(usize, String)> {
    let line = unindented(line)?;
    let after = line.trim_start_matches('#');
    let level = line.len() - after.len();
    if !(1..=6).contains(&level) || !after.starts_with([' ', '\t']) {
        return None;
    }
    let without = after.trim_end_matches('#');
    let words = if without.ends_with([' ', '\t']) { without } else { after };
    title(words).map(|title| (level, title))
}

/// A line of its own that the next underlines.
fn underlined(line: &str, before: &Before<'_>) -> Option<(usize, String, usize)> {
    let line = unindented(line)?;
    let level = match line.chars().next()? {
        '=' if line.len() >= 2 && line.bytes().all(|byte| byte == b'=') => 1,
        '-' if line.len() >= 3 && line.bytes().all(|byte| byte == b'-') => 2,
        _ => return None,
    };
    let heading = title(before.line).filter(|_| before.follows_blank)?;
    Some((level, heading, before.char_start))
}

/// Whether a line may be the words of an underlined heading: no quote, list or table.
fn is_plain(line: &str) -> bool {
    unindented(line).is_some_and(|words| !words.starts_with(['>', '-', '*', '+', '|', '=', '<']))
}

/// Words without the marks of emphasis and code.
fn title(words: &str) -> Option<String> {
    let title = words.replace(['*', '`'], "");
    let title = shortened(title.trim());
    (!title.is_empty()).then(|| title.to_owned())
}

/// The fence that a line opens.
fn opens(line: &str) -> Option<&str> {
    let line = unindented(line)?;
    ['`', '~'].into_iter().find_map(|mark| {
        let after = line.trim_start_matches(mark);
        let fence = &line[..line.len() - after.len()];
        (fence.len() >= 3 && !(mark == '`' && after.contains('`'))).then_some(fence)
    })
}

fn closes(line: &str, fence: &str) -> bool {
    unindented(line).is_some_and(|line| {
        line.starts_with(fence) && line.trim_start_matches(&fence[..1]).is_empty()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headings_outside_of_code_are_sections() {
        let text = "---\ntitle: no\n---\n# The *Rain* #\n\nÜber uns\n========\n\n```rust\n# not this\n\
                    ````\n## Two\n    # code\n#hashtag\n~~~\n# nor this\n```\n~~~ \nA sentence\ngoes on.\n\
                    ---\n\nThird\n---\n####### seven\n#\n- item\n---\n### C# ###";
        let (sections, title) = sections(text);
        let found: Vec<_> = sections
            .iter()
            .map(|section| {
                let from: String = text.chars().skip(section.char_start).collect();
                (section.title.as_str(), from.lines().next().unwrap_or_default().to_owned())
            })
            .collect();
        let expected = [
            ("The Rain", "# The *Rain* #"),
            ("Über uns", "Über uns"),
            ("Two", "## Two"),
            ("Third", "Third"),
            ("C#", "### C# ###"),
        ];
        let expected: Vec<_> =
            expected.into_iter().map(|(title, line)| (title, line.to_owned())).collect();
        assert_eq!(found, expected);
        assert_eq!(title.as_deref(), Some("The Rain"));
    }

    proptest! {
        #[test]
        fn sections_begin_with_their_titles(text in "(#|=|-|`|~| |\n|é|a|\\*){0,80}") {
            for section in sections(&text).0 {
                let from: String = text.chars().skip(section.char_start).collect();
                let line = from.lines().next().unwrap_or_default().replace(['*', '`'], "");
                prop_assert!(line.contains(&section.title));
            }
        }
    }
}
