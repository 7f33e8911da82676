//! The weights, packed, in the order in which they are used.

use std::sync::Arc;

use amanuensis_kernels::{Activations, Attention, Epilogue, PackedF32, ThreadPool, WeightMatrix, layer_norm};
use amanuensis_whisper::{DeviceInfo, Dims, Model, Weights};

use crate::LoadError;
use crate::decoder::CpuDecoder;
use crate::encoder::CpuEncoder;

/// A loaded model, its matrices packed as `W`.
#[derive(Debug)]
pub struct CpuModel<W> {
    pub(crate) dims: Dims,
    pub(crate) device: DeviceInfo,
    pub(crate) pool: Arc<ThreadPool>,
    pub(crate) attention: Attention,
    /// First convolution: `[d, 3 * n_mels]`. Its input is raw, so it stays in 32-bit floats.
    pub(crate) conv1: Linear<PackedF32>,
    /// Second convolution: `[d, 3 * d]`.
    pub(crate) conv2: Linear<W>,
    pub(crate) audio_positions: Vec<f32>,
    pub(crate) encoder: Vec<EncoderLayer<W>>,
    pub(crate) encoder_norm: Norm,
    /// Rows are the tokens' embeddings; as a matrix it is the output projection.
    pub(crate) tokens: W,
    pub(crate) text_positions: Vec<f32>,
    pub(crate) decoder: Vec<DecoderLayer<W>>,
    pub(crate) decoder_norm: Norm,
}

/// A linear layer.
#[derive(Debug)]
pub(crate) struct Linear<W> {
    pub(crate) weights: W,
    bias: Vec<f32>,
}

#[derive(Debug)]
pub(crate) struct EncoderLayer<W> {
    pub(crate) attention_norm: Norm,
    /// Queries, keys and values in one product: `[3 * d, d]`.
    pub(crate) qkv: Linear<W>,
    pub(crate) attention_out: Linear<W>,
    pub(crate) mlp: Mlp<W>,
}

#[derive(Debug)]
pub(crate) struct DecoderLayer<W> {
    pub(crate) attention_norm: Norm,
    pub(crate) qkv: Linear<W>,
    pub(crate) attention_out: Linear<W>,
    pub(crate) cross_norm: Norm,
    pub(crate) cross_query: Linear<W>,
    /// Keys and values of the encoder's output: `[2 * d, d]`.
    pub(crate) cross_kv: Linear<W>,
    pub(crate) cross_out: Linear<W>,
    pub(crate) mlp: Mlp<W>,
}

#[derive(Debug)]
pub(crate) struct Mlp<W> {
    norm: Norm,
    up: Linear<W>,
    down: Linear<W>,
}

/// Scale and shift of a layer normalisation.
#[derive(Debug)]
pub(crate) struct Norm {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Norm {
    /// Rows that a thread normalises at a time.
    const ROWS: usize = 128;

