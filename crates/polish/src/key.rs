//! The key that a server asks for: in the environment, in the desktop's keyring, or, where there is none, in a file that nobody
//! else may read.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::keyring::Keyring;

/// The environment's variable that a key is taken from before any file is looked at.
pub const VARIABLE: &str = "AMANUENSIS_LLM_KEY";
/// So long the user may take to unlock the keyring.
const PATIENCE: Duration = Duration::from_secs(30);
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
    /// Nobody unlocked the keyring, or not in time.
    #[error("the desktop's keyring stayed locked; unlock it and try again, or set AMANUENSIS_LLM_KEY")]
    Locked,
    /// The keyring says nothing.
    #[error("the desktop's keyring does not answer; log in anew, or set AMANUENSIS_LLM_KEY")]
    Silent,
    /// The keyring fails at what it is asked.
    #[error("the desktop's keyring failed ({0}); try again, or set AMANUENSIS_LLM_KEY")]
    Keyring(Box<secret_service::Error>),
    /// It has characters that no header may have.
    #[error("the key has spaces or signs that no key has; copy it again")]
    Unusable,
}

impl Key {
    fn checked(text: &str) -> Result<Self, KeyError> {
        let key = text.trim();
        let usable = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        if usable { Ok(Self(key.to_owned())) } else { Err(KeyError::Unusable) }
    }

    /// The key itself, for a header.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

/// Where a key lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In [`VARIABLE`].
    Environment,
    /// In a file.
    File,
    /// In the desktop's keyring.
    Keyring,
}

/// Who keeps the key. Every question may take half a minute, for a keyring may ask its user for a password.
#[derive(Debug, Clone)]
pub struct KeyKeeper {
    file: PathBuf,
    keyring: Keyring,
}

impl KeyKeeper {
    /// The session's keyring, and this file where there is none.
    pub fn new(file: PathBuf) -> Self {
        Self { file, keyring: Keyring { bus: None, patience: PATIENCE } }
    }

    /// The same, with a keyring on another bus than the session's.
    #[must_use]
    pub fn on_bus(self, address: &str) -> Self {
        Self { keyring: Keyring { bus: Some(address.to_owned()), ..self.keyring }, ..self }
    }

    /// The same, when the user of a keyring may take so long to unlock it.
    #[must_use]
    pub fn waiting(self, patience: Duration) -> Self {
        Self { keyring: Keyring { patience, ..self.keyring }, ..self }
    }

    /// Where the key lies; nowhere, if there is none. Nobody is asked for a password.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn place(&self) -> Result<Option<Place>, KeyError> {
        if environment().transpose()?.is_some() {
            return Ok(Some(Place::Environment));
        }
        if self.read()?.is_some() {
            return Ok(Some(Place::File));
        }
        Ok(self.keyring.holds()?.then_some(Place::Keyring))
    }

    /// The key, if there is one: that of the environment, or else of the file, or else of the keyring. The file is gone once
    /// a key was kept in the keyring, so one that is there is newer.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn find(&self) -> Result<Option<Key>, KeyError> {
        if let Some(key) = environment().transpose()? {
            return Ok(Some(key));
        }
        if let Some(key) = self.read()? {
            return Ok(Some(key));
        }
        let Some(secret) = self.keyring.read()? else { return Ok(None) };
        String::from_utf8(secret).map_err(|_| KeyError::Unusable).and_then(|text| Key::checked(&text)).map(Some)
    }

    /// Keeps a key instead of the one before: in the keyring, or, where there is none, in the file. An empty one is deleted.
    ///
    /// # Errors
    /// [`KeyError`]; the key before is still there.
    pub fn keep(&self, text: &str) -> Result<(), KeyError> {
        if text.trim().is_empty() {
            self.keyring.forget()?;
            return self.delete();
        }
        let key = Key::checked(text)?;
        if self.keyring.keep(key.reveal().as_bytes())? { self.delete() } else { self.write(&key) }
    }

    fn read(&self) -> Result<Option<Key>, KeyError> {
        let file = match std::fs::File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io(error)),
        };
        if file.metadata().map_err(|error| self.io(error))?.mode() & 0o077 != 0 {
            return Err(KeyError::Exposed { path: self.file.clone() });
        }
        let mut text = String::new();
        file.take(MOST_BYTES).read_to_string(&mut text).map_err(|error| self.io(error))?;
        Key::checked(&text).map(Some)
    }

    fn write(&self, key: &Key) -> Result<(), KeyError> {
        let write = || {
            let folder = self.file.parent().unwrap_or(Path::new("."));
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let private = |path: &Path| std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            let mut new = tempfile::Builder::new().prefix(".llm-key").make_in(folder, private)?;
            writeln!(new, "{}", key.reveal())?;
            new.as_file().sync_all()?;
            new.persist(&self.file)?;
            Ok(())
        };
        write().map_err(|error| self.io(error))
    }

    fn delete(&self) -> Result<(), KeyError> {
        match std::fs::remove_file(&self.file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.io(error)),
            _ => Ok(()),
        }
    }

    fn io(&self, source: std::io::Error) -> KeyError {
        KeyError::Io { path: self.file.clone(), source }
    }
}

/// The key in the environment, if there is one.
fn environment() -> Option<Result<Key, KeyError>> {
    let set = std::env::var(VARIABLE).ok().filter(|key| !key.trim().is_empty());
    set.map(|key| Key::checked(&key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn without_a_keyring_a_key_is_kept_in_a_file_for_its_owner_replaced_and_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config/llm-key");
        let keeper = KeyKeeper::new(file.clone()).on_bus("unix:path=/nowhere");
        assert_eq!((keeper.find().unwrap(), keeper.place().unwrap()), (None, None));
        for key in [" sk-1\n", "sk-2"] {
            keeper.keep(key).unwrap();
            assert_eq!(keeper.find().unwrap().unwrap().reveal(), key.trim());
            assert_eq!(keeper.place().unwrap(), Some(Place::File));
        }
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(format!("{:?}", keeper.find().unwrap()), "Some(Key(hidden))");
        assert!(matches!(keeper.keep("a key\nX-Header: 1"), Err(KeyError::Unusable)));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(keeper.find(), Err(KeyError::Exposed { .. })));
        assert!(matches!(keeper.place(), Err(KeyError::Exposed { .. })));
        keeper.keep("").unwrap();
        keeper.keep("").unwrap();
        assert!(!file.exists());
    }
}
