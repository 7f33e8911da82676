//! What is asked of an engine, and what comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use amanuensis_audio::{AudioFile, FileError};
use amanuensis_whisper::{BackendError, DecodeError, DecodeOptions, DeviceInfo, Fallback, Segment, Transcript};
use crossbeam_channel::{Receiver, Sender};

use crate::Stage;
use crate::engine::Shared;

/// Number of a request, counted from 1 since its engine was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u64);

impl std::fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// How urgent a request is; the first is the most urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Somebody is speaking and waits for the words.
    Live,
    /// Somebody looks at a file's progress.
    Interactive,
    /// Nobody looks.
    Batch,
}

impl Priority {
    /// All priorities, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Live, Self::Interactive, Self::Batch];
}

/// Something to be transcribed.
#[derive(Debug)]
pub struct Request {
    /// The recording.
    pub audio: Audio,
    /// Its place in the queue.
    pub priority: Priority,
    /// How it is decoded.
    pub options: DecodeOptions,
    /// Time from submission after which nobody wants the result any more.
    pub deadline: Option<Duration>,
}

/// A recording: 16,000 samples a second, one channel.
pub enum Audio {
    /// All of it.
    Samples(Vec<f32>),
    /// From front to back, while it is being transcribed.
    Source(Box<dyn AudioSource>),
}

impl std::fmt::Debug for Audio {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Samples(samples) => write!(formatter, "Samples({} samples)", samples.len()),
            Self::Source(source) => write!(formatter, "Source({:?})", source.duration()),
        }
    }
}

impl From<AudioFile> for Audio {
    fn from(file: AudioFile) -> Self {
        Self::Source(Box::new(file))
    }
}

/// A recording that is read while it is transcribed, at most a window ahead.
pub trait AudioSource: Send {
    /// Fills `out` with the next samples as far as there are any; 0 at the end. It may block, but then holds up a worker.
    ///
    /// # Errors
    /// [`SourceError`]. What was read before is still transcribed.
    fn read(&mut self, out: &mut [f32]) -> Result<usize, SourceError>;

    /// Length of the whole, where it is known.
    fn duration(&self) -> Option<Duration>;
}

impl AudioSource for AudioFile {
    fn read(&mut self, out: &mut [f32]) -> Result<usize, SourceError> {
        Ok(Self::read(self, out)?)
    }

    fn duration(&self) -> Option<Duration> {
        Self::duration(self)
    }
}

/// Why a recording cannot be read on, in a sentence with a next step.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SourceError(#[from] Box<dyn std::error::Error + Send + Sync>);

impl SourceError {
    /// What is wrong with the file, if the recording is in one.
    pub fn file(&self) -> Option<&FileError> {
        self.0.downcast_ref()
    }
}

impl From<FileError> for SourceError {
    fn from(error: FileError) -> Self {
        Self(Box::new(error))
    }
}

/// What happens to a request, in order. [`Finished`](Event::Finished) is the last, and comes exactly once.
#[derive(Debug)]
pub enum Event {
    /// It has left the queue.
    Started,
    /// The next stretch of its text.
    Segment(Segment),
    /// A window is done.
    Progress {
        /// How much of the recording is done.
        done: Duration,
        /// Length of the recording, where it is known.
        total: Option<Duration>,
    },
    /// It is over.
    Finished(Result<Done, RequestError>),
}

/// A transcribed recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// Its text.
    pub transcript: Transcript,
    /// Where the time went.
    pub timings: Timings,
    /// The device that encoded it.
    pub device: DeviceInfo,
    /// Why another device than the preferred one encoded it, at least in part.
    pub fallback: Option<Fallback>,
}

/// Where a request's time went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// From submission to the start.
    pub queued: Duration,
    /// Loading audio and computing spectrograms.
    pub mel: Duration,
    /// Encoding; windows that are encoded together count the whole call each.
    pub encode: Duration,
    /// Decoding and alignment.
    pub decode: Duration,
    /// From submission to the end.
    pub total: Duration,
    /// Length of the recording.
    pub audio: Duration,
}

