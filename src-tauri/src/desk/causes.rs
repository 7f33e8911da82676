//! What the errors of the crates mean to the user: each is one of the faults that the page has words for.

use std::io::{Error as IoError, ErrorKind};

use amanuensis_audio::{FileError, PlaybackError};
use amanuensis_backends::{LoadError, OpenError};
use amanuensis_engine::{RequestError, StartError, SubmitError};
use amanuensis_export::WriteError;
use amanuensis_folders::WatchError;
use amanuensis_history::{HistoryError, SoundError};
use amanuensis_insert::{InsertError, NotInserted};
use amanuensis_journal::{ReadError, Warning};
use amanuensis_models::shelf::ShelfError;
use amanuensis_models::{DownloadError, ModelError};
use amanuensis_polish::{KeyError, PolishError};
use amanuensis_settings::{Discarded, SettingsError};
use amanuensis_shortcut::ShortcutError;
use amanuensis_whisper::{DecodeError, Fallback, Obstacle, WeightError};

use super::autostart::AutostartError;
use super::insertion::TestError;
use super::sentence;
use crate::wire::{Failure, Fault};

/// An error that the user may come to see.
pub trait Cause: std::fmt::Display {
    /// What it means.
    fn fault(&self) -> Fault;
}

/// What went wrong, for the page.
pub fn failure(cause: &impl Cause) -> Failure {
    Failure { fault: cause.fault(), detail: sentence(cause) }
}

fn of_reading(error: &IoError) -> Fault {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Fault::Missing,
        _ => Fault::Unreadable,
    }
}

fn of_writing(error: &IoError) -> Fault {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Fault::DiskFull,
        _ => Fault::Unwritable,
    }
}

impl Cause for FileError {
    fn fault(&self) -> Fault {
        match self {
            Self::Io { source, .. } => of_reading(source),
            Self::Empty { .. } => Fault::EmptyFile,
            Self::Folder { .. } | Self::NotAudio { .. } => Fault::NotARecording,
            Self::Unfinished { .. } => Fault::CutOff,
            Self::NoSoundTrack { .. } => Fault::NoSoundTrack,
            Self::Unsupported { .. } => Fault::UnknownCoding,
            Self::Damaged { .. } => Fault::DamagedRecording,
        }
    }
}

impl Cause for RequestError {
    fn fault(&self) -> Fault {
        match self {
            Self::Cancelled => Fault::NotToTheEnd,
            // The app reads files only.
            Self::Source(source) => source.file().map_or(Fault::Unreadable, Cause::fault),
            Self::Decode(DecodeError::UnknownLanguage { .. } | DecodeError::CannotTranslate) => Fault::UnknownLanguage,
            Self::Decode(_) | Self::Deadline { .. } | Self::Backend(_) | Self::StageDied { .. } => Fault::EngineFailed,
        }
    }
}

impl Cause for SubmitError {
    fn fault(&self) -> Fault {
        match self {
            Self::Busy { .. } => Fault::TooBusy,
            Self::ShuttingDown => Fault::NotToTheEnd,
        }
    }
}

impl Cause for StartError {
    fn fault(&self) -> Fault {
        match self {
            Self::Vocabulary { .. } => Fault::DamagedModel,
            Self::Threads(_) => Fault::TooBusy,
        }
    }
}

impl Cause for ModelError {
    fn fault(&self) -> Fault {
        match self {
            Self::NoneInstalled { .. } => Fault::NoModel,
            Self::Unknown { .. } | Self::Missing { .. } => Fault::ModelGone,
        }
    }
}

impl Cause for WeightError {
    fn fault(&self) -> Fault {
        match self {
            Self::Io { source, .. } => of_reading(source),
            Self::NotAModel { .. } => Fault::NotAModel,
            Self::Damaged { .. } | Self::MissingTensor { .. } | Self::WrongShape { .. } => Fault::DamagedModel,
        }
    }
}

