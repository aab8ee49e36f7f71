//! A card's book: entries that come into the prompt when the talk touches them. Read leniently (a
//! faulty entry is left out with a warning); activated by a pure function of book, talk and timers.
//!
//! Meanings are those of SillyTavern's world info and of the V3 cards' decorators. Where the two and
//! this server differ: what SillyTavern puts around example messages or an author's note goes behind
//! the character or to depth 4; groups of which one entry is chosen are not known; keys match whole words
//! unless an entry says otherwise; and of a message its text is scanned, not the speaker's name before it.

mod activation;
mod decorators;
mod fields;
mod keys;
mod reading;
#[cfg(test)]
mod tests;
mod timers;

use std::fmt;

pub use self::activation::{Activation, Active, Scan};
use self::keys::{Index, Key};
pub use self::timers::Timers;

/// The entries of a book, ready to be activated.
#[derive(Default)]
pub struct Lorebook {
    entries: Vec<Entry>,
    index: Index,
    /// Of all that is active, in tokens; else a quarter of the window.
    token_budget: Option<usize>,
    /// Whether what is active can activate more.
    is_recursive: bool,
}

/// Where an entry's text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    BeforeCharacter,
    AfterCharacter,
    /// Before so many of the newest messages, said by this role.
    AtDepth {
        depth: usize,
        role: Role,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    System,
    User,
    Assistant,
}

/// How secondary keys decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Logic {
    AndAny,
    NotAll,
    NotAny,
    AndAll,
}

#[expect(clippy::struct_excessive_bools, reason = "switches of the format, free of each other")]
struct Entry {
    /// One of its kind in the book; the same in every reading of it.
    id: String,
    /// For people.
    title: String,
    content: String,
    keys: Vec<Key>,
    secondary: Vec<Key>,
    logic: Logic,
    /// Of each, one must be there, too.
    required: Vec<Vec<Key>>,
    /// None of them may be there.
    excluded: Vec<Key>,
    is_enabled: bool,
    is_constant: bool,
    position: Position,
    /// The higher, the later in the prompt, and the longer in the budget.
    order: i64,
    priority: i64,
    /// In percent.
    probability: f64,
    /// In messages.
    sticky: usize,
    cooldown: usize,
    delay: usize,
    /// Only where the talk's length is a multiple of it.
    every: usize,
    /// Whether the text of other entries activates it not.
    excludes_recursion: bool,
    /// Whether its text activates no others.
    prevents_recursion: bool,
    /// From 1 on: only the text of other entries activates it, after those of lower levels.
    recursion_level: u32,
    /// In messages.
    scan_depth: usize,
}

impl Lorebook {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Entries there are, disabled ones included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

impl fmt::Debug for Lorebook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Lorebook").field("entries", &self.len()).finish_non_exhaustive()
    }
}
