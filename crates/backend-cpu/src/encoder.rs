//! The encoder: two convolutions, then layers of attention and MLP.

use std::sync::Arc;
use std::time::Instant;

use amanuensis_kernels::{Activations, WeightMatrix};
use amanuensis_whisper::{BackendError, DeviceInfo, Dims, EncodeReport, Encoder, MelView};

use crate::graph::{After, CpuModel};

/// Encodes windows with memory of its own, which grows to the longest window and stays.
#[derive(Debug)]
pub(crate) struct CpuEncoder<W> {
    model: Arc<CpuModel<W>>,
    /// `[positions, d]`: the residual stream.
    x: Vec<f32>,
    /// `[positions, d]`: what a layer normalisation or an attention made.
    normed: Vec<f32>,
    /// The largest intermediate at a time: the first convolution with a frame of zeros on either side, queries keys and
    /// values, or the hidden layer of the MLP.
    wide: Vec<f32>,
    /// The first or last window of a convolution with its padding, or a whole transposed spectrogram.
    edge: Vec<f32>,
    scratch: Vec<u8>,
}

impl<W: WeightMatrix> CpuEncoder<W> {
    pub(crate) fn new(model: Arc<CpuModel<W>>) -> Self {
        Self { model, x: Vec::new(), normed: Vec::new(), wide: Vec::new(), edge: Vec::new(), scratch: Vec::new() }
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
        grow(&mut self.normed, positions * width);
        grow(&mut self.wide, (positions * 4 * width).max((frames + 2) * width));

        self.convolve_mel(mel);
        let x = &mut self.x[..positions * width];
        let normed = &mut self.normed[..positions * width];
        x.copy_from_slice(&model.audio_positions[..positions * width]);
        let windows = Activations { data: &self.wide[..(frames + 2) * width], rows: positions, stride: 2 * width };
        model.conv2.apply(pool, windows, After::GELU_ADD, x, &mut self.scratch);
        for layer in &model.encoder {
            let qkv = &mut self.wide[..positions * 3 * width];
            layer.attention_norm.apply(pool, x, normed);
            layer.qkv.apply(pool, Activations::new(normed, width), After::NOTHING, qkv, &mut self.scratch);
            model.attention.encode(pool, qkv, positions, normed);
            layer.attention_out.apply(pool, Activations::new(normed, width), After::ADD, x, &mut self.scratch);
            layer.mlp.apply(pool, x, normed, &mut self.wide[..positions * 4 * width], &mut self.scratch);
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
                let inner = Activations { data: mel.data(), rows: frames - 2, stride: bins };
                model.conv1.apply(
                    &model.pool,
                    inner,
                    After::GELU,
                    &mut out[width..(frames - 1) * width],
                    &mut self.scratch,
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
                    &mut self.scratch,
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
            let windows = Activations { data: &self.edge, rows: frames, stride: bins };
            model.conv1.apply(&model.pool, windows, After::GELU, out, &mut self.scratch);
        }
    }
}

impl<W: WeightMatrix> Encoder for CpuEncoder<W> {
    fn dims(&self) -> &Dims {
        &self.model.dims
    }

    fn device(&self) -> DeviceInfo {
        self.model.device.clone()
    }

    fn encode(&mut self, windows: &[MelView<'_>], outputs: &mut [&mut [f32]]) -> Result<EncodeReport, BackendError> {
        if windows.len() != outputs.len() {
            return Err(BackendError::Shape { what: "list of outputs", found: outputs.len(), expected: windows.len() });
        }
        let began = Instant::now();
        for (window, output) in windows.iter().zip(outputs) {
            self.window(*window, output)?;
        }
        Ok(EncodeReport { device: self.device(), busy: began.elapsed(), fallback: None })
    }
}
