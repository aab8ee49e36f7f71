//! What a shorter text must not lose: the names and numbers of a text, and the words that turn, tie
//! and time what it says. Pure, by the look of the words alone: right for English, careful for the
//! rest, where scripts without capitals have no names that could be told.

use std::collections::HashSet;
use std::sync::LazyLock;

use unicode_segmentation::UnicodeSegmentation;

use super::numbers::{number_key, tens, unit};

/// How a word stands in its sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Lower,
    /// Capitalised, as anything would be there.
    Initial,
    /// Capitalised of its own accord.
    Capital,
    /// All in capitals: emphasis, a heading, or an abbreviation.
    Shout,
    Number,
}

/// A word as it is compared: in lower case, without `'s` or `'ll`; a number in digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) key: String,
    pub(super) form: Form,
}

struct CommonWords {
    /// Never names.
    closed: HashSet<&'static str>,
    /// No names at a sentence's start.
    openers: HashSet<&'static str>,
}

static COMMON: LazyLock<CommonWords> = LazyLock::new(|| {
    let list = include_str!("common_words.txt");
    let (closed, openers) = list.split_once("---").unwrap_or((list, ""));
    let words = |part: &'static str| {
        part.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect()
    };
    CommonWords { closed: words(closed), openers: words(openers) }
});

/// Longest abbreviation in capitals.
const ABBREVIATION: usize = 5;

/// The words of one sentence.
pub(super) fn words(sentence: &str) -> Vec<Word> {
    let found: Vec<(usize, &str)> = sentence.unicode_word_indices().collect();
    let mut words: Vec<Word> = Vec::with_capacity(found.len());
    let mut tens_before: Option<(u32, usize)> = None;
    for &(at, word) in &found {
        let lower = word.trim_matches('_').to_lowercase();
        // "twenty-one" is one number.
        let hyphenated = tens_before
            .filter(|&(_, end)| sentence[end..at] == *"-")
            .and_then(|(tens, _)| Some(tens + unit(&lower)?));
        tens_before = None;
        if let Some(number) = hyphenated {
            words.pop();
            words.push(Word { key: number.to_string(), form: Form::Number });
        } else if let Some(key) = number_key(&lower) {
            tens_before = tens(&lower).map(|tens| (tens, at + word.len()));
            words.push(Word { key, form: Form::Number });
        } else {
            let form = form_of(word, &sentence[..at]);
            words.push(Word { key: without_clitic(&lower).to_owned(), form });
        }
    }
    words
}

fn form_of(word: &str, before: &str) -> Form {
    let mut letters = word.chars().filter(|c| c.is_alphabetic());
    if !letters.next().is_some_and(char::is_uppercase) {
        return Form::Lower;
    }
    let rest: Vec<char> = letters.collect();
    if !rest.is_empty() && rest.iter().all(|c| c.is_uppercase()) {
        return Form::Shout;
    }
    if opens_a_sentence(before) { Form::Initial } else { Form::Capital }
}

/// Whether a word behind `before` is capitalised whatever it is.
fn opens_a_sentence(before: &str) -> bool {
    const OPENING: [char; 10] = ['\'', '"', '‘', '“', '«', '(', '[', '_', '*', '`'];
    let said = before.trim_end();
    // A line of verse may begin here.
    let new_line = before[said.len()..].contains('\n');
    if new_line || before.ends_with(OPENING) {
        return true;
    }
    let before = said.trim_end_matches(['\'', '"', '’', '”', '»', ')', ']', '_', '*']);
    let mark = before.chars().next_back();
    mark.is_none_or(|mark| ['.', '!', '?', '…', ':', '#', '•', '-', '–'].contains(&mark))
        && !before.ends_with("--")
        && !before.ends_with(char::is_alphanumeric)
}

