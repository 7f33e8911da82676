//! Sums of products, one implementation for each number type and instruction set.
//!
//! Everything a product reads is cut into 32-bit words: one float, two bfloat16 or four bytes, which follow each other along the
//! inner dimension. A kernel broadcasts a word of the left operand and multiplies it with words of several columns at once.

use crate::vector::{Plain, Vector};

/// Columns of a packed panel, for every instruction set: two vectors of AVX-512, four of AVX2.
pub const PANEL: usize = 32;

/// Multiplies words of one number type with one instruction set.
///
/// The methods are compiled into the function that calls them, which must enable the instruction set.
pub trait Dot {
    /// Sums in a vector register.
    type Sums: Copy;
    /// Words of as many columns.
    type Words: Copy;
    /// One sum.
    type Sum: Copy + Default;
    /// Floats in vectors of this instruction set.
    type Floats: Vector;
    /// Columns of a vector.
    const LANES: usize;
    /// Rows of the left operand whose sums fit the registers beside `VECTORS` of columns.
    const ROWS: usize;

    /// # Safety
    /// The CPU has the instruction set. So for all methods. `LANES` sums can be read at `at`.
    unsafe fn sums(at: *const Self::Sum) -> Self::Sums;
    /// # Safety
    /// `LANES` words can be read at `at`.
    unsafe fn load(at: *const u32) -> Self::Words;
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn splat(word: u32) -> Self::Words;
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn step(sums: Self::Sums, row: Self::Words, columns: Self::Words) -> Self::Sums;
    /// # Safety
    /// `LANES` sums can be written at `at`.
    unsafe fn store(sums: Self::Sums, at: *mut Self::Sum);
    /// [`tile`], compiled with the instruction set as a function of its own, for a number of rows up to `ROWS`.
    ///
    /// # Safety
    /// As for [`tile`].
    unsafe fn tile_of<const M: usize>(tile: Tile<Self::Sum>);
}

/// Where a tile lies: the arguments of [`tile`].
#[derive(Debug, Clone, Copy)]
pub struct Tile<S> {
    /// `[M, words]`, `row_stride` apart.
    pub(crate) rows: *const u32,
    pub(crate) row_stride: usize,
    pub(crate) words: usize,
    /// `[words, 32]`
    pub(crate) panel: *const u32,
    /// What the sums begin with: `[M, 32]`, `start_stride` apart, or the same for all rows without a distance.
    pub(crate) start: *const S,
    pub(crate) start_stride: usize,
    /// `[M, 32]`, `out_stride` apart. It may be where the sums begin.
    pub(crate) out: *mut S,
    pub(crate) out_stride: usize,
}

/// `out = start + rows x panel`, for `M` rows and the 32 columns of a panel, `V` vectors of columns at a time.
///
/// # Safety
/// All of the tile can be read and written, and the CPU has the instruction set.
#[allow(clippy::needless_range_loop, reason = "iterators over arrays of registers are not always compiled away")]
#[inline(always)]
unsafe fn tile<D: Dot, const M: usize, const V: usize>(tile: Tile<D::Sum>) {
    const { assert!(PANEL.is_multiple_of(V * D::LANES)) };
    let Tile { rows, row_stride, words, panel, start, start_stride, out, out_stride } = tile;
    for column in (0..PANEL).step_by(V * D::LANES) {
        // SAFETY: every pointer stays within what the caller promised.
        unsafe {
            let mut sums = [[D::sums(start.add(column)); V]; M];
            for row in 0..M {
                for index in 0..V {
                    sums[row][index] = D::sums(start.add(row * start_stride + column + index * D::LANES));
                }
            }
            let mut columns = panel.add(column);
            for word in 0..words {
                let mut vectors = [D::load(columns); V];
                for index in 1..V {
                    vectors[index] = D::load(columns.add(index * D::LANES));
                }
                for row in 0..M {
                    let value = D::splat(*rows.add(row * row_stride + word));
                    for index in 0..V {
                        sums[row][index] = D::step(sums[row][index], value, vectors[index]);
                    }
                }
                columns = columns.wrapping_add(PANEL);
            }
            for row in 0..M {
                for index in 0..V {
                    D::store(sums[row][index], out.add(row * out_stride + column + index * D::LANES));
                }
            }
        }
    }
}

