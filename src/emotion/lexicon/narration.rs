//! Who speaks where: a text's words, each with its sentence, its clause, and whether it is narrated.
//!
//! Between asterisks (or underscores) stands narration. Where there are quotation marks, what is
//! outside of them is narration. Text with neither is prose when a sentence speaks of somebody in the
//! past tense, or begins with a third person, and a comment otherwise.

use std::ops::Range;

/// Where a word stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Between asterisks, or outside of quotation marks.
    Narrated,
    /// In a plain sentence that reads like narration of somebody.
    Told,
    /// In a plain sentence in the past tense without a third person.
    Recounted,
    /// In dialogue, or in a plain sentence that doesn't.
    Said,
}

pub(super) struct Word {
    range: Range<usize>,
    pub(super) place: Place,
    pub(super) sentence: u32,
    pub(super) clause: u32,
}

/// A text's words in lowercase, and their places.
pub(super) struct Narration {
    lowercase: String,
    words: Vec<Word>,
}

/// What a character stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Span {
    Open,
    Starred,
    Quoted,
}

impl Narration {
    pub(super) fn of(text: &str) -> Self {
        let lowercase = plain(text);
        let mut scan = Scan::default();
        for line in lines(&lowercase) {
            scan.line(&lowercase, line);
        }
        let (starred, quoted) = (scan.starred, scan.quoted);
        let mut words = Vec::with_capacity(scan.words.len());
        for (span, word) in scan.words {
            let place = match span {
                Span::Starred => Place::Narrated,
                Span::Open if quoted => Place::Narrated,
                Span::Open if !starred => Place::Told,
                Span::Open | Span::Quoted => Place::Said,
            };
            words.push(Word { place, ..word });
        }
        let mut narration = Self { lowercase, words };
        if !quoted && !starred {
            narration.place_sentences();
        }
        narration
    }

    pub(super) fn words(&self) -> &[Word] {
        &self.words
    }

    pub(super) fn text(&self, word: usize) -> &str {
        &self.lowercase[self.words[word].range.clone()]
    }

    /// Tells narration from comments, a sentence at a time.
    fn place_sentences(&mut self) {
        let mut start = 0;
        while start < self.words.len() {
            let sentence = self.words[start].sentence;
            let end = (start..self.words.len())
                .find(|&word| self.words[word].sentence != sentence)
                .unwrap_or(self.words.len());
            let place = self.place_of(start..end);
            self.words[start..end].iter_mut().for_each(|word| word.place = place);
            start = end;
        }
    }

    /// How a plain sentence reads.
    fn place_of(&self, mut words: Range<usize>) -> Place {
        let (mut first, mut third, mut past) = (false, false, false);
        let about_somebody = OPENING_PERSONS.contains(&self.text(words.start));
        let addressed = words.any(|word| {
            let text = self.text(word);
            first |= FIRST_PERSONS.contains(&text);
            third |= THIRD_PERSONS.contains(&text);
            past |= (text.len() > 3 && text.ends_with("ed")) || PAST.contains(&text);
            past |= text == "not" && word > 0 && self.text(word - 1) == "could";
            ADDRESSED.contains(&text)
        });
        if addressed {
            Place::Said
        } else if about_somebody || (third && past) {
            Place::Told
        } else if first && past {
            Place::Recounted
        } else {
            Place::Said
        }
    }
}

/// Lowercase ASCII, straight quotation marks, and asterisks for underscores that aren't in a word.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut previous = ' ';
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let follows = characters.peek().is_some_and(|next| next.is_alphanumeric());
        plain.push(match character {
            '\u{2019}' => '\'',
            '\u{201C}' | '\u{201D}' | '\u{AB}' | '\u{BB}' => '"',
            '_' if !(previous.is_alphanumeric() && follows) => '*',
            other => other.to_ascii_lowercase(),
        });
        previous = character;
    }
    plain
}

