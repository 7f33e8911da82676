//! Why a model is not downloaded.

use std::path::PathBuf;

use crate::size::in_words;

/// Why a download did not end with an installed model. What was received stays, except where it is known to be wrong, and the
/// next attempt goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// It was asked to stop.
    #[error("the download was stopped; start it again to go on from where it was")]
    Stopped,
    /// The same model is being downloaded by somebody else.
    #[error(
        "{name} is being downloaded by another program or window already; wait for that download, or stop it there"
    )]
    Busy {
        /// The model.
        name: String,
    },
    /// The disk has not enough room.
    #[error(
        "there is not enough room in {}: {} are needed and {} are free; make room and start the download again",
        folder.display(), in_words(*needed), in_words(*free)
    )]
    NoSpace {
        /// Where models lie.
        folder: PathBuf,
        /// What the rest of the file takes, with a reserve.
        needed: u64,
        /// What there is.
        free: u64,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}; check that the folder is there and that you may write to it", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An address cannot be used.
    #[error("{address} is not an address that models are downloaded from; give one that begins with https://")]
    Address {
        /// The address.
        address: String,
    },
    /// The server sent us on to an address that cannot be used.
    #[error("{host} sends the download on to an address that is not secure; use another network or another server")]
    Insecure {
        /// Who was asked.
        host: String,
    },
    /// The server sends us round in circles.
    #[error(
        "{host} sends the download from one address to the next without end; try again later, or use another server"
    )]
    Redirects {
        /// Who was asked.
        host: String,
    },
    /// Nobody answers.
    #[error("{host} cannot be reached ({reason}); check the connection to the internet and start the download again")]
    Unreachable {
        /// Who was asked.
        host: String,
        /// What happened.
        reason: String,
    },
    /// The proxy does not let us through.
    #[error("the proxy {proxy} cannot be used ({reason}); check HTTPS_PROXY, or name {host} in NO_PROXY")]
    Proxy {
        /// The proxy's address.
        proxy: String,
        /// Who was asked for.
        host: String,
        /// What happened.
        reason: String,
    },
    /// Nothing came for a while.
    #[error("{host} has sent nothing for {seconds} s; start the download again to go on from where it was")]
    Stalled {
        /// Who was asked.
        host: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The server does not have the file.
    #[error("{host} does not have {name} (any more); use another server, or a newer version of this program")]
    NotFound {
        /// Who was asked.
        host: String,
        /// The model.
        name: String,
    },
    /// The server does not give the file.
    #[error("{host} refuses to send the file (status {status}); try again later, or use another server")]
    Refused {
        /// Who was asked.
        host: String,
        /// HTTP's number for it.
        status: u16,
    },
    /// A page came instead of the file: of a network that wants a login, or of a filter.
    #[error(
        "a page came from {host} instead of the model; if this network wants you to log in, do so in a browser, then start the \
         download again"
    )]
    NotTheFile {
        /// Who was asked.
        host: String,
    },
    /// The server's file has another length.
    #[error("{host} has another file under the name {name}: {found} bytes, not {expected}; use another server")]
    WrongSize {
        /// Who was asked.
        host: String,
        /// The model.
        name: String,
        /// Length of the catalogue.
        expected: u64,
        /// Length of the server.
        found: u64,
    },
    /// The file arrived whole and is another one.
    #[error(
        "the file that {host} sent is not {name}: its SHA-256 is {found}; it was thrown away, try again or use another server"
    )]
    WrongHash {
        /// Who was asked.
        host: String,
        /// The model.
        name: String,
        /// SHA-256 of what came.
        found: String,
    },
}
