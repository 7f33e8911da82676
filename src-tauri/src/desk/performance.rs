//! What the machine does while the app works: the engine's figures of the last second, how long people wait, and what
//! the app's processes cost.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use amanuensis_engine::{Engine, Percentiles, Snapshot, StageFigures, Timings};

use super::sensors::Sensors;
use crate::wire::{Device, DeviceKind, Npu, Performance, Pool, RequestTimes, Span, StageLoad};

/// How often it is looked at.
pub const PERIOD: Duration = Duration::from_secs(1);
/// Waits that are remembered.
const WAITS: usize = 100;
/// The unit in which Linux counts a process's time, the same on every processor that it shows to programs.
const TICK: Duration = Duration::from_millis(10);

/// Looks at the engine and at the processes.
#[derive(Default)]
pub struct Gauge {
    before: Option<Look>,
    sensors: Sensors,
    /// From the press to the first sample.
    pub first_sample: Waits,
    /// From the stop to the last word.
    pub last_word: Waits,
}

struct Look {
    at: Instant,
    engine: Snapshot,
    processes: Usage,
}

impl Gauge {
    /// Forgets the last look: the next one begins a new stretch of time.
    pub fn pause(&mut self) {
        self.before = None;
    }

    /// Looks, and compares with the last time. None the first time, when there is nothing to compare with.
    pub fn look(&mut self, engine: &Engine, now: Instant) -> Option<Performance> {
        let look = Look { at: now, engine: engine.snapshot(), processes: Usage::of_family(std::process::id()) };
        let shown = self.before.take().map(|before| self.compare(&before, &look));
        self.before = Some(look);
        shown
    }

    fn compare(&mut self, before: &Look, now: &Look) -> Performance {
        let during = now.at.duration_since(before.at);
        let (engine, requests) = (&now.engine, &now.engine.requests);
        let stages: Vec<_> =
            engine.stages.iter().zip(&before.engine.stages).map(|(stage, old)| load(stage, old, during)).collect();
        let encoder = &engine.stages[1];
        let cpu = now.processes.time.saturating_sub(before.processes.time).as_secs_f32();
        Performance {
            npu: npu(encoder, stages[1].load),
            stages,
            queued: small(engine.queued),
            in_flight: small(requests.in_flight),
            finished: u32::try_from(requests.finished).unwrap_or(u32::MAX),
            speed: Some(requests.realtime_factor()).filter(|factor| *factor > 0.0).map(|factor| (1.0 / factor) as f32),
            first_sample: self.first_sample.span(),
            last_word: self.last_word.span(),
            pools: engine.pools.iter().map(pool).collect(),
            cpu: cpu / during.as_secs_f32().max(f32::EPSILON),
            cores: small(std::thread::available_parallelism().map_or(1, usize::from)),
            memory_mib: mebibytes(now.processes.memory_bytes),
            power_w: self.sensors.power(now.at),
            temperature_c: self.sensors.temperature(),
            recent: requests.recent.iter().map(times).collect(),
        }
    }
}

fn load(stage: &StageFigures, before: &StageFigures, during: Duration) -> StageLoad {
    StageLoad {
        name: stage.stage.name().to_owned(),
        load: stage.utilisation(before, during) as f32,
        service: span(&stage.service),
        waiting: small(stage.waiting),
        windows: u32::try_from(stage.count).unwrap_or(u32::MAX),
    }
}

fn times(timings: &Timings) -> RequestTimes {
    RequestTimes {
        queued_ms: milliseconds(timings.queued),
        stages_ms: [timings.mel, timings.encode, timings.decode].map(milliseconds),
        total_ms: milliseconds(timings.total),
    }
}

fn npu(encoder: &StageFigures, load: f32) -> Npu {
    if let Some(reason) = &encoder.fallback {
        return Npu::Unavailable { why: super::failure(reason) };
    }
    let device = Device::from(encoder.device.clone());
    match device.kind {
        DeviceKind::Npu => Npu::Busy { share: load, simulated: false },
        DeviceKind::NpuSimulated => Npu::Busy { share: load, simulated: true },
        DeviceKind::Cpu => Npu::Unused { device },
    }
}

fn pool(stats: &amanuensis_pool::PoolStats) -> Pool {
    Pool {
        name: stats.name.to_owned(),
        in_use: small(stats.in_use),
        capacity: small(stats.capacity),
        mebibytes: mebibytes(stats.bytes as u64),
    }
}

