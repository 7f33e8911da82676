//! The weights of a model from its dimensions and a seed.

use amanuensis_whisper::{Dims, Vocabulary, weights::expected_tensors};
use half::f16;

use crate::random::{seed_of, stream};
use crate::vocabulary;

/// How much each kind of matrix amplifies. The first that fits; the reasons are in `generate.py`.
const GAINS: &[(&str, f64)] = &[
    ("cross_attn.out.weight", 1.0),
    ("attn.out.weight", 1.5),
    ("attn.query.weight", 2.0),
    ("attn.key.weight", 2.0),
    ("attn.value.weight", 1.0),
    ("mlp.0.weight", 2.0),
    ("mlp.2.weight", 2.0),
    ("conv1.weight", 2.0),
    ("conv2.weight", 1.5),
    ("token_embedding.weight", 2.4),
];

/// A random model: everything there is to know about it.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// Its dimensions.
    pub dims: Dims,
    /// What its weights are made from.
    pub seed: u64,
}

impl Recipe {
    /// A small English model with the context lengths of the published ones, for tests that need any model at all. It writes
    /// nonsense.
    pub fn small() -> Self {
        Self { dims: small(51_864), seed: 1 }
    }

    /// As [`small`](Self::small), and multilingual.
    pub fn small_multilingual() -> Self {
        Self { dims: small(51_865), seed: 1 }
    }

    /// Every tensor by OpenAI's name, with its shape and values.
    pub fn tensors(&self) -> impl Iterator<Item = (String, Vec<usize>, Vec<f32>)> {
        expected_tensors(&self.dims).into_iter().map(|(name, shape)| {
            let values = self.values(&name, &shape);
            (name, shape, values)
        })
    }

    /// Byte strings of the vocabulary, in the order of their tokens.
    pub fn vocabulary(&self) -> Vec<Vec<u8>> {
        let mut tokens = vocabulary(self.dims.is_multilingual());
        tokens.truncate(self.words());
        tokens
    }

    /// Tokens of text.
    fn words(&self) -> usize {
        Vocabulary::of(self.dims.n_vocab).expect("a recipe is for a Whisper model").text
    }

    fn values(&self, name: &str, shape: &[usize]) -> Vec<f32> {
        let count = shape.iter().product();
        let inputs: usize = shape[1..].iter().product();
        let gain = GAINS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, gain)| *gain);
        let (middle, scale) = if let Some(gain) = gain {
            (0.0, few_bits(gain * 3.0_f64.sqrt() / (256.0 * (inputs as f64).sqrt())) as f32)
        } else if name.ends_with("positional_embedding") {
            (0.0, (-7.0_f32).exp2())
        } else if name.contains("ln") && name.ends_with("weight") {
            (1.0, (-10.0_f32).exp2())
        } else {
            (0.0, (-11.0_f32).exp2())
        };
        let steps = stream(seed_of(name, self.seed)).map(|value| (value >> 55) as f32 - 256.0);
        let mut values: Vec<f32> = steps.map(|step| middle + step * scale).take(count).collect();
        if name == "decoder.token_embedding.weight" {
            // Texts that end, and not at once.
            let eot = self.words();
            for value in &mut values[eot * inputs..(eot + 1) * inputs] {
                *value = f16::from_f32(*value * 3.0).to_f32();
            }
        }
        values
    }
}

fn small(n_vocab: usize) -> Dims {
    Dims {
        n_mels: 80,
        n_audio_ctx: 1500,
        n_audio_state: 64,
        n_audio_head: 4,
        n_audio_layer: 2,
        n_vocab,
        n_text_ctx: 448,
        n_text_state: 64,
        n_text_head: 2,
        n_text_layer: 3,
    }
}

/// The next smaller number of three significant bits: products with 8-bit numbers are whole in 16-bit floats.
fn few_bits(value: f64) -> f64 {
    let mut power = 1.0;
    while power > value {
        power /= 2.0;
    }
    (value / power * 4.0).floor() / 4.0 * power
}