/// Why a request has no result, or not all of it: segments that came before stay.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It was cancelled, or the engine was shut down.
    #[error("the transcription was cancelled")]
    Cancelled,
    /// Its deadline has passed.
    #[error("the transcription took longer than the {:.1} s it was given; try again when less is going on", allowed.as_secs_f64())]
    Deadline {
        /// The time it was given.
        allowed: Duration,
    },
    /// Its recording cannot be read on.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It cannot be decoded as was asked.
    #[error(transparent)]
    Decode(DecodeError),
    /// The backend failed.
    #[error("{0}; try again, or choose another device or model in the settings")]
    Backend(BackendError),
    /// A stage broke down over it. The engine goes on.
    #[error("the {stage} stage failed unexpectedly over this recording; try again, and report it if it happens again")]
    StageDied {
        /// The stage.
        stage: Stage,
    },
}

impl From<DecodeError> for RequestError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Cancelled => Self::Cancelled,
            DecodeError::Backend(error) => Self::Backend(error),
            error => Self::Decode(error),
        }
    }
}

/// Why a request was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full.
    #[error("{queued} recordings are waiting already; try again in {:.0} s", retry_after.as_secs_f64().ceil())]
    Busy {
        /// Requests that wait.
        queued: usize,
        /// When there will probably be room.
        retry_after: Duration,
    },
    /// The engine is ending.
    #[error("the speech engine is shutting down; try again when it has been started anew")]
    ShuttingDown,
}

/// Why an engine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The vocabulary is another model's.
    #[error(
        "the vocabulary has {found} tokens where the model has {expected}; use the vocabulary that came with the model"
    )]
    Vocabulary {
        /// Tokens of the vocabulary.
        found: usize,
        /// Tokens of the model.
        expected: usize,
    },
    /// The system refuses threads.
    #[error("the speech engine cannot start its threads ({0}); close other programs and try again")]
    Threads(std::io::Error),
}

/// The engine's end of a request.
pub(crate) struct Link {
    events: Sender<Event>,
    cancelled: Arc<AtomicBool>,
    /// All requests of the engine are cancelled.
    ending: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Link {
    pub(crate) fn send(&self, event: Event) {
        // A job that was dropped hears nothing any more.
        let _ = self.events.send(event);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.ending.load(Ordering::Relaxed)
    }

    /// Whether work on it is in vain.
    pub(crate) fn is_over(&self) -> bool {
        self.is_cancelled() || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// Both ends of a request that has no number yet.
///
/// The channel is unbounded, but holds no more than the request's own transcript and an event for each window.
pub(crate) fn link(deadline: Option<Instant>, ending: Arc<AtomicBool>) -> (Link, Receiver<Event>, Arc<AtomicBool>) {
    let (events, receiver) = crossbeam_channel::unbounded();
    let cancelled = Arc::new(AtomicBool::new(false));
    (Link { events, cancelled: Arc::clone(&cancelled), ending, deadline }, receiver, cancelled)
}

/// A request that was taken. Dropping it cancels the request, if it is not finished.
pub struct Job {
    pub(crate) id: RequestId,
    pub(crate) events: Receiver<Event>,
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) engine: Arc<Shared>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Job").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Job {
    /// The request's number.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// What happens to it. The channel closes after the last event.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// Ends it. [`Event::Finished`] comes all the same: at once if the request waits, else when the stage that works on it
    /// notices, which takes a window at most.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.engine.cancel(self.id);
    }

    /// Waits for the end. Events that were not received are thrown away.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::Cancelled`] also where [`Event::Finished`] was received before.
    pub fn wait(self) -> Result<Done, RequestError> {
        for event in &self.events {
            if let Event::Finished(result) = event {
                return result;
            }
        }
        Err(RequestError::Cancelled)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.cancel();
    }
}
