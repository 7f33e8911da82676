//! Keys, values, queries and softmax in bytes.
//!
//! Positions come in blocks, each with scales of its own: one for its keys, and for its values one for each column. Within a
//! block sums are integers. The weights of the softmax are bytes too, in each block relative to its largest; they are rounded
//! against a pattern of thresholds, so that many small ones add up to what they are together, and not to nothing.

use super::softmax::{WEIGHED, weigh};
use super::{MOST_WIDTH, QUERIES, Sizes, Source, Work, score};
use crate::Level;
use crate::dot::{Dot, PANEL, Tile, tile_of};
use crate::elementwise::{ROUND, exp2, scale};
use crate::level::per_level;
use crate::number::{I8, Integer, at_level};
use crate::packed_float::row_stride;
use crate::packed_i8::{magnitude, quantise};
use crate::vector::Vector;
use crate::words::{bytes_mut, floats, floats_mut, whole, whole_mut};

/// Positions of a block.
const BLOCK: usize = 256;
/// Products summed by one instruction.
const GROUP: usize = 4;
/// Largest magnitude of a key's and a value's byte.
const MOST: f32 = 127.0;
/// Lanes for the queries of a tile: whole vectors.
const ROWS: usize = QUERIES.next_multiple_of(16);

/// What of a head lies where.
///
/// *Layout*: keys are panels of 32, each `[words of the width, 32]`, then for each key what takes the queries' middle away, for
/// each block a scale, and the keys' mean; values are panels of 32 columns, each `[words of the positions, 32]`, then scales
/// `[blocks, columns and 32 ones]`.
#[derive(Debug, Clone, Copy)]
struct Layout {
    width: usize,
    positions: usize,
    /// Positions, whole panels.
    padded: usize,
    blocks: usize,
    /// Words of a key.
    key: usize,
    /// Columns, whole panels.
    columns: usize,
}

impl Layout {
    fn of(width: usize, positions: usize) -> Self {
        Self {
            width,
            positions,
            padded: positions.next_multiple_of(PANEL),
            blocks: positions.div_ceil(BLOCK),
            key: width.div_ceil(GROUP),
            columns: width.next_multiple_of(PANEL),
        }
    }

    /// Words of a block's scales of values, and of a query's sums: one for each column, then the total of the weights in as many
    /// parts as a vector has lanes.
    fn sums(self) -> usize {
        self.columns + PANEL
    }

    fn keys(self) -> [usize; 4] {
        [self.padded * self.key, self.padded, self.blocks.next_multiple_of(16), self.columns]
    }

    fn values(self) -> [usize; 2] {
        [self.columns * self.padded / GROUP, self.blocks * self.sums()]
    }

    fn scratch(self) -> [usize; 5] {
        [row_stride(self.key), BLOCK, row_stride(BLOCK / GROUP), self.sums(), self.sums()].map(|words| words * QUERIES)
    }
}

pub(super) fn sizes(width: usize, positions: usize) -> Sizes {
    let layout = Layout::of(width, positions);
    Sizes {
        keys: layout.keys().iter().sum(),
        values: layout.values().iter().sum(),
        scratch: layout.scratch().iter().sum(),
    }
}

/// A head's keys.
struct Keys<'a> {
    panels: &'a [u32],
    corrections: &'a [i32],
    units: &'a [f32],
    mean: &'a [f32],
}

impl<'a> Keys<'a> {
    fn new(words: &'a [u32], layout: Layout) -> Self {
        let [panels, corrections, units, _] = layout.keys();
        let (panels, rest) = words.split_at(panels);
        let (corrections, rest) = rest.split_at(corrections);
        let (units, mean) = rest.split_at(units);
        Self { panels, corrections: whole(corrections), units: floats(units), mean: floats(mean) }
    }
}

/// Packs one head.
pub(super) fn pack(
    source: Source<'_>,
    width: usize,
    positions: usize,
    level: Level,
    keys: &mut [u32],
    values: &mut [u32],
) {
    let layout = Layout::of(width, positions);
    pack_keys(source, layout, i32::from(magnitude(level)) + 1, keys);
    pack_values(source, layout, values);
}

