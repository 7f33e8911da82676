//! Who keeps the app's files while it runs: a second process of this program, which mounts or unpacks the image, says where,
//! and cleans up when the app is gone.
//!
//! The app is not this program's child but takes its place, so that signals, the exit status and the process's number are the
//! app's own. That it is gone the keeper learns from a pipe, the other end of which the app holds without knowing.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, PipeWriter, Read as _, Write as _};
use std::os::fd::IntoRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::FdFlags;

use crate::error::Error;
use crate::image::{Image, OWN_FILE};
use crate::mount::Mounted;

/// The word that makes this program a keeper. Not for users.
pub const WORD: &str = "--appimage-keep";

/// How the app gets its files.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By FUSE.
    Mount,
    /// Unpacked into a temporary folder.
    Unpack,
}

impl Way {
    fn word(self) -> &'static str {
        match self {
            Self::Mount => "mount",
            Self::Unpack => "unpack",
        }
    }

    /// The way that is called so.
    pub fn from_word(word: &OsStr) -> Option<Self> {
        [Self::Mount, Self::Unpack].into_iter().find(|way| way.word() == word)
    }
}

/// Files that are there until the last process that inherited the pipe is gone.
pub struct Kept {
    /// Where they are.
    pub folder: PathBuf,
    alive: PipeWriter,
}

impl Kept {
    /// Starts a keeper.
    pub fn start(way: Way) -> Result<Self, Error> {
        let (gone, alive) = io::pipe().map_err(Error::Keeper)?;
        let mut command = Command::new(OWN_FILE);
        command.args([WORD, way.word()]).current_dir("/").stdin(gone).stdout(Stdio::piped());
        // What a terminal sends is for the app.
        command.process_group(0);
        let mut keeper = command.spawn().map_err(Error::Keeper)?;
        let mut answer = Vec::new();
        let output = keeper.stdout.take().expect("BUG: it was given a pipe");
        BufReader::new(output).read_until(0, &mut answer).map_err(Error::Keeper)?;
        match answer.as_slice() {
            [b'=', folder @ .., 0] => Ok(Self { folder: OsStr::from_bytes(folder).into(), alive }),
            [b'!', reason @ .., 0] => Err(Error::Kept(String::from_utf8_lossy(reason).into_owned())),
            _ => Err(Error::Keeper(
                keeper.wait().map_or_else(|error| error, |status| io::Error::other(status.to_string())),
            )),
        }
    }

    /// Lets the files live as long as any program that is started from now on. To be followed by `exec`.
    pub fn hand_on(self) -> Result<PathBuf, Error> {
        rustix::io::fcntl_setfd(&self.alive, FdFlags::empty()).map_err(|error| Error::Keeper(error.into()))?;
        // Closed by the end of the process that takes our place.
        let _ = self.alive.into_raw_fd();
        Ok(self.folder)
    }
}

/// Is the keeper: prepares the files, reports on the standard output, and waits for the end of the standard input.
pub fn keep(way: Way) -> Result<(), Error> {
    // The app is told to end by the same signals, and needs its files to do so.
    ctrlc::set_handler(|| {}).map_err(|error| Error::Keeper(io::Error::other(error)))?;
    let image = match Image::own() {
        Ok(image) => image,
        Err(error) => return report(Err(error)),
    };
    match way {
        Way::Mount => {
            // Not to be removed with all that is in it, as such folders usually are.
            let folder = match temporary(".mount_") {
                Ok(folder) => folder.keep(),
                Err(error) => return report(Err(error)),
            };
            let kept = Mounted::new(image, &folder).and_then(|mounted| {
                report(Ok(&folder))?;
                wait();
                mounted.unmount().map_err(Error::Mount)
            });
            let removed = std::fs::remove_dir(&folder);
            match kept {
                Err(error) => report(Err(error)),
                Ok(()) => removed.map_err(|source| Error::Write { path: folder, source }),
            }
        }
        Way::Unpack => {
            let unpacked = temporary("appimage_extracted_").and_then(|folder| {
                image.unpack(folder.path(), |_| true)?;
                Ok(folder)
            });
            let folder = match unpacked {
                Ok(folder) => folder,
                Err(error) => return report(Err(error)),
            };
            report(Ok(folder.path()))?;
            wait();
            let path = folder.path().to_owned();
            folder.close().map_err(|source| Error::Write { path, source })
        }
    }
}

fn temporary(prefix: &str) -> Result<tempfile::TempDir, Error> {
    let folder = tempfile::Builder::new().prefix(prefix).tempdir();
    folder.map_err(|source| Error::Folder { folder: std::env::temp_dir(), source })
}

/// Tells whoever started the keeper how it went.
fn report(outcome: Result<&Path, Error>) -> Result<(), Error> {
    let (sign, text) = match &outcome {
        Ok(folder) => (b"=", folder.as_os_str().as_bytes().to_vec()),
        Err(error) => (b"!", error.to_string().into_bytes()),
    };
    let mut output = io::stdout().lock();
    let written = output.write_all(&[sign, text.as_slice(), &[0]].concat()).and_then(|()| output.flush());
    written.map_err(Error::Keeper)
}

/// Returns when nobody holds the other end of the pipe any more.
fn wait() {
    // Nothing is ever written to it. Where it cannot be read, nobody is left either.
    let _ = io::stdin().lock().read(&mut [0]);
}
