use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use amanuensis_export::WriteError;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use notify::{RecursiveMode, Watcher as _};

use crate::memory::{Memory, Stamp};
use crate::news::News;
use crate::walk::walk;

/// Looks are no closer than this, however much happens.
const PAUSE: Duration = Duration::from_millis(500);
/// The folder is looked at this often though nothing was heard of it: the kernel tells nothing of what other machines do.
const AT_LEAST: Duration = Duration::from_secs(30);

/// Why a folder is not watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// It is not there, or may not be read.
    #[error("the folder {} cannot be watched: {reason}; choose another one, or make it again", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Somebody else watches it.
    #[error("the folder {} is being watched already; stop the other program, or choose another folder", folder.display())]
    Watched {
        /// The folder.
        folder: PathBuf,
    },
    /// What was done cannot be remembered.
    #[error("what was done in the watched folder cannot be remembered: {0}")]
    Memory(String),
}

impl From<WriteError> for WatchError {
    fn from(error: WriteError) -> Self {
        Self::Memory(error.to_string())
    }
}

/// What a watched folder tells.
#[derive(Debug)]
pub enum WatchEvent {
    /// A recording is new and whole. It comes once, until [`Watch::done`] was said of it and it has changed.
    Recording(PathBuf),
    /// The folder is not seen at the moment, or what was done is not remembered. It is tried again.
    Trouble(WatchError),
}

/// A folder that is being watched. Dropped, it ends.
#[derive(Debug)]
pub struct Watch {
    done: Option<Sender<PathBuf>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches a folder and the folders in it. Recordings that lie there when it is watched for the first time are not new,
    /// unless `existing` says so. What was done is remembered in a file in `memories`.
    ///
    /// # Errors
    /// [`WatchError`].
    pub fn start(
        folder: &Path,
        memories: &Path,
        existing: bool,
        listener: impl FnMut(WatchEvent) + Send + 'static,
    ) -> Result<Self, WatchError> {
        let refused =
            |error: std::io::Error| WatchError::Folder { folder: folder.to_owned(), reason: plain(&error.to_string()) };
        let root = folder.canonicalize().map_err(refused)?;
        std::fs::read_dir(&root).map_err(refused)?;
        let (mut memory, fresh) = Memory::open(memories, &root).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => WatchError::Watched { folder: root.clone() },
            _ => WatchError::Memory(plain(&error.to_string())),
        })?;
        if fresh {
            // Written even where there is nothing in it: the next time is not the first.
            memory.remember(look(&root).filter(|_| !existing))?;
        }
        let (done, finished) = unbounded();
        let worker = Worker { root, memory, news: News::default(), listener, finished };
        let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(move || worker.run());
        let thread = thread.map_err(|error| WatchError::Memory(error.to_string()))?;
        Ok(Self { done: Some(done), thread: Some(thread) })
    }

    /// This recording was transcribed, or cannot be: it is not new any more, even after a restart.
    pub fn done(&self, recording: PathBuf) {
        if let Some(done) = &self.done {
            // A watch that has ended remembers nothing.
            let _ = done.send(recording);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.done = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to panic on; if it did, there is nothing left to clean up.
            let _ = thread.join();
        }
    }
}

struct Worker<L> {
    root: PathBuf,
    memory: Memory,
    news: News,
    listener: L,
    finished: Receiver<PathBuf>,
}

