//! Vectors of floats, one type for each width, so that element-wise code is written once.
//!
//! The methods are compiled into the function that calls them, which must enable the instruction set.

/// A vector of floats.
pub trait Vector: Copy {
    /// Floats in it.
    const LANES: usize;

    /// # Safety
    /// The CPU has the instruction set. So for all methods.
    unsafe fn splat(value: f32) -> Self;
    /// # Safety
    /// `LANES` floats can be read.
    unsafe fn load(from: *const f32) -> Self;
    /// # Safety
    /// `LANES` integers can be read; they become floats.
    unsafe fn load_whole(from: *const i32) -> Self;
    /// # Safety
    /// `LANES` floats can be written.
    unsafe fn store(self, to: *mut f32);
    /// The lowest byte of each float's bits.
    ///
    /// # Safety
    /// `LANES` bytes can be written.
    unsafe fn store_bytes(self, to: *mut u8);
    /// The whole parts of floats between 0 and 255, one vector after the other.
    ///
    /// # Safety
    /// `4 * LANES` bytes can be written.
    unsafe fn store_whole_bytes(four: [Self; 4], to: *mut u8);
    /// The nearest bfloat16 of each float.
    ///
    /// # Safety
    /// `LANES` halves can be written.
    unsafe fn store_bf16(self, to: *mut u16);
    /// As [`store_bf16`](Self::store_bf16), of two that are as near the larger, for what is finite and not negative.
    ///
    /// # Safety
    /// `LANES` halves can be written.
    unsafe fn store_bf16_quickly(self, to: *mut u16);
    /// The largest of `count` integers, more than none and whole vectors.
    ///
    /// # Safety
    /// They can be read.
    unsafe fn largest_whole(from: *const i32, count: usize) -> i32;
    /// The largest of what has no sign, where what is not a number is larger than any.
    ///
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn largest_magnitude(self) -> f32;
    /// The sum of the floats.
    ///
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn sum(self) -> f32;
    /// The largest float.
    ///
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn most(self) -> f32;
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn add(self, other: Self) -> Self;
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn sub(self, other: Self) -> Self;
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn mul(self, other: Self) -> Self;
    /// `self * b + c`.
    ///
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    /// The larger of each two; `other` where either is not a number.
    ///
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn max(self, other: Self) -> Self;
    /// The smaller of each two; `other` where either is not a number.
    ///
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn min(self, other: Self) -> Self;
    /// The larger magnitude of each two, of which what is not a number has the largest; without signs.
    ///
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn larger_magnitude(self, other: Self) -> Self;
    /// Adds the low bits of `exponent` to the exponents.
    ///
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn raise(self, exponent: Self) -> Self;
}

/// Eight floats without special instructions.
#[derive(Clone, Copy)]
pub struct Plain([f32; 8]);

impl Plain {
    #[inline(always)]
    fn zip(self, other: Self, join: impl Fn(f32, f32) -> f32) -> Self {
        let mut lanes = self.0;
        for (lane, other) in lanes.iter_mut().zip(other.0) {
            *lane = join(*lane, other);
        }
        Self(lanes)
    }
}

impl Vector for Plain {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 8])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: passed on from the caller.
        Self(unsafe { from.cast::<[f32; 8]>().read() })
    }
    #[inline(always)]
    unsafe fn load_whole(from: *const i32) -> Self {
        // SAFETY: passed on from the caller.
        Self(unsafe { from.cast::<[i32; 8]>().read() }.map(|whole| whole as f32))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: passed on from the caller.
        unsafe { to.cast::<[f32; 8]>().write(self.0) }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        // SAFETY: passed on from the caller.
        unsafe { to.cast::<[u8; 8]>().write(self.0.map(|value| value.to_bits() as u8)) }
    }
    #[inline(always)]
    unsafe fn store_whole_bytes(four: [Self; 4], to: *mut u8) {
        // SAFETY: passed on from the caller.
        unsafe { to.cast::<[[u8; 8]; 4]>().write(four.map(|vector| vector.0.map(|value| value as u8))) }
    }
    #[inline(always)]
    unsafe fn largest_whole(from: *const i32, count: usize) -> i32 {
        // SAFETY: passed on from the caller.
        unsafe { std::slice::from_raw_parts(from, count) }.iter().fold(i32::MIN, |most, value| most.max(*value))
    }
    #[inline(always)]
    unsafe fn largest_magnitude(self) -> f32 {
        f32::from_bits(self.0.iter().fold(0, |most, lane| most.max(lane.to_bits())))
    }
    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut u16) {
        // SAFETY: passed on from the caller.
        unsafe { to.cast::<[u16; 8]>().write(self.0.map(bf16)) }
    }
    #[inline(always)]
    unsafe fn store_bf16_quickly(self, to: *mut u16) {
        let halves = self.0.map(|value| (value.to_bits().wrapping_add(0x8000) >> 16) as u16);
        // SAFETY: passed on from the caller.
        unsafe { to.cast::<[u16; 8]>().write(halves) }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        self.0.iter().sum()
    }
    #[inline(always)]
    unsafe fn most(self) -> f32 {
        self.0.iter().fold(f32::NEG_INFINITY, |most, lane| most.max(*lane))
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        // A library's fused one would be slower than two roundings.
        self.zip(b, |a, b| a * b).zip(c, |a, c| a + c)
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn larger_magnitude(self, other: Self) -> Self {
        // Without their signs, numbers are ordered as their bits are, and what is not a number lies above infinity.
        self.zip(other, |a, b| f32::from_bits(a.abs().to_bits().max(b.abs().to_bits())))
    }
    #[inline(always)]
    unsafe fn raise(self, exponent: Self) -> Self {
        self.zip(exponent, |a, b| f32::from_bits(a.to_bits().wrapping_add(b.to_bits() << 23)))
    }
}

