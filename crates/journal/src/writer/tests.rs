use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use proptest::prelude::*;
use ringbuf::traits::{Producer as _, Split as _};
use ringbuf::{HeapProd, HeapRb};

use super::*;
use crate::Reader;

/// A disk that remembers what was written since the last sync, and can fail.
#[derive(Default)]
struct Disk {
    /// What a power cut leaves in any case.
    synced: Vec<u8>,
    /// What it may take away, in order.
    unsynced: Vec<(u64, Vec<u8>)>,
    failure: Option<ErrorKind>,
    /// Bytes of a write that are written all the same before it fails, if it has more.
    torn: usize,
}

impl Disk {
    fn apply(bytes: &mut Vec<u8>, offset: u64, written: &[u8]) {
        let end = offset as usize + written.len();
        bytes.resize(bytes.len().max(end), 0);
        bytes[offset as usize..end].copy_from_slice(written);
    }

    /// What lies on the disk if there is no power cut.
    fn all(&self) -> Vec<u8> {
        self.after_power_cut(|_, bytes| bytes)
    }

    /// What lies on the disk if of each unsynced write only `kept` of it has arrived.
    fn after_power_cut(&self, mut kept: impl FnMut(usize, usize) -> usize) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for (index, (offset, written)) in self.unsynced.iter().enumerate() {
            let count = kept(index, written.len()).min(written.len());
            if count > 0 {
                Self::apply(&mut bytes, *offset, &written[..count]);
            }
        }
        bytes
    }
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Disk>>);

impl Storage for Shared {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        if let Some(failure) = disk.failure {
            let torn = bytes[..disk.torn.min(bytes.len() - 1)].to_vec();
            disk.unsynced.push((offset, torn));
            return Err(Error::from(failure));
        }
        disk.unsynced.push((offset, bytes.to_vec()));
        Ok(())
    }

    fn sync(&mut self) -> std::io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        if let Some(failure) = disk.failure {
            return Err(Error::from(failure));
        }
        for (offset, written) in std::mem::take(&mut disk.unsynced) {
            Disk::apply(&mut disk.synced, offset, &written);
        }
        Ok(())
    }
}

struct Bench {
    disk: Shared,
    ring: HeapProd<i16>,
    writer: Writer<Shared>,
    now: Duration,
    spoken: Vec<i16>,
    warnings: Vec<Warning>,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let disk = Shared::default();
        let head = Head { sample_rate: 16_000, started: SystemTime::UNIX_EPOCH, take: 1 };
        let (ring, samples) = HeapRb::new((limits.memory.as_secs_f64() * 16_000.0) as usize).split();
        let theirs = disk.clone();
        let writer = Writer::new(head, limits, "/home".into(), samples, move || Ok(theirs.clone()));
        Self { disk, ring, writer, now: Duration::ZERO, spoken: Vec::new(), warnings: Vec::new() }
    }

    fn speak(&mut self, length: Duration) {
        let samples: Vec<i16> = (0..(length.as_secs_f64() * 16_000.0) as usize)
            .map(|index| (self.spoken.len() + index) as u16 as i16)
            .collect();
        assert_eq!(self.ring.push_slice(&samples), samples.len(), "there is room in memory");
        self.spoken.extend(samples);
        self.now += length;
    }

    fn step(&mut self) {
        self.warnings.extend(self.writer.step(self.now));
    }

    fn fail(&mut self, failure: Option<ErrorKind>, torn: usize) {
        let mut disk = self.disk.0.lock().unwrap();
        disk.failure = failure;
        disk.torn = torn;
    }

    /// How much of the beginning is recovered of these bytes. What comes back must be what was spoken: behind a hole there may
    /// be more of it.
    fn recovered(&self, bytes: &[u8]) -> usize {
        // Before anything was synced not even the head has to be there.
        let Ok(mut reader) = Reader::new(bytes) else { return 0 };
        let (mut next, mut beginning) = (0, 0);
        while let Some(samples) = reader.next_chunk().unwrap() {
            // Each sample says which it is.
            let at = next + usize::from((samples[0] as u16).wrapping_sub(next as u16));
            assert!(self.spoken[at..].starts_with(samples), "only what was spoken comes back, and in order");
            if at == beginning {
                beginning += samples.len();
            }
            next = at + samples.len();
        }
        beginning
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Power cuts at random moments, with any part of each unsynced write on the disk and the rest not, in any order.
    #[test]
    fn a_power_cut_costs_at_most_a_second(
        steps in prop::collection::vec((1_u64..250, any::<bool>()), 1..60),
        kept in prop::collection::vec(0_usize..20_000, 64),
    ) {
        let mut bench = Bench::new(Limits::default());
        for (ms, late) in steps {
            bench.speak(Duration::from_millis(ms));
            // The thread's period is 200 ms; a busy machine lets it oversleep.
            if late {
                bench.speak(Duration::from_millis(200));
            }
            bench.step();
            let disk = bench.disk.0.lock().unwrap();
            let bytes = disk.after_power_cut(|index, _| kept[index % kept.len()]);
            let unsafe_samples = bench.spoken.len() - bench.recovered(&bytes);
            prop_assert!(unsafe_samples <= 16_000, "{unsafe_samples} samples would be lost");
            prop_assert_eq!(bench.recovered(&disk.all()), bench.spoken.len());
        }
    }

    /// A disk that fails now and then, leaving torn writes behind, costs nothing once it works again.
    #[test]
    fn what_a_full_disk_refused_is_written_once_there_is_room(
        steps in prop::collection::vec((1_u64..2_500, any::<bool>(), 0_usize..20_000), 1..30),
    ) {
        let mut bench = Bench::new(Limits::default());
        for (ms, fails, torn) in steps {
            bench.fail(fails.then_some(ErrorKind::StorageFull), torn);
            bench.speak(Duration::from_millis(ms));
            let before = bench.recovered(&bench.disk.0.lock().unwrap().all());
            bench.step();
            let after = bench.recovered(&bench.disk.0.lock().unwrap().all());
            prop_assert!(after >= before, "what was there is not harmed");
        }
        bench.fail(None, 0);
        bench.warnings.extend(bench.writer.finish(bench.now));
        prop_assert_eq!(bench.recovered(&bench.disk.0.lock().unwrap().synced), bench.spoken.len());
        for pair in bench.warnings.chunks(2) {
            prop_assert_eq!(pair, [Warning::DiskFull, Warning::Mended], "told once, and once that it is over");
        }
    }
}

