//! 8-bit integer weights with a scale for each output column, in panels of 32 columns.

use crate::matrix::{Activations, Epilogue, Out, PANEL, WeightMatrix, divide};
use crate::{Level, ThreadPool};

/// Products summed by one instruction.
const GROUP: usize = 4;

/// Weights as 8-bit integers. Activations are quantised row by row as they come: unsigned, around a middle.
///
/// *Layout*: panels of 32 columns, each `[k / 4, 32, 4]`; `k` and the columns are filled up with zeros.
#[derive(Debug)]
pub struct PackedI8 {
    n: usize,
    k: usize,
    panels: Vec<i8>,
    /// What one unit of a weight is worth, by column, filled up to whole panels.
    scales: Vec<f32>,
    /// Sum of a column's weights: what the activations' middle adds to every product.
    sums: Vec<i32>,
    level: Level,
}

/// Sums of products of `M` quantised rows, `stride` apart, with one panel of weights.
type Kernel<const M: usize> = unsafe fn(&[u8], usize, &[i8]) -> [[i32; PANEL]; M];

/// A quantised row: `value = (byte - middle) * scale`.
#[derive(Debug, Clone, Copy)]
struct Quantised<'a> {
    bytes: &'a [u8],
    /// Distance of the rows.
    stride: usize,
    scales: &'a [f32],
    middle: i32,
}

/// Largest magnitude of a quantised activation. AVX2 sums pairs of products in 16 bits, which must not overflow: it gets one
/// bit less.
fn magnitude(level: Level) -> i32 {
    if level == Level::Avx2 { 63 } else { 127 }
}

impl PackedI8 {
    fn groups(&self) -> usize {
        self.k.div_ceil(GROUP)
    }
}

impl WeightMatrix for PackedI8 {
    fn pack(n: usize, k: usize, mut row: impl FnMut(usize, &mut [f32])) -> Self {
        let columns = n.next_multiple_of(PANEL);
        let groups = k.div_ceil(GROUP);
        let mut panels = vec![0_i8; columns * groups * GROUP];
        let (mut scales, mut sums) = (vec![0.0; columns], vec![0; columns]);
        let mut values = vec![0.0; k];
        for column in 0..n {
            row(column, &mut values);
            let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
            scales[column] = scale;
            let panel = &mut panels[column / PANEL * PANEL * groups * GROUP..][..PANEL * groups * GROUP];
            for (index, value) in values.iter().enumerate() {
                let quantised = (value / scale).round_ties_even().clamp(-127.0, 127.0) as i8;
                panel[(index / GROUP * PANEL + column % PANEL) * GROUP + index % GROUP] = quantised;
                sums[column] += i32::from(quantised);
            }
        }
        Self { n, k, panels, scales, sums, level: Level::best() }
    }

    fn n(&self) -> usize {
        self.n
    }

    fn k(&self) -> usize {
        self.k
    }

    fn bytes(&self) -> usize {
        self.panels.len() + self.scales.len() * 8
    }

    fn row(&self, row: usize, out: &mut [f32]) {
        let groups = self.groups();
        let panel = &self.panels[row / PANEL * PANEL * groups * GROUP..][..PANEL * groups * GROUP];
        for (index, out) in out.iter_mut().enumerate() {
            *out = f32::from(panel[(index / GROUP * PANEL + row % PANEL) * GROUP + index % GROUP]) * self.scales[row];
        }
    }

    fn multiply(
        &self,
        pool: &ThreadPool,
        a: Activations<'_>,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
        out_stride: usize,
        scratch: &mut Vec<u8>,
    ) {
        a.check(self.k);
        assert!(epilogue.bias.is_none_or(|bias| bias.len() >= self.n), "the bias has a value for each column");
        let stride = self.groups() * GROUP;
        // The scales lie after the bytes, four bytes each, in a scratch that is aligned for them.
        let needed = a.rows * stride + a.rows * 4 + 4;
        if scratch.len() < needed {
            scratch.resize(needed, 0);
        }
        let (bytes, rest) = scratch.split_at_mut(a.rows * stride);
        // SAFETY: floats have no invalid patterns; the middle part is aligned.
        let (_, scales, _) = unsafe { rest.align_to_mut::<f32>() };
        quantise(a, self.k, stride, magnitude(self.level), bytes, &mut scales[..a.rows]);
        let quantised = Quantised { bytes, stride, scales, middle: magnitude(self.level) + 1 };
        let out = Out::new(out, a.rows, self.n, out_stride);
        divide(pool, a.rows, self.n.div_ceil(PANEL), self.bytes(), |rows, panels| {
            for panel in panels {
                let mut row = rows.start;
                while row < rows.end {
                    // SAFETY: parts are of different rows or different panels; the level was detected when packing.
                    row += unsafe { self.tiles(quantised, rows.end - row, panel, out, row, &epilogue) };
                }
            }
        });
    }
}

