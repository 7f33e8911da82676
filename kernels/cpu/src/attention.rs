//! Attention: queries on keys and values that were packed once, for the encoder (every position on every other) and for the
//! decoder on the encoder's output.

use std::ops::Range;

use crate::dot::{Dot, PANEL, Tile, tile_of};
use crate::elementwise::{add_weighted, dot, exp2, largest, powers, scale};
use crate::level::per_level;
use crate::matrix::{Activations, Out};
use crate::number::{Bf16, F32, Float, at_level};
use crate::packed_float::row_stride;
use crate::vector::Vector;
use crate::words::{Words, Workspace, floats_mut};
use crate::{Level, ThreadPool};

/// Keys whose scores are held at a time: with a tile of queries they all but stay in the first-level cache.
const KEYS: usize = 512;
/// Keys that one task packs.
const PACKED_KEYS: usize = 8 * PANEL;
/// Most queries that a kernel takes at a time.
const QUERIES: usize = 12;
/// Queries of one task.
const TASK_QUERIES: usize = 8 * QUERIES;

/// Widest head.
const MOST_WIDTH: usize = 128;

/// How keys and values are held and multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyValueNumber {
    /// 32-bit floats.
    F32,
    /// bfloat16, and so are queries and the softmax; sums are 32-bit floats.
    Bf16,
}

/// Keys and values of all heads.
///
/// Holds its memory, which grows to the most positions and stays. No matrix of all scores exists: a tile of queries passes over
/// the keys with a running maximum and a running sum.
///
/// *Source*: Milakov and Gimelshein, Online normalizer calculation for softmax, <https://arxiv.org/abs/1805.02867>.
#[derive(Debug)]
pub struct KeyValues {
    number: KeyValueNumber,
    level: Level,
    heads: usize,
    width: usize,
    positions: usize,
    /// For each head panels of 32 keys, each `[words of the width, 32]`.
    keys: Words,
    /// For each head panels of 32 of its columns, each `[words of the positions, 32]`.
    values: Words,
}

/// How many words there are of what.
#[derive(Debug, Clone, Copy)]
struct Layout {
    width: usize,
    positions: usize,
    /// Words of a key.
    key: usize,
    /// Words of all positions of a column.
    column: usize,
    /// Columns, whole panels.
    columns: usize,
}

impl Layout {
    fn of<E: Float>(width: usize, positions: usize) -> Self {
        Self {
            width,
            positions,
            key: width.div_ceil(E::PER_WORD),
            column: positions.next_multiple_of(PANEL) / E::PER_WORD,
            columns: width.next_multiple_of(PANEL),
        }
    }

    fn keys_of_a_head(self) -> usize {
        self.positions.next_multiple_of(PANEL) * self.key
    }

    fn values_of_a_head(self) -> usize {
        self.columns * self.column
    }
}

impl KeyValues {
    /// None yet, of this many heads of this width.
    ///
    /// *Panics*: if a head is wider than 128, twice what Whisper has.
    pub fn new(number: KeyValueNumber, heads: usize, width: usize) -> Self {
        assert!(width <= MOST_WIDTH, "heads of {width} columns");
        Self {
            number,
            level: Level::best(),
            heads,
            width,
            positions: 0,
            keys: Words::default(),
            values: Words::default(),
        }
    }