/// What one unit of a byte is worth and how many of them there are in one, if the largest value is this.
#[inline(always)]
fn units(largest: f32) -> (f32, f32) {
    match largest {
        0.0 => (1.0, 0.0),
        // What is not finite must be seen in the result, not be lost in a zero.
        _ if !largest.is_finite() => (f32::NAN, 0.0),
        _ => (largest / MOST, MOST / largest),
    }
}

/// Where a row's values lie, whole vectors of them: in the row, or where they do not fill its last panel, in a copy that is filled
/// up with zeros.
#[inline(always)]
fn whole_row<const N: usize>(row: &[f32], copy: &mut [f32; N]) -> *const f32 {
    if row.len().is_multiple_of(PANEL) {
        return row.as_ptr();
    }
    copy[..row.len()].copy_from_slice(row);
    copy.as_ptr()
}

per_level! {
    fn pack_keys(source: Source<'_>, layout: Layout, middle: i32, out: &mut [u32]) {
        let [panels, corrections, units_of, columns] = layout.keys();
        let (panels, rest) = out.split_at_mut(panels);
        let (corrections, rest) = rest.split_at_mut(corrections);
        let (units_of, rest) = rest.split_at_mut(units_of);
        panels[layout.positions / PANEL * PANEL * layout.key..].fill(0);
        let corrections = whole_mut(corrections);
        corrections.fill(0);
        let mut copy = [0.0; MOST_WIDTH];
        let mut row = |position: usize| whole_row(&source.keys[position * source.stride..][..layout.width], &mut copy);
        // The softmax does not see what all keys have in common, and without it they need fewer bits.
        let mut mean = [0.0; MOST_WIDTH];
        // SAFETY: arrays and rows are whole vectors, and the rest is passed on from the caller.
        unsafe {
            for position in 0..layout.positions {
                let row = row(position);
                for index in (0..columns).step_by(V::LANES) {
                    let at = mean.as_mut_ptr().add(index);
                    V::load(at).add(V::load(row.add(index))).store(at);
                }
            }
            scale::<V>(&mut mean, 1.0 / layout.positions as f32);
            floats_mut(rest).copy_from_slice(&mean[..columns]);
            for first in (0..layout.positions).step_by(BLOCK) {
                let block = first..layout.positions.min(first + BLOCK);
                let mut most = V::splat(0.0);
                for position in block.clone() {
                    let row = row(position);
                    for index in (0..columns).step_by(V::LANES) {
                        let centred = V::load(row.add(index)).sub(V::load(mean.as_ptr().add(index)));
                        most = most.larger_magnitude(centred);
                    }
                }
                let (unit, units_in_one) = units(most.largest_magnitude());
                floats_mut(units_of)[first / BLOCK] = unit;
                for position in block {
                    let row = row(position);
                    let mut bytes = [0_u8; MOST_WIDTH];
                    for index in (0..columns).step_by(V::LANES) {
                        let centred = V::load(row.add(index)).sub(V::load(mean.as_ptr().add(index)));
                        centred.mul_add(V::splat(units_in_one), V::splat(ROUND)).store_bytes(bytes.as_mut_ptr().add(index));
                    }
                    let mut sum = 0;
                    for byte in &bytes[..columns] {
                        sum += i32::from(byte.cast_signed());
                    }
                    corrections[position] = -middle * sum;
                    let panel = &mut panels[position / PANEL * PANEL * layout.key + position % PANEL..];
                    for (out, bytes) in panel.iter_mut().step_by(PANEL).zip(&bytes.as_chunks().0[..layout.key]) {
                        *out = u32::from_le_bytes(*bytes);
                    }
                }
            }
        }
    }
}

