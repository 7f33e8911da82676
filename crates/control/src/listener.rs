//! The app's end of the socket.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::getuid;

use crate::{ControlError, LONGEST_LINE, PATIENCE, Request, socket_in};

/// A socket that only this user can reach. While it lives, no other app can listen.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Held as long as the app runs; the system lets go of it however that ends.
    lock: File,
}

/// Answers until it is dropped.
#[derive(Debug)]
pub struct Serving {
    path: PathBuf,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _lock: File,
}

impl Listener {
    /// Begins to listen in `folder`. What asks from now on waits until [`serve`](Self::serve).
    ///
    /// # Errors
    /// [`ControlError::AlreadyRunning`] if another app does; [`ControlError::CannotListen`].
    pub fn bind(folder: &Path) -> Result<Self, ControlError> {
        let path = socket_in(folder);
        let failed = |cause| ControlError::CannotListen { socket: path.clone(), cause };
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(path.with_extension("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ControlError::AlreadyRunning),
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        // We hold the lock: whoever made it is gone.
        match std::fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(cause)),
            _ => {}
        }
        // Between these two lines the folder's own mode and the check of who asks stand in for the socket's mode.
        let socket = UnixListener::bind(&path).map_err(failed)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(failed)?;
        Ok(Self { socket, path, lock })
    }

    /// Hands each request to `obey` on a thread of its own, and answers `ok`, or `no` with the sentence it returns.
    pub fn serve(self, mut obey: impl FnMut(Request) -> Result<(), String> + Send + 'static) -> Serving {
        let Self { socket, path, lock } = self;
        let ends = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&ends);
        let work = move || {
            for stream in socket.incoming() {
                if ending.load(Ordering::Acquire) {
                    return;
                }
                match stream {
                    // Whoever hangs up in the middle wants no answer.
                    Ok(stream) => _ = answer(stream, &mut obey),
                    // Out of descriptors, say: it passes, and must not keep a processor busy until then.
                    Err(_) => std::thread::sleep(Duration::from_millis(100)),
                }
            }
        };
        let thread =
            std::thread::Builder::new().name("control".into()).spawn(work).expect("BUG: few threads are running");
        Serving { path, ends, thread: Some(thread), _lock: lock }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        // Wakes the thread. If that fails it does not listen any more either.
        if UnixStream::connect(&self.path).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

fn answer(mut stream: UnixStream, obey: &mut impl FnMut(Request) -> Result<(), String>) -> io::Result<()> {
    let asks = getsockopt(&stream, PeerCredentials)?.uid();
    if asks != getuid().as_raw() {
        return stream.write_all(b"no Amanuensis obeys the user who started it, and nobody else.\n");
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = Vec::new();
    BufReader::new((&stream).take(LONGEST_LINE)).read_until(b'\n', &mut line)?;
    let request = std::str::from_utf8(&line).ok().filter(|line| line.ends_with('\n')).and_then(Request::parse);
    let done = match request {
        Some(request) => obey(request),
        None => Err("This is no request: expected toggle, start, stop, cancel, show, choose or open.".to_owned()),
    };
    match done {
        Ok(()) => stream.write_all(b"ok\n"),
        Err(sentence) => stream.write_all(format!("no {}\n", sentence.replace('\n', " ")).as_bytes()),
    }
}
