//! What crosses the border to the page, as types of their own: the domain's types do not serialise.
//!
//! The TypeScript of these types lies in `ui/src/lib/backend/wire/`; the test `types_are_current` fails when it drifts.

use serde::Serialize;

/// One message to the page. Text is sent as it grows, never again as a whole while the page is watching:
/// WebKit keeps what is evaluated into it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Update {
    /// Everything but texts and level.
    View {
        /// The new state.
        view: View,
    },
    /// How loud the microphone is.
    Level {
        /// 0 (silence) to 1 (full scale), as the meter shows it.
        level: f32,
    },
    /// All texts, once, when the page begins to watch.
    Texts {
        /// Oldest first.
        takes: Vec<Take>,
        /// Of the files that have text.
        files: Vec<FileText>,
    },
    /// A part of a dictation has its final text, which stands for its live words.
    Text {
        /// Which dictation.
        take: u32,
        /// To be appended.
        text: String,
    },
    /// The part of a dictation that still grows.
    Live {
        /// Which dictation.
        take: u32,
        /// Words that two looks in a row agreed on.
        committed: String,
        /// Words that the next look may change.
        tentative: String,
    },
    /// A dictation and all its text is no more.
    Forget {
        /// Which dictation.
        take: u32,
    },
    /// More of a file is written out.
    FileText {
        /// Which file.
        file: u32,
        /// To be appended.
        text: String,
    },
}

/// Text of one dictation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Take {
    /// Number of the dictation since the app was started.
    pub id: u32,
    /// Final text.
    pub text: String,
    /// Words that two looks in a row agreed on.
    pub committed: String,
    /// Words that the next look may change.
    pub tentative: String,
}

/// Text of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct FileText {
    /// Number of the file since the app was started.
    pub file: u32,
    /// What is written so far.
    pub text: String,
}

/// The state of the window, without text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// What the microphone button does next.
    pub phase: Phase,
    /// Dictations recorded but not yet written out.
    pub writing: u32,
    /// The model in use.
    pub model: Model,
    /// Input devices that can be chosen, best first.
    pub microphones: Vec<Microphone>,
    /// Id of the chosen one; none means the system's default.
    pub microphone: Option<String>,
    /// Files being transcribed or done.
    pub files: Vec<File>,
    /// A file is being dragged over the window.
    pub dropping: bool,
    /// What the user should know.
    pub notice: Option<Notice>,
}

/// Where the microphone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Nothing is recorded.
    Idle,
    /// The microphone is being opened; nothing was heard yet.
    Opening,
    /// Sound is being recorded.
    Recording,
}

/// Which model transcribes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Model {
    /// It is being read.
    Loading,
    /// It is in use.
    Ready {
        /// File name without its ending.
        name: String,
        /// The small model that comes with the app, trained on synthesised speech only.
        demo: bool,
        /// The device that computes, in words.
        device: String,
        /// Why it is not the preferred one.
        fallback: Option<String>,
    },
    /// There is none.
    Failed {
        /// Why, and what to do.
        message: String,
    },
}

/// An input device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Microphone {
    /// Stable id.
    pub id: String,
    /// Name to show.
    pub name: String,
}

/// A file to transcribe.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Number of the file since the app was started.
    pub id: u32,
    /// File name without its folder.
    pub name: String,
    /// How far it is.
    pub state: FileState,
}

/// How far a file is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum FileState {
    /// It waits for its turn.
    Waiting,
    /// It is being transcribed.
    Running {
        /// Share that is done, 0 to 1; none while it is unknown.
        done: Option<f32>,
    },
    /// All of its text is there.
    Done,
    /// It was cancelled.
    Cancelled,
    /// It could not be transcribed.
    Failed {
        /// Why, and what to do.
        message: String,
    },
}

/// A sentence for the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// How it is shown and read out.
    pub tone: Tone,
    /// The sentence, with a next step.
    pub message: String,
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ts_rs::{Config, TS};

    use super::Update;

    /// Compares the generated types with those in the tree; with `UPDATE_TYPES` set it writes them.
    #[test]
    fn types_are_current() {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui/src/lib/backend/wire");
        if std::env::var_os("UPDATE_TYPES").is_some() {
            Update::export_all(&Config::default().with_out_dir(&kept)).unwrap();
        }
        let fresh = tempfile::tempdir().unwrap();
        Update::export_all(&Config::default().with_out_dir(fresh.path())).unwrap();
        let read = |folder: &Path| -> Vec<(String, String)> {
            let mut files: Vec<_> = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap())
                .map(|entry| {
                    (entry.file_name().to_string_lossy().into_owned(), std::fs::read_to_string(entry.path()).unwrap())
                })
                .collect();
            files.sort();
            files
        };
        assert_eq!(
            read(fresh.path()),
            read(&kept),
            "the page's types have drifted: run UPDATE_TYPES=1 cargo test -p amanuensis-app types_are_current"
        );
    }
}
