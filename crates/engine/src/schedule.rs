//! Who is next: the queue and the three stages as a machine that knows neither threads nor clocks.
//!
//! Every window is in one place: waiting for a stage or being worked on by it. [`Scheduler::take`] hands a window out together
//! with the buffer that the stage writes, [`Scheduler::pass`] takes it back for the next stage. A window that cannot get its
//! buffer waits: that is how a slow stage holds up the one before it.

use std::time::Duration;

use amanuensis_pool::{Lease, Pool, PoolStats};

use crate::request::{Priority, RequestId};
use crate::settings::Mode;

/// A stage of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Loading audio and computing the spectrogram.
    Mel,
    /// Encoding.
    Encode,
    /// Decoding and alignment.
    Decode,
}

impl Stage {
    /// All stages, in the order in which a window goes through them.
    pub const ALL: [Self; 3] = [Self::Mel, Self::Encode, Self::Decode];

    /// Short name: `mel`, `encode`, `decode`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mel => "mel",
            Self::Encode => "encode",
            Self::Decode => "decode",
        }
    }

    /// The stage that a window goes on to; from the last, the recording's next window begins at the first.
    fn next(self) -> Self {
        match self {
            Self::Mel => Self::Encode,
            Self::Encode => Self::Decode,
            Self::Decode => Self::Mel,
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Turns that pass over a window that has waited long, before it gets one.
const TURNS_OF_OTHERS: u32 = 3;
/// Buffers of each pool, and workers of a stage that has several, that are kept for a live window.
const KEPT_FOR_LIVE: usize = 1;
/// Weight of the newest interval in the mean time between two requests that leave.
const INTERVAL_WEIGHT: f64 = 0.2;
/// Retry hints: the first guess, and the bounds.
const FIRST_HINT: Duration = Duration::from_secs(1);
const SHORTEST_HINT: Duration = Duration::from_millis(50);
const LONGEST_HINT: Duration = Duration::from_secs(60);

/// What the scheduler keeps to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) mode: Mode,
    /// Requests that may wait to be started.
    pub(crate) queue: usize,
    /// Workers of each stage.
    pub(crate) workers: [usize; 3],
    /// Windows that the encoder takes at a time; 1 where there are several encoders.
    pub(crate) batch: usize,
    /// Whether encoders and decoders use the same cores, or the encoder has a device of its own.
    pub(crate) shares_cores: bool,
    /// Requests of each priority that may be under way.
    pub(crate) under_way: [usize; 3],
    pub(crate) ageing: Duration,
}

/// The buffers that windows need.
#[derive(Debug, Clone)]
pub(crate) struct Pools {
    pub(crate) audio: Pool,
    pub(crate) mel: Pool,
    pub(crate) encoded: Pool,
}

impl Pools {
    pub(crate) fn stats(&self) -> [PoolStats; 3] {
        [self.audio.stats(), self.mel.stats(), self.encoded.stats()]
    }

    pub(crate) fn shrink(&self) {
        for pool in [&self.audio, &self.mel, &self.encoded] {
            pool.shrink();
        }
    }

    fn of(&self, stage: Stage) -> Option<&Pool> {
        match stage {
            Stage::Mel => Some(&self.mel),
            Stage::Encode => Some(&self.encoded),
            Stage::Decode => None,
        }
    }
}

/// A window that a stage is to work on.
#[derive(Debug)]
pub(crate) struct Task<W> {
    pub(crate) id: RequestId,
    pub(crate) work: W,
    /// What the stage writes its result into.
    pub(crate) out: Option<Lease>,
    /// What a streamed recording is read into, with its first window.
    pub(crate) audio: Option<Lease>,
    /// How long the window waited for the stage.
    pub(crate) waited: Duration,
    /// Whether the request has left the queue with this.
    pub(crate) starts: bool,
}

/// Why a request is ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Cancelled,
    Deadline,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) queued: usize,
    pub(crate) retry_after: Duration,
}

