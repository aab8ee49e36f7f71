use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const CAPACITY: usize = 40;
const SEQUENCES: usize = 5;

/// llama.cpp's cells: each with a position, a token, and the sequences that hold it.
#[derive(Default)]
struct Cells(Vec<(usize, LlamaToken, BTreeSet<SequenceId>)>);

impl Cells {
    fn apply(&mut self, changes: impl IntoIterator<Item = CellChange>) {
        for change in changes {
            for (position, _, holders) in &mut self.0 {
                match change {
                    CellChange::Share { from, to, tokens } => {
                        if *position < tokens && holders.contains(&from) {
                            holders.insert(to);
                        }
                    }
                    CellChange::Forget { sequence, from } => {
                        if *position >= from {
                            holders.remove(&sequence);
                        }
                    }
                }
            }
            self.0.retain(|(_, _, holders)| !holders.is_empty());
        }
    }

    fn tokens(&self, sequence: SequenceId) -> Vec<LlamaToken> {
        let mut held: Vec<_> =
            self.0.iter().filter(|(_, _, holders)| holders.contains(&sequence)).collect();
        held.sort_by_key(|(position, ..)| *position);
        assert!(held.iter().enumerate().all(|(place, (position, ..))| place == *position));
        held.into_iter().map(|(_, token, _)| *token).collect()
    }
}

/// A running sequence of the model: what it was asked to read, and how far it came.
struct Runner {
    sequence: SequenceId,
    all: Vec<LlamaToken>,
    read: usize,
}

struct World {
    tree: PrefixTree,
    cells: Cells,
    runners: Vec<Runner>,
}

impl World {
    fn new() -> Self {
        let tree = PrefixTree::new(CAPACITY, SEQUENCES);
        Self { tree, cells: Cells::default(), runners: Vec::new() }
    }

    fn admit(&mut self, all: Vec<LlamaToken>, peak: usize) -> Result<usize, Full> {
        let prefix = self.tree.longest_prefix(&all).map(|mut held| {
            held.tokens = held.tokens.min(all.len() - 1);
            held
        });
        let Admitted { sequence, changes } = self.tree.admit(prefix, all.len().max(peak))?;
        self.cells.apply(changes);
        let read = prefix.map_or(0, |held| held.tokens);
        self.tree.needs_only(sequence, all.len() - read);
        self.runners.push(Runner { sequence, all, read });
        Ok(read)
    }

    fn extend(&mut self, runner: usize, count: usize) {
        let Runner { sequence, all, read } = &mut self.runners[runner];
        let end = all.len().min(*read + count);
        for (position, &token) in all.iter().enumerate().take(end).skip(*read) {
            self.cells.0.push((position, token, BTreeSet::from([*sequence])));
        }
        self.tree.extend(*sequence, &all[*read..end]);
        *read = end;
    }

    fn finish(&mut self, runner: usize) {
        let runner = self.runners.remove(runner);
        self.cells.apply(self.tree.finish(runner.sequence));
    }

    fn check(&self) {
        assert_eq!(self.tree.used(), self.cells.0.len(), "the tree counts every cell once");
        assert!(self.tree.used() + self.tree.needed() <= CAPACITY, "what may be needed is there");
        for id in self.tree.ids() {
            assert_eq!(self.tree.tokens(id), self.cells.tokens(id));
            assert_eq!(self.tree.length(id), self.cells.tokens(id).len());
        }
        for runner in &self.runners {
            let held = self.tree.tokens(runner.sequence);
            assert_eq!(held, runner.all[..runner.read], "a running sequence loses nothing");
        }
        for (index, run) in self.tree.runs.iter().enumerate() {
            let holders = self.tree.sequences.iter().flatten();
            let count = holders.filter(|held| held.path.contains(&index)).count();
            assert_eq!(run.holders, count);
            assert_eq!(run.tokens.is_empty(), run.holders == 0);
        }
    }
}

fn tokens(text: &str) -> Vec<LlamaToken> {
    text.bytes().map(|byte| LlamaToken(i32::from(byte))).collect()
}

#[test]
fn a_fork_takes_cells_only_for_what_differs() {
    let mut world = World::new();
    world.admit(tokens("the story, editor"), 0).unwrap();
    world.extend(0, 100);
    assert_eq!(world.admit(tokens("the story, rater"), 0), Ok(11));
    assert_eq!(world.tree.used(), 17);
    world.extend(1, 100);
    assert_eq!(world.tree.used(), 17 + 5);
    world.check();
}