per_level! {
    fn pack_values(source: Source<'_>, layout: Layout, out: &mut [u32]) {
        let (panels, scales) = out.split_at_mut(layout.values()[0]);
        let scales = floats_mut(scales);
        for column in (0..layout.columns).step_by(PANEL) {
            let panel = &mut panels[column * layout.padded / GROUP..][..PANEL * layout.padded / GROUP];
            let width = PANEL.min(layout.width - column);
            let mut copy = [0.0; PANEL];
            let mut row =
                |position: usize| whole_row(&source.values[position * source.stride + column..][..width], &mut copy);
            for first in (0..layout.positions).step_by(BLOCK) {
                let block = first..layout.positions.min(first + BLOCK);
                let mut largest = [0.0; PANEL];
                let mut units_in_one = [0.0; PANEL];
                let scales = &mut scales[first / BLOCK * layout.sums()..][..layout.sums()];
                scales[layout.columns..].fill(1.0);
                // SAFETY: arrays and rows are whole vectors, and the rest is passed on from the caller.
                unsafe {
                    for position in block.clone() {
                        let row = row(position);
                        for index in (0..PANEL).step_by(V::LANES) {
                            let at = largest.as_mut_ptr().add(index);
                            V::load(at).larger_magnitude(V::load(row.add(index))).store(at);
                        }
                    }
                    for index in 0..PANEL {
                        (scales[column + index], units_in_one[index]) = units(largest[index]);
                    }
                    let words = &mut panel[first / GROUP * PANEL..layout.padded.min(first + BLOCK) / GROUP * PANEL];
                    for (words, position) in words.as_chunks_mut::<PANEL>().0.iter_mut().zip(block.step_by(GROUP)) {
                        let mut bytes = [[0_u8; PANEL]; GROUP];
                        for (position, bytes) in (position..layout.positions).zip(&mut bytes) {
                            let row = row(position);
                            for index in (0..PANEL).step_by(V::LANES) {
                                let units_in_one = V::load(units_in_one.as_ptr().add(index));
                                let value = V::load(row.add(index)).mul_add(units_in_one, V::splat(ROUND));
                                value.store_bytes(bytes.as_mut_ptr().add(index));
                            }
                        }
                        for index in 0..PANEL {
                            let [a, b, c, d] = &bytes;
                            words[index] = u32::from_le_bytes([a[index], b[index], c[index], d[index]]);
                        }
                    }
                }
            }
            // Where the last words end before the panel does.
            panel[layout.positions.div_ceil(GROUP) * PANEL..].fill(0);
        }
    }
}

/// Writes one key of a head.
pub(super) fn key(keys: &[u32], positions: usize, position: usize, key: &mut [f32]) {
    let layout = Layout::of(key.len(), positions);
    let keys = Keys::new(keys, layout);
    let panel = &keys.panels[position / PANEL * PANEL * layout.key + position % PANEL..];
    for ((index, value), mean) in key.iter_mut().enumerate().zip(keys.mean) {
        let byte = panel[index / GROUP * PANEL].to_le_bytes()[index % GROUP];
        *value = f32::from(byte.cast_signed()) * keys.units[position / BLOCK] + mean;
    }
}

/// What a tile of queries needs.
struct Scratch<'a> {
    /// `[queries, words of the width]`
    queries: &'a mut [u32],
    query_stride: usize,
    /// `[queries, block]`
    scores: &'a mut [i32],
    /// `[queries, words of the block]`
    weights: &'a mut [u32],
    weight_stride: usize,
    /// `[queries, sums]`: of the blocks so far.
    sums: &'a mut [f32],
    /// `[queries, sums]`: of one block.
    products: &'a mut [i32],
}

impl<'a> Scratch<'a> {
    fn new(words: &'a mut [u32], layout: Layout) -> Self {
        let [queries, scores, weights, sums, products] = layout.scratch();
        let (queries, rest) = words.split_at_mut(queries);
        let (scores, rest) = rest.split_at_mut(scores);
        let (weights, rest) = rest.split_at_mut(weights);
        let (sums, rest) = rest.split_at_mut(sums);
        Self {
            queries,
            query_stride: row_stride(layout.key),
            scores: whole_mut(scores),
            weights,
            weight_stride: row_stride(BLOCK / GROUP),
            sums: floats_mut(sums),
            products: &mut whole_mut(rest)[..products],
        }
    }
}

/// What the tile's queries have come to, one lane for each.
struct Course {
    /// What a unit of a score is worth as an exponent of two, without the unit of the block's keys.
    factors: [f32; ROWS],
    /// The largest exponent so far.
    most: [f32; ROWS],
}

