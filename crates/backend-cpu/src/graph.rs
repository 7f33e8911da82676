//! The weights, packed, in the order in which they are used.

use std::num::NonZeroUsize;
use std::sync::Arc;

use amanuensis_kernels::{
    Activations, Epilogue, KeyValueNumber, Norm, PackedF32, ThreadPool, WeightMatrix, Workspace, layer_norm, perceptron,
};
use amanuensis_whisper::{DeviceInfo, Dims, Model, Weights};

use crate::cache::{Stored, Writer, report};
use crate::cores::Cores;
use crate::decoder::CpuDecoder;
use crate::encoder::CpuEncoder;
use crate::{LoadError, Precision};

/// A loaded model, its matrices packed as `W`.
#[derive(Debug)]
pub struct CpuModel<W> {
    pub(crate) dims: Dims,
    pub(crate) device: Arc<DeviceInfo>,
    pub(crate) cores: Cores,
    /// How keys and values of a window are held.
    pub(crate) keys_values: KeyValueNumber,
    /// First convolution: `[d, 3 * n_mels]`. Its input is the raw spectrogram, so it stays in 32-bit floats: in whole numbers it
    /// takes 2 ms less of base.en's window, and the demo model gets 15.4 instead of 14.5 words in a hundred of flite's voices wrong.
    pub(crate) conv1: Linear<PackedF32>,
    /// Second convolution: `[d, 3 * d]`.
    pub(crate) conv2: Linear<W>,
    pub(crate) audio_positions: Vec<f32>,
    pub(crate) encoder: Vec<EncoderLayer<W>>,
    pub(crate) encoder_norm: LayerNorm,
    /// Rows are the tokens' embeddings; as a matrix it is the output projection.
    pub(crate) tokens: W,
    pub(crate) text_positions: Vec<f32>,
    pub(crate) decoder: Vec<DecoderLayer<W>>,
    pub(crate) decoder_norm: LayerNorm,
}

/// A linear layer.
#[derive(Debug)]
pub(crate) struct Linear<W> {
    pub(crate) weights: W,
    bias: Vec<f32>,
}

#[derive(Debug)]
pub(crate) struct EncoderLayer<W> {
    pub(crate) attention_norm: LayerNorm,
    /// Queries, keys and values in one product: `[3 * d, d]`.
    pub(crate) qkv: Linear<W>,
    pub(crate) attention_out: Linear<W>,
    pub(crate) mlp: Mlp<W>,
}

#[derive(Debug)]
pub(crate) struct DecoderLayer<W> {
    pub(crate) attention_norm: LayerNorm,
    pub(crate) qkv: Linear<W>,
    pub(crate) attention_out: Linear<W>,
    pub(crate) cross_norm: LayerNorm,
    pub(crate) cross_query: Linear<W>,
    /// Keys and values of the encoder's output: `[2 * d, d]`.
    pub(crate) cross_kv: Linear<W>,
    pub(crate) cross_out: Linear<W>,
    pub(crate) mlp: Mlp<W>,
}

#[derive(Debug)]
pub(crate) struct Mlp<W> {
    norm: LayerNorm,
    up: Linear<W>,
    down: Linear<W>,
}

/// Scale and shift of a layer normalisation.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl LayerNorm {
    /// As the kernels take it.
    pub(crate) fn get(&self) -> Norm<'_> {
        Norm { scale: &self.scale, shift: &self.shift }
    }

    /// *Shape*: `x` and `out` `[rows, d]`.
    pub(crate) fn apply(&self, pool: &ThreadPool, x: &[f32], out: &mut [f32]) {
        layer_norm(pool, x, self.get(), out);
    }
}

impl<W: WeightMatrix> Linear<W> {
    /// `out (+)= [gelu](a x weights^T + bias)`.
    ///
    /// *Shape*: `a` `[rows, k]`, `out` `[rows, n]`.
    pub(crate) fn apply(
        &self,
        pool: &ThreadPool,
        a: Activations<'_>,
        after: After,
        out: &mut [f32],
        workspace: &mut Workspace,
    ) {
        let bias = (!self.bias.is_empty()).then_some(self.bias.as_slice());
        let epilogue = Epilogue { bias, gelu: after.gelu, accumulate: after.accumulate };
        self.weights.multiply(pool, a, epilogue, out, self.weights.n(), workspace);
    }
}

/// What follows a linear layer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct After {
    pub(crate) gelu: bool,
    pub(crate) accumulate: bool,
}

impl After {
    pub(crate) const NOTHING: Self = Self { gelu: false, accumulate: false };
    pub(crate) const GELU: Self = Self { gelu: true, accumulate: false };
    pub(crate) const ADD: Self = Self { gelu: false, accumulate: true };
    pub(crate) const GELU_ADD: Self = Self { gelu: true, accumulate: true };
}

