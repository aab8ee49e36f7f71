//! Assembly of a context, token counting aside: linear from 10 to 10,000 elements, and under a
//! millisecond for each thousand.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rhapsode::context::{
    Agent, AllocationMode, Audience, Element, ElementKind, Filter, KeepEnd, Layer, LayerBudgets,
    OverflowStrategy, Priority, Rules, assemble,
};
use rhapsode::tokens::{Estimate, TokenCount};

fn element(position: usize) -> Element {
    let text = format!("- scene: In scene {position} the rain fell on the old town. Nobody spoke.");
    Element {
        id: format!("plot-{position}"),
        kind: ElementKind::Plot,
        layer: Layer::ALL[position % 5],
        audience: Audience::EVERYBODY,
        priority: Priority::new([0.5, 0.2, 0.5][position % 3]),
        tokens: TokenCount::new(20),
        text,
        position,
        keep_end: KeepEnd::Start,
        type_name: "scene".to_owned(),
        tags: vec!["rain".to_owned()],
        character_id: None,
        phases: Vec::new(),
    }
}

fn rules() -> Rules {
    Rules {
        agent: Agent::Writer,
        phase: None,
        filter: Filter { required_tags: vec!["rain".to_owned()], ..Filter::default() },
        budgets: LayerBudgets([2_000, 0, 13_000, 5_000, 10_000].map(TokenCount::new)),
        available: TokenCount::new(30_000),
        allocation: AllocationMode::Dynamic,
        overflow: OverflowStrategy::Reallocate,
        high_priority: Priority::new(0.7),
        lowest_priority: Priority::new(0.1),
        prefer_recent: true,
    }
}

fn assembly(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("assemble");
    let rules = rules();
    for count in [10, 100, 1_000, 10_000] {
        let elements: Vec<_> = (0..count).map(element).collect();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(count),
            &elements,
            |bencher, elements| {
                bencher.iter(|| assemble(black_box(elements), &rules, &Estimate));
            },
        );
    }
    group.finish();
}

criterion_group!(benches, assembly);
criterion_main!(benches);
