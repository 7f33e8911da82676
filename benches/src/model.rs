//! Models of Whisper's shapes with random weights.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use amanuensis_mel::filter_bank;
use amanuensis_whisper::weights::expected_tensors;
use amanuensis_whisper::{Dims, Vocabulary};
use anyhow::Context;
use half::f16;

/// The shape of a published model, by its name.
///
/// # Errors
/// The name is not one of these.
pub fn dims(name: &str) -> anyhow::Result<Dims> {
    let (width, heads, layers) = match name.trim_end_matches(".en") {
        "tiny" => (384, 6, 4),
        "base" => (512, 8, 6),
        "small" => (768, 12, 12),
        "medium" => (1024, 16, 24),
        _ => anyhow::bail!("no shape is called {name}; there are tiny, base, small and medium, with or without .en"),
    };
    Ok(Dims {
        n_mels: 80,
        n_audio_ctx: 1500,
        n_audio_state: width,
        n_audio_head: heads,
        n_audio_layer: layers,
        n_vocab: if name.ends_with(".en") { 51_864 } else { 51_865 },
        n_text_ctx: 448,
        n_text_state: width,
        n_text_head: heads,
        n_text_layer: layers,
    })
}

/// A ggml file of this shape in half precision, written into `folder` if it is not there.
///
/// Weights are normal-like with a standard deviation of `1 / sqrt(inputs)`, so that activations keep their size; biases are
/// small, scales near one.
///
/// # Errors
/// The file cannot be written.
pub fn random(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let dims = dims(name)?;
    let path = folder.join(format!("ggml-random-{name}.bin"));
    if !path.is_file() {
        write(&path, &dims)?;
    }
    Ok(path)
}

/// Writes a ggml file of this shape with random weights.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, dims: &Dims) -> anyhow::Result<()> {
    let folder = path.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let unfinished = path.with_extension("part");
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(&unfinished)?);
        write_ggml(&mut file, dims)?;
        file.flush()?;
        fs::rename(&unfinished, path)
    };
    write().with_context(|| format!("cannot write the model {}", path.display()))
}

fn write_ggml(file: &mut impl Write, dims: &Dims) -> std::io::Result<()> {
    let number = |file: &mut dyn Write, value: usize| file.write_all(&(value as u32).to_le_bytes());
    number(file, 0x6767_6d6c)?;
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
    ] {
        number(file, value)?;
    }
    let bank = filter_bank(dims.n_mels);
    number(file, dims.n_mels)?;
    number(file, bank.len() / dims.n_mels)?;
    for value in &bank {
        file.write_all(&value.to_le_bytes())?;
    }
    // Any words will do, as long as they differ and every byte is among them.
    let words = Vocabulary::of(dims.n_vocab).expect("BUG: the size of a Whisper's vocabulary").text;
    number(file, words)?;
    for word in 0..words {
        let spelled = if word < 256 { vec![word as u8] } else { format!(" {word}").into_bytes() };
        number(file, spelled.len())?;
        file.write_all(&spelled)?;
    }
    let mut random = Random(1);
    for (name, shape) in expected_tensors(dims) {
        let is_matrix = shape.len() > 1 && !name.ends_with("positional_embedding");
        // whisper.cpp wants the biases of convolutions as [width, 1].
        let shape = if name.contains(".conv") && shape.len() == 1 { vec![shape[0], 1] } else { shape };
        number(file, shape.len())?;
        number(file, name.len())?;
        number(file, usize::from(is_matrix))?;
        for size in shape.iter().rev() {
            number(file, *size)?;
        }
        file.write_all(name.as_bytes())?;
        let inputs: usize = shape[1..].iter().product();
        let (middle, spread) = match (is_matrix, name.ends_with("weight")) {
            (true, _) => (0.0, (inputs as f32).sqrt().recip()),
            (false, true) => (1.0, 0.1),
            (false, false) => (0.0, 0.1),
        };
        for _ in 0..shape.iter().product() {
            let value = middle + spread * random.normal();
            if is_matrix {
                file.write_all(&f16::from_f32(value).to_le_bytes())?;
            } else {
                file.write_all(&value.to_le_bytes())?;
            }
        }
    }
    Ok(())
}

/// A fixed sequence of numbers: the same model on every machine.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }

    /// Nearly normal: the sum of four uniform numbers.
    pub fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|part| bits >> (16 * part) & 0xffff).sum();
        (sum as f32 / 65_536.0 - 2.0) * 3.0_f32.sqrt()
    }
}
