//! What can go wrong in front of the app.

use std::io;
use std::path::PathBuf;

use amanuensis_appimage::elf::ElfError;

/// Why the app was not started, or what was asked of the AppImage not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the file of the AppImage cannot be opened: {0}. It must be readable, and /proc mounted")]
    Own(io::Error),
    #[error(transparent)]
    Elf(#[from] ElfError),
    #[error("the image inside is damaged ({0}); download the AppImage again")]
    Image(String),
    #[error("{} cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("no folder can be made in {}: {source}. Set TMPDIR to one that can be written to", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("FUSE cannot be used: {0}")]
    Mount(io::Error),
    #[error("the helper process failed: {0}")]
    Keeper(io::Error),
    /// What the helper process said, which is a sentence.
    #[error("{0}")]
    Kept(String),
    #[error("{} cannot be started: {source}. Set TMPDIR to a folder where programs may run", path.display())]
    AppRun { path: PathBuf, source: io::Error },
    #[error("{0} is unknown; --appimage-help lists what there is")]
    Unknown(String),
}
