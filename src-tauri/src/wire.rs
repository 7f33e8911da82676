//! What crosses the border to the page, as types of their own: the domain's types do not serialise.
//!
//! The TypeScript of these types lies in `ui/src/lib/backend/wire/`; the test `types_are_current` fails when it drifts.

mod devices;
mod faults;
mod files;
mod history;
mod insertion;
mod models;
mod notices;
mod overlay;
mod settings;

use serde::Serialize;

pub use devices::{Device, DeviceKind};
pub use faults::{Failure, Fault};
pub use files::{File, FileState, FileTranscript, Played, Playing, Spoken, SpokenWord};
pub use history::{Entry, EntryState, History, Interrupted};
pub use insertion::{InsertionTest, TestedWay};
pub use models::{Models, ShelfModel, ShelfState};
pub use notices::{Notice, Said};
pub use overlay::{Overlay, OverlayStage};
pub use settings::{Api, Choices, KeyState};

/// One message to the page. Text is sent as it grows, never again as a whole while the page is watching.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Update {
    /// How things stand, without what comes in updates of its own.
    View {
        /// The new state.
        view: View,
    },
    /// How loud the microphone is.
    Level {
        /// 0 (silence) to 1 (full scale), as the meter shows it.
        level: f32,
    },
    /// All dictations, once, when the page begins to watch.
    Texts {
        /// Oldest first.
        takes: Vec<Take>,
    },
    /// A part of a dictation has its final text, which stands for its live words.
    Text {
        /// Which dictation.
        take: u32,
        /// To be appended.
        text: String,
    },
    /// A language model has gone over a dictation.
    Rewritten {
        /// Which dictation.
        take: u32,
        /// In the place of all its text.
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
    /// What the machine does, once a second while the page shows it.
    Performance {
        /// The figures.
        performance: Performance,
    },
    /// The models, while the page shows them.
    Models {
        /// All of them.
        models: Models,
    },
    /// The settings, or what became of them, changed.
    Settings {
        /// All of it.
        choices: Box<Choices>,
    },
    /// What is looked at of the history, as it is now.
    History {
        /// All of it.
        history: History,
    },
    /// Dictations that broke off and about which nothing was decided yet.
    Interrupted {
        /// The oldest first.
        interrupted: Vec<Interrupted>,
    },
    /// What is known of the ways into other programs changed.
    Insertion {
        /// All of it.
        test: InsertionTest,
    },
    /// All files, when the page begins to watch, and when some left the list or changed places.
    Files {
        /// In their order.
        files: Vec<File>,
    },
    /// A file is new at the end of the list, or is not as it was.
    File {
        /// As it is now.
        file: File,
    },
    /// What is said in the file that the page shows, when it begins to show it.
    Transcript {
        /// Everything so far.
        transcript: FileTranscript,
    },
    /// A stretch of speech in that file is new, or was edited.
    Spoken {
        /// Which file.
        file: u32,
        /// Its place among the segments, the last of which it may be one behind.
        index: u32,
        /// What is said.
        segment: Spoken,
    },
    /// What is being played; none if nothing is.
    Playing {
        /// Which recording, and where.
        playing: Option<Playing>,
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

/// The state of the window, without text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// What the microphone button does next.
    pub phase: Phase,
    /// Dictations recorded but not yet written out.
    pub writing: u32,
    /// Speech begins dictations, and a pause ends them.
    pub hands_free: bool,
    /// The model in use.
    pub model: Model,
    /// Input devices that can be chosen, best first.
    pub microphones: Vec<Microphone>,
    /// Id of the chosen one; none means the system's default.
    pub microphone: Option<String>,
    /// A file is being dragged over the window.
    pub dropping: bool,
    /// What the user should know, the newest first.
    pub notices: Vec<Notice>,
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
        /// Whether it knows languages other than English.
        multilingual: bool,
        /// The device that computes.
        device: Device,
        /// Why it is not the preferred one.
        fallback: Option<Failure>,
    },
    /// There is none.
    Failed {
        /// Why.
        why: Failure,
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

/// What the machine does.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Performance {
    /// The engine's stages, in the order in which a window of sound goes through them.
    pub stages: Vec<StageLoad>,
    /// The NPU.
    pub npu: Npu,
    /// Requests that wait to be started.
    pub queued: u32,
    /// Requests that are being worked on.
    pub in_flight: u32,
    /// Requests that ended with their text.
    pub finished: u32,
    /// Seconds of sound that are written out in a second of work.
    pub speed: Option<f32>,
    /// From the press of the button to the first sample.
    pub first_sample: Option<Span>,
    /// From the stop of a dictation to its last word.
    pub last_word: Option<Span>,
    /// The engine's buffers.
    pub pools: Vec<Pool>,
    /// Processors that the app keeps busy, WebKit's processes included.
    pub cpu: f32,
    /// Processors of this machine.
    pub cores: u32,
    /// Memory of the app, WebKit's processes included.
    pub memory_mib: f32,
    /// What the processors draw, in watts.
    pub power_w: Reading,
    /// How hot the processors are, in degrees Celsius.
    pub temperature_c: Reading,
    /// The last requests, the oldest first.
    pub recent: Vec<RequestTimes>,
}

/// What a sensor of this machine says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Reading {
    /// It can be read.
    Known {
        /// In the unit of the field.
        value: f32,
    },
    /// There is none.
    Missing,
    /// Nobody but the administrator may read it.
    Forbidden,
}

/// Where the time of a request went.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct RequestTimes {
    /// From its submission to its start.
    pub queued_ms: f32,
    /// In each stage, as in `stages`.
    pub stages_ms: [f32; 3],
    /// From its submission to its end.
    pub total_ms: f32,
}

/// What a stage of the engine does.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct StageLoad {
    /// `mel`, `encode` or `decode`.
    pub name: String,
    /// Share of the last second for which it worked, 0 to 1.
    pub load: f32,
    /// How long it works on a window.
    pub service: Option<Span>,
    /// Windows that wait for it.
    pub waiting: u32,
    /// Windows that it has done.
    pub windows: u32,
}

/// How long something takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// Half of the times it is no longer than this.
    pub p50_ms: f32,
    /// 95 of 100 times it is no longer than this.
    pub p95_ms: f32,
}

/// A pool of buffers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Buffers that are in use.
    pub in_use: u32,
    /// Buffers that there may be.
    pub capacity: u32,
    /// What they take.
    pub mebibytes: f32,
}

/// What the NPU does.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Npu {
    /// It encodes.
    Busy {
        /// Share of the last second for which it was encoding, 0 to 1.
        share: f32,
        /// A program stands for it.
        simulated: bool,
    },
    /// It should encode and cannot.
    Unavailable {
        /// Why.
        why: Failure,
    },
    /// It is not asked to: something else encodes.
    Unused {
        /// What.
        device: Device,
    },
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ts_rs::{Config, TS};

    use super::{Overlay, Update};

    /// Compares the generated types with those in the tree; with `UPDATE_TYPES` set it writes them.
    #[test]
    fn types_are_current() {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui/src/lib/backend/wire");
        if std::env::var_os("UPDATE_TYPES").is_some() {
            Update::export_all(&Config::default().with_out_dir(&kept)).unwrap();
            Overlay::export_all(&Config::default().with_out_dir(&kept)).unwrap();
        }
        let fresh = tempfile::tempdir().unwrap();
        Update::export_all(&Config::default().with_out_dir(fresh.path())).unwrap();
        Overlay::export_all(&Config::default().with_out_dir(fresh.path())).unwrap();
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
