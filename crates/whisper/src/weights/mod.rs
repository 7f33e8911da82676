//! Weight files: whisper.cpp's ggml `.bin`, and folders as Hugging Face publishes them. Memory-mapped, checked, not copied.

mod ggml;
mod huggingface;
mod tensor;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use crate::tokenizer::VocabularyError;
use crate::{Dims, Tokenizer, Vocabulary};

pub use tensor::{Dtype, Tensor};

/// Largest file that is looked at: twice large-v3 in f32.
const MOST_BYTES: u64 = 16 << 30;

/// Why a model could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WeightError {
    /// The file cannot be opened or read.
    #[error("cannot read the model {}: {source}; check that it is there and that you may read it", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no Whisper model that is known.
    #[error("{} is not a Whisper model: {reason}; choose a ggml .bin file or a Hugging Face folder", path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// The file is a model, but damaged or cut off.
    #[error("the model {} is damaged: {reason}; download it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor that Whisper needs is not there.
    #[error("the model {} is not complete: it has no tensor {name}; download it again", path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
    },
    /// A tensor has another shape than the model's dimensions say.
    #[error(
        "the model {} is damaged: its tensor {name} is {found:?} where its dimensions say {expected:?}; download it again",
        path.display()
    )]
    WrongShape {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Shape found.
        found: Vec<usize>,
        /// Shape expected.
        expected: Vec<usize>,
    },
}

/// An opened model file: dimensions, tokenizer and tensors, by OpenAI's names.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    dims: Dims,
    tokenizer: Arc<Tokenizer>,
    files: Vec<Mmap>,
    places: HashMap<String, Place>,
}

/// Where a tensor lies.
#[derive(Debug, Clone)]
struct Place {
    file: usize,
    start: usize,
    bytes: usize,
    dtype: Dtype,
    shape: Vec<usize>,
}

