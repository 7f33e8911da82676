//! What the user has chosen: typed, within bounds, and in a file that is always whole.
//!
//! [`Settings`] are plain data, by group; each field says its unit and its bounds, which [`Settings::check`] holds it to. The
//! [`Store`] is their file. The types are the file's and the page's; whoever acts on them turns them into types of its own.

mod bounds;
mod date;
mod file;
mod groups;
mod migrate;

pub use bounds::{Bounds, OutOfBounds};
pub use file::{Discarded, Opened, SettingsError, Store, export, folder, import};
pub use groups::{
    Capitals, DevicePolicy, Dictation, FileFormat, Files, History, Insertion, Interface, Language, Model, NpuFormat,
    PostProcessing, Replacement, Server, Settings, Shortcut, ShortcutMode, Text, Theme,
};