#[test]
fn what_can_not_fit_now_waits_and_takes_nothing_from_anybody() {
    let mut world = World::new();
    world.admit(tokens(&"a".repeat(20)), 0).unwrap();
    world.extend(0, 5);
    world.finish(0);
    world.admit(tokens(&"b".repeat(30)), 0).unwrap();
    let before = world.tree.used();
    assert_eq!(world.admit(tokens(&"c".repeat(11)), 0), Err(Full));
    assert_eq!(world.tree.used(), before);
    assert_eq!(world.admit(tokens(&"c".repeat(10)), 0), Ok(0));
    world.check();
}

#[test]
fn the_least_recently_used_loses_its_end_first() {
    let mut world = World::new();
    for text in ["first one", "second one"] {
        world.admit(tokens(text), 0).unwrap();
        world.extend(0, 100);
        world.finish(0);
    }
    world.admit(tokens(&"x".repeat(CAPACITY - 15)), 0).unwrap();
    let left = |text: &str| world.tree.longest_prefix(&tokens(text)).map_or(0, |held| held.tokens);
    assert_eq!(left("first one"), 5);
    assert_eq!(left("second one"), 10);
    assert_eq!(world.tree.evicted(), 4);
    world.check();
}

#[test]
fn a_finished_sequence_that_another_holds_whole_goes_at_once() {
    let mut world = World::new();
    for _ in 0..2 {
        world.admit(tokens("same words"), 0).unwrap();
        world.extend(0, 100);
        world.finish(0);
    }
    assert_eq!(world.tree.finished().len(), 1);
    world.check();
}

#[test]
fn no_more_sequences_run_than_there_are() {
    let mut world = World::new();
    for letter in ["a", "b", "c", "d", "e"] {
        world.admit(tokens(letter), 0).unwrap();
    }
    assert_eq!(world.admit(tokens("f"), 0), Err(Full));
    world.finish(0);
    assert!(world.admit(tokens("f"), 0).is_ok());
    world.check();
}

#[derive(Clone, Debug)]
enum Act {
    Admit { all: Vec<u8>, peak: usize },
    Extend { runner: usize, count: usize },
    Finish { runner: usize },
    ReleaseFinished,
}

fn act() -> impl Strategy<Value = Act> {
    // Few letters, so that prompts often begin alike.
    prop_oneof![
        3 => (proptest::collection::vec(0_u8..2, 1..25), 0..CAPACITY)
            .prop_map(|(all, peak)| Act::Admit { all, peak }),
        4 => (0_usize..SEQUENCES, 1_usize..8).prop_map(|(runner, count)| Act::Extend { runner, count }),
        2 => (0_usize..SEQUENCES).prop_map(|runner| Act::Finish { runner }),
        1 => Just(Act::ReleaseFinished),
    ]
}

proptest! {
    #[test]
    fn random_programs_keep_the_invariants(acts in proptest::collection::vec(act(), 1..80)) {
        let mut world = World::new();
        for act in acts {
            match act {
                Act::Admit { all, peak } => {
                    let all: Vec<_> = all.into_iter().map(|byte| LlamaToken(byte.into())).collect();
                    let alone = world.runners.is_empty();
                    let admitted = world.admit(all, peak);
                    prop_assert!(!alone || admitted.is_ok(), "alone, whatever fits at all is let in");
                }
                Act::Extend { runner, count } if runner < world.runners.len() => {
                    world.extend(runner, count);
                }
                Act::Finish { runner } if runner < world.runners.len() => world.finish(runner),
                Act::ReleaseFinished => {
                    for sequence in world.tree.finished() {
                        let change = world.tree.release(sequence);
                        world.cells.apply([change]);
                    }
                }
                Act::Extend { .. } | Act::Finish { .. } => {}
            }
            world.check();
        }
        while !world.runners.is_empty() {
            world.finish(0);
        }
        for sequence in world.tree.finished() {
            let change = world.tree.release(sequence);
            world.cells.apply([change]);
        }
        world.check();
        prop_assert_eq!(world.tree.used(), 0, "nothing is left behind");
    }
}
