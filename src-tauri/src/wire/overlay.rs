//! What the overlay sees.

use amanuensis_settings::{Language, Theme};
use serde::Serialize;

use super::{DeviceKind, Failure};

/// The overlay as a whole: it is small, and sent at most ten times a second while it is shown.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Overlay {
    /// How far the dictation is.
    pub stage: OverlayStage,
    /// What it speaks.
    pub language: Language,
    /// Whether it is light or dark.
    pub theme: Theme,
    /// Speech begins dictations, and a pause ends them.
    pub hands_free: bool,
    /// The keys that end a dictation, if they are known.
    pub keys: Option<String>,
    /// The microphone, once one is open.
    pub microphone: Option<String>,
    /// What transcribes, in a word.
    pub device: Option<DeviceKind>,
    /// Seconds since the first sound.
    pub elapsed_s: u32,
    /// How loud the microphone is, 0 (silence) to 1 (full scale).
    pub level: f32,
    /// The end of what stays.
    pub committed: String,
    /// Words that the next look may change.
    pub tentative: String,
}

/// How far the dictation is that the overlay is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum OverlayStage {
    /// There is none.
    #[default]
    Waiting,
    /// The microphone is being opened; nothing was heard yet.
    Opening,
    /// Sound is being recorded.
    Recording,
    /// The rest of it is being written out.
    Writing,
    /// All of its text is there.
    Written,
    /// Nobody spoke.
    NoSpeech,
    /// It was thrown away.
    Cancelled,
    /// It could not be written out.
    Failed {
        /// Why.
        why: Failure,
    },
}
