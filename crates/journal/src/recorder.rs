//! A journal at work: a ring that takes sound without waiting, and the thread that empties it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ringbuf::traits::{Observer as _, Producer as _, Split as _};
use ringbuf::{HeapProd, HeapRb};

use crate::format::Head;
use crate::writer::{Limits, Writer};
use crate::{Warning, storage};

/// How often the ring is emptied.
const PERIOD: Duration = Duration::from_millis(200);
/// Samples that are converted at a time.
const BLOCK: usize = 256;

/// What a recorder has to say, on its own thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The user should know.
    Warning(Warning),
    /// The file is closed; nothing follows.
    Closed {
        /// Sound in the file.
        saved: Duration,
        /// Whether that is all there was.
        whole: bool,
    },
}

/// Records one dictation into one file. Dropping it ends the recording and waits until it is on the disk.
pub struct Recorder {
    path: PathBuf,
    ring: HeapProd<i16>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Recorder").field("path", &self.path).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Shared {
    /// Nothing more is pushed.
    finished: AtomicBool,
    /// Something was pushed that found no room.
    overflown: AtomicBool,
}

impl Recorder {
    /// Begins a journal at `path`, which must not be there yet; its folder is made if need be. `tell` is called on the
    /// recorder's thread.
    ///
    /// Returns at once. Whatever goes wrong with the disk is reported, and tried again.
    ///
    /// # Errors
    /// There are no more threads.
    pub fn start(
        path: PathBuf,
        head: Head,
        limits: Limits,
        mut tell: impl FnMut(Report) + Send + 'static,
    ) -> std::io::Result<Self> {
        let capacity = (limits.memory.as_secs_f64() * f64::from(head.sample_rate)) as usize;
        let (ring, samples) = HeapRb::new(capacity.max(BLOCK)).split();
        let shared = Arc::new(Shared::default());
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        let file = path.clone();
        let writer = Writer::new(head, limits, folder, samples, move || storage::create(&file));
        let theirs = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("journal".to_owned()).spawn(move || run(writer, &theirs, &mut tell))?;
        Ok(Self { path, ring, shared, thread: Some(thread) })
    }

    /// Where the journal lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the next samples, of about -1 to 1.
    ///
    /// *Real-time*: does not allocate, lock, wait or call the system.
    pub fn push(&mut self, samples: &[f32]) {
        // A hole would put what follows at the wrong time: once something was lost, the recording is over.
        if self.shared.overflown.load(Ordering::Relaxed) {
            return;
        }
        if self.ring.vacant_len() < samples.len() {
            self.shared.overflown.store(true, Ordering::Release);
            return;
        }
        let mut block = [0; BLOCK];
        for samples in samples.chunks(BLOCK) {
            let block = &mut block[..samples.len()];
            for (sixteen, sample) in block.iter_mut().zip(samples) {
                *sixteen = (sample * 32_768.0).round_ties_even().clamp(-32_768.0, 32_767.0) as i16;
            }
            self.ring.push_slice(block);
        }
    }

    /// Ends the recording. Returns at once: the last word is [`Report::Closed`].
    pub fn finish(&self) {
        self.shared.finished.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Whether the recording has ended and all is on the disk.
    pub fn is_closed(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.finish();
        if let Some(thread) = self.thread.take() {
            // A panic was printed already, and there is nothing left to clean up.
            let _ = thread.join();
        }
    }
}

fn run<S: crate::Storage>(mut writer: Writer<S>, shared: &Shared, tell: &mut dyn FnMut(Report)) {
    let began = Instant::now();
    let mut told_overflow = false;
    loop {
        let finished = shared.finished.load(Ordering::Acquire);
        let now = began.elapsed();
        let warning = if finished { writer.finish(now) } else { writer.step(now) };
        if let Some(warning) = warning {
            tell(Report::Warning(warning));
        }
        let overflown = shared.overflown.load(Ordering::Acquire);
        if overflown && !std::mem::replace(&mut told_overflow, true) {
            tell(Report::Warning(Warning::GaveUp { saved: writer.written() + writer.waiting() }));
        }
        if finished {
            let whole = !overflown && writer.waiting().is_zero();
            tell(Report::Closed { saved: writer.written(), whole });
            return;
        }
        std::thread::park_timeout(PERIOD);
    }
}
