//! The key that a server asks for: in the environment, or in a file that nobody else may read.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The environment's variable that a key is taken from before any file is looked at.
pub const VARIABLE: &str = "AMANUENSIS_LLM_KEY";
/// The longest key.
const MOST_BYTES: u64 = 4_096;

/// A key. It is never printed: its `Debug` form hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key(hidden)")
    }
}

/// Why a key cannot be used, or not be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the key cannot be kept in {} ({source}); check who owns the folder", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others may read the file.
    #[error("others can read the key in {0}; run `chmod 600 {0}`", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// It has characters that no header may have.
    #[error("the key has spaces or signs that no key has; copy it again")]
    Unusable,
}

impl Key {
    /// The key in the environment, or else in the file; none where there is neither.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn find(file: &Path) -> Result<Option<Self>, KeyError> {
        let set = std::env::var(VARIABLE).ok().filter(|key| !key.trim().is_empty());
        match set {
            Some(key) => Self::checked(&key).map(Some),
            None => Self::read(file),
        }
    }

    fn read(path: &Path) -> Result<Option<Self>, KeyError> {
        let io = |source| KeyError::Io { path: path.to_owned(), source };
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        if file.metadata().map_err(io)?.mode() & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned() });
        }
        let mut text = String::new();
        file.take(MOST_BYTES).read_to_string(&mut text).map_err(io)?;
        Self::checked(&text).map(Some)
    }

    fn checked(text: &str) -> Result<Self, KeyError> {
        let key = text.trim();
        let usable = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        if usable { Ok(Self(key.to_owned())) } else { Err(KeyError::Unusable) }
    }

    /// Keeps a key in the file, for the owner's eyes only; an empty one deletes it.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn keep(path: &Path, text: &str) -> Result<(), KeyError> {
        let io = |source| KeyError::Io { path: path.to_owned(), source };
        if text.trim().is_empty() {
            return match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(error)),
                _ => Ok(()),
            };
        }
        let key = Self::checked(text)?;
        let write = || {
            let folder = path.parent().unwrap_or(Path::new("."));
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let private = |path: &Path| std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            let mut new = tempfile::Builder::new().prefix(".llm-key").make_in(folder, private)?;
            writeln!(new, "{}", key.0)?;
            new.as_file().sync_all()?;
            new.persist(path)?;
            Ok(())
        };
        write().map_err(io)
    }

    /// The key itself, for a header.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_kept_for_its_owner_replaced_and_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config/llm-key");
        assert_eq!(Key::read(&file).unwrap(), None);
        for key in [" sk-1\n", "sk-2"] {
            Key::keep(&file, key).unwrap();
            assert_eq!(Key::read(&file).unwrap().unwrap().reveal(), key.trim());
        }
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(format!("{:?}", Key::read(&file).unwrap()), "Some(Key(hidden))");
        assert!(matches!(Key::keep(&file, "a key\nX-Header: 1"), Err(KeyError::Unusable)));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Key::read(&file), Err(KeyError::Exposed { .. })));
        Key::keep(&file, "").unwrap();
        Key::keep(&file, "").unwrap();
        assert!(!file.exists());
    }
}
