//! Layer normalisation, softmax and the Gaussian error linear unit, vectorised by the compiler for each instruction set.

use crate::ThreadPool;
use crate::level::per_level;
use crate::matrix::{Norm, Out};
use crate::vector::Vector;

/// 1.5 * 2^23: adding it rounds to the nearest whole number, which then stands in the low bits.
pub(crate) const ROUND: f32 = 12_582_912.0;

/// A polynomial by its coefficients, the highest first.
///
/// # Safety
/// The CPU has the vector's instructions. So for all functions here.
#[inline(always)]
unsafe fn polynomial<V: Vector, const N: usize>(x: V, coefficients: [f32; N]) -> V {
    // SAFETY: passed on from the caller.
    unsafe {
        let mut value = V::splat(coefficients[0]);
        let mut index = 1;
        while index < N {
            value = value.mul_add(x, V::splat(coefficients[index]));
            index += 1;
        }
        value
    }
}

/// 2^x for x up to 127; below -126 it is 2^-126.
///
/// Precisely to within two units in the last place, else to within a twentieth of what a bfloat16 can tell.
///
/// *Source*: minimax polynomials of the relative error on half a power of two around zero (Remez).
///
/// # Safety
/// The CPU has the vector's instructions.
#[inline(always)]
pub(crate) unsafe fn exp2<V: Vector>(x: V, precise: bool) -> V {
    // SAFETY: passed on from the caller.
    unsafe {
        // In this order what is not a number stays so.
        let x = V::splat(-126.0).max(x);
        let shifted = x.add(V::splat(ROUND));
        let rest = x.sub(shifted.sub(V::splat(ROUND)));
        let power = if precise {
            polynomial(rest, [0.001_327_647_2, 0.009_675_541, 0.055_507_133, 0.240_221_2, 0.693_146_97, 1.0])
        } else {
            polynomial(rest, [0.055_171_67, 0.242_611_12, 0.693_260_97, 0.999_928_06])
        };
        power.raise(shifted)
    }
}

/// `x * P(X <= x)` for a normal X: by the error function, not by a hyperbolic tangent. Precisely it errs by less than 2e-6, else
/// by less than 7e-5, and beyond 3.6 by less than 2e-4 of x.
///
/// *Source*: odd minimax polynomials of the distribution on [-5.2, 5.2] and [-3.6, 3.6], their errors weighted with x (Remez).
///
/// # Safety
/// The CPU has the vector's instructions.
#[inline(always)]
pub(crate) unsafe fn gelu_vector<V: Vector>(x: V, precise: bool) -> V {
    // SAFETY: passed on from the caller.
    unsafe {
        let most = if precise { 5.2 } else { 3.6 };
        let inner = V::splat(most).min(V::splat(-most).max(x));
        // The square, moved from 0..most^2 to -1..1: powers of that do not cancel each other.
        let square = inner.mul(inner).mul_add(V::splat(2.0 / (most * most)), V::splat(-1.0));
        let odd = if precise {
            polynomial(
                square,
                [
                    8.602_352e-4,
                    -2.504_226_8e-3,
                    2.849_805_2e-3,
                    -3.504_546e-3,
                    7.561_484_4e-3,
                    -1.310_43e-2,
                    1.838_557e-2,
                    -2.459_307e-2,
                    3.190_757e-2,
                    -3.994_134_8e-2,
                    5.003_014_6e-2,
                    -6.774_34e-2,
                    0.135_949_94,
                ],
            )
        } else {
            polynomial(
                square,
                [2.956_411_6e-3, -9.400_604e-3, 1.733_423e-2, -3.106_92e-2, 5.410_876e-2, -8.936_457e-2, 0.194_284_4],
            )
        };
        x.mul(inner.mul_add(odd, V::splat(0.5)))
    }
}

/// Replaces every value by what an expression makes of a vector of them. A macro, since a closure would not be compiled with
/// its caller's instructions.
macro_rules! map_in_place {
    ($vector:ident, $values:expr, |$value:ident| $map:expr) => {{
        let values: &mut [f32] = $values;
        let whole = values.len() / $vector::LANES * $vector::LANES;
        for index in (0..whole).step_by($vector::LANES) {
            let at = values.as_mut_ptr().add(index);
            let $value = $vector::load(at);
            $map.store(at);
        }
        if whole < values.len() {
            let rest = &mut values[whole..];
            let mut lanes = [0.0; 16];
            lanes[..rest.len()].copy_from_slice(rest);
            let $value = $vector::load(lanes.as_ptr());
            $map.store(lanes.as_mut_ptr());
            rest.copy_from_slice(&lanes[..rest.len()]);
        }
    }};
}

