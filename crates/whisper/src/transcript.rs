//! What comes out: text with times.

use std::time::Duration;

use crate::TokenId;

/// The text of one recording.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transcript {
    /// Code of the language that was spoken or asked for ("en").
    pub language: String,
    /// Segments in order of time.
    pub segments: Vec<Segment>,
}

impl Transcript {
    /// The text of all segments, trimmed.
    pub fn text(&self) -> String {
        self.segments.iter().map(|segment| segment.text.as_str()).collect::<String>().trim().to_owned()
    }
}

/// A stretch of speech, as Whisper's timestamps cut it.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Start, from the beginning of the recording.
    pub start: Duration,
    /// End, from the beginning of the recording.
    pub end: Duration,
    /// Start of the 30 s window in which it was heard.
    pub window_start: Duration,
    /// Text as decoded, usually with a leading space.
    pub text: String,
    /// Text tokens, without timestamps.
    pub tokens: Vec<TokenId>,
    /// Words with times, where they were asked for.
    pub words: Vec<Word>,
    /// Mean natural-log probability of the window's tokens.
    pub avg_logprob: f32,
    /// Probability that the window holds no speech.
    pub no_speech_prob: f32,
    /// Bytes of the window's text over bytes of its zlib compression.
    pub compression_ratio: f32,
    /// Temperature at which the window was decoded.
    pub temperature: f32,
}

/// A word with its times, from cross-attention.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// Start, from the beginning of the recording.
    pub start: Duration,
    /// End, from the beginning of the recording.
    pub end: Duration,
    /// The word as decoded, usually with a leading space, with its punctuation.
    pub text: String,
    /// Mean probability of its tokens.
    pub probability: f32,
}
