//! Assembly of a context, token counting aside: linear from 10 to 10,000 elements, and under a
//! millisecond for each thousand.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rhapsode::context::assemble;
use rhapsode::tokens::Estimate;

#[path = "elements/mod.rs"]
mod elements;

fn assembly(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("assemble");
    let rules = elements::rules();
    for count in [10, 100, 1_000, 10_000] {
        let elements: Vec<_> = (0..count).map(elements::element).collect();
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
