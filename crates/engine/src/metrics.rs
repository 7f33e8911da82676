//! Figures: what every stage and every request took, and one snapshot of them for whoever shows them.

use std::collections::VecDeque;
use std::time::Duration;

use amanuensis_pool::PoolStats;
use amanuensis_whisper::{DeviceInfo, EncodeReport, Fallback};
use hdrhistogram::Histogram;

use crate::request::{RequestError, Timings};
use crate::schedule::Stage;
use crate::settings::Mode;

/// Longest time that a histogram tells apart, in microseconds: a day.
const LONGEST_US: u64 = 24 * 3600 * 1_000_000;
/// Significant decimal digits of a histogram: percentiles are right within a percent.
const DIGITS: u8 = 2;
/// Requests the timings of which are remembered one by one.
const RECENT: usize = 20;

/// Everything that is known about an engine at a moment. Plain data: who sends it somewhere writes it as is wanted there.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The model's name.
    pub model: String,
    /// Whether stages overlap.
    pub mode: Mode,
    /// Since the engine was started.
    pub uptime: Duration,
    /// Requests that wait to be started.
    pub queued: usize,
    /// Requests that may wait.
    pub queue_capacity: usize,
    /// Requests, end to end.
    pub requests: RequestFigures,
    /// The stages, in the order in which a window goes through them.
    pub stages: [StageFigures; 3],
    /// The pools of buffers.
    pub pools: [PoolStats; 3],
}

/// What became of the requests.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestFigures {
    /// Requests that were taken.
    pub submitted: u64,
    /// Requests that were refused because the queue was full.
    pub refused: u64,
    /// Requests that ended with all their text.
    pub finished: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests that were cancelled or late.
    pub cancelled: u64,
    /// Requests that are started and not over.
    pub in_flight: usize,
    /// Length of the finished recordings.
    pub audio: Duration,
    /// Time during which there was a request to work on.
    pub active: Duration,
    /// From submission to the start, of all that were started.
    pub queue_wait: Percentiles,
    /// From submission to the end, of all that finished.
    pub latency: Percentiles,
    /// Where the time of the last that finished went, the oldest first; at most 20.
    pub recent: Vec<Timings>,
}

impl RequestFigures {
    /// Seconds of work for a second of finished recordings; 0 before the first.
    pub fn realtime_factor(&self) -> f64 {
        if self.audio.is_zero() { 0.0 } else { self.active.as_secs_f64() / self.audio.as_secs_f64() }
    }
}

/// What a stage did.
#[derive(Debug, Clone, PartialEq)]
pub struct StageFigures {
    /// The stage.
    pub stage: Stage,
    /// Its threads.
    pub workers: usize,
    /// The device that does its work, and why that one.
    pub device: DeviceInfo,
    /// Why another device than that did the work the last time, if one did.
    pub fallback: Option<Fallback>,
    /// Windows that went through it.
    pub count: u64,
    /// Windows that failed in it.
    pub errors: u64,
    /// Windows that it works on.
    pub in_flight: usize,
    /// Windows that wait for it, those of requests that are not started left out.
    pub waiting: usize,
    /// How long windows waited for it.
    pub wait: Percentiles,
    /// How long it worked on a window, or on several that went together.
    pub service: Percentiles,
    /// Time during which its device worked, of all its workers together.
    pub busy: Duration,
}

impl StageFigures {
    /// The part of `during` for which it worked, given the figures of its beginning: 1 is all the time, for the encoder's one
    /// device or for all workers of another stage.
    pub fn utilisation(&self, before: &Self, during: Duration) -> f64 {
        let workers = if self.stage == Stage::Encode { 1 } else { self.workers };
        let available = during.as_secs_f64() * workers as f64;
        let busy = self.busy.saturating_sub(before.busy).as_secs_f64();
        // Windows side by side are worked on for more time than passes.
        if available == 0.0 { 0.0 } else { (busy / available).min(1.0) }
    }
}

/// How long something took, of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Percentiles {
    /// How many there were.
    pub count: u64,
    /// The mean.
    pub mean: Duration,
    /// Half took no longer than this.
    pub p50: Duration,
    /// 95 of 100 took no longer than this.
    pub p95: Duration,
    /// 99 of 100 took no longer than this.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

struct Times(Histogram<u64>);

impl Times {
    fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("BUG: constant bounds that are in order"))
    }

    fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST_US));
    }

    fn percentiles(&self) -> Percentiles {
        let at = |quantile| Duration::from_micros(self.0.value_at_quantile(quantile));
        Percentiles {
            count: self.0.len(),
            mean: Duration::from_secs_f64(self.0.mean() / 1e6),
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: Duration::from_micros(self.0.max()),
        }
    }
}