/// The nearest bfloat16, the even one of two that are as near. What is not a number stays so.
#[inline(always)]
pub(crate) fn bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    if value.is_nan() { (bits >> 16 | 0x40) as u16 } else { rounded as u16 }
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Vector;

    /// Eight floats in an AVX register.
    #[derive(Clone, Copy)]
    pub struct Avx2(__m256);

    impl Vector for Avx2 {
        const LANES: usize = 8;

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: the caller's CPU has the instruction. So for all below, whose pointers are the caller's.
            Self(unsafe { _mm256_set1_ps(value) })
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm256_loadu_ps(from) })
        }
        #[inline(always)]
        unsafe fn load_whole(from: *const i32) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm256_cvtepi32_ps(_mm256_loadu_si256(from.cast())) })
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: as above.
            unsafe { _mm256_storeu_ps(to, self.0) }
        }
        #[inline(always)]
        unsafe fn store_bytes(self, to: *mut u8) {
            // SAFETY: as above.
            unsafe {
                let low = _mm256_and_si256(_mm256_castps_si256(self.0), _mm256_set1_epi32(0xff));
                let words = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256::<1>(low));
                _mm_storel_epi64(to.cast(), _mm_packus_epi16(words, words));
            }
        }
        #[inline(always)]
        unsafe fn store_whole_bytes(four: [Self; 4], to: *mut u8) {
            // SAFETY: as above.
            unsafe {
                let (a, b) = (_mm256_cvttps_epi32(four[0].0), _mm256_cvttps_epi32(four[1].0));
                let (c, d) = (_mm256_cvttps_epi32(four[2].0), _mm256_cvttps_epi32(four[3].0));
                // Packing works in each half: the first four lanes of all vectors come before the other four.
                let halves = _mm256_packus_epi16(_mm256_packus_epi32(a, b), _mm256_packus_epi32(c, d));
                let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
                _mm256_storeu_si256(to.cast(), _mm256_permutevar8x32_epi32(halves, order));
            }
        }
        #[inline(always)]
        unsafe fn largest_whole(from: *const i32, count: usize) -> i32 {
            // SAFETY: as above.
            unsafe {
                let mut most = _mm256_loadu_si256(from.cast());
                for index in (8..count).step_by(8) {
                    most = _mm256_max_epi32(most, _mm256_loadu_si256(from.add(index).cast()));
                }
                let four = _mm_max_epi32(_mm256_castsi256_si128(most), _mm256_extracti128_si256::<1>(most));
                let two = _mm_max_epi32(four, _mm_shuffle_epi32::<0b_11_10>(four));
                _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32::<1>(two)))
            }
        }
        #[inline(always)]
        unsafe fn largest_magnitude(self) -> f32 {
            // SAFETY: as above.
            unsafe {
                let bits = _mm256_castps_si256(self.0);
                let four = _mm_max_epu32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256::<1>(bits));
                let two = _mm_max_epu32(four, _mm_shuffle_epi32::<0b_11_10>(four));
                f32::from_bits(_mm_cvtsi128_si32(_mm_max_epu32(two, _mm_shuffle_epi32::<1>(two))).cast_unsigned())
            }
        }
        #[inline(always)]
        unsafe fn store_bf16(self, to: *mut u16) {
            // SAFETY: as above.
            unsafe {
                let bits = _mm256_castps_si256(self.0);
                let even = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
                let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(even, _mm256_set1_epi32(0x7fff)));
                let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x40_0000));
                let is_nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.0));
                let halves = _mm256_srli_epi32::<16>(_mm256_blendv_epi8(rounded, quiet, is_nan));
                let (low, high) = (_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
                _mm_storeu_si128(to.cast(), _mm_packus_epi32(low, high));
            }
        }
        #[inline(always)]
        unsafe fn store_bf16_quickly(self, to: *mut u16) {
            // SAFETY: as above.
            unsafe {
                let rounded = _mm256_add_epi32(_mm256_castps_si256(self.0), _mm256_set1_epi32(0x8000));
                let halves = _mm256_srli_epi32::<16>(rounded);
                let (low, high) = (_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
                _mm_storeu_si128(to.cast(), _mm_packus_epi32(low, high));
            }
        }
        #[inline(always)]
        unsafe fn sum(self) -> f32 {
            // SAFETY: as above.
            unsafe {
                let four = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
            }
        }
        #[inline(always)]
        unsafe fn most(self) -> f32 {
            // SAFETY: as above.
            unsafe {
                let four = _mm_max_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
                let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
            }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm256_add_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm256_sub_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm256_mul_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm256_fmadd_ps(self.0, b.0, c.0) })
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm256_max_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn min(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm256_min_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn larger_magnitude(self, other: Self) -> Self {
            // SAFETY: as above.
            unsafe {
                let unsigned = _mm256_set1_epi32(0x7fff_ffff);
                let (a, b) = (_mm256_castps_si256(self.0), _mm256_castps_si256(other.0));
                let larger = _mm256_max_epu32(_mm256_and_si256(a, unsigned), _mm256_and_si256(b, unsigned));
                Self(_mm256_castsi256_ps(larger))
            }
        }
        #[inline(always)]
        unsafe fn raise(self, exponent: Self) -> Self {
            // SAFETY: as above.
            unsafe {
                let shifted = _mm256_slli_epi32::<23>(_mm256_castps_si256(exponent.0));
                Self(_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(self.0), shifted)))
            }
        }
    }

    /// Sixteen floats in an AVX-512 register.
    #[derive(Clone, Copy)]
    pub struct Avx512(__m512);

    impl Vector for Avx512 {
        const LANES: usize = 16;

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: the caller's CPU has the instruction. So for all below, whose pointers are the caller's.
            Self(unsafe { _mm512_set1_ps(value) })
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_loadu_ps(from) })
        }
        #[inline(always)]
        unsafe fn load_whole(from: *const i32) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_cvtepi32_ps(_mm512_loadu_si512(from.cast())) })
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: as above.
            unsafe { _mm512_storeu_ps(to, self.0) }
        }
        #[inline(always)]
        unsafe fn store_bytes(self, to: *mut u8) {
            // SAFETY: as above.
            unsafe { _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(_mm512_castps_si512(self.0))) }
        }
        #[inline(always)]
        unsafe fn store_whole_bytes(four: [Self; 4], to: *mut u8) {
            // SAFETY: as above.
            unsafe {
                let (a, b) = (_mm512_cvttps_epi32(four[0].0), _mm512_cvttps_epi32(four[1].0));
                let (c, d) = (_mm512_cvttps_epi32(four[2].0), _mm512_cvttps_epi32(four[3].0));
                // Packing works in each quarter: the first four lanes of all vectors come before the next four.
                let quarters = _mm512_packus_epi16(_mm512_packus_epi32(a, b), _mm512_packus_epi32(c, d));
                let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
                _mm512_storeu_si512(to.cast(), _mm512_permutexvar_epi32(order, quarters));
            }
        }
        #[inline(always)]
        unsafe fn largest_whole(from: *const i32, count: usize) -> i32 {
            // SAFETY: as above.
            unsafe {
                let mut most = _mm512_loadu_si512(from.cast());
                for index in (16..count).step_by(16) {
                    most = _mm512_max_epi32(most, _mm512_loadu_si512(from.add(index).cast()));
                }
                _mm512_reduce_max_epi32(most)
            }
        }
        #[inline(always)]
        unsafe fn largest_magnitude(self) -> f32 {
            // SAFETY: as above.
            unsafe { f32::from_bits(_mm512_reduce_max_epu32(_mm512_castps_si512(self.0))) }
        }
        #[inline(always)]
        unsafe fn store_bf16(self, to: *mut u16) {
            // SAFETY: as above.
            unsafe {
                let bits = _mm512_castps_si512(self.0);
                let even = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
                let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(even, _mm512_set1_epi32(0x7fff)));
                let is_nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
                let bits = _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x40_0000));
                _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(bits)));
            }
        }
        #[inline(always)]
        unsafe fn store_bf16_quickly(self, to: *mut u16) {
            // SAFETY: as above.
            unsafe {
                let rounded = _mm512_add_epi32(_mm512_castps_si512(self.0), _mm512_set1_epi32(0x8000));
                _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded)));
            }
        }
        #[inline(always)]
        unsafe fn sum(self) -> f32 {
            // SAFETY: as above.
            unsafe { _mm512_reduce_add_ps(self.0) }
        }
        #[inline(always)]
        unsafe fn most(self) -> f32 {
            // SAFETY: as above.
            unsafe { _mm512_reduce_max_ps(self.0) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_sub_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_mul_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_fmadd_ps(self.0, b.0, c.0) })
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_max_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn min(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_min_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn larger_magnitude(self, other: Self) -> Self {
            // SAFETY: as above.
            unsafe {
                let unsigned = _mm512_set1_epi32(0x7fff_ffff);
                let (a, b) = (_mm512_castps_si512(self.0), _mm512_castps_si512(other.0));
                let larger = _mm512_max_epu32(_mm512_and_si512(a, unsigned), _mm512_and_si512(b, unsigned));
                Self(_mm512_castsi512_ps(larger))
            }
        }
        #[inline(always)]
        unsafe fn raise(self, exponent: Self) -> Self {
            // SAFETY: as above.
            unsafe {
                let shifted = _mm512_slli_epi32::<23>(_mm512_castps_si512(exponent.0));
                Self(_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(self.0), shifted)))
            }
        }
    }
}