impl<W: WeightMatrix> Mlp<W> {
    /// `x += down(gelu(up(norm(x))))`.
    ///
    /// *Shape*: `x` `[rows, d]`.
    pub(crate) fn apply(&self, pool: &ThreadPool, x: &mut [f32], workspace: &mut Workspace) {
        let (up, down) = ((&self.up.weights, &*self.up.bias), (&self.down.weights, &*self.down.bias));
        perceptron(pool, x, self.norm.get(), up, down, workspace);
    }
}

impl<W: WeightMatrix + 'static> CpuModel<W> {
    pub(crate) fn load(
        reader: &mut Reader<'_>,
        precision: Precision,
        device: Arc<DeviceInfo>,
        threads: NonZeroUsize,
    ) -> Result<Self, LoadError> {
        let dims = *reader.weights.dims();
        let encoder = (0..dims.n_audio_layer)
            .map(|layer| {
                let block = format!("encoder.blocks.{layer}");
                Ok(EncoderLayer {
                    attention_norm: reader.norm(&format!("{block}.attn_ln"))?,
                    qkv: reader.fused(&format!("{block}.attn"), &["query", "key", "value"])?,
                    attention_out: reader.linear(&format!("{block}.attn.out"))?,
                    mlp: reader.mlp(&block)?,
                })
            })
            .collect::<Result<_, LoadError>>()?;
        let decoder = (0..dims.n_text_layer)
            .map(|layer| {
                let block = format!("decoder.blocks.{layer}");
                Ok(DecoderLayer {
                    attention_norm: reader.norm(&format!("{block}.attn_ln"))?,
                    qkv: reader.fused(&format!("{block}.attn"), &["query", "key", "value"])?,
                    attention_out: reader.linear(&format!("{block}.attn.out"))?,
                    cross_norm: reader.norm(&format!("{block}.cross_attn_ln"))?,
                    cross_query: reader.linear(&format!("{block}.cross_attn.query"))?,
                    cross_kv: reader.fused(&format!("{block}.cross_attn"), &["key", "value"])?,
                    cross_out: reader.linear(&format!("{block}.cross_attn.out"))?,
                    mlp: reader.mlp(&block)?,
                })
            })
            .collect::<Result<_, LoadError>>()?;
        let keys_values = match precision {
            Precision::F32 => KeyValueNumber::F32,
            Precision::Bf16 => KeyValueNumber::Bf16,
            Precision::Int8 => KeyValueNumber::Int8,
        };
        Ok(Self {
            dims,
            device,
            cores: Cores::new(ThreadPool::new(threads), &dims, keys_values),
            keys_values,
            conv1: reader.convolution("encoder.conv1")?,
            conv2: reader.convolution("encoder.conv2")?,
            audio_positions: reader.values("encoder.positional_embedding")?,
            encoder,
            encoder_norm: reader.norm("encoder.ln_post")?,
            tokens: reader.matrix("decoder.token_embedding.weight")?,
            text_positions: reader.values("decoder.positional_embedding")?,
            decoder,
            decoder_norm: reader.norm("decoder.ln")?,
        })
    }
}

impl<W: WeightMatrix + 'static> Model for CpuModel<W> {
    fn dims(&self) -> &Dims {
        &self.dims
    }

    fn encoder(self: Arc<Self>) -> Box<dyn amanuensis_whisper::Encoder> {
        Box::new(CpuEncoder::new(self))
    }

    fn decoder(self: Arc<Self>, max_rows: usize) -> Box<dyn amanuensis_whisper::Decoder> {
        Box::new(CpuDecoder::new(self, max_rows))
    }

    fn shares_cores(&self) -> bool {
        true
    }
}

/// Reads a model's tensors in the order of the graph: from the model's file, of which it keeps what it packed where it is told
/// to, or from what was packed before.
pub(crate) struct Reader<'a> {
    weights: &'a Weights,
    stored: Option<Stored>,
    writer: Option<Writer<'a>>,
}

impl<'a> Reader<'a> {
    /// Packs weights.
    pub(crate) fn packing(weights: &'a Weights, writer: Option<Writer<'a>>) -> Self {
        Self { weights, stored: None, writer }
    }

    /// Takes weights that were packed before.
    pub(crate) fn stored(weights: &'a Weights, stored: Stored) -> Self {
        Self { weights, stored: Some(stored), writer: None }
    }

    /// Finishes what was to be kept, if there is all of it.
    pub(crate) fn finish(self) -> Option<()> {
        report(self.writer?.finish())
    }

    fn keep(&mut self, words: &[u32]) {
        self.writer = self.writer.take().and_then(|mut writer| report(writer.put(words)).map(|()| writer));
    }