fn span(of: &Percentiles) -> Option<Span> {
    (of.count > 0).then(|| Span { p50_ms: milliseconds(of.p50), p95_ms: milliseconds(of.p95) })
}

fn milliseconds(time: Duration) -> f32 {
    time.as_secs_f32() * 1e3
}

fn mebibytes(bytes: u64) -> f32 {
    bytes as f32 / (1024.0 * 1024.0)
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// How long people waited for something, the last times.
#[derive(Default)]
pub struct Waits(VecDeque<Duration>);

impl Waits {
    /// They waited this long.
    pub fn push(&mut self, wait: Duration) {
        if self.0.len() == WAITS {
            self.0.pop_front();
        }
        self.0.push_back(wait);
    }

    fn span(&self) -> Option<Span> {
        let mut sorted: Vec<_> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        // The nearest rank: the smallest wait that is not exceeded by this share of them.
        let at = |share: f64| sorted.get(((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1)).copied();
        Some(Span { p50_ms: milliseconds(at(0.5)?), p95_ms: milliseconds(at(0.95)?) })
    }
}

/// What processes have cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Usage {
    /// On all processors together.
    time: Duration,
    /// Pages that are shared count for each in part.
    memory_bytes: u64,
}

impl Usage {
    /// Of a process and all its descendants, WebKit's among them. What cannot be read counts as nothing.
    fn of_family(root: u32) -> Self {
        let processes: Vec<Process> = std::fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(Process::read)
            .collect();
        let mut family = vec![root];
        let mut usage = Self::default();
        while let Some(id) = family.pop() {
            family.extend(processes.iter().filter(|process| process.parent == id).map(|process| process.id));
            usage.time += processes.iter().find(|process| process.id == id).map_or(Duration::ZERO, |own| own.time);
            let memory = std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("smaps_rollup"));
            usage.memory_bytes += memory.ok().and_then(|rollup| proportional_bytes(&rollup)).unwrap_or(0);
        }
        usage
    }
}

struct Process {
    id: u32,
    parent: u32,
    time: Duration,
}

impl Process {
    fn read(id: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("stat")).ok()?;
        let (parent, ticks) = parent_and_ticks(&stat)?;
        Some(Self { id, parent, time: TICK.saturating_mul(u32::try_from(ticks).ok()?) })
    }
}

/// Of /proc/PID/stat, the fields of which `man 5 proc` lists. A name in brackets, in which anything may stand, comes second.
fn parent_and_ticks(stat: &str) -> Option<(u32, u64)> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = behind_name.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some((fields.get(1)?.parse().ok()?, number(11)? + number(12)?))
}

/// Of /proc/PID/smaps_rollup.
fn proportional_bytes(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::{Usage, Waits, parent_and_ticks, proportional_bytes};

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat =
            "71 (a) name (b) S 12 71 71 0 -1 4194560 1 2 3 4 250 17 5 6 20 0 4 0 99 1000 22 18446744073709551615";
        assert_eq!(parent_and_ticks(stat), Some((12, 267)));
        assert_eq!(parent_and_ticks("nonsense"), None);
        assert_eq!(proportional_bytes("55-66 ---p [rollup]\nRss: 90 kB\nPss:      42 kB\n"), Some(42 * 1024));
        assert_eq!(proportional_bytes(""), None);
    }

    #[test]
    fn children_count() {
        let alone = Usage::of_family(std::process::id());
        assert!(alone.memory_bytes > 0);
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let of_child = Usage::of_family(child.id());
        let together = Usage::of_family(std::process::id());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(of_child.memory_bytes > 0 && together.memory_bytes > of_child.memory_bytes);
    }

    #[test]
    fn waits_have_a_middle_and_an_end_and_the_old_are_forgotten() {
        let mut waits = Waits::default();
        assert_eq!(waits.span(), None);
        for ms in (1..=100).rev() {
            waits.push(Duration::from_millis(ms));
        }
        let span = waits.span().unwrap();
        assert_eq!((span.p50_ms.round(), span.p95_ms.round()), (50.0, 95.0));
        for _ in 0..100 {
            waits.push(Duration::from_millis(7));
        }
        assert_eq!(waits.span().unwrap().p95_ms.round(), 7.0);
    }
}