    /// Positions that it holds.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        4 * (self.keys.as_slice().len() + self.values.as_slice().len())
    }

    /// Replaces what it holds.
    ///
    /// *Shape*: `keys` and `values` `[positions, heads * width]`, their rows `stride` apart.
    ///
    /// *Panics*: if a slice is too short.
    pub fn fill(&mut self, pool: &ThreadPool, keys: &[f32], values: &[f32], stride: usize, positions: usize) {
        match self.number {
            KeyValueNumber::F32 => self.fill_as::<F32>(pool, keys, values, stride, positions),
            KeyValueNumber::Bf16 => self.fill_as::<Bf16>(pool, keys, values, stride, positions),
        }
    }

    fn fill_as<E: Float>(&mut self, pool: &ThreadPool, keys: &[f32], values: &[f32], stride: usize, positions: usize) {
        let needed = positions.checked_sub(1).map_or(0, |last| last * stride + self.heads * self.width);
        assert!(keys.len() >= needed && values.len() >= needed, "{positions} positions do not lie in the slices");
        self.positions = positions;
        let layout = Layout::of::<E>(self.width, positions);
        self.keys.reserve(self.heads * layout.keys_of_a_head());
        self.values.reserve(self.heads * layout.values_of_a_head());
        let packed_keys = Cells::new(self.keys.as_mut_slice());
        let packed_values = Cells::new(self.values.as_mut_slice());
        let parts = positions.div_ceil(PACKED_KEYS);
        pool.run(self.heads * parts, |task, _| {
            let (head, part) = (task / parts, task % parts);
            let at = head * layout.width;
            let range = part * PACKED_KEYS..positions.next_multiple_of(PANEL).min((part + 1) * PACKED_KEYS);
            // SAFETY: these positions of this head, which are no other task's.
            let out = unsafe {
                packed_keys.range(head * layout.keys_of_a_head() + range.start * layout.key, range.len() * layout.key)
            };
            pack_keys::<E>(&keys[at..], stride, range.clone(), layout, out);
            for panel in 0..layout.columns / PANEL {
                let start = head * layout.values_of_a_head() + panel * PANEL * layout.column;
                let words = range.start / E::PER_WORD..range.end / E::PER_WORD;
                // SAFETY: these positions of this head's panel, which are no other task's.
                let out = unsafe { packed_values.range(start + words.start * PANEL, words.len() * PANEL) };
                pack_values::<E>(&values[at..], stride, range.clone(), panel * PANEL, layout, out);
            }
        });
    }

    /// `softmax(q k^T / sqrt(width)) v` for each head.
    ///
    /// *Shape*: `queries` `[rows, heads * width]`, `stride` apart; `out` `[rows, heads * width]`.
    ///
    /// *Panics*: if a slice is too short.
    pub fn attend(&self, pool: &ThreadPool, queries: Activations<'_>, out: &mut [f32], workspace: &mut Workspace) {
        match self.number {
            KeyValueNumber::F32 => self.attend_as::<F32>(pool, queries, out, workspace),
            KeyValueNumber::Bf16 => self.attend_as::<Bf16>(pool, queries, out, workspace),
        }
    }

    fn attend_as<E: Float>(
        &self,
        pool: &ThreadPool,
        queries: Activations<'_>,
        out: &mut [f32],
        workspace: &mut Workspace,
    ) {
        let d_model = self.heads * self.width;
        queries.check(d_model);
        let layout = Layout::of::<E>(self.width, self.positions);
        let rows = queries.rows;
        workspace.parts.reserve(pool.threads(), Scratch::words(layout));
        let out = Out::new(out, rows, d_model, d_model);
        let parts = &workspace.parts;
        let blocks = rows.div_ceil(TASK_QUERIES);
        pool.run(self.heads * blocks, |task, thread| {
            let (head, block) = (task / blocks, task % blocks);
            let mut scratch = parts.of(thread);
            let work = &mut Work {
                keys: &self.keys.as_slice()[head * layout.keys_of_a_head()..][..layout.keys_of_a_head()],
                values: &self.values.as_slice()[head * layout.values_of_a_head()..][..layout.values_of_a_head()],
                layout,
                queries,
                rows: block * TASK_QUERIES..rows.min((block + 1) * TASK_QUERIES),
                at: head * self.width,
                out,
                scratch: Scratch::new(scratch.as_mut_slice(), layout),
            };
            // SAFETY: the level was detected; every task has rows and columns of its own.
            unsafe { at_level!(self.level, E: Float, attend_task(work: &mut Work<'_>)) }
        });
    }

    /// Scores of one head before the softmax, scaled: `q k^T / sqrt(width)`.
    ///
    /// *Shape*: `query` `[heads * width]`, `scores` `[positions]`.
    pub fn scores(&self, query: &[f32], head: usize, scores: &mut [f32]) {
        let query = &query[head * self.width..][..self.width];
        let scale = (self.width as f32).sqrt().recip();
        for (position, score) in scores.iter_mut().enumerate().take(self.positions) {
            *score = scale
                * match self.number {
                    KeyValueNumber::F32 => self.dot::<F32>(query, head, position),
                    KeyValueNumber::Bf16 => self.dot::<Bf16>(query, head, position),
                };
        }
    }

    fn dot<E: Float>(&self, query: &[f32], head: usize, position: usize) -> f32 {
        let layout = Layout::of::<E>(self.width, self.positions);
        let panel = head * layout.keys_of_a_head() + position / PANEL * PANEL * layout.key + position % PANEL;
        let keys = self.keys.as_slice();
        let products = query
            .iter()
            .enumerate()
            .map(|(index, value)| value * E::get(keys[panel + index / E::PER_WORD * PANEL], index % E::PER_WORD));
        products.sum()
    }
}

/// *Shape*: `keys` rows of `width` values, `stride` apart; `out` panels `[words, 32]` of the keys of `range`.
fn pack_keys<E: Float>(keys: &[f32], stride: usize, range: Range<usize>, layout: Layout, out: &mut [u32]) {
    let mut key = [0; MOST_WIDTH];
    for (panel, first) in out.chunks_exact_mut(PANEL * layout.key).zip(range.step_by(PANEL)) {
        if first + PANEL > layout.positions {
            panel.fill(0);
        }
        for position in first..layout.positions.min(first + PANEL) {
            let key = &mut key[..layout.key];
            E::put(&keys[position * stride..][..layout.width], key);
            for (out, word) in panel[position - first..].iter_mut().step_by(PANEL).zip(&*key) {
                *out = *word;
            }
        }
    }
}

/// *Shape*: `values` rows of `width` values, `stride` apart; `out` `[words, 32]`: of the positions of `range` the columns from
/// `column` on.
fn pack_values<E: Float>(
    values: &[f32],
    stride: usize,
    range: Range<usize>,
    column: usize,
    layout: Layout,
    out: &mut [u32],
) {
    let width = PANEL.min(layout.width - column);
    let row = |position: usize| {
        let mut row = [0.0; PANEL];
        if position < layout.positions {
            row[..width].copy_from_slice(&values[position * stride + column..][..width]);
        }
        row
    };
    for (words, first) in out.as_chunks_mut::<PANEL>().0.iter_mut().zip(range.step_by(E::PER_WORD)) {
        let rows: [[f32; PANEL]; 2] = [row(first), if E::PER_WORD > 1 { row(first + 1) } else { [0.0; PANEL] }];
        E::put_columns(&rows[0], &rows[1], words);
    }
}

/// Packed words, written by several threads at places that do not overlap.
#[derive(Clone, Copy)]
struct Cells {
    pointer: *mut u32,
    length: usize,
}

// SAFETY: it is made from an exclusive borrow, and every task writes a range of its own.
unsafe impl Sync for Cells {}

impl Cells {
    fn new(words: &mut [u32]) -> Self {
        Self { pointer: words.as_mut_ptr(), length: words.len() }
    }

    /// # Safety
    /// Nobody else uses this range meanwhile.
    unsafe fn range<'a>(self, start: usize, count: usize) -> &'a mut [u32] {
        assert!(start + count <= self.length);
        // SAFETY: within the slice, by the assertion, and nobody else's, by the caller's word.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(start), count) }
    }
}

/// Some queries of one head.
struct Work<'a> {
    keys: &'a [u32],
    values: &'a [u32],
    layout: Layout,
    queries: Activations<'a>,
    rows: Range<usize>,
    /// First column of the head.
    at: usize,
    out: Out,
    scratch: Scratch<'a>,
}

/// What a tile of queries needs.
struct Scratch<'a> {
    /// `[queries, words of the width]`
    queries: &'a mut [u32],
    query_stride: usize,
    /// `[queries, keys]`
    scores: &'a mut [f32],
    /// `[queries, words of the keys]`
    weights: &'a mut [u32],
    weight_stride: usize,
    /// `[queries, columns]`
    sums: &'a mut [f32],
    /// `[queries, columns]`
    products: &'a mut [f32],
}

