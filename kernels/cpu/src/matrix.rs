//! What all packed matrices have in common: the call, the division of work, and what follows the product.

use std::ops::Range;

use crate::ThreadPool;
use crate::dot::{Dot, PANEL, Tile, tile_of};
use crate::elementwise::gelu_vector;
use crate::number::Number;
use crate::vector::Vector;
use crate::words::{PackedWords, Workspace, floats_mut};

/// Most rows of the left operand that one task multiplies: they stay in the second-level cache while the panels pass.
const BLOCK_ROWS: usize = 96;
/// Tasks are of a multiple of this many rows, so that full tiles cover them.
const TILE_ROWS: usize = 12;
/// Tasks for each thread, where there are rows enough: one that started late does not hold up the others for long.
const TASKS_PER_THREAD: usize = 4;
/// Weights smaller than this are read faster than a second thread joins in.
const WORTH_A_THREAD_BYTES: usize = 1 << 16;

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
    /// Layer normalisation that every row goes through first.
    pub norm: Option<Norm<'a>>,
}

/// Scale and shift of a layer normalisation, `[k]` each.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// Multiplies the normalised values.
    pub scale: &'a [f32],
    /// Is added afterwards.
    pub shift: &'a [f32],
}

impl<'a> Activations<'a> {
    /// Rows of `k` values that follow each other.
    pub fn new(data: &'a [f32], k: usize) -> Self {
        Self { data, rows: data.len() / k.max(1), stride: k, norm: None }
    }

    /// The same, normalised.
    pub fn normed(self, norm: Norm<'a>) -> Self {
        Self { norm: Some(norm), ..self }
    }

    pub(crate) fn check(&self, k: usize) {
        let needed = self.rows.checked_sub(1).map_or(0, |last| last * self.stride + k);
        assert!(self.data.len() >= needed, "{} rows of {k} values do not lie in {} values", self.rows, self.data.len());
        assert!(self.norm.is_none_or(|norm| norm.scale.len() == k && norm.shift.len() == k));
    }

