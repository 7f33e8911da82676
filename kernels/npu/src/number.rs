//! The number formats of the array: bfloat16, bfp16 and scaled 8-bit integers. Rounding is to nearest, ties to even.

/// Values that share an exponent in bfp16.
pub const BLOCK: usize = 8;
/// Bytes of a bfp16 block: the exponent, then a signed mantissa for each value.
pub const BLOCK_BYTES: usize = 9;

/// Adding and subtracting 1.5 * 2^23 rounds to a whole number, ties to even.
const ROUND: f32 = 12_582_912.0;
/// Blocks below this biased exponent are zero: their step would be no normal number.
const LEAST_EXPONENT: u32 = 8;

/// How matrix operands are held in the multipliers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Eight values share an exponent and have eight bits each.
    #[default]
    Bfp16,
    /// Eight-bit integers: activations with a scale for each row and slice of the inner dimension, weights with one for each column.
    Int8,
}

impl Format {
    /// The format's name, as manifests and settings spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bfp16 => "bfp16",
            Self::Int8 => "int8",
        }
    }

    /// Rounds a row of an operand to what the multipliers hold; `slice` values of it share a scale in int8.
    ///
    /// *Shape*: `row` is whole blocks and whole slices.
    pub fn round(self, row: &mut [f32], slice: usize) {
        match self {
            Self::Bfp16 => row.as_chunks_mut::<BLOCK>().0.iter_mut().for_each(round_block),
            Self::Int8 => row.chunks_exact_mut(slice).for_each(round_slice),
        }
    }
}

/// The nearest bfloat16, as its bits.
#[inline(always)]
pub fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    // Rounding must not turn a NaN into an infinity.
    (if value.is_nan() { (bits >> 16) | 0x40 } else { rounded }) as u16
}

/// What the bits of a bfloat16 are worth.
#[inline(always)]
pub fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Biased exponent of a block and the reciprocal of its step, or `None` for a block of zeros.
#[inline(always)]
fn block_scale(block: &[f32; BLOCK]) -> Option<(u32, f32)> {
    let largest = block.iter().fold(0, |largest, value| largest.max(value.to_bits() & 0x7fff_ffff));
    let mut exponent = largest >> 23;
    if exponent < LEAST_EXPONENT {
        return None;
    }
    // A mantissa of 128 does not fit. -128 would, but as a value it asks for the next exponent: rounding twice must be rounding once.
    let inverse = |exponent: u32| f32::from_bits((254 + 6 - exponent.min(254)) << 23);
    let overflows = f32::from_bits(largest) * inverse(exponent) >= 127.5;
    exponent += u32::from(overflows);
    Some((exponent, inverse(exponent)))
}

/// Rounds eight values to bfp16, in place.
#[inline(always)]
pub fn round_block(block: &mut [f32; BLOCK]) {
    match block_scale(block) {
        None => *block = [0.0; BLOCK],
        Some((exponent, _)) if exponent >= 255 => *block = [f32::NAN; BLOCK],
        Some((exponent, inverse)) => {
            let step = f32::from_bits((exponent - 6) << 23);
            for value in block {
                *value = ((*value * inverse + ROUND) - ROUND) * step;
            }
        }
    }
}

/// Eight values as a bfp16 block.
pub fn encode_block(block: &[f32; BLOCK]) -> [u8; BLOCK_BYTES] {
    let mut bytes = [0; BLOCK_BYTES];
    if let Some((exponent, inverse)) = block_scale(block) {
        bytes[0] = exponent.min(255) as u8;
        for (byte, value) in bytes[1..].iter_mut().zip(block) {
            *byte = (value * inverse).round_ties_even() as i8 as u8;
        }
    }
    bytes
}

