//! Which entries are active, and why. A pure function: the same book, talk, timers and seed give the
//! same entries.
//!
//! Round by round: what the talk activates, then what the text of those activates, and so on. Within
//! a round constants come first, then higher priority, then higher order, as long as the budget lasts.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

use super::keys::{Key, Occurrences};
use super::timers::Phase;
use super::{Entry, Logic, Lorebook, Position, Timers};
use crate::persona::card::with_names;

/// Rounds in which the text of entries activates others.
const MOST_ROUNDS: usize = 16;
/// Of the window, where a book names no budget: one in so many tokens.
const SHARE_OF_WINDOW: usize = 4;

/// The talk as it is.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    /// The newest last; as many as there are at hand.
    pub messages: &'a [&'a str],
    /// Messages in the talk, the newest included.
    pub said: usize,
    /// Tokens that the model sees.
    pub window: usize,
    /// For what happens by chance.
    pub seed: u64,
    pub character: &'a str,
    pub user: &'a str,
}

/// What a talk activates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activation {
    /// By position, then order.
    pub active: Vec<Active>,
    /// Entries that would have been active, each with why it isn't.
    pub left_out: Vec<(String, String)>,
    /// To be kept for the next message.
    pub timers: Timers,
}

/// One entry that goes into the prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// One of its kind in the book.
    pub id: String,
    /// For people.
    pub title: String,
    /// With names in the place of their placeholders.
    pub text: String,
    pub position: Position,
    pub order: i64,
    /// Whether it is always active.
    pub is_constant: bool,
    pub why: String,
}

impl Lorebook {
    /// `cost` counts the tokens of a text.
    pub fn activate(
        &self,
        scan: &Scan<'_>,
        timers: &Timers,
        cost: &dyn Fn(&str) -> usize,
    ) -> Activation {
        let deepest = self.entries.iter().map(|entry| entry.scan_depth).max().unwrap_or(0);
        let first = scan.messages.len().saturating_sub(deepest);
        let names = (scan.character, scan.user);
        let levels = self.entries.iter().map(|entry| entry.recursion_level);
        let mut run = Run {
            book: self,
            scan,
            timers,
            cost,
            occurrences: Occurrences::find(&self.index, &scan.messages[first..], names),
            is_settled: vec![false; self.entries.len()],
            levels: levels.filter(|level| *level > 0).collect(),
            level: 0,
            left: self.token_budget.unwrap_or(scan.window / SHARE_OF_WINDOW),
            active: Vec::new(),
            left_out: Vec::new(),
        };
        run.level = run.levels.pop_first().unwrap_or(0);
        run.rounds();
        run.finish()
    }
}

struct Run<'a> {
    book: &'a Lorebook,
    scan: &'a Scan<'a>,
    timers: &'a Timers,
    cost: &'a dyn Fn(&str) -> usize,
    occurrences: Occurrences<'a>,
    /// Entries that are active or left out.
    is_settled: Vec<bool>,
    /// Levels of delayed entries that are still to come, and the one that has come.
    levels: BTreeSet<u32>,
    level: u32,
    /// Of the budget.
    left: usize,
    active: Vec<(usize, Active)>,
    left_out: Vec<(String, String)>,
}