    pub(crate) fn row(&self, row: usize, k: usize) -> &'a [f32] {
        &self.data[row * self.stride..][..k]
    }

    fn slice(&self, rows: Range<usize>) -> Self {
        Self { data: &self.data[(rows.start * self.stride).min(self.data.len())..], rows: rows.len(), ..*self }
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
pub trait WeightMatrix: Packed {
    /// Packs weights: `row(i, out)` writes row `i` of `[n, k]`.
    fn pack(n: usize, k: usize, row: impl FnMut(usize, &mut [f32])) -> Self;

    /// How many words weights `[n, k]` are packed into.
    fn packed_words(n: usize, k: usize) -> usize;

    /// Weights that were packed before, by the same instruction set; `None` if they are not as many words as they must be.
    fn from_packed(n: usize, k: usize, packed: PackedWords) -> Option<Self>;

    /// The packed words.
    fn packed(&self) -> &PackedWords;

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
    /// *Panics*: if a slice is too short for its shape.
    fn multiply(
        &self,
        pool: &ThreadPool,
        a: Activations<'_>,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
        out_stride: usize,
        workspace: &mut Workspace,
    ) {
        a.check(self.k());
        assert!(epilogue.bias.is_none_or(|bias| bias.len() >= self.n()), "the bias has a value for each column");
        let out = Out::new(out, a.rows, self.n(), out_stride);
        let panels = self.n().div_ceil(PANEL);
        if let Some(block) = block_rows(pool, a.rows) {
            workspace.parts.reserve(pool.threads(), self.prepared_words(block));
            let parts = &workspace.parts;
            pool.run(a.rows.div_ceil(block), |task, thread| {
                let rows = task * block..a.rows.min((task + 1) * block);
                let mut prepared = parts.of(thread);
                let prepared = prepared.as_mut_slice();
                self.prepare(a.slice(rows.clone()), prepared);
                // SAFETY: every task has rows of its own.
                unsafe { self.product(prepared, rows.len(), 0..panels, &epilogue, out.after_row(rows.start)) };
            });
            return;
        }
        workspace.common.reserve(self.prepared_words(a.rows));
        let prepared = workspace.common.as_mut_slice();
        self.prepare(a, prepared);
        let prepared = &*prepared;
        let parts = if self.bytes() < WORTH_A_THREAD_BYTES { 1 } else { panels.min(TASKS_PER_THREAD * pool.threads()) };
        pool.run(parts, |task, _| {
            let panels = task * panels / parts..(task + 1) * panels / parts;
            // SAFETY: every task has columns of its own.
            unsafe { self.product(prepared, a.rows, panels, &epilogue, out) };
        });
    }
}

/// Rows for each task, or `None` where there are so few that columns are divided instead.
fn block_rows(pool: &ThreadPool, rows: usize) -> Option<usize> {
    let block = rows.div_ceil(TASKS_PER_THREAD * pool.threads()).next_multiple_of(TILE_ROWS).min(BLOCK_ROWS);
    (rows >= pool.threads() * 2 * TILE_ROWS).then_some(block)
}

/// `x += down(gelu(up(norm(x))))`: the two layers of a perceptron, the hidden values of a block of rows never leaving its
/// thread's cache.
///
/// *Shape*: `x` `[rows, k]`; `up` `[hidden, k]`, `down` `[k, hidden]`.
///
/// *Panics*: if the shapes do not fit.
pub fn perceptron<W: WeightMatrix>(
    pool: &ThreadPool,
    x: &mut [f32],
    norm: Norm<'_>,
    (up, up_bias): (&W, &[f32]),
    (down, down_bias): (&W, &[f32]),
    workspace: &mut Workspace,
) {
    let (width, hidden) = (up.k(), up.n());
    let rows = x.len() / width;
    assert!(down.k() == hidden && down.n() == width && up_bias.len() == hidden && down_bias.len() == width);
    let raise = Epilogue { bias: Some(up_bias), gelu: true, accumulate: false };
    let lower = Epilogue { bias: Some(down_bias), gelu: false, accumulate: true };
    let Some(block) = block_rows(pool, rows).map(|block| block.min(BLOCK_ROWS / 2)) else {
        let mut middle = std::mem::take(&mut workspace.middle);
        middle.reserve(rows * hidden);
        let values = &mut floats_mut(middle.as_mut_slice())[..rows * hidden];
        up.multiply(pool, Activations::new(x, width).normed(norm), raise, values, hidden, workspace);
        down.multiply(pool, Activations::new(values, hidden), lower, x, width, workspace);
        workspace.middle = middle;
        return;
    };
    let prepared = up.prepared_words(block).max(down.prepared_words(block)).next_multiple_of(16);
    workspace.parts.reserve(pool.threads(), prepared + block * hidden);
    let parts = &workspace.parts;
    let out = Out::new(x, rows, width, width);
    pool.run(rows.div_ceil(block), |task, thread| {
        let count = block.min(rows - task * block);
        let out = out.after_row(task * block);
        let mut part = parts.of(thread);
        let (prepared, middle) = part.as_mut_slice().split_at_mut(prepared);
        let middle = &mut floats_mut(middle)[..count * hidden];
        // SAFETY: every task has rows of its own, and has them to itself until the last product writes them.
        let x = unsafe { out.read(count) };
        up.prepare(Activations::new(x, width).normed(norm), prepared);
        // SAFETY: `middle` is this task's alone.
        unsafe {
            up.product(prepared, count, 0..hidden.div_ceil(PANEL), &raise, Out::new(middle, count, hidden, hidden))
        };
        down.prepare(Activations::new(middle, hidden), prepared);
        // SAFETY: as above; `x` is not used any more.
        unsafe { down.product(prepared, count, 0..width.div_ceil(PANEL), &lower, out) };
    });
}

mod sealed {
    use std::ops::Range;

    use super::{Activations, Epilogue, Out};

    /// The two steps of a product. Sealed: what a step does with memory is between it and `multiply`.
    pub trait Packed: Send + Sync + std::fmt::Debug + Sized {
        /// Words that [`prepare`](Self::prepare) writes for this many rows.
        fn prepared_words(&self, rows: usize) -> usize;

        /// Brings rows into the form that [`product`](Self::product) reads.
        fn prepare(&self, a: Activations<'_>, prepared: &mut [u32]);

        /// Multiplies prepared rows with some of the panels.
        ///
        /// # Safety
        /// No other thread writes these rows and columns of `out`.
        unsafe fn product(
            &self,
            prepared: &[u32],
            rows: usize,
            panels: Range<usize>,
            epilogue: &Epilogue<'_>,
            out: Out,
        );
    }
}
pub(crate) use sealed::Packed;

/// The result matrix, written by several threads at places that do not overlap.
#[derive(Debug, Clone, Copy)]
pub struct Out {
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

    /// The same without the first rows.
    fn after_row(self, row: usize) -> Self {
        let skipped = row * self.stride;
        assert!(skipped <= self.length);
        // SAFETY: within the slice, by the assertion.
        Self { pointer: unsafe { self.pointer.add(skipped) }, length: self.length - skipped, ..self }
    }

    /// The first rows.
    ///
    /// # Safety
    /// Nobody writes them meanwhile.
    unsafe fn read<'a>(self, rows: usize) -> &'a [f32] {
        assert!(rows * self.stride <= self.length);
        // SAFETY: within the slice, by the assertion, and nobody writes it, by the caller's word.
        unsafe { std::slice::from_raw_parts(self.pointer, rows * self.stride) }
    }

    /// Some columns of a row.
    ///
    /// # Safety
    /// Nobody else reads or writes them meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn cells<'a>(self, row: usize, column: usize, width: usize) -> &'a mut [f32] {
        let start = row * self.stride + column;
        assert!(start + width <= self.length);
        // SAFETY: within the slice, by the assertion, and no other thread's by the caller's word.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(start), width) }
    }

    /// Finishes rows of sums at `column` and stores what of them lies within the matrix.
    ///
    /// # Safety
    /// No other thread writes these cells, and the CPU has the vector's instructions.
    #[inline(always)]
    unsafe fn finish<V: Vector, S>(
        self,
        values: &impl Values<S>,
        sums: &[[S; PANEL]],
        bias: &[f32; PANEL],
        row: usize,
        column: usize,
        epilogue: &Epilogue<'_>,
    ) {
        // SAFETY: passed on from the caller.
        unsafe {
            match (epilogue.gelu, epilogue.accumulate) {
                (false, false) => self.finish_as::<V, S, false, false>(values, sums, bias, row, column),
                (false, true) => self.finish_as::<V, S, false, true>(values, sums, bias, row, column),
                (true, false) => self.finish_as::<V, S, true, false>(values, sums, bias, row, column),
                (true, true) => self.finish_as::<V, S, true, true>(values, sums, bias, row, column),
            }
        }
    }

    /// [`finish`](Self::finish) for one kind of epilogue, whose constants stay in registers.
    ///
    /// # Safety
    /// As for that.
    #[inline(always)]
    unsafe fn finish_as<V: Vector, S, const GELU: bool, const ACCUMULATE: bool>(
        self,
        values: &impl Values<S>,
        sums: &[[S; PANEL]],
        bias: &[f32; PANEL],
        row: usize,
        column: usize,
    ) {
        let width = PANEL.min(self.n - column);
        for (row, sums) in (row..).zip(sums) {
            // SAFETY: passed on from the caller; the edge is as wide as a panel.
            unsafe {
                let out = self.cells(row, column, width);
                if width == PANEL {
                    finish_row::<V, S, GELU, ACCUMULATE>(values, sums, bias, row, column, out.as_mut_ptr());
                } else {
                    let mut edge = [0.0; PANEL];
                    edge[..width].copy_from_slice(out);
                    finish_row::<V, S, GELU, ACCUMULATE>(values, sums, bias, row, column, edge.as_mut_ptr());
                    out.copy_from_slice(&edge[..width]);
                }
            }
        }
    }
}

/// # Safety
/// A whole panel can be read and written at `to`, and the CPU has the vector's instructions.
#[inline(always)]
unsafe fn finish_row<V: Vector, S, const GELU: bool, const ACCUMULATE: bool>(
    values: &impl Values<S>,
    sums: &[S; PANEL],
    bias: &[f32; PANEL],
    row: usize,
    column: usize,
    to: *mut f32,
) {
    for lane in (0..PANEL).step_by(V::LANES) {
        // SAFETY: passed on from the caller.
        unsafe {
            let mut value: V = values.values(sums.as_ptr().add(lane), bias.as_ptr().add(lane), row, column + lane);
            if GELU {
                value = gelu_vector(value, values.precise());
            }
            if ACCUMULATE {
                value = value.add(V::load(to.add(lane)));
            }
            value.store(to.add(lane));
        }
    }
}

/// A product of prepared rows with some panels.
pub(crate) struct Product<'a, V> {
    /// `[rows, words]`, `stride` apart.
    pub(crate) left: &'a [u32],
    pub(crate) stride: usize,
    pub(crate) rows: usize,
    pub(crate) words: usize,
    /// `[panels, words, 32]`
    pub(crate) weights: &'a [u32],
    pub(crate) panels: Range<usize>,
    pub(crate) epilogue: &'a Epilogue<'a>,
    pub(crate) out: Out,
    /// From sums to values.
    pub(crate) values: V,
}

