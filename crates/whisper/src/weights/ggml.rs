//! whisper.cpp's model files.
//!
//! *Source*: <https://github.com/ggml-org/whisper.cpp/blob/v1.8.2/models/convert-pt-to-ggml.py>

use std::collections::HashMap;
use std::path::Path;

use super::{Dtype, Parts, Place, WeightError, map, plausible};
use crate::{Dims, Tokenizer};

const MAGIC: u32 = 0x6767_6d6c;
/// Longest token of any vocabulary is 128 bytes; this leaves room.
const LONGEST_TOKEN: usize = 1024;
/// Longest name of a tensor is below 64 bytes.
const LONGEST_NAME: usize = 256;
/// Published models have at most 1259 tensors.
const MOST_TENSORS: usize = 8192;

pub(super) fn open(path: &Path) -> Result<Parts, WeightError> {
    let file = map(path)?;
    let mut reader = Reader { path, bytes: &file, at: 0 };
    if reader.u32().ok() != Some(MAGIC) {
        return Err(WeightError::NotAModel {
            path: path.to_owned(),
            reason: "it does not begin as a ggml file".into(),
        });
    }
    let dims = Dims {
        n_vocab: reader.count()?,
        n_audio_ctx: reader.count()?,
        n_audio_state: reader.count()?,
        n_audio_head: reader.count()?,
        n_audio_layer: reader.count()?,
        n_text_ctx: reader.count()?,
        n_text_state: reader.count()?,
        n_text_head: reader.count()?,
        n_text_layer: reader.count()?,
        n_mels: reader.count()?,
    };
    let _number_type = reader.u32()?;
    plausible(&dims).map_err(|reason| WeightError::NotAModel { path: path.to_owned(), reason })?;

    // The mel filters are stored too; ours are computed, and equal them.
    let (bins, frequencies) = (reader.count()?, reader.count()?);
    if bins != dims.n_mels || frequencies != 201 {
        return Err(reader.damaged(format!("its mel filters are {bins} x {frequencies}")));
    }
    reader.take(bins * frequencies * 4)?;

    let n_tokens = reader.count()?;
    if n_tokens > dims.n_vocab {
        return Err(reader.damaged(format!("it lists {n_tokens} tokens of {}", dims.n_vocab)));
    }
    let mut tokens = Vec::with_capacity(n_tokens);
    for _ in 0..n_tokens {
        let length = reader.count()?;
        if length > LONGEST_TOKEN {
            return Err(reader.damaged(format!("a token of {length} bytes")));
        }
        tokens.push(reader.take(length)?.to_vec());
    }
    let tokenizer = Tokenizer::new(tokens, dims.n_vocab).map_err(|reason| reader.damaged(reason.to_string()))?;

    let mut places = HashMap::new();
    while reader.at < file.len() {
        if places.len() >= MOST_TENSORS {
            return Err(reader.damaged("it has more tensors than any Whisper".into()));
        }
        let (name, place) = reader.tensor()?;
        places.insert(name, place);
    }
    Ok(Parts { dims, tokenizer, places, files: vec![file] })
}

struct Reader<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn damaged(&self, reason: String) -> WeightError {
        WeightError::Damaged { path: self.path.to_owned(), reason }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], WeightError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(self.damaged(format!("it ends after {} bytes, in the middle of its content", self.bytes.len())));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, WeightError> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A number that is never negative, though stored signed.
    fn count(&mut self) -> Result<usize, WeightError> {
        let value = self.u32()?;
        if value > i32::MAX as u32 {
            return Err(self.damaged(format!("a count of {}", value as i32)));
        }
        Ok(value as usize)
    }

    fn tensor(&mut self) -> Result<(String, Place), WeightError> {
        let (n_dims, name_length, kind) = (self.count()?, self.count()?, self.u32()?);
        if !(1..=4).contains(&n_dims) || name_length > LONGEST_NAME {
            return Err(self.damaged(format!("a tensor of {n_dims} dimensions with a name of {name_length} bytes")));
        }
        // The innermost dimension is stored first.
        let mut shape = Vec::with_capacity(n_dims);
        for _ in 0..n_dims {
            shape.insert(0, self.count()?);
        }
        let name = String::from_utf8_lossy(self.take(name_length)?).into_owned();
        let dtype = match kind {
            0 => Dtype::F32,
            1 => Dtype::F16,
            2 => Dtype::Q4_0,
            3 => Dtype::Q4_1,
            6 => Dtype::Q5_0,
            7 => Dtype::Q5_1,
            8 => Dtype::Q8_0,
            30 => Dtype::Bf16,
            other => {
                return Err(WeightError::NotAModel {
                    path: self.path.to_owned(),
                    reason: format!(
                        "its tensor {name} has the number type {other}; f32, f16, bf16, q8_0, q5_1, q5_0, q4_1 and q4_0 are supported"
                    ),
                });
            }
        };
        let values = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
        let row: usize = *shape.last().unwrap_or(&0);
        let bytes = values.filter(|_| dtype.bytes(row).is_some()).and_then(|values| dtype.bytes(values));
        let Some(bytes) = bytes else {
            return Err(self.damaged(format!("its tensor {name} has the shape {shape:?}")));
        };
        // Biases of convolutions are stored as [width, 1].
        if shape.len() == 2 && shape[1] == 1 {
            shape.pop();
        }
        let start = self.at;
        self.take(bytes)?;
        Ok((name, Place { file: 0, start, bytes, dtype, shape }))
    }
}
