//! Whisper's encoder on AMD's XDNA2 NPU, through XRT, or on a simulation of it.
//!
//! [`load`] puts the encoder of a loaded model on the NPU; [`open`] makes one that falls back to another one, always saying why: when there is no NPU, when what the NPU computes
//! differs from what the other one does, and when the NPU fails and cannot be brought back. **Nothing here has run on an NPU.** The way to XRT runs
//! against a virtual device beneath the real XRT; the arithmetic is that of the kernels in `kernels/npu`.

mod checks;
pub mod device;
pub mod diagnose;
mod driver;
mod encoder;
mod image;
mod model;
mod simulated;
pub mod telemetry;
mod xrt;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use amanuensis_npu_kernels::manifest::{BundleError, MANIFEST_FILE};
use amanuensis_npu_kernels::program::{Program, Shape, Unfit};
use amanuensis_whisper::{Dims, Encoder, Fallback, Obstacle, WeightError, Weights};

use crate::device::{Device, DeviceError, Plan};
use crate::encoder::NpuEncoder;

pub use amanuensis_npu_kernels::number::Format;
pub use amanuensis_npu_kernels::timing::Machine;
pub use diagnose::diagnose;
pub use model::load;
pub use simulated::{Pace, Simulated};
pub use xrt::XrtDevice;

/// Names the folder of the NPU's programs, before all places where they are looked for.
pub const PROGRAM_VARIABLE: &str = "AMANUENSIS_NPU_PROGRAM";

/// What happens when the NPU cannot do the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// The fallback does it, and the report says why.
    #[default]
    AllowFallback,
    /// The call fails.
    RequireNpu,
}

/// Which NPU.
#[derive(Debug, Clone)]
pub enum Choice {
    /// The one in this machine.
    Hardware {
        /// Its index among XRT's devices.
        index: u32,
        /// The folder of its program; `None` looks where programs are installed.
        program: Option<PathBuf>,
    },
    /// A simulation in this process: as exact as the kernels, and slower than the CPU.
    Simulated {
        /// Of what its predicted times are predicted.
        machine: Machine,
        /// Whether calls take as long as the computation or as predicted.
        pace: Pace,
        /// Threads that compute.
        threads: NonZeroUsize,
    },
}

/// How an encoder for the NPU is made.
#[derive(Debug, Clone)]
pub struct NpuOptions {
    /// Which NPU.
    pub choice: Choice,
    /// Number format of the products. In int8 more words are wrong.
    pub format: Format,
    /// What happens when it cannot do the work.
    pub policy: Policy,
}

impl NpuOptions {
    /// A simulation on all cores, with fallback.
    pub fn simulated() -> Self {
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let choice = Choice::Simulated { machine: Machine::default(), pace: Pace::default(), threads };
        Self { choice, ..Self::default() }
    }
}

impl Default for NpuOptions {
    /// The first NPU of this machine, bfp16, with fallback.
    fn default() -> Self {
        let choice = Choice::Hardware { index: 0, program: None };
        Self { choice, format: Format::default(), policy: Policy::default() }
    }
}

/// Why there is no encoder on the NPU.
#[derive(Debug, thiserror::Error)]
pub enum NpuError {
    /// The model does not fit the kernels.
    #[error("this model cannot run on the NPU: {0}")]
    Unfit(#[from] Unfit),
    /// A tensor could not be read.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The NPU's program cannot be used.
    #[error(transparent)]
    Program(#[from] BundleError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The NPU computes something else than the fallback.
    #[error(
        "the NPU's results differ from the CPU's (similarity {similarity:.4}); its program or its driver is damaged"
    )]
    SelfCheck {
        /// Cosine of the angle between both results.
        similarity: f64,
    },
    /// The fallback could not compute what the NPU's results are compared with.
    #[error("the NPU's results could not be checked: {0}")]
    NothingToCompare(String),
}

impl NpuError {
    /// What stands in the NPU's way.
    pub fn obstacle(&self) -> Obstacle {
        match self {
            Self::Unfit(_) | Self::Weights(_) => Obstacle::Model,
            Self::Program(_) => Obstacle::Program,
            Self::Device(DeviceError::Unavailable(reason) | DeviceError::Lost(reason)) => reason.obstacle,
            Self::SelfCheck { .. } => Obstacle::Wrong,
            Self::NothingToCompare(_) => Obstacle::Failed,
        }
    }
}

impl From<NpuError> for Fallback {
    fn from(error: NpuError) -> Self {
        Self::new(error.obstacle(), error)
    }
}

/// Makes an encoder on the NPU over `fallback`, which does what the NPU cannot.
///
/// Opens the device, hands it the weights, and compares its result for a short window with the fallback's.
///
/// # Errors
/// [`NpuError`], with [`Policy::RequireNpu`] only: else the encoder works all the same, on the fallback, and says why.
pub fn open(weights: &Weights, fallback: Box<dyn Encoder>, options: &NpuOptions) -> Result<Box<dyn Encoder>, NpuError> {
    let device: Box<dyn Device> = match &options.choice {
        Choice::Hardware { index, program } => Box::new(XrtDevice::new(*index, program.clone())),
        Choice::Simulated { machine, pace, threads } => Box::new(Simulated::new(*machine, *pace, *threads)),
    };
    open_on(device, weights, fallback, options)
}

/// As [`open`], on a device of the caller's.
///
/// # Errors
/// As [`open`].
pub fn open_on(
    device: Box<dyn Device>,
    weights: &Weights,
    fallback: Box<dyn Encoder>,
    options: &NpuOptions,
) -> Result<Box<dyn Encoder>, NpuError> {
    let plan = Program::new(shape_of(weights.dims()), options.format)
        .map_err(NpuError::from)
        .and_then(|program| Ok(Plan { image: Arc::new(image::build(weights, &program)?), program }));
    let encoder = NpuEncoder::new(*weights.dims(), device, plan, fallback, options.policy)?;
    Ok(Box::new(encoder))
}

/// Whether this machine has an NPU, and a program for such a model that runs on it. Opens nothing.
pub fn is_available(dims: &Dims, format: Format) -> bool {
    let program = Program::new(shape_of(dims), format).ok();
    let folder = program.and_then(|program| xrt::installed_program(&program));
    checks::node(0).is_ok() && folder.is_some_and(|folder| folder.join(MANIFEST_FILE).is_file())
}

/// The encoder's part of a model's dimensions.
pub fn shape_of(dims: &Dims) -> Shape {
    Shape {
        mels: dims.n_mels,
        positions: dims.n_audio_ctx,
        width: dims.n_audio_state,
        heads: dims.n_audio_head,
        layers: dims.n_audio_layer,
    }
}

/// The name of the folder that holds the program of an encoder.
pub fn program_name(shape: &Shape, format: Format) -> String {
    let Shape { mels, positions, width, heads, layers } = shape;
    format!("encoder-{layers}x{width}-h{heads}-m{mels}-p{positions}-{}", format.name())
}
