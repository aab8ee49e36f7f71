//! What the KV cache holds, as a tree of token runs. Pure: it decides, and tells as [`CellChange`]s
//! what llama.cpp's cells must follow.
//!
//! A run is a stretch of tokens that the same sequences hold, so it takes its cells once however many
//! there are. A sequence is a path of runs from the beginning. Two sequences that were forked share
//! the runs up to where they part.
//!
//! Invariants:
//! - The runs' lengths sum to the cells in use; with what running sequences may still need, they
//!   never exceed the capacity. So a running sequence never lacks a cell.
//! - Cells are taken only from sequences that have finished, the least recently used first, from
//!   their ends.

use llama_cpp_2::token::LlamaToken;

/// Index of a sequence, as llama.cpp counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SequenceId(usize);

impl SequenceId {
    /// As llama.cpp wants it. There are at most [`PrefixTree::MOST_SEQUENCES`].
    pub(super) fn index(self) -> i32 {
        i32::try_from(self.0).unwrap_or(i32::MAX)
    }
}

/// What must happen to llama.cpp's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CellChange {
    /// The first `tokens` of `from` belong to `to` as well.
    Share { from: SequenceId, to: SequenceId, tokens: usize },
    /// `sequence` holds nothing from position `from` on.
    Forget { sequence: SequenceId, from: usize },
}

/// The beginning that some sequence already holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeldPrefix {
    pub(super) sequence: SequenceId,
    pub(super) tokens: usize,
}

/// There is no room as long as the running sequences run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// A sequence that was let in, and what that takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    pub(super) sequence: SequenceId,
    pub(super) changes: Vec<CellChange>,
}

pub(super) struct PrefixTree {
    capacity: usize,
    runs: Vec<Run>,
    sequences: Vec<Option<Sequence>>,
    /// Counts uses, to tell older from newer.
    uses: u64,
    evicted: u64,
    shares: bool,
}

#[derive(Default)]
struct Run {
    tokens: Vec<LlamaToken>,
    holders: usize,
}

struct Sequence {
    path: Vec<usize>,
    /// Cells it may still need, while it runs; finished sequences need none.
    needs: Option<usize>,
    last_used: u64,
}

impl PrefixTree {
    /// llama.cpp's own limit.
    pub(super) const MOST_SEQUENCES: usize = 256;

    pub(super) fn new(capacity: usize, sequences: usize) -> Self {
        let sequences = sequences.min(Self::MOST_SEQUENCES);
        Self {
            capacity,
            runs: Vec::new(),
            sequences: (0..sequences).map(|_| None).collect(),
            uses: 0,
            evicted: 0,
            shares: true,
        }
    }

    /// Without sharing, no sequence begins with what another holds, and none stays when it finishes.
    pub(super) fn with_sharing(self, shares: bool) -> Self {
        Self { shares, ..self }
    }

    /// Forgets everything, as the cells were.
    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.sequences.fill_with(|| None);
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Cells that hold a token.
    pub(super) fn used(&self) -> usize {
        self.runs.iter().map(|run| run.tokens.len()).sum()
    }

    /// Tokens taken from finished sequences since the start.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The longest beginning of `prompt` that a sequence holds, running or finished.
    pub(super) fn longest_prefix(&self, prompt: &[LlamaToken]) -> Option<HeldPrefix> {
        let ids = self.ids().filter(|_| self.shares);
        ids.map(|sequence| HeldPrefix { sequence, tokens: self.common(sequence, prompt) })
            .filter(|held| held.tokens > 0)
            .max_by_key(|held| held.tokens)
    }

    /// Whether a sequence that begins with `prefix` and may come to hold `tokens` in all can be let
    /// in now.
    pub(super) fn has_room(&self, prefix: Option<HeldPrefix>, tokens: usize) -> bool {
        let shared = prefix.map_or(0, |prefix| prefix.tokens);
        let source = prefix.map(|prefix| prefix.sequence);
        let mut others = self.finished_by_use().filter(|&(_, id)| Some(id) != source);
        tokens.saturating_sub(shared) <= self.available_beside(prefix)
            && (self.sequences.iter().any(Option::is_none) || others.next().is_some())
    }

