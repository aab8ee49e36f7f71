//! Keys, and where in the talk they occur. All plain keys of a book are looked for in one pass over
//! each message; regular expressions, compiled once, are tried one by one with a limit on their work.

use std::collections::HashMap;

use aho_corasick::AhoCorasick;
use fancy_regex::{Regex, RegexBuilder};

use crate::persona::card::with_names;

/// Bytes of a message that are looked at, its end.
const LONGEST_TEXT: usize = 64 * 1024;
/// The same for regular expressions.
const LONGEST_REGEX_TEXT: usize = 16 * 1024;
/// Occurrences of plain keys that are looked at in a message.
const MOST_OCCURRENCES: usize = 100_000;
const LONGEST_KEY: usize = 2_000;
const MOST_KEYS: usize = 20_000;
const MOST_REGEXES: usize = 200;
/// Steps back that a regular expression may take in a text.
const BACKTRACKS: usize = 10_000;
/// Bytes of a compiled one, and of what it remembers while it runs.
const REGEX_SIZE: usize = 256 * 1024;

/// One key of an entry, by its place in the [`Index`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    kind: Kind,
    at: usize,
    is_word: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// In any case.
    Folded,
    Exact,
    /// With a name in it that the talk must tell.
    Named,
    Regex,
}

/// How an entry's keys are meant.
#[derive(Clone, Copy)]
pub(super) struct Meaning {
    pub(super) is_case_sensitive: bool,
    pub(super) is_word: bool,
    /// Whether all keys are regular expressions, not only those between slashes.
    pub(super) is_regex: bool,
}

/// Every key of a book.
#[derive(Default)]
pub(super) struct Index {
    folded: Patterns,
    exact: Patterns,
    named: Vec<(String, bool)>,
    regexes: Vec<(String, Regex)>,
}

#[derive(Default)]
struct Patterns {
    texts: Vec<String>,
    places: HashMap<String, usize>,
    automaton: Option<AhoCorasick>,
}

impl Patterns {
    fn add(&mut self, text: String) -> usize {
        let next = self.texts.len();
        let place = *self.places.entry(text.clone()).or_insert(next);
        if place == next {
            self.texts.push(text);
        }
        place
    }

    fn compile(&mut self) -> Result<(), String> {
        self.places = HashMap::new();
        let automaton = (!self.texts.is_empty()).then(|| AhoCorasick::new(&self.texts));
        self.automaton = automaton.transpose().map_err(|error| error.to_string())?;
        Ok(())
    }
}

impl Index {
    /// `None` for a blank one.
    pub(super) fn add(&mut self, text: &str, meaning: Meaning) -> Result<Option<Key>, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        if text.len() > LONGEST_KEY {
            return Err(format!("a key is longer than {LONGEST_KEY} bytes"));
        }
        if self.folded.texts.len() + self.exact.texts.len() + self.named.len() >= MOST_KEYS {
            return Err(format!("the book has more than {MOST_KEYS} keys"));
        }
        let is_word = meaning.is_word && !text.contains(char::is_whitespace);
        let key = |kind, at| Ok(Some(Key { kind, at, is_word }));
        if let Some((pattern, flags)) = between_slashes(text) {
            return key(Kind::Regex, self.add_regex(text, &pattern, flags)?);
        }
        if meaning.is_regex {
            let flags = if meaning.is_case_sensitive { "" } else { "i" };
            return key(Kind::Regex, self.add_regex(text, text, flags)?);
        }
        if with_names(text, "", "") != text {
            self.named.push((text.to_owned(), meaning.is_case_sensitive));
            return key(Kind::Named, self.named.len() - 1);
        }
        if meaning.is_case_sensitive {
            return key(Kind::Exact, self.exact.add(text.to_owned()));
        }
        key(Kind::Folded, self.folded.add(text.to_lowercase()))
    }

    fn add_regex(&mut self, text: &str, pattern: &str, flags: &str) -> Result<usize, String> {
        if self.regexes.len() >= MOST_REGEXES {
            return Err(format!("the book has more than {MOST_REGEXES} regular expressions"));
        }
        let regex = RegexBuilder::new(pattern)
            .case_insensitive(flags.contains('i'))
            .multi_line(flags.contains('m'))
            .dot_matches_new_line(flags.contains('s'))
            .backtrack_limit(BACKTRACKS)
            .delegate_size_limit(REGEX_SIZE)
            .delegate_dfa_size_limit(REGEX_SIZE)
            .build()
            .map_err(|error| format!("the key {text} is no regular expression: {error}"))?;
        self.regexes.push((text.to_owned(), regex));
        Ok(self.regexes.len() - 1)
    }

    pub(super) fn compile(&mut self) -> Result<(), String> {
        self.folded.compile()?;
        self.exact.compile()
    }

    /// As it was written, but for its case.
    pub(super) fn text(&self, key: Key) -> &str {
        match key.kind {
            Kind::Folded => &self.folded.texts[key.at],
            Kind::Exact => &self.exact.texts[key.at],
            Kind::Named => &self.named[key.at].0,
            Kind::Regex => &self.regexes[key.at].0,
        }
    }
}