    /// A matrix that was packed before, or else is packed now.
    fn packed<W: WeightMatrix>(
        &mut self,
        n: usize,
        k: usize,
        pack: impl FnOnce(&Self) -> Result<W, LoadError>,
    ) -> Result<W, LoadError> {
        if let Some(stored) = &mut self.stored {
            return stored
                .next(W::packed_words(n, k))
                .and_then(|words| W::from_packed(n, k, words))
                .ok_or(LoadError::Stored);
        }
        let packed = pack(self)?;
        self.keep(packed.packed().as_slice());
        Ok(packed)
    }

    fn values(&mut self, name: &str) -> Result<Vec<f32>, LoadError> {
        let tensor = self.weights.tensor(name)?;
        if let Some(stored) = &mut self.stored {
            return stored.floats(tensor.len()).ok_or(LoadError::Stored);
        }
        let values = tensor.to_f32();
        self.check(name, &values)?;
        self.keep(&values.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
        Ok(values)
    }

    fn check(&self, name: &str, values: &[f32]) -> Result<(), LoadError> {
        if values.iter().all(|value| value.is_finite()) { Ok(()) } else { Err(self.not_finite(name)) }
    }

    fn not_finite(&self, name: &str) -> LoadError {
        LoadError::NotFinite { path: self.weights.path().display().to_string(), tensor: name.to_owned() }
    }

    fn norm(&mut self, name: &str) -> Result<LayerNorm, LoadError> {
        Ok(LayerNorm { scale: self.values(&format!("{name}.weight"))?, shift: self.values(&format!("{name}.bias"))? })
    }

    fn matrix<W: WeightMatrix>(&mut self, name: &str) -> Result<W, LoadError> {
        let tensor = self.weights.tensor(name)?;
        let (n, k) = (tensor.shape[0], tensor.row_len());
        self.packed(n, k, |reader| {
            let mut finite = true;
            let packed = W::pack(n, k, |row, out| {
                tensor.row_to_f32(row, out);
                finite &= out.iter().all(|value| value.is_finite());
            });
            if finite { Ok(packed) } else { Err(reader.not_finite(name)) }
        })
    }

    fn linear<W: WeightMatrix>(&mut self, name: &str) -> Result<Linear<W>, LoadError> {
        Ok(Linear { weights: self.matrix(&format!("{name}.weight"))?, bias: self.values(&format!("{name}.bias"))? })
    }

    /// Several layers with the same input as one. Keys have no bias: theirs is zero.
    fn fused<W: WeightMatrix>(&mut self, attention: &str, parts: &[&str]) -> Result<Linear<W>, LoadError> {
        let width = self.weights.dims().n_audio_state;
        let mut bias = Vec::with_capacity(parts.len() * width);
        let mut tensors = Vec::with_capacity(parts.len());
        for part in parts {
            let name = format!("{attention}.{part}");
            if *part == "key" {
                bias.resize(bias.len() + width, 0.0);
            } else {
                bias.extend(self.values(&format!("{name}.bias"))?);
            }
            let weight = format!("{name}.weight");
            tensors.push((self.weights.tensor(&weight)?, weight));
        }
        let weights = self.packed(parts.len() * width, width, |reader| {
            let mut damaged = None;
            let packed = W::pack(parts.len() * width, width, |row, out| {
                let (tensor, name) = &tensors[row / width];
                tensor.row_to_f32(row % width, out);
                if !out.iter().all(|value| value.is_finite()) {
                    damaged = Some(name);
                }
            });
            damaged.map_or(Ok(packed), |name| Err(reader.not_finite(name)))
        })?;
        Ok(Linear { weights, bias })
    }

    /// `[out, in, 3]` as `[out, 3 * in]`, one tap after the other, as the input lies in rows of channels.
    fn convolution<W: WeightMatrix>(&mut self, name: &str) -> Result<Linear<W>, LoadError> {
        let weight = format!("{name}.weight");
        let tensor = self.weights.tensor(&weight)?;
        let (outputs, inputs) = (tensor.shape[0], tensor.shape[1]);
        let weights = self.packed(outputs, 3 * inputs, |reader| {
            let values = tensor.to_f32();
            reader.check(&weight, &values)?;
            Ok(W::pack(outputs, 3 * inputs, |row, out| {
                for (index, out) in out.iter_mut().enumerate() {
                    let (tap, channel) = (index / inputs, index % inputs);
                    *out = values[(row * inputs + channel) * 3 + tap];
                }
            }))
        })?;
        Ok(Linear { weights, bias: self.values(&format!("{name}.bias"))? })
    }

    fn mlp<W: WeightMatrix>(&mut self, block: &str) -> Result<Mlp<W>, LoadError> {
        Ok(Mlp {
            norm: self.norm(&format!("{block}.mlp_ln"))?,
            up: self.linear(&format!("{block}.mlp.0"))?,
            down: self.linear(&format!("{block}.mlp.2"))?,
        })
    }
}
