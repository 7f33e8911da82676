use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// Why a transcript is not on the disk. What was there before is still there.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is something of this name.
    #[error("{} is there already and was left as it is; choose another name or folder", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("cannot write {}: {}; choose another folder, or make room", path.display(), plain(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What the system said, without its number for it.
fn plain(error: &std::io::Error) -> String {
    let said = error.to_string();
    said.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Writes a file that is not there yet: whole, or not at all.
///
/// # Errors
/// [`WriteError::Taken`] where something has this name; [`WriteError::Io`].
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    // Before the work, and again at its end, for both may be long apart.
    if path.symlink_metadata().is_ok() {
        return Err(WriteError::Taken { path: path.to_owned() });
    }
    let file = written(path, bytes)?;
    file.persist_noclobber(path).map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => WriteError::Taken { path: path.to_owned() },
        _ => WriteError::Io { path: path.to_owned(), source: error.error },
    })?;
    Ok(())
}

/// Writes a file in the place of what is there, which somebody agreed to: whole, or not at all.
///
/// # Errors
/// [`WriteError::Io`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let file = written(path, bytes)?;
    file.persist(path).map_err(|error| WriteError::Io { path: path.to_owned(), source: error.error })?;
    Ok(())
}

/// The bytes on the disk, under a passing name in the same folder.
fn written(path: &Path, bytes: &[u8]) -> Result<NamedTempFile, WriteError> {
    let write = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = Builder::new();
        builder.prefix(".amanuensis-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(|source| WriteError::Io { path: path.to_owned(), source })
}

/// A name beside the recording that nothing has yet: `talk.txt`, or else `talk-2.txt` and so on.
pub fn beside(recording: &Path, ending: &str) -> PathBuf {
    let stem = recording.file_stem().unwrap_or(OsStr::new("transcript"));
    let named = |tail: &str| {
        let mut name = stem.to_owned();
        name.push(tail);
        recording.with_file_name(name)
    };
    let mut candidate = named(&format!(".{ending}"));
    let mut number = 2_u32;
    while candidate.symlink_metadata().is_ok() {
        candidate = named(&format!("-{number}.{ending}"));
        number += 1;
    }
    candidate
}

/// A file's name as it can be shown anywhere: one line, read in the direction in which it is written.
///
/// Whatever is no letter of it, such as a line break, a mark that turns the direction of text or a byte that is no UTF-8,
/// becomes `�`.
pub fn plain_name(name: &OsStr) -> String {
    let odd = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    name.to_string_lossy().chars().map(|letter| if odd(letter) { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt as _;

    #[test]
    fn nothing_is_overwritten_unless_that_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("talk.srt");
        write_new(&path, b"one").unwrap();
        let error = write_new(&path, b"two").unwrap_err().to_string();
        assert!(error.contains("talk.srt is there already"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        replace(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        // A link that leads nowhere is something too.
        let link = folder.path().join("link.srt");
        std::os::unix::fs::symlink("/nowhere", &link).unwrap();
        assert!(matches!(write_new(&link, b""), Err(WriteError::Taken { .. })));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left behind");
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_in_a_sentence() {
        let error = write_new(Path::new("/nowhere/talk.txt"), b"").unwrap_err().to_string();
        assert!(error.starts_with("cannot write /nowhere/talk.txt: No such file"), "{error}");
        assert!(!error.contains("os error"), "{error}");
    }

    #[test]
    fn a_free_name_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let recording = folder.path().join("my.talk.mp3");
        assert_eq!(beside(&recording, "txt"), folder.path().join("my.talk.txt"));
        std::fs::write(folder.path().join("my.talk.txt"), "").unwrap();
        assert_eq!(beside(&recording, "txt"), folder.path().join("my.talk-2.txt"));
    }

    #[test]
    fn names_can_be_shown() {
        assert_eq!(plain_name(OsStr::new("Vortrag über 日本.mp3")), "Vortrag über 日本.mp3");
        assert_eq!(plain_name(OsStr::new("a\nb\u{202e}3pm.exe\u{7}")), "a�b�3pm.exe�");
        assert_eq!(plain_name(OsStr::from_bytes(b"talk\xff.wav")), "talk�.wav");
    }
}
