//! Patterns of words, as `actions.txt` describes them.

use std::collections::HashMap;

use crate::emotion::Emotion;

/// Words in a pattern, at most.
pub(super) const MOST_TERMS: usize = 5;
/// Letters of a stem, at least.
pub(super) const SHORTEST_STEM: usize = 2;

/// How a term stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    After,
    Near,
}

#[derive(Debug)]
pub(super) struct Pattern {
    /// None: it only looks like feeling.
    pub(super) emotion: Option<Emotion>,
    /// Log-odds in narration.
    pub(super) strength: f32,
    /// One to [`MOST_TERMS`].
    pub(super) terms: Vec<u16>,
    /// One fewer.
    pub(super) orders: Vec<Order>,
}

/// Patterns, and the terms that a word or its beginning stands for.
#[derive(Default)]
pub(super) struct Parsed {
    pub(super) patterns: Vec<Pattern>,
    pub(super) term_count: usize,
    pub(super) terms: HashMap<&'static str, Vec<u16>>,
    pub(super) stems: HashMap<&'static str, Vec<u16>>,
}

/// Reads a lexicon; lines that it can't read are left out and given back.
pub(super) fn parse(source: &'static str) -> (Parsed, Vec<&'static str>) {
    let mut reader = Reader::default();
    let mut unread = Vec::new();
    for line in source.lines().map(str::trim) {
        if !line.is_empty() && !line.starts_with('#') && reader.line(line).is_none() {
            unread.push(line);
        }
    }
    (reader.parsed, unread)
}

#[derive(Default)]
struct Reader {
    parsed: Parsed,
    emotion: Option<Emotion>,
    groups: HashMap<&'static str, &'static str>,
    numbers: HashMap<&'static str, u16>,
}

impl Reader {
    /// None for a line that is not understood.
    fn line(&mut self, line: &'static str) -> Option<()> {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.strip_suffix(']')?;
            let emotion: Emotion = section.parse().ok()?;
            self.emotion = (emotion != Emotion::Neutral).then_some(emotion);
            return Some(());
        }
        if let Some((name, words)) = line.split_once(" = ")
            && name.starts_with('@')
        {
            self.groups.insert(name, words);
            return Some(());
        }
        let (strength, words) = line.split_once(' ')?;
        let strength: f32 = strength.parse().ok()?;
        let (mut terms, mut orders, mut order) = (Vec::new(), Vec::new(), Order::After);
        for word in words.split_whitespace() {
            if word == "&" {
                order = Order::Near;
                continue;
            }
            if !terms.is_empty() {
                orders.push(order);
            }
            terms.push(self.term(word)?);
            order = Order::After;
        }
        if terms.is_empty() || terms.len() > MOST_TERMS {
            return None;
        }
        self.parsed.patterns.push(Pattern { emotion: self.emotion, strength, terms, orders });
        Some(())
    }

    /// The number of a term; the same alternatives have the same one.
    fn term(&mut self, words: &'static str) -> Option<u16> {
        if let Some(&number) = self.numbers.get(words) {
            return Some(number);
        }
        let number = u16::try_from(self.parsed.term_count).ok()?;
        for alternative in words.split('|') {
            let group = if alternative.starts_with('@') {
                self.groups.get(alternative).copied()?
            } else {
                alternative
            };
            for word in group.split('|') {
                let (word, index) = match word.strip_suffix('*') {
                    Some(stem) if stem.len() >= SHORTEST_STEM => (stem, &mut self.parsed.stems),
                    Some(_) => return None,
                    None => (word, &mut self.parsed.terms),
                };
                index.entry(word).or_default().push(number);
            }
        }
        self.parsed.term_count += 1;
        self.numbers.insert(words, number);
        Some(number)
    }
}
