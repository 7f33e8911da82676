//! 32-bit float weights, in panels of 32 output columns.

use crate::matrix::{Activations, Epilogue, Out, PANEL, WeightMatrix, divide};
use crate::{Level, ThreadPool};

/// Weights as 32-bit floats.
///
/// *Layout*: panels of 32 columns, each `[k, 32]`, the last filled up with zeros.
#[derive(Debug)]
pub struct PackedF32 {
    n: usize,
    k: usize,
    panels: Vec<f32>,
    level: Level,
}

impl WeightMatrix for PackedF32 {
    fn pack(n: usize, k: usize, mut row: impl FnMut(usize, &mut [f32])) -> Self {
        let mut panels = vec![0.0; n.div_ceil(PANEL) * PANEL * k];
        let mut values = vec![0.0; k];
        for column in 0..n {
            row(column, &mut values);
            let panel = &mut panels[column / PANEL * PANEL * k..][..PANEL * k];
            for (out, value) in panel.iter_mut().skip(column % PANEL).step_by(PANEL).zip(&values) {
                *out = *value;
            }
        }
        Self { n, k, panels, level: Level::best() }
    }

    fn n(&self) -> usize {
        self.n
    }

    fn k(&self) -> usize {
        self.k
    }

    fn bytes(&self) -> usize {
        self.panels.len() * 4
    }

    fn row(&self, row: usize, out: &mut [f32]) {
        let panel = &self.panels[row / PANEL * PANEL * self.k..][..PANEL * self.k];
        for (out, value) in out.iter_mut().zip(panel.iter().skip(row % PANEL).step_by(PANEL)) {
            *out = *value;
        }
    }

    fn multiply(
        &self,
        pool: &ThreadPool,
        a: Activations<'_>,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
        out_stride: usize,
        _scratch: &mut Vec<u8>,
    ) {
        a.check(self.k);
        assert!(epilogue.bias.is_none_or(|bias| bias.len() >= self.n), "the bias has a value for each column");
        let out = Out::new(out, a.rows, self.n, out_stride);
        divide(pool, a.rows, self.n.div_ceil(PANEL), self.bytes(), |rows, panels| {
            for panel in panels {
                let weights = &self.panels[panel * PANEL * self.k..][..PANEL * self.k];
                let column = panel * PANEL;
                let mut row = rows.start;
                while row < rows.end {
                    let data = &a.data[row * a.stride..];
                    // SAFETY: parts are of different rows or different panels; the level was detected when packing.
                    row += unsafe {
                        tiles(self.level, data, a.stride, rows.end - row, weights, out, row, column, &epilogue)
                    };
                }
            }
        });
    }
}

/// Multiplies as many rows as one tile of this instruction set has, at most `left`, and returns how many those were.
///
/// # Safety
/// No other thread writes these rows and columns of `out`; the CPU has `level`.
#[allow(clippy::too_many_arguments, reason = "a tile's place in three matrices")]
#[inline]
unsafe fn tiles(
    level: Level,
    data: &[f32],
    stride: usize,
    left: usize,
    weights: &[f32],
    out: Out,
    row: usize,
    column: usize,
    epilogue: &Epilogue<'_>,
) -> usize {
    macro_rules! sizes {
        ($kernel:path: $($size:literal)*) => {
            match left {
                // SAFETY: passed on from the caller.
                $($size => { unsafe { $kernel(data, stride, weights, out, row, column, epilogue, [(); $size]) }; $size })*
                // SAFETY: as above.
                _ => { unsafe { $kernel(data, stride, weights, out, row, column, epilogue, [(); 12]) }; 12 }
            }
        };
    }
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => sizes!(avx512: 1 2 3 4 5 6 7 8 9 10 11),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => match left {
            // SAFETY: passed on from the caller.
            1 => unsafe {
                avx2(data, stride, weights, out, row, column, epilogue, [(); 1]);
                1
            },
            // SAFETY: as above.
            2 => unsafe {
                avx2(data, stride, weights, out, row, column, epilogue, [(); 2]);
                2
            },
            // SAFETY: as above.
            _ => unsafe {
                avx2(data, stride, weights, out, row, column, epilogue, [(); 3]);
                3
            },
        },
        // SAFETY: passed on from the caller.
        _ => unsafe {
            scalar(data, stride, weights, out, row, column, epilogue);
            1
        },
    }
}

