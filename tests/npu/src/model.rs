//! Models with random weights, in whisper.cpp's format.

use std::io::Write;
use std::path::Path;

use amanuensis_whisper::Dims;
use amanuensis_whisper::weights::expected_tensors;
use anyhow::Context;
use half::f16;

/// Number type of 16-bit floats in the format.
const F16: u32 = 1;
/// Number type of 32-bit floats.
const F32: u32 = 0;

/// An encoder of this shape, with a decoder without layers.
pub fn dims(width: usize, heads: usize, layers: usize, positions: usize) -> Dims {
    Dims {
        n_mels: 80,
        n_audio_ctx: positions,
        n_audio_state: width,
        n_audio_head: heads,
        n_audio_layer: layers,
        n_vocab: 51_864,
        n_text_ctx: 448,
        n_text_state: width,
        n_text_head: heads,
        n_text_layer: 0,
    }
}

/// A small encoder: every kind of dispatch, little work.
pub fn small() -> Dims {
    dims(128, 2, 2, 96)
}

/// The encoder of base.en.
pub fn base() -> Dims {
    dims(512, 8, 6, 1500)
}

struct Numbers(u64);

impl Numbers {
    /// About normally distributed: the sum of four uniform numbers.
    fn next(&mut self) -> f32 {
        let mut sum = 0.0;
        for _ in 0..4 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum += (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0;
        }
        sum * 0.866
    }
}

/// Writes a model with weights from a seed.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, dims: &Dims, seed: u64) -> anyhow::Result<()> {
    let file = std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut file = std::io::BufWriter::with_capacity(1 << 20, file);
    let mut put = |value: usize| file.write_all(&(value as u32).to_le_bytes());
    put(0x6767_6d6c)?;
    for value in [
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
        1,
        dims.n_mels,
        201,
    ] {
        put(value)?;
    }
    file.write_all(&vec![0; dims.n_mels * 201 * 4])?;
    // English vocabularies have 50257 tokens of text; any distinct ones will do.
    file.write_all(&50_257_u32.to_le_bytes())?;
    for token in 0..50_257_u32 {
        // The first 256 are the bytes.
        let text = if token < 256 { vec![token as u8] } else { format!("t{token}").into_bytes() };
        file.write_all(&(text.len() as u32).to_le_bytes())?;
        file.write_all(&text)?;
    }
    let mut numbers = Numbers(seed);
    for (name, shape) in expected_tensors(dims) {
        let row: usize = shape[1..].iter().product();
        let matrix = shape.len() > 1 && !name.ends_with("positional_embedding");
        let kind = if matrix { F16 } else { F32 };
        for value in [shape.len(), name.len(), kind as usize] {
            file.write_all(&(value as u32).to_le_bytes())?;
        }
        for side in shape.iter().rev() {
            file.write_all(&(*side as u32).to_le_bytes())?;
        }
        file.write_all(name.as_bytes())?;
        let count: usize = shape.iter().product();
        if name == "decoder.token_embedding.weight" {
            // Nothing here decodes, and this is the largest tensor by far.
            file.write_all(&vec![0; count * 2])?;
            continue;
        }
        let norm = name.contains("_ln") || name.contains("ln_post") || name.contains("decoder.ln");
        for _ in 0..count {
            let value = match () {
                () if norm && name.ends_with("weight") => 1.0 + 0.2 * numbers.next(),
                () if matrix => 1.4 * numbers.next() / (row as f32).sqrt(),
                () => 0.1 * numbers.next(),
            };
            if matrix {
                file.write_all(&f16::from_f32(value).to_le_bytes())?;
            } else {
                file.write_all(&value.to_le_bytes())?;
            }
        }
    }
    file.flush().context("cannot write the model")
}

/// A spectrogram in the range of a real one: `[frames, n_mels]`.
pub fn spectrogram(frames: usize, n_mels: usize, seed: u64) -> Vec<f32> {
    let mut numbers = Numbers(seed);
    let value = |index: usize, noise: f32| {
        let (frame, bin) = ((index / n_mels) as f32, (index % n_mels) as f32);
        (0.5 * (frame * 0.11 + bin * 0.05).sin() + 0.3 * (bin * 0.19).cos() + 0.3 * noise).clamp(-1.0, 1.5)
    };
    (0..frames * n_mels).map(|index| value(index, numbers.next())).collect()
}
