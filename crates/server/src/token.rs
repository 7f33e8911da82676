//! The secret that a client shows.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

/// Random bytes of a token, written as twice as many hexadecimal digits.
const RANDOM_BYTES: usize = 32;
/// A token in a file of one's own making may be shorter, but not so short that it can be guessed.
const LEAST_CHARACTERS: usize = 16;
/// What a token file may hold at most.
const MOST_BYTES: u64 = 4096;

/// A bearer token. It is never printed: its `Debug` form hides it.
#[derive(Clone)]
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token(hidden)")
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Neither of the variables that say where settings lie is set.
    #[error("there is no place for the token: set HOME or XDG_CONFIG_HOME, or name a token file")]
    NoHome,
    /// The file cannot be read or written.
    #[error("cannot keep the token in {}: {source}; check who owns the folder, or name another token file", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others may read the file.
    #[error("others can read the token in {0}: run `chmod 600 {0}`, or delete it to have a new one made", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error(
        "{} holds no token of at least {LEAST_CHARACTERS} letters, digits or signs without spaces; delete it to have one made",
        path.display()
    )]
    Unusable {
        /// The file.
        path: PathBuf,
    },
}

/// Where the token lies, unless another file is named: `$XDG_CONFIG_HOME/amanuensis/api-token`.
///
/// # Errors
/// [`TokenError::NoHome`].
pub fn token_file() -> Result<PathBuf, TokenError> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
    Ok(config.ok_or(TokenError::NoHome)?.join("amanuensis").join("api-token"))
}

impl Token {
    /// The token in `file`; if there is no such file, a new token that is kept there, for the owner's eyes only.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn load_or_create(file: &Path) -> Result<Self, TokenError> {
        let io = |source| TokenError::Io { path: file.to_owned(), source };
        match File::open(file) {
            Ok(open) => Self::read(file, open),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut random = [0; RANDOM_BYTES];
                getrandom::fill(&mut random).map_err(|error| io(std::io::Error::other(error)))?;
                let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
                Self::keep(file, &token).map_err(io)?;
                // Another process may have been quicker: what lies there now is the token.
                Self::read(file, File::open(file).map_err(io)?)
            }
            Err(error) => Err(io(error)),
        }
    }

    fn read(path: &Path, file: File) -> Result<Self, TokenError> {
        let io = |source| TokenError::Io { path: path.to_owned(), source };
        let metadata = file.metadata().map_err(io)?;
        if metadata.mode() & 0o077 != 0 {
            return Err(TokenError::Exposed { path: path.to_owned() });
        }
        let mut text = String::new();
        file.take(MOST_BYTES).read_to_string(&mut text).map_err(io)?;
        let token = text.trim();
        if token.len() < LEAST_CHARACTERS || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Unusable { path: path.to_owned() });
        }
        Ok(Self(token.to_owned()))
    }

    /// Writes a file that is complete from the moment at which it is there, and leaves one that is there already as it is.
    fn keep(file: &Path, token: &str) -> std::io::Result<()> {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut new = tempfile::Builder::new()
            .prefix(".api-token")
            .make_in(folder, |path| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path))?;
        writeln!(new, "{token}")?;
        new.as_file().sync_all()?;
        match new.persist_noclobber(file) {
            Err(error) if error.error.kind() != std::io::ErrorKind::AlreadyExists => Err(error.error),
            _ => Ok(()),
        }
    }

    /// The token itself, for the clipboard of the user whose it is.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `shown` is this token. The time it takes tells nothing of where they differ.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(shown).into()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_start_makes_a_token_that_only_the_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deeper/api-token");
        let token = Token::load_or_create(&file).unwrap();
        assert_eq!(token.0.len(), 2 * RANDOM_BYTES);
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(file.parent().unwrap().metadata().unwrap().mode() & 0o777, 0o700);
        let again = Token::load_or_create(&file).unwrap();
        assert!(again.is(token.0.as_bytes()));
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
        let other = Token::load_or_create(&folder.path().join("other")).unwrap();
        assert!(!other.is(token.0.as_bytes()));
        assert!(!format!("{token:?}").contains(&token.0));
    }

    #[test]
    fn a_file_that_is_no_secret_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("api-token");
        std::fs::write(&file, "0123456789abcdef").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = Token::load_or_create(&file).unwrap_err();
        assert!(matches!(error, TokenError::Exposed { .. }), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Token::load_or_create(&file).unwrap().is(b"0123456789abcdef"));
        for bad in
            ["", "short", "has spaces in the middle of it", "\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}"]
        {
            std::fs::write(&file, bad).unwrap();
            assert!(matches!(Token::load_or_create(&file), Err(TokenError::Unusable { .. })), "{bad:?}");
        }
    }

    #[test]
    fn processes_that_start_together_agree_on_one_token() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("api-token");
        let tokens: Vec<Token> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| Token::load_or_create(&file).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(tokens.iter().all(|token| token.is(tokens[0].0.as_bytes())));
    }
}