/// A regular expression as JavaScript writes it, with its flags.
fn between_slashes(text: &str) -> Option<(String, &str)> {
    let (pattern, flags) = text.strip_prefix('/')?.rsplit_once('/')?;
    let are_flags = flags.chars().all(|flag| "dgimsuvy".contains(flag));
    // A bare slash inside would have ended it; then it is a path, not an expression.
    let has_bare_slash = pattern.replace("\\\\", "").replace("\\/", "").contains('/');
    let is_one = !pattern.is_empty() && are_flags && !has_bare_slash;
    is_one.then(|| (pattern.replace("\\/", "/"), flags))
}

/// Where keys occur: for each, how many messages lie after the newest one that holds it.
pub(super) struct Occurrences<'a> {
    index: &'a Index,
    folded: Vec<Found>,
    exact: Vec<Found>,
    /// Texts with how many messages lie after each, for what is looked for one by one.
    texts: Vec<(usize, &'a str)>,
    recursed: Vec<String>,
    regexes: Vec<Search>,
    /// Regular expressions that took too many steps.
    pub(super) runaways: Vec<usize>,
    names: (&'a str, &'a str),
}

/// What is known of a regular expression: untried, found nowhere, or how many messages lie after the
/// newest one that holds it.
#[derive(Clone, Copy, PartialEq)]
enum Search {
    Untried,
    Nowhere,
    At(usize),
}

/// The newest text in which a plain key occurs, and the newest in which it is a word.
#[derive(Clone, Copy, Default)]
struct Found {
    anywhere: Option<usize>,
    as_word: Option<usize>,
}

/// Regular expressions that may run away in one scan; after that none is tried.
const MOST_RUNAWAYS: usize = 5;