/// How a block's weights are made and added, for each query.
struct Step {
    factors: [f32; ROWS],
    /// Added to exponents, so that the largest becomes the largest weight.
    offsets: [f32; ROWS],
    /// Multiplies the sums of the blocks before.
    old: [f32; ROWS],
    /// Multiplies those of this block.
    new: [f32; ROWS],
}

impl Course {
    /// Goes on to a block whose keys' unit is `unit` and whose largest scores are `largest`.
    ///
    /// # Safety
    /// The CPU has the vector's instructions.
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, largest: &[i32; ROWS], unit: f32, largest_weight: f32) -> Step {
        let mut step = Step { factors: [0.0; ROWS], offsets: [0.0; ROWS], old: [0.0; ROWS], new: [0.0; ROWS] };
        for index in (0..ROWS).step_by(V::LANES) {
            // SAFETY: whole vectors lie within the arrays, and the rest is passed on from the caller.
            unsafe {
                let factor = V::load(self.factors.as_ptr().add(index)).mul(V::splat(unit));
                let high = V::load_whole(largest.as_ptr().add(index)).mul(factor);
                let before = V::load(self.most.as_ptr().add(index));
                // In this order what is not a number stays so.
                let most = before.max(high);
                factor.store(step.factors.as_mut_ptr().add(index));
                V::splat(largest_weight.log2()).sub(high).store(step.offsets.as_mut_ptr().add(index));
                exp2(before.sub(most), true).store(step.old.as_mut_ptr().add(index));
                exp2(high.sub(most), true).store(step.new.as_mut_ptr().add(index));
                most.store(self.most.as_mut_ptr().add(index));
            }
        }
        step
    }
}

