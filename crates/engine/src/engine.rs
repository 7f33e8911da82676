//! The engine: the scheduler behind a lock, the threads that ask it for work, and the handle by which it is used.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use amanuensis_pool::Pool;
use amanuensis_whisper::{DeviceInfo, Dims, EncodeReport, FRAMES_PER_WINDOW, SAMPLES_PER_WINDOW, Sequencer};

use crate::metrics::{Metrics, Snapshot};
use crate::recording::Recording;
use crate::request::{self, Done, Event, Job, Request, RequestError, RequestId, StartError, SubmitError};
use crate::schedule::{Limits, Pools, Scheduler, Stage, Stop, Task};
use crate::settings::{MOST_QUEUED, MOST_WORKERS, Settings, Shutdown, Speech};
use crate::stages::{self, Work};

/// Requests under way at a time: live ones are short, an interactive one has somebody who waits for it.
const LIVE_UNDER_WAY: usize = 4;
const INTERACTIVE_UNDER_WAY: usize = 2;

/// A running engine. Cheap to clone: clones are the same engine. It ends, and cancels what it has, when the last is dropped.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").field("model", &self.inner.speech.name).finish_non_exhaustive()
    }
}

struct Inner {
    speech: Speech,
    dims: Dims,
    device: DeviceInfo,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the threads and the handles share.
pub(crate) struct Shared {
    settings: Settings,
    limits: Limits,
    began: Instant,
    state: Mutex<State>,
    /// Whether everything is cancelled; decoders look at it after every token.
    ending: Arc<AtomicBool>,
    /// For each stage: there is something to do.
    wake: [Condvar; 3],
}

struct State {
    scheduler: Scheduler<Box<Work>>,
    metrics: Metrics,
    closed: bool,
    /// When the last request left; None while there is one, and after the memory was given back.
    idle_since: Option<Duration>,
}

impl Engine {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(speech: Speech, settings: Settings) -> Result<Self, StartError> {
        let dims = *speech.model.dims();
        if speech.tokenizer.n_vocab() != dims.n_vocab {
            return Err(StartError::Vocabulary { found: speech.tokenizer.n_vocab(), expected: dims.n_vocab });
        }
        let encoder = Arc::clone(&speech.model).encoder();
        let decoder = Arc::clone(&speech.model).decoder(1);
        let device = encoder.device();
        let detail = "spectrograms are always computed there".to_owned();
        let cpu = DeviceInfo { name: "cpu".to_owned(), detail, threads: None };
        let metrics = Metrics::new([cpu, device.clone(), decoder.device()]);
        drop(decoder);
        let limits = limits(&settings, encoder.max_batch(), speech.model.shares_cores());
        let state = State {
            scheduler: Scheduler::new(limits, pools(&limits, &dims)),
            metrics,
            closed: false,
            idle_since: None,
        };
        let shared = Arc::new(Shared {
            settings,
            limits,
            began: Instant::now(),
            state: Mutex::new(state),
            ending: Arc::default(),
            wake: [const { Condvar::new() }; 3],
        });
        let engine = Self {
            inner: Arc::new(Inner { speech, dims, device, shared: Arc::clone(&shared), threads: Mutex::default() }),
        };
        let threads = stages::start(&shared, &engine.inner.speech, limits.workers, encoder);
        // What was started before a failure ends with the engine that is dropped here.
        let (threads, failure) = threads;
        *engine.inner.threads.lock().unwrap_or_else(PoisonError::into_inner) = threads;
        match failure {
            Some(error) => Err(StartError::Threads(error)),
            None => Ok(engine),
        }
    }

    /// Takes a request into the queue. Never blocks.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn submit(&self, request: Request) -> Result<Job, SubmitError> {
        let shared = &self.inner.shared;
        let now = shared.now();
        let deadline = request.deadline.and_then(|allowed| now.checked_add(allowed));
        let until = deadline.and_then(|deadline| shared.began.checked_add(deadline));
        let (link, events, cancelled) = request::link(until, Arc::clone(&shared.ending));
        let recording = Recording::new(request.audio);
        let streamed = recording.is_streamed();
        let sequencer = Sequencer::new(Arc::clone(&self.inner.speech.tokenizer), request.options);
        let work = Box::new(Work::new(link, recording, sequencer, request.priority, request.deadline, now));
        let mut state = shared.lock();
        if state.closed {
            return Err(SubmitError::ShuttingDown);
        }
        match state.scheduler.submit(request.priority, deadline, streamed, work, now) {
            Ok(id) => {
                state.metrics.submitted(now);
                state.idle_since = None;
                shared.wake(&state, now);
                Ok(Job { id, events, cancelled, engine: Arc::clone(shared) })
            }
            Err((full, _)) => {
                state.metrics.refused();
                Err(SubmitError::Busy { queued: full.queued, retry_after: full.retry_after })
            }
        }
    }

