//! What a question asks for beside its words: files named by `source:` tags, the whole story instead of
//! passages, something said before. Pure.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use unicode_segmentation::UnicodeSegmentation as _;

use crate::retrieval::terms;

const TAG: &str = "source:";
const QUOTES: [(char, char); 3] = [('"', '"'), ('\'', '\''), ('“', '”')];

/// Whoever says one of these wants more than passages.
const DETAIL: &[&str] = &[
    "in detail",
    "in great detail",
    "in full detail",
    "in depth",
    "detailed",
    "more detail",
    "more details",
    "full details",
    "all details",
    "all the details",
    "every detail",
    "whole story",
    "entire story",
    "full story",
    "complete story",
    "whole text",
    "entire text",
    "full text",
    "complete text",
    "whole book",
    "entire book",
    "whole plot",
    "everything about",
    "everything in",
    "everything that happens",
    "tell me everything",
    "tell me everything about",
    "all about",
    "from beginning to end",
    "from start to finish",
    "summarize",
    "summarise",
    "summary",
];

/// Words that tell nothing of what a question is about: "tell me more", "what happened next".
const OF_NO_MATTER: &str = "happen happened happens next tell tells told more say says mean means explain \
    elaborate detail details detailed go goes going continue else story part again know give show \
    describe expand further after before keep anything thing things something ok okay yes thanks \
    please sure exactly well also come came think rest end ending begin beginning";

/// Words that stand for something said before.
const STAND_INS: [&str; 15] = [
    "he", "she", "him", "her", "his", "hers", "they", "them", "their", "it", "its", "this",
    "these", "those", "there",
];

/// A question, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// Without its tags.
    pub(super) text: String,
    /// Files named by tags, as they were written.
    pub(super) files: Vec<String>,
    pub(super) wants_detail: bool,
    pub(super) stance: Stance,
}

/// What a question has to do with what was said before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stance {
    /// It can be understood alone.
    Alone,
    /// It has words of its own, and others that stand for something said before.
    Leaning,
    /// It has no words of its own.
    FollowUp,
}

impl Question {
    pub(super) fn read(asked: &str) -> Self {
        let (text, files) = without_tags(asked);
        let wants_detail = !detail_phrases(&text).is_empty();
        let stance = stance(&text);
        Self { text, files, wants_detail, stance }
    }

    /// What to search for: the question without the words that say how it is to be answered.
    pub(super) fn search_words(&self) -> String {
        let mut words = String::new();
        let mut from = 0;
        for phrase in detail_phrases(&self.text) {
            words.push_str(self.text.get(from..phrase.start).unwrap_or_default());
            from = from.max(phrase.end);
        }
        words.push_str(&self.text[from..]);
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        if terms(&words).is_empty() { self.text.clone() } else { words }
    }
}

/// A text without its `source:` tags, and the files they name, each once.
fn without_tags(asked: &str) -> (String, Vec<String>) {
    let (mut text, mut files) = (String::new(), Vec::new());
    let mut rest = asked;
    while let Some(at) = next_tag(rest) {
        let after = &rest[at + TAG.len()..];
        let (name, length) = name_at_start(after);
        if name.is_empty() {
            text.push_str(&rest[..at + TAG.len()]);
        } else {
            text.push_str(rest[..at].trim_end());
            text.push(' ');
            if !files.iter().any(|known| known == name) {
                files.push(name.to_owned());
            }
        }
        rest = &after[length..];
    }
    if files.is_empty() {
        return (asked.trim().to_owned(), files);
    }
    text.push_str(rest);
    // A tag may have stood before a question mark.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = [" ?", " .", " !", " ,", " ;"]
        .iter()
        .fold(text, |text, gap| text.replace(gap, gap.trim_start()));
    (text.trim().to_owned(), files)
}

/// Where the next tag begins: at the beginning of a word, in letters of either case.
fn next_tag(text: &str) -> Option<usize> {
    let begins_word = |at: usize| !text[..at].ends_with(char::is_alphanumeric);
    let is_tag = |at: usize| {
        let word = text.as_bytes().get(at..at + TAG.len());
        word.is_some_and(|word| word.eq_ignore_ascii_case(TAG.as_bytes()))
    };
    text.char_indices().map(|(at, _)| at).find(|&at| is_tag(at) && begins_word(at))
}

