//! Whisper's encoder and decoder on the CPU.
//!
//! One model graph, generic over how its weights are packed ([`Precision`]). Weights are packed once at load and shared; every
//! encoder and decoder holds the memory it works in.

mod cache;
mod cores;
mod decoder;
mod encoder;
mod graph;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use amanuensis_kernels::{Level, PackedBf16, PackedF32, PackedI8, WeightMatrix};
use amanuensis_whisper::{DeviceInfo, Model, WeightError, Weights};

use cache::{Place, report};
use graph::Reader;

pub use cache::folder as cache_folder;
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
    load_at(weights, options, None)
}

/// As [`load`], by way of a folder that keeps what was packed, usually [`cache_folder`]: the second load of a model takes
/// little time, and its weights no memory that is not shared. Where nothing can be kept, they are packed as ever.
///
/// # Errors
/// [`LoadError`].
pub fn load_cached(weights: &Weights, options: CpuOptions, folder: &Path) -> Result<Arc<dyn Model>, LoadError> {
    load_at(weights, options, report(Place::new(folder, weights, options.precision)).as_ref())
}

fn load_at(weights: &Weights, options: CpuOptions, place: Option<&Place>) -> Result<Arc<dyn Model>, LoadError> {
    match options.precision {
        Precision::F32 => load_as::<PackedF32>(weights, options, place, "f32"),
        Precision::Bf16 => load_as::<PackedBf16>(weights, options, place, "bf16"),
        Precision::Int8 => load_as::<PackedI8>(weights, options, place, "int8"),
    }
}

fn load_as<W: WeightMatrix + 'static>(
    weights: &Weights,
    options: CpuOptions,
    place: Option<&Place>,
    precision: &str,
) -> Result<Arc<dyn Model>, LoadError> {
    let detail = format!("{}, {precision}", Level::best().name());
    let device = Arc::new(DeviceInfo { name: "cpu".to_owned(), detail, threads: Some(options.threads) });
    let model = |reader: &mut Reader<'_>| {
        CpuModel::<W>::load(reader, options.precision, Arc::clone(&device), options.threads).map(Arc::new)
    };
    let kept = || model(&mut Reader::stored(weights, place?.open()?)).ok();
    if let Some(model) = kept() {
        return Ok(model);
    }
    let mut reader = Reader::packing(weights, place.and_then(|place| report(place.create())));
    let packed = model(&mut reader)?;
    // From now on it is in memory that costs this process nothing.
    let mapped = reader.finish().and_then(|()| kept());
    Ok(mapped.unwrap_or(packed))
}

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A tensor could not be read.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// What was packed before is not what the model is made of.
    #[error("the packed weights in the cache do not fit the model; delete them, and they are packed again")]
    Stored,
    /// A tensor holds what is not a number.
    #[error("the model {path} is damaged: its tensor {tensor} holds values that are not numbers; download it again")]
    NotFinite {
        /// The model file.
        path: String,
        /// The tensor's name.
        tensor: String,
    },
}
