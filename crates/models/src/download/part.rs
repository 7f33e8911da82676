//! The part of a file that has arrived: locked while it is written, hashed as it grows, and renamed once it is whole.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{DownloadError, Stop};

/// What is read at once when a part is hashed.
const CHUNK: usize = 1 << 20;

/// An unfinished file. Dropping it releases the lock and leaves it where it is.
#[derive(Debug)]
pub struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    hash: Sha256,
    origin: Option<Origin>,
}

/// Where the part came from, so that its rest can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Address that was asked, before it sent us on.
    pub address: String,
    /// The server's name for this state of the file.
    pub tag: String,
}

impl Part {
    /// Opens the unfinished file beside `target`, or begins one. Its content is hashed by [`read`](Self::read).
    ///
    /// # Errors
    /// [`DownloadError::Busy`] if somebody else has it open, [`DownloadError::Disk`].
    pub fn open(target: &Path, name: &str) -> Result<Self, DownloadError> {
        let path = beside(target, "part");
        let disk = |source| DownloadError::Disk { path: path.clone(), source };
        loop {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644)
                .open(&path)
                .map_err(disk)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(DownloadError::Busy { name: name.to_owned() }),
                Err(TryLockError::Error(source)) => return Err(disk(source)),
            }
            // Whoever had the lock before may have renamed the file or removed it: then it is not the part any more.
            let same = |there: fs::Metadata| {
                file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
            };
            if fs::symlink_metadata(&path).is_ok_and(same) {
                let length = file.metadata().map_err(disk)?.len();
                let origin = read_origin(&beside(&path, "origin"));
                return Ok(Self { file, length, hash: Sha256::new(), origin, path: path.clone() });
            }
        }
    }

    /// Reads what is there, so that its hash can go on.
    ///
    /// # Errors
    /// [`DownloadError::Stopped`], [`DownloadError::Disk`].
    pub fn read(&mut self, stop: &Stop, mut progress: impl FnMut(u64)) -> Result<(), DownloadError> {
        self.hash = Sha256::new();
        self.file.seek(SeekFrom::Start(0)).map_err(|source| self.disk(source))?;
        let mut chunk = vec![0; CHUNK];
        let mut done = 0;
        loop {
            stop.check()?;
            let count = self.file.read(&mut chunk).map_err(|source| self.disk(source))?;
            if count == 0 {
                self.length = done;
                return Ok(());
            }
            self.hash.update(&chunk[..count]);
            done += count as u64;
            progress(done);
        }
    }

    /// Bytes that are there.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where they came from.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// Begins anew. What comes next comes from `origin`.
    ///
    /// # Errors
    /// [`DownloadError::Disk`].
    pub fn restart(&mut self, origin: Option<Origin>) -> Result<(), DownloadError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|source| self.disk(source))?;
        (self.length, self.hash) = (0, Sha256::new());
        let note = beside(&self.path, "origin");
        match &origin {
            // It only saves work: without it the rest is asked for all the same.
            Some(origin) => _ = fs::write(note, format!("{}\n{}\n", origin.address, origin.tag)),
            None => _ = fs::remove_file(note),
        }
        self.origin = origin;
        Ok(())
    }

    /// Appends what has come.
    ///
    /// # Errors
    /// [`DownloadError::Disk`].
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), DownloadError> {
        if let Err(source) = self.file.write_all(bytes) {
            // A part of it may have been written, and is not hashed.
            let _ = self.file.set_len(self.length).and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
            return Err(self.disk(source));
        }
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// SHA-256 of what is there, in hexadecimal.
    pub fn sha256(&self) -> String {
        self.hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Makes it the file that it is a part of: written to the disk, then renamed, so that nobody ever sees half of it.
    ///
    /// # Errors
    /// [`DownloadError::Disk`].
    pub fn install(self, target: &Path) -> Result<(), DownloadError> {
        let install = || {
            self.file.set_permissions(Permissions::from_mode(0o644))?;
            self.file.sync_all()?;
            fs::rename(&self.path, target)?;
            let _ = fs::remove_file(beside(&self.path, "origin"));
            // The name is on the disk once its folder is. A file system that cannot do it is no reason to fail.
            if let Some(folder) = target.parent().and_then(|folder| File::open(folder).ok()) {
                let _ = folder.sync_all();
            }
            Ok(())
        };
        install().map_err(|source| DownloadError::Disk { path: target.to_owned(), source })
    }

    /// Throws it away.
    ///
    /// # Errors
    /// [`DownloadError::Disk`].
    pub fn discard(self) -> Result<(), DownloadError> {
        let _ = fs::remove_file(beside(&self.path, "origin"));
        fs::remove_file(&self.path).map_err(|source| self.disk(source))
    }

    fn disk(&self, source: std::io::Error) -> DownloadError {
        DownloadError::Disk { path: self.path.clone(), source }
    }
}

/// How much of a file there is, without touching it.
pub fn length_beside(target: &Path) -> Option<u64> {
    fs::metadata(beside(target, "part")).ok().map(|metadata| metadata.len())
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

fn read_origin(path: &Path) -> Option<Origin> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines();
    Some(Origin { address: lines.next()?.to_owned(), tag: lines.next()?.to_owned() })
}
