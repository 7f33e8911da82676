//! From whole scores to the softmax's weights in bytes.

use crate::elementwise::exp2;
use crate::vector::{Plain, Vector};

/// Scores come, and weights go, in multiples of so many: four of the widest vectors.
pub(super) const WEIGHED: usize = 64;

/// How the scores of one query on one block become weights: `2^(score * factor + offset)`, whose largest is that of the largest
/// score.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only AVX-512 asks for all of it"))]
pub struct Weighing {
    pub(super) factor: f32,
    pub(super) offset: f32,
    /// What [`Softmax::largest`] returned.
    pub(super) largest: i32,
    /// Low bits of a score without which the difference of two fits sixteen bits.
    pub(super) beyond: u32,
}

/// Makes weights of scores with one instruction set.
pub trait Softmax: Vector {
    /// Returns the largest of `count` scores, and leaves them as [`weigh`](Self::weigh) takes them.
    ///
    /// # Safety
    /// The CPU has the instruction set, and so many scores can be read and written, whole multiples of [`WEIGHED`].
    #[inline(always)]
    unsafe fn largest(scores: *mut i32, count: usize, _beyond: u32) -> i32 {
        // SAFETY: passed on from the caller.
        unsafe { Self::largest_whole(scores, count) }
    }

    /// Writes the weights of `count` scores.
    ///
    /// Weights are rounded against a pattern of thresholds, so that many small ones add up to what they are together.
    ///
    /// # Safety
    /// As for [`largest`](Self::largest), which was called with these scores, and so many bytes can be written.
    #[inline(always)]
    unsafe fn weigh(scores: *const i32, count: usize, weighing: &Weighing, weights: *mut u8) {
        // SAFETY: scores are a multiple of four vectors, and there are as many weights; thresholds are a multiple of a vector.
        unsafe {
            let (factor, offset) = (Self::splat(weighing.factor), Self::splat(weighing.offset));
            for index in (0..count).step_by(4 * Self::LANES) {
                let mut four = [offset; 4];
                for (part, weight) in four.iter_mut().enumerate() {
                    let score = Self::load_whole(scores.add(index + part * Self::LANES));
                    let threshold = Self::load(THRESHOLDS.as_ptr().add(part * Self::LANES % THRESHOLDS.len()));
                    *weight = exp2(score.mul_add(factor, offset), false).add(threshold);
                }
                Self::store_whole_bytes(four, weights.add(index));
            }
        }
    }
}

impl Softmax for Plain {}