/// Makes values of sums of products.
pub(crate) trait Values<S> {
    /// Whether more is wanted of them than what 16 bits can tell.
    fn precise(&self) -> bool;

    /// What the sums of the panel at `column` begin with.
    fn start<'a>(&'a self, column: usize, bias: &'a [f32; PANEL]) -> &'a [S; PANEL];

    /// The values of some columns of a row, from `column` on, with their bias; `sums` are theirs.
    ///
    /// # Safety
    /// The CPU has the vector's instructions, and the columns lie in whole panels.
    unsafe fn values<V: Vector>(&self, sums: *const S, bias: *const f32, row: usize, column: usize) -> V;
}

/// Sums that are the values, since they began with the bias.
pub(crate) struct AsTheyAre {
    pub(crate) precise: bool,
}

impl Values<f32> for AsTheyAre {
    fn precise(&self) -> bool {
        self.precise
    }

    fn start<'a>(&'a self, _column: usize, bias: &'a [f32; PANEL]) -> &'a [f32; PANEL] {
        bias
    }

    #[inline(always)]
    unsafe fn values<V: Vector>(&self, sums: *const f32, _bias: *const f32, _row: usize, _column: usize) -> V {
        // SAFETY: passed on from the caller.
        unsafe { V::load(sums) }
    }
}

