//! What a device must do: encode windows, and decode tokens against an encoded window.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crate::{Dims, TokenId};

/// A log-mel window as the encoder reads it, wherever it lies and whichever way round.
///
/// *Shape*: `[frames, n_mels]`; element `(frame, bin)` is `data[frame * frame_stride + bin * bin_stride]`.
#[derive(Debug, Clone, Copy)]
pub struct MelView<'a> {
    data: &'a [f32],
    frames: usize,
    n_mels: usize,
    frame_stride: usize,
    bin_stride: usize,
}

impl<'a> MelView<'a> {
    /// A view of `[frames, n_mels]`, bins adjacent. `None` if `data` is too short.
    pub fn by_frame(data: &'a [f32], frames: usize, n_mels: usize) -> Option<Self> {
        (data.len() >= frames.checked_mul(n_mels)?).then_some(Self {
            data,
            frames,
            n_mels,
            frame_stride: n_mels,
            bin_stride: 1,
        })
    }

    /// A view of `[n_mels, frames]`, frames adjacent, as OpenAI stores it. `None` if `data` is too short.
    pub fn by_bin(data: &'a [f32], frames: usize, n_mels: usize) -> Option<Self> {
        (data.len() >= frames.checked_mul(n_mels)?).then_some(Self {
            data,
            frames,
            n_mels,
            frame_stride: 1,
            bin_stride: frames,
        })
    }

    /// Mel frames.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Mel bins.
    pub fn n_mels(&self) -> usize {
        self.n_mels
    }

    /// Encoder positions that the window becomes: half the frames, rounded up.
    pub fn positions(&self) -> usize {
        self.frames.div_ceil(2)
    }

    /// Distance between the same bin of neighbouring frames, in elements.
    pub fn frame_stride(&self) -> usize {
        self.frame_stride
    }

    /// Distance between neighbouring bins of a frame, in elements.
    pub fn bin_stride(&self) -> usize {
        self.bin_stride
    }

    /// The elements under the view.
    pub fn data(&self) -> &'a [f32] {
        self.data
    }
}

/// Which device does the work, and why that one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Short stable name: `cpu`, `npu`, `npu-simulated`.
    pub name: String,
    /// What a person should know, in names that no language has words for: instruction set and number type, or the NPU's name.
    pub detail: String,
    /// The threads that it computes with, where that is what it has.
    pub threads: Option<NonZeroUsize>,
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.detail)?;
        match self.threads {
            Some(NonZeroUsize::MIN) => out.write_str(", 1 thread"),
            Some(threads) => write!(out, ", {threads} threads"),
            None => Ok(()),
        }
    }
}

/// Why another device than the preferred one does the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// What stands in the way.
    pub obstacle: Obstacle,
    /// The same with all that is known of it, and what to do. Displayed it is just this.
    pub text: String,
}

impl Fallback {
    /// What is known of an obstacle.
    pub fn new(obstacle: Obstacle, text: impl ToString) -> Self {
        Self { obstacle, text: text.to_string() }
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// What can stand in a device's way, by what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// There is no such device.
    Absent,
    /// This user may not open it.
    Forbidden,
    /// This user may lock less memory than it needs.
    LockedMemory,
    /// The library that speaks to it is not installed, or is too old.
    Library,
    /// Driver or firmware are older than the library.
    Firmware,
    /// Its program is missing, damaged, or not for it.
    Program,
    /// The model does not fit it, or cannot be read.
    Model,
    /// It computes something else than the device that it is compared with.
    Wrong,
    /// It failed.
    Failed,
}

/// What one call of [`Encoder::encode`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeReport {
    /// The device that really did it: shared, so that a report takes nothing from the heap.
    pub device: Arc<DeviceInfo>,
    /// Time during which that device was busy with it.
    pub busy: Duration,
    /// Why another device than the preferred one did it.
    pub fallback: Option<Fallback>,
}

/// Why a backend could not compute.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The caller passed a shape that the model does not have.
    #[error("the {what} has {found} values where the model needs {expected}")]
    Shape {
        /// What was passed.
        what: &'static str,
        /// Values found.
        found: usize,
        /// Values expected.
        expected: usize,
    },
    /// Token sequence longer than the model's text context.
    #[error("{tokens} tokens do not fit the model's text context of {limit}")]
    TooManyTokens {
        /// Tokens after the call.
        tokens: usize,
        /// The model's limit.
        limit: usize,
    },
    /// More decoding rows than the decoder was made for.
    #[error("{rows} rows asked for where the decoder holds {limit}")]
    TooManyRows {
        /// Rows asked for.
        rows: usize,
        /// Rows the decoder was made for.
        limit: usize,
    },
    /// The results are not numbers: the weights are damaged.
    #[error("the model computes values that are not numbers; the model file is probably damaged; download it again")]
    NotFinite,
    /// The device failed and no other may be used.
    #[error("{device} failed: {reason}")]
    Device {
        /// The device's name.
        device: String,
        /// What it said.
        reason: String,
    },
}