impl Cause for OpenError {
    fn fault(&self) -> Fault {
        match self {
            Self::Weights(error) | Self::Load(LoadError::Weights(error)) => error.fault(),
            Self::Load(LoadError::Stored | LoadError::NotFinite { .. }) => Fault::DamagedModel,
            Self::Npu(error) => of_npu(error.obstacle()),
        }
    }
}

fn of_npu(obstacle: Obstacle) -> Fault {
    match obstacle {
        Obstacle::Absent => Fault::NoNpu,
        Obstacle::Forbidden => Fault::NpuForbidden,
        Obstacle::LockedMemory => Fault::NpuMemory,
        Obstacle::Library => Fault::NoXrt,
        Obstacle::Firmware => Fault::NpuOutdated,
        Obstacle::Program => Fault::NoNpuProgram,
        Obstacle::Model => Fault::NpuUnusable,
        Obstacle::Wrong => Fault::NpuWrong,
        Obstacle::Failed => Fault::NpuFailed,
    }
}

impl Cause for Fallback {
    fn fault(&self) -> Fault {
        of_npu(self.obstacle)
    }
}

impl Cause for DownloadError {
    fn fault(&self) -> Fault {
        match self {
            Self::Stopped | Self::Stalled { .. } => Fault::Stalled,
            Self::Busy { .. } => Fault::AlreadyComing,
            Self::NoSpace { .. } => Fault::DiskFull,
            Self::Disk { source, .. } => of_writing(source),
            Self::Address { .. } | Self::Insecure { .. } | Self::Redirects { .. } | Self::Refused { .. } => {
                Fault::ServerRefuses
            }
            Self::Unreachable { .. } => Fault::NoConnection,
            Self::Proxy { .. } => Fault::ProxyRefuses,
            Self::NotFound { .. } => Fault::NotOnServer,
            Self::NotTheFile { .. } => Fault::PageInstead,
            Self::WrongSize { .. } | Self::WrongHash { .. } => Fault::WrongFile,
        }
    }
}

impl Cause for ShelfError {
    fn fault(&self) -> Fault {
        match self {
            Self::NotAModel(error) => error.fault(),
            Self::Exists { .. } => Fault::NameTaken,
            Self::NotYours { .. } => Fault::NotYourModel,
            Self::Disk { source, .. } => of_writing(source),
        }
    }
}

impl Cause for SettingsError {
    fn fault(&self) -> Fault {
        match self {
            Self::Read { cause, .. } => of_reading(cause),
            Self::Write { cause, .. } => of_writing(cause),
            Self::NotSettings { .. } => Fault::NotSettings,
            Self::Newer { .. } => Fault::Newer,
            Self::OutOfBounds(_) => Fault::OutOfBounds,
        }
    }
}

impl Cause for Discarded {
    fn fault(&self) -> Fault {
        self.cause.fault()
    }
}

impl Cause for AutostartError {
    fn fault(&self) -> Fault {
        of_writing(&self.cause)
    }
}

impl Cause for KeyError {
    fn fault(&self) -> Fault {
        match self {
            Self::Io { source, .. } => of_writing(source),
            Self::Exposed { .. } => Fault::Exposed,
            Self::Locked => Fault::KeyringLocked,
            Self::Silent | Self::Keyring(_) => Fault::KeyringFails,
            Self::Unusable => Fault::BadKey,
        }
    }
}

impl Cause for amanuensis_server::TokenError {
    fn fault(&self) -> Fault {
        match self {
            Self::NoHome => Fault::Unwritable,
            Self::Io { source, .. } => of_writing(source),
            Self::Exposed { .. } => Fault::Exposed,
            Self::Unusable { .. } => Fault::BadToken,
        }
    }
}

impl Cause for amanuensis_server::StartError {
    fn fault(&self) -> Fault {
        match self {
            Self::Listen { .. } | Self::OpenBeyondLoopback { .. } => Fault::PortTaken,
            Self::Threads(_) => Fault::TooBusy,
        }
    }
}