impl<'a> Occurrences<'a> {
    /// In these messages, the newest last.
    pub(super) fn find(index: &'a Index, messages: &[&'a str], names: (&'a str, &'a str)) -> Self {
        let mut occurrences = Self {
            index,
            folded: vec![Found::default(); index.folded.texts.len()],
            exact: vec![Found::default(); index.exact.texts.len()],
            texts: messages
                .iter()
                .rev()
                .copied()
                .map(|it| end(it, LONGEST_TEXT))
                .enumerate()
                .collect(),
            recursed: Vec::new(),
            regexes: vec![Search::Untried; index.regexes.len()],
            runaways: Vec::new(),
            names,
        };
        for (age, text) in occurrences.texts.clone() {
            occurrences.look(text, age);
        }
        occurrences
    }

    /// Looks into the text of an entry as well, which is as near as the newest message.
    pub(super) fn add(&mut self, text: &str) {
        let text = end(text, LONGEST_TEXT);
        self.look(text, 0);
        self.recursed.push(text.to_owned());
        // Those that were not found may be now.
        for (at, found) in self.regexes.iter_mut().enumerate() {
            if *found == Search::Nowhere && !self.runaways.contains(&at) {
                *found = Search::Untried;
            }
        }
    }

    fn look(&mut self, text: &str, age: usize) {
        note(&self.index.exact, text, age, &mut self.exact);
        if !self.index.folded.texts.is_empty() {
            note(&self.index.folded, &text.to_lowercase(), age, &mut self.folded);
        }
    }

    /// Whether one of the newest `depth` messages, or an entry's text, holds it.
    pub(super) fn has(&mut self, key: Key, depth: usize) -> bool {
        let age = match key.kind {
            Kind::Folded => self.folded[key.at].of(key),
            Kind::Exact => self.exact[key.at].of(key),
            Kind::Named => self.named(key),
            Kind::Regex => self.regex(key.at),
        };
        age.is_some_and(|age| age < depth.max(usize::from(!self.recursed.is_empty())))
    }

    fn named(&self, key: Key) -> Option<usize> {
        let (text, is_case_sensitive) = &self.index.named[key.at];
        let fold = |text: &str| {
            if *is_case_sensitive { text.to_owned() } else { text.to_lowercase() }
        };
        let wanted = fold(&with_names(text, self.names.0, self.names.1));
        let holds = |text: &str| {
            let text = fold(text);
            text.match_indices(&wanted)
                .any(|(at, found)| !key.is_word || is_word(&text, at, at + found.len()))
        };
        if self.recursed.iter().any(|text| holds(text)) {
            return Some(0);
        }
        self.texts.iter().find(|(_, text)| holds(text)).map(|(age, _)| *age)
    }

    fn regex(&mut self, at: usize) -> Option<usize> {
        match self.regexes[at] {
            Search::At(age) => Some(age),
            Search::Nowhere => None,
            Search::Untried => {
                let found = self.search(at);
                self.regexes[at] = found.map_or(Search::Nowhere, Search::At);
                found
            }
        }
    }

    fn search(&mut self, at: usize) -> Option<usize> {
        let (_, regex) = &self.index.regexes[at];
        let recursed = self.recursed.iter().map(|text| (0, text.as_str()));
        for (age, text) in recursed.chain(self.texts.iter().copied()) {
            if self.runaways.len() >= MOST_RUNAWAYS {
                return None;
            }
            match regex.is_match(end(text, LONGEST_REGEX_TEXT)) {
                Ok(true) => return Some(age),
                Ok(false) => {}
                Err(_) => {
                    self.runaways.push(at);
                    return None;
                }
            }
        }
        None
    }

    /// Whether one of these keys took too many steps.
    pub(super) fn runaway(&self, keys: &[Key]) -> Option<&'a str> {
        let is_runaway = |key: &&Key| key.kind == Kind::Regex && self.runaways.contains(&key.at);
        keys.iter().find(is_runaway).map(|key| self.index.text(*key))
    }
}

impl Found {
    fn of(self, key: Key) -> Option<usize> {
        if key.is_word { self.as_word } else { self.anywhere }
    }
}

fn note(patterns: &Patterns, text: &str, age: usize, found: &mut [Found]) {
    let Some(automaton) = &patterns.automaton else { return };
    for occurrence in automaton.find_overlapping_iter(text).take(MOST_OCCURRENCES) {
        let found = &mut found[occurrence.pattern().as_usize()];
        let nearer = |known: Option<usize>| Some(known.map_or(age, |known| known.min(age)));
        found.anywhere = nearer(found.anywhere);
        if found.as_word.is_none_or(|known| known > age)
            && is_word(text, occurrence.start(), occurrence.end())
        {
            found.as_word = nearer(found.as_word);
        }
    }
}