impl<'a> Scratch<'a> {
    fn sizes(layout: Layout) -> [usize; 5] {
        [row_stride(layout.key), KEYS, row_stride(KEYS), layout.columns, layout.columns].map(|words| words * QUERIES)
    }

    fn words(layout: Layout) -> usize {
        Self::sizes(layout).iter().sum()
    }

    fn new(words: &'a mut [u32], layout: Layout) -> Self {
        let [queries, scores, weights, sums, products] = Self::sizes(layout);
        let (queries, rest) = words.split_at_mut(queries);
        let (scores, rest) = rest.split_at_mut(scores);
        let (weights, rest) = rest.split_at_mut(weights);
        let (sums, rest) = rest.split_at_mut(sums);
        Self {
            queries,
            query_stride: row_stride(layout.key),
            scores: floats_mut(scores),
            weights,
            weight_stride: row_stride(KEYS),
            sums: floats_mut(sums),
            products: &mut floats_mut(rest)[..products],
        }
    }
}

/// Writes two to the power of `score * factor - offset` for every score, and returns their sum.
///
/// # Safety
/// The CPU has the vector's instructions.
#[inline(always)]
unsafe fn weigh<E: Float, V: Vector>(scores: &[f32], factor: f32, offset: f32, weights: &mut [u32]) -> f32 {
    assert!(scores.len().is_multiple_of(PANEL) && weights.len() >= scores.len() / E::PER_WORD);
    // SAFETY: scores are whole panels, which are whole vectors, and there are as many weights.
    unsafe {
        let (factor, offset) = (V::splat(factor), V::splat(-offset));
        let mut sum = V::splat(0.0);
        for index in (0..scores.len()).step_by(V::LANES) {
            let power = exp2(V::load(scores.as_ptr().add(index)).mul_add(factor, offset), E::PRECISE);
            sum = sum.add(power);
            E::store(power, weights.as_mut_ptr(), index);
        }
        sum.sum()
    }
}

