//! The one place that knows every backend: from a model file to what an engine works with.

use std::sync::Arc;
use std::time::Instant;

use amanuensis_backend_npu::NpuError;
use amanuensis_engine::Speech;
use amanuensis_models::ModelFile;
use amanuensis_whisper::{WeightError, Weights};

pub use amanuensis_backend_cpu::{CpuOptions, LoadError, Precision};
pub use amanuensis_backend_npu as npu;

/// Which device is to do the work.
#[derive(Debug, Clone, Default)]
pub enum Choice {
    /// The NPU for the encoder where there is one with a program for the model, else the CPU.
    #[default]
    Auto,
    /// The CPU, this way.
    Cpu(CpuOptions),
    /// The NPU for the encoder, the CPU for all else and for what the NPU cannot do.
    Npu(npu::NpuOptions, CpuOptions),
}

/// Why a model cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its file is none that can be read.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// Its weights do not go onto the device.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The NPU is required and cannot be used.
    #[error(transparent)]
    Npu(#[from] NpuError),
}

/// Loads a model onto the device of choice. The first time it takes as long as its weights take to be read and packed: seconds
/// for the large ones.
///
/// # Errors
/// [`OpenError`].
pub fn open(file: &ModelFile, choice: &Choice) -> Result<Speech, OpenError> {
    let start = Instant::now();
    let weights = Weights::open(&file.path)?;
    let (on_npu, options) = match choice {
        Choice::Auto => {
            let defaults = npu::NpuOptions::default();
            let there = npu::is_available(weights.dims(), defaults.format);
            (there.then_some(defaults), CpuOptions::default())
        }
        Choice::Cpu(options) => (None, *options),
        Choice::Npu(on_npu, options) => (Some(on_npu.clone()), *options),
    };
    let mut model = match amanuensis_backend_cpu::cache_folder() {
        Some(folder) => amanuensis_backend_cpu::load_cached(&weights, options, &folder)?,
        None => amanuensis_backend_cpu::load(&weights, options)?,
    };
    if let Some(on_npu) = on_npu {
        model = npu::load(&weights, model, &on_npu)?;
    }
    tracing::info!(model = file.name, ms = start.elapsed().as_millis(), "model loaded");
    Ok(Speech { name: file.name.clone(), model, tokenizer: Arc::clone(weights.tokenizer()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ggml-broken.bin");
        std::fs::write(&path, bytes).unwrap();
        let file = ModelFile { name: "broken".to_owned(), path, demo: false };
        open(&file, &Choice::Auto).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_model_is_refused_in_a_sentence() {
        for bytes in [&b""[..], b"lmg", b"not a model at all", &[0; 100]] {
            let sentence = refusal(bytes);
            assert!(sentence.contains("ggml-broken.bin") && !sentence.contains('\n'), "{sentence}");
        }
    }

    #[test]
    fn the_demo_model_opens() {
        let Some(demo) = amanuensis_models::demo() else {
            println!("skipped: the demo model is not there");
            return;
        };
        let speech = open(&demo, &Choice::Auto).unwrap();
        assert_eq!(speech.name, amanuensis_models::DEMO);
        assert_eq!(speech.tokenizer.n_vocab(), speech.model.dims().n_vocab);
    }
}
