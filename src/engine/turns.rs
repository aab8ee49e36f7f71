//! Whose turn it is: clients take turns, however much each asks for. Pure.

use std::collections::HashMap;
use std::hash::Hash;

/// In which order those who wait should be let in: first whose client has least running, then who
/// came first. One client gets at most `most_per_client` places, so that another finds one free.
pub(crate) fn fair_order<C: Eq + Hash>(
    waiting: &[C],
    running: &[C],
    most_per_client: usize,
) -> Vec<usize> {
    let mut places = HashMap::new();
    for client in running {
        *places.entry(client).or_insert(0_usize) += 1;
    }
    let mut order: Vec<_> = waiting
        .iter()
        .enumerate()
        .map(|(place, client)| {
            let held = places.entry(client).or_insert(0);
            *held += 1;
            (*held, place)
        })
        .filter(|&(held, _)| held <= most_per_client)
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, place)| place).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_clients_twenty_do_not_hold_up_anothers_one() {
        let mut waiting = vec!["many"; 20];
        waiting.push("one");
        assert_eq!(fair_order(&waiting, &["many"; 7], 7), [20]);
        assert_eq!(fair_order(&waiting, &[], 7)[..3], [0, 20, 1]);
    }

    proptest! {
        #[test]
        fn whoever_is_next_has_no_more_running_than_any_other_who_waits(
            waiting in proptest::collection::vec(0_u32..4, 1..20),
            running in proptest::collection::vec(0_u32..4, 0..8),
        ) {
            let order = fair_order(&waiting, &running, usize::MAX);
            prop_assert_eq!(order.len(), waiting.len());
            let count = |client| running.iter().filter(|&&other| other == client).count();
            let next = waiting[order[0]];
            prop_assert!(waiting.iter().all(|&client| count(next) <= count(client)));
            let first = waiting.iter().position(|&client| client == next);
            prop_assert_eq!(first, Some(order[0]), "of one client, who came first");
        }
    }
}
