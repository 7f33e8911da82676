//! The number types of packed matrices, and who multiplies them with which instructions.

use crate::dot::{Dot, PANEL, PlainBf16, PlainF32, PlainI8};
use crate::level::per_level;
use crate::vector::{Vector, bf16};
use crate::words::halves_mut;

/// A number type and its implementation for each instruction set.
pub trait Number: 'static {
    /// A sum of products.
    type Sum: Copy + Default;
    /// Without special instructions.
    type Plain: Dot<Sum = Self::Sum>;
    /// For [`Level::Avx2`](crate::Level::Avx2), and so on.
    #[cfg(target_arch = "x86_64")]
    type Avx2: Dot<Sum = Self::Sum>;
    #[cfg(target_arch = "x86_64")]
    type AvxVnni: Dot<Sum = Self::Sum>;
    #[cfg(target_arch = "x86_64")]
    type Avx512: Dot<Sum = Self::Sum>;
    #[cfg(target_arch = "x86_64")]
    type Avx512Bf16: Dot<Sum = Self::Sum>;
    /// Numbers in a word.
    const PER_WORD: usize;
}

/// A number type that is made of a float without further ado.
pub trait Float: Number<Sum = f32> + Send + Sync + std::fmt::Debug {
    /// Writes words of `values`; the last is filled up with zeros.
    fn put(values: &[f32], words: &mut [u32]);
    /// Writes a word for each column, of the values that the column has in one row or, if a word holds two, in two rows.
    fn put_columns(first: &[f32; PANEL], second: &[f32; PANEL], words: &mut [u32; PANEL]);
    /// The number at `index` of a word.
    fn get(word: u32, index: usize) -> f32;
    /// Whether it can hold exponentials that are precise.
    const PRECISE: bool;
    /// Writes a vector of finite values that are not negative where the number of the index `at` begins.
    ///
    /// # Safety
    /// The CPU has the vector's instructions, and so many numbers can be written.
    unsafe fn store<V: Vector>(value: V, words: *mut u32, at: usize);
}

/// 32-bit floats.
#[derive(Debug)]
pub struct F32;

impl Number for F32 {
    type Sum = f32;
    type Plain = PlainF32;
    #[cfg(target_arch = "x86_64")]
    type Avx2 = crate::dot::Avx2F32;
    #[cfg(target_arch = "x86_64")]
    type AvxVnni = crate::dot::Avx2F32;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = crate::dot::Avx512F32;
    #[cfg(target_arch = "x86_64")]
    type Avx512Bf16 = crate::dot::Avx512F32;
    const PER_WORD: usize = 1;
}

impl Float for F32 {
    fn put(values: &[f32], words: &mut [u32]) {
        for (word, value) in words.iter_mut().zip(values) {
            *word = value.to_bits();
        }
    }

    fn put_columns(first: &[f32; PANEL], _second: &[f32; PANEL], words: &mut [u32; PANEL]) {
        *words = first.map(f32::to_bits);
    }

    fn get(word: u32, _index: usize) -> f32 {
        f32::from_bits(word)
    }

    const PRECISE: bool = true;

    #[inline(always)]
    unsafe fn store<V: Vector>(value: V, words: *mut u32, at: usize) {
        // SAFETY: passed on from the caller.
        unsafe { value.store(words.cast::<f32>().add(at)) }
    }
}

/// The upper halves of 32-bit floats, two in a word, the first in the lower half.
#[derive(Debug)]
pub struct Bf16;

impl Number for Bf16 {
    type Sum = f32;
    type Plain = PlainBf16;
    #[cfg(target_arch = "x86_64")]
    type Avx2 = crate::dot::Avx2Bf16;
    #[cfg(target_arch = "x86_64")]
    type AvxVnni = crate::dot::Avx2Bf16;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = crate::dot::Avx512WideBf16;
    #[cfg(target_arch = "x86_64")]
    type Avx512Bf16 = crate::dot::Avx512Bf16;
    const PER_WORD: usize = 2;
}

impl Float for Bf16 {
    fn put(values: &[f32], words: &mut [u32]) {
        put_bf16(values, words);
    }

    fn put_columns(first: &[f32; PANEL], second: &[f32; PANEL], words: &mut [u32; PANEL]) {
        for ((word, first), second) in words.iter_mut().zip(first).zip(second) {
            *word = u32::from(bf16(*first)) | u32::from(bf16(*second)) << 16;
        }
    }

    fn get(word: u32, index: usize) -> f32 {
        f32::from_bits(if index == 0 { word << 16 } else { word & 0xffff_0000 })
    }

    const PRECISE: bool = false;

    #[inline(always)]
    unsafe fn store<V: Vector>(value: V, words: *mut u32, at: usize) {
        // SAFETY: passed on from the caller.
        unsafe { value.store_bf16_quickly(words.cast::<u16>().add(at)) }
    }
}

