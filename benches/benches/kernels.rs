//! Kernels by themselves, for the shapes of base.en.

use std::hint::black_box;
use std::num::NonZeroUsize;

use amanuensis_kernels::{
    Activations, Epilogue, KeyValueNumber, KeyValues, Norm, PackedBf16, PackedF32, PackedI8, ThreadPool, WeightMatrix,
    Workspace, layer_norm,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const POSITIONS: usize = 1500;
const WIDTH: usize = 512;
const HEADS: usize = 8;

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * 7919 % 2003) as f32 - 1001.0) / 1001.0).collect()
}

fn product<W: WeightMatrix>(criterion: &mut Criterion, name: &str) {
    let pool = ThreadPool::new(NonZeroUsize::MIN);
    let mut workspace = Workspace::new();
    let mut group = criterion.benchmark_group(format!("product {name}"));
    for (rows, n, k) in
        [(POSITIONS, WIDTH, WIDTH), (POSITIONS, 4 * WIDTH, WIDTH), (POSITIONS, WIDTH, 4 * WIDTH), (1, 51_864, WIDTH)]
    {
        let weights = W::pack(n, k, |row, out| out.copy_from_slice(&values(k + row % 7)[row % 7..]));
        let a = values(rows * k);
        let mut out = vec![0.0; rows * n];
        group.throughput(Throughput::Elements((2 * rows * n * k) as u64));
        group.bench_function(format!("{rows} x {n} x {k}"), |bencher| {
            bencher.iter(|| {
                let a = Activations::new(black_box(&a), k);
                weights.multiply(&pool, a, Epilogue::default(), &mut out, n, &mut workspace);
            });
        });
    }
}

fn products(criterion: &mut Criterion) {
    product::<PackedI8>(criterion, "int8");
    product::<PackedBf16>(criterion, "bf16");
    product::<PackedF32>(criterion, "f32");
}

fn attention(criterion: &mut Criterion) {
    let pool = ThreadPool::new(NonZeroUsize::MIN);
    let mut workspace = Workspace::new();
    let qkv = values(POSITIONS * 3 * WIDTH);
    let mut out = vec![0.0; POSITIONS * WIDTH];
    let mut group = criterion.benchmark_group("attention of 1500 positions");
    group.throughput(Throughput::Elements((4 * POSITIONS * POSITIONS * WIDTH) as u64));
    for number in [KeyValueNumber::F32, KeyValueNumber::Bf16, KeyValueNumber::Int8] {
        group.bench_function(format!("{number:?}"), |bencher| {
            let mut packed = KeyValues::new(number, HEADS, WIDTH / HEADS);
            bencher.iter(|| {
                packed.fill(&pool, &qkv[WIDTH..], &qkv[2 * WIDTH..], 3 * WIDTH, POSITIONS);
                let queries = Activations { data: black_box(&qkv), rows: POSITIONS, stride: 3 * WIDTH, norm: None };
                packed.attend(&pool, queries, &mut out, &mut workspace);
            });
        });
    }
}

fn elementwise(criterion: &mut Criterion) {
    let x = values(POSITIONS * WIDTH);
    let (scale, shift) = (values(WIDTH), values(WIDTH));
    let pool = ThreadPool::new(NonZeroUsize::MIN);
    let mut out = vec![0.0; POSITIONS * WIDTH];
    let mut group = criterion.benchmark_group("elementwise");
    group.throughput(Throughput::Elements(x.len() as u64));
    group.bench_function("layer norm", |bencher| {
        bencher.iter(|| layer_norm(&pool, black_box(&x), Norm { scale: &scale, shift: &shift }, &mut out));
    });
}

criterion_group!(benches, products, attention, elementwise);
criterion_main!(benches);