/// # Safety
/// The CPU has the instructions of `D`, and no other thread writes these rows and columns of `out`.
#[inline(always)]
pub(crate) unsafe fn block<N: Number, D: Dot<Sum = N::Sum>>(product: &Product<'_, impl Values<N::Sum>>) {
    let Product { left, stride, rows, words, weights, out, epilogue, .. } = *product;
    assert!(rows == 0 || left.len() >= (rows - 1) * stride + words);
    let mut sums = [[N::Sum::default(); PANEL]; TILE_ROWS];
    for panel in product.panels.clone() {
        let column = panel * PANEL;
        let weights = &weights[column * words..][..PANEL * words];
        let mut bias = [0.0; PANEL];
        if let Some(values) = epilogue.bias {
            let width = PANEL.min(values.len() - column);
            bias[..width].copy_from_slice(&values[column..column + width]);
        }
        let start = product.values.start(column, &bias);
        for first in (0..rows).step_by(D::ROWS) {
            let count = D::ROWS.min(rows - first);
            // SAFETY: so many rows are left, the panel is whole, and no tile is higher than the sums are.
            unsafe {
                let tile = Tile {
                    rows: left.as_ptr().add(first * stride),
                    row_stride: stride,
                    words,
                    panel: weights.as_ptr(),
                    start: start.as_ptr(),
                    start_stride: 0,
                    out: sums.as_mut_ptr().cast(),
                    out_stride: PANEL,
                };
                tile_of::<D>(count, tile);
            }
            // SAFETY: passed on from the caller.
            unsafe { out.finish::<D::Floats, _>(&product.values, &sums[..count], &bias, first, column, epilogue) };
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

    /// By the error function's integral, in small steps.
    fn gelu_exact(x: f64) -> f32 {
        let steps = if cfg!(miri) { 400 } else { 2000 };
        let width = x / f64::from(steps);
        let density = |t: f64| (-t * t / 2.0).exp() / std::f64::consts::TAU.sqrt();
        let area: f64 = (0..steps).map(|step| density((f64::from(step) + 0.5) * width) * width).sum();
        (x * (0.5 + area)) as f32
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
                let value = if epilogue.gelu { gelu_exact(sum) } else { sum as f32 };
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
        let mut scratch = Workspace::new();
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
            // An interpreter that looks at every access takes its time.
            if cfg!(miri) && m * n * k > 1000 {
                continue;
            }
            let weights = values(n * k, 1 + n as u32);
            let packed = W::pack(n, k, |row, out| out.copy_from_slice(&weights[row * k..(row + 1) * k]));
            assert_eq!((packed.n(), packed.k()), (n, k));
            let stride = k + 3;
            let data = values(m * stride, 2 + m as u32);
            let bias = values(n, 3);
            let a = Activations { data: &data, rows: m, stride, norm: None };
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