/// [`tile`] for a number of rows that is known at run time, at most `D::ROWS`.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
pub(crate) unsafe fn tile_of<D: Dot>(rows: usize, tile: Tile<D::Sum>) {
    // Each size is a function of its own, whose sums stay in registers.
    macro_rules! sizes {
        ($($size:literal)*) => {
            match rows.min(D::ROWS) {
                // SAFETY: passed on from the caller.
                $($size => unsafe { D::tile_of::<$size>(tile) },)*
                _ => {}
            }
        };
    }
    sizes!(1 2 3 4 5 6 7 8 9 10 11 12);
}

/// The instruction-free implementation, for 8 columns at a time, which a compiler can turn into what vectors it has.
macro_rules! plain {
    ($(#[$meta:meta])* $name:ident, $sum:ty, |$total:ident, $row:ident, $column:ident| $step:expr) => {
        $(#[$meta])*
        pub struct $name;

        impl Dot for $name {
            type Sums = [$sum; 8];
            type Words = [u32; 8];
            type Sum = $sum;
            type Floats = Plain;
            const LANES: usize = 8;
            const ROWS: usize = 2;

            #[inline(always)]
            unsafe fn sums(at: *const $sum) -> Self::Sums {
                // SAFETY: passed on from the caller.
                unsafe { at.cast::<[$sum; 8]>().read() }
            }
            #[inline(always)]
            unsafe fn load(at: *const u32) -> Self::Words {
                // SAFETY: passed on from the caller.
                unsafe { at.cast::<[u32; 8]>().read() }
            }
            #[inline(always)]
            unsafe fn splat(word: u32) -> Self::Words {
                [word; 8]
            }
            #[inline(always)]
            unsafe fn step(mut sums: Self::Sums, row: Self::Words, columns: Self::Words) -> Self::Sums {
                for (($total, $row), $column) in sums.iter_mut().zip(row).zip(columns) {
                    *$total += $step;
                }
                sums
            }
            #[inline(always)]
            unsafe fn store(sums: Self::Sums, at: *mut $sum) {
                // SAFETY: passed on from the caller.
                unsafe { at.cast::<[$sum; 8]>().write(sums) }
            }
            unsafe fn tile_of<const M: usize>(tile: Tile<$sum>) {
                // SAFETY: passed on from the caller.
                unsafe { self::tile::<Self, M, 4>(tile) }
            }
        }
    };
}

plain!(
    /// Floats.
    PlainF32, f32, |sum, row, column| f32::from_bits(row) * f32::from_bits(column)
);
plain!(
    /// Pairs of bfloat16.
    PlainBf16, f32, |sum, row, column| f32::from_bits(row << 16) * f32::from_bits(column << 16)
        + f32::from_bits(row & HIGH) * f32::from_bits(column & HIGH)
);
plain!(
    /// Four unsigned bytes by four signed.
    PlainI8, i32, |sum, row, column| {
        let (row, column) = (row.to_le_bytes(), column.to_le_bytes());
        (0..4).map(|index| i32::from(row[index]) * i32::from(column[index] as i8)).sum::<i32>()
    }
);

/// The second bfloat16 of a word, which is a float as it stands.
const HIGH: u32 = 0xffff_0000;

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::*;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Dot, HIGH, Tile};
    use crate::vector::{Avx2, Avx512};

    macro_rules! dot {
        (
            $(#[$meta:meta])* $name:ident: $sums:ty, $words:ty, $sum:ty, $floats:ty, $lanes:literal lanes, $rows:literal rows, $features:literal;
            $sums_at:expr, $load:expr, $splat:expr, $store:expr, |$total:ident, $row:ident, $columns:ident| $step:expr
        ) => {
            $(#[$meta])*
            pub struct $name;

            impl Dot for $name {
                type Sums = $sums;
                type Words = $words;
                type Sum = $sum;
                type Floats = $floats;
                const LANES: usize = $lanes;
                const ROWS: usize = $rows;

                #[inline(always)]
                unsafe fn sums(at: *const $sum) -> $sums {
                    // SAFETY: passed on from the caller.
                    unsafe { $sums_at(at.cast()) }
                }
                #[inline(always)]
                unsafe fn load(at: *const u32) -> $words {
                    // SAFETY: passed on from the caller.
                    unsafe { $load(at.cast()) }
                }
                #[inline(always)]
                unsafe fn splat(word: u32) -> $words {
                    // SAFETY: the caller's CPU has the instruction.
                    unsafe { $splat(word.cast_signed()) }
                }
                #[inline(always)]
                unsafe fn step($total: $sums, $row: $words, $columns: $words) -> $sums {
                    // SAFETY: the caller's CPU has the instruction.
                    unsafe { $step }
                }
                #[inline(always)]
                unsafe fn store(sums: $sums, at: *mut $sum) {
                    // SAFETY: passed on from the caller.
                    unsafe { $store(at.cast(), sums) }
                }
                #[target_feature(enable = $features)]
                unsafe fn tile_of<const M: usize>(tile: Tile<$sum>) {
                    // SAFETY: passed on from the caller.
                    unsafe { super::tile::<Self, M, 2>(tile) }
                }
            }
        };
    }

    dot!(
        /// Floats in 512 bits.
        Avx512F32: __m512, __m512i, f32, Avx512, 16 lanes, 12 rows, "avx512f";
        _mm512_loadu_ps, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_storeu_ps,
        |sums, row, columns| _mm512_fmadd_ps(_mm512_castsi512_ps(row), _mm512_castsi512_ps(columns), sums)
    );
    dot!(
        /// Pairs of bfloat16 by the instruction for them.
        Avx512Bf16: __m512, __m512i, f32, Avx512, 16 lanes, 12 rows, "avx512f,avx512bf16";
        _mm512_loadu_ps, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_storeu_ps,
        |sums, row, columns| _mm512_dpbf16_ps(
            sums,
            std::mem::transmute::<__m512i, __m512bh>(row),
            std::mem::transmute::<__m512i, __m512bh>(columns),
        )
    );
    dot!(
        /// Pairs of bfloat16 widened to floats in 512 bits.
        Avx512WideBf16: __m512, __m512i, f32, Avx512, 16 lanes, 8 rows, "avx512f";
        _mm512_loadu_ps, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_storeu_ps,
        |sums, row, columns| {
            let high = _mm512_set1_epi32(HIGH.cast_signed());
            let first = |words| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words));
            let second = |words| _mm512_castsi512_ps(_mm512_and_si512(words, high));
            _mm512_fmadd_ps(second(row), second(columns), _mm512_fmadd_ps(first(row), first(columns), sums))
        }
    );
    dot!(
        /// Four bytes by VNNI in 512 bits.
        Avx512I8: __m512i, __m512i, i32, Avx512, 16 lanes, 12 rows, "avx512f,avx512vnni";
        _mm512_loadu_si512, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_storeu_si512,
        |sums, row, columns| _mm512_dpbusd_epi32(sums, row, columns)
    );
    dot!(
        /// Floats in 256 bits.
        Avx2F32: __m256, __m256i, f32, Avx2, 8 lanes, 6 rows, "avx2,fma";
        _mm256_loadu_ps, _mm256_loadu_si256, _mm256_set1_epi32, _mm256_storeu_ps,
        |sums, row, columns| _mm256_fmadd_ps(_mm256_castsi256_ps(row), _mm256_castsi256_ps(columns), sums)
    );
    dot!(
        /// Pairs of bfloat16 widened to floats in 256 bits.
        Avx2Bf16: __m256, __m256i, f32, Avx2, 8 lanes, 4 rows, "avx2,fma";
        _mm256_loadu_ps, _mm256_loadu_si256, _mm256_set1_epi32, _mm256_storeu_ps,
        |sums, row, columns| {
            let high = _mm256_set1_epi32(HIGH.cast_signed());
            let first = |words| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(words));
            let second = |words| _mm256_castsi256_ps(_mm256_and_si256(words, high));
            _mm256_fmadd_ps(second(row), second(columns), _mm256_fmadd_ps(first(row), first(columns), sums))
        }
    );
    dot!(
        /// Four bytes by VNNI in 256 bits.
        AvxVnniI8: __m256i, __m256i, i32, Avx2, 8 lanes, 6 rows, "avx2,avxvnni";
        _mm256_loadu_si256, _mm256_loadu_si256, _mm256_set1_epi32, _mm256_storeu_si256,
        |sums, row, columns| _mm256_dpbusd_avx_epi32(sums, row, columns)
    );
    dot!(
        /// Four bytes by sums in 16 bits: the unsigned ones must be below 130, or two products overflow.
        Avx2I8: __m256i, __m256i, i32, Avx2, 8 lanes, 4 rows, "avx2";
        _mm256_loadu_si256, _mm256_loadu_si256, _mm256_set1_epi32, _mm256_storeu_si256,
        |sums, row, columns| {
            let pairs = _mm256_maddubs_epi16(row, columns);
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    );
}