/// *Shape*: `bytes` `[rows, stride]`, zero values beyond `k`; `scales` `[rows]`.
fn quantise(a: Activations<'_>, k: usize, stride: usize, magnitude: i32, bytes: &mut [u8], scales: &mut [f32]) {
    let middle = (magnitude + 1) as u8;
    for ((row, bytes), scale) in bytes.chunks_exact_mut(stride.max(1)).enumerate().zip(scales) {
        *scale = quantise_row(&a.data[row * a.stride..row * a.stride + k], magnitude as f32, &mut bytes[..k]);
        bytes[k..].fill(middle);
    }
}

crate::level::per_level! {
    fn quantise_row(values: &[f32], magnitude: f32, bytes: &mut [u8]) -> f32 {
        // 1.5 * 2^23: adding it rounds to nearest even and leaves the whole number in the low bits.
        const ROUND: f32 = 12_582_912.0;
        let (chunks, rest) = values.as_chunks::<16>();
        let mut lanes = [0.0_f32; 16];
        for chunk in chunks {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane = if value.abs() > *lane { value.abs() } else { *lane };
            }
        }
        let largest = lanes.iter().copied().chain(rest.iter().map(|value| value.abs())).fold(0.0_f32, f32::max);
        if largest <= 0.0 || !largest.is_finite() {
            bytes.fill(magnitude as u8 + 1);
            // What is not finite must be seen in the result, not be lost in a zero.
            return if largest.is_finite() { 1.0 } else { f32::NAN };
        }
        let inverse = magnitude / largest;
        let middle = ROUND + magnitude + 1.0;
        for (byte, value) in bytes.iter_mut().zip(values) {
            *byte = (value * inverse + middle).to_bits() as u8;
        }
        largest / magnitude
    }
}

impl PackedI8 {
    /// Multiplies as many rows as one tile of this instruction set has, at most `left`, and returns how many those were.
    ///
    /// # Safety
    /// No other thread writes these rows and columns of `out`; the CPU has this matrix's level.
    #[inline]
    unsafe fn tiles(
        &self,
        a: Quantised<'_>,
        left: usize,
        panel: usize,
        out: Out,
        row: usize,
        epilogue: &Epilogue<'_>,
    ) -> usize {
        // Each size is its own function, whose sums stay in registers.
        macro_rules! by_size {
            ($kernel:ident: $($size:literal)*; $most:literal) => {
                match left {
                    // SAFETY: passed on from the caller.
                    $($size => { unsafe { self.tile::<$size>($kernel::<$size>, a, panel, out, row, epilogue) }; $size })*
                    // SAFETY: as above.
                    _ => { unsafe { self.tile::<$most>($kernel::<$most>, a, panel, out, row, epilogue) }; $most }
                }
            };
        }
        match self.level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => by_size!(avx512: 1 2 3 4 5 6 7 8 9 10 11; 12),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => by_size!(avx2: 1 2; 3),
            _ => by_size!(scalar: ; 1),
        }
    }

    /// # Safety
    /// As for [`tiles`](Self::tiles).
    #[inline(always)]
    unsafe fn tile<const M: usize>(
        &self,
        kernel: Kernel<M>,
        a: Quantised<'_>,
        panel: usize,
        out: Out,
        row: usize,
        epilogue: &Epilogue<'_>,
    ) {
        let panel_bytes = PANEL * self.groups() * GROUP;
        let weights = &self.panels[panel * panel_bytes..][..panel_bytes];
        // SAFETY: the level was detected.
        let sums = unsafe { kernel(&a.bytes[row * a.stride..], a.stride, weights) };
        let column = panel * PANEL;
        // SAFETY: passed on from the caller.
        unsafe {
            finish(
                &sums,
                &self.scales[column..column + PANEL],
                &self.sums[column..column + PANEL],
                &a.scales[row..row + M],
                a.middle,
                out,
                row,
                column,
                epilogue,
            );
        }
    }
}

/// From sums of integers to results, compiled for each instruction set.
///
/// # Safety
/// As for [`PackedI8::tiles`].
#[allow(clippy::too_many_arguments, reason = "a tile's place in three matrices")]
#[inline(always)]
unsafe fn finish<const M: usize>(
    sums: &[[i32; PANEL]; M],
    scales: &[f32],
    column_sums: &[i32],
    row_scales: &[f32],
    middle: i32,
    out: Out,
    row: usize,
    column: usize,
    epilogue: &Epilogue<'_>,
) {
    let mut tile = [[0.0_f32; PANEL]; M];
    for ((tile, sums), row_scale) in tile.iter_mut().zip(sums).zip(row_scales) {
        for (((value, sum), scale), column_sum) in tile.iter_mut().zip(sums).zip(scales).zip(column_sums) {
            *value = (sum - middle * column_sum) as f32 * (row_scale * scale);
        }
    }
    // SAFETY: passed on from the caller.
    unsafe { out.store(&tile, row, column, epilogue) };
}