#[derive(Debug)]
struct Entry<W> {
    id: RequestId,
    priority: Priority,
    /// From the start of the engine.
    deadline: Option<Duration>,
    streamed: bool,
    started: bool,
    cancelled: bool,
    place: Place<W>,
}

#[derive(Debug)]
enum Place<W> {
    Waiting { stage: Stage, since: Duration, work: W },
    Running(Stage),
}

/// The requests, and where each is. Times are from the start of the engine and never run backwards.
#[derive(Debug)]
pub(crate) struct Scheduler<W> {
    limits: Limits,
    pools: Pools,
    /// In order of submission.
    entries: Vec<Entry<W>>,
    last_id: u64,
    /// For each stage: turns that passed over a window that has waited long.
    passed_over: [u32; 3],
    last_left: Duration,
    interval: Option<Duration>,
}

impl<W> Scheduler<W> {
    pub(crate) fn new(limits: Limits, pools: Pools) -> Self {
        Self {
            limits,
            pools,
            entries: Vec::new(),
            last_id: 0,
            passed_over: [0; 3],
            last_left: Duration::ZERO,
            interval: None,
        }
    }

    /// Takes a request into the queue, or gives it back when there is no room.
    pub(crate) fn submit(
        &mut self,
        priority: Priority,
        deadline: Option<Duration>,
        streamed: bool,
        work: W,
        now: Duration,
    ) -> Result<RequestId, (Full, W)> {
        let queued = self.queued();
        if queued >= self.limits.queue {
            let retry_after = self.interval.unwrap_or(FIRST_HINT).clamp(SHORTEST_HINT, LONGEST_HINT);
            return Err((Full { queued, retry_after }, work));
        }
        self.last_id += 1;
        let id = RequestId(self.last_id);
        self.entries.push(Entry {
            id,
            priority,
            deadline,
            streamed,
            started: false,
            cancelled: false,
            place: Place::Waiting { stage: Stage::Mel, since: now, work },
        });
        Ok(id)
    }

    /// Hands out what a worker of `stage` is to do next, into `tasks`: nothing, a window, or as many as the encoder takes.
    pub(crate) fn take(&mut self, stage: Stage, now: Duration, tasks: &mut Vec<Task<W>>) {
        let most = if stage == Stage::Encode { self.limits.batch } else { 1 };
        let mut first = None;
        while tasks.len() < most {
            let Some(Pick { index, passes_over }) = self.pick(stage, now, first) else { return };
            let entry = &self.entries[index];
            let out = match self.pools.of(stage).map(Pool::lease) {
                Some(Ok(lease)) => Some(lease),
                Some(Err(_)) => return,
                None => None,
            };
            let audio = if entry.streamed && !entry.started {
                let Ok(lease) = self.pools.audio.lease() else { return };
                Some(lease)
            } else {
                None
            };
            let entry = &mut self.entries[index];
            let Place::Waiting { since, work, .. } = std::mem::replace(&mut entry.place, Place::Running(stage)) else {
                unreachable!("BUG: only what waits is picked")
            };
            let starts = !std::mem::replace(&mut entry.started, true);
            tasks.push(Task { id: entry.id, work, out, audio, waited: now.saturating_sub(since), starts });
            // Those that go together have one turn.
            if first.is_none() {
                first = Some(entry.priority);
                let turns = &mut self.passed_over[stage as usize];
                *turns = if passes_over { *turns + 1 } else { 0 };
            }
        }
    }

    /// Whether a worker of `stage` would be given something.
    pub(crate) fn has_work(&self, stage: Stage, now: Duration) -> bool {
        self.pick(stage, now, None).is_some()
    }