/// Turns log-mel windows into encoder output. One owner at a time: it serialises its device.
pub trait Encoder: Send {
    /// The model's dimensions.
    fn dims(&self) -> &Dims;

    /// The device that is meant to do the work.
    fn device(&self) -> DeviceInfo;

    /// How many windows one call can take with gain; 1 where windows gain nothing from each other.
    fn max_batch(&self) -> usize {
        1
    }

    /// Encodes each window into the output of the same index.
    ///
    /// *Shape*: window `[frames, n_mels]`, `frames <= 2 * n_audio_ctx`; output `[positions, n_audio_state]` with
    /// `positions = window.positions()`, of exactly that length. Fewer frames than a full window mean a trimmed audio context.
    ///
    /// # Errors
    /// [`BackendError`]; the outputs are then unspecified.
    fn encode(&mut self, windows: &[MelView<'_>], outputs: &mut [&mut [f32]]) -> Result<EncodeReport, BackendError>;
}

/// Which positions of a [`Decoder::forward`] want their logits written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogitsFor {
    /// None: the call only fills the cache.
    Nothing,
    /// The last position of each row: `[rows, n_vocab]`.
    Last,
    /// One earlier position and the last of each row: `[rows, 2, n_vocab]`, for the no-speech probability
    /// at the start-of-transcript token and the first sampled token in one pass.
    LastAnd(usize),
    /// Every position: `[rows, tokens, n_vocab]`.
    Every,
}

impl LogitsFor {
    /// Positions of a row to which so many tokens are appended.
    pub fn positions(self, tokens: usize) -> impl Iterator<Item = usize> {
        let last = tokens.saturating_sub(1)..tokens;
        let (first, others) = match self {
            Self::Nothing => (None, 0..0),
            Self::Last => (None, last),
            Self::LastAnd(position) => (Some(position), last),
            Self::Every => (None, 0..tokens),
        };
        first.into_iter().chain(others)
    }
}

/// Decodes tokens against one encoded window, several rows (beams, samples) at a time.
///
/// Holds its own caches, made once for `max_rows`: nothing is allocated while decoding.
pub trait Decoder: Send {
    /// The model's dimensions.
    fn dims(&self) -> &Dims;

    /// The device that does the work.
    fn device(&self) -> DeviceInfo;

    /// Rows that can be decoded together.
    fn max_rows(&self) -> usize;

    /// Positions of the window that it holds.
    fn positions(&self) -> usize;

    /// Takes a new window: computes cross-attention keys and values once, and forgets all tokens.
    ///
    /// *Shape*: `encoded` is `[positions, n_audio_state]`.
    ///
    /// # Errors
    /// [`BackendError::Shape`] if it is not.
    fn start(&mut self, encoded: &[f32]) -> Result<(), BackendError>;

    /// Forgets all tokens but keeps the window: the next call of [`forward`](Self::forward) starts sequences of `rows` rows.
    ///
    /// # Errors
    /// [`BackendError::TooManyRows`].
    fn restart(&mut self, rows: usize) -> Result<(), BackendError>;

    /// Row `i` goes on from what was row `sources[i]`; the number of rows becomes `sources.len()`.
    ///
    /// # Errors
    /// [`BackendError::TooManyRows`].
    fn reorder(&mut self, sources: &[usize]) -> Result<(), BackendError>;

    /// Appends the same number of tokens to every row, and writes the logits asked for, in place of what `logits` held.
    ///
    /// *Shape*: `tokens` is `[rows, n]`; `logits` becomes as [`LogitsFor`] says.
    ///
    /// # Errors
    /// [`BackendError::TooManyTokens`], [`BackendError::Shape`].
    fn forward(&mut self, tokens: &[TokenId], want: LogitsFor, logits: &mut Vec<f32>) -> Result<(), BackendError>;

    /// Runs `tokens` once from the start as a single row and writes the cross-attention scores
    /// (before softmax, scaled) of `heads`, given as (layer, head). Forgets all tokens before and after.
    ///
    /// *Shape*: `scores` is `[heads, tokens, positions]`; `logits` becomes `[tokens, n_vocab]`.
    ///
    /// # Errors
    /// [`BackendError`].
    fn align(
        &mut self,
        tokens: &[TokenId],
        heads: &[(usize, usize)],
        scores: &mut [f32],
        logits: &mut Vec<f32>,
    ) -> Result<(), BackendError>;
}

/// Loaded weights, shared by the encoders and decoders made from them.
pub trait Model: Send + Sync {
    /// The model's dimensions.
    fn dims(&self) -> &Dims;

    /// An encoder over these weights.
    fn encoder(self: Arc<Self>) -> Box<dyn Encoder>;

    /// A decoder over these weights, with caches for `max_rows` rows.
    fn decoder(self: Arc<Self>, max_rows: usize) -> Box<dyn Decoder>;

    /// Whether its encoders and decoders use the same cores, in turns: what is decoded waits while a window is encoded. It is
    /// then well to encode several windows before they are decoded, side by side.
    fn shares_cores(&self) -> bool {
        false
    }
}
