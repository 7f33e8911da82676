//! What an NPU has to do for the encoder, whether it is one or a simulation.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use amanuensis_npu_kernels::program::Program;
use amanuensis_whisper::{DeviceInfo, Fallback};

use crate::image::Pages;

/// What a device is opened with.
#[derive(Debug)]
pub struct Plan {
    /// The layer program.
    pub program: Program,
    /// All weights, as the program places them.
    pub(crate) image: Arc<Pages>,
}

/// Why a device did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// It cannot be opened. The text says what to do.
    #[error("{0}")]
    Unavailable(Fallback),
    /// It failed; what it was doing is lost, and it has to be opened again.
    #[error("the NPU failed: {0}")]
    Lost(Fallback),
}

/// A device on which encoders run. Closed when it is made.
pub trait Device: Send + Debug {
    /// Its name, and what a person should know of it.
    fn info(&self) -> DeviceInfo;

    /// Opens it and gives it the weights. What was open before is closed.
    ///
    /// # Errors
    /// [`DeviceError::Unavailable`].
    fn open(&mut self, plan: &Plan) -> Result<(), DeviceError>;

    /// Gives back everything that [`open`](Self::open) took.
    fn close(&mut self);

    /// Encodes one window and returns the time during which the device was busy with it.
    ///
    /// *Shape*: `spectrogram` `[frames, mels]`, bins adjacent; `result` `[positions, width]`. Both are read and written where they
    /// lie if they begin on a page.
    ///
    /// # Errors
    /// [`DeviceError`]. After [`DeviceError::Lost`] it is closed.
    fn encode(
        &mut self,
        plan: &Plan,
        frames: usize,
        spectrogram: &[f32],
        result: &mut [f32],
    ) -> Result<Duration, DeviceError>;
}