impl Weights {
    /// Opens a ggml `.bin` file, or a folder with `config.json`, safetensors and a tokenizer.
    ///
    /// # Errors
    /// [`WeightError`]: every tensor that the dimensions ask for is there, whole, and of the right shape, or the file is refused.
    pub fn open(path: &Path) -> Result<Self, WeightError> {
        let parts = if path.is_dir() { huggingface::open(path)? } else { ggml::open(path)? };
        let Parts { dims, tokenizer, files, places } = parts;
        let weights = Self { path: path.to_owned(), dims, tokenizer: Arc::new(tokenizer), files, places };
        weights.check()?;
        Ok(weights)
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The model's dimensions.
    pub fn dims(&self) -> &Dims {
        &self.dims
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// A tensor by OpenAI's name, as `encoder.blocks.0.attn.query.weight`.
    ///
    /// # Errors
    /// [`WeightError::MissingTensor`] for a name that the model's dimensions do not ask for.
    pub fn tensor(&self, name: &str) -> Result<Tensor<'_>, WeightError> {
        let place = self
            .places
            .get(name)
            .ok_or_else(|| WeightError::MissingTensor { path: self.path.clone(), name: name.to_owned() })?;
        Ok(Tensor {
            dtype: place.dtype,
            shape: &place.shape,
            bytes: &self.files[place.file][place.start..place.start + place.bytes],
        })
    }

    fn check(&self) -> Result<(), WeightError> {
        for (name, expected) in expected_tensors(&self.dims) {
            let tensor = self.tensor(&name)?;
            if tensor.shape != expected {
                return Err(WeightError::WrongShape {
                    path: self.path.clone(),
                    name,
                    found: tensor.shape.to_vec(),
                    expected,
                });
            }
        }
        Ok(())
    }
}

/// What a format's reader found.
struct Parts {
    dims: Dims,
    tokenizer: Tokenizer,
    files: Vec<Mmap>,
    places: HashMap<String, Place>,
}

fn map(path: &Path) -> Result<Mmap, WeightError> {
    let io = |source| WeightError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    if length == 0 || length > MOST_BYTES {
        return Err(WeightError::NotAModel { path: path.to_owned(), reason: format!("it has {length} bytes") });
    }
    #[allow(unsafe_code, reason = "memory-mapping is what makes a 3 GB model load in no time")]
    // SAFETY: the map is read-only. A process that truncates the file meanwhile could end ours by a signal, as with every
    // mapped file; models are replaced by renaming, never written in place.
    let map = unsafe { Mmap::map(&file) }.map_err(io)?;
    Ok(map)
}

/// Dimensions that no published model exceeds, with room: what is beyond them is damage, and is refused before it is multiplied.
fn plausible(dims: &Dims) -> Result<(), String> {
    let checks = [
        ("mel bins", dims.n_mels, 1, 256),
        ("audio context", dims.n_audio_ctx, 1, 4096),
        ("encoder width", dims.n_audio_state, 1, 4096),
        ("encoder heads", dims.n_audio_head, 1, 64),
        ("encoder layers", dims.n_audio_layer, 0, 64),
        ("text context", dims.n_text_ctx, 1, 4096),
        ("decoder width", dims.n_text_state, 1, 4096),
        ("decoder heads", dims.n_text_head, 1, 64),
        ("decoder layers", dims.n_text_layer, 0, 64),
    ];
    for (what, value, least, most) in checks {
        if !(least..=most).contains(&value) {
            return Err(format!("its {what} is {value}, which no Whisper model has"));
        }
    }
    if Vocabulary::of(dims.n_vocab).is_none() {
        return Err(VocabularyError::Size(dims.n_vocab).to_string());
    }
    if dims.n_audio_state != dims.n_text_state {
        return Err(format!("its encoder is {} wide and its decoder {}", dims.n_audio_state, dims.n_text_state));
    }
    if !dims.n_audio_state.is_multiple_of(dims.n_audio_head) || !dims.n_text_state.is_multiple_of(dims.n_text_head) {
        return Err("its width is not a multiple of its heads".to_owned());
    }
    Ok(())
}

/// Every tensor of a model of these dimensions, with its shape.
pub fn expected_tensors(dims: &Dims) -> Vec<(String, Vec<usize>)> {
    let mut tensors = Vec::new();
    let mut put = |name: String, shape: &[usize]| tensors.push((name, shape.to_vec()));
    let (audio, text) = (dims.n_audio_state, dims.n_text_state);
    put("encoder.conv1.weight".into(), &[audio, dims.n_mels, 3]);
    put("encoder.conv1.bias".into(), &[audio]);
    put("encoder.conv2.weight".into(), &[audio, audio, 3]);
    put("encoder.conv2.bias".into(), &[audio]);
    put("encoder.positional_embedding".into(), &[dims.n_audio_ctx, audio]);
    put("encoder.ln_post.weight".into(), &[audio]);
    put("encoder.ln_post.bias".into(), &[audio]);
    put("decoder.token_embedding.weight".into(), &[dims.n_vocab, text]);
    put("decoder.positional_embedding".into(), &[dims.n_text_ctx, text]);
    put("decoder.ln.weight".into(), &[text]);
    put("decoder.ln.bias".into(), &[text]);
    for (part, layers, width) in [("encoder", dims.n_audio_layer, audio), ("decoder", dims.n_text_layer, text)] {
        for layer in 0..layers {
            let block = format!("{part}.blocks.{layer}");
            let attentions: &[&str] = if part == "decoder" { &["attn", "cross_attn"] } else { &["attn"] };
            for attention in attentions {
                for linear in ["query", "key", "value", "out"] {
                    put(format!("{block}.{attention}.{linear}.weight"), &[width, width]);
                    // Keys have no bias: it would not change the softmax.
                    if linear != "key" {
                        put(format!("{block}.{attention}.{linear}.bias"), &[width]);
                    }
                }
                put(format!("{block}.{attention}_ln.weight"), &[width]);
                put(format!("{block}.{attention}_ln.bias"), &[width]);
            }
            put(format!("{block}.mlp.0.weight"), &[4 * width, width]);
            put(format!("{block}.mlp.0.bias"), &[4 * width]);
            put(format!("{block}.mlp.2.weight"), &[width, 4 * width]);
            put(format!("{block}.mlp.2.bias"), &[width]);
            put(format!("{block}.mlp_ln.weight"), &[width]);
            put(format!("{block}.mlp_ln.bias"), &[width]);
        }
    }
    tensors
}