/// # Safety
/// The CPU has the instructions of `D`, and no other thread writes these rows and columns of `out`.
#[inline(always)]
unsafe fn attend_task<E: Float, D: Dot<Sum = f32>>(work: &mut Work<'_>) {
    let Work { keys, values, layout, queries, ref rows, at, out, ref mut scratch } = *work;
    // Powers of two are cheaper than those of e.
    let factor = std::f32::consts::LOG2_E / (layout.width as f32).sqrt();
    for first in rows.clone().step_by(D::ROWS) {
        let count = D::ROWS.min(rows.end - first);
        for (index, words) in scratch.queries.chunks_exact_mut(scratch.query_stride).enumerate().take(count) {
            E::put(&queries.row(first + index, at + layout.width)[at..], &mut words[..layout.key]);
        }
        let sums = &mut scratch.sums[..count * layout.columns];
        sums.fill(0.0);
        let (mut most, mut totals) = ([f32::NEG_INFINITY; QUERIES], [0.0; QUERIES]);
        for start in (0..layout.positions).step_by(KEYS) {
            let valid = KEYS.min(layout.positions - start);
            let padded = valid.next_multiple_of(PANEL);
            for key in (0..padded).step_by(PANEL) {
                let panel = &keys[(start + key) * layout.key..][..PANEL * layout.key];
                // SAFETY: the scratch holds that many queries and scores, the panel is whole.
                unsafe {
                    let tile = Tile {
                        rows: scratch.queries.as_ptr(),
                        row_stride: scratch.query_stride,
                        words: layout.key,
                        panel: panel.as_ptr(),
                        out: scratch.scores[key..].as_mut_ptr(),
                        out_stride: KEYS,
                    };
                    tile_of::<D>(count, tile);
                }
            }
            for index in 0..count {
                let row = &mut scratch.scores[index * KEYS..][..padded];
                // What is not there has the weight zero, or nearly.
                row[valid..].fill(f32::NEG_INFINITY);
                let weights = &mut scratch.weights[index * scratch.weight_stride..][..padded / E::PER_WORD];
                // SAFETY: passed on from the caller.
                unsafe {
                    let high = most[index].max(largest::<D::Floats>(row) * factor);
                    if high > most[index] {
                        let shrink = (most[index] - high).exp2();
                        totals[index] *= shrink;
                        scale::<D::Floats>(&mut sums[index * layout.columns..][..layout.columns], shrink);
                        most[index] = high;
                    }
                    totals[index] += weigh::<E, D::Floats>(row, factor, high, weights);
                }
            }
            let words = padded / E::PER_WORD;
            for column in (0..layout.columns).step_by(PANEL) {
                let panel = &values[column * layout.column + start / E::PER_WORD * PANEL..][..PANEL * words];
                // SAFETY: the scratch holds that many weights and products, the panel is whole.
                unsafe {
                    let tile = Tile {
                        rows: scratch.weights.as_ptr(),
                        row_stride: scratch.weight_stride,
                        words,
                        panel: panel.as_ptr(),
                        out: scratch.products[column..].as_mut_ptr(),
                        out_stride: layout.columns,
                    };
                    tile_of::<D>(count, tile);
                }
            }
            // SAFETY: passed on from the caller.
            unsafe { add_weighted::<D::Floats>(1.0, &scratch.products[..sums.len()], sums) };
        }
        for (index, sums) in sums.chunks_exact(layout.columns).enumerate() {
            // SAFETY: passed on from the caller.
            let out = unsafe { out.cells(first + index, at, layout.width) };
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sum / totals[index];
            }
        }
    }
}

