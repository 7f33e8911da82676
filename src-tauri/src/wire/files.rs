//! Recordings and their transcripts, as the page sees them.

use serde::{Deserialize, Serialize};

use super::Failure;

/// A recording in the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Number of the file since the app was started.
    pub id: u32,
    /// File name without its folder, as it can be shown.
    pub name: String,
    /// The folder, as it can be shown.
    pub folder: String,
    /// How far it is.
    pub state: FileState,
    /// Length of the recording, where it is known.
    pub duration_ms: Option<u32>,
    /// Code of the language that it is said to be in; none if the model finds out.
    pub language: Option<String>,
    /// Name of the model that is to write it down; none for the one in use.
    pub model: Option<String>,
    /// The first words of its text.
    pub preview: String,
    /// Name of the document that was written beside it, because its folder is watched.
    pub saved: Option<String>,
}

/// How far a file is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum FileState {
    /// It waits for its turn.
    Waiting,
    /// It is being transcribed.
    Running {
        /// Share that is done, 0 to 1; none while it is unknown.
        done: Option<f32>,
        /// Seconds that the rest will take at the speed so far; none while that is unknown.
        left_s: Option<u32>,
    },
    /// All of its text is there.
    Done,
    /// It was cancelled.
    Cancelled,
    /// It could not be transcribed.
    Failed {
        /// Why.
        why: Failure,
    },
}

/// What is said in a recording.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct FileTranscript {
    /// Which file.
    pub file: u32,
    /// In order of time.
    pub segments: Vec<Spoken>,
}

/// A stretch of speech.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Spoken {
    /// When it begins.
    pub start_ms: u32,
    /// When it ends.
    pub end_ms: u32,
    /// Its text.
    pub text: String,
    /// The same in words with times.
    pub words: Vec<SpokenWord>,
}

/// A word, and when it is heard.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct SpokenWord {
    /// When it begins.
    pub start_ms: u32,
    /// When it ends.
    pub end_ms: u32,
    /// The word with its punctuation, and the space before it where there is one.
    pub text: String,
}

/// A recording that can be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Played {
    /// A file of the list.
    File {
        /// Its number.
        id: u32,
    },
    /// An entry of the history.
    Entry {
        /// Its number.
        id: u32,
    },
}

/// A recording that is being played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Playing {
    /// Which one.
    pub of: Played,
    /// What is heard now.
    pub at_ms: u32,
}