/// # Safety
/// The CPU has the level, and no other thread writes these rows and columns of `out`.
pub(super) unsafe fn attend(level: Level, work: &mut Work<'_>) {
    let most = magnitude(level);
    // SAFETY: passed on from the caller.
    unsafe { at_level!(level, I8: Integer, attend_task(work: &mut Work<'_>, most: u8)) }
}

/// # Safety
/// The CPU has the instructions of `D`, and no other thread writes these rows and columns of `out`.
#[inline(always)]
unsafe fn attend_task<N: Integer, D: Dot<Sum = i32>>(work: &mut Work<'_>, magnitude: u8) {
    let Work { values, queries, ref rows, at, out, .. } = *work;
    let layout = Layout::of(work.width, work.positions);
    let keys = Keys::new(work.keys, layout);
    let (panels, scales) = values.split_at(layout.values()[0]);
    let scales = floats(scales);
    let scratch = &mut Scratch::new(work.scratch, layout);
    // Powers of two are cheaper than those of e.
    let factor = std::f32::consts::LOG2_E / (layout.width as f32).sqrt();
    // A weight may come out a little larger, for a power of two errs. AVX2's sums, which end at 129, have room for that.
    let largest_weight = if magnitude == 127 { 255.0 } else { 127.0 };
    let zeros = [0; PANEL];
    for first in rows.clone().step_by(D::ROWS) {
        let count = D::ROWS.min(rows.end - first);
        let mut course = Course { factors: [0.0; ROWS], most: [f32::NEG_INFINITY; ROWS] };
        for (index, words) in scratch.queries.chunks_exact_mut(scratch.query_stride).enumerate().take(count) {
            let query = &queries.row(first + index, at + layout.width)[at..];
            let bytes = &mut bytes_mut(words)[..layout.key * GROUP];
            // SAFETY: passed on from the caller.
            course.factors[index] = factor * unsafe { quantise::<D::Floats>(query, magnitude, bytes) };
        }
        scratch.sums.fill(0.0);
        for (block, start) in (0..layout.positions).step_by(BLOCK).enumerate() {
            let valid = BLOCK.min(layout.positions - start);
            let padded = valid.next_multiple_of(PANEL);
            let weighed = valid.next_multiple_of(WEIGHED);
            let panels_of_keys = &keys.panels[start * layout.key..][..padded * layout.key];
            // SAFETY: passed on from the caller.
            unsafe {
                let queries = (&*scratch.queries, scratch.query_stride);
                score::<D>(
                    count,
                    queries,
                    layout.key,
                    panels_of_keys,
                    &keys.corrections[start..],
                    (&mut *scratch.scores, BLOCK),
                );
            }
            let mut largest = [0; ROWS];
            for (index, largest) in largest.iter_mut().enumerate().take(count) {
                let scores = &mut scratch.scores[index * BLOCK..][..weighed];
                if valid < weighed {
                    scores[valid..].fill(i32::MIN);
                }
                // SAFETY: passed on from the caller, with whole vectors.
                *largest = unsafe { D::Floats::largest_whole(scores.as_ptr(), weighed) };
            }
            // SAFETY: passed on from the caller.
            let step = unsafe { course.step::<D::Floats>(&largest, keys.units[block], largest_weight) };
            for index in 0..count {
                let scores = &scratch.scores[index * BLOCK..][..weighed];
                let weights = bytes_mut(&mut scratch.weights[index * scratch.weight_stride..][..BLOCK / GROUP]);
                let (factor, offset) = (step.factors[index], step.offsets[index]);
                // SAFETY: passed on from the caller.
                unsafe { weigh::<D::Floats>(scores.as_ptr(), weighed, factor, offset, weights.as_mut_ptr()) };
                // What is not there has no weight.
                if valid < weighed {
                    weights[valid..weighed].fill(0);
                }
            }
            for column in (0..layout.columns).step_by(PANEL) {
                let panel = &panels[(column * layout.padded + start * PANEL) / GROUP..][..PANEL * padded / GROUP];
                // SAFETY: the scratch holds that many weights and products, the panel is whole.
                unsafe {
                    let tile = Tile {
                        rows: scratch.weights.as_ptr(),
                        row_stride: scratch.weight_stride,
                        words: padded / GROUP,
                        panel: panel.as_ptr(),
                        start: zeros.as_ptr(),
                        start_stride: 0,
                        out: scratch.products[column..].as_mut_ptr(),
                        out_stride: layout.sums(),
                    };
                    tile_of::<D>(count, tile);
                }
            }
            let scales = &scales[block * layout.sums()..][..layout.sums()];
            for index in 0..count {
                let sums = &mut scratch.sums[index * layout.sums()..][..layout.sums()];
                let products = &mut scratch.products[index * layout.sums()..][..layout.sums()];
                let weights = &scratch.weights[index * scratch.weight_stride..][..BLOCK / GROUP];
                // SAFETY: passed on from the caller, with as many words, and room for sums, as there are lanes.
                unsafe {
                    let mut total = D::sums(zeros.as_ptr());
                    for word in (0..weighed / GROUP).step_by(D::LANES) {
                        total = D::step(total, D::load(weights.as_ptr().add(word)), D::splat(0x0101_0101));
                    }
                    D::store(total, products[layout.columns..].as_mut_ptr());
                    let used = layout.columns + D::LANES;
                    add_block::<D::Floats>(step.old[index], step.new[index], &products[..used], scales, sums);
                }
            }
        }
        for (index, sums) in scratch.sums.chunks_exact(layout.sums()).enumerate().take(count) {
            let (sums, total) = sums.split_at(layout.columns);
            let share = 1.0 / total[..D::LANES].iter().sum::<f32>();
            // SAFETY: passed on from the caller.
            let out = unsafe { out.cells(first + index, at, layout.width) };
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sum * share;
            }
        }
    }
}

/// `sums = sums * old + products * scales * new`.
///
/// # Safety
/// The CPU has the vector's instructions.
#[inline(always)]
unsafe fn add_block<V: Vector>(old: f32, new: f32, products: &[i32], scales: &[f32], sums: &mut [f32]) {
    assert!(products.len().is_multiple_of(V::LANES) && scales.len() >= products.len() && sums.len() >= products.len());
    // SAFETY: whole vectors lie within the slices, and the rest is passed on from the caller.
    unsafe {
        let (old, new) = (V::splat(old), V::splat(new));
        for index in (0..products.len()).step_by(V::LANES) {
            let product = V::load_whole(products.as_ptr().add(index)).mul(V::load(scales.as_ptr().add(index)));
            let at = sums.as_mut_ptr().add(index);
            product.mul_add(new, V::load(at).mul(old)).store(at);
        }
    }
}
