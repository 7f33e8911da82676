//! Sound into 16 kHz mono samples: microphone capture, resampling, file decoding; which of it is speech; and recordings
//! played.
//!
//! *Units*: samples are `f32` of about -1 to 1, 16,000 a second, one channel, wherever no other rate is named.

pub mod capture;
mod chime;
pub mod file;
mod mp4;
mod playback;
mod resample;
mod voice;
mod wav;

pub use capture::{Capture, CaptureError, CaptureEvent, Device, devices};
pub use chime::{Chime, ChimeError};
pub use file::{AudioFile, FileError};
pub use playback::{Playback, PlaybackError, PlaybackEvent};
pub use resample::Resampler;
pub use voice::VoiceDetector;

/// Samples per second of everything that leaves this crate.
pub const SAMPLE_RATE: u32 = 16_000;