/// Folds vectors of values, the last filled up with `fill`. Two at a time, so that one does not wait for the other.
macro_rules! fold {
    ($vector:ident, $values:expr, $fill:expr, $start:expr, |$sum:ident, $value:ident| $step:expr, |$a:ident, $b:ident| $join:expr) => {{
        let values: &[f32] = $values;
        let (mut even, mut odd) = ($vector::splat($start), $vector::splat($start));
        let whole = values.len() / $vector::LANES;
        for index in 0..whole {
            let ($sum, $value) = (even, $vector::load(values.as_ptr().add(index * $vector::LANES)));
            (even, odd) = (odd, $step);
        }
        let rest = &values[whole * $vector::LANES..];
        if !rest.is_empty() {
            let mut lanes = [$fill; 16];
            lanes[..rest.len()].copy_from_slice(rest);
            let ($sum, $value) = (odd, $vector::load(lanes.as_ptr()));
            odd = $step;
        }
        let ($a, $b) = (even, odd);
        $join
    }};
}

/// The largest value; what is not a number is not seen.
///
/// # Safety
/// The CPU has the vector's instructions.
#[inline(always)]
pub(crate) unsafe fn largest<V: Vector>(values: &[f32]) -> f32 {
    const NONE: f32 = f32::NEG_INFINITY;
    // SAFETY: passed on from the caller.
    unsafe {
        let most = fold!(V, values, NONE, NONE, |most, value| value.max(most), |a, b| a.max(b));
        most.most()
    }
}

/// The largest magnitude; not a number if there is something that is none.
///
/// # Safety
/// The CPU has the vector's instructions.
#[inline(always)]
pub(crate) unsafe fn largest_magnitude<V: Vector>(values: &[f32]) -> f32 {
    // SAFETY: passed on from the caller.
    unsafe {
        let most = fold!(V, values, 0.0, 0.0, |a, b| a.larger_magnitude(b), |a, b| a.larger_magnitude(b));
        most.largest_magnitude()
    }
}

/// Layer normalisation of a row, epsilon 1e-5.
///
/// # Safety
/// The CPU has the vector's instructions.
#[inline(always)]
pub(crate) unsafe fn normalise<V: Vector>(x: &[f32], norm: Norm<'_>, out: &mut [f32]) {
    let width = x.len();
    assert!(out.len() >= width && norm.scale.len() >= width && norm.shift.len() >= width);
    // SAFETY: whole vectors are read and written within the slices, and the rest is passed on from the caller.
    unsafe {
        let mean = fold!(V, x, 0.0, 0.0, |sum, value| sum.add(value), |a, b| a.add(b)).sum() / width as f32;
        let middle = V::splat(mean);
        let squares = fold!(
            V,
            x,
            mean,
            0.0,
            |sum, value| {
                let distance = value.sub(middle);
                distance.mul_add(distance, sum)
            },
            |a, b| a.add(b)
        );
        let variance = squares.sum() / width as f32;
        let factor = 1.0 / (variance + 1e-5).sqrt();
        let whole = width / V::LANES * V::LANES;
        for index in (0..whole).step_by(V::LANES) {
            let value = V::load(x.as_ptr().add(index)).sub(middle).mul(V::splat(factor));
            let scale = V::load(norm.scale.as_ptr().add(index));
            value.mul_add(scale, V::load(norm.shift.as_ptr().add(index))).store(out.as_mut_ptr().add(index));
        }
        for index in whole..width {
            out[index] = (x[index] - mean) * factor * norm.scale[index] + norm.shift[index];
        }
    }
}

per_level! {
    /// Layer normalisation of one row.
    pub(crate) fn layer_norm_row(x: &[f32], norm: Norm<'_>, out: &mut [f32]) {
        // SAFETY: passed on from the caller.
        unsafe { normalise::<V>(x, norm, out) }
    }
}

/// Rows that one task normalises: enough that it is worth a thread.
const TASK_ROWS: usize = 96;

/// Layer normalisation of every row, epsilon 1e-5.
///
/// *Shape*: `x` and `out` `[rows, d]`, `norm` `[d]`.
///
/// *Panics*: if a slice is too short for its shape.
pub fn layer_norm(pool: &ThreadPool, x: &[f32], norm: Norm<'_>, out: &mut [f32]) {
    let width = norm.scale.len();
    let rows = x.len() / width;
    let out = Out::new(out, rows, width, width);
    pool.run(rows.div_ceil(TASK_ROWS), |task, _| {
        for row in task * TASK_ROWS..rows.min((task + 1) * TASK_ROWS) {
            // SAFETY: every task has rows of its own.
            layer_norm_row(&x[row * width..][..width], norm, unsafe { out.cells(row, 0, width) });
        }
    });
}