    /// *Shape*: `x` and `out` `[rows, d]`.
    pub(crate) fn apply(&self, pool: &ThreadPool, x: &[f32], out: &mut [f32]) {
        let chunk = Self::ROWS * self.scale.len();
        if x.len() <= chunk {
            layer_norm(x, &self.scale, &self.shift, out);
            return;
        }
        // Each task takes its chunk out of its own cell, so no two write the same place.
        let chunks: Vec<_> = out.chunks_mut(chunk).map(|chunk| std::sync::Mutex::new(Some(chunk))).collect();
        pool.run(chunks.len(), |index| {
            let taken = chunks[index].lock().map(|mut cell| cell.take());
            if let Ok(Some(out)) = taken {
                let x = &x[index * chunk..][..out.len()];
                layer_norm(x, &self.scale, &self.shift, out);
            }
        });
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
        scratch: &mut Vec<u8>,
    ) {
        let bias = (!self.bias.is_empty()).then_some(self.bias.as_slice());
        let epilogue = Epilogue { bias, gelu: after.gelu, accumulate: after.accumulate };
        self.weights.multiply(pool, a, epilogue, out, self.weights.n(), scratch);
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
    /// *Shape*: `x` and `normed` `[rows, d]`, `hidden` `[rows, 4 * d]`.
    pub(crate) fn apply(
        &self,
        pool: &ThreadPool,
        x: &mut [f32],
        normed: &mut [f32],
        hidden: &mut [f32],
        scratch: &mut Vec<u8>,
    ) {
        let width = self.up.weights.k();
        self.norm.apply(pool, x, normed);
        self.up.apply(pool, Activations::new(normed, width), After::GELU, hidden, scratch);
        self.down.apply(pool, Activations::new(hidden, 4 * width), After::ADD, x, scratch);
    }
}

impl<W: WeightMatrix + 'static> CpuModel<W> {
    pub(crate) fn load(weights: &Weights, device: DeviceInfo, pool: Arc<ThreadPool>) -> Result<Self, LoadError> {
        let dims = *weights.dims();
        let reader = Reader { weights };
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
        Ok(Self {
            dims,
            device,
            pool,
            attention: Attention::new(dims.n_audio_head, dims.n_audio_state / dims.n_audio_head),
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
}

struct Reader<'a> {
    weights: &'a Weights,
}

impl Reader<'_> {
    fn values(&self, name: &str) -> Result<Vec<f32>, LoadError> {
        let values = self.weights.tensor(name)?.to_f32();
        self.check(name, &values)?;
        Ok(values)
    }

    fn check(&self, name: &str, values: &[f32]) -> Result<(), LoadError> {
        if values.iter().all(|value| value.is_finite()) {
            return Ok(());
        }
        Err(LoadError::NotFinite { path: self.weights.path().display().to_string(), tensor: name.to_owned() })
    }

    fn norm(&self, name: &str) -> Result<Norm, LoadError> {
        Ok(Norm { scale: self.values(&format!("{name}.weight"))?, shift: self.values(&format!("{name}.bias"))? })
    }

    fn matrix<W: WeightMatrix>(&self, name: &str) -> Result<W, LoadError> {
        let tensor = self.weights.tensor(name)?;
        let mut finite = true;
        let packed = W::pack(tensor.shape[0], tensor.row_len(), |row, out| {
            tensor.row_to_f32(row, out);
            finite &= out.iter().all(|value| value.is_finite());
        });
        if finite { Ok(packed) } else { self.check(name, &[f32::NAN]).map(|()| packed) }
    }

    fn linear<W: WeightMatrix>(&self, name: &str) -> Result<Linear<W>, LoadError> {
        Ok(Linear { weights: self.matrix(&format!("{name}.weight"))?, bias: self.values(&format!("{name}.bias"))? })
    }

    /// Several layers with the same input as one. Keys have no bias: theirs is zero.
    fn fused<W: WeightMatrix>(&self, attention: &str, parts: &[&str]) -> Result<Linear<W>, LoadError> {
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
            tensors.push((name.clone(), self.weights.tensor(&format!("{name}.weight"))?));
        }
        let mut damaged = None;
        let weights = W::pack(parts.len() * width, width, |row, out| {
            let (name, tensor) = &tensors[row / width];
            tensor.row_to_f32(row % width, out);
            if !out.iter().all(|value| value.is_finite()) {
                damaged = Some(name);
            }
        });
        if let Some(name) = damaged {
            self.check(&format!("{name}.weight"), &[f32::NAN])?;
        }
        Ok(Linear { weights, bias })
    }

    /// `[out, in, 3]` as `[out, 3 * in]`, one tap after the other, as the input lies in rows of channels.
    fn convolution<W: WeightMatrix>(&self, name: &str) -> Result<Linear<W>, LoadError> {
        let weight = format!("{name}.weight");
        let tensor = self.weights.tensor(&weight)?;
        let (outputs, inputs) = (tensor.shape[0], tensor.shape[1]);
        let values = self.values(&weight)?;
        let weights = W::pack(outputs, 3 * inputs, |row, out| {
            for (index, out) in out.iter_mut().enumerate() {
                let (tap, channel) = (index / inputs, index % inputs);
                *out = values[(row * inputs + channel) * 3 + tap];
            }
        });
        Ok(Linear { weights, bias: self.values(&format!("{name}.bias"))? })
    }

    fn mlp<W: WeightMatrix>(&self, block: &str) -> Result<Mlp<W>, LoadError> {
        Ok(Mlp {
            norm: self.norm(&format!("{block}.mlp_ln"))?,
            up: self.linear(&format!("{block}.mlp.0"))?,
            down: self.linear(&format!("{block}.mlp.2"))?,
        })
    }
}
