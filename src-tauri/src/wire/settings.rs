//! The settings, and what became of them.

use amanuensis_settings::Settings;
use serde::Serialize;

use super::Failure;

/// Everything the page knows of settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Choices {
    /// As they are.
    pub settings: Settings,
    /// The number of the page's last change that is in them.
    pub change: u32,
    /// The local API.
    pub api: Api,
    /// A model is being read, to take the place of the one in use.
    pub opening: bool,
    /// Names of the models that are installed and can be used, the newest first.
    pub models: Vec<String>,
    /// The language model's key.
    pub key: KeyState,
    /// Codes of the languages that can be spoken, by their English names.
    pub spoken: Vec<String>,
    /// Version of the app, and the commit that a package was built from.
    pub version: String,
    /// It is no package.
    pub from_source: bool,
}

/// Whether there is a key for the language model. The page never sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum KeyState {
    /// Nobody has looked, for nobody needs one.
    Unknown,
    /// It is being looked for or kept; a keyring may be asking for its password.
    Asking,
    /// There is none.
    None,
    /// It is in the desktop's keyring.
    Keyring,
    /// It is in a file.
    File,
    /// It is in the app's environment.
    Environment,
    /// It cannot be used.
    Unusable {
        /// Why.
        why: Failure,
    },
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
        /// Why.
        why: Failure,
    },
}