/// What a query sees of what was decoded before it.
#[derive(Debug, Clone, Copy)]
pub struct Cached<'a> {
    /// Keys, then values, of each position: `[visible.., 2 * heads * width]`.
    pub keys_values: &'a [f32],
    /// Positions that the query sees.
    pub visible: usize,
}

/// Cached values below which all heads of a query are done sooner than a second thread joins in.
const WORTH_A_THREAD_VALUES: usize = 1 << 15;

/// `softmax(q k^T / sqrt(width)) v` for each head, on keys and values that grow: the decoder's attention on itself.
///
/// *Shape*: `queries` and `out` `[rows, heads * width]`; `cached(row)` is what that row sees.
///
/// *Panics*: if a slice is too short.
pub fn attend_cached<'a>(
    pool: &ThreadPool,
    heads: usize,
    queries: Activations<'_>,
    cached: impl Fn(usize) -> Cached<'a> + Sync,
    out: &mut [f32],
    workspace: &mut Workspace,
) {
    let rows = queries.rows;
    let d_model = out.len() / rows.max(1);
    let width = d_model / heads;
    queries.check(d_model);
    let most = (0..rows).map(|row| cached(row).visible).max().unwrap_or(0);
    workspace.parts.reserve(pool.threads(), most);
    let parts = &workspace.parts;
    let out = Out::new(out, rows, d_model, d_model);
    let heads_of_a_task = if rows * most * d_model < WORTH_A_THREAD_VALUES { heads } else { 1 };
    let tasks_of_a_row = heads / heads_of_a_task;
    let task = |task: usize, thread| {
        let row = task / tasks_of_a_row;
        let Cached { keys_values, visible } = cached(row);
        let mut scores = parts.of(thread);
        let scores = &mut floats_mut(scores.as_mut_slice())[..visible];
        for head in (0..heads_of_a_task).map(|index| task % tasks_of_a_row * heads_of_a_task + index) {
            let at = head * width;
            let query = &queries.row(row, d_model)[at..at + width];
            let values = &keys_values[d_model + at..];
            // SAFETY: every task has rows and heads of its own.
            attend_one(query, &keys_values[at..], values, 2 * d_model, scores, unsafe { out.cells(row, at, width) });
        }
    };
    if tasks_of_a_row == 1 {
        (0..rows).for_each(|index| task(index, 0));
    } else {
        pool.run(rows * tasks_of_a_row, task);
    }
}