const THIRD_PERSONS: &[&str] = &["he", "she", "his", "her", "him", "they", "their"];
const FIRST_PERSONS: &[&str] = &["i", "my", "the", "its"];
/// A sentence that begins with one of them tells of somebody, in the present tense, too.
const OPENING_PERSONS: &[&str] = &["he", "she", "his", "her"];
/// Who is spoken to, and what is said on the web only.
const ADDRESSED: &[&str] = &[
    "you", "your", "you're", "yours", "u", "lol", "edit", "post", "sub", "reddit", "op", "thread",
    "is", "are", "it's", "that's", "i'm", "he's", "she's", "don't", "has", "i've", "can", "people",
    "guy", "guys", "year", "years", "also", "should", "why", "if", "let's",
];
/// Past tenses that don't end in -ed.
#[rustfmt::skip]
const PAST: &[&str] = &[
    "was", "were", "had", "did", "couldn't", "ran", "went", "shook", "rose", "fell", "broke",
    "wept", "stood", "turned", "held", "caught", "came", "sat", "threw", "flung", "bit", "took",
    "gave", "spun", "spread", "shot", "swung", "drew", "grew", "hung", "hid", "sank", "shrank",
    "shut", "spat", "split", "stuck", "struck", "swept", "swore", "tore", "woke", "wrung", "froze",
    "fled", "flew", "fought", "ground", "knelt", "leapt", "lit", "left", "lost", "made", "met",
    "put", "read", "said", "saw", "set", "slid", "sang", "burst", "clung", "crept", "felt", "kept",
    "led", "buried", "began", "bent", "blew", "bore", "brought", "built", "cut", "dug", "drove",
    "ate", "got", "heard", "hurt", "laid", "lay", "rang", "sent", "sprang", "stole", "swallowed",
    "thought", "told",
];

fn lines(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        start..at
    })
}

/// Words found so far. Marks are paired within a line.
#[derive(Default)]
struct Scan {
    words: Vec<(Span, Word)>,
    starred: bool,
    quoted: bool,
    sentence: u32,
    clause: u32,
}

impl Scan {
    fn line(&mut self, text: &str, range: Range<usize>) {
        let line = &text[range.clone()];
        let mut stars_left = line.bytes().filter(|&byte| byte == b'*').count();
        let (mut starred, mut quoted) = (false, false);
        let mut word: Option<usize> = None;
        let mut previous = ' ';
        let marks = line.char_indices().chain(std::iter::once((line.len(), '\n')));
        for (at, character) in marks {
            let within = character.is_alphanumeric() || character == '\'';
            if within {
                word.get_or_insert(at);
                previous = character;
                continue;
            }
            if let Some(start) = word.take() {
                let span = if quoted {
                    Span::Quoted
                } else if starred {
                    Span::Starred
                } else {
                    Span::Open
                };
                self.push(text, span, range.start + start..range.start + at);
            }
            match character {
                '*' => {
                    stars_left -= 1;
                    // A pair is one mark ("**"), and a mark without a second one opens nothing.
                    if previous != '*' && (starred || stars_left > 0) {
                        starred = !starred;
                        self.starred = true;
                        self.end_sentence();
                    }
                }
                '"' => {
                    quoted = !quoted;
                    self.quoted = true;
                    self.end_sentence();
                }
                '.' | '!' | '?' | '\n' => self.end_sentence(),
                ',' | ';' | ':' | '(' | ')' | '\u{2014}' | '\u{2013}' => self.clause += 1,
                _ => {}
            }
            previous = character;
        }
    }

    fn push(&mut self, text: &str, span: Span, range: Range<usize>) {
        let quotes = |end: &str| end.len() - end.trim_matches('\'').len();
        let trimmed = text[range.clone()].trim_start_matches('\'');
        let start = range.end - trimmed.len();
        let end = range.end - quotes(trimmed);
        if start < end {
            let word = &text[start..end];
            // "Could not help but smile" is one clause.
            let helped = word == "but"
                && self.words.last().is_some_and(|(_, last)| &text[last.range.clone()] == "help");
            if matches!(word, "but" | "yet" | "until" | "then") && !helped {
                self.clause += 1;
            }
            let (sentence, clause) = (self.sentence, self.clause);
            let word = Word { range: start..end, place: Place::Said, sentence, clause };
            self.words.push((span, word));
        }
    }

    fn end_sentence(&mut self) {
        self.sentence += 1;
        self.clause += 1;
    }
}
