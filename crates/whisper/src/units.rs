//! Units of time along the pipeline, and the arithmetic between them.
//!
//! *Source*: <https://github.com/openai/whisper/blob/v20250625/whisper/audio.py>

/// Samples per second of all audio inside the engine.
pub const SAMPLE_RATE: u32 = 16_000;
/// Samples between the starts of two mel frames (10 ms).
pub const HOP_SAMPLES: usize = 160;
/// Samples of one 30 s window.
pub const SAMPLES_PER_WINDOW: usize = 30 * SAMPLE_RATE as usize;
/// Mel frames of one 30 s window.
pub const FRAMES_PER_WINDOW: usize = 3000;
/// Encoder positions of one 30 s window (20 ms each).
pub const POSITIONS_PER_WINDOW: usize = 1500;

const _: () = assert!(FRAMES_PER_WINDOW * HOP_SAMPLES == SAMPLES_PER_WINDOW);
const _: () = assert!(POSITIONS_PER_WINDOW * 2 == FRAMES_PER_WINDOW);

/// Index of a token in the model's vocabulary.
pub type TokenId = u32;
