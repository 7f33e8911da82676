//! The three stages: each worker owns what it works with, and is given a window at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use amanuensis_mel::LogMel;
use amanuensis_pool::Lease;
use amanuensis_whisper::{
    DeviceInfo, Dims, Encoder, FRAMES_PER_WINDOW, Fallback, HOP_SAMPLES, MelView, Model, Observer, Sequencer,
    Transcript, WindowDecoder,
};

use crate::engine::Shared;
use crate::recording::Recording;
use crate::request::{Done, Event, Link, Priority, RequestError, Timings};
use crate::schedule::{Stage, Task};
use crate::settings::{Speech, TrimContext};

/// Silence that a trimmed window keeps after the speech, in mel frames of 10 ms: the model hears that it is over.
const MARGIN_FRAMES: usize = 100;
/// A trimmed window has a multiple of so many mel frames (64 encoder positions), so that there are few shapes.
const ROUND_FRAMES: usize = 128;
/// Decoder rows that every worker is made for: OpenAI's five beams or samples.
const ROWS: usize = 5;
/// Most decoder rows.
const MOST_ROWS: usize = 16;
/// Milliseconds of a mel frame.
const FRAME_MS: u64 = 10;

/// A request, and its window on the way through the stages.
pub(crate) struct Work {
    link: Link,
    priority: Priority,
    allowed: Option<Duration>,
    submitted: Duration,
    recording: Recording,
    sequencer: Sequencer,
    transcript: Transcript,
    timings: Timings,
    device: Option<DeviceInfo>,
    fallback: Option<Fallback>,
    /// Mel frames of the window that are recording.
    frames: usize,
    /// Mel frames of the window that are encoded, and its spectrogram.
    mel: Option<(usize, Lease)>,
    /// Values of the encoder's output, and the output.
    encoded: Option<(usize, Lease)>,
}

impl Work {
    pub(crate) fn new(
        link: Link,
        recording: Recording,
        sequencer: Sequencer,
        priority: Priority,
        allowed: Option<Duration>,
        submitted: Duration,
    ) -> Self {
        Self {
            link,
            priority,
            allowed,
            submitted,
            recording,
            sequencer,
            transcript: Transcript::default(),
            timings: Timings::default(),
            device: None,
            fallback: None,
            frames: 0,
            mel: None,
            encoded: None,
        }
    }

    /// The request has left the queue.
    pub(crate) fn started(&mut self, queued: Duration) {
        self.timings.queued = queued;
        self.link.send(Event::Started);
    }

    /// What is said of a request whose deadline has passed.
    pub(crate) fn late(&self) -> RequestError {
        RequestError::Deadline { allowed: self.allowed.unwrap_or_default() }
    }

    /// Gives everything back, and makes what the last event says.
    pub(crate) fn end(self, result: Result<(), RequestError>, now: Duration) -> (Link, Result<Done, RequestError>) {
        let Self { link, submitted, recording, sequencer, mut transcript, mut timings, device, fallback, .. } = self;
        timings.total = now.saturating_sub(submitted);
        timings.audio = recording.duration().unwrap_or_default();
        drop(recording);
        transcript.language = sequencer.options().language.clone().unwrap_or_default();
        let result = result.map(|()| Done {
            transcript,
            timings,
            device: device.unwrap_or_else(|| DeviceInfo {
                name: "none".to_owned(),
                detail: "there was no sound".to_owned(),
                threads: None,
            }),
            fallback,
        });
        (link, result)
    }

    /// The end of the recording: well, or with what the source failed with.
    fn read_to_the_end(&mut self) -> Result<(), RequestError> {
        self.recording.failure().map_or(Ok(()), |failure| Err(failure.into()))
    }
}

/// A decoder stops within a token of being told to.
impl Observer for &Link {
    fn cancelled(&self) -> bool {
        self.is_over()
    }
}

/// What becomes of a window after a stage.
enum After {
    /// It goes on to the next stage.
    Pass,
    /// The recording is at its end.
    End,
}

/// Starts the threads. Where one cannot be started, those before it are returned with the failure.
pub(crate) fn start(
    shared: &Arc<Shared>,
    speech: &Speech,
    workers: [usize; 3],
    encoder: Box<dyn Encoder>,
) -> (Vec<JoinHandle<()>>, Option<std::io::Error>) {
    let [mel, encode, decode] = workers;
    let trim = shared.settings().trim_context;
    let plans = Tools::new(mel, speech, move |speech| Mel::new(speech, trim));
    let encoders = Tools::new(encode, speech, |speech| Arc::clone(&speech.model).encoder());
    encoders.give_back(encoder);
    let decoders = Tools::new(decode, speech, Decode::new);
    let mut threads = Vec::new();
    for stage in Stage::ALL {
        for index in 0..workers[stage as usize] {
            let shared = Arc::clone(shared);
            let (plans, encoders, decoders) = (Arc::clone(&plans), Arc::clone(&encoders), Arc::clone(&decoders));
            let body = move || match stage {
                Stage::Mel => each(&shared, stage, index, &plans, Mel::work),
                Stage::Encode => encode_each(&shared, &encoders),
                Stage::Decode => each(&shared, stage, index, &decoders, Decode::work),
            };
            match thread::Builder::new().name(format!("{stage}-{index}")).spawn(body) {
                Ok(thread) => threads.push(thread),
                Err(error) => return (threads, Some(error)),
            }
        }
    }
    (threads, None)
}

