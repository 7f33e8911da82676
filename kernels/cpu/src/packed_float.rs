//! Weights in a floating-point format, in panels of 32 output columns.

use std::marker::PhantomData;
use std::ops::Range;

use crate::Level;
use crate::dot::PANEL;
use crate::elementwise::layer_norm_row;
use crate::matrix::{Activations, AsTheyAre, Epilogue, Out, Packed, Product, WeightMatrix, block};
use crate::number::{Bf16, F32, Float, at_level};
use crate::words::{PackedWords, Words, floats_mut};

/// Weights as 32-bit floats.
pub type PackedF32 = PackedFloat<F32>;

/// Weights as bfloat16: half the memory, 8 bits of precision. Activations are rounded likewise as they come.
pub type PackedBf16 = PackedFloat<Bf16>;

/// Weights of a floating-point type.
///
/// *Layout*: panels of 32 columns, each `[words, 32]`; `k` and the columns are filled up with zeros.
#[derive(Debug)]
pub struct PackedFloat<E: Float> {
    n: usize,
    k: usize,
    panels: PackedWords,
    level: Level,
    number: PhantomData<E>,
}

impl<E: Float> PackedFloat<E> {
    fn words(&self) -> usize {
        self.k.div_ceil(E::PER_WORD)
    }

    fn stride(&self) -> usize {
        row_stride(self.words())
    }
}

/// Distance of prepared rows: a cache line more than they need, so that the rows of a tile do not all fall into one cache set.
pub(crate) fn row_stride(words: usize) -> usize {
    words.next_multiple_of(16) + 16
}

impl<E: Float> WeightMatrix for PackedFloat<E> {
    fn pack(n: usize, k: usize, mut row: impl FnMut(usize, &mut [f32])) -> Self {
        let words = k.div_ceil(E::PER_WORD);
        let mut panels = Words::zeros(Self::packed_words(n, k));
        let (mut values, mut packed) = (vec![0.0; k], vec![0; words]);
        for column in 0..n {
            row(column, &mut values);
            E::put(&values, &mut packed);
            let panel = &mut panels.as_mut_slice()[column / PANEL * PANEL * words..][..PANEL * words];
            for (out, word) in panel.iter_mut().skip(column % PANEL).step_by(PANEL).zip(&packed) {
                *out = *word;
            }
        }
        Self { n, k, panels: panels.into(), level: Level::best(), number: PhantomData }
    }

    fn packed_words(n: usize, k: usize) -> usize {
        n.next_multiple_of(PANEL) * k.div_ceil(E::PER_WORD)
    }

    fn from_packed(n: usize, k: usize, packed: PackedWords) -> Option<Self> {
        (packed.as_slice().len() == Self::packed_words(n, k)).then_some(Self {
            n,
            k,
            panels: packed,
            level: Level::best(),
            number: PhantomData,
        })
    }

    fn packed(&self) -> &PackedWords {
        &self.panels
    }

    fn n(&self) -> usize {
        self.n
    }

    fn k(&self) -> usize {
        self.k
    }

    fn bytes(&self) -> usize {
        4 * self.panels.as_slice().len()
    }

    fn row(&self, row: usize, out: &mut [f32]) {
        let words = self.words();
        let panel = &self.panels.as_slice()[row / PANEL * PANEL * words..][..PANEL * words];
        for (index, out) in out.iter_mut().enumerate() {
            *out = E::get(panel[index / E::PER_WORD * PANEL + row % PANEL], index % E::PER_WORD);
        }
    }
}

impl<E: Float> Packed for PackedFloat<E> {
    fn prepared_words(&self, rows: usize) -> usize {
        rows * self.stride() + self.k
    }

    fn prepare(&self, a: Activations<'_>, prepared: &mut [u32]) {
        let (prepared, normed) = prepared.split_at_mut(a.rows * self.stride());
        let normed = &mut floats_mut(normed)[..self.k];
        for (row, words) in prepared.chunks_exact_mut(self.stride()).enumerate() {
            let mut values = a.row(row, self.k);
            if let Some(norm) = a.norm {
                layer_norm_row(values, norm, normed);
                values = normed;
            }
            E::put(values, &mut words[..self.words()]);
        }
    }

    unsafe fn product(&self, prepared: &[u32], rows: usize, panels: Range<usize>, epilogue: &Epilogue<'_>, out: Out) {
        let product = &Product {
            left: prepared,
            stride: self.stride(),
            rows,
            words: self.words(),
            weights: self.panels.as_slice(),
            panels,
            epilogue,
            out,
            values: AsTheyAre { precise: E::PRECISE },
        };
        // SAFETY: the level was detected, and the rest is passed on from the caller.
        unsafe { at_level!(self.level, E: Float, block(product: &Product<'_, AsTheyAre>)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::tests::{check, values};

    #[test]
    fn products_equal_the_definition() {
        check::<PackedF32>(|k| 1e-6 * k as f32 + 1e-6);
    }

    #[test]
    fn products_of_bfloat16_are_near_the_definition() {
        // Either factor errs by at most 1/512; errors add up as the root of the number of products, with room for the worst
        // of thousands.
        check::<PackedBf16>(|k| 0.01 * (k as f32).sqrt());
    }

    #[test]
    fn rows_come_back() {
        let weights = values(40 * 9, 1);
        let row = |row: usize, out: &mut [f32]| out.copy_from_slice(&weights[row * 9..(row + 1) * 9]);
        let mut found = vec![0.0; 9];
        PackedF32::pack(40, 9, row).row(37, &mut found);
        assert_eq!(found, weights[37 * 9..38 * 9]);
        PackedBf16::pack(40, 9, row).row(37, &mut found);
        assert!(found.iter().zip(&weights[37 * 9..]).all(|(a, b)| (a - b).abs() <= b.abs() / 256.0));
    }
}
