//! What lasts from turn to turn: which entries were activated at which length of the talk. Small, and
//! kept by whoever keeps the talk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Entry;

/// Messages there were when an entry was activated, by its id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timers(BTreeMap<String, usize>);

/// What an earlier activation means now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Ready,
    /// It stays active, for so many more messages.
    Sticks(usize),
    /// It can't be activated, for so many more messages.
    Rests(usize),
}

impl Timers {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As SillyTavern counts: `sticky` messages, the one that activated it among them, and then
    /// `cooldown`. An activation at this message or a later one is none: the talk went back before it.
    pub(super) fn phase(&self, entry: &Entry, said: usize) -> Phase {
        let Some(&at) = self.0.get(&entry.id).filter(|at| **at < said) else {
            return Phase::Ready;
        };
        let sticks_until = at.saturating_add(entry.sticky);
        let rests_until = sticks_until.saturating_add(entry.cooldown);
        if said < sticks_until {
            Phase::Sticks(sticks_until - said)
        } else if said < rests_until {
            Phase::Rests(rests_until - said)
        } else {
            Phase::Ready
        }
    }

    /// What of it goes on.
    pub(super) fn going_on<'a>(
        &self,
        entries: impl Iterator<Item = &'a Entry>,
        said: usize,
    ) -> Self {
        let lasting = entries.filter(|entry| self.phase(entry, said) != Phase::Ready);
        Self(lasting.filter_map(|it| Some((it.id.clone(), *self.0.get(&it.id)?))).collect())
    }

    /// Notes an activation that means something later.
    pub(super) fn note(&mut self, entry: &Entry, said: usize) {
        if entry.sticky > 0 || entry.cooldown > 0 {
            self.0.entry(entry.id.clone()).or_insert(said);
        }
    }
}
