//! The elements and rules that both benches assemble.

use rhapsode::context::{
    Agent, AllocationMode, Element, ElementKind, Filter, Layer, LayerBudgets, OverflowStrategy,
    Priority, Rules,
};
use rhapsode::tokens::TokenCount;

pub(crate) fn element(position: usize) -> Element {
    let text = format!("- scene: In scene {position} the rain fell on the old town. Nobody spoke.");
    let (id, layer) = (format!("plot-{position}"), Layer::ALL[position % 5]);
    Element {
        priority: Priority::new([0.5, 0.2, 0.5][position % 3]),
        tokens: TokenCount::new(20),
        type_name: "scene".to_owned(),
        tags: vec!["rain".to_owned()],
        ..Element::new(id, ElementKind::Plot, layer, text, position)
    }
}

pub(crate) fn rules() -> Rules {
    Rules {
        agent: Agent::Writer,
        company: Vec::new(),
        phase: None,
        filter: Filter { required_tags: ["rain".to_owned()].into(), ..Filter::default() },
        budgets: LayerBudgets([2_000, 0, 13_000, 5_000, 10_000].map(TokenCount::new)),
        available: TokenCount::new(30_000),
        allocation: AllocationMode::Dynamic,
        overflow: OverflowStrategy::Reallocate,
        high_priority: Priority::new(0.7),
        lowest_priority: Priority::new(0.1),
        prefer_recent: true,
        may_shorten: true,
    }
}
