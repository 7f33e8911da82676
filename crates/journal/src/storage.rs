//! The file behind a journal, narrow enough that a test can put another one in its place and pull the plug.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Where a journal is written to.
pub trait Storage: Send {
    /// Writes all of `bytes` from `offset` on. After a failure any part of them may have been written.
    ///
    /// # Errors
    /// What the system says.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Returns when all that was written has reached the disk.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&mut self) -> Result<()>;
}

impl Storage for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> Result<()> {
        self.sync_data()
    }
}

/// Makes a new file that nobody else may read, in a folder that nobody else may enter, and locks it.
pub(crate) fn create(path: &Path) -> Result<File> {
    let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    // Whoever looks for orphans leaves a journal alone while it is being written. Where locks are unknown, nobody else is there.
    let _ = file.try_lock();
    // The file's name has to be on the disk as well.
    File::open(folder)?.sync_all()?;
    Ok(file)
}
