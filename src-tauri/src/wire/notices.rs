//! What the user is told. The page has the words for it, in its language.

use serde::Serialize;

use super::Failure;

/// Something the user should know.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// Its number, by which it is dismissed.
    pub id: u32,
    /// How it is shown and read out.
    pub tone: Tone,
    /// What it is.
    pub said: Said,
    /// Why, where there is more to say.
    pub why: Option<Failure>,
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

/// So many notices are shown at a time.
const MOST: usize = 3;

impl Notice {
    /// Puts a notice before those that are shown, in the place of one that says the same. The oldest of too many goes.
    pub fn join(self, shown: &mut Vec<Self>) {
        shown.retain(|other| (&other.said, &other.why) != (&self.said, &self.why));
        let id = 1 + shown.iter().map(|other| other.id).max().unwrap_or_default();
        shown.insert(0, Self { id, ..self });
        shown.truncate(MOST);
    }

    /// All is well.
    pub fn info(said: Said) -> Self {
        Self { id: 0, tone: Tone::Info, said, why: None }
    }

    /// Something went wrong, and this is why.
    pub fn error(said: Said, why: Failure) -> Self {
        Self { id: 0, tone: Tone::Error, said, why: Some(why) }
    }

    /// Something went wrong of which there is no more to say.
    pub fn warning(said: Said) -> Self {
        Self { id: 0, tone: Tone::Error, said, why: None }
    }
}

#[cfg(test)]
mod tests {
    use super::{Notice, Said};

    #[test]
    fn notices_stack_and_the_same_one_comes_once() {
        let mut shown = Vec::new();
        for said in [Said::NoSpeech, Said::NotCopied, Said::NoSpeech, Said::NotSaved, Said::SoundGone] {
            Notice::warning(said).join(&mut shown);
        }
        let told: Vec<_> = shown.iter().map(|notice| (notice.id, &notice.said)).collect();
        assert_eq!(told, [(5, &Said::SoundGone), (4, &Said::NotSaved), (3, &Said::NoSpeech)]);
    }
}