    /// All figures of this moment.
    pub fn snapshot(&self) -> Snapshot {
        let shared = &self.inner.shared;
        let state = shared.lock();
        let now = shared.now();
        let scheduler = &state.scheduler;
        Snapshot {
            model: self.inner.speech.name.clone(),
            mode: shared.limits.mode,
            uptime: now,
            queued: scheduler.queued(),
            queue_capacity: shared.limits.queue,
            requests: state.metrics.requests(scheduler.under_way(), now),
            stages: Stage::ALL.map(|stage| {
                let workers = shared.limits.workers[stage as usize];
                state.metrics.stage(stage, workers, scheduler.running(stage), scheduler.waiting(stage))
            }),
            pools: scheduler.pools().stats(),
        }
    }

    /// Takes no more requests, ends those it has, and waits for the threads. A second call waits for the first.
    pub fn shutdown(&self, how: Shutdown) {
        self.inner.shutdown(how);
    }

    /// The model's name, as a person knows it.
    pub fn model_name(&self) -> &str {
        &self.inner.speech.name
    }

    /// The device that encodes, and why that one.
    pub fn device(&self) -> DeviceInfo {
        self.inner.device.clone()
    }

    /// The model's dimensions.
    pub fn dims(&self) -> &Dims {
        &self.inner.dims
    }
}

impl Inner {
    fn shutdown(&self, how: Shutdown) {
        let shared = &self.shared;
        let mut state = shared.lock();
        state.closed = true;
        if how == Shutdown::Cancel {
            shared.ending.store(true, Ordering::Relaxed);
            state.scheduler.cancel_all();
        }
        shared.sweep(&mut state);
        drop(state);
        for wake in &shared.wake {
            wake.notify_all();
        }
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // A stage catches its panics; one that died all the same has nothing left to say.
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shutdown(Shutdown::Cancel);
    }
}

fn limits(settings: &Settings, max_batch: usize, shares_cores: bool) -> Limits {
    let [mel, decode] = [settings.mel_workers, settings.decode_workers].map(|count| count.clamp(1, MOST_WORKERS));
    // One worker for a device, which may take several windows. Where decoders use it too, windows are taken one by one, and a
    // second worker is kept for live requests.
    let (encode, batch) = if shares_cores { (2, 1) } else { (1, max_batch.max(1)) };
    Limits {
        mode: settings.mode,
        queue: settings.queue.clamp(1, MOST_QUEUED),
        workers: [mel, encode, decode],
        batch,
        shares_cores,
        // Enough to fill every stage and the queues between them.
        under_way: [LIVE_UNDER_WAY, INTERACTIVE_UNDER_WAY, mel + (encode + 1) * batch + decode],
        ageing: settings.ageing,
    }
}

fn pools(limits: &Limits, dims: &Dims) -> Pools {
    let [mel, encode, decode] = limits.workers;
    let batch = limits.batch;
    // Every request under way may be a streamed one.
    let audio = limits.under_way.iter().sum();
    // One for each worker that writes it, those in the encoders, as many as go into the next, and one kept for a live window.
    let mels = mel + (encode + 1) * batch + 1;
    // Those in the encoders, as many as came out of the last, one for each worker that reads it, and one kept for a live window.
    let encoded = (encode + 1) * batch + decode + 1;
    Pools {
        audio: Pool::new("audio", audio, SAMPLES_PER_WINDOW),
        mel: Pool::new("mel", mels, FRAMES_PER_WINDOW * dims.n_mels),
        encoded: Pool::new("encoder output", encoded, dims.n_audio_ctx * dims.n_audio_state),
    }
}

impl Shared {
    /// Time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Waits for something that `stage` can do. False when the engine is over.
    pub(crate) fn next(&self, stage: Stage, tasks: &mut Vec<Task<Box<Work>>>) -> bool {
        let mut state = self.lock();
        loop {
            let now = self.sweep(&mut state);
            state.scheduler.take(stage, now, tasks);
            if !tasks.is_empty() {
                for task in tasks.iter_mut() {
                    state.metrics.taken(stage, task.waited);
                    if task.starts {
                        state.metrics.started(task.waited);
                        task.work.started(task.waited);
                    }
                }
                self.wake(&state, now);
                return true;
            }
            if state.closed && state.scheduler.is_empty() {
                for wake in &self.wake {
                    wake.notify_all();
                }
                return false;
            }
            state = self.wait(state, stage, now);
        }
    }

