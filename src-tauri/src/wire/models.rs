//! The models as the page shows them.

use serde::Serialize;

use super::Failure;

/// All models, and what is being done about them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Models {
    /// Where they lie.
    pub folder: String,
    /// Installed ones first, the newest at the top, then those that can be downloaded, the small ones first.
    pub list: Vec<ShelfModel>,
    /// What went wrong with adding or deleting one.
    pub failure: Option<Failure>,
}

/// A model that is here or can be had.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct ShelfModel {
    /// Its name, by which it is asked for.
    pub name: String,
    /// Length of its file, in 10^6 bytes.
    pub megabytes: f32,
    /// Memory that it takes while it works, in 10^6 bytes: an estimate.
    pub memory: Option<f32>,
    /// Seconds of speech that this machine's CPU would write out in a second: an estimate; none until it is measured.
    pub speed: Option<f32>,
    /// Languages that it knows; 1 is English.
    pub languages: u32,
    /// The small model that comes with the app, trained on synthesised speech only.
    pub demo: bool,
    /// How it stands with it.
    pub state: ShelfState,
}

/// How it stands with a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ShelfState {
    /// It can be downloaded.
    Available,
    /// It is being downloaded.
    Downloading {
        /// Share that is here, 0 to 1.
        done: f32,
        /// Seconds that it will take; none while that is unknown.
        seconds_left: Option<f32>,
        /// It does not come just now, and is asked for again in a moment.
        waiting: bool,
    },
    /// A part of it is here.
    Paused {
        /// Share that is here, 0 to 1.
        done: f32,
        /// Why it was not downloaded to its end, if not because somebody paused it.
        failure: Option<Failure>,
    },
    /// It is here.
    Installed {
        /// It can be deleted: it is the user's.
        deletable: bool,
    },
    /// It is here and cannot be used.
    Broken {
        /// Why.
        why: Failure,
        /// It can be deleted: it is the user's.
        deletable: bool,
    },
    /// It is being read, to be used from then on.
    Opening,
    /// It is in use.
    InUse {
        /// It can be deleted: it is the user's.
        deletable: bool,
        /// Nobody has asked it for a while, so that its memory was given back. It is read again at the next press.
        resting: bool,
    },
}
