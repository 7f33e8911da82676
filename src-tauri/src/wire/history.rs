//! The history, as the page shows it.

use serde::Serialize;

use super::Failure;

/// What was dictated and transcribed, as far as it is looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// The words that are looked for.
    pub typed: String,
    /// The newest first.
    pub entries: Vec<Entry>,
    /// How many entries fit, those included that are not shown.
    pub total: u32,
    /// How many were deleted just now, and can be put back.
    pub deleted: u32,
    /// Why there is no history, or only until the app is closed.
    pub fault: Option<Failure>,
}

/// A dictation or a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its number.
    pub id: u32,
    /// When it began, in milliseconds since 1970.
    pub started_ms: f64,
    /// How long its sound is.
    pub seconds: Option<f32>,
    /// How far it is.
    pub state: EntryState,
    /// Its text, as the user wants it.
    pub text: String,
    /// The text as it was heard, where a language model has gone over it.
    pub raw: Option<String>,
    /// Whether the user has written over its text.
    pub edited: bool,
    /// Name of the file.
    pub name: Option<String>,
    /// The model that was used.
    pub model: Option<String>,
    /// The device that was used: the word of its kind, or what an older version wrote.
    pub device: Option<String>,
    /// The program that the text was written into.
    pub application: Option<String>,
    /// From the end of the sound to the last word.
    pub waited_ms: Option<f32>,
    /// Whether it is kept until the user deletes it.
    pub pinned: bool,
    /// Whether there is sound to be played.
    pub sound: bool,
}

/// How far an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum EntryState {
    /// It is being recorded.
    Recording,
    /// Its text is being written.
    Transcribing,
    /// Its text is there.
    Done,
    /// It could not be transcribed, at least not as a whole.
    Failed {
        /// Why.
        why: Failure,
    },
    /// It broke off, and nobody has asked for its text yet.
    Interrupted,
}

/// A dictation that broke off and was found again.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Interrupted {
    /// Number of its entry.
    pub id: u32,
    /// When it began, in milliseconds since 1970.
    pub started_ms: f64,
    /// How much of it was saved.
    pub seconds: f32,
}