/// What the workers of a stage work with. Who begins takes what was given back last: no more are made than work at a time, and
/// their memory is warm.
struct Tools<T> {
    idle: Mutex<Vec<T>>,
    make: Box<dyn Fn() -> T + Send + Sync>,
}

impl<T> Tools<T> {
    fn new(workers: usize, speech: &Speech, make: impl Fn(&Speech) -> T + Send + Sync + 'static) -> Arc<Self> {
        let speech = speech.clone();
        Arc::new(Self { idle: Mutex::new(Vec::with_capacity(workers)), make: Box::new(move || make(&speech)) })
    }

    fn take(&self) -> T {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| (self.make)())
    }

    fn give_back(&self, tool: T) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(tool);
    }

    /// Makes one before the first request, which should not wait for it.
    fn prepare(&self) {
        // What panics here is tried again with a request to fail.
        if let Ok(tool) = catch_unwind(AssertUnwindSafe(|| self.take())) {
            self.give_back(tool);
        }
    }

    /// Does `work` with a tool, which is thrown away if that panics.
    fn with<R>(&self, stage: Stage, work: impl FnOnce(&mut T) -> Result<R, RequestError>) -> Result<R, RequestError> {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut tool = self.take();
            let result = work(&mut tool);
            self.give_back(tool);
            result
        }));
        outcome.unwrap_or_else(|_| {
            tracing::error!("a stage panicked; the request fails and the stage goes on");
            Err(RequestError::StageDied { stage })
        })
    }
}

/// Works on one window after the other.
fn each<T>(
    shared: &Shared,
    stage: Stage,
    worker: usize,
    tools: &Tools<T>,
    work: impl Fn(&mut T, &mut Task<Box<Work>>) -> Result<After, RequestError>,
) {
    if worker == 0 {
        tools.prepare();
    }
    let mut tasks = Vec::with_capacity(1);
    while shared.next(stage, &mut tasks) {
        for mut task in tasks.drain(..) {
            let span = tracing::debug_span!("window", request_id = task.id.0, %stage).entered();
            let began = Instant::now();
            let outcome = tools.with(stage, |tool| work(tool, &mut task));
            let took = began.elapsed();
            drop(span);
            let timings = &mut task.work.timings;
            *(if stage == Stage::Mel { &mut timings.mel } else { &mut timings.decode }) += took;
            shared.worked(stage, 1, usize::from(outcome.is_err()), took, took);
            conclude(shared, task, outcome);
        }
    }
}

fn conclude(shared: &Shared, task: Task<Box<Work>>, outcome: Result<After, RequestError>) {
    let Task { id, work, out, audio, .. } = task;
    // What the stage did not use goes back before anybody is told.
    drop((out, audio));
    match outcome {
        Ok(After::Pass) => shared.pass(id, work),
        Ok(After::End) => shared.finish(id, work, Ok(())),
        // Decoding stops for either reason; the deadline is told apart here.
        Err(RequestError::Cancelled) if !work.link.is_cancelled() => {
            let late = work.late();
            shared.finish(id, work, Err(late));
        }
        Err(error) => shared.finish(id, work, Err(error)),
    }
}

struct Mel {
    plan: LogMel,
    trim: TrimContext,
    most_frames: usize,
}

impl Mel {
    fn new(speech: &Speech, trim: TrimContext) -> Self {
        let dims = speech.model.dims();
        Self { plan: LogMel::new(dims.n_mels), trim, most_frames: (2 * dims.n_audio_ctx).min(FRAMES_PER_WINDOW) }
    }

    /// Reads the next window and computes its spectrogram.
    fn work(&mut self, task: &mut Task<Box<Work>>) -> Result<After, RequestError> {
        let work = &mut *task.work;
        if let Some(buffer) = task.audio.take() {
            work.recording.lend(buffer);
        }
        let from = work.sequencer.next_frame();
        let samples = work.recording.window(from);
        let frames = samples.len() / HOP_SAMPLES;
        if frames == 0 {
            return work.read_to_the_end().map(|()| After::End);
        }
        let trims = match self.trim {
            TrimContext::Never => false,
            TrimContext::Live => work.priority == Priority::Live,
            TrimContext::Always => true,
        };
        let seen = if trims { (frames + MARGIN_FRAMES).next_multiple_of(ROUND_FRAMES) } else { self.most_frames };
        let seen = seen.min(self.most_frames);
        let mut mel = task.out.take().expect("BUG: the stage was given a buffer to write");
        self.plan.compute(samples, &mut mel[..seen * self.plan.n_mels()]);
        work.frames = frames;
        work.mel = Some((seen, mel));
        Ok(After::Pass)
    }
}

