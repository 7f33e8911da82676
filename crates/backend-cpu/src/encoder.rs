//! The encoder: two convolutions, then layers of attention and MLP.

use std::sync::Arc;
use std::time::Instant;

use amanuensis_kernels::{Activations, WeightMatrix};
use amanuensis_whisper::{BackendError, DeviceInfo, Dims, EncodeReport, Encoder, MelView};

use crate::cores::{Memory, grown};
use crate::graph::{After, CpuModel};

/// Encodes windows, one after the other, with all cores.
#[derive(Debug)]
pub(crate) struct CpuEncoder<W> {
    model: Arc<CpuModel<W>>,
}

impl<W: WeightMatrix> CpuEncoder<W> {
    pub(crate) fn new(model: Arc<CpuModel<W>>) -> Self {
        Self { model }
    }

    fn window(&self, memory: &mut Memory, mel: MelView<'_>, out: &mut [f32]) -> Result<(), BackendError> {
        let model = &*self.model;
        let (dims, pool) = (&model.dims, &model.cores.pool);
        let (frames, positions, width) = (mel.frames(), mel.positions(), dims.n_audio_state);
        let shape = |what, found, expected| {
            if found == expected { Ok(()) } else { Err(BackendError::Shape { what, found, expected }) }
        };
        shape("spectrogram's rows", mel.n_mels(), dims.n_mels)?;
        if frames == 0 || positions > dims.n_audio_ctx {
            return Err(BackendError::Shape { what: "spectrogram", found: frames, expected: 2 * dims.n_audio_ctx });
        }
        shape("encoder's output", out.len(), positions * width)?;
        self.convolve_mel(memory, mel);
        let Memory { x, attended, wide, key_values, workspace, .. } = memory;
        let x = grown(x, positions * width);
        x.copy_from_slice(&model.audio_positions[..positions * width]);
        let windows =
            Activations { data: &wide[..(frames + 2) * width], rows: positions, stride: 2 * width, norm: None };
        model.conv2.apply(pool, windows, After::GELU_ADD, x, workspace);
        let attended = grown(attended, positions * width);
        let qkv = grown(wide, positions * 3 * width);
        for layer in &model.encoder {
            let normed = Activations::new(x, width).normed(layer.attention_norm.get());
            layer.qkv.apply(pool, normed, After::NOTHING, qkv, workspace);
            key_values.fill(pool, &qkv[width..], &qkv[2 * width..], 3 * width, positions);
            let queries = Activations { data: qkv, rows: positions, stride: 3 * width, norm: None };
            key_values.attend(pool, queries, attended, workspace);
            layer.attention_out.apply(pool, Activations::new(attended, width), After::ADD, x, workspace);
            layer.mlp.apply(pool, x, workspace);
        }
        model.encoder_norm.apply(pool, x, out);
        if out.iter().any(|value| !value.is_finite()) {
            return Err(BackendError::NotFinite);
        }
        Ok(())
    }

    /// First convolution and GELU into `wide`, `[frames + 2, d]` with rows of zeros at both ends for the second.
    fn convolve_mel(&self, memory: &mut Memory, mel: MelView<'_>) {
        let (model, pool) = (&*self.model, &self.model.cores.pool);
        let (frames, bins, width) = (mel.frames(), mel.n_mels(), model.dims.n_audio_state);
        let Memory { wide, edge, workspace, .. } = memory;
        let wide = grown(wide, (frames + 2) * width);
        wide[..width].fill(0.0);
        wide[(frames + 1) * width..].fill(0.0);
        let out = &mut wide[width..(frames + 1) * width];
        if mel.bin_stride() == 1 && mel.frame_stride() == bins {
            // Inner windows overlap in the spectrogram as it lies; the two at the ends have a frame of padding.
            if frames > 2 {
                let inner = Activations { data: mel.data(), rows: frames - 2, stride: bins, norm: None };
                model.conv1.apply(pool, inner, After::GELU, &mut out[width..(frames - 1) * width], workspace);
            }
            for frame in if frames == 1 { 0..1 } else { 0..2 } {
                let frame = frame * (frames - 1);
                edge.clear();
                for tap in 0..3 {
                    match (frame + tap).checked_sub(1).filter(|at| *at < frames) {
                        Some(at) => edge.extend_from_slice(&mel.data()[at * bins..(at + 1) * bins]),
                        None => edge.resize(edge.len() + bins, 0.0),
                    }
                }
                let window = Activations::new(edge, 3 * bins);
                let out = &mut out[frame * width..(frame + 1) * width];
                model.conv1.apply(pool, window, After::GELU, out, workspace);
            }
        } else {
            edge.clear();
            edge.resize((frames + 2) * bins, 0.0);
            for (frame, row) in edge[bins..(frames + 1) * bins].chunks_exact_mut(bins).enumerate() {
                for (bin, value) in row.iter_mut().enumerate() {
                    *value = mel.data()[frame * mel.frame_stride() + bin * mel.bin_stride()];
                }
            }
            let windows = Activations { data: edge, rows: frames, stride: bins, norm: None };
            model.conv1.apply(pool, windows, After::GELU, out, workspace);
        }
    }
}

impl<W: WeightMatrix> Encoder for CpuEncoder<W> {
    fn dims(&self) -> &Dims {
        &self.model.dims
    }

    fn device(&self) -> DeviceInfo {
        (*self.model.device).clone()
    }

    fn encode(&mut self, windows: &[MelView<'_>], outputs: &mut [&mut [f32]]) -> Result<EncodeReport, BackendError> {
        if windows.len() != outputs.len() {
            return Err(BackendError::Shape { what: "list of outputs", found: outputs.len(), expected: windows.len() });
        }
        self.model.cores.alone(|memory| {
            let began = Instant::now();
            for (window, output) in windows.iter().zip(outputs) {
                self.window(memory, *window, output)?;
            }
            Ok(EncodeReport { device: Arc::clone(&self.model.device), busy: began.elapsed(), fallback: None })
        })
    }
}
