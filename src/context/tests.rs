//! The invariants of an assembly, over random elements and rules.

use proptest::prelude::*;

use super::*;
use crate::tokens::Estimate;

fn element(position: usize, layer: Layer, priority: f64, words: usize) -> Element {
    let text = "The rain fell. ".repeat(words.div_ceil(3)).trim_end().to_owned();
    let tokens = Estimate.count(&format!("{text}\n"));
    let (id, priority) = (format!("element-{position}"), Priority::new(priority));
    Element {
        type_name: "scene".to_owned(),
        priority,
        tokens,
        ..Element::new(id, ElementKind::Plot, layer, text, position)
    }
}

fn rules(available: usize) -> Rules {
    Rules {
        agent: Agent::Writer,
        company: Vec::new(),
        phase: None,
        filter: Filter::default(),
        budgets: LayerBudgets([2_000, 0, 13_000, 5_000, 10_000].map(TokenCount::new)),
        available: TokenCount::new(available),
        allocation: AllocationMode::Dynamic,
        overflow: OverflowStrategy::Reallocate,
        high_priority: Priority::new(0.7),
        lowest_priority: Priority::new(0.1),
        prefer_recent: true,
        may_shorten: true,
    }
}

fn outcomes(assembly: &Assembly) -> Vec<(Outcome, Reason)> {
    assembly.elements.iter().map(|report| (report.outcome, report.reason)).collect()
}

#[test]
fn what_all_agents_share_stands_before_what_one_sees() {
    let mut only_writer = element(0, Layer::PlotAndWorld, 0.5, 3);
    only_writer.audience = Audience::of(&[Agent::Writer]);
    only_writer.text = "only the writer".to_owned();
    let shared = element(1, Layer::PlotAndWorld, 0.5, 3);
    let system = element(2, Layer::System, 0.5, 3);
    let assembly = assemble(&[only_writer, shared, system], &rules(1_000), &Estimate).unwrap();
    let layers: Vec<_> = assembly.placed.iter().map(|placed| placed.layer).collect();
    assert_eq!(layers, [Layer::System, Layer::PlotAndWorld, Layer::PlotAndWorld]);
    assert_eq!(assembly.placed[2].text, "only the writer");
}

#[test]
fn the_receipt_says_why_something_is_missing() {
    let mut for_editors = element(0, Layer::PlotAndWorld, 0.5, 3);
    for_editors.audience = Audience::of(&[Agent::Editor]);
    let mut for_another_phase = element(1, Layer::PlotAndWorld, 0.5, 3);
    for_another_phase.phases = vec![Phase::FinalEdit];
    let unimportant = element(2, Layer::PlotAndWorld, 0.05, 3);
    let mut empty = element(3, Layer::PlotAndWorld, 0.9, 3);
    empty.text = " \n".to_owned();
    let mut rules = rules(1_000);
    rules.phase = Some(Phase::ChapterDetail);
    let elements = [for_editors, for_another_phase, unimportant, empty];
    let assembly = assemble(&elements, &rules, &Estimate).unwrap();
    assert_eq!(
        outcomes(&assembly),
        [
            (Outcome::Dropped, Reason::OtherAudience),
            (Outcome::Dropped, Reason::OtherPhase),
            (Outcome::Dropped, Reason::BelowLowestPriority),
            (Outcome::Dropped, Reason::Empty),
        ]
    );
    assert!(assembly.placed.is_empty());
}

#[test]
fn a_high_element_that_cannot_fit_is_refused_with_the_sizes() {
    let elements = [element(0, Layer::Characters, 0.9, 3_000)];
    let error = assemble(&elements, &rules(100), &Estimate).unwrap_err();
    let ContextError::HighPriorityTooLarge { needed, available, layers } = error else {
        panic!("{error}");
    };
    assert!(needed > available);
    assert_eq!(layers[3].high, needed);
}

#[test]
fn a_medium_element_is_cut_at_a_sentence_end() {
    let elements = [element(0, Layer::PlotAndWorld, 0.5, 3_000)];
    let assembly = assemble(&elements, &rules(100), &Estimate).unwrap();
    assert_eq!(assembly.elements[0].outcome, Outcome::Trimmed);
    assert!(assembly.placed[0].text.ends_with("fell."));
}

#[test]
fn filters_that_exclude_what_they_require_are_refused() {
    let mut rules = rules(100);
    rules.filter.required_tags = ["war".to_owned()].into();
    rules.filter.excluded_tags = ["war".to_owned()].into();
    assert!(matches!(assemble(&[], &rules, &Estimate), Err(ContextError::ContradictoryFilter(_))));
}

fn any_elements() -> impl Strategy<Value = Vec<Element>> {
    let one = (0_usize..5, 0.0_f64..1.0, 0_usize..200);
    proptest::collection::vec(one, 0..40).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(|(at, (layer, priority, words))| element(at, Layer::ALL[layer], priority, words))
            .collect()
    })
}

proptest! {
    #[test]
    fn an_assembly_fits_and_accounts_for_everything(
        elements in any_elements(),
        available in 0_usize..4_000,
        allocation in prop_oneof![
            Just(AllocationMode::Static), Just(AllocationMode::Dynamic), Just(AllocationMode::Adaptive)
        ],
        overflow in prop_oneof![
            Just(OverflowStrategy::Truncate), Just(OverflowStrategy::Borrow),
            Just(OverflowStrategy::Reallocate),
        ],
    ) {
        let rules = Rules { allocation, overflow, ..rules(available) };
        let Ok(assembly) = assemble(&elements, &rules, &Estimate) else {
            let high: TokenCount = elements.iter()
                .filter(|element| element.priority > rules.high_priority && !element.text.is_empty())
                .map(|element| element.tokens).sum();
            prop_assert!(high > rules.available);
            return Ok(());
        };
        prop_assert!(assembly.tokens() <= rules.available);
        let placed: TokenCount = assembly.placed.iter()
            .map(|placed| Estimate.count(&format!("{}\n", placed.text))).sum();
        prop_assert!(placed <= rules.available);
        prop_assert_eq!(assembly.elements.len(), elements.len());
        for (element, report) in elements.iter().zip(&assembly.elements) {
            prop_assert_eq!(&element.id, &report.id);
            if element.priority > rules.high_priority && !element.text.is_empty() {
                prop_assert_eq!(report.outcome, Outcome::Kept);
            }
        }
    }

    #[test]
    fn the_same_input_gives_the_same_prompt(elements in any_elements(), available in 0_usize..4_000) {
        let once = assemble(&elements, &rules(available), &Estimate);
        let again = assemble(&elements, &rules(available), &Estimate);
        prop_assert_eq!(once.map(|assembly| assembly.placed).ok(), again.map(|assembly| assembly.placed).ok());
    }
}
