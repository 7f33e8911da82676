//! The two halves of an AppImage, put together.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::elf::{Elf, ElfError};
use crate::{MAGIC, UPDATE_INFORMATION};

/// Where the magic bytes lie: in the part of an ELF file's header that is padding.
const MAGIC_AT: u64 = 8;
/// How a squashfs image begins.
const SQUASHFS: &[u8; 4] = b"hsqs";

/// Why there is no AppImage.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// The operating system's word.
        source: io::Error,
    },
    /// The front is no program.
    #[error("{}: {source}", path.display())]
    Runtime {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        source: ElfError,
    },
    /// Bytes that no section accounts for would be taken for the image.
    #[error("{} has {excess} bytes behind its last section; strip it first", path.display())]
    Excess {
        /// Which program.
        path: PathBuf,
        /// How many.
        excess: u64,
    },
    /// The back is no image.
    #[error("{} is no squashfs image; make it with mksquashfs", .0.display())]
    NotSquashfs(PathBuf),
    /// The runtime keeps too little room.
    #[error("the update information has {bytes} bytes and the runtime keeps {room} for it; shorten it")]
    UpdateInformation {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        room: u64,
    },
}

/// Writes the AppImage `to`: the program `runtime`, and behind it the squashfs `image`.
///
/// `update_information` says where newer versions are found, in the specification's syntax; empty for nowhere.
///
/// # Errors
/// [`PackError`].
pub fn pack(runtime: &Path, image: &Path, update_information: &str, to: &Path) -> Result<(), PackError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| PackError::File { path, source }
    };
    let mut program = File::open(runtime).map_err(at(runtime))?;
    let elf = Elf::read(&program).map_err(|source| PackError::Runtime { path: runtime.to_owned(), source })?;
    let excess = program.metadata().map_err(at(runtime))?.len() - elf.end;
    if excess > 0 {
        return Err(PackError::Excess { path: runtime.to_owned(), excess });
    }
    let room = elf.section(UPDATE_INFORMATION).unwrap_or_default();
    if update_information.len() as u64 > room.end - room.start {
        return Err(PackError::UpdateInformation { bytes: update_information.len(), room: room.end - room.start });
    }
    let mut payload = File::open(image).map_err(at(image))?;
    let mut start = [0; 4];
    if payload.read_exact(&mut start).is_err() || start != *SQUASHFS {
        return Err(PackError::NotSquashfs(image.to_owned()));
    }
    let mut write = || -> io::Result<()> {
        let mut packed = File::options().write(true).create(true).truncate(true).mode(0o755).open(to)?;
        io::copy(&mut program, &mut packed)?;
        payload.seek(SeekFrom::Start(0))?;
        io::copy(&mut payload, &mut packed)?;
        packed.write_all_at(MAGIC, MAGIC_AT)?;
        packed.write_all_at(update_information.as_bytes(), room.start)
    };
    write().map_err(at(to))
}