impl Cause for HistoryError {
    fn fault(&self) -> Fault {
        match self {
            Self::Unwritable { .. } => Fault::Unwritable,
            Self::Newer { .. } => Fault::Newer,
            Self::Missing => Fault::EntryGone,
            Self::Database(_) => Fault::DatabaseFails,
            Self::Sound(SoundError::Journal { source, .. }) => source.fault(),
            Self::Sound(SoundError::Write { source, .. }) => of_writing(source),
        }
    }
}

impl Cause for ReadError {
    fn fault(&self) -> Fault {
        match self {
            Self::NotAJournal | Self::Damaged => Fault::DamagedRecording,
            Self::Io(error) => of_reading(error),
        }
    }
}

impl Cause for Warning {
    fn fault(&self) -> Fault {
        match self {
            Self::DiskFull => Fault::DiskFull,
            Self::ReadOnly { .. } => Fault::Unwritable,
            Self::Failing { .. } | Self::Mended => Fault::DiskFails,
            Self::Slow { .. } => Fault::DiskSlow,
            Self::NearQuota { .. } | Self::OverQuota | Self::GaveUp { .. } => Fault::RecordingsFull,
        }
    }
}

impl Cause for WriteError {
    fn fault(&self) -> Fault {
        match self {
            Self::Taken { .. } => Fault::NameTaken,
            Self::Io { source, .. } => of_writing(source),
        }
    }
}

impl Cause for WatchError {
    fn fault(&self) -> Fault {
        match self {
            Self::Folder { .. } => Fault::FolderUnseen,
            Self::Watched { .. } => Fault::FolderTaken,
            Self::Memory(_) => Fault::Unwritable,
        }
    }
}

impl Cause for PlaybackError {
    fn fault(&self) -> Fault {
        match self {
            Self::File(error) => error.fault(),
            Self::NoOutput | Self::Refused { .. } => Fault::NoLoudspeaker,
        }
    }
}

impl Cause for arboard::Error {
    fn fault(&self) -> Fault {
        Fault::NoClipboard
    }
}

impl Cause for ShortcutError {
    fn fault(&self) -> Fault {
        match self {
            Self::UnknownKeys(_) => Fault::UnknownKeys,
            Self::NoModifier(_) => Fault::KeyTypes,
            Self::NoSuchKey(_) => Fault::NoSuchKey,
            Self::Taken(_) => Fault::KeysTaken,
            Self::Display(_) => Fault::NoDisplay,
            Self::Portal(_) => Fault::NoKeysHere,
        }
    }
}

impl Cause for InsertError {
    fn fault(&self) -> Fault {
        match self {
            Self::NotHere { .. } => Fault::NotOnThisDesktop,
            Self::Display { .. } => Fault::NoDisplay,
            Self::NotAsked => Fault::NotAsked,
            Self::Refused { .. } => Fault::DesktopRefuses,
            Self::NoFocus => Fault::NoFocus,
            Self::NoSpareKey(_) | Self::Silent => Fault::KeysUnusable,
            Self::Hangs => Fault::ProgramHangs,
            Self::NotFetched { .. } => Fault::NotFetched,
            Self::ClipboardTaken => Fault::ClipboardTaken,
        }
    }
}

impl Cause for NotInserted {
    fn fault(&self) -> Fault {
        self.worst().map_or(Fault::NoWay, Cause::fault)
    }
}

impl Cause for TestError {
    fn fault(&self) -> Fault {
        match self {
            Self::Insert(error) => error.fault(),
            Self::Lost => Fault::TextLost,
            Self::NoFocus => Fault::TestHidden,
        }
    }
}

impl Cause for PolishError {
    fn fault(&self) -> Fault {
        match self {
            Self::Address(_) => Fault::BadAddress,
            Self::Unencrypted(_) => Fault::Unencrypted,
            Self::Unreachable { .. } => Fault::NoAnswer,
            Self::Refused { .. } => Fault::NotServed,
            Self::Useless { .. } => Fault::UselessAnswer,
        }
    }
}
