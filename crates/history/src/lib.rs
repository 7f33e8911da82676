//! The history: what was dictated and transcribed, with its sound, in a database of the user's own.
//!
//! [`History`] keeps entries, finds them by their words, and forgets them by rule. An entry is there from the moment its
//! recording begins, so that one that broke off is known afterwards. It starts no thread and reads no clock.

mod entry;
mod open;
mod search;
mod sound;
mod store;

pub use entry::{Entry, EntryId, Kind, NewEntry, State, Transcribed};
pub use open::{Damage, Opened};
pub use sound::{Sound, SoundError};
pub use store::{Forgotten, History, Page, Retention};

use std::path::PathBuf;

/// Why the history cannot do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The folder or the file cannot be made.
    #[error("the history cannot be kept in {} ({reason}); check who may write there", path.display())]
    Unwritable {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A later version wrote it.
    #[error("the history in {} was written by a later version of this program; install that one again", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// There is no such entry.
    #[error("this entry of the history is not there any more; look at the list again")]
    Missing,
    /// The database fails.
    #[error("the history's database fails ({0}); check the disk, then start the app again")]
    Database(#[from] rusqlite::Error),
    /// A recording cannot be kept.
    #[error(transparent)]
    Sound(#[from] SoundError),
}