    /// Who is next for `stage`: the most urgent, of these the first; after some turns, whoever has waited too long.
    /// `first` is the priority of the window that this one would be encoded together with.
    fn pick(&self, stage: Stage, now: Duration, first: Option<Priority>) -> Option<Pick> {
        let room = self.room(stage, first.is_none());
        if room == 0 || !self.is_open(stage) {
            return None;
        }
        let waiting = || {
            self.entries.iter().enumerate().filter_map(|(index, entry)| match &entry.place {
                Place::Waiting { stage: at, since, .. } if *at == stage => Some((index, entry, *since)),
                _ => None,
            })
        };
        // A live window is not encoded with others, which would hold it up, nor do others go together while it waits.
        let alone = first.is_some_and(|first| first != Priority::Live)
            && waiting().any(|(_, entry, _)| entry.priority == Priority::Live);
        if alone {
            return None;
        }
        let under_way = self.under_way_by_priority();
        let ready = || {
            waiting().filter(|(_, entry, _)| {
                let joins = first.is_none_or(|first| (first == Priority::Live) == (entry.priority == Priority::Live));
                joins && (entry.started || self.may_start(entry, &under_way))
            })
        };
        let others_may =
            room > KEPT_FOR_LIVE && (stage != Stage::Encode || !self.limits.shares_cores || self.may_encode());
        let best = ready()
            .filter(|(_, entry, _)| entry.priority == Priority::Live || others_may)
            .min_by_key(|(index, entry, _)| (entry.priority, *index));
        let least_urgent = best.map(|(_, entry, _)| entry.priority);
        let aged = ready()
            .filter(|(_, entry, since)| {
                now.saturating_sub(*since) >= self.limits.ageing
                    && least_urgent.is_none_or(|best| entry.priority > best)
            })
            .min_by_key(|(index, _, since)| (*since, *index));
        match (best, aged) {
            (_, Some((index, _, _))) if first.is_none() && self.passed_over[stage as usize] >= TURNS_OF_OTHERS => {
                Some(Pick { index, passes_over: false })
            }
            (Some((index, _, _)), aged) => Some(Pick { index, passes_over: aged.is_some() }),
            (None, _) => None,
        }
    }

    /// Windows that the stage has buffers for, and workers if this one needs one.
    fn room(&self, stage: Stage, needs_worker: bool) -> usize {
        let buffers = self.pools.of(stage).map_or(usize::MAX, free);
        let workers = self.limits.workers[stage as usize];
        // A single worker that asks is free, and cannot be kept for anybody.
        if needs_worker && workers > 1 { buffers.min(workers.saturating_sub(self.running(stage))) } else { buffers }
    }

    /// Whether a window that is not live may be encoded now, where that takes the cores from what is decoded.
    ///
    /// One at a time is, with all cores, until as many are decoded side by side as can be: they read the weights once for all of
    /// them. While a live request is under way there is none, so that it waits for at most one.
    fn may_encode(&self) -> bool {
        let is_live = |entry: &Entry<W>| entry.started && entry.priority == Priority::Live;
        let decoded = self.running(Stage::Decode) + self.waiting(Stage::Decode);
        let together = self.limits.workers[Stage::Decode as usize].saturating_sub(KEPT_FOR_LIVE).max(1);
        self.running(Stage::Encode) == 0 && decoded < together && !self.entries.iter().any(is_live)
    }

    /// Whether a window may enter. One at a time may go through the stages of the sequential mode.
    fn is_open(&self, stage: Stage) -> bool {
        let between = |entry: &Entry<W>| match &entry.place {
            Place::Running(_) => true,
            Place::Waiting { stage, .. } => *stage != Stage::Mel,
        };
        self.limits.mode == Mode::Pipelined || stage != Stage::Mel || !self.entries.iter().any(between)
    }

    /// Whether a request may leave the queue.
    fn may_start(&self, entry: &Entry<W>, under_way: &[usize; 3]) -> bool {
        under_way[entry.priority as usize] < self.limits.under_way[entry.priority as usize]
            && (!entry.streamed || free(&self.pools.audio) > 0)
    }