/// What is added to a weight before its fraction is cut off: all sixteenths, in an order that differs much from place to place.
const THRESHOLDS: [f32; 16] = {
    let mut thresholds = [0.0; 16];
    let mut index = 0;
    while index < 16 {
        thresholds[index] = ((index as u8).reverse_bits() >> 4) as f32 / 16.0 + 1.0 / 32.0;
        index += 1;
    }
    thresholds
};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Softmax, THRESHOLDS, WEIGHED, Weighing};
    use crate::vector::{Avx2, Avx512};

    impl Softmax for Avx2 {}

    /// The largest weight and what is `index` 64ths of a power of two below it, in 256ths.
    const POWERS: [u16; 64] = {
        // 2^(-1/64) as a fraction of 2^30.
        const ROOT: u64 = 1_062_175_491;
        let mut powers = [0; 64];
        let mut power: u64 = 255 << 38;
        let mut index = 0;
        while index < 64 {
            powers[index] = (power >> 30) as u16;
            power = ((power as u128 * ROOT as u128) >> 30) as u64;
            index += 1;
        }
        powers
    };

    /// [`THRESHOLDS`] as 256ths, for two vectors that were packed together: their quarters take turns.
    const PACKED_THRESHOLDS: [u16; 32] = {
        let mut packed = [0; 32];
        let mut index = 0;
        while index < 32 {
            packed[index] = (THRESHOLDS[index / 8 * 4 + index % 4] * 256.0) as u16;
            index += 1;
        }
        packed
    };

    /// In sixteen bits: they hold what a score says of a weight, and there are twice as many in a vector.
    impl Softmax for Avx512 {
        #[inline(always)]
        unsafe fn largest(scores: *mut i32, count: usize, beyond: u32) -> i32 {
            // SAFETY: the caller's CPU has the instructions. What is written is shorter than what was read before it.
            unsafe {
                let shift = _mm512_set1_epi32(beyond.cast_signed());
                let mut most = _mm512_set1_epi16(i16::MIN);
                for index in (0..count).step_by(WEIGHED) {
                    let from = scores.add(index);
                    let a = _mm512_srav_epi32(_mm512_loadu_si512(from.cast()), shift);
                    let b = _mm512_srav_epi32(_mm512_loadu_si512(from.add(16).cast()), shift);
                    let c = _mm512_srav_epi32(_mm512_loadu_si512(from.add(32).cast()), shift);
                    let d = _mm512_srav_epi32(_mm512_loadu_si512(from.add(48).cast()), shift);
                    let (low, high) = (_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
                    most = _mm512_max_epi16(most, _mm512_max_epi16(low, high));
                    let to = scores.cast::<i16>().add(index);
                    _mm512_storeu_si512(to.cast(), low);
                    _mm512_storeu_si512(to.add(32).cast(), high);
                }
                let half = _mm256_max_epi16(_mm512_castsi512_si256(most), _mm512_extracti64x4_epi64::<1>(most));
                let quarter = _mm_max_epi16(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
                // The smallest of what has no sign is found by one instruction.
                let turned = _mm_xor_si128(quarter, _mm_set1_epi16(i16::MAX));
                let most = _mm_cvtsi128_si32(_mm_minpos_epu16(turned)) as i16 ^ i16::MAX;
                i32::from(most) << beyond
            }
        }

        #[inline(always)]
        unsafe fn weigh(scores: *const i32, count: usize, weighing: &Weighing, weights: *mut u8) {
            let Weighing { factor, largest, beyond, .. } = *weighing;
            // 64ths of a power of two for each step of a score, in the 32768ths that the multiplication takes.
            let factor = (factor * f32::from_bits((127 + 6 + 15 + beyond) << 23)).min(32767.0);
            // SAFETY: the caller's CPU has the instructions, and the pointers are the caller's.
            unsafe {
                let factor = _mm512_set1_epi16((factor + 0.5) as i16);
                let largest = _mm512_set1_epi16((largest >> beyond) as i16);
                let powers =
                    (_mm512_loadu_si512(POWERS.as_ptr().cast()), _mm512_loadu_si512(POWERS.as_ptr().add(32).cast()));
                let thresholds = _mm512_loadu_si512(PACKED_THRESHOLDS.as_ptr().cast());
                let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
                for index in (0..count).step_by(WEIGHED) {
                    let mut two = [thresholds; 2];
                    for (part, weight) in two.iter_mut().enumerate() {
                        let score = _mm512_loadu_si512(scores.cast::<i16>().add(index + 32 * part).cast());
                        let below = _mm512_mulhrs_epi16(_mm512_subs_epi16(largest, score), factor);
                        let power = _mm512_permutex2var_epi16(powers.0, below, powers.1);
                        let power = _mm512_srlv_epi16(power, _mm512_srli_epi16::<6>(below));
                        *weight = _mm512_srli_epi16::<8>(_mm512_add_epi16(power, thresholds));
                    }
                    // Packing works in each quarter: the first four lanes of all vectors come before the next four.
                    let quarters = _mm512_packus_epi16(two[0], two[1]);
                    _mm512_storeu_si512(weights.add(index).cast(), _mm512_permutexvar_epi32(order, quarters));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::tests::values;

    /// Compares with the definition, for scores that differ by so many powers of two at most.
    fn check<V: Softmax>(largest_weight: f32) {
        for (count, powers) in [(64, 0.0), (64, 1.0), (128, 8.0), (256, 60.0), (256, 400.0)] {
            let scores: Vec<i32> = values(count, 9).iter().map(|value| (value * 1e6) as i32).collect();
            let most = scores.iter().copied().max().expect("there are some");
            let factor = powers / 2e6;
            let offset = largest_weight.log2() - most as f32 * factor;
            let mut taken = scores.clone();
            let mut weights = vec![0; count];
            // SAFETY: the CPU has the vector's instructions; scores and weights are as many, whole multiples.
            let largest = unsafe {
                let largest = V::largest(taken.as_mut_ptr(), count, 6);
                let weighing = Weighing { factor, offset, largest, beyond: 6 };
                V::weigh(taken.as_ptr(), count, &weighing, weights.as_mut_ptr());
                largest
            };
            assert!((0..64).contains(&(most - largest)), "{most} {largest}");
            for (score, weight) in scores.iter().zip(weights) {
                let exact = largest_weight * ((score - most) as f32 * factor).exp2();
                // Sixteen bits know 64ths of a power of two, and thresholds move a fraction by up to one.
                assert!((f32::from(weight) - exact).abs() < 1.0 + 0.02 * exact, "{powers} powers: {weight} {exact}");
            }
        }
    }

    #[test]
    fn weights_are_powers_of_two() {
        check::<Plain>(255.0);
        #[cfg(target_arch = "x86_64")]
        for level in crate::Level::available() {
            match level {
                crate::Level::Avx2 => check::<crate::vector::Avx2>(127.0),
                crate::Level::Avx512 => check::<crate::vector::Avx512>(255.0),
                _ => {}
            }
        }
    }
}
