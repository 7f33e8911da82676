//! Ways of putting text into other programs, as the page shows them.

use serde::Serialize;

use super::Failure;

/// Which ways work here, as far as it was tested since the app was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct InsertionTest {
    /// The desktop that this is about, by its word in the settings.
    pub desktop: String,
    /// It is being found out.
    pub running: bool,
    /// What was found, best way first.
    pub ways: Vec<TestedWay>,
}

/// A way of putting text into other programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct TestedWay {
    /// Its word in the settings.
    pub way: String,
    /// Why it is not to be relied on; none if the text arrived whole.
    pub failure: Option<Failure>,
}
