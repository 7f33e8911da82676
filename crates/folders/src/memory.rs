use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{File, Metadata, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Where it is remembered what was done in watched folders: `$XDG_STATE_HOME/amanuensis/watched`, usually
/// `~/.local/state/amanuensis/watched`. None without a home.
pub fn memories() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))?;
    Some(state.join("amanuensis/watched"))
}

/// By what a file is known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub bytes: u64,
    pub modified_s: i64,
    pub modified_ns: i64,
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self { bytes: metadata.len(), modified_s: metadata.mtime(), modified_ns: metadata.mtime_nsec() }
    }
}

/// What was done in a watched folder, in a file of its own: size, time and path of each recording, with a zero byte after it.
pub struct Memory {
    file: PathBuf,
    known: BTreeMap<PathBuf, Stamp>,
    /// Held while the folder is watched: two who watch it would do everything twice.
    _lock: File,
}

impl Memory {
    /// The memory of a folder, and whether there was none before.
    ///
    /// *Errors*: [`io::ErrorKind::WouldBlock`] where somebody else watches the folder.
    pub fn open(memories: &Path, watched: &Path) -> io::Result<(Self, bool)> {
        std::fs::create_dir_all(memories)?;
        let digest = Sha256::digest(watched.as_os_str().as_bytes());
        let name: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        let lock = File::create(memories.join(format!("{name}.lock")))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
            TryLockError::Error(error) => error,
        })?;
        let file = memories.join(name);
        let (known, fresh) = match std::fs::read(&file) {
            Ok(bytes) => (parse(&bytes), false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (BTreeMap::new(), true),
            Err(error) => return Err(error),
        };
        Ok((Self { file, known, _lock: lock }, fresh))
    }

    pub fn knows(&self, path: &Path, stamp: Stamp) -> bool {
        self.known.get(path) == Some(&stamp)
    }

    /// Remembers these from now on, and over a restart.
    pub fn remember(
        &mut self,
        recordings: impl IntoIterator<Item = (PathBuf, Stamp)>,
    ) -> Result<(), amanuensis_export::WriteError> {
        self.known.extend(recordings);
        let mut bytes = Vec::new();
        for (path, stamp) in &self.known {
            bytes.extend(format!("{} {} {} ", stamp.bytes, stamp.modified_s, stamp.modified_ns).into_bytes());
            bytes.extend(path.as_os_str().as_bytes());
            bytes.push(0);
        }
        amanuensis_export::replace(&self.file, &bytes)
    }
}

/// What can be understood; a line that cannot costs at most a transcription that was done already.
fn parse(bytes: &[u8]) -> BTreeMap<PathBuf, Stamp> {
    let entry = |line: &[u8]| {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse::<i64>().ok();
        let (bytes, modified_s, modified_ns) = (number()?.try_into().ok()?, number()?, number()?);
        let path = PathBuf::from(OsStr::from_bytes(parts.next()?));
        Some((path, Stamp { bytes, modified_s, modified_ns }))
    };
    bytes.split(|byte| *byte == 0).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_remembered_and_only_one_may_watch() {
        let folder = tempfile::tempdir().unwrap();
        let watched = Path::new("/music");
        let stamp = Stamp { bytes: 12, modified_s: -5, modified_ns: 7 };
        let odd = Path::new("/music").join(OsStr::from_bytes(b"line\nbreak \xff.wav"));
        let (mut memory, fresh) = Memory::open(folder.path(), watched).unwrap();
        assert!(fresh);
        memory.remember([(odd.clone(), stamp)]).unwrap();
        assert_eq!(Memory::open(folder.path(), watched).err().unwrap().kind(), io::ErrorKind::WouldBlock);
        drop(memory);
        let (memory, fresh) = Memory::open(folder.path(), watched).unwrap();
        assert!(!fresh && memory.knows(&odd, stamp));
        assert!(!memory.knows(&odd, Stamp { bytes: 13, ..stamp }));
        assert_eq!(parse(b"nonsense\0 \0").len(), 0);
    }
}