fn is_word(text: &str, start: usize, end: usize) -> bool {
    let joins = |a: Option<char>, b: Option<char>| a.is_some_and(joins) && b.is_some_and(joins);
    let (before, key, after) = (&text[..start], &text[start..end], &text[end..]);
    !joins(before.chars().next_back(), key.chars().next())
        && !joins(key.chars().next_back(), after.chars().next())
}

/// Whether words of such letters are parted by spaces.
fn joins(letter: char) -> bool {
    let is_unspaced = matches!(letter,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}');
    (letter.is_alphanumeric() || letter == '_') && !is_unspaced
}

fn end(text: &str, most: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(most))..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Meaning = Meaning { is_case_sensitive: false, is_word: true, is_regex: false };

    fn holds(key: &str, meaning: Meaning, text: &str) -> bool {
        let mut index = Index::default();
        let key = index.add(key, meaning).unwrap().unwrap();
        index.compile().unwrap();
        Occurrences::find(&index, &[text], ("Aria", "Tove")).has(key, 1)
    }

    #[test]
    fn plain_keys_are_whole_words_in_any_case() {
        for (key, text, is_there) in [
            ("lamp", "The LAMP burns.", true),
            ("lamp", "lamps", false),
            ("lamp", "(lamp)", true),
            ("old man", "bold manners", true),
            ("C++", "I like C++.", true),
            ("Ärger", "so viel ärger!", true),
            ("灯", "这个灯塔", true),
            ("{{user}}", "Hello, tove.", true),
            ("{{char}}", "Hello, tove.", false),
            ("/usr/bin", "in /usr/bin.", true),
        ] {
            assert_eq!(holds(key, PLAIN, text), is_there, "{key} in {text}");
        }
        assert!(holds("lamp", Meaning { is_word: false, ..PLAIN }, "lamps"));
        assert!(!holds("lamp", Meaning { is_case_sensitive: true, ..PLAIN }, "LAMP"));
    }

    #[test]
    fn regular_expressions_stand_between_slashes() {
        for (key, text, is_there) in [
            ("/lam(p|b)s?/i", "LAMBS", true),
            ("/lamp/", "LAMP", false),
            ("/^b$/m", "a\nb\nc", true),
            ("/a.b/s", "a\nb", true),
            (r"/a\/b/", "a/b", true),
            (r"/(\w)\1/", "moon", true),
            ("/lamp(?!light)/", "lamplight", false),
        ] {
            assert_eq!(holds(key, PLAIN, text), is_there, "{key} in {text}");
        }
        assert!(holds("l.mp", Meaning { is_regex: true, ..PLAIN }, "LIMP"));
    }

    #[test]
    fn what_is_no_expression_or_too_large_is_refused() {
        let mut index = Index::default();
        for key in ["/(/", "/((a{1000}){1000}){1000}/", &format!("/{}/", "(".repeat(900))] {
            let refused = index.add(key, PLAIN).expect_err(key);
            assert!(refused.contains("no regular expression"), "{refused}");
        }
        assert!(index.add(&"x".repeat(LONGEST_KEY + 1), PLAIN).is_err());
        assert!(index.add("  ", PLAIN).unwrap().is_none());
    }

    #[test]
    fn an_expression_that_runs_away_matches_nothing_and_is_told() {
        let mut index = Index::default();
        // The look-ahead keeps it from the engine that never steps back.
        let keys: Vec<_> = (0..20)
            .map(|at| index.add(&format!("/(a+)+(?=b)$x{at}/"), PLAIN).unwrap().unwrap())
            .collect();
        index.compile().unwrap();
        let text = "a".repeat(50_000);
        let mut occurrences = Occurrences::find(&index, &[&text], ("", ""));
        assert!(keys.iter().all(|key| !occurrences.has(*key, 1)));
        assert_eq!(occurrences.runaways.len(), MOST_RUNAWAYS);
        assert_eq!(occurrences.runaway(&keys), Some("/(a+)+(?=b)$x0/"));
    }
}