impl<L: FnMut(WatchEvent)> Worker<L> {
    fn run(mut self) {
        let (wake, woken) = bounded(1);
        // Full, it wakes already.
        let watcher = notify::recommended_watcher(move |_| _ = wake.try_send(()));
        let mut watcher = watcher.and_then(|mut watcher| {
            watcher.watch(&self.root, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        // Without one (there are limits), what is new is seen all the same, only later.
        let mut troubled = false;
        loop {
            if self.root.is_dir() {
                if std::mem::take(&mut troubled)
                    && let Ok(watcher) = &mut watcher
                {
                    // It is another folder than the one that vanished. If this fails, the folder is looked at all the same.
                    let _ = watcher.watch(&self.root, RecursiveMode::Recursive);
                }
                let unknown = look(&self.root).filter(|(path, stamp)| !self.memory.knows(path, *stamp)).collect();
                for path in self.news.look(unknown, Instant::now()) {
                    (self.listener)(WatchEvent::Recording(path));
                }
            } else if !std::mem::replace(&mut troubled, true) {
                let reason = "it is not there any more".to_owned();
                (self.listener)(WatchEvent::Trouble(WatchError::Folder { folder: self.root.clone(), reason }));
            }
            let not_before = Instant::now() + PAUSE;
            let most = not_before + AT_LEAST;
            let alarm = crossbeam_channel::at(self.news.due().map_or(most, |due| due.min(most)));
            loop {
                crossbeam_channel::select! {
                    recv(self.finished) -> done => match done {
                        Ok(path) => self.remember(&path),
                        Err(_) => return,
                    },
                    recv(woken) -> _ => break,
                    recv(alarm) -> _ => break,
                }
            }
            // The end does not wait for the pause.
            while let Some(rest) = not_before.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) {
                match self.finished.recv_timeout(rest) {
                    Ok(path) => self.remember(&path),
                    Err(error) if error.is_disconnected() => return,
                    Err(_) => break,
                }
            }
        }
    }

    fn remember(&mut self, path: &Path) {
        if let Some(done) = self.news.done(path)
            && let Err(error) = self.memory.remember([done])
        {
            (self.listener)(WatchEvent::Trouble(error.into()));
        }
    }
}

fn look(root: &Path) -> impl Iterator<Item = (PathBuf, Stamp)> {
    walk(root).map(|(path, metadata)| {
        let stamp = Stamp::from(&metadata);
        (path, stamp)
    })
}

/// What the system said, without its number for it.
fn plain(said: &str) -> String {
    said.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn start(folder: &Path, memories: &Path, existing: bool) -> (Watch, Receiver<WatchEvent>) {
        let (sender, events) = unbounded();
        let watch = Watch::start(folder, memories, existing, move |event| _ = sender.send(event)).unwrap();
        (watch, events)
    }

    fn recording(events: &Receiver<WatchEvent>) -> PathBuf {
        match events.recv_timeout(Duration::from_secs(60)).unwrap() {
            WatchEvent::Recording(path) => path,
            WatchEvent::Trouble(error) => panic!("{error}"),
        }
    }

    #[test]
    fn what_is_new_is_told_once_and_not_again_after_a_restart() {
        let (folder, memories) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = folder.path().canonicalize().unwrap();
        fs::write(root.join("old.wav"), "old").unwrap();
        let (watch, events) = start(&root, memories.path(), false);
        assert!(matches!(Watch::start(&root, memories.path(), false, |_| {}), Err(WatchError::Watched { .. })));
        fs::create_dir(root.join("sub")).unwrap();
        fs::write(root.join("sub/new.wav"), "new").unwrap();
        fs::write(root.join("new.txt"), "a document").unwrap();
        assert_eq!(recording(&events), root.join("sub/new.wav"));
        watch.done(root.join("sub/new.wav"));
        drop(watch);
        fs::write(root.join("meanwhile.wav"), "new too").unwrap();
        let (watch, events) = start(&root, memories.path(), false);
        assert_eq!(recording(&events), root.join("meanwhile.wav"));
        drop(watch);
        // It was not done, and comes again.
        let (_watch, events) = start(&root, memories.path(), false);
        assert_eq!(recording(&events), root.join("meanwhile.wav"));
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_in_a_sentence() {
        let memories = tempfile::tempdir().unwrap();
        let error = Watch::start(Path::new("/nowhere"), memories.path(), false, |_| {}).unwrap_err().to_string();
        assert!(error.contains("/nowhere cannot be watched: No such file"), "{error}");
        assert!(!error.contains("os error"), "{error}");
    }

    #[test]
    fn a_folder_that_vanishes_is_told_of() {
        let (folder, memories) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = folder.path().join("watched");
        fs::create_dir(&root).unwrap();
        let (_watch, events) = start(&root, memories.path(), true);
        fs::remove_dir(&root).unwrap();
        let event = events.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(matches!(event, WatchEvent::Trouble(WatchError::Folder { .. })));
    }
}
