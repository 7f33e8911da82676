//! 8-bit integer weights with a scale for each output column, in panels of 32 columns.

use std::ops::Range;

use crate::Level;
use crate::dot::PANEL;
use crate::elementwise::{ROUND, largest_magnitude, normalise};
use crate::level::per_level;
use crate::matrix::{Activations, Epilogue, Norm, Out, Packed, Product, Values, WeightMatrix, block};
use crate::number::{I8, at_level};
use crate::packed_float::row_stride;
use crate::vector::Vector;
use crate::words::{PackedWords, Words, bytes_mut, floats, floats_mut, whole, whole_mut};

/// Products summed by one instruction.
const GROUP: usize = 4;

/// Weights as 8-bit integers. Activations are quantised row by row as they come: unsigned, around a middle.
///
/// *Layout*: panels of 32 columns, each `[words, 32]` of four bytes, `k` and the columns filled up with zeros; then, for each
/// column, what one unit of a weight is worth, and what takes from its sums that which the activations' middle adds to them.
#[derive(Debug)]
pub struct PackedI8 {
    n: usize,
    k: usize,
    packed: PackedWords,
    level: Level,
}

/// The parts of packed words.
struct Parts<'a> {
    panels: &'a [u32],
    scales: &'a [f32],
    corrections: &'a [i32],
}

/// Largest magnitude of a quantised activation, whose middle is one more. AVX2 sums pairs of products in 16 bits, which must not
/// overflow: `2 * (2 * 64 + 1) * 127` is the most that does not.
pub(crate) fn magnitude(level: Level) -> u8 {
    if level == Level::Avx2 { 64 } else { 127 }
}

impl PackedI8 {
    fn words(&self) -> usize {
        self.k.div_ceil(GROUP)
    }

    fn parts(&self) -> Parts<'_> {
        let columns = self.n.next_multiple_of(PANEL);
        let (panels, rest) = self.packed.as_slice().split_at(columns * self.words());
        let (scales, corrections) = rest.split_at(columns);
        Parts { panels, scales: floats(scales), corrections: &whole(corrections)[..columns] }
    }

    fn stride(&self) -> usize {
        row_stride(self.words())
    }
}

impl WeightMatrix for PackedI8 {
    fn pack(n: usize, k: usize, mut row: impl FnMut(usize, &mut [f32])) -> Self {
        let (columns, words, level) = (n.next_multiple_of(PANEL), k.div_ceil(GROUP), Level::best());
        let mut packed = Words::zeros(Self::packed_words(n, k));
        let (panels, rest) = packed.as_mut_slice().split_at_mut(columns * words);
        let (scales, corrections) = rest.split_at_mut(columns);
        let (scales, corrections) = (floats_mut(scales), whole_mut(corrections));
        let (mut values, mut quantised) = (vec![0.0; k], vec![0; words]);
        for column in 0..n {
            row(column, &mut values);
            // As activations are, around a middle of 128; taking that away is turning a bit over.
            scales[column] = quantise_row(&values, None, &mut [], 127, bytes_mut(&mut quantised));
            let panel = &mut panels[column / PANEL * PANEL * words..][..PANEL * words];
            let mut sum = 0_i32;
            for (out, word) in panel.iter_mut().skip(column % PANEL).step_by(PANEL).zip(&quantised) {
                *out = word ^ 0x8080_8080;
                sum += out.to_le_bytes().iter().map(|byte| i32::from(byte.cast_signed())).sum::<i32>();
            }
            corrections[column] = -sum * (i32::from(magnitude(level)) + 1);
        }
        Self { n, k, packed: packed.into(), level }
    }

    fn packed_words(n: usize, k: usize) -> usize {
        (n.next_multiple_of(PANEL) * (k.div_ceil(GROUP) + 2)).next_multiple_of(16)
    }

    fn from_packed(n: usize, k: usize, packed: PackedWords) -> Option<Self> {
        (packed.as_slice().len() == Self::packed_words(n, k)).then_some(Self { n, k, packed, level: Level::best() })
    }

    fn packed(&self) -> &PackedWords {
        &self.packed
    }

    fn n(&self) -> usize {
        self.n
    }

    fn k(&self) -> usize {
        self.k
    }

    fn bytes(&self) -> usize {
        4 * self.packed.as_slice().len()
    }

    fn row(&self, row: usize, out: &mut [f32]) {
        let (words, Parts { panels, scales, .. }) = (self.words(), self.parts());
        let panel = &panels[row / PANEL * PANEL * words..][..PANEL * words];
        for (index, out) in out.iter_mut().enumerate() {
            let bytes = panel[index / GROUP * PANEL + row % PANEL].to_le_bytes();
            *out = f32::from(bytes[index % GROUP].cast_signed()) * scales[row];
        }
    }
}

impl Packed for PackedI8 {
    /// The rows' bytes, then their scales, then a normalised row.
    fn prepared_words(&self, rows: usize) -> usize {
        rows * (self.stride() + 1) + self.k
    }

    fn prepare(&self, a: Activations<'_>, prepared: &mut [u32]) {
        let (prepared, rest) = prepared.split_at_mut(a.rows * self.stride());
        let (scales, normed) = floats_mut(rest).split_at_mut(a.rows);
        for ((row, words), scale) in prepared.chunks_exact_mut(self.stride()).enumerate().zip(scales) {
            let bytes = &mut bytes_mut(words)[..self.words() * GROUP];
            *scale = quantise_row(a.row(row, self.k), a.norm, &mut normed[..self.k], magnitude(self.level), bytes);
        }
    }

