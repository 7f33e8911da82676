//! A tensor as it lies in a file, and how its numbers are read.

use half::{bf16, f16};

/// Values that share a scale in the quantised types.
const BLOCK: usize = 32;

/// How a tensor's numbers are stored.
///
/// *Source*: <https://github.com/ggml-org/ggml/blob/v0.9.4/src/ggml-common.h>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// bfloat16.
    Bf16,
    /// Blocks of 32 4-bit integers with a scale.
    Q4_0,
    /// Blocks of 32 4-bit integers with a scale and a least value.
    Q4_1,
    /// Blocks of 32 5-bit integers with a scale.
    Q5_0,
    /// Blocks of 32 5-bit integers with a scale and a least value.
    Q5_1,
    /// Blocks of 32 8-bit integers with a scale.
    Q8_0,
}

impl Dtype {
    /// Values of a block and its bytes.
    fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q4_0 => (BLOCK, 2 + BLOCK / 2),
            Self::Q4_1 => (BLOCK, 4 + BLOCK / 2),
            Self::Q5_0 => (BLOCK, 2 + 4 + BLOCK / 2),
            Self::Q5_1 => (BLOCK, 4 + 4 + BLOCK / 2),
            Self::Q8_0 => (BLOCK, 2 + BLOCK),
        }
    }

    /// Bytes of `values` values in rows of whole blocks; `None` if they are not whole blocks, or too many.
    pub(crate) fn bytes(self, values: usize) -> Option<usize> {
        let (block, bytes) = self.block();
        if !values.is_multiple_of(block) {
            return None;
        }
        (values / block).checked_mul(bytes)
    }
}

/// A tensor of a weight file.
///
/// *Shape*: outermost dimension first; a linear layer is `[out, in]`, a convolution `[out, in, 3]`.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    /// How the numbers are stored.
    pub dtype: Dtype,
    /// Dimensions, outermost first.
    pub shape: &'a [usize],
    /// The stored numbers.
    pub bytes: &'a [u8],
}

impl Tensor<'_> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values of one row: all but the outermost dimension.
    pub fn row_len(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Reads one row.
    ///
    /// *Panics*: if `row` is none of the tensor's, or `out` is not [`row_len`](Self::row_len) long.
    pub fn row_to_f32(&self, row: usize, out: &mut [f32]) {
        assert_eq!(out.len(), self.row_len(), "a row's buffer has the row's length");
        let bytes = self.dtype.bytes(out.len()).expect("BUG: a tensor's rows were checked to be whole blocks");
        decode(self.dtype, &self.bytes[row * bytes..(row + 1) * bytes], out);
    }

    /// Reads all values.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.len()];
        decode(self.dtype, self.bytes, &mut out);
        out
    }
}

fn decode(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        Dtype::F32 => each(bytes, out, |bytes: &[u8; 4]| f32::from_le_bytes(*bytes)),
        Dtype::F16 => each(bytes, out, |bytes: &[u8; 2]| f16::from_le_bytes(*bytes).to_f32()),
        Dtype::Bf16 => each(bytes, out, |bytes: &[u8; 2]| bf16::from_le_bytes(*bytes).to_f32()),
        Dtype::Q4_0 => blocks(bytes, out, |block: &[u8; 18], out| {
            let scale = scale(block, 0);
            nibbles(&block[2..], out, |low, _| f32::from(low as i8 - 8) * scale);
        }),
        Dtype::Q4_1 => blocks(bytes, out, |block: &[u8; 20], out| {
            let (scale, least) = (scale(block, 0), self::scale(block, 2));
            nibbles(&block[4..], out, |low, _| f32::from(low) * scale + least);
        }),
        Dtype::Q5_0 => blocks(bytes, out, |block: &[u8; 22], out| {
            let (scale, high) = (scale(block, 0), fifth_bits(block, 2));
            nibbles(&block[6..], out, |low, index| f32::from((low | fifth(high, index)) as i8 - 16) * scale);
        }),
        Dtype::Q5_1 => blocks(bytes, out, |block: &[u8; 24], out| {
            let (scale, least, high) = (scale(block, 0), self::scale(block, 2), fifth_bits(block, 4));
            nibbles(&block[8..], out, |low, index| f32::from(low | fifth(high, index)) * scale + least);
        }),
        Dtype::Q8_0 => blocks(bytes, out, |block: &[u8; 34], out| {
            let scale = scale(block, 0);
            for (out, value) in out.iter_mut().zip(&block[2..]) {
                *out = f32::from(*value as i8) * scale;
            }
        }),
    }
}

fn each<const N: usize>(bytes: &[u8], out: &mut [f32], value: impl Fn(&[u8; N]) -> f32) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *out = value(bytes);
    }
}

fn blocks<const N: usize>(bytes: &[u8], out: &mut [f32], decode: impl Fn(&[u8; N], &mut [f32; BLOCK])) {
    for (out, block) in out.as_chunks_mut::<BLOCK>().0.iter_mut().zip(bytes.as_chunks::<N>().0) {
        decode(block, out);
    }
}

/// The first sixteen values are the low halves of the bytes, the other sixteen the high halves.
fn nibbles(bytes: &[u8], out: &mut [f32; BLOCK], value: impl Fn(u8, usize) -> f32) {
    for (index, byte) in bytes.iter().enumerate() {
        out[index] = value(byte & 0xf, index);
        out[index + BLOCK / 2] = value(byte >> 4, index + BLOCK / 2);
    }
}

fn scale(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn fifth_bits(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

fn fifth(bits: u32, index: usize) -> u8 {
    (((bits >> index) & 1) as u8) << 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantised_blocks_mean_what_ggml_says() {
        let half = f16::from_f32(0.5).to_le_bytes();
        let one = f16::from_f32(1.0).to_le_bytes();
        let mut out = [0.0; 32];

        let mut q4_0 = [0x80_u8; 18];
        q4_0[..2].copy_from_slice(&half);
        decode(Dtype::Q4_0, &q4_0, &mut out);
        assert_eq!((out[0], out[16]), (-4.0, 0.0));

        let mut q4_1 = [0xf1_u8; 20];
        q4_1[..2].copy_from_slice(&half);
        q4_1[2..4].copy_from_slice(&one);
        decode(Dtype::Q4_1, &q4_1, &mut out);
        assert_eq!((out[0], out[31]), (1.5, 8.5));

        let mut q5_0 = [0_u8; 22];
        q5_0[..2].copy_from_slice(&half);
        q5_0[2..6].copy_from_slice(&(1_u32 << 31 | 1).to_le_bytes());
        decode(Dtype::Q5_0, &q5_0, &mut out);
        assert_eq!((out[0], out[1], out[31]), (0.0, -8.0, 0.0));

        let mut q5_1 = [0_u8; 24];
        q5_1[..2].copy_from_slice(&half);
        q5_1[2..4].copy_from_slice(&one);
        q5_1[4..8].copy_from_slice(&2_u32.to_le_bytes());
        decode(Dtype::Q5_1, &q5_1, &mut out);
        assert_eq!((out[0], out[1]), (1.0, 9.0));

        let mut q8_0 = [0x81_u8; 34];
        q8_0[..2].copy_from_slice(&half);
        decode(Dtype::Q8_0, &q8_0, &mut out);
        assert!(out.iter().all(|value| *value == -63.5));
    }

    #[test]
    fn rows_are_whole_blocks() {
        assert_eq!(Dtype::Q8_0.bytes(64), Some(68));
        assert_eq!(Dtype::Q8_0.bytes(33), None);
        assert_eq!(Dtype::F32.bytes(usize::MAX), None);
    }
}
