//! Whisper's encoder and decoder on the CPU.
//!
//! One model graph, generic over how its weights are packed ([`Precision`]). Weights are packed once at load and shared; every
//! encoder and decoder holds the memory it works in.

mod decoder;
mod encoder;
mod graph;

use std::num::NonZeroUsize;
use std::sync::Arc;

use amanuensis_kernels::{Level, PackedBf16, PackedF32, PackedI8, ThreadPool};
use amanuensis_whisper::{DeviceInfo, Model, WeightError, Weights};

pub use graph::CpuModel;

/// How weights are held and multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32-bit floats: what the other precisions are compared with.
    F32,
    /// bfloat16 weights and activations; quick where the CPU has AVX-512 BF16, else a way to save memory.
    Bf16,
    /// 8-bit integers with a scale for each output; activations are quantised row by row.
    #[default]
    Int8,
}

/// How a model is loaded.
#[derive(Debug, Clone, Copy)]
pub struct CpuOptions {
    /// How weights are held and multiplied.
    pub precision: Precision,
    /// Threads that work on one product.
    pub threads: NonZeroUsize,
}

impl Default for CpuOptions {
    /// 8-bit weights, and all the cores that the process may use.
    fn default() -> Self {
        Self {
            precision: Precision::default(),
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// Loads a model's weights for the CPU.
///
/// # Errors
/// [`LoadError`].
pub fn load(weights: &Weights, options: CpuOptions) -> Result<Arc<dyn Model>, LoadError> {
    let pool = Arc::new(ThreadPool::new(options.threads));
    let detail = |precision: &str| {
        let threads = match pool.threads() {
            1 => "1 thread".to_owned(),
            count => format!("{count} threads"),
        };
        DeviceInfo { name: "cpu".to_owned(), detail: format!("{}, {precision}, {threads}", Level::best().name()) }
    };
    let precision = options.precision;
    Ok(match precision {
        Precision::F32 => Arc::new(CpuModel::<PackedF32>::load(weights, precision, detail("f32"), pool)?),
        Precision::Bf16 => Arc::new(CpuModel::<PackedBf16>::load(weights, precision, detail("bf16"), pool)?),
        Precision::Int8 => Arc::new(CpuModel::<PackedI8>::load(weights, precision, detail("int8"), pool)?),
    })
}

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A tensor could not be read.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// A tensor holds what is not a number.
    #[error("the model {path} is damaged: its tensor {tensor} holds values that are not numbers; download it again")]
    NotFinite {
        /// The model file.
        path: String,
        /// The tensor's name.
        tensor: String,
    },
}
