//! Who gets to see an element at all: the agent's audience, the phase, the client's own filters.

use std::collections::HashSet;

use super::agent::Phase;
use super::element::{Element, ElementKind, Priority};
use super::receipt::Reason;
use super::{ContextError, Rules};

/// The client's own filters. Empty ones let everything through.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Plot elements must have one of these.
    pub required_tags: HashSet<String>,
    /// Plot elements must have none of these.
    pub excluded_tags: HashSet<String>,
    /// Plot elements must be of one of these types.
    pub allowed_types: HashSet<String>,
    /// Characters must be among these.
    pub character_ids: HashSet<String>,
    /// Everything must matter at least this much.
    pub min_priority: Option<Priority>,
}

impl Filter {
    /// Refuses filters that nothing can pass.
    pub(super) fn check(&self) -> Result<(), ContextError> {
        // With one required tag that isn't excluded, an element can still pass.
        match self.required_tags.iter().next() {
            Some(tag) if self.required_tags.is_subset(&self.excluded_tags) => {
                Err(ContextError::ContradictoryFilter(tag.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Whether a plot element of this type with these tags may be told.
    pub fn lets_plot_through(&self, type_name: &str, tags: &[String]) -> bool {
        let has = |wanted: &HashSet<String>| tags.iter().any(|tag| wanted.contains(tag));
        (self.required_tags.is_empty() || has(&self.required_tags))
            && !has(&self.excluded_tags)
            && (self.allowed_types.is_empty() || self.allowed_types.contains(type_name))
    }
}

/// Why an element isn't considered; `None` if it is.
pub(super) fn reason_to_leave_out(element: &Element, rules: &Rules) -> Option<Reason> {
    if !rules.readers().any(|agent| element.audience.includes(agent)) {
        return Some(Reason::OtherAudience);
    }
    if element.concealed {
        return Some(Reason::UnknownToCharacter);
    }
    if !fits_phase(&element.phases, rules.phase) {
        return Some(Reason::OtherPhase);
    }
    if !passes(element, &rules.filter) {
        return Some(Reason::FilteredOut);
    }
    (element.priority < rules.lowest_priority).then_some(Reason::BelowLowestPriority)
}

fn fits_phase(meant_for: &[Phase], current: Option<Phase>) -> bool {
    meant_for.is_empty() || current.is_none_or(|current| meant_for.contains(&current))
}

fn passes(element: &Element, filter: &Filter) -> bool {
    // What it tells has passed.
    if element.tells_others {
        return true;
    }
    let is_the_task = matches!(element.kind, ElementKind::Work | ElementKind::Turn);
    if !is_the_task && filter.min_priority.is_some_and(|least| element.priority < least) {
        return false;
    }
    match element.kind {
        ElementKind::Plot | ElementKind::World | ElementKind::Passage => {
            filter.lets_plot_through(&element.type_name, &element.tags)
        }
        ElementKind::Character => {
            filter.character_ids.is_empty()
                || element.character_id.as_ref().is_some_and(|id| filter.character_ids.contains(id))
        }
        ElementKind::SystemInstruction
        | ElementKind::Brief
        | ElementKind::Work
        | ElementKind::Turn
        | ElementKind::Summary
        | ElementKind::Memory
        | ElementKind::Feeling
        | ElementKind::ArchivePassage
        | ElementKind::UserRequest => true,
    }
}
