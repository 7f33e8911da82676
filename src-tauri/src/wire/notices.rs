//! What the user is told. The page has the words for it, in its language.

use serde::Serialize;

/// Something the user should know.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// How it is shown and read out.
    pub tone: Tone,
    /// What it is.
    pub said: Said,
    /// What a library or the system had to say about it, in English: a sentence, with a next step where there is one.
    pub detail: Option<String>,
}

/// Whether something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum Tone {
    /// All is well.
    Info,
    /// Something went wrong.
    Error,
}

/// All that can be told.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Said {
    /// A dictation was cancelled.
    ThrownAway,
    /// Nobody has spoken.
    NoSpeech,
    /// The machine was too busy to take all sound.
    SoundLost {
        /// How much was lost.
        seconds: f32,
    },
    /// The microphone went away in the middle of a dictation.
    MicrophoneLost,
    /// There is no microphone, or it cannot be used.
    NoMicrophone,
    /// A dictation could not be written out.
    NotWritten,
    /// A text could not be put into the program with the focus.
    NotInserted {
        /// It is on the clipboard.
        copied: bool,
    },
    /// The language model did not go over a dictation, which stays as it was heard.
    NotPolished,
    /// A text could not be put on the clipboard.
    NotCopied,
    /// A model cannot be used.
    NoModel,
    /// The settings in the file could not be used.
    SettingsDiscarded,
    /// Settings could not be kept, or are not possible.
    SettingsRefused,
    /// Settings in a file cannot be taken.
    SettingsNotImported,
    /// The settings were written.
    SettingsExported {
        /// Where.
        path: String,
    },
    /// The settings could not be written.
    SettingsNotExported,
    /// The token of the local API cannot be read.
    NoToken,
    /// The key for the language model cannot be kept.
    KeyNotKept,
    /// The shortcut is not listened for.
    NoShortcut,
    /// The app will not start with the session, or will not stop doing so.
    NoAutostart,
    /// The history was damaged.
    HistoryDamaged {
        /// Entries that could be read.
        rescued: u32,
        /// Recordings without an entry.
        found: u32,
        /// Where the damaged file is kept.
        path: String,
    },
    /// Recordings that broke off were damaged; what could be read of them is offered.
    RecordingsDamaged {
        /// How many.
        count: u32,
        /// Where the damaged file is kept; the folder, if there are several.
        path: String,
    },
    /// The history is gone when the app is closed.
    HistoryNotKept,
    /// Something cannot be done in the history.
    HistoryFailed,
    /// The rules of the history were followed.
    Forgotten {
        /// Entries that were deleted.
        entries: u32,
        /// Recordings that were deleted.
        sounds: u32,
    },
    /// What is recorded may not survive a crash.
    NotSafe,
    /// It would again.
    SafeAgain,
    /// There is no recording in what was opened.
    NoRecordings,
    /// Too many recordings were opened at once.
    OnlyFirst {
        /// So many were taken.
        count: u32,
    },
    /// A document was written.
    Saved {
        /// Where.
        path: String,
    },
    /// A document could not be written.
    NotSaved,
    /// The folder is not watched.
    NotWatched,
    /// A recording cannot be played.
    NotPlayed,
    /// A recording is not there any more.
    SoundGone,
}

impl Notice {
    /// All is well.
    pub fn info(said: Said) -> Self {
        Self { tone: Tone::Info, said, detail: None }
    }

    /// Something went wrong, and this is why.
    pub fn error(said: Said, detail: impl Into<String>) -> Self {
        Self { tone: Tone::Error, said, detail: Some(detail.into()) }
    }

    /// Something went wrong of which there is no more to say.
    pub fn warning(said: Said) -> Self {
        Self { tone: Tone::Error, said, detail: None }
    }
}