    /// Sleeps until there is something to do, the next deadline, or the time to give memory back.
    fn wait<'a>(&self, mut state: MutexGuard<'a, State>, stage: Stage, now: Duration) -> MutexGuard<'a, State> {
        let mut until = state.scheduler.next_deadline();
        if let Some(since) = state.idle_since {
            let shrink_at = since + self.settings.shrink_after;
            if now >= shrink_at {
                state.scheduler.pools().shrink();
                state.idle_since = None;
            } else {
                until = Some(until.map_or(shrink_at, |until| until.min(shrink_at)));
            }
        }
        let wake = &self.wake[stage as usize];
        match until {
            Some(until) => {
                wake.wait_timeout(state, until.saturating_sub(now)).unwrap_or_else(PoisonError::into_inner).0
            }
            None => wake.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Takes a window back from a stage: it goes on to the next.
    pub(crate) fn pass(&self, id: RequestId, work: Box<Work>) {
        let mut state = self.lock();
        let now = self.now();
        state.scheduler.pass(id, work, now);
        self.sweep(&mut state);
        self.wake(&state, now);
    }

    /// Takes a request back from a stage: it is over.
    pub(crate) fn finish(&self, id: RequestId, work: Box<Work>, result: Result<(), RequestError>) {
        let now = self.now();
        // Whoever hears of the end finds the buffers free.
        let (link, result) = work.end(result, now);
        let mut state = self.lock();
        state.scheduler.finish(id, now);
        self.over(&mut state, &result, now);
        self.wake(&state, now);
        drop(state);
        link.send(Event::Finished(result));
    }

    /// Notes what a stage did.
    pub(crate) fn worked(&self, stage: Stage, windows: usize, failed: usize, service: Duration, busy: Duration) {
        let mut state = self.lock();
        state.metrics.worked(stage, windows, failed, service);
        state.metrics.busy(stage, busy);
    }

    /// Notes what the encoder says of a call.
    pub(crate) fn encoded(&self, report: &EncodeReport) {
        self.lock().metrics.encoded(report);
    }

    pub(crate) fn cancel(&self, id: RequestId) {
        let mut state = self.lock();
        state.scheduler.cancel(id);
        let now = self.sweep(&mut state);
        self.wake(&state, now);
    }

    /// Ends the waiting requests that are cancelled or late, and returns the time.
    fn sweep(&self, state: &mut State) -> Duration {
        let now = self.now();
        while let Some((_, work, stop)) = state.scheduler.sweep(now) {
            let error = match stop {
                Stop::Cancelled => RequestError::Cancelled,
                Stop::Deadline => work.late(),
            };
            let (link, result) = work.end(Err(error), now);
            self.over(state, &result, now);
            link.send(Event::Finished(result));
        }
        now
    }

    fn over(&self, state: &mut State, result: &Result<Done, RequestError>, now: Duration) {
        let empty = state.scheduler.is_empty();
        state.metrics.over(result.as_ref().map(|done| &done.timings), !empty, now);
        if empty {
            state.idle_since = Some(now);
        }
    }

    /// Wakes a worker of each stage that has something to do.
    fn wake(&self, state: &State, now: Duration) {
        for stage in Stage::ALL {
            if state.scheduler.has_work(stage, now) {
                self.wake[stage as usize].notify_one();
            }
        }
        if state.closed && state.scheduler.is_empty() {
            for wake in &self.wake {
                wake.notify_all();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here stops halfway but by a bug, after which the figures may be wrong but nobody waits for ever.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_requests_in_flight_hold_little() {
        let base_en = Dims {
            n_mels: 80,
            n_audio_ctx: 1500,
            n_audio_state: 512,
            n_audio_head: 8,
            n_audio_layer: 6,
            n_vocab: 51_864,
            n_text_ctx: 448,
            n_text_state: 512,
            n_text_head: 8,
            n_text_layer: 6,
        };
        let settings = Settings { mel_workers: MOST_WORKERS, decode_workers: MOST_WORKERS, ..Settings::default() };
        let pools = pools(&limits(&settings, 1, true), &base_en);
        let lease = || [&pools.audio, &pools.mel, &pools.encoded].map(|pool| pool.lease().expect("there is one"));
        let held: Vec<_> = (0..4).map(|_| lease()).collect();
        let bytes: usize = pools.stats().iter().map(|pool| pool.bytes).sum();
        assert!(bytes < 25_000_000, "{bytes} bytes");
        drop(held);
        assert_eq!(pools.stats().map(|pool| pool.in_use), [0; 3]);
    }
}
