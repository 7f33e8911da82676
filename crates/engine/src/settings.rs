//! What an engine is started with.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use amanuensis_whisper::{Model, Tokenizer};

/// Most requests that may wait.
pub(crate) const MOST_QUEUED: usize = 100;
/// Most workers of one stage.
pub(crate) const MOST_WORKERS: usize = 4;

/// A loaded model, ready to be worked with.
#[derive(Clone)]
pub struct Speech {
    /// The model's name, as a person knows it.
    pub name: String,
    /// Its weights on their device.
    pub model: Arc<dyn Model>,
    /// Its vocabulary.
    pub tokenizer: Arc<Tokenizer>,
}

impl std::fmt::Debug for Speech {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Speech").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Whether stages overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Each stage works on another window.
    #[default]
    Pipelined,
    /// One window at a time goes through all stages. For comparison.
    Sequential,
}

/// Whether the encoder sees only the speech of a short window, with a margin, in place of 30 s. It is faster by as much as the
/// window is shorter; the text may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrimContext {
    /// It sees 30 s, as the model was trained.
    Never,
    /// For live requests, where time counts most.
    #[default]
    Live,
    /// For all requests.
    Always,
}

/// How an engine works. Numbers beyond what is allowed are cut to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether stages overlap.
    pub mode: Mode,
    /// Requests that may wait to be started: 1 to 100.
    pub queue: usize,
    /// Threads that load audio and compute spectrograms: 1 to 4; of several, one is kept for live requests.
    pub mel_workers: usize,
    /// Threads that decode: 1 to 4. Each holds the caches of one window; of several, one is kept for live requests.
    pub decode_workers: usize,
    /// Whether short windows are encoded as short as they are.
    pub trim_context: TrimContext,
    /// A window that has waited this long for a stage gets every fourth turn, whatever its priority.
    pub ageing: Duration,
    /// Idle time after which the memory of free buffers is given back.
    pub shrink_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            mode: Mode::default(),
            queue: MOST_QUEUED,
            mel_workers: cores.min(MOST_WORKERS),
            decode_workers: MOST_WORKERS,
            trim_context: TrimContext::default(),
            ageing: Duration::from_secs(5),
            shrink_after: Duration::from_secs(60),
        }
    }
}

/// What becomes of the requests that an engine still has when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// They are finished first.
    Drain,
    /// They are cancelled.
    Cancel,
}