    /// Lets a sequence in that begins with `prefix` and may come to hold `tokens` in all.
    pub(super) fn admit(
        &mut self,
        prefix: Option<HeldPrefix>,
        tokens: usize,
    ) -> Result<Admitted, Full> {
        if !self.has_room(prefix, tokens) {
            return Err(Full);
        }
        let needs = tokens.saturating_sub(prefix.map_or(0, |prefix| prefix.tokens));
        // Held from now on, so making room can't take it away.
        let path = prefix.map_or_else(Vec::new, |prefix| self.split(prefix));
        for &run in &path {
            self.runs[run].holders += 1;
        }
        let mut changes = Vec::new();
        let free = self.free_sequence(prefix.map(|prefix| prefix.sequence), &mut changes);
        let Some(sequence) = free else {
            self.drop_path(&path);
            return Err(Full);
        };
        let source = prefix.filter(|prefix| prefix.tokens > 0);
        changes.extend(source.map(|prefix| CellChange::Share {
            from: prefix.sequence,
            to: sequence,
            tokens: prefix.tokens,
        }));
        let last_used = self.next_use();
        if let Some(source) = source.and_then(|prefix| self.sequences[prefix.sequence.0].as_mut()) {
            source.last_used = last_used;
        }
        self.sequences[sequence.0] = Some(Sequence { path, needs: Some(needs), last_used });
        self.make_room(&mut changes);
        Ok(Admitted { sequence, changes })
    }

    /// Appends what was read into a running sequence.
    pub(super) fn extend(&mut self, sequence: SequenceId, tokens: &[LlamaToken]) {
        if tokens.is_empty() {
            return;
        }
        let Some(held) = self.sequences[sequence.0].as_mut() else { return };
        held.needs = held.needs.map(|needs| needs.saturating_sub(tokens.len()));
        match held.path.last() {
            Some(&last) if self.runs[last].holders == 1 => {
                self.runs[last].tokens.extend_from_slice(tokens);
            }
            _ => {
                let run = self.new_run(tokens.to_vec());
                if let Some(held) = self.sequences[sequence.0].as_mut() {
                    held.path.push(run);
                }
            }
        }
    }

    /// A running sequence came to need no more than `tokens` further cells.
    pub(super) fn needs_only(&mut self, sequence: SequenceId, tokens: usize) {
        if let Some(held) = self.sequences[sequence.0].as_mut() {
            held.needs = held.needs.map(|needs| needs.min(tokens));
        }
    }

    /// The sequence runs no longer; its tokens stay for whoever begins alike. One that others hold
    /// whole goes at once.
    pub(super) fn finish(&mut self, sequence: SequenceId) -> Option<CellChange> {
        let last_used = self.next_use();
        let held = self.sequences[sequence.0].as_mut()?;
        held.needs = None;
        held.last_used = last_used;
        let tokens = self.tokens(sequence);
        let elsewhere = !self.shares
            || self.ids().any(|id| id != sequence && self.common(id, &tokens) == tokens.len());
        elsewhere.then(|| self.release(sequence))
    }

    /// Gives up a sequence and what only it held.
    pub(super) fn release(&mut self, sequence: SequenceId) -> CellChange {
        if let Some(held) = self.sequences[sequence.0].take() {
            self.drop_path(&held.path);
        }
        CellChange::Forget { sequence, from: 0 }
    }

    /// Finished sequences, the most recently used first.
    pub(super) fn live(&self) -> impl Iterator<Item = SequenceId> {
        let taken = self.sequences.iter().enumerate().filter(|(_, sequence)| sequence.is_some());
        taken.map(|(at, _)| SequenceId(at))
    }

    pub(super) fn finished(&self) -> Vec<SequenceId> {
        let mut finished: Vec<_> = self.finished_by_use().collect();
        finished.sort_unstable_by_key(|&(last_used, _)| std::cmp::Reverse(last_used));
        finished.into_iter().map(|(_, sequence)| sequence).collect()
    }

    pub(super) fn tokens(&self, sequence: SequenceId) -> Vec<LlamaToken> {
        self.path(sequence).flat_map(|run| run.tokens.iter().copied()).collect()
    }

    pub(super) fn length(&self, sequence: SequenceId) -> usize {
        self.path(sequence).map(|run| run.tokens.len()).sum()
    }