    unsafe fn product(&self, prepared: &[u32], rows: usize, panels: Range<usize>, epilogue: &Epilogue<'_>, out: Out) {
        let (left, units) = prepared.split_at(rows * self.stride());
        let Parts { panels: weights, scales, corrections } = self.parts();
        let product = &Product {
            left,
            stride: self.stride(),
            rows,
            words: self.words(),
            weights,
            panels,
            epilogue,
            out,
            values: Dequantise { rows: &floats(units)[..rows], columns: scales, corrections },
        };
        // SAFETY: the level was detected, and the rest is passed on from the caller.
        unsafe { at_level!(self.level, I8: crate::number::Integer, block(product: &Product<'_, Dequantise<'_>>)) }
    }
}

/// What turns a sum of integers into a value.
struct Dequantise<'a> {
    rows: &'a [f32],
    columns: &'a [f32],
    corrections: &'a [i32],
}

impl Values<i32> for Dequantise<'_> {
    fn precise(&self) -> bool {
        false
    }

    fn start<'a>(&'a self, column: usize, _bias: &'a [f32; PANEL]) -> &'a [i32; PANEL] {
        self.corrections[column..].first_chunk().expect("BUG: there are corrections for whole panels")
    }

    #[inline(always)]
    unsafe fn values<V: Vector>(&self, sums: *const i32, bias: *const f32, row: usize, column: usize) -> V {
        // SAFETY: passed on from the caller; scales are as long as whole panels.
        unsafe {
            let scale = V::load(self.columns.as_ptr().add(column)).mul(V::splat(self.rows[row]));
            V::load_whole(sums).mul_add(scale, V::load(bias))
        }
    }
}

per_level! {
    /// Quantises a row, normalised if it is to be: [`quantise`].
    ///
    /// *Shape*: `values` and `normed` `[k]`, `bytes` `[k]` or a little longer.
    pub(crate) fn quantise_row(values: &[f32], norm: Option<Norm<'_>>, normed: &mut [f32], magnitude: u8, bytes: &mut [u8]) -> f32 {
        // SAFETY: passed on from the caller.
        unsafe {
            match norm {
                Some(norm) => {
                    normalise::<V>(values, norm, normed);
                    quantise::<V>(normed, magnitude, bytes)
                }
                None => quantise::<V>(values, magnitude, bytes),
            }
        }
    }
}

/// Quantises values to bytes around a middle of `magnitude + 1`, and returns what one unit is worth.
///
/// # Safety
/// The CPU has the vector's instructions.
#[inline(always)]
pub(crate) unsafe fn quantise<V: Vector>(values: &[f32], magnitude: u8, bytes: &mut [u8]) -> f32 {
    let middle = magnitude + 1;
    // SAFETY: passed on from the caller.
    let largest = unsafe { largest_magnitude::<V>(values) };
    if largest == 0.0 || !largest.is_finite() {
        bytes.fill(middle);
        // What is not finite must be seen in the result, not be lost in a zero.
        return if largest == 0.0 { 1.0 } else { f32::NAN };
    }
    let inverse = f32::from(magnitude) / largest;
    let rounding = ROUND + f32::from(middle);
    let whole = values.len() / V::LANES * V::LANES;
    assert!(bytes.len() >= values.len());
    for index in (0..whole).step_by(V::LANES) {
        // SAFETY: a whole vector lies within both.
        unsafe {
            let value = V::load(values.as_ptr().add(index)).mul_add(V::splat(inverse), V::splat(rounding));
            value.store_bytes(bytes.as_mut_ptr().add(index));
        }
    }
    bytes[whole..].fill(middle);
    for (byte, value) in bytes[whole..].iter_mut().zip(&values[whole..]) {
        *byte = (value * inverse + rounding).to_bits() as u8;
    }
    largest / f32::from(magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Workspace;
    use crate::matrix::tests::check;

    #[test]
    fn products_are_near_the_definition() {
        // Values are below 1, so a weight errs by at most 1/254 and an activation by 1/254 (AVX2: 1/128); errors add up as the
        // root of the number of products, with room for the worst of thousands.
        check::<PackedI8>(|k| 0.03 * (k as f32).sqrt() + 0.01);
    }

    #[test]
    fn sums_are_the_same_in_every_instruction_set() {
        // Bytes that are the largest that each may get, with the largest weights: nothing overflows.
        let pool = crate::matrix::tests::pool();
        let k = if cfg!(miri) { 64 } else { 4096 };
        let packed = PackedI8::pack(33, k, |row, out| out.fill(if row % 2 == 0 { 1.0 } else { -1.0 }));
        let ones = vec![1.0; k];
        let mut out = vec![0.0; 33];
        let a = Activations::new(&ones, k);
        packed.multiply(&pool, a, Epilogue::default(), &mut out, 33, &mut Workspace::new());
        for (column, value) in out.iter().enumerate() {
            let expected = if column % 2 == 0 { k as f32 } else { -(k as f32) };
            assert!((value - expected).abs() < 0.01, "{value}");
        }
    }

    #[test]
    fn what_is_not_finite_is_seen() {
        let pool = crate::matrix::tests::pool();
        let packed = PackedI8::pack(4, 8, |_, out| out.fill(0.5));
        for bad in [f32::INFINITY, f32::NAN] {
            let mut values = [0.25; 8];
            values[3] = bad;
            let mut out = vec![0.0; 4];
            let a = Activations::new(&values, 8);
            packed.multiply(&pool, a, Epilogue::default(), &mut out, 4, &mut Workspace::new());
            assert!(out.iter().all(|value| value.is_nan()), "{bad}");
        }
    }
}
