//! How a key binding, the command line or a second start tells the running app what to do: one line over a Unix socket.
//!
//! The socket lies in the user's own runtime folder with mode 0600, and who asks must be the same user. A lock file beside
//! it says whether an app runs, so that a socket left behind by one that was killed is never mistaken for a live one.
//! A [`Request`] is one line; the answer is `ok` or `no` with a sentence.

mod listener;
mod request;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use listener::{Listener, Serving};
pub use request::Request;

/// How long either side waits for the other. Both sit on one machine and answer at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// No line is longer: 1 MiB of file names is more than a command line holds.
const LONGEST_LINE: u64 = 1 << 20;

/// Why the app could not be told, or could not listen.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error("Amanuensis is not running; start it with `amanuensis start` or from the menu of programs")]
    NotRunning,
    /// An app listens already.
    #[error("Amanuensis is running already")]
    AlreadyRunning,
    /// There is no folder that belongs to the user alone.
    #[error("there is no folder for sockets: {reason}; set XDG_RUNTIME_DIR to a folder of yours with mode 0700")]
    NoFolder {
        /// What is wrong with it.
        reason: String,
    },
    /// The connection broke.
    #[error("the running app does not answer on {}: {cause}; close it and start it again", socket.display())]
    NoAnswer {
        /// Where it was asked.
        socket: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot listen on {}: {cause}; check that the folder can be written to", socket.display())]
    CannotListen {
        /// Where.
        socket: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The app understood and said no.
    #[error("{0}")]
    Refused(String),
}

/// The folder of the user's sockets: `$XDG_RUNTIME_DIR`, or `/run/user/UID` where that is not set.
///
/// # Errors
/// [`ControlError::NoFolder`] if it is missing or belongs to somebody else.
pub fn runtime_folder() -> Result<PathBuf, ControlError> {
    let own = nix::unistd::getuid().as_raw();
    let folder = std::env::var_os("XDG_RUNTIME_DIR")
        .filter(|folder| !folder.is_empty())
        .map_or_else(|| PathBuf::from(format!("/run/user/{own}")), PathBuf::from);
    let reason = match std::fs::metadata(&folder) {
        Ok(found) if found.uid() == own && found.is_dir() => return Ok(folder),
        Ok(_) => "is not a folder of this user".to_owned(),
        Err(cause) => cause.to_string(),
    };
    Err(ControlError::NoFolder { reason: format!("{}: {reason}", folder.display()) })
}

/// Where the app listens.
fn socket_in(folder: &Path) -> PathBuf {
    folder.join("amanuensis.sock")
}

/// Tells the app that listens in `folder` what to do, and waits until it has understood.
///
/// # Errors
/// [`ControlError::NotRunning`], [`ControlError::NoAnswer`], or what the app said.
pub fn send(folder: &Path, request: &Request) -> Result<(), ControlError> {
    let socket = socket_in(folder);
    let broken = |cause| ControlError::NoAnswer { socket: socket.clone(), cause };
    let mut stream = UnixStream::connect(&socket).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ControlError::NotRunning,
        _ => broken(cause),
    })?;
    let mut answer = String::new();
    stream.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(broken)?;
    stream.write_all(format!("{request}\n").as_bytes()).map_err(broken)?;
    BufReader::new(stream.take(LONGEST_LINE)).read_line(&mut answer).map_err(broken)?;
    match answer.trim_end().split_once(' ') {
        None if answer == "ok\n" => Ok(()),
        Some(("no", sentence)) => Err(ControlError::Refused(sentence.to_owned())),
        _ => Err(broken(io::Error::new(io::ErrorKind::InvalidData, "it ended in the middle of its answer"))),
    }
}
