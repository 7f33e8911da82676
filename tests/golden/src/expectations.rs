//! What openai-whisper computes, as `generate.py` wrote it down.

use std::collections::HashMap;

use amanuensis_whisper::{Dims, TokenId};
use serde::Deserialize;

use crate::{Piece, Recipe, render};

/// A place among the stored values: the first and how many.
pub type Values = (usize, usize);

/// Everything that is expected.
#[derive(Debug, Deserialize)]
pub struct Expectations {
    clips: HashMap<String, Clip>,
    /// Log-mel spectrograms.
    pub mel: Vec<MelCase>,
    /// What the two vocabularies do, by name.
    pub tokenizers: HashMap<String, TokenizerCases>,
    /// Alignment heads of the published models.
    pub alignment_heads: Vec<HeadsCase>,
    /// Blocks of quantised numbers.
    pub quantised: Vec<QuantisedCase>,
    models: Vec<ModelCase>,
}

#[derive(Debug, Deserialize)]
struct Clip {
    pieces: Vec<Piece>,
    sum: f64,
}

/// Frames of a spectrogram.
#[derive(Debug, Deserialize)]
pub struct MelCase {
    /// Name of the clip, which counts as followed by silence up to 30 s.
    pub clip: String,
    /// Mel bins.
    pub n_mels: usize,
    /// Which frames.
    pub frames: Vec<usize>,
    /// `[frames, n_mels]`
    pub values: Values,
}

/// What a tokenizer does.
#[derive(Debug, Deserialize)]
pub struct TokenizerCases {
    /// Texts and their tokens.
    pub texts: Vec<(String, Vec<TokenId>)>,
    /// Tokens and their text.
    pub decoded: Vec<(Vec<TokenId>, String)>,
    /// Tokens that speech does not contain.
    pub non_speech: Vec<TokenId>,
    /// Language, tokens, and the words that they are.
    pub words: Vec<(String, Vec<TokenId>, Vec<String>)>,
}

/// Alignment heads of a published model.
#[derive(Debug, Deserialize)]
pub struct HeadsCase {
    /// Its name.
    pub name: String,
    /// Layers of its decoder.
    pub layers: usize,
    /// Heads of a layer.
    pub heads: usize,
    /// Width.
    pub state: usize,
    /// Size of the vocabulary.
    pub n_vocab: usize,
    /// The heads, as (layer, head).
    pub found: Vec<(usize, usize)>,
}

/// Quantised noise.
#[derive(Debug, Deserialize)]
pub struct QuantisedCase {
    /// ggml's name of the type.
    pub name: String,
    /// The blocks, as base64.
    pub bytes: String,
    /// The values that they stand for.
    pub values: Values,
}

/// A model and what it does.
#[derive(Debug, Deserialize)]
pub struct ModelCase {
    name: String,
    dims: StoredDims,
    seed: u64,
    /// Heads that words are aligned by, as (layer, head).
    pub alignment_heads: Vec<(usize, usize)>,
    /// Encoder output.
    pub encoder: Vec<EncoderCase>,
    /// Decoder output.
    pub logits: Vec<LogitsCase>,
    /// Detected languages.
    pub languages: Vec<LanguageCase>,
    /// Decoded windows.
    pub decodes: Vec<DecodeCase>,
    /// Whole recordings.
    pub recordings: Vec<RecordingCase>,
}

#[derive(Debug, Deserialize)]
struct StoredDims {
    n_mels: usize,
    n_audio_ctx: usize,
    n_audio_state: usize,
    n_audio_head: usize,
    n_audio_layer: usize,
    n_vocab: usize,
    n_text_ctx: usize,
    n_text_state: usize,
    n_text_head: usize,
    n_text_layer: usize,
}

/// Some positions of the encoder's output.
#[derive(Debug, Deserialize)]
pub struct EncoderCase {
    /// Name of the clip.
    pub clip: String,
    /// Which positions.
    pub positions: Vec<usize>,
    /// `[positions, d]`
    pub values: Values,
}

/// Logits of every position of some tokens.
#[derive(Debug, Deserialize)]
pub struct LogitsCase {
    /// Name of the clip.
    pub clip: String,
    /// The tokens.
    pub tokens: Vec<TokenId>,
    /// Every how many logits one is stored.
    pub every: usize,
    /// `[tokens, n_vocab / every, rounded up]`
    pub values: Values,
}

/// The likeliest languages of a window.
#[derive(Debug, Deserialize)]
pub struct LanguageCase {
    /// Name of the clip.
    pub clip: String,
    /// Codes and probabilities, likeliest first.
    pub best: Vec<(String, f32)>,
}

