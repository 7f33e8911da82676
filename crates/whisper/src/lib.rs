//! The Whisper model without a device: dimensions, weight files, tokenizer, backend traits, decoding rules.
//!
//! Nothing here computes a matrix product. A backend implements [`Encoder`] and [`Decoder`]; this crate
//! reads the weights they need, drives them window by window, and turns tokens into a [`Transcript`].

pub mod align;
pub mod backend;
pub mod decode;
pub mod dims;
pub mod languages;
pub mod sequence;
pub mod tokenizer;
pub mod transcript;
pub mod units;
pub mod weights;

pub use backend::{
    BackendError, Decoder, DeviceInfo, EncodeReport, Encoder, Fallback, LogitsFor, MelView, Model, Obstacle,
};
pub use decode::{DecodeError, DecodeOptions, Observer, Task, WindowDecoder, WindowResult};
pub use dims::{Dims, Vocabulary};
pub use sequence::Sequencer;
pub use tokenizer::Tokenizer;
pub use transcript::{Segment, Transcript, Word};
pub use units::{FRAMES_PER_WINDOW, HOP_SAMPLES, POSITIONS_PER_WINDOW, SAMPLE_RATE, SAMPLES_PER_WINDOW, TokenId};
pub use weights::{Dtype, Tensor, WeightError, Weights};
