//! Weights of a linear layer as the compute tiles read them.
//!
//! *Layout*: tiles of `k x n`, those of one column of tiles after the other; in a tile blocks of 8 x 8, those of one block column
//! after the other. A bfp16 block is eight output columns of 9 bytes, each eight values along `k`; an int8 block is `[8 k, 8 n]`.
//! Rows and columns are filled up with zeros. In int8 a scale (f32) for each output column follows.

use crate::design::{COLUMNS, Tile};
use crate::number::{self, BLOCK, BLOCK_BYTES, Format};

/// A packed linear layer: `n` outputs of `k` inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Number format.
    pub format: Format,
    /// The design's tile.
    pub tile: Tile,
    /// Outputs.
    pub n: usize,
    /// Inputs.
    pub k: usize,
}

impl Layout {
    /// Outputs with the filling.
    pub fn padded_n(&self) -> usize {
        self.n.next_multiple_of(COLUMNS * self.tile.n)
    }

    /// Inputs with the filling.
    pub fn padded_k(&self) -> usize {
        self.k.next_multiple_of(self.tile.k)
    }

    fn block_bytes(&self) -> usize {
        match self.format {
            Format::Bfp16 => BLOCK * BLOCK_BYTES,
            Format::Int8 => BLOCK * BLOCK,
        }
    }

    fn matrix_bytes(&self) -> usize {
        self.padded_n() / BLOCK * (self.padded_k() / BLOCK) * self.block_bytes()
    }

    /// Bytes of the packed layer.
    pub fn bytes(&self) -> usize {
        let scales = match self.format {
            Format::Bfp16 => 0,
            Format::Int8 => self.padded_n() * 4,
        };
        self.matrix_bytes() + scales
    }

    /// Where the scales begin in int8; the end in bfp16.
    pub fn scales_at(&self) -> usize {
        self.matrix_bytes()
    }

    /// Where the 8 x 8 block of these outputs and inputs begins.
    fn block_at(&self, n: usize, k: usize) -> usize {
        let Tile { k: tile_k, n: tile_n, .. } = self.tile;
        let tile = n / tile_n * (self.padded_k() / tile_k) + k / tile_k;
        let block = n % tile_n / BLOCK * (tile_k / BLOCK) + k % tile_k / BLOCK;
        (tile * (tile_n / BLOCK) * (tile_k / BLOCK) + block) * self.block_bytes()
    }

    /// Packs a layer: `row(i, out)` writes row `i` of `[n, k]`.
    ///
    /// *Panics*: if `out` is not [`bytes`](Self::bytes) long.
    pub fn pack(&self, mut row: impl FnMut(usize, &mut [f32]), out: &mut [u8]) {
        assert_eq!(out.len(), self.bytes(), "the buffer has the layer's length");
        out.fill(0);
        let mut values = vec![0.0; self.padded_k()];
        for n in 0..self.n {
            row(n, &mut values[..self.k]);
            let scale = number::int8_scale(&values);
            for (index, block) in values.as_chunks::<BLOCK>().0.iter().enumerate() {
                let bytes = &mut out[self.block_at(n, index * BLOCK)..][..self.block_bytes()];
                let column = n % BLOCK;
                match self.format {
                    Format::Bfp16 => {
                        bytes[column * BLOCK_BYTES..][..BLOCK_BYTES].copy_from_slice(&number::encode_block(block));
                    }
                    Format::Int8 => {
                        for (byte, value) in bytes[column..].iter_mut().step_by(BLOCK).zip(block) {
                            *byte = number::int8_value(*value, 1.0 / scale) as i8 as u8;
                        }
                    }
                }
            }
            if self.format == Format::Int8 {
                out[self.scales_at() + n * 4..][..4].copy_from_slice(&scale.to_le_bytes());
            }
        }
    }

    /// Reads one output's weights back.
    ///
    /// *Shape*: `out` is `[padded_k]`.
    ///
    /// *Panics*: if `packed` is shorter than [`bytes`](Self::bytes).
    pub fn unpack(&self, packed: &[u8], n: usize, out: &mut [f32]) {
        let column = n % BLOCK;
        let scale = match self.format {
            Format::Bfp16 => 1.0,
            Format::Int8 => {
                let bytes = &packed[self.scales_at() + n * 4..][..4];
                f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
            }
        };
        for (index, out) in out.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let bytes = &packed[self.block_at(n, index * BLOCK)..][..self.block_bytes()];
            match self.format {
                Format::Bfp16 => {
                    *out = number::decode_block(&bytes.as_chunks::<BLOCK_BYTES>().0[column]);
                }
                Format::Int8 => {
                    for (out, byte) in out.iter_mut().zip(bytes[column..].iter().step_by(BLOCK)) {
                        *out = f32::from(*byte as i8) * scale;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design::tile_for;

    #[test]
    fn what_is_packed_is_read_back_rounded() {
        for (format, n, k, width) in [(Format::Bfp16, 70, 33, 512), (Format::Int8, 384, 240, 384)] {
            let layout = Layout { format, tile: tile_for(width), n, k };
            let value = |n: usize, k: usize| ((n * 31 + k * 17) % 101) as f32 / 50.0 - 1.0;
            let mut packed = vec![0xee; layout.bytes()];
            layout.pack(|n, out| out.iter_mut().enumerate().for_each(|(k, out)| *out = value(n, k)), &mut packed);
            let mut row = vec![f32::NAN; layout.padded_k()];
            for output in [0, 7, 8, n - 1] {
                layout.unpack(&packed, output, &mut row);
                for (input, found) in row.iter().enumerate() {
                    let expected = if input < k { value(output, input) } else { 0.0 };
                    assert!((found - expected).abs() <= 1.0 / 64.0, "{format:?} [{output}, {input}]: {found}");
                }
            }
        }
    }
}
