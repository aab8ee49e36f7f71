//! The entries of a lorebook that the talk touches, and where they stand. What is always active stands
//! beside the persona; what comes and goes stands with what came to mind, just before the newest
//! message, whatever the book says: moving it must not have the whole prompt read again. Entries at a
//! depth stand there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Turn;
use crate::chat::Lore;
use crate::engine::{Message, Role};
use crate::persona::lorebook::{self, Activation, Active, Position, Scan, Timers};
use crate::tokens::TokenCounter;

/// What of a book is in play this turn.
#[derive(Default)]
pub(super) struct InPlay {
    pub(super) entries: Vec<Entry>,
    /// Entries that the talk touched, and why they are left out all the same.
    pub(super) left_out: Vec<(String, String)>,
    /// For the next turn, where something lasts.
    pub(super) timers: Option<String>,
}

/// Timers, and whose they are.
#[derive(Serialize, Deserialize)]
struct Kept {
    book: String,
    timers: Timers,
}

pub(super) struct Entry {
    /// What the receipt calls it.
    pub(super) id: String,
    pub(super) text: String,
    pub(super) why: String,
    pub(super) stands: Stands,
}

/// Where an entry stands in the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    BeforePersona,
    AfterPersona,
    /// With what came to mind.
    InMind,
    /// Before so many of the newest messages.
    AtDepth(usize, Role),
}

impl InPlay {
    /// Activates the book by the talk's newest messages, those left out of the prompt included.
    pub(super) fn new(
        lore: &Lore,
        timers: Option<&str>,
        turns: &[Turn],
        window: usize,
        counter: &dyn TokenCounter,
    ) -> Self {
        let messages: Vec<&str> = turns.iter().map(Turn::text).collect();
        let scan = Scan {
            messages: &messages,
            said: turns.last().map_or(0, |newest| newest.depth + 1),
            window,
            seed: lore.seed,
            character: &lore.character,
            user: &lore.user,
        };
        // Those of another book, or of an earlier version that can't be read, mean nothing.
        let kept: Option<Kept> = timers.and_then(|text| serde_json::from_str(text).ok());
        let timers = kept.filter(|kept| kept.book == lore.key).map(|kept| kept.timers);
        let timers = timers.unwrap_or_default();
        let cost = |text: &str| counter.count(text).get();
        let Activation { active, left_out, timers, .. } = lore.book.activate(&scan, &timers, &cost);
        Self {
            entries: active.into_iter().map(Entry::from).collect(),
            left_out,
            timers: (!timers.is_empty())
                .then(|| serde_json::to_string(&Kept { book: lore.key.clone(), timers }).ok())
                .flatten(),
        }
    }

    /// Those that stand before and after the persona.
    pub(super) fn beside_persona(&self) -> impl Iterator<Item = &Entry> {
        self.standing(Stands::BeforePersona).chain(self.standing(Stands::AfterPersona))
    }

    pub(super) fn standing(&self, wanted: Stands) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.stands == wanted)
    }

    /// Messages by the position on the path of the message that they stand before; one past the
    /// newest stands for the end. What would stand before the first in the prompt stands there.
    pub(super) fn by_depth(
        &self,
        first: usize,
        newest: usize,
        placed: &dyn Fn(&str) -> Option<String>,
    ) -> BTreeMap<usize, Vec<Message>> {
        let mut by_depth: BTreeMap<usize, Vec<Message>> = BTreeMap::new();
        for entry in &self.entries {
            let Stands::AtDepth(depth, role) = entry.stands else { continue };
            let Some(text) = placed(&entry.id) else { continue };
            let before = (newest + 1).saturating_sub(depth).clamp(first, newest + 1);
            by_depth.entry(before).or_default().push(Message::new(role, text));
        }
        by_depth
    }
}

impl From<Active> for Entry {
    fn from(active: Active) -> Self {
        let stands = match active.position {
            Position::AtDepth { depth, role } => Stands::AtDepth(depth, role_of(role)),
            _ if !active.is_constant => Stands::InMind,
            Position::BeforeCharacter => Stands::BeforePersona,
            Position::AfterCharacter => Stands::AfterPersona,
        };
        Self { id: format!("lore-{}", active.id), text: active.text, why: active.why, stands }
    }
}

fn role_of(role: lorebook::Role) -> Role {
    match role {
        lorebook::Role::System => Role::System,
        lorebook::Role::User => Role::User,
        lorebook::Role::Assistant => Role::Assistant,
    }
}