/// # Safety
/// The CPU has AVX-512 with VNNI.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
unsafe fn avx512<const M: usize>(a: &[u8], stride: usize, weights: &[i8]) -> [[i32; PANEL]; M] {
    use std::arch::x86_64::*;
    let groups = weights.len() / (PANEL * GROUP);
    assert!(a.len() >= (M - 1) * stride + groups * GROUP);
    let mut sums = [[_mm512_setzero_si512(); 2]; M];
    let mut panel = weights.as_ptr();
    for group in 0..groups {
        // SAFETY: every group of the panel has 128 bytes.
        let columns: [__m512i; 2] =
            std::array::from_fn(|half| unsafe { _mm512_loadu_si512(panel.add(half * 64).cast()) });
        for (index, sums) in sums.iter_mut().enumerate() {
            // SAFETY: every row has whole groups from its start, by the assertion.
            let four = unsafe { a.as_ptr().add(index * stride + group * GROUP).cast::<i32>().read_unaligned() };
            let row = _mm512_set1_epi32(four);
            for (sum, column) in sums.iter_mut().zip(&columns) {
                *sum = _mm512_dpbusd_epi32(*sum, row, *column);
            }
        }
        // SAFETY: at most one past the end.
        panel = unsafe { panel.add(PANEL * GROUP) };
    }
    let mut out = [[0; PANEL]; M];
    for (out, sums) in out.iter_mut().zip(&sums) {
        for (half, sum) in sums.iter().enumerate() {
            // SAFETY: a row has room for both halves.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(half * 16).cast(), *sum) };
        }
    }
    out
}

/// # Safety
/// The CPU has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const M: usize>(a: &[u8], stride: usize, weights: &[i8]) -> [[i32; PANEL]; M] {
    use std::arch::x86_64::*;
    let groups = weights.len() / (PANEL * GROUP);
    assert!(a.len() >= (M - 1) * stride + groups * GROUP);
    let mut sums = [[_mm256_setzero_si256(); 4]; M];
    let ones = _mm256_set1_epi16(1);
    let mut panel = weights.as_ptr();
    for group in 0..groups {
        for quarter in 0..4 {
            // SAFETY: every group of the panel has 128 bytes.
            let column = unsafe { _mm256_loadu_si256(panel.add(quarter * 32).cast()) };
            for (index, sums) in sums.iter_mut().enumerate() {
                // SAFETY: every row has whole groups from its start, by the assertion.
                let four = unsafe { a.as_ptr().add(index * stride + group * GROUP).cast::<i32>().read_unaligned() };
                // Two products of at most 127 * 127 fit 16 bits.
                let pairs = _mm256_maddubs_epi16(_mm256_set1_epi32(four), column);
                sums[quarter] = _mm256_add_epi32(sums[quarter], _mm256_madd_epi16(pairs, ones));
            }
        }
        // SAFETY: at most one past the end.
        panel = unsafe { panel.add(PANEL * GROUP) };
    }
    let mut out = [[0; PANEL]; M];
    for (out, sums) in out.iter_mut().zip(&sums) {
        for (quarter, sum) in sums.iter().enumerate() {
            // SAFETY: a row has room for all four.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(quarter * 8).cast(), *sum) };
        }
    }
    out
}

/// # Safety
/// None; it has the others' signature.
unsafe fn scalar<const M: usize>(a: &[u8], stride: usize, weights: &[i8]) -> [[i32; PANEL]; M] {
    let mut sums = [[0; PANEL]; M];
    for (index, sums) in sums.iter_mut().enumerate() {
        let row = a[index * stride..].as_chunks::<GROUP>().0;
        for (four, columns) in row.iter().zip(weights.as_chunks::<{ PANEL * GROUP }>().0) {
            for (sum, column) in sums.iter_mut().zip(columns.as_chunks::<GROUP>().0) {
                for (a, w) in four.iter().zip(column) {
                    *sum += i32::from(*a) * i32::from(*w);
                }
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::tests::check;

    #[test]
    fn products_are_near_the_definition() {
        // Values are below 1, so a weight errs by at most 1/254 and an activation by 1/254 (AVX2: 1/126); errors add up as the
        // root of the number of products, with room for the worst of thousands.
        check::<PackedI8>(|k| 0.03 * (k as f32).sqrt() + 0.01);
    }

    #[test]
    fn sums_are_the_same_in_every_instruction_set() {
        // Bytes that are the largest that each may get, with the largest weights: nothing overflows.
        let pool = crate::matrix::tests::pool();
        let packed = PackedI8::pack(33, 4096, |row, out| out.fill(if row % 2 == 0 { 1.0 } else { -1.0 }));
        let ones = vec![1.0; 4096];
        let mut out = vec![0.0; 33];
        packed.multiply(&pool, Activations::new(&ones, 4096), Epilogue::default(), &mut out, 33, &mut Vec::new());
        for (column, value) in out.iter().enumerate() {
            let expected = if column % 2 == 0 { 4096.0 } else { -4096.0 };
            assert!((value - expected).abs() < 0.01, "{value}");
        }
    }

    #[test]
    fn what_is_not_finite_is_seen() {
        let pool = crate::matrix::tests::pool();
        let packed = PackedI8::pack(4, 8, |_, out| out.fill(0.5));
        let mut out = vec![0.0; 4];
        packed.multiply(
            &pool,
            Activations::new(&[f32::INFINITY; 8], 8),
            Epilogue::default(),
            &mut out,
            4,
            &mut Vec::new(),
        );
        assert!(out.iter().all(|value| value.is_nan()));
    }
}
