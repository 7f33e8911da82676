//! Writes whisper.cpp's model files.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use amanuensis_mel::filter_bank;
use amanuensis_whisper::Dtype;

use crate::{Recipe, dequantise, quantise};

/// The number type of a file's matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberType {
    /// As whisper.cpp stores a file of this type.
    Of(Dtype),
    /// 32-bit floats of the values that a file of this type would hold.
    FloatsLike(Dtype),
}

/// Writes a model as a ggml `.bin` file: matrices of the type asked for, convolutions in 16-bit floats where that is a
/// quantised one, everything else in 32-bit floats.
///
/// # Errors
/// What the system says.
pub fn write_ggml(path: &Path, recipe: &Recipe, number_type: NumberType) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let dims = &recipe.dims;
    let file_type = match number_type {
        NumberType::FloatsLike(_) => 0,
        NumberType::Of(dtype) => match dtype {
            Dtype::F32 => 0,
            Dtype::F16 => 1,
            Dtype::Q4_0 => 2002,
            Dtype::Q4_1 => 2003,
            Dtype::Q8_0 => 2007,
            Dtype::Q5_0 => 2008,
            Dtype::Q5_1 => 2009,
            Dtype::Bf16 => 24,
        },
    };
    let mut numbers = vec![
        0x6767_6d6c,
        dims.n_vocab,
        dims.n_audio_ctx,
        dims.n_audio_state,
        dims.n_audio_head,
        dims.n_audio_layer,
        dims.n_text_ctx,
        dims.n_text_state,
        dims.n_text_head,
        dims.n_text_layer,
        dims.n_mels,
        file_type,
        dims.n_mels,
        201,
    ];
    write_numbers(&mut out, &numbers)?;
    out.write_all(&quantise(Dtype::F32, &filter_bank(dims.n_mels)))?;
    let vocabulary = recipe.vocabulary();
    write_numbers(&mut out, &[vocabulary.len()])?;
    for token in vocabulary {
        write_numbers(&mut out, &[token.len()])?;
        out.write_all(&token)?;
    }
    for (name, mut shape, values) in recipe.tensors() {
        let dtype = match number_type {
            NumberType::Of(dtype) | NumberType::FloatsLike(dtype) => stored_as(dtype, &name, &shape),
        };
        let mut bytes = quantise(dtype, &values);
        let stored = match number_type {
            NumberType::Of(_) => dtype,
            NumberType::FloatsLike(_) => {
                bytes = quantise(Dtype::F32, &dequantise(dtype, &bytes));
                Dtype::F32
            }
        };
        if name.ends_with("conv1.bias") || name.ends_with("conv2.bias") {
            shape.push(1);
        }
        numbers = vec![shape.len(), name.len(), code(stored)];
        numbers.extend(shape.iter().rev());
        write_numbers(&mut out, &numbers)?;
        out.write_all(name.as_bytes())?;
        out.write_all(&bytes)?;
    }
    out.flush()
}

fn write_numbers(out: &mut impl Write, numbers: &[usize]) -> io::Result<()> {
    numbers.iter().try_for_each(|number| out.write_all(&(*number as u32).to_le_bytes()))
}

fn stored_as(dtype: Dtype, name: &str, shape: &[usize]) -> Dtype {
    let quantised = !matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::Bf16);
    match shape.len() {
        1 => Dtype::F32,
        _ if name.ends_with("positional_embedding") => Dtype::F32,
        3 if quantised => Dtype::F16,
        _ => dtype,
    }
}

fn code(dtype: Dtype) -> usize {
    match dtype {
        Dtype::F32 => 0,
        Dtype::F16 => 1,
        Dtype::Q4_0 => 2,
        Dtype::Q4_1 => 3,
        Dtype::Q5_0 => 6,
        Dtype::Q5_1 => 7,
        Dtype::Q8_0 => 8,
        Dtype::Bf16 => 30,
    }
}
