//! The encoder: two convolutions, then layers of attention and MLP.

use std::sync::Arc;
use std::time::Instant;

use amanuensis_kernels::{Activations, KeyValues, WeightMatrix, Workspace};
use amanuensis_whisper::{BackendError, DeviceInfo, Dims, EncodeReport, Encoder, MelView};

use crate::graph::{After, CpuModel};

/// Encodes windows with memory of its own, which grows to the longest window and stays.
#[derive(Debug)]
pub(crate) struct CpuEncoder<W> {
    model: Arc<CpuModel<W>>,
    /// `[positions, d]`: the residual stream.
    x: Vec<f32>,
    /// `[positions, d]`: what an attention made.
    attended: Vec<f32>,
    /// The largest intermediate at a time: the first convolution with a frame of zeros on either side, or queries, keys and
    /// values.
    wide: Vec<f32>,
    key_values: KeyValues,
    /// The first or last window of a convolution with its padding, or a whole transposed spectrogram.
    edge: Vec<f32>,
    workspace: Workspace,
}

impl<W: WeightMatrix> CpuEncoder<W> {
    pub(crate) fn new(model: Arc<CpuModel<W>>) -> Self {
        let heads = model.dims.n_audio_head;
        Self {
            x: Vec::new(),
            attended: Vec::new(),
            wide: Vec::new(),
            key_values: KeyValues::new(model.keys_values, heads, model.dims.n_audio_state / heads),
            edge: Vec::new(),
            workspace: Workspace::new(),
            model,
        }
    }

    fn window(&mut self, mel: MelView<'_>, out: &mut [f32]) -> Result<(), BackendError> {
        let model = Arc::clone(&self.model);
        let (dims, pool) = (&model.dims, &*model.pool);
        let (frames, positions, width) = (mel.frames(), mel.positions(), dims.n_audio_state);
        let shape = |what, found, expected| {
            if found == expected { Ok(()) } else { Err(BackendError::Shape { what, found, expected }) }
        };
        shape("spectrogram's rows", mel.n_mels(), dims.n_mels)?;
        if frames == 0 || positions > dims.n_audio_ctx {
            return Err(BackendError::Shape { what: "spectrogram", found: frames, expected: 2 * dims.n_audio_ctx });
        }
        shape("encoder's output", out.len(), positions * width)?;
        let grow = |buffer: &mut Vec<f32>, length: usize| {
            if buffer.len() < length {
                buffer.resize(length, 0.0);
            }
        };
        grow(&mut self.x, positions * width);
        grow(&mut self.attended, positions * width);
        grow(&mut self.wide, (positions * 3).max(frames + 2) * width);

        self.convolve_mel(mel);
        let x = &mut self.x[..positions * width];
        x.copy_from_slice(&model.audio_positions[..positions * width]);
        let windows =
            Activations { data: &self.wide[..(frames + 2) * width], rows: positions, stride: 2 * width, norm: None };
        let workspace = &mut self.workspace;
        model.conv2.apply(pool, windows, After::GELU_ADD, x, workspace);
        let attended = &mut self.attended[..positions * width];
        let qkv = &mut self.wide[..positions * 3 * width];
        for layer in &model.encoder {
            let normed = Activations::new(x, width).normed(layer.attention_norm.get());
            layer.qkv.apply(pool, normed, After::NOTHING, qkv, workspace);
            self.key_values.fill(pool, &qkv[width..], &qkv[2 * width..], 3 * width, positions);
            let queries = Activations { data: qkv, rows: positions, stride: 3 * width, norm: None };
            self.key_values.attend(pool, queries, attended, workspace);
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
    fn convolve_mel(&mut self, mel: MelView<'_>) {
        let model = &self.model;
        let (frames, bins, width) = (mel.frames(), mel.n_mels(), model.dims.n_audio_state);
        let wide = &mut self.wide[..(frames + 2) * width];
        wide[..width].fill(0.0);
        wide[(frames + 1) * width..].fill(0.0);
        let out = &mut wide[width..(frames + 1) * width];
        if mel.bin_stride() == 1 && mel.frame_stride() == bins {
            // Inner windows overlap in the spectrogram as it lies; the two at the ends have a frame of padding.
            if frames > 2 {
                let inner = Activations { data: mel.data(), rows: frames - 2, stride: bins, norm: None };
                model.conv1.apply(
                    &model.pool,
                    inner,
                    After::GELU,
                    &mut out[width..(frames - 1) * width],
                    &mut self.workspace,
                );
            }
            for frame in if frames == 1 { 0..1 } else { 0..2 } {
                let frame = frame * (frames - 1);
                self.edge.clear();
                for tap in 0..3 {
                    match (frame + tap).checked_sub(1).filter(|at| *at < frames) {
                        Some(at) => self.edge.extend_from_slice(&mel.data()[at * bins..(at + 1) * bins]),
                        None => self.edge.resize(self.edge.len() + bins, 0.0),
                    }
                }
                let window = Activations::new(&self.edge, 3 * bins);
                model.conv1.apply(
                    &model.pool,
                    window,
                    After::GELU,
                    &mut out[frame * width..(frame + 1) * width],
                    &mut self.workspace,
                );
            }
        } else {
            self.edge.clear();
            self.edge.resize((frames + 2) * bins, 0.0);
            for (frame, row) in self.edge[bins..(frames + 1) * bins].chunks_exact_mut(bins).enumerate() {
                for (bin, value) in row.iter_mut().enumerate() {
                    *value = mel.data()[frame * mel.frame_stride() + bin * mel.bin_stride()];
                }
            }
            let windows = Activations { data: &self.edge, rows: frames, stride: bins, norm: None };
            model.conv1.apply(&model.pool, windows, After::GELU, out, &mut self.workspace);
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
        let began = Instant::now();
        for (window, output) in windows.iter().zip(outputs) {
            self.window(*window, output)?;
        }
        Ok(EncodeReport { device: Arc::clone(&self.model.device), busy: began.elapsed(), fallback: None })
    }
}