impl Run<'_> {
    fn rounds(&mut self) {
        for round in 0..=MOST_ROUNDS {
            let has_new_text = self.round(round > 0);
            if !self.book.is_recursive {
                return;
            }
            if !has_new_text {
                let Some(level) = self.levels.pop_first() else { return };
                self.level = level;
            }
        }
    }

    /// Whether there is text now that may activate more.
    fn round(&mut self, is_recursion: bool) -> bool {
        let mut found = Vec::new();
        for (at, entry) in self.book.entries.iter().enumerate() {
            if self.is_settled[at] || !entry.is_enabled || !self.is_open(entry, is_recursion) {
                continue;
            }
            if let Some(why) = self.trigger(entry) {
                self.is_settled[at] = true;
                match self.hindrance(entry) {
                    Some(why) => self.left_out.push((entry.id.clone(), why)),
                    None => found.push((at, why)),
                }
            }
        }
        found.sort_by_key(|(at, _)| {
            let entry = &self.book.entries[*at];
            (!entry.is_constant, Reverse(entry.priority), Reverse(entry.order), *at)
        });
        let mut has_new_text = false;
        for (at, why) in found {
            has_new_text |= self.take(at, why);
        }
        has_new_text
    }

    /// Whether the round is one in which this entry can be activated.
    fn is_open(&self, entry: &Entry, is_recursion: bool) -> bool {
        if matches!(self.timers.phase(entry, self.scan.said), Phase::Sticks(_)) {
            return true;
        }
        if is_recursion {
            !entry.excludes_recursion && entry.recursion_level <= self.level
        } else {
            entry.recursion_level == 0
        }
    }

    /// Why it is active, if it is.
    fn trigger(&mut self, entry: &Entry) -> Option<String> {
        if let Phase::Sticks(more) = self.timers.phase(entry, self.scan.said) {
            return Some(match entry.sticky {
                usize::MAX => "it stays".to_owned(),
                _ => format!("it stays, for {more} messages more"),
            });
        }
        if entry.is_constant {
            return Some("it is constant".to_owned());
        }
        let depth = entry.scan_depth;
        let key = *entry.keys.iter().find(|key| self.occurrences.has(**key, depth))?;
        let mut holds =
            |keys: &[Key]| keys.iter().filter(|key| self.occurrences.has(**key, depth)).count();
        let (of, there) = (entry.secondary.len(), holds(&entry.secondary));
        let agrees = of == 0
            || match entry.logic {
                Logic::AndAny => there > 0,
                Logic::NotAll => there < of,
                Logic::NotAny => there == 0,
                Logic::AndAll => there == of,
            };
        let is_complete = entry.required.iter().all(|keys| holds(keys) > 0);
        let is_excluded = holds(&entry.excluded) > 0;
        (agrees && is_complete && !is_excluded)
            .then(|| format!("its key {:?} was said", self.book.index.text(key)))
    }

    /// What keeps an entry back whose keys were said.
    fn hindrance(&self, entry: &Entry) -> Option<String> {
        let Scan { said, seed, .. } = *self.scan;
        if said < entry.delay {
            return Some(format!("it waits until {} messages are said", entry.delay));
        }
        match self.timers.phase(entry, said) {
            Phase::Sticks(_) => return None,
            Phase::Rests(_) if entry.cooldown == usize::MAX => {
                return Some("it is told only once".to_owned());
            }
            Phase::Rests(more) => {
                return Some(format!("it rests, for {more} messages more"));
            }
            Phase::Ready => {}
        }
        if entry.every > 1 && said % entry.every != 0 {
            return Some(format!("it comes at every {}th message only", entry.every));
        }
        let is_lucky = entry.probability >= 100.0 || chance(seed, &entry.id) < entry.probability;
        (!is_lucky).then(|| format!("its chance of {} % did not come", entry.probability))
    }

    /// Makes an entry active, if the budget allows. Whether its text may activate more.
    fn take(&mut self, at: usize, why: String) -> bool {
        let entry = &self.book.entries[at];
        let text = with_names(&entry.content, self.scan.character, self.scan.user);
        let tokens = (self.cost)(&text);
        if tokens > self.left {
            let why = format!("its {tokens} tokens don't fit in the {} that are left", self.left);
            self.left_out.push((entry.id.clone(), why));
            return false;
        }
        self.left -= tokens;
        let may_activate = self.book.is_recursive && !entry.prevents_recursion;
        if may_activate {
            self.occurrences.add(&text);
        }
        let active = Active {
            id: entry.id.clone(),
            title: entry.title.clone(),
            text,
            position: entry.position,
            order: entry.order,
            is_constant: entry.is_constant,
            why,
        };
        self.active.push((at, active));
        may_activate
    }

    fn finish(mut self) -> Activation {
        let said = self.scan.said;
        let mut timers = self.timers.going_on(self.book.entries.iter(), said);
        for (at, _) in &self.active {
            timers.note(&self.book.entries[*at], said);
        }
        for (at, entry) in self.book.entries.iter().enumerate() {
            let runaway = self.occurrences.runaway(&entry.keys);
            if let Some(key) = runaway.filter(|_| !self.is_settled[at]) {
                let why = format!("its key {key} takes too long to look for; make it simpler");
                self.left_out.push((entry.id.clone(), why));
            }
        }
        self.active.sort_by_key(|(at, active)| (active.position, active.order, *at));
        let active = self.active.into_iter().map(|(_, active)| active).collect();
        Activation { active, left_out: self.left_out, timers }
    }
}

/// From 0 to 100, for each entry its own.
fn chance(seed: u64, id: &str) -> f64 {
    // FNV-1a, so that it stays the same in every build.
    let of_id = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    ChaCha12Rng::seed_from_u64(seed ^ of_id).random_range(0.0..100.0)
}
