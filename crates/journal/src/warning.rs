//! What a user should know about the journal.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

/// Why the sound of a dictation is not, or will soon not be, safe on the disk. Dictation goes on in every case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// The disk has no room.
    #[error("the disk is full, so this dictation is kept in memory only; make room, and it is saved again")]
    DiskFull,
    /// The folder may not be written to.
    #[error("{} cannot be written to, so this dictation is kept in memory only; check who may write there", folder.display())]
    ReadOnly {
        /// The folder.
        folder: PathBuf,
    },
    /// Writing fails for another reason.
    #[error("this dictation is kept in memory only, for the disk fails ({reason}); check the disk")]
    Failing {
        /// What the system said.
        reason: String,
    },
    /// The disk takes longer than sound lasts.
    #[error("the disk is slow: the last {} s of this dictation are not saved yet; end other programs that write", behind.as_secs())]
    Slow {
        /// What is in memory only.
        behind: Duration,
    },
    /// Soon no more will be saved.
    #[error(
        "recordings have almost filled the room they may take: {} min more are saved; stop now and then, or allow more in the settings",
        left.as_secs() / 60
    )]
    NearQuota {
        /// How much more can be saved.
        left: Duration,
    },
    /// No more is saved.
    #[error(
        "recordings have filled the room they may take, so this dictation is kept in memory only; allow more in the settings"
    )]
    OverQuota,
    /// The memory's bound is reached too.
    #[error("only the first {} s of this dictation can be saved; its text is written all the same", saved.as_secs())]
    GaveUp {
        /// What is saved, or still can be.
        saved: Duration,
    },
    /// What was in memory is on the disk.
    #[error("this dictation is being saved again")]
    Mended,
}

impl Warning {
    /// What an error of the system means to the user.
    pub(crate) fn of(error: &std::io::Error, folder: &std::path::Path) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull,
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => Self::ReadOnly { folder: folder.to_owned() },
            _ => {
                let said = error.to_string();
                let reason = said.split(" (os error").next().unwrap_or(&said).to_owned();
                Self::Failing { reason }
            }
        }
    }
}
