//! Where the server listens, whom it lets in, and how much it takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::Token;

/// The port, unless another is chosen.
pub const DEFAULT_PORT: u16 = 9050;

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens. Port 0 takes any that is free.
    pub address: SocketAddr,
    /// Whom it lets in.
    pub access: Access,
    /// Names in the Host header that mean this server, beside `localhost` and every address in numbers. A name that is not listed
    /// could be an attacker's that was made to point here.
    pub host_names: Vec<String>,
    /// How much it takes.
    pub limits: Limits,
}

impl Settings {
    /// This machine only, on the default port.
    pub fn local(access: Access) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT));
        Self { address, access, host_names: Vec::new(), limits: Limits::default() }
    }
}

/// Whom a server lets in.
#[derive(Debug, Clone)]
pub enum Access {
    /// Who knows the token.
    Token(Token),
    /// Every program on this machine, whoever runs it. Not possible beyond loopback.
    Open,
}

/// How much a server takes. What goes beyond is refused, not queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an upload, its form included. Uploads lie in the system's temporary folder, `TMPDIR`.
    pub body_bytes: u64,
    /// Connections at a time. Further ones wait in the system's own queue.
    pub connections: usize,
    /// Recordings that are uploaded, waiting or transcribed at a time. Each may hold an upload on the disk.
    pub recordings: usize,
    /// Live sessions at a time.
    pub sessions: usize,
    /// Until the head of a request is there, and how long a connection may be idle.
    pub head_time: Duration,
    /// The longest pause within an upload or a live session.
    pub pause: Duration,
    /// Until an upload is complete.
    pub upload_time: Duration,
    /// Until a recording is transcribed, its wait included.
    pub answer_time: Duration,
    /// How long a client may take nothing of what is sent to it.
    pub write_time: Duration,
    /// How long requests in hand may go on after the server was told to stop.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 100 << 20,
            connections: 256,
            recordings: 64,
            sessions: 8,
            head_time: Duration::from_secs(10),
            pause: Duration::from_secs(20),
            upload_time: Duration::from_secs(600),
            answer_time: Duration::from_secs(6 * 3600),
            write_time: Duration::from_secs(20),
            grace: Duration::from_secs(10),
        }
    }
}
