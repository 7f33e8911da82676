//! From whole scores to the softmax's weights in bytes.

use crate::elementwise::exp2;
use crate::vector::Vector;

/// Scores come, and weights go, in multiples of so many: four of the widest vectors.
pub(super) const WEIGHED: usize = 64;

/// Writes the weights of `count` scores of one query on one block: `2^(score * factor + offset)`.
///
/// Weights are rounded against a pattern of thresholds, so that many small ones add up to what they are together.
///
/// # Safety
/// The CPU has the instruction set, so many scores can be read, and as many bytes written: whole multiples of [`WEIGHED`].
#[inline(always)]
pub(super) unsafe fn weigh<V: Vector>(scores: *const i32, count: usize, factor: f32, offset: f32, weights: *mut u8) {
    // SAFETY: scores are a multiple of four vectors, and there are as many weights; thresholds are a multiple of a vector.
    unsafe {
        let (factor, offset) = (V::splat(factor), V::splat(offset));
        for index in (0..count).step_by(4 * V::LANES) {
            let mut four = [offset; 4];
            for (part, weight) in four.iter_mut().enumerate() {
                let score = V::load_whole(scores.add(index + part * V::LANES));
                let threshold = V::load(THRESHOLDS.as_ptr().add(part * V::LANES % THRESHOLDS.len()));
                *weight = exp2(score.mul_add(factor, offset), false).add(threshold);
            }
            V::store_whole_bytes(four, weights.add(index));
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::tests::values;
    use crate::vector::Plain;

    /// Compares with the definition, for scores that differ by so many powers of two at most.
    fn check<V: Vector>(largest_weight: f32) {
        for (count, powers) in [(64, 0.0), (64, 1.0), (128, 8.0), (256, 60.0), (256, 400.0)] {
            let scores: Vec<i32> = values(count, 9).iter().map(|value| (value * 1e6) as i32).collect();
            let most = scores.iter().copied().max().expect("there are some");
            let factor = powers / 2e6;
            let offset = largest_weight.log2() - most as f32 * factor;
            let mut weights = vec![0; count];
            // SAFETY: the CPU has the vector's instructions; scores and weights are as many, whole multiples.
            unsafe { weigh::<V>(scores.as_ptr(), count, factor, offset, weights.as_mut_ptr()) };
            for (score, weight) in scores.iter().zip(weights) {
                let exact = largest_weight * ((score - most) as f32 * factor).exp2();
                // Thresholds move a fraction by up to one.
                assert!((f32::from(weight) - exact).abs() < 1.0 + 0.01 * exact, "{powers} powers: {weight} {exact}");
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
