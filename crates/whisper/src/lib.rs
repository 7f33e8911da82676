//! The Whisper model without a device: dimensions, weight files, tokenizer, backend traits, decoding rules.
//!
//! Nothing here computes a matrix product. A backend implements [`Encoder`] and [`Decoder`]; this crate
//! reads the weights they need, drives them window by window, and turns tokens into a [`Transcript`].

pub mod backend;
pub mod dims;
pub mod transcript;
pub mod units;

pub use backend::{BackendError, Decoder, DeviceInfo, EncodeReport, Encoder, LogitsFor, MelView, Model};
pub use dims::Dims;
pub use transcript::{Segment, Transcript, Word};
pub use units::{FRAMES_PER_WINDOW, HOP_SAMPLES, POSITIONS_PER_WINDOW, SAMPLE_RATE, SAMPLES_PER_WINDOW, TokenId};