per_level! {
    /// Attention of one query on cached keys and values, for one head.
    ///
    /// *Shape*: `query` and `out` `[width]`; `keys` and `values` rows of `width` values, `stride` apart; `scores` `[visible]` is
    /// scratch.
    fn attend_one(query: &[f32], keys: &[f32], values: &[f32], stride: usize, scores: &mut [f32], out: &mut [f32]) {
        let width = query.len();
        let factor = std::f32::consts::LOG2_E / (width as f32).sqrt();
        out.fill(0.0);
        // SAFETY: passed on from the caller.
        unsafe {
            for (position, score) in scores.iter_mut().enumerate() {
                *score = dot::<V>(query, &keys[position * stride..][..width]);
            }
            let most = largest::<V>(scores) * factor;
            let total = powers::<V>(scores, factor, most);
            for (position, score) in scores.iter().enumerate() {
                add_weighted::<V>(score / total, &values[position * stride..][..width], out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::tests::{pool, values};

    fn oracle(qkv: &[f32], positions: usize, heads: usize, width: usize) -> Vec<f32> {
        let d_model = heads * width;
        let at = |which: usize, position: usize, head: usize, column: usize| {
            f64::from(qkv[position * 3 * d_model + which * d_model + head * width + column])
        };
        let mut out = vec![0.0; positions * d_model];
        for head in 0..heads {
            for query in 0..positions {
                let scores: Vec<f64> = (0..positions)
                    .map(|key| {
                        let dot: f64 =
                            (0..width).map(|column| at(0, query, head, column) * at(1, key, head, column)).sum();
                        (dot / (width as f64).sqrt()).exp()
                    })
                    .collect();
                let total: f64 = scores.iter().sum();
                for column in 0..width {
                    let sum: f64 = scores.iter().enumerate().map(|(key, score)| score * at(2, key, head, column)).sum();
                    out[query * d_model + head * width + column] = (sum / total) as f32;
                }
            }
        }
        out
    }

    #[test]
    fn every_position_attends_to_every_other() {
        let shapes =
            [(1, 1, 8), (7, 2, 64), (48, 3, 16), (49, 2, 64), (131, 1, 64), (255, 1, 40), (513, 2, 33), (290, 1, 7)];
        for (positions, heads, width) in shapes {
            let d_model = heads * width;
            let qkv: Vec<f32> = values(positions * 3 * d_model, 5).iter().map(|value| value * 3.0).collect();
            let expected = oracle(&qkv, positions, heads, width);
            // A weight of the softmax errs by a 256th and so does a value; most of it averages out.
            for (number, tolerance) in [(KeyValueNumber::F32, 1e-5), (KeyValueNumber::Bf16, 0.05)] {
                let (mut packed, mut workspace) = (KeyValues::new(number, heads, width), Workspace::new());
                // Longer ones before leave traces that must not be seen.
                packed.fill(&pool(), &vec![f32::NAN; 700 * d_model], &vec![f32::NAN; 700 * d_model], d_model, 700);
                packed.fill(&pool(), &qkv[d_model..], &qkv[2 * d_model..], 3 * d_model, positions);
                let queries = Activations { data: &qkv, rows: positions, stride: 3 * d_model, norm: None };
                for _ in 0..2 {
                    let mut out = vec![f32::NAN; positions * d_model];
                    packed.attend(&pool(), queries, &mut out, &mut workspace);
                    let largest = out.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert!(
                        largest < tolerance,
                        "{number:?}, {positions} positions, {heads} heads of {width}: {largest}"
                    );
                }
            }
        }
    }

    #[test]
    fn scores_are_those_of_the_definition() {
        let (positions, width) = (70, 64);
        let qkv = values(positions * 3 * 2 * width, 8);
        for (number, tolerance) in [(KeyValueNumber::F32, 1e-5), (KeyValueNumber::Bf16, 0.02)] {
            let mut packed = KeyValues::new(number, 2, width);
            packed.fill(&pool(), &qkv[2 * width..], &qkv[4 * width..], 6 * width, positions);
            let mut scores = vec![f32::NAN; positions];
            packed.scores(&qkv[..2 * width], 1, &mut scores);
            for (position, score) in scores.iter().enumerate() {
                let key = &qkv[position * 6 * width + 3 * width..][..width];
                let dot: f32 = qkv[width..2 * width].iter().zip(key).map(|(a, b)| a * b).sum();
                assert!((score - dot / 8.0).abs() < tolerance);
            }
        }
    }

    #[test]
    fn a_cached_query_equals_a_row_of_the_whole() {
        for (positions, heads, width) in [(1, 2, 8), (37, 2, 64), (300, 3, 40)] {
            let d_model = heads * width;
            let qkv: Vec<f32> = values(positions * 3 * d_model, 6).iter().map(|value| value * 3.0).collect();
            let expected = oracle(&qkv, positions, heads, width);
            let cache: Vec<f32> = qkv.chunks_exact(3 * d_model).flat_map(|row| &row[d_model..]).copied().collect();
            let queries = Activations { data: &qkv, rows: positions, stride: 3 * d_model, norm: None };
            let mut out = vec![f32::NAN; positions * d_model];
            let whole = |_| Cached { keys_values: &cache, visible: positions };
            attend_cached(&pool(), heads, queries, whole, &mut out, &mut Workspace::new());
            let largest = out.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(largest < 1e-5, "{largest}");
        }
    }
}