#[test]
fn failures_are_told_by_what_can_be_done_about_them() {
    for (kind, warning) in [
        (ErrorKind::StorageFull, Warning::DiskFull),
        (ErrorKind::QuotaExceeded, Warning::DiskFull),
        (ErrorKind::ReadOnlyFilesystem, Warning::ReadOnly { folder: "/home".into() }),
        (ErrorKind::PermissionDenied, Warning::ReadOnly { folder: "/home".into() }),
        (ErrorKind::Other, Warning::Failing { reason: "other error".into() }),
    ] {
        let mut bench = Bench::new(Limits::default());
        bench.fail(Some(kind), 0);
        for _ in 0..20 {
            bench.speak(Duration::from_millis(500));
            bench.step();
        }
        assert_eq!(bench.warnings, [warning]);
        assert_eq!(bench.writer.waiting(), Duration::from_secs(10), "it is in memory");
    }
}

#[test]
fn the_quota_is_told_before_and_when_it_is_reached() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let mut bench = Bench::new(Limits { memory: minutes(2), disk_bytes: 12 * 60 * 32_000 });
    let mut told = Vec::new();
    for second in 0..13 * 60 {
        bench.speak(Duration::from_secs(1));
        bench.step();
        told.extend(bench.warnings.drain(..).map(|warning| (second / 60, warning)));
    }
    assert!(matches!(told[..], [(1 | 2, Warning::NearQuota { .. }), (11, Warning::OverQuota)]), "{told:?}");
    let length = bench.disk.0.lock().unwrap().synced.len();
    assert!((11 * 60 * 32_000..=12 * 60 * 32_000).contains(&length), "{length}");
}

/// A disk on which a sync takes as long as it takes to say this.
struct SlowDisk {
    ring: HeapProd<i16>,
    spoken_meanwhile: Vec<i16>,
}

impl Storage for SlowDisk {
    fn write_at(&mut self, _: u64, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> std::io::Result<()> {
        self.ring.push_slice(&std::mem::take(&mut self.spoken_meanwhile));
        Ok(())
    }
}

#[test]
fn a_disk_that_cannot_keep_up_is_told() {
    let (ring, samples) = HeapRb::new(160_000).split();
    let head = Head { sample_rate: 16_000, started: SystemTime::UNIX_EPOCH, take: 1 };
    let mut disk = Some(SlowDisk { ring, spoken_meanwhile: vec![0; 80_000] });
    let mut writer =
        Writer::new(head, Limits::default(), "/".into(), samples, move || Ok(disk.take().expect("it is opened once")));
    assert_eq!(writer.step(Duration::ZERO), Some(Warning::Slow { behind: Duration::from_secs(5) }));
    assert_eq!(writer.step(Duration::from_secs(5)), Some(Warning::Mended));
    assert_eq!(writer.written(), Duration::from_secs(5));
}