/// Two to the power of `value * factor - offset` for every value, in place: returns their sum.
///
/// *Shape*: no value times the factor may exceed the offset by more than rounding.
///
/// # Safety
/// The CPU has the vector's instructions.
#[inline(always)]
pub(crate) unsafe fn powers<V: Vector>(row: &mut [f32], factor: f32, offset: f32) -> f32 {
    // SAFETY: passed on from the caller.
    unsafe {
        let (factor, offset) = (V::splat(factor), V::splat(-offset));
        let mut sum = V::splat(0.0);
        let whole = row.len() / V::LANES * V::LANES;
        let (vectors, rest) = row.split_at_mut(whole);
        map_in_place!(V, vectors, |value| {
            let power = exp2(value.mul_add(factor, offset), true);
            sum = sum.add(power);
            power
        });
        map_in_place!(V, &mut *rest, |value| exp2(value.mul_add(factor, offset), true));
        sum.sum() + rest.iter().sum::<f32>()
    }
}

/// `out += weight * values`.
///
/// # Safety
/// The CPU has the vector's instructions.
#[inline(always)]
pub(crate) unsafe fn add_weighted<V: Vector>(weight: f32, values: &[f32], out: &mut [f32]) {
    let whole = values.len().min(out.len()) / V::LANES * V::LANES;
    for index in (0..whole).step_by(V::LANES) {
        // SAFETY: a whole vector lies within both.
        unsafe {
            let at = out.as_mut_ptr().add(index);
            V::splat(weight).mul_add(V::load(values.as_ptr().add(index)), V::load(at)).store(at);
        }
    }
    for (out, value) in out[whole..].iter_mut().zip(&values[whole..]) {
        *out += weight * value;
    }
}

/// The sum of products.
///
/// # Safety
/// The CPU has the vector's instructions.
#[inline(always)]
pub(crate) unsafe fn dot<V: Vector>(a: &[f32], b: &[f32]) -> f32 {
    let whole = a.len().min(b.len()) / V::LANES * V::LANES;
    // SAFETY: whole vectors lie within both.
    unsafe {
        let mut sum = V::splat(0.0);
        for index in (0..whole).step_by(V::LANES) {
            sum = V::load(a.as_ptr().add(index)).mul_add(V::load(b.as_ptr().add(index)), sum);
        }
        sum.sum() + a[whole..].iter().zip(&b[whole..]).map(|(a, b)| a * b).sum::<f32>()
    }
}

/// Multiplies every value.
///
/// # Safety
/// The CPU has the vector's instructions.
#[inline(always)]
pub(crate) unsafe fn scale<V: Vector>(values: &mut [f32], factor: f32) {
    // SAFETY: passed on from the caller.
    unsafe { map_in_place!(V, values, |value| value.mul(V::splat(factor))) }
}

per_level! {
    /// Gaussian error linear unit of every value, in place.
    pub fn gelu(values: &mut [f32]) {
        // SAFETY: passed on from the caller.
        unsafe { map_in_place!(V, values, |value| gelu_vector(value, true)) }
    }
}

per_level! {
    /// Softmax of every row, in place.
    ///
    /// *Shape*: `[rows, width]`.
    pub fn softmax(values: &mut [f32], width: usize) {
        let factor = std::f32::consts::LOG2_E;
        for row in values.chunks_exact_mut(width) {
            // SAFETY: passed on from the caller.
            unsafe {
                let most = largest::<V>(row) * factor;
                let total = powers::<V>(row, factor, most);
                scale::<V>(row, 1.0 / total);
            }
        }
    }
}

/// Values of which the largest is found before it is looked for where it is: they stay in the first-level cache.
const BLOCK: usize = 1024;

per_level! {
    /// The largest value, and where it is first: minus infinity and 0 where there is none. What is not a number is not seen.
    pub fn argmax(values: &[f32]) -> (usize, f32) {
        let (mut most, mut from) = (f32::NEG_INFINITY, None);
        for (block, values) in values.chunks(BLOCK).enumerate() {
            // SAFETY: passed on from the caller.
            let of_block = unsafe { largest::<V>(values) };
            if of_block > most {
                (most, from) = (of_block, Some(block * BLOCK));
            }
        }
        let at = |from: usize| values[from..].iter().position(|value| *value == most).map(|at| from + at);
        (from.and_then(at).unwrap_or_default(), most)
    }
}

per_level! {
    /// The natural logarithm of the sum of exponentials; minus infinity where there is none. Not a number if a value is none.
    pub fn log_sum_exp(values: &[f32]) -> f32 {
        // SAFETY: passed on from the caller.
        unsafe {
            let largest = largest::<V>(values);
            if !largest.is_finite() {
                return largest;
            }
            let (most, factor) = (V::splat(largest), V::splat(std::f32::consts::LOG2_E));
            let sum = fold!(
                V,
                values,
                f32::NEG_INFINITY,
                0.0,
                |sum, value| sum.add(exp2(value.sub(most).mul(factor), true)),
                |a, b| a.add(b)
            );
            largest + sum.sum().ln()
        }
    }
}

