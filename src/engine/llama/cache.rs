//! Where the beginning of a prompt can be had without reading it again.

use std::collections::HashSet;

use llama_cpp_2::token::LlamaToken;

use super::batching::WORTHWHILE_PREFIX;
use super::states::{FoundState, StateStore};
use super::tree::{HeldPrefix, PrefixTree, SequenceId};

/// Prefixes that needn't be read again: those in the KV cache, and those on disk. The engine's thread
/// changes it; others look, to predict.
pub(super) struct Cache {
    pub(super) tree: PrefixTree,
    pub(super) states: Option<StateStore>,
    /// Sequences that are never saved.
    pub(super) unsaved: HashSet<SequenceId>,
}

/// Where a prompt's beginning can be had.
pub(super) enum Beginning {
    Nowhere,
    Cache(HeldPrefix),
    Disk(FoundState),
}

impl Beginning {
    pub(super) fn tokens(&self) -> usize {
        match self {
            Self::Nowhere => 0,
            Self::Cache(held) => held.tokens,
            Self::Disk(found) => found.common,
        }
    }

    pub(super) fn in_cache(&self) -> Option<HeldPrefix> {
        match self {
            Self::Cache(held) => Some(*held),
            Self::Nowhere | Self::Disk(_) => None,
        }
    }
}

impl Cache {
    /// Before there is a model.
    pub(super) fn empty() -> Self {
        Self { tree: PrefixTree::new(0, 0), states: None, unsaved: HashSet::new() }
    }

    /// Deletes what was saved, and keeps what is held now from being saved.
    pub(super) fn forget(&mut self) {
        self.unsaved = self.tree.live().collect();
        if let Some(states) = &mut self.states {
            states.forget_all();
        }
    }

    /// The best place to begin. The last token of a prompt is always read: its logits choose the
    /// first of the answer.
    pub(super) fn beginning(&self, prompt: &[LlamaToken]) -> Beginning {
        let wanted = &prompt[..prompt.len().saturating_sub(1)];
        let held = self.tree.longest_prefix(wanted);
        let in_cache = held.map_or(0, |held| held.tokens);
        let found = self.states.as_ref().and_then(|states| states.find(wanted));
        match (held, found) {
            (_, Some(found))
                if found.common >= in_cache + WORTHWHILE_PREFIX
                    && found.length <= self.tree.capacity() =>
            {
                Beginning::Disk(found)
            }
            (Some(held), _) => Beginning::Cache(held),
            (None, _) => Beginning::Nowhere,
        }
    }
}