/// What a bfp16 block is worth.
pub fn decode_block(bytes: &[u8; BLOCK_BYTES]) -> [f32; BLOCK] {
    match u32::from(bytes[0]) {
        0..LEAST_EXPONENT => [0.0; BLOCK],
        255 => [f32::NAN; BLOCK],
        exponent => {
            let step = f32::from_bits((exponent - 6) << 23);
            std::array::from_fn(|index| f32::from(bytes[1 + index] as i8) * step)
        }
    }
}

/// The scale that maps the largest magnitude to 127.
#[inline(always)]
pub fn int8_scale(values: &[f32]) -> f32 {
    let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    if largest > 0.0 { largest / 127.0 } else { 1.0 }
}

/// The whole number that stands for a value.
#[inline(always)]
pub fn int8_value(value: f32, inverse_scale: f32) -> f32 {
    ((value * inverse_scale + ROUND) - ROUND).clamp(-127.0, 127.0)
}

fn round_slice(slice: &mut [f32]) {
    let scale = int8_scale(slice);
    let inverse = 1.0 / scale;
    for value in slice {
        *value = int8_value(*value, inverse) * scale;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bfloat16_ties_go_to_even() {
        assert_eq!(from_bf16(to_bf16(1.0 + 1.0 / 256.0)), 1.0);
        assert_eq!(from_bf16(to_bf16(1.0 + 3.0 / 256.0)), 1.0 + 4.0 / 256.0);
        assert!(from_bf16(to_bf16(f32::NAN)).is_nan());
        assert_eq!(from_bf16(to_bf16(f32::INFINITY)), f32::INFINITY);
    }

    #[test]
    fn a_block_carries_when_its_largest_rounds_up() {
        let mut block = [0.0; 8];
        // 255.6 / 256 of a power of two: 127.8 steps, which is 128 and does not fit.
        block[0] = 1.998;
        block[1] = 1.0 / 64.0;
        assert_eq!(encode_block(&block)[0], 128);
        round_block(&mut block);
        assert_eq!(block[0], 2.0);
        // Half a step of the larger exponent: a tie, which goes to even.
        assert_eq!(block[1], 0.0);
    }

    #[test]
    fn rounding_twice_is_rounding_once_at_the_lower_end() {
        // -127.7 and -47.25 steps: were -128 kept, a second rounding would double the step and move -47.
        let mut block = [0.0, 0.0, 0.0, 0.0, -523_065.9, 0.0, 0.0, -193_536.47];
        round_block(&mut block);
        assert_eq!(block, [0.0, 0.0, 0.0, 0.0, -524_288.0, 0.0, 0.0, -196_608.0]);
        let once = block;
        round_block(&mut block);
        assert_eq!(block, once);
    }

    #[test]
    fn a_damaged_block_stays_damaged() {
        let mut block = [1.0, f32::INFINITY, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert!(decode_block(&encode_block(&block)).iter().all(|value| value.is_nan()));
        round_block(&mut block);
        assert!(block.iter().all(|value| value.is_nan()));
    }

    proptest! {
        #[test]
        fn rounding_is_encoding_and_decoding(values in prop::array::uniform8(-1e6_f32..1e6), shift in -60_i32..60) {
            let block = values.map(|value| value * 2.0_f32.powi(shift));
            let mut rounded = block;
            round_block(&mut rounded);
            prop_assert_eq!(decode_block(&encode_block(&block)), rounded);
            let largest = block.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            for (value, rounded) in block.iter().zip(&rounded) {
                prop_assert!((value - rounded).abs() <= largest / 64.0);
            }
            let mut again = rounded;
            round_block(&mut again);
            prop_assert_eq!(again, rounded);
        }

        #[test]
        fn int8_errs_by_half_a_step(values in prop::collection::vec(-100.0_f32..100.0, 32)) {
            let mut rounded = values.clone();
            Format::Int8.round(&mut rounded, 32);
            let step = int8_scale(&values);
            for (value, rounded) in values.iter().zip(&rounded) {
                prop_assert!((value - rounded).abs() <= step * 0.5001);
            }
        }
    }
}
