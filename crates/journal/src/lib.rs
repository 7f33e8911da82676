//! The journal: what a dictation's microphone hears, on the disk within a second, whatever becomes of the program.
//!
//! A [`Recorder`] takes samples without waiting, and a thread of its own appends them to one file for each dictation. A
//! [`Reader`] gives back what such a file holds, and passes over what is not as it was written. Nothing here knows
//! what speech is.
//!
//! *Units*: samples are 16 bits wide, one channel.

mod folder;
mod format;
mod recorder;
mod storage;
mod warning;
mod writer;

pub use folder::{Folder, Found, Orphan};
pub use format::{Head, ReadError, Reader};
pub use recorder::{Recorder, Report};
pub use storage::Storage;
pub use warning::Warning;
pub use writer::{Limits, Writer};