struct StageMetrics {
    device: DeviceInfo,
    fallback: Option<Fallback>,
    count: u64,
    errors: u64,
    wait: Times,
    service: Times,
    busy: Duration,
}

/// The counters behind a [`Snapshot`].
pub(crate) struct Metrics {
    stages: [StageMetrics; 3],
    submitted: u64,
    refused: u64,
    finished: u64,
    failed: u64,
    cancelled: u64,
    audio: Duration,
    active: Duration,
    active_since: Option<Duration>,
    queue_wait: Times,
    latency: Times,
    recent: VecDeque<Timings>,
}

impl Metrics {
    pub(crate) fn new(devices: [DeviceInfo; 3]) -> Self {
        Self {
            stages: devices.map(|device| StageMetrics {
                device,
                fallback: None,
                count: 0,
                errors: 0,
                wait: Times::new(),
                service: Times::new(),
                busy: Duration::ZERO,
            }),
            submitted: 0,
            refused: 0,
            finished: 0,
            failed: 0,
            cancelled: 0,
            audio: Duration::ZERO,
            active: Duration::ZERO,
            active_since: None,
            queue_wait: Times::new(),
            latency: Times::new(),
            recent: VecDeque::with_capacity(RECENT),
        }
    }

    pub(crate) fn submitted(&mut self, now: Duration) {
        self.submitted += 1;
        self.active_since.get_or_insert(now);
    }

    pub(crate) fn refused(&mut self) {
        self.refused += 1;
    }

    pub(crate) fn started(&mut self, waited: Duration) {
        self.queue_wait.record(waited);
    }

    pub(crate) fn taken(&mut self, stage: Stage, waited: Duration) {
        self.stages[stage as usize].wait.record(waited);
    }

    /// A stage worked on `windows` windows together, of which `failed` failed.
    pub(crate) fn worked(&mut self, stage: Stage, windows: usize, failed: usize, service: Duration) {
        let stage = &mut self.stages[stage as usize];
        stage.count += windows as u64;
        stage.errors += failed as u64;
        stage.service.record(service);
    }

    /// The stage's device was busy for so long.
    pub(crate) fn busy(&mut self, stage: Stage, busy: Duration) {
        self.stages[stage as usize].busy += busy;
    }

    /// What the encoder says of a call.
    pub(crate) fn encoded(&mut self, report: &EncodeReport) {
        let stage = &mut self.stages[Stage::Encode as usize];
        stage.busy += report.busy;
        if stage.fallback != report.fallback {
            stage.fallback.clone_from(&report.fallback);
        }
    }

    /// A request is over; `left` says whether there are others.
    pub(crate) fn over(&mut self, result: Result<&Timings, &RequestError>, left: bool, now: Duration) {
        match result {
            Ok(timings) => {
                self.finished += 1;
                self.audio += timings.audio;
                self.latency.record(timings.total);
                if self.recent.len() == RECENT {
                    self.recent.pop_front();
                }
                self.recent.push_back(*timings);
            }
            Err(RequestError::Cancelled | RequestError::Deadline { .. }) => self.cancelled += 1,
            Err(_) => self.failed += 1,
        }
        if !left && let Some(since) = self.active_since.take() {
            self.active += now.saturating_sub(since);
        }
    }

    pub(crate) fn requests(&self, in_flight: usize, now: Duration) -> RequestFigures {
        RequestFigures {
            submitted: self.submitted,
            refused: self.refused,
            finished: self.finished,
            failed: self.failed,
            cancelled: self.cancelled,
            in_flight,
            audio: self.audio,
            active: self.active + self.active_since.map_or(Duration::ZERO, |since| now.saturating_sub(since)),
            queue_wait: self.queue_wait.percentiles(),
            latency: self.latency.percentiles(),
            recent: self.recent.iter().copied().collect(),
        }
    }

    pub(crate) fn stage(&self, stage: Stage, workers: usize, in_flight: usize, waiting: usize) -> StageFigures {
        let metrics = &self.stages[stage as usize];
        StageFigures {
            stage,
            workers,
            device: metrics.device.clone(),
            fallback: metrics.fallback.clone(),
            count: metrics.count,
            errors: metrics.errors,
            in_flight,
            waiting,
            wait: metrics.wait.percentiles(),
            service: metrics.service.percentiles(),
            busy: metrics.busy,
        }
    }
}
