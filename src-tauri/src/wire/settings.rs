//! The settings, and what became of them.

use amanuensis_settings::Settings;
use serde::Serialize;

/// Everything the page knows of settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Choices {
    /// As they are.
    pub settings: Settings,
    /// The local API.
    pub api: Api,
    /// A model is being read, to take the place of the one in use.
    pub opening: bool,
    /// Codes of the languages that can be spoken, by their English names.
    pub spoken: Vec<String>,
    /// Version of the app, and the commit that a package was built from.
    pub version: String,
}

/// The local API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Api {
    /// It does not run.
    Off,
    /// It is being started or stopped, or waits for a model.
    Changing,
    /// It runs.
    On {
        /// What a client is given.
        address: String,
    },
    /// It cannot be started.
    Failed {
        /// Why, and what to do.
        message: String,
    },
}
