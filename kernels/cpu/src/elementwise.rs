//! Layer normalisation, softmax and the Gaussian error linear unit, vectorised by the compiler for each instruction set.

use crate::level::per_level;

/// e^x, to within two units in the last place between -87 and 88; below it is zero's neighbourhood, above it saturates.
///
/// Without branches, so that loops over it become vector code.
#[inline(always)]
pub(crate) fn exp_value(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, the first with few bits, so that the subtraction is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // 1.5 * 2^23: adding it rounds to the nearest whole number.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let whole = (x * LOG2_E + ROUND) - ROUND;
    let rest = (x - whole * LN2_HIGH) - whole * LN2_LOW;
    // Minimax polynomial on half a power of two around zero (Cephes, expf).
    let mut poly = 1.987_569_1e-4;
    poly = poly * rest + 1.398_199_9e-3;
    poly = poly * rest + 8.333_452e-3;
    poly = poly * rest + 4.166_579_6e-2;
    poly = poly * rest + 1.666_666_5e-1;
    poly = poly * rest + 0.5;
    let value = poly * rest * rest + rest + 1.0;
    value * f32::from_bits(((whole as i32 + 127) << 23) as u32)
}

/// `x * P(X <= x)` for a normal X: by the error function, not by a hyperbolic tangent.
///
/// The error function's approximation errs by less than 1.5e-7.
///
/// *Source*: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
#[inline(always)]
pub(crate) fn gelu_value(x: f32) -> f32 {
    let z = x * std::f32::consts::FRAC_1_SQRT_2;
    let magnitude = z.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * magnitude);
    let poly = t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    let erf = (1.0 - poly * exp_value(-magnitude * magnitude)).copysign(z);
    0.5 * x * (1.0 + erf)
}

per_level! {
    /// Gaussian error linear unit of every value, in place.
    pub fn gelu(values: &mut [f32]) {
        for value in values {
            *value = gelu_value(*value);
        }
    }
}

/// Sums in sixteen lanes, which the compiler keeps in vectors; the same order for every instruction set.
#[inline(always)]
pub(crate) fn lane_sum(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<16>();
    let mut lanes = [0.0_f32; 16];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += term(*value);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += term(*value);
    }
    let mut width = 8;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[inline(always)]
pub(crate) fn lane_max(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<16>();
    let mut lanes = [f32::NEG_INFINITY; 16];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

per_level! {
    /// Layer normalisation of every row, epsilon 1e-5.
    ///
    /// *Shape*: `x` and `out` `[rows, d]`, `scale` and `shift` `[d]`.
    pub fn layer_norm(x: &[f32], scale: &[f32], shift: &[f32], out: &mut [f32]) {
        let width = scale.len();
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let mean = lane_sum(x, |value| value) / width as f32;
            let variance = lane_sum(x, |value| (value - mean) * (value - mean)) / width as f32;
            let factor = 1.0 / (variance + 1e-5).sqrt();
            for (((out, x), scale), shift) in out.iter_mut().zip(x).zip(scale).zip(shift) {
                *out = (x - mean) * factor * scale + shift;
            }
        }
    }
}

/// Exponentials over their sum, in place, without the division: returns the sum.
#[inline(always)]
pub(crate) fn exponentials(row: &mut [f32], factor: f32) -> f32 {
    let largest = lane_max(row) * factor;
    for value in row.iter_mut() {
        *value = exp_value(*value * factor - largest);
    }
    lane_sum(row, |value| value)
}

per_level! {
    /// Softmax of every row, in place.
    ///
    /// *Shape*: `[rows, width]`.
    pub fn softmax(values: &mut [f32], width: usize) {
        for row in values.chunks_exact_mut(width) {
            let total = exponentials(row, 1.0);
            let factor = 1.0 / total;
            for value in row {
                *value *= factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_is_near_the_libraries() {
        for step in -870..880 {
            let x = step as f32 / 10.0 + 0.013;
            let (ours, theirs) = (exp_value(x), f64::from(x).exp() as f32);
            assert!((ours - theirs).abs() <= theirs * 3e-7, "{x}: {ours} {theirs}");
        }
    }

    #[test]
    fn gelu_is_the_exact_one() {
        // Values of scipy.stats.norm.cdf(x) * x.
        for (x, expected) in
            [(-3.0, -0.004_049_7), (-1.0, -0.158_655_25), (0.0, 0.0), (0.5, 0.345_731_23), (2.0, 1.954_499_7)]
        {
            assert!((gelu_value(x) - expected).abs() < 1e-6, "{x}");
        }
        assert_eq!(gelu_value(20.0), 20.0);
        assert_eq!(gelu_value(-20.0), 0.0);
    }

    #[test]
    fn softmax_sums_to_one_at_any_width() {
        for width in [1, 15, 16, 17, 33] {
            let mut values: Vec<f32> = (0..width * 2).map(|index| (index % 7) as f32 * 3.0).collect();
            softmax(&mut values, width);
            for row in values.chunks_exact(width) {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn layer_norm_has_mean_and_variance() {
        for width in [3, 16, 50] {
            let x: Vec<f32> = (0..width).map(|index| (index * index % 11) as f32).collect();
            let mut out = vec![0.0; width];
            layer_norm(&x, &vec![1.0; width], &vec![2.0; width], &mut out);
            let mean = out.iter().sum::<f32>() / width as f32;
            assert!((mean - 2.0).abs() < 1e-5);
            let variance = out.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / width as f32;
            assert!((variance - 1.0).abs() < 1e-3);
        }
    }
}
