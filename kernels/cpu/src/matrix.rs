//! What all packed matrices have in common: the call, the division of work, and what follows the product.

use std::ops::Range;

use crate::ThreadPool;
use crate::elementwise::gelu_value;

/// Columns of a packed panel, for every instruction set: two vectors of AVX-512, four of AVX2.
pub(crate) const PANEL: usize = 32;
/// Rows of the left operand that one task multiplies: they stay in the second-level cache while the panels pass.
const BLOCK_ROWS: usize = 96;
/// Weights smaller than this are read faster than a second thread wakes up.
const WORTH_A_THREAD_BYTES: usize = 1 << 20;

/// The left operand: rows of 32-bit floats, which may overlap.
///
/// *Shape*: `[rows, k]`, `stride` values apart.
#[derive(Debug, Clone, Copy)]
pub struct Activations<'a> {
    /// The values.
    pub data: &'a [f32],
    /// Number of rows.
    pub rows: usize,
    /// Distance of the rows' starts.
    pub stride: usize,
}

impl<'a> Activations<'a> {
    /// Rows of `k` values that follow each other.
    pub fn new(data: &'a [f32], k: usize) -> Self {
        Self { data, rows: data.len() / k.max(1), stride: k }
    }

    pub(crate) fn check(&self, k: usize) {
        let needed = self.rows.checked_sub(1).map_or(0, |last| last * self.stride + k);
        assert!(self.data.len() >= needed, "{} rows of {k} values do not lie in {} values", self.rows, self.data.len());
    }
}

/// What follows the product, in this order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// Added to every row: `[n]`.
    pub bias: Option<&'a [f32]>,
    /// Whether the Gaussian error linear unit follows.
    pub gelu: bool,
    /// Whether the result is added to what `out` holds, or replaces it.
    pub accumulate: bool,
}

/// Weights packed for products with them on the right.
pub trait WeightMatrix: Send + Sync + std::fmt::Debug {
    /// Packs weights: `row(i, out)` writes row `i` of `[n, k]`.
    fn pack(n: usize, k: usize, row: impl FnMut(usize, &mut [f32])) -> Self
    where
        Self: Sized;

    /// Output columns.
    fn n(&self) -> usize;

    /// Inner dimension.
    fn k(&self) -> usize;

    /// Bytes of the packed weights.
    fn bytes(&self) -> usize;

    /// Writes one row of the weights, as near to what was packed as the number type is.
    fn row(&self, row: usize, out: &mut [f32]);

    /// `out = epilogue(a x weights^T)`, the rows of `out` being `out_stride` values apart.
    ///
    /// `scratch` grows to what the first calls need and is then left alone.
    ///
    /// *Panics*: if a slice is too short for its shape.
    fn multiply(
        &self,
        pool: &ThreadPool,
        a: Activations<'_>,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
        out_stride: usize,
        scratch: &mut Vec<u8>,
    );
}

/// Divides a product: by rows where there are many, by panels where only the weights are large, else not at all.
pub(crate) fn divide(
    pool: &ThreadPool,
    rows: usize,
    panels: usize,
    weight_bytes: usize,
    part: impl Fn(Range<usize>, Range<usize>) + Sync,
) {
    if rows >= 2 * BLOCK_ROWS {
        pool.run(rows.div_ceil(BLOCK_ROWS), |block| {
            let first = block * BLOCK_ROWS;
            part(first..rows.min(first + BLOCK_ROWS), 0..panels);
        });
    } else if weight_bytes >= WORTH_A_THREAD_BYTES && pool.threads() > 1 && rows > 0 {
        // Two parts a thread, so that one that started late does not hold up the others for long.
        let parts = (2 * pool.threads()).min(panels);
        pool.run(parts, |index| part(0..rows, index * panels / parts..(index + 1) * panels / parts));
    } else {
        part(0..rows, 0..panels);
    }
}

/// The result matrix, written by several threads at places that do not overlap.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    pointer: *mut f32,
    length: usize,
    stride: usize,
    n: usize,
}

// SAFETY: it is made from an exclusive borrow, and every part of a divided product writes rows and columns of its own.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