/// The word itself, of one that owns something or runs into a verb.
fn without_clitic(lower: &str) -> &str {
    const CLITICS: [&str; 6] = ["s", "ll", "d", "ve", "re", "m"];
    match lower.rsplit_once(['\'', '’']) {
        Some((word, clitic)) if CLITICS.contains(&clitic) && !word.is_empty() => word,
        _ => lower,
    }
}

/// What is known of the words of a whole text, so that its names can be told.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    lower: HashSet<String>,
    capital: HashSet<String>,
    all: HashSet<String>,
}

impl Vocabulary {
    pub(super) fn of<'a>(words: impl IntoIterator<Item = &'a Word>) -> Self {
        let mut vocabulary = Self::default();
        for word in words {
            match word.form {
                Form::Lower => vocabulary.lower.insert(word.key.clone()),
                Form::Capital => vocabulary.capital.insert(word.key.clone()),
                Form::Initial | Form::Shout | Form::Number => false,
            };
            vocabulary.all.insert(word.key.clone());
        }
        vocabulary
    }

    /// Whether the text has this word, capitalised or not, one or many of it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.all.contains(key)
            || key.strip_suffix('s').is_some_and(|one| self.all.contains(one))
            || self.all.contains(&format!("{key}s"))
    }

    /// Whether a word of this text is a name or a number.
    pub(super) fn is_fact(&self, word: &Word) -> bool {
        match word.form {
            Form::Lower => false,
            Form::Number => true,
            Form::Capital => is_name(&word.key),
            Form::Shout => {
                is_name(&word.key)
                    && (self.capital.contains(&word.key)
                        || (word.key.chars().count() <= ABBREVIATION
                            && !self.lower.contains(&word.key)
                            && !COMMON.openers.contains(word.key.as_str())))
            }
            Form::Initial => {
                is_name(&word.key)
                    && (self.capital.contains(&word.key)
                        || !(self.lower.contains(&word.key)
                            || COMMON.openers.contains(word.key.as_str())))
            }
        }
    }
}

fn is_name(key: &str) -> bool {
    key.chars().nth(1).is_some() && !COMMON.closed.contains(key)
}

/// Whether a word says nothing of what a text is about.
pub(super) fn is_function_word(key: &str) -> bool {
    COMMON.closed.contains(key)
}

/// Whether a name or number of a summary has no ground in the source. Lenient where a sentence
/// begins: an adjective there is no person.
pub(super) fn is_invented(word: &Word, source: &Vocabulary, summary: &Vocabulary) -> bool {
    if !summary.is_fact(word) || source.has(&word.key) {
        return false;
    }
    word.form != Form::Initial
        || summary.capital.contains(&word.key)
        || !COMMON_ENDINGS.iter().any(|ending| word.key.ends_with(ending))
}

const COMMON_ENDINGS: [&str; 18] = [
    "ly", "ing", "ed", "ous", "ity", "ness", "tion", "sion", "ment", "ful", "less", "able", "ible",
    "ence", "ance", "ive", "ical", "ish",
];

/// Whether a sentence speaks about the text ("The narrative shows…") and not of what it tells.
pub(super) fn is_remark(sentence: &[Word], source: &Vocabulary) -> bool {
    let is_foreign = |word: &Word| !source.has(&word.key);
    let mut opening = sentence.iter().take(2);
    let opens_with =
        opening.next().is_some_and(|word| ["the", "this"].contains(&word.key.as_str()))
            && opening
                .next()
                .is_some_and(|word| TEXTS.contains(&word.key.as_str()) && is_foreign(word));
    let speaks_of = |word: &Word| CRITICISM.contains(&word.key.as_str()) && is_foreign(word);
    opens_with || sentence.iter().any(speaks_of)
}

const TEXTS: [&str; 6] = ["story", "text", "tale", "scene", "chapter", "dialogue"];
const CRITICISM: [&str; 12] = [
    "narrative",
    "narrator",
    "author",
    "passage",
    "reader",
    "readers",
    "theme",
    "themes",
    "summary",
    "excerpt",
    "paragraph",
    "storytelling",
];

