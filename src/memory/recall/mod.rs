//! Finding what was said: an index over one talk's messages along one path of its tree, searched for
//! what belongs to the newest message.
//!
//! A message is found by its words (BM25) and by its meaning (vectors), both seen together with its
//! two neighbours; a message of the speaker whom the query names gains a little, one that only asks
//! loses a little. Emotion reorders what was found, within steps that it can't cross.
//!
//! Pure: no I/O, no clock, no model. The index is a log (push, truncate), and what it answers about
//! its first n entries depends on these n alone: never on entries after them or cut off before.
//! Vectors are kept in 16 bits a component, and a search is exact on them: a first pass reads half
//! the bits and bounds its error, and everything that could be among the best is scored in full.

mod asking;
mod emotion;
mod named;
mod search;
#[cfg(test)]
mod tests;

pub use named::without_names;

use crate::retrieval::{Lexicon, Vectors, grow, terms};

/// An index over the messages of one talk, the oldest first. Cheap to create.
#[derive(Debug)]
pub struct Index {
    lexicon: Lexicon,
    vectors: Vectors,
    marks: Vec<Mark>,
    /// Everybody who ever spoke, in lower case. Few, so that a list is searched as fast as a map.
    speakers: Vec<Box<str>>,
}

/// What the index keeps of an entry besides its words and vectors.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// 0 to 1.
    importance: f32,
    /// Place in the list of speakers, from 1; 0 where nobody is named.
    speaker: u16,
    emotion: Option<u8>,
    /// How much of the text asks, in 255ths.
    asking: u8,
}

/// A message to remember.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry<'a> {
    pub text: &'a str,
    /// The speaker's name, as the participants are named in a [`Query`].
    pub speaker: Option<&'a str>,
    /// The vector of the text. Vectors of the wrong length, or that have no direction (zeros, not
    /// numbers), count as missing; the length of the others does not matter.
    pub vector: Option<&'a [f32]>,
    /// The vector of the previous message and this one, in one text.
    pub window: Option<&'a [f32]>,
    /// The number of an emotion. Neutral messages have none.
    pub emotion: Option<u8>,
    /// 0 to 1; beyond, it is held to that range.
    pub importance: f32,
}

/// What to search for.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    pub text: &'a str,
    /// The vector of [`without_names`] of the text. Without it, words alone decide.
    pub vector: Option<&'a [f32]>,
    /// The names of those who take part in the talk.
    pub participants: &'a [String],
    /// Only the first so many entries are searched.
    pub upto: usize,
    /// The current emotion, unless it is neutral.
    pub emotion: Option<u8>,
}

/// A message that was found, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Which entry, counted from the oldest, 0.
    pub position: usize,
    /// How well it fits: nearly always between 0 and 1, the best of a talk mostly near 1. Scores of
    /// different queries can't be compared. Emotion isn't in it.
    pub score: f32,
    /// The mean of the query's cosines with the turn and with the window, -1 to 1.
    pub cosine: Option<f32>,
    /// BM25 of the entry's own words; 0 if it shares none with the query.
    pub bm25: f32,
    /// The query names the one who said it.
    pub speaker_named: bool,
    /// By what emotion multiplied the score before the hits were put in order; mostly 1.
    pub emotion_factor: f32,
    /// Without emotion it would stand in another place.
    pub moved_by_emotion: bool,
}

impl Index {
    /// For vectors of so many components. With 0, every vector counts as missing.
    pub fn new(dimensions: usize) -> Self {
        Self {
            lexicon: Lexicon::default(),
            vectors: Vectors::new(dimensions),
            marks: Vec::new(),
            speakers: Vec::new(),
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Adds the next message of the path.
    pub fn push(&mut self, entry: &Entry) {
        self.lexicon.push(terms(entry.text));
        self.vectors.push(entry.vector, entry.window);
        grow(&mut self.marks);
        let mark = Mark {
            importance: held_to_range(entry.importance),
            speaker: self.speaker(entry.speaker),
            emotion: entry.emotion,
            asking: asking::asking(entry.text),
        };
        self.marks.push(mark);
    }

    /// Gives an entry its vectors, which may come later than its text. Without a window, the turn
    /// alone counts. Does nothing where there is no such entry.
    pub fn set_vectors(&mut self, position: usize, turn: &[f32], window: Option<&[f32]>) {
        self.vectors.set(position, Some(turn), window);
    }

    /// Judges an entry's emotion and importance anew. Does nothing where there is no such entry.
    pub fn set_emotion(&mut self, position: usize, emotion: Option<u8>, importance: f32) {
        if let Some(mark) = self.marks.get_mut(position) {
            mark.emotion = emotion;
            mark.importance = held_to_range(importance);
        }
    }

    /// Forgets all but the first `len` entries, as if they had never been pushed.
    pub fn truncate(&mut self, len: usize) {
        self.lexicon.truncate(len);
        self.vectors.truncate(len);
        self.marks.truncate(len);
    }

    /// The memory it takes, in bytes: what it has allocated, the allocator's own needs aside.
    pub fn bytes(&self) -> usize {
        let speakers = self.speakers.capacity() * size_of::<Box<str>>()
            + self.speakers.iter().map(|name| name.len()).sum::<usize>();
        let marks = self.marks.capacity() * size_of::<Mark>();
        size_of::<Self>() + self.lexicon.bytes() + self.vectors.bytes() + marks + speakers
    }

    /// The `limit` entries that belong most to the query, best first. Fewer where nothing speaks for
    /// the others: no shared word, and no vector.
    pub fn search(&self, query: &Query, limit: usize) -> Vec<Hit> {
        search::search(self, query, limit)
    }

    fn speaker(&mut self, name: Option<&str>) -> u16 {
        let Some(name) =
            name.map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty())
        else {
            return 0;
        };
        if let Some(known) = self.speakers.iter().position(|speaker| **speaker == *name) {
            return u16::try_from(known + 1).unwrap_or(0);
        }
        if self.speakers.len() == MOST_SPEAKERS {
            return 0;
        }
        self.speakers.push(name.into());
        u16::try_from(self.speakers.len()).unwrap_or(0)
    }
}

/// Speakers that a talk tells apart; those after are nobody.
const MOST_SPEAKERS: usize = 1_000;

fn held_to_range(importance: f32) -> f32 {
    if importance.is_nan() { 0.0 } else { importance.clamp(0.0, 1.0) }
}
