//! A message in sentences, written with the marks of a typewriter: what the plain patterns read.

/// The text with `'` and `"` in place of typographic ones.
pub fn straightened(text: &str) -> String {
    let straight = |c| match c {
        '\u{2018}' | '\u{2019}' | '\u{02BC}' | '\u{FF07}' => '\'',
        '\u{201C}' | '\u{201D}' | '\u{201E}' | '\u{00AB}' | '\u{00BB}' => '"',
        c => c,
    };
    text.chars().map(straight).collect()
}

/// The text with empty quotes in place of what it quotes; a quote that doesn't end stays.
pub fn unquoted(text: &str) -> String {
    let mut left = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('"') {
        let Some((_, after)) = after.split_once('"') else { break };
        left.push_str(before);
        left.push_str("\"\"");
        rest = after;
    }
    left + rest
}

/// After these a full stop ends no sentence.
const SHORTENED: [&str; 5] = ["st", "dr", "mr", "mrs", "ms"];

/// An end mark ends a sentence before a blank only; the end of a line always does.
pub fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (sentence, after) = rest.split_at(end_of_first(rest));
        rest = after;
        Some(sentence.trim())
    })
    .filter(|sentence| !sentence.is_empty())
}

fn end_of_first(text: &str) -> usize {
    let mut word = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let end = at + c.len_utf8();
        let is_last_of_word = characters.peek().is_none_or(|(_, next)| next.is_whitespace());
        let is_shortened =
            || c == '.' && SHORTENED.contains(&text[word..at].to_lowercase().as_str());
        let ends = matches!(c, '.' | '!' | '?' | ';' | '…') && is_last_of_word && !is_shortened();
        if c == '\n' || ends {
            return end;
        }
        if !c.is_alphanumeric() {
            word = end;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sentences_end_where_people_end_them() {
        let said = "I'm 5.9 feet. I live in St. Louis!\nMy name is Dr. Smith; hi";
        let expected = ["I'm 5.9 feet.", "I live in St. Louis!", "My name is Dr. Smith;", "hi"];
        assert_eq!(sentences(said).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_quoted_is_left_out() {
        assert_eq!(unquoted(&straightened("He said “I’m. Bob” and left")), "He said \"\" and left");
        assert_eq!(unquoted("6'2\" tall"), "6'2\" tall");
    }

    proptest! {
        #[test]
        fn no_word_is_lost(text in "[\\PC\n]{0,200}") {
            let joined: String = sentences(&text).flat_map(str::split_whitespace).collect();
            let whole: String = text.split_whitespace().collect();
            prop_assert_eq!(joined, whole);
        }
    }
}