/// A window decoded at temperature 0.
#[derive(Debug, Deserialize)]
pub struct DecodeCase {
    /// Name of the clip.
    pub clip: String,
    /// Language asked for.
    pub language: Option<String>,
    /// `transcribe` or `translate`.
    pub task: String,
    /// Beams; greedy where there are none.
    pub beams: Option<usize>,
    /// Whether timestamps are decoded.
    pub timestamps: bool,
    /// Most tokens.
    pub most_tokens: Option<usize>,
    /// Tokens that came before.
    pub prompt: Vec<TokenId>,
    /// Tokens that the text begins with.
    pub prefix: Vec<TokenId>,
    /// Language found or asked for.
    pub detected: String,
    /// The tokens.
    pub tokens: Vec<TokenId>,
    /// Their text.
    pub text: String,
    /// Mean log-probability.
    pub avg_logprob: f32,
    /// Probability of no speech.
    pub no_speech_prob: f32,
    /// Bytes of the text over bytes of its compression.
    pub compression_ratio: f32,
}

/// A recording of one or several windows, transcribed at temperature 0.
#[derive(Debug, Deserialize)]
pub struct RecordingCase {
    /// Name of the clip.
    pub clip: String,
    /// Language asked for.
    pub language: Option<String>,
    /// Beams; greedy where there are none.
    pub beams: Option<usize>,
    /// Most tokens of a window.
    pub most_tokens: Option<usize>,
    /// Whether words have times.
    pub word_timestamps: bool,
    /// Whether a window sees the text of those before it.
    pub condition_on_previous_text: bool,
    /// Text that came before.
    pub prompt: Option<String>,
    /// Language found or asked for.
    pub detected: String,
    /// The segments.
    pub segments: Vec<SegmentCase>,
}

/// A segment of a recording.
#[derive(Debug, Deserialize)]
pub struct SegmentCase {
    /// Start in seconds.
    pub start: f64,
    /// End in seconds.
    pub end: f64,
    /// Its tokens, timestamps included.
    pub tokens: Vec<TokenId>,
    /// Its text.
    pub text: String,
    /// Its words.
    pub words: Vec<WordCase>,
}

/// A word of a segment.
#[derive(Debug, Deserialize)]
pub struct WordCase {
    /// Its text.
    pub word: String,
    /// Start in seconds.
    pub start: f64,
    /// End in seconds.
    pub end: f64,
    /// Mean probability of its tokens.
    pub probability: f32,
}

impl Expectations {
    /// Reads them.
    ///
    /// *Panics*: if the files in the repository are damaged.
    pub fn load() -> Self {
        serde_json::from_slice(include_bytes!("../data/expectations.json"))
            .expect("the expectations in the repository are whole")
    }

    /// Stored values.
    ///
    /// *Panics*: if there are not as many.
    pub fn values(&self, place: Values) -> Vec<f32> {
        let bytes = include_bytes!("../data/values.bin").as_chunks::<4>().0;
        bytes[place.0..place.0 + place.1].iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    /// The samples of a clip, checked against the sum that the generator had.
    ///
    /// *Panics*: if there is none of this name, or its samples are others than the generator's.
    pub fn clip(&self, name: &str) -> Vec<f32> {
        let clip = &self.clips[name];
        let samples = render(&clip.pieces);
        let sum: f64 = samples.iter().map(|sample| f64::from(sample.abs())).sum();
        assert!(
            (sum - clip.sum).abs() < 1e-6 * clip.sum.max(1.0),
            "the clip {name} sums up to {sum}, not {}",
            clip.sum
        );
        samples
    }

    /// A model by its name.
    ///
    /// *Panics*: if there is none.
    pub fn model(&self, name: &str) -> &ModelCase {
        self.models.iter().find(|model| model.name == name).expect("a model of this name")
    }
}

impl ModelCase {
    /// What the model is made from.
    pub fn recipe(&self) -> Recipe {
        let dims = &self.dims;
        Recipe {
            dims: Dims {
                n_mels: dims.n_mels,
                n_audio_ctx: dims.n_audio_ctx,
                n_audio_state: dims.n_audio_state,
                n_audio_head: dims.n_audio_head,
                n_audio_layer: dims.n_audio_layer,
                n_vocab: dims.n_vocab,
                n_text_ctx: dims.n_text_ctx,
                n_text_state: dims.n_text_state,
                n_text_head: dims.n_text_head,
                n_text_layer: dims.n_text_layer,
            },
            seed: self.seed,
        }
    }
}