macro_rules! vector_kernel {
    ($name:ident, $features:literal, $lanes:literal, $vector:ident, $zero:ident, $load:ident, $splat:ident, $fma:ident, $store:ident) => {
        /// # Safety
        /// As for [`tiles`].
        #[cfg(target_arch = "x86_64")]
        #[allow(clippy::too_many_arguments, reason = "a tile's place in three matrices")]
        #[target_feature(enable = $features)]
        unsafe fn $name<const M: usize>(
            data: &[f32],
            stride: usize,
            weights: &[f32],
            out: Out,
            row: usize,
            column: usize,
            epilogue: &Epilogue<'_>,
            _rows: [(); M],
        ) {
            use std::arch::x86_64::*;
            const VECTORS: usize = PANEL / $lanes;
            let k = weights.len() / PANEL;
            assert!(k == 0 || data.len() >= (M - 1) * stride + k);
            let mut sums = [[$zero(); VECTORS]; M];
            let mut panel = weights.as_ptr();
            for step in 0..k {
                let columns: [$vector; VECTORS] = std::array::from_fn(|vector| {
                    // SAFETY: the panel has `k` rows of 32 values.
                    unsafe { $load(panel.add(vector * $lanes)) }
                });
                for (index, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: every row has `k` values from its start, by the assertion.
                    let value = $splat(unsafe { *data.as_ptr().add(index * stride + step) });
                    for (sum, column) in sums.iter_mut().zip(&columns) {
                        *sum = $fma(value, *column, *sum);
                    }
                }
                // SAFETY: at most one past the end.
                panel = unsafe { panel.add(PANEL) };
            }
            let mut tile = [[0.0_f32; PANEL]; M];
            for (tile, sums) in tile.iter_mut().zip(&sums) {
                for (vector, sum) in sums.iter().enumerate() {
                    // SAFETY: the tile's row has room for all its vectors.
                    unsafe { $store(tile.as_mut_ptr().add(vector * $lanes), *sum) };
                }
            }
            // SAFETY: passed on from the caller.
            unsafe { out.store(&tile, row, column, epilogue) };
        }
    };
}

vector_kernel!(
    avx512,
    "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma",
    16,
    __m512,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps,
    _mm512_storeu_ps
);
vector_kernel!(
    avx2,
    "avx2,fma",
    8,
    __m256,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_set1_ps,
    _mm256_fmadd_ps,
    _mm256_storeu_ps
);

/// # Safety
/// As for [`tiles`].
unsafe fn scalar(
    data: &[f32],
    _stride: usize,
    weights: &[f32],
    out: Out,
    row: usize,
    column: usize,
    epilogue: &Epilogue<'_>,
) {
    let mut tile = [[0.0_f32; PANEL]; 1];
    for (value, columns) in data.iter().zip(weights.as_chunks::<PANEL>().0) {
        for (sum, column) in tile[0].iter_mut().zip(columns) {
            *sum += value * column;
        }
    }
    // SAFETY: passed on from the caller.
    unsafe { out.store(&tile, row, column, epilogue) };
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
    fn rows_come_back() {
        let weights = values(40 * 9, 1);
        let packed = PackedF32::pack(40, 9, |row, out| out.copy_from_slice(&weights[row * 9..(row + 1) * 9]));
        let mut row = vec![0.0; 9];
        packed.row(37, &mut row);
        assert_eq!(row, weights[37 * 9..38 * 9]);
    }
}