impl Out {
    pub(crate) fn new(out: &mut [f32], rows: usize, n: usize, stride: usize) -> Self {
        let needed = rows.checked_sub(1).map_or(0, |last| last * stride + n);
        assert!(out.len() >= needed && stride >= n, "{rows} rows of {n} results do not lie in {} values", out.len());
        Self { pointer: out.as_mut_ptr(), length: out.len(), stride, n }
    }

    /// Finishes a tile of products at (`row`, `column`) and stores what of it lies within the matrix.
    ///
    /// # Safety
    /// No other thread writes these rows and columns.
    #[inline(always)]
    pub(crate) unsafe fn store<const M: usize>(
        self,
        tile: &[[f32; PANEL]; M],
        row: usize,
        column: usize,
        epilogue: &Epilogue<'_>,
    ) {
        let width = PANEL.min(self.n - column);
        let mut bias = [0.0; PANEL];
        if let Some(values) = epilogue.bias {
            bias[..width].copy_from_slice(&values[column..column + width]);
        }
        for (offset, tile) in tile.iter().enumerate() {
            let start = (row + offset) * self.stride + column;
            assert!(start + width <= self.length);
            // SAFETY: within the slice, by the assertion, and no other thread's by the caller's word.
            let out = unsafe { std::slice::from_raw_parts_mut(self.pointer.add(start), width) };
            let mut values = *tile;
            for (value, bias) in values.iter_mut().zip(&bias) {
                *value += bias;
            }
            if epilogue.gelu {
                for value in &mut values {
                    *value = gelu_value(*value);
                }
            }
            if epilogue.accumulate {
                for (out, value) in out.iter_mut().zip(&values) {
                    *out += value;
                }
            } else {
                out.copy_from_slice(&values[..width]);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    /// Numbers between -1 and 1, the same for the same seed.
    pub(crate) fn values(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    /// The product as it is defined.
    pub(crate) fn oracle(
        a: Activations<'_>,
        weights: &[f32],
        n: usize,
        k: usize,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
    ) {
        for row in 0..a.rows {
            for column in 0..n {
                let mut sum: f64 =
                    (0..k).map(|i| f64::from(a.data[row * a.stride + i]) * f64::from(weights[column * k + i])).sum();
                sum += epilogue.bias.map_or(0.0, |bias| f64::from(bias[column]));
                let value = if epilogue.gelu { gelu_value(sum as f32) } else { sum as f32 };
                let out = &mut out[row * n + column];
                *out = if epilogue.accumulate { *out + value } else { value };
            }
        }
    }

    pub(crate) fn pool() -> ThreadPool {
        ThreadPool::new(NonZeroUsize::new(2).expect("two"))
    }

    /// Runs every shape around the block boundaries and compares with the definition; `tolerance` is for sums of `k` products.
    pub(crate) fn check<W: WeightMatrix>(tolerance: impl Fn(usize) -> f32) {
        let pool = pool();
        let mut scratch = vec![0xa5; 10];
        for (m, n, k) in [
            (1, 1, 1),
            (1, 32, 4),
            (1, 33, 5),
            (2, 31, 64),
            (3, 70, 7),
            (5, 64, 31),
            (11, 100, 80),
            (12, 32, 256),
            (13, 33, 96),
            (200, 40, 33),
            (193, 65, 128),
            (1, 4100, 256),
        ] {
            let weights = values(n * k, 1 + n as u32);
            let packed = W::pack(n, k, |row, out| out.copy_from_slice(&weights[row * k..(row + 1) * k]));
            assert_eq!((packed.n(), packed.k()), (n, k));
            let stride = k + 3;
            let data = values(m * stride, 2 + m as u32);
            let bias = values(n, 3);
            let a = Activations { data: &data, rows: m, stride };
            for (bias, gelu, accumulate) in
                [(None, false, false), (Some(&bias[..]), true, false), (Some(&bias[..]), false, true)]
            {
                let epilogue = Epilogue { bias, gelu, accumulate };
                let mut out = if accumulate { values(m * n, 4) } else { vec![f32::NAN; m * n] };
                let mut expected = out.clone();
                packed.multiply(&pool, a, epilogue, &mut out, n, &mut scratch);
                oracle(a, &weights, n, k, epilogue, &mut expected);
                let largest = out.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(largest <= tolerance(k), "{m}x{n}x{k} {epilogue:?}: largest difference {largest}");
            }
        }
    }
}