/// The name that a tag's text begins with, and how many bytes of it belong to the tag.
fn name_at_start(text: &str) -> (&str, usize) {
    for (open, close) in QUOTES {
        let Some(inside) = text.strip_prefix(open) else { continue };
        if let Some(end) = inside.find(close).filter(|&end| !inside[..end].contains('\n')) {
            return (inside[..end].trim(), open.len_utf8() + end + close.len_utf8());
        }
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let word = &text[..end];
    let name = word.trim_end_matches([',', ';', ':', '?', '!', '.', ')', ']', '"', '\'', '”']);
    (name.trim_start_matches(['"', '\'', '“']), name.len())
}

/// Where a text asks for more than passages.
fn detail_phrases(text: &str) -> Vec<Range<usize>> {
    let words: Vec<(usize, String)> =
        text.unicode_word_indices().map(|(at, word)| (at, word.to_lowercase())).collect();
    let length = |at: usize| {
        let said = |phrase: &str| {
            let mut rest = words[at..].iter().map(|(_, word)| word.as_str());
            phrase.split(' ').all(|word| rest.next() == Some(word))
        };
        let said = DETAIL.iter().filter(|phrase| said(phrase));
        said.map(|phrase| phrase.split(' ').count()).max()
    };
    let mut phrases = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let Some(length) = length(at) else {
            at += 1;
            continue;
        };
        let start = words[at].0;
        at += length;
        let end = words.get(at).map_or(text.len(), |(next, _)| *next);
        let said = text[start..end].trim_end_matches(|c: char| !c.is_alphanumeric());
        phrases.push(start..start + said.len());
    }
    phrases
}

fn stance(text: &str) -> Stance {
    static OF_NO_MATTER_AS_TERMS: LazyLock<HashSet<String>> =
        LazyLock::new(|| terms(OF_NO_MATTER).into_iter().collect());
    let own = |term: &String| !OF_NO_MATTER_AS_TERMS.contains(term);
    if !terms(text).iter().any(own) {
        return Stance::FollowUp;
    }
    let words: Vec<&str> = text.unicode_words().collect();
    let stands_in = |word: &&&str| STAND_INS.contains(&word.to_lowercase().as_str());
    // Who is named needs no stand-in: "Why did Victor leave her?" can be searched for.
    let names_somebody =
        words.iter().skip(1).any(|word| *word != "I" && word.starts_with(char::is_uppercase));
    match words.iter().find(stands_in) {
        Some(_) if !names_somebody => Stance::Leaning,
        _ => Stance::Alone,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(asked: &str) -> (String, Vec<String>) {
        let question = Question::read(asked);
        (question.text, question.files)
    }

    #[test]
    fn tags_name_files_and_are_no_part_of_the_question() {
        let files = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        for (asked, text, named) in [
            ("Who is Alice? source:alice.txt", "Who is Alice?", &["alice.txt"][..]),
            ("source:alice.txt who is she", "who is she", &["alice.txt"]),
            ("Who is in source:alice.txt?", "Who is in?", &["alice.txt"]),
            ("Source:\"my story.txt\" why?", "why?", &["my story.txt"]),
            ("why source:'a b.md' and source:c.md, source:c.md", "why and,", &["a b.md", "c.md"]),
            ("why SOURCE:“a b”", "why", &["a b"]),
            ("what is the source: a spring?", "what is the source: a spring?", &[]),
            ("a resource:x", "a resource:x", &[]),
            ("source:novels/Alice.txt. Who?", "Who?", &["novels/Alice.txt"]),
        ] {
            let (read_text, read_files) = read(asked);
            assert_eq!(read_files, files(named), "{asked}");
            assert_eq!(read_text.trim_start_matches(['.', ' ']), text, "{asked}");
        }
    }

    #[test]
    fn who_wants_detail_is_understood_and_searches_for_the_rest() {
        for (asked, words) in [
            ("Tell me everything about the Red Queen", "the Red Queen"),
            ("Describe Victor's laboratory in detail.", "Describe Victor's laboratory ."),
            ("What is the whole story of Tom?", "What is the of Tom?"),
            ("Summarize it", "Summarize it"),
        ] {
            let question = Question::read(asked);
            assert!(question.wants_detail, "{asked}");
            assert_eq!(question.search_words(), words);
        }
        for asked in ["Who told the story?", "Where is the detail map?", "In the depth of winter?"]
        {
            assert!(!Question::read(asked).wants_detail, "{asked}");
        }
    }

    #[test]
    fn a_question_without_words_of_its_own_follows_up() {
        for asked in
            ["Tell me more.", "What happened next?", "And then?", "Why did he say that?", "Go on"]
        {
            assert_eq!(Question::read(asked).stance, Stance::FollowUp, "{asked}");
        }
        for asked in ["What did she find in the tower?", "Why did the king banish him?"] {
            assert_eq!(Question::read(asked).stance, Stance::Leaning, "{asked}");
        }
        for asked in ["Who is Alice?", "Why did Victor leave her?", "When did the creature wake?"] {
            assert_eq!(Question::read(asked).stance, Stance::Alone, "{asked}");
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_asked(asked in "(source:|\"|'|“|in detail|\\PC|[ \n]){0,60}") {
            let question = Question::read(&asked);
            prop_assert!(question.files.iter().all(|file| !file.is_empty()));
            let _ = question.search_words();
        }

        #[test]
        fn a_quoted_name_is_read_whole(
            name in "[a-zA-Z0-9][a-zA-Z0-9 ._/-]{0,30}[a-zA-Z0-9]",
            before in "[a-z ]{0,20}",
            after in "[a-z ]{0,20}",
        ) {
            let (text, files) = read(&format!("{before} source:\"{name}\" {after}"));
            prop_assert_eq!(files, [name]);
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&text), words(&format!("{before} {after}")));
        }
    }
}
