//! Models and recordings for tests, made from nothing but numbers, and what openai-whisper computes from them.
//!
//! Weights and clips come from SplitMix64, here and in `generate.py` alike, so the repository holds results only. The
//! weights are whole numbers times few bits: 16-bit and 32-bit floats hold them exactly, and every file format carries the
//! same model.

mod clips;
mod expectations;
mod ggml;
mod huggingface;
mod quantise;
mod random;
mod recipe;
mod vocabulary;

pub use clips::{Piece, render, speech};
pub use expectations::{
    DecodeCase, EncoderCase, Expectations, HeadsCase, LanguageCase, LogitsCase, MelCase, ModelCase, QuantisedCase,
    RecordingCase, SegmentCase, TokenizerCases, Values, WordCase,
};
pub use ggml::{NumberType, write_ggml};
pub use huggingface::{Folder, FolderType, write_folder};
pub use quantise::{dequantise, quantise};
pub use random::noise;
pub use recipe::Recipe;
pub use vocabulary::vocabulary;