    fn under_way_by_priority(&self) -> [usize; 3] {
        let mut counts = [0; 3];
        for entry in self.entries.iter().filter(|entry| entry.started) {
            counts[entry.priority as usize] += 1;
        }
        counts
    }

    /// A window is done with its stage and waits for the next.
    pub(crate) fn pass(&mut self, id: RequestId, work: W, now: Duration) {
        let entry = self.entries.iter_mut().find(|entry| entry.id == id);
        let entry = entry.expect("BUG: a running request is in the list");
        let Place::Running(stage) = &entry.place else { panic!("BUG: {id} does not run") };
        entry.place = Place::Waiting { stage: stage.next(), since: now, work };
    }

    /// A running request is over, well or not.
    pub(crate) fn finish(&mut self, id: RequestId, now: Duration) {
        let waits = self.queued() > 0;
        self.entries.retain(|entry| entry.id != id);
        if waits {
            let interval = now.saturating_sub(self.last_left);
            self.interval = Some(match self.interval {
                Some(mean) => mean.mul_f64(1.0 - INTERVAL_WEIGHT) + interval.mul_f64(INTERVAL_WEIGHT),
                None => interval,
            });
        }
        self.last_left = now;
    }

    /// Marks a request as cancelled; [`sweep`](Self::sweep) takes it out as soon as no stage works on it.
    pub(crate) fn cancel(&mut self, id: RequestId) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) {
            entry.cancelled = true;
        }
    }

    /// Marks all requests as cancelled.
    pub(crate) fn cancel_all(&mut self) {
        for entry in &mut self.entries {
            entry.cancelled = true;
        }
    }

    /// Takes out a waiting request that is cancelled or late.
    pub(crate) fn sweep(&mut self, now: Duration) -> Option<(RequestId, W, Stop)> {
        let (index, stop) = self.entries.iter().enumerate().find_map(|(index, entry)| {
            let stop = if entry.cancelled {
                Stop::Cancelled
            } else if entry.deadline.is_some_and(|deadline| now >= deadline) {
                Stop::Deadline
            } else {
                return None;
            };
            matches!(entry.place, Place::Waiting { .. }).then_some((index, stop))
        })?;
        let entry = self.entries.remove(index);
        match entry.place {
            Place::Waiting { work, .. } => Some((entry.id, work, stop)),
            Place::Running(_) => unreachable!("BUG: only what waits is swept"),
        }
    }

    /// When the next waiting request will be late.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let waiting = self.entries.iter().filter(|entry| matches!(entry.place, Place::Waiting { .. }));
        waiting.filter_map(|entry| entry.deadline).min()
    }

    /// Whether there is no request at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Requests that are not started.
    pub(crate) fn queued(&self) -> usize {
        self.entries.iter().filter(|entry| !entry.started).count()
    }

    /// Requests that are started and not finished.
    pub(crate) fn under_way(&self) -> usize {
        self.entries.len() - self.queued()
    }

    /// Windows that `stage` works on.
    pub(crate) fn running(&self, stage: Stage) -> usize {
        self.entries.iter().filter(|entry| matches!(&entry.place, Place::Running(at) if *at == stage)).count()
    }

    /// Windows of started requests that wait for `stage`.
    pub(crate) fn waiting(&self, stage: Stage) -> usize {
        let waits = |entry: &&Entry<W>| {
            entry.started && matches!(&entry.place, Place::Waiting { stage: at, .. } if *at == stage)
        };
        self.entries.iter().filter(waits).count()
    }

    /// The buffers.
    pub(crate) fn pools(&self) -> &Pools {
        &self.pools
    }
}

struct Pick {
    index: usize,
    /// Whether a window of a lower priority that has waited long is passed over.
    passes_over: bool,
}

/// Buffers that can be leased.
fn free(pool: &Pool) -> usize {
    let stats = pool.stats();
    stats.capacity - stats.in_use
}

#[cfg(test)]
mod simulation;
