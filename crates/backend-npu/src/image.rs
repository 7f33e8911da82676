//! The weights in one piece, as the layer program places them: it begins on a page, and the device reads it where it lies.

use std::ops::{Deref, DerefMut};

use amanuensis_npu_kernels::number::to_bf16;
use amanuensis_npu_kernels::program::{Part, Piece, Program};
use amanuensis_pool::PAGE_BYTES;
use amanuensis_whisper::{WeightError, Weights};

/// Bytes that begin on a page.
#[derive(Debug)]
pub struct Pages {
    memory: Vec<u8>,
    offset: usize,
    bytes: usize,
}

impl Pages {
    /// Zeros.
    pub(crate) fn new(bytes: usize) -> Self {
        let memory = vec![0; bytes + PAGE_BYTES];
        let offset = memory.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES);
        Self { memory, offset, bytes }
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.offset..self.offset + self.bytes]
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.offset..self.offset + self.bytes]
    }
}

/// Packs a model's encoder.
///
/// # Errors
/// [`WeightError`]: a tensor is not there.
pub(crate) fn build(weights: &Weights, program: &Program) -> Result<Pages, WeightError> {
    let mut image = Pages::new(program.weight_bytes());
    for part in program.parts() {
        let (start, bytes) = program.part(part);
        let out = &mut image[start..start + bytes];
        let prefix = match part {
            Part::Head | Part::Tail => "encoder.".to_owned(),
            Part::Layer(index) => format!("encoder.blocks.{index}."),
        };
        for piece in program.pieces(part) {
            place(weights, &prefix, piece, out)?;
        }
    }
    Ok(image)
}

fn place(weights: &Weights, prefix: &str, piece: &Piece, out: &mut [u8]) -> Result<(), WeightError> {
    let values = |name: &str| Ok::<_, WeightError>(weights.tensor(&format!("{prefix}{name}"))?.to_f32());
    match *piece {
        Piece::Norm { name, at } => {
            let both = [values(&format!("{name}.weight"))?, values(&format!("{name}.bias"))?].concat();
            put_f32(&both, &mut out[at..]);
        }
        Piece::Positions { at } => {
            let positions = values("positional_embedding")?;
            for (bytes, value) in out[at..].as_chunks_mut::<2>().0.iter_mut().zip(&positions) {
                *bytes = to_bf16(*value).to_le_bytes();
            }
        }
        Piece::Linear { names, layout, weights: at, bias } => {
            let tensors = names
                .iter()
                .map(|name| weights.tensor(&format!("{prefix}{name}.weight")))
                .collect::<Result<Vec<_>, _>>()?;
            let rows = layout.n / names.len();
            // A convolution is `[out, in, 3]`; its input lies in rows of channels, one tap after the other.
            let taps = if tensors[0].shape.len() == 3 { tensors[0].shape[2] } else { 1 };
            let channels = layout.k / taps;
            let mut row_values = vec![0.0; layout.k];
            let row = |row: usize, out: &mut [f32]| {
                let tensor = &tensors[row / rows];
                if taps == 1 {
                    tensor.row_to_f32(row % rows, out);
                    return;
                }
                tensor.row_to_f32(row, &mut row_values);
                for (index, out) in out.iter_mut().enumerate() {
                    *out = row_values[index % channels * taps + index / channels];
                }
            };
            layout.pack(row, &mut out[at..at + layout.bytes()]);
            for (index, name) in names.iter().enumerate() {
                // Keys have no bias.
                if !name.ends_with(".key") {
                    put_f32(&values(&format!("{name}.bias"))?, &mut out[bias + index * rows * 4..]);
                }
            }
        }
    }
    Ok(())
}

fn put_f32(values: &[f32], out: &mut [u8]) {
    for (bytes, value) in out.as_chunks_mut::<4>().0.iter_mut().zip(values) {
        *bytes = value.to_le_bytes();
    }
}