/// Encodes windows, together where the encoder gains by it.
fn encode_each(shared: &Shared, encoders: &Tools<Box<dyn Encoder>>) {
    let mut tasks = Vec::new();
    while shared.next(Stage::Encode, &mut tasks) {
        let windows = tasks.len();
        if windows > 1 && encode_together(shared, encoders, &mut tasks).is_ok() {
            tasks.drain(..).for_each(|task| conclude(shared, task, Ok(After::Pass)));
            continue;
        }
        // One alone; or a call failed, and each shows by itself whether it was the cause.
        for mut task in tasks.drain(..) {
            let outcome = encode_together(shared, encoders, std::slice::from_mut(&mut task));
            conclude(shared, task, outcome.map(|()| After::Pass));
        }
    }
}

fn encode_together(
    shared: &Shared,
    encoders: &Tools<Box<dyn Encoder>>,
    tasks: &mut [Task<Box<Work>>],
) -> Result<(), RequestError> {
    let first = tasks.first().map(|task| task.id.0);
    let _span =
        tracing::debug_span!("window", request_id = first, stage = %Stage::Encode, together = tasks.len()).entered();
    let began = Instant::now();
    let outcome = encoders.with(Stage::Encode, |encoder| {
        let dims = *encoder.dims();
        let report = match &mut *tasks {
            // No list of one is made.
            [task] => {
                let (view, out) = views(task, &dims);
                encoder.encode(&[view], &mut [out])
            }
            tasks => {
                let (windows, mut outputs): (Vec<_>, Vec<_>) = tasks.iter_mut().map(|task| views(task, &dims)).unzip();
                encoder.encode(&windows, &mut outputs)
            }
        };
        Ok((report.map_err(RequestError::Backend)?, dims.n_audio_state))
    });
    let took = began.elapsed();
    let alone = tasks.len() == 1;
    match outcome {
        Ok((report, width)) => {
            shared.worked(Stage::Encode, tasks.len(), 0, took, Duration::ZERO);
            shared.encoded(&report);
            for task in tasks {
                let work = &mut *task.work;
                work.timings.encode += took;
                // The spectrogram has been read: its buffer is free.
                let frames = work.mel.take().map_or(0, |(frames, _)| frames);
                work.encoded = task.out.take().map(|out| (frames.div_ceil(2) * width, out));
                if report.fallback.is_some() {
                    work.fallback.clone_from(&report.fallback);
                }
                if work.device.as_ref() != Some(&*report.device) {
                    work.device = Some((*report.device).clone());
                }
            }
            Ok(())
        }
        Err(error) => {
            if alone {
                shared.worked(Stage::Encode, 1, 1, took, took);
            }
            Err(error)
        }
    }
}

/// What the encoder reads, and where it writes.
fn views<'a>(task: &'a mut Task<Box<Work>>, dims: &Dims) -> (MelView<'a>, &'a mut [f32]) {
    let (frames, mel) = task.work.mel.as_ref().expect("BUG: the window has a spectrogram");
    let view = MelView::by_frame(mel, *frames, dims.n_mels).expect("BUG: the buffer holds a whole window");
    let out = task.out.as_mut().expect("BUG: the stage was given a buffer to write");
    let values = view.positions() * dims.n_audio_state;
    (view, &mut out[..values])
}

struct Decode {
    model: Arc<dyn Model>,
    windows: WindowDecoder,
    decoder: Box<dyn amanuensis_whisper::Decoder>,
}

impl Decode {
    fn new(speech: &Speech) -> Self {
        Self {
            model: Arc::clone(&speech.model),
            windows: WindowDecoder::new(Arc::clone(&speech.tokenizer)),
            decoder: Arc::clone(&speech.model).decoder(ROWS),
        }
    }

    /// Decodes the window, sends its segments, and says whether there is another.
    fn work(&mut self, task: &mut Task<Box<Work>>) -> Result<After, RequestError> {
        let work = &mut *task.work;
        let (values, encoded) = work.encoded.take().expect("BUG: the window is encoded");
        let rows = work.sequencer.options().rows().min(MOST_ROWS);
        if rows > self.decoder.max_rows() {
            self.decoder = Arc::clone(&self.model).decoder(rows);
        }
        let mut observer = &work.link;
        let result = self.windows.decode(
            &mut *self.decoder,
            &encoded[..values],
            work.sequencer.options(),
            work.sequencer.previous(),
            &work.sequencer.prefix(),
            &mut observer,
        )?;
        // The decoder holds what it needs of it.
        drop(encoded);
        let segments = work.sequencer.accept(&result, work.frames, &self.windows, &mut *self.decoder)?;
        for segment in segments {
            work.link.send(Event::Segment(segment.clone()));
            work.transcript.segments.push(segment);
        }
        let next = work.sequencer.next_frame();
        let total = work.recording.duration();
        let done = Duration::from_millis(next as u64 * FRAME_MS);
        work.link.send(Event::Progress { done: total.map_or(done, |total| done.min(total)), total });
        if work.recording.is_over(next) { work.read_to_the_end().map(|()| After::End) } else { Ok(After::Pass) }
    }
}
