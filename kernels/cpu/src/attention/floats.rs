//! Keys, values and softmax in floating-point numbers.

use super::{MOST_WIDTH, QUERIES, Sizes, Source, Work, score};
use crate::Level;
use crate::dot::{Dot, PANEL, Tile, tile_of};
use crate::elementwise::{exp2, largest, scale};
use crate::number::{Float, at_level};
use crate::packed_float::row_stride;
use crate::vector::Vector;
use crate::words::floats_mut;

/// Keys whose scores are held at a time: with a tile of queries they all but stay in the first-level cache.
const KEYS: usize = 512;

/// How many words there are of what.
///
/// *Layout*: keys are panels of 32, each `[words of the width, 32]`; values are panels of 32 columns, each
/// `[words of the positions, 32]`.
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
}

pub(super) fn sizes<E: Float>(width: usize, positions: usize) -> Sizes {
    let layout = Layout::of::<E>(width, positions);
    Sizes {
        keys: positions.next_multiple_of(PANEL) * layout.key,
        values: layout.columns * layout.column,
        scratch: Scratch::sizes(layout).iter().sum(),
    }
}

/// Packs one head.
pub(super) fn pack<E: Float>(source: Source<'_>, width: usize, positions: usize, keys: &mut [u32], values: &mut [u32]) {
    let layout = Layout::of::<E>(width, positions);
    pack_keys::<E>(source, layout, keys);
    for (panel, out) in values.chunks_exact_mut((PANEL * layout.column).max(1)).enumerate() {
        pack_values::<E>(source, panel * PANEL, layout, out);
    }
}

/// *Shape*: `out` panels `[words, 32]`.
fn pack_keys<E: Float>(source: Source<'_>, layout: Layout, out: &mut [u32]) {
    let mut key = [0; MOST_WIDTH];
    for (panel, first) in out.chunks_exact_mut(PANEL * layout.key).zip((0..).step_by(PANEL)) {
        if first + PANEL > layout.positions {
            panel.fill(0);
        }
        for position in first..layout.positions.min(first + PANEL) {
            let key = &mut key[..layout.key];
            E::put(&source.keys[position * source.stride..][..layout.width], key);
            for (out, word) in panel[position - first..].iter_mut().step_by(PANEL).zip(&*key) {
                *out = *word;
            }
        }
    }
}

/// *Shape*: `out` `[words, 32]`: the columns from `column` on.
fn pack_values<E: Float>(source: Source<'_>, column: usize, layout: Layout, out: &mut [u32]) {
    let width = PANEL.min(layout.width - column);
    let row = |position: usize| {
        let mut row = [0.0; PANEL];
        if position < layout.positions {
            row[..width].copy_from_slice(&source.values[position * source.stride + column..][..width]);
        }
        row
    };
    for (words, first) in out.as_chunks_mut::<PANEL>().0.iter_mut().zip((0..).step_by(E::PER_WORD)) {
        let rows: [[f32; PANEL]; 2] = [row(first), if E::PER_WORD > 1 { row(first + 1) } else { [0.0; PANEL] }];
        E::put_columns(&rows[0], &rows[1], words);
    }
}

/// Writes one key of a head.
pub(super) fn key<E: Float>(keys: &[u32], position: usize, key: &mut [f32]) {
    let words = key.len().div_ceil(E::PER_WORD);
    let panel = position / PANEL * PANEL * words + position % PANEL;
    for (index, value) in key.iter_mut().enumerate() {
        *value = E::get(keys[panel + index / E::PER_WORD * PANEL], index % E::PER_WORD);
    }
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
}

impl<'a> Scratch<'a> {
    fn sizes(layout: Layout) -> [usize; 4] {
        [row_stride(layout.key), KEYS, row_stride(KEYS), layout.columns].map(|words| words * QUERIES)
    }

    fn new(words: &'a mut [u32], layout: Layout) -> Self {
        let [queries, scores, weights, sums] = Self::sizes(layout);
        let (queries, rest) = words.split_at_mut(queries);
        let (scores, rest) = rest.split_at_mut(scores);
        let (weights, rest) = rest.split_at_mut(weights);
        Self {
            queries,
            query_stride: row_stride(layout.key),
            scores: floats_mut(scores),
            weights,
            weight_stride: row_stride(KEYS),
            sums: &mut floats_mut(rest)[..sums],
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
/// The CPU has the level, and no other thread writes these rows and columns of `out`.
pub(super) unsafe fn attend<E: Float>(level: Level, work: &mut Work<'_>) {
    // SAFETY: passed on from the caller.
    unsafe { at_level!(level, E: Float, attend_task(work: &mut Work<'_>)) }
}

/// # Safety
/// The CPU has the instructions of `D`, and no other thread writes these rows and columns of `out`.
#[inline(always)]
unsafe fn attend_task<E: Float, D: Dot<Sum = f32>>(work: &mut Work<'_>) {
    let Work { keys, values, queries, ref rows, at, out, .. } = *work;
    let layout = Layout::of::<E>(work.width, work.positions);
    let scratch = &mut Scratch::new(work.scratch, layout);
    // Powers of two are cheaper than those of e.
    let factor = std::f32::consts::LOG2_E / (layout.width as f32).sqrt();
    let zeros = [0.0; KEYS];
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
            let panels = &keys[start * layout.key..][..padded * layout.key];
            // SAFETY: passed on from the caller.
            unsafe {
                let queries = (&*scratch.queries, scratch.query_stride);
                score::<D>(count, queries, layout.key, panels, &zeros, (&mut *scratch.scores, KEYS));
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
                let sums = sums[column..].as_mut_ptr();
                // SAFETY: the scratch holds that many weights and sums, the panel is whole.
                unsafe {
                    let tile = Tile {
                        rows: scratch.weights.as_ptr(),
                        row_stride: scratch.weight_stride,
                        words,
                        panel: panel.as_ptr(),
                        start: sums,
                        start_stride: layout.columns,
                        out: sums,
                        out_stride: layout.columns,
                    };
                    tile_of::<D>(count, tile);
                }
            }
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