    fn ids(&self) -> impl Iterator<Item = SequenceId> + '_ {
        let taken = self.sequences.iter().enumerate().filter(|(_, sequence)| sequence.is_some());
        taken.map(|(index, _)| SequenceId(index))
    }

    fn path(&self, sequence: SequenceId) -> impl Iterator<Item = &Run> + '_ {
        let path = self.sequences[sequence.0].iter().flat_map(|held| &held.path);
        path.map(|&run| &self.runs[run])
    }

    fn common(&self, sequence: SequenceId, prompt: &[LlamaToken]) -> usize {
        let mut common = 0;
        for run in self.path(sequence) {
            let rest = &prompt[common..];
            let same = run.tokens.iter().zip(rest).take_while(|(one, other)| one == other).count();
            common += same;
            if same < run.tokens.len() {
                break;
            }
        }
        common
    }

    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    fn needed(&self) -> usize {
        self.sequences.iter().flatten().filter_map(|sequence| sequence.needs).sum()
    }

    /// Cells that could be had for a newcomer with this prefix: those free, and those that only
    /// finished sequences hold, the prefix aside.
    fn available_beside(&self, prefix: Option<HeldPrefix>) -> usize {
        let mut kept = vec![false; self.runs.len()];
        for sequence in self.sequences.iter().flatten().filter(|held| held.needs.is_some()) {
            for &run in &sequence.path {
                kept[run] = true;
            }
        }
        let held = kept.iter().zip(&self.runs).filter(|(kept, _)| **kept);
        let mut occupied: usize = held.map(|(_, run)| run.tokens.len()).sum();
        if let Some(prefix) = prefix {
            let mut rest = prefix.tokens;
            for &run in self.sequences[prefix.sequence.0].iter().flat_map(|held| &held.path) {
                let length = self.runs[run].tokens.len().min(rest);
                rest -= length;
                if !kept[run] {
                    occupied += length;
                }
            }
        }
        self.capacity.saturating_sub(occupied + self.needed())
    }

    /// The path of the prefix; the run that it ends within is cut there.
    fn split(&mut self, prefix: HeldPrefix) -> Vec<usize> {
        let source = self.sequences[prefix.sequence.0].as_ref();
        let source = source.map(|held| held.path.clone()).unwrap_or_default();
        let mut path = Vec::new();
        let mut rest = prefix.tokens;
        for run in source {
            if rest == 0 {
                break;
            }
            let length = self.runs[run].tokens.len();
            if length > rest {
                self.cut(run, rest);
            }
            rest = rest.saturating_sub(length);
            path.push(run);
        }
        path
    }

    /// Makes two runs of one, in the path of every sequence that holds it.
    fn cut(&mut self, run: usize, at: usize) {
        let tail = self.runs[run].tokens.split_off(at);
        let holders = self.runs[run].holders;
        let tail = self.new_run(tail);
        self.runs[tail].holders = holders;
        for sequence in self.sequences.iter_mut().flatten() {
            if let Some(place) = sequence.path.iter().position(|&held| held == run) {
                sequence.path.insert(place + 1, tail);
            }
        }
    }

    /// A run with one holder, in a place nobody holds any more if there is one.
    fn new_run(&mut self, tokens: Vec<LlamaToken>) -> usize {
        let run = Run { tokens, holders: 1 };
        if let Some(place) = self.runs.iter().position(|run| run.holders == 0) {
            self.runs[place] = run;
            place
        } else {
            self.runs.push(run);
            self.runs.len() - 1
        }
    }

    fn drop_path(&mut self, path: &[usize]) {
        for &run in path {
            let run = &mut self.runs[run];
            run.holders -= 1;
            if run.holders == 0 {
                run.tokens = Vec::new();
            }
        }
    }

    fn finished_by_use(&self) -> impl Iterator<Item = (u64, SequenceId)> + '_ {
        self.ids().filter_map(|id| {
            let sequence = self.sequences[id.0].as_ref()?;
            sequence.needs.is_none().then_some((sequence.last_used, id))
        })
    }

    /// A place for one more sequence; if there is none, the least recently used finished one's.
    /// `source` is still to be copied from.
    fn free_sequence(
        &mut self,
        source: Option<SequenceId>,
        changes: &mut Vec<CellChange>,
    ) -> Option<SequenceId> {
        if let Some(free) = self.sequences.iter().position(Option::is_none) {
            return Some(SequenceId(free));
        }
        let finished = self.finished_by_use().filter(|&(_, id)| Some(id) != source);
        let (_, oldest) = finished.min()?;
        let before = self.used();
        changes.push(self.release(oldest));
        self.count_evicted(before);
        Some(oldest)
    }

    /// Takes from finished sequences what the running ones may need.
    fn make_room(&mut self, changes: &mut Vec<CellChange>) {
        let before = self.used();
        while self.used() + self.needed() > self.capacity {
            let missing = self.used() + self.needed() - self.capacity;
            let Some((_, oldest)) = self.finished_by_use().min() else { break };
            changes.push(self.shorten(oldest, missing));
        }
        self.count_evicted(before);
    }

    fn count_evicted(&mut self, before: usize) {
        self.evicted += (before - self.used()) as u64;
    }

    /// Takes up to so many tokens from the end of a finished sequence, or all of it if others hold
    /// its end.
    fn shorten(&mut self, sequence: SequenceId, tokens: usize) -> CellChange {
        let length = self.length(sequence);
        let last = self.sequences[sequence.0].as_ref().and_then(|held| held.path.last().copied());
        match last {
            Some(last) if self.runs[last].holders == 1 => {
                let run = &mut self.runs[last].tokens;
                let keep = run.len().saturating_sub(tokens);
                let taken = run.len() - keep;
                run.truncate(keep);
                if taken == length {
                    return self.release(sequence);
                }
                if keep == 0 {
                    self.runs[last].holders = 0;
                    if let Some(held) = self.sequences[sequence.0].as_mut() {
                        held.path.pop();
                    }
                }
                CellChange::Forget { sequence, from: length - taken }
            }
            _ => self.release(sequence),
        }
    }
}

#[cfg(test)]
mod tests;
