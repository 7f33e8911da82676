//! Loads a model as a test wants it, and runs it.

use std::path::Path;
use std::sync::Arc;

use amanuensis_backend_cpu::{CpuOptions, Precision, load};
use amanuensis_golden::{NumberType, Recipe, write_ggml};
use amanuensis_mel::LogMel;
use amanuensis_whisper::{Dtype, FRAMES_PER_WINDOW, MelView, Model, Weights};

/// A model that was written to a file and read again.
pub struct Loaded {
    pub weights: Weights,
    pub model: Arc<dyn Model>,
    mel: LogMel,
}

impl Loaded {
    pub fn open(path: &Path, precision: Precision) -> Self {
        let weights = Weights::open(path).expect("a model that was just written");
        let model = load(&weights, CpuOptions { precision, ..CpuOptions::default() }).expect("whole weights");
        Self { mel: LogMel::new(weights.dims().n_mels), weights, model }
    }

    /// From a ggml file of this type, in 32-bit floats.
    pub fn ggml(recipe: &Recipe, number_type: NumberType) -> Self {
        Self::ggml_as(recipe, number_type, Precision::F32)
    }

    pub fn ggml_as(recipe: &Recipe, number_type: NumberType, precision: Precision) -> Self {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        write_ggml(file.path(), recipe, number_type).expect("room for a model");
        Self::open(file.path(), precision)
    }

    /// From the simplest of files.
    pub fn plain(recipe: &Recipe) -> Self {
        Self::ggml(recipe, NumberType::Of(Dtype::F16))
    }

    /// Encoder output of the 30 s that begin with these samples.
    pub fn encode(&mut self, samples: &[f32]) -> Vec<f32> {
        let dims = *self.weights.dims();
        let mut mel = vec![0.0; FRAMES_PER_WINDOW * dims.n_mels];
        self.mel.compute(samples, &mut mel);
        let view = MelView::by_frame(&mel, FRAMES_PER_WINDOW, dims.n_mels).expect("a whole window");
        let mut encoded = vec![f32::NAN; dims.n_audio_ctx * dims.n_audio_state];
        let mut encoder = Arc::clone(&self.model).encoder();
        encoder.encode(&[view], &mut [&mut encoded]).expect("finite weights");
        encoded
    }
}

pub fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, |largest, value| {
        // What is not a number must not be lost.
        if value <= largest { largest } else { value }
    })
}