per_level! {
    /// [`gelu`], less precisely.
    #[cfg(test)]
    fn gelu_roughly(values: &mut [f32]) {
        // SAFETY: passed on from the caller.
        unsafe { map_in_place!(V, values, |value| gelu_vector(value, false)) }
    }
}

per_level! {
    /// Two to the power of every value, in place.
    #[cfg(test)]
    fn exp2_all(values: &mut [f32], precise: bool) {
        // SAFETY: passed on from the caller.
        unsafe { map_in_place!(V, values, |value| exp2(value, precise)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_are_near_the_libraries() {
        for step in (-12_600..12_700).step_by(if cfg!(miri) { 997 } else { 1 }) {
            let x = step as f32 / 100.0 + 0.001_3;
            let theirs = f64::from(x).exp2() as f32;
            for (precise, tolerance) in [(true, 3.5e-7), (false, 1e-4)] {
                let mut ours = [x];
                exp2_all(&mut ours, precise);
                assert!((ours[0] - theirs).abs() <= theirs * tolerance, "{x}, {precise}: {ours:?} {theirs}");
            }
        }
        let mut odd = [f32::NEG_INFINITY, f32::NAN];
        exp2_all(&mut odd, true);
        assert!(odd[0] < 1e-37 && odd[1].is_nan());
    }

    #[test]
    fn gelu_is_the_exact_one() {
        // Values of scipy.stats.norm.cdf(x) * x.
        let exact = [
            (-20.0, 0.0),
            (-4.0, -0.000_126_685),
            (-3.0, -0.004_049_7),
            (-1.0, -0.158_655_25),
            (0.0, 0.0),
            (0.5, 0.345_731_23),
            (2.0, 1.954_499_7),
            (20.0, 20.0),
        ];
        for (x, expected) in exact {
            let mut values = [x];
            gelu(&mut values);
            assert!((values[0] - expected).abs() < 4e-6 * x.abs().max(1.0), "{x}: {values:?}");
            let mut roughly = [x];
            gelu_roughly(&mut roughly);
            assert!((roughly[0] - expected).abs() < 2e-4 * x.abs().max(1.0), "{x}: {roughly:?}");
        }
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
    fn the_largest_is_found_wherever_it_is() {
        assert_eq!(argmax(&[]), (0, f32::NEG_INFINITY));
        assert_eq!(argmax(&[f32::NEG_INFINITY; 3]), (0, f32::NEG_INFINITY));
        assert_eq!(argmax(&[f32::NAN, -1.0, f32::NAN]), (1, -1.0));
        for length in [1, 16, 17, 1023, 1024, 1025, 5000] {
            let mut values: Vec<f32> = (0..length).map(|index| -((index % 7) as f32)).collect();
            for at in [0, length / 2, length - 1] {
                let before = std::mem::replace(&mut values[at], 0.5);
                assert_eq!(argmax(&values), (at, 0.5), "{length}");
                values[at] = before;
            }
            // The first of several.
            assert_eq!(argmax(&values), (0, 0.0));
        }
    }

    #[test]
    fn log_sum_exp_is_near_the_definition() {
        assert_eq!(log_sum_exp(&[]), f32::NEG_INFINITY);
        assert_eq!(log_sum_exp(&[f32::NEG_INFINITY; 20]), f32::NEG_INFINITY);
        assert!(log_sum_exp(&[1.0, f32::NAN]).is_nan());
        for length in [1_usize, 5, 33, 1501, if cfg!(miri) { 2000 } else { 51_865 }] {
            let mut values: Vec<f32> = (0..length).map(|index| (index * 7919 % 401) as f32 / 10.0 - 25.0).collect();
            values[length / 3] = f32::NEG_INFINITY;
            values[length - 1] = 30.5;
            let exact = values.iter().map(|value| f64::from(*value).exp()).sum::<f64>().ln() as f32;
            let ours = log_sum_exp(&values);
            assert!((ours - exact).abs() < 2e-5, "{length}: {ours}, not {exact}");
        }
    }

    #[test]
    fn layer_norm_has_mean_and_variance() {
        for width in [3, 16, 50] {
            let x: Vec<f32> = (0..width).map(|index| (index * index % 11) as f32).collect();
            let mut out = vec![0.0; width];
            layer_norm(
                &crate::matrix::tests::pool(),
                &x,
                Norm { scale: &vec![1.0; width], shift: &vec![2.0; width] },
                &mut out,
            );
            let mean = out.iter().sum::<f32>() / width as f32;
            assert!((mean - 2.0).abs() < 1e-5);
            let variance = out.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / width as f32;
            assert!((variance - 1.0).abs() < 1e-3);
        }
    }
}
