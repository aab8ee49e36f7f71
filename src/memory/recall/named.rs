//! The participants' names in a text. They are in everybody's mouth, so they draw a search to
//! wherever people greet each other; a query is searched for without them, and whom it names counts
//! apart.

use unicode_segmentation::UnicodeSegmentation as _;

use crate::retrieval::is_stop_word;

/// A part of a full name is looked for by itself from so many letters on: "de" is no name.
const SHORTEST_PART: usize = 3;

/// A text without the participants' names, to be embedded and searched for. A text that says
/// nothing else comes back as it was.
pub fn without_names(text: &str, participants: &[String]) -> String {
    without_and_named(text, participants).0
}

/// The text [`without_names`], and for each participant, whether it names them.
pub(super) fn without_and_named(text: &str, participants: &[String]) -> (String, Vec<bool>) {
    let mut named = vec![false; participants.len()];
    let mut rest = String::with_capacity(text.len());
    let mut from = 0;
    for found in Names::of(participants).find(text) {
        rest.push_str(&text[from..found.start]);
        from = found.end;
        for participant in found.participants {
            named[participant] = true;
        }
    }
    rest.push_str(&text[from..]);
    if from == 0 || !rest.chars().any(char::is_alphanumeric) {
        return (text.to_owned(), named);
    }
    (rest.split_whitespace().collect::<Vec<_>>().join(" "), named)
}

struct Names {
    /// Longer ones first, so that "Maria Lopez" is found whole.
    patterns: Vec<Pattern>,
}

struct Pattern {
    /// In lower case.
    words: Vec<String>,
    participants: Vec<usize>,
    /// "Will", "May": a name only with a capital.
    also_a_word: bool,
}

struct Found {
    start: usize,
    end: usize,
    participants: Vec<usize>,
}

impl Names {
    fn of(participants: &[String]) -> Self {
        let mut names = Self { patterns: Vec::new() };
        for (number, participant) in participants.iter().enumerate() {
            let words: Vec<String> = participant.unicode_words().map(str::to_lowercase).collect();
            for word in &words {
                let fit = word.chars().count() >= SHORTEST_PART && !is_stop_word(word);
                if words.len() > 1 && fit {
                    names.add(vec![word.clone()], number);
                }
            }
            names.add(words, number);
        }
        names.patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.words.len()));
        names
    }

    fn add(&mut self, words: Vec<String>, participant: usize) {
        if let Some(known) = self.patterns.iter_mut().find(|pattern| pattern.words == words) {
            if !known.participants.contains(&participant) {
                known.participants.push(participant);
            }
        } else if !words.is_empty() {
            let also_a_word = words.iter().all(|word| is_stop_word(word));
            self.patterns.push(Pattern { words, participants: vec![participant], also_a_word });
        }
    }

    /// Where the text names somebody, from the left, without overlaps.
    fn find(&self, text: &str) -> Vec<Found> {
        let mut found = Vec::new();
        if self.patterns.is_empty() {
            return found;
        }
        let words: Vec<_> =
            text.unicode_word_indices().map(|(start, word)| Word::of(start, word)).collect();
        let mut at = 0;
        while at < words.len() {
            let here = self.patterns.iter().find(|pattern| pattern.begins(&words[at..]));
            let Some(pattern) = here else {
                at += 1;
                continue;
            };
            let last = at + pattern.words.len() - 1;
            found.push(Found {
                start: words[at].start,
                end: words[last].end,
                participants: pattern.participants.clone(),
            });
            at = last + 1;
        }
        found
    }
}

struct Word {
    start: usize,
    end: usize,
    lower: String,
    capital: bool,
    /// Bytes of `lower` before an "'s".
    bare: usize,
}

impl Word {
    fn of(start: usize, word: &str) -> Self {
        let lower = word.to_lowercase();
        let owner = lower.strip_suffix("'s").or_else(|| lower.strip_suffix("’s"));
        let bare = owner.map_or(lower.len(), str::len);
        let capital = word.chars().next().is_some_and(char::is_uppercase);
        Self { start, end: start + word.len(), capital, bare, lower }
    }
}

impl Pattern {
    fn begins(&self, words: &[Word]) -> bool {
        let is = |(name, word): (&String, &Word)| {
            let same = *name == word.lower || **name == word.lower[..word.bare];
            same && (word.capital || !self.also_a_word)
        };
        words.len() >= self.words.len() && self.words.iter().zip(words).all(is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn names_and_their_genitives_go() {
        let people = people(&["Maria Lopez", "John"]);
        for (text, rest) in [
            ("What did Maria say about John's dog?", "What did say about dog?"),
            ("what did maria lopez’s dog do", "what did dog do"),
            ("Marianne and Johnny stay", "Marianne and Johnny stay"),
            ("nobody  is\nnamed", "nobody  is\nnamed"),
            ("Maria!", "Maria!"),
            ("", ""),
        ] {
            assert_eq!(without_names(text, &people), rest);
        }
    }

    #[test]
    fn a_name_that_is_a_word_needs_its_capital() {
        let people = people(&["Will"]);
        assert_eq!(without_names("will Will come", &people), "will come");
    }

    #[test]
    fn small_words_of_a_name_stay() {
        let people = people(&["The Narrator", "Leonardo da Vinci"]);
        assert_eq!(without_names("the da in the narrator's text", &people), "the da in text");
    }

    #[test]
    fn names_in_scripts_without_spaces_are_found_whole() {
        let people = people(&["太郎"]);
        assert_eq!(without_names("太郎は太い木を見た", &people), "は太い木を見た");
    }

    #[test]
    fn whom_a_text_names_is_told() {
        let named = |text: &str, people: &[String]| without_and_named(text, people).1;
        let people = people(&["Maria Lopez", "John Lopez", "Eve"]);
        assert_eq!(named("the lopez house", &people), [true, true, false]);
        assert_eq!(named("EVE?", &people), [false, false, true]);
        assert_eq!(named("Maria Lopez", &people), [true, false, false]);
        assert_eq!(named("Eve", &[String::new()]), [false]);
    }
}