per_level! {
    fn put_bf16(values: &[f32], words: &mut [u32]) {
        let halves = halves_mut(words);
        assert!(halves.len() >= values.len());
        let whole = values.len() / V::LANES * V::LANES;
        for index in (0..whole).step_by(V::LANES) {
            // SAFETY: a whole vector lies within both.
            unsafe { V::load(values.as_ptr().add(index)).store_bf16(halves.as_mut_ptr().add(index)) };
        }
        for index in whole..values.len() {
            halves[index] = bf16(values[index]);
        }
        if let Some(half) = halves.get_mut(values.len()) {
            *half = 0;
        }
    }
}

/// A number type with whole sums.
pub(crate) trait Integer: Number<Sum = i32> {}

impl Integer for I8 {}

/// Bytes, four in a word: unsigned ones on the left of a product, signed ones on the right.
#[derive(Debug)]
pub(crate) struct I8;

impl Number for I8 {
    type Sum = i32;
    type Plain = PlainI8;
    #[cfg(target_arch = "x86_64")]
    type Avx2 = crate::dot::Avx2I8;
    #[cfg(target_arch = "x86_64")]
    type AvxVnni = crate::dot::AvxVnniI8;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = crate::dot::Avx512I8;
    #[cfg(target_arch = "x86_64")]
    type Avx512Bf16 = crate::dot::Avx512I8;
    const PER_WORD: usize = 4;
}

/// Calls `$generic::<N, Dot>` for a number type `N`, compiled for a level: the only place where one meets the other.
///
/// The arguments are variables with their types. The caller writes the whole inside `unsafe`, which promises that the CPU
/// has the level, and what `$generic` asks for.
macro_rules! at_level {
    ($level:expr, $number:ty: $bound:path, $generic:ident($($argument:ident: $kind:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        mod instances {
            #[allow(unused_imports, reason = "the arguments' types may need none of it")]
            use super::*;

            #[target_feature(enable = "avx2,fma")]
            pub(super) unsafe fn avx2<N: $bound>($($argument: $kind),*) {
                // SAFETY: passed on from the caller.
                unsafe { $generic::<N, <N as $crate::number::Number>::Avx2>($($argument),*) }
            }
            #[target_feature(enable = "avx2,fma,avxvnni")]
            pub(super) unsafe fn avx_vnni<N: $bound>($($argument: $kind),*) {
                // SAFETY: passed on from the caller.
                unsafe { $generic::<N, <N as $crate::number::Number>::AvxVnni>($($argument),*) }
            }
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
            pub(super) unsafe fn avx512<N: $bound>($($argument: $kind),*) {
                // SAFETY: passed on from the caller.
                unsafe { $generic::<N, <N as $crate::number::Number>::Avx512>($($argument),*) }
            }
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,avx2,fma")]
            pub(super) unsafe fn avx512_bf16<N: $bound>($($argument: $kind),*) {
                // SAFETY: passed on from the caller.
                unsafe { $generic::<N, <N as $crate::number::Number>::Avx512Bf16>($($argument),*) }
            }
        }
        match $level {
            #[cfg(target_arch = "x86_64")]
            $crate::Level::Avx512Bf16 => instances::avx512_bf16::<$number>($($argument),*),
            #[cfg(target_arch = "x86_64")]
            $crate::Level::Avx512 => instances::avx512::<$number>($($argument),*),
            #[cfg(target_arch = "x86_64")]
            $crate::Level::AvxVnni => instances::avx_vnni::<$number>($($argument),*),
            #[cfg(target_arch = "x86_64")]
            $crate::Level::Avx2 => instances::avx2::<$number>($($argument),*),
            _ => $generic::<$number, <$number as $crate::number::Number>::Plain>($($argument),*),
        }
    }};
}
pub(crate) use at_level;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bfloat16_rounds_to_the_nearest_even() {
        for (value, expected) in [
            (1.0, 1.0),
            (1.003, 1.0),
            (1.005, 1.007_812_5),
            (1.003_906_3, 1.0),
            (1.011_718_8, 1.015_625),
            (-1.005, -1.007_812_5),
            (f32::INFINITY, f32::INFINITY),
        ] {
            let mut words = [0; 17];
            put_bf16(&[value; 33], &mut words);
            assert!((0..33).all(|index| Bf16::get(words[index / 2], index % 2) == expected), "{value}");
        }
        let mut words = [0; 9];
        put_bf16(&[f32::from_bits(0x7f80_0001); 17], &mut words);
        assert!((0..17).all(|index| Bf16::get(words[index / 2], index % 2).is_nan()));
    }

    #[test]
    fn words_hold_what_was_put() {
        let values: Vec<f32> = (0..37).map(|index| index as f32 - 7.5).collect();
        let mut words = [0; 19];
        Bf16::put(&values, &mut words);
        for (index, value) in values.iter().enumerate() {
            assert_eq!(Bf16::get(words[index / 2], index % 2), *value);
        }
        assert_eq!(Bf16::get(words[18], 1), 0.0);
    }
}