/// How many of these a sentence has: a negation, a cause, a time.
pub(super) fn markers(words: &[Word]) -> usize {
    let has = |kind: &[&str]| words.iter().any(|word| kind.contains(&word.key.as_str()));
    let contracted = |word: &Word| word.key.ends_with("n't") || word.key.ends_with("n’t");
    usize::from(has(&NEGATIONS) || words.iter().any(contracted))
        + usize::from(has(&CAUSES))
        + usize::from(has(&TIMES))
}

const NEGATIONS: [&str; 10] =
    ["not", "no", "never", "nobody", "none", "nothing", "without", "neither", "nor", "cannot"];
const CAUSES: [&str; 8] =
    ["because", "therefore", "since", "thus", "hence", "why", "due", "caused"];
const TIMES: [&str; 18] = [
    "before",
    "after",
    "until",
    "when",
    "while",
    "then",
    "later",
    "finally",
    "suddenly",
    "meanwhile",
    "during",
    "yesterday",
    "today",
    "tomorrow",
    "tonight",
    "ago",
    "once",
    "soon",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(text: &str) -> Vec<String> {
        let words = words(text);
        let vocabulary = Vocabulary::of(&words);
        words.iter().filter(|word| vocabulary.is_fact(word)).map(|w| w.key.clone()).collect()
    }

    #[test]
    fn names_are_what_is_capitalised_of_its_own_accord() {
        assert_eq!(facts("Then the White Rabbit saw Alice's cat."), ["white", "rabbit", "alice"]);
        assert_eq!(facts("Suddenly it rained. The rain fell."), [""; 0]);
        assert_eq!(facts("But I know Tom, and Tom knows me."), ["tom", "tom"]);
        assert_eq!(facts("Robert left on Monday."), ["robert", "monday"]);
        assert_eq!(facts("Hope was gone. She called for Hope."), ["hope", "hope"]);
    }

    #[test]
    fn emphasis_is_no_name_and_an_abbreviation_is() {
        assert_eq!(facts("It was VERY remarkable, said NASA. He was very sure."), ["nasa"]);
        assert_eq!(facts("THE PHILOSOPHER spoke."), [""; 0]);
    }

    #[test]
    fn numbers_are_the_same_in_digits_and_in_words() {
        assert_eq!(facts("twenty-one men, 21 men"), ["21", "21"]);
        assert_eq!(facts("two hundred and 1,000 on the 3rd"), ["2", "100", "1000", "3"]);
        assert_eq!(facts("It cost 3.50 in the 1990s."), ["3.50", "1990"]);
    }

    #[test]
    fn an_invented_person_is_told_from_an_adjective() {
        let source_words = words("Alice saw two rabbits.");
        let source = Vocabulary::of(&source_words);
        let invented = |text: &str| {
            let words = words(text);
            let summary = Vocabulary::of(&words);
            words.iter().any(|word| is_invented(word, &source, &summary))
        };
        assert!(invented("Alice saw Robert."));
        assert!(invented("Robert saw 2 rabbits."));
        assert!(invented("Alice saw three rabbits."));
        assert!(!invented("Amazingly, Alice saw 2 rabbits."));
        assert!(!invented("Curious, she saw a Rabbit."));
    }

    #[test]
    fn remarks_on_a_text_are_told_from_what_it_tells() {
        let of = |source: &str, text| is_remark(&words(text), &Vocabulary::of(&words(source)));
        assert!(of("Alice fell.", "The story is told by Alice."));
        assert!(of("Alice fell.", "Alice falling adds to the narrative."));
        assert!(!of("Alice told a story.", "The story was told by Alice."));
        assert!(!of("Alice fell.", "The rabbit told Alice a story."));
    }

    #[test]
    fn negations_causes_and_times_are_marked() {
        assert_eq!(markers(&words("She didn't go because it rained yesterday.")), 3);
        assert_eq!(markers(&words("She went.")), 0);
    }
}
