//! From the ring to the file: what is written when, and what is done about a disk that does not take it.

use std::path::PathBuf;
use std::time::Duration;

use ringbuf::HeapCons;
use ringbuf::traits::{Consumer as _, Observer as _};

use crate::format::{Head, MOST_BYTES, MOST_SAMPLES, encode_chunk};
use crate::{Storage, Warning};

/// What has been written is synced this often. With the time between two writes, sound is safe well within a second.
const SYNC_EVERY: Duration = Duration::from_millis(500);
/// A disk that failed is left alone for so long.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// More than this in memory, and the user is told that the disk is slow.
const SLOW: Duration = Duration::from_secs(3);
/// The quota is warned of when this much room is left.
const NEAR: Duration = Duration::from_secs(10 * 60);

/// How much a journal may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sound that waits in memory while the disk does not take it. Memory for it is set aside when a dictation begins.
    pub memory: Duration,
    /// Bytes that the journal may take on the disk.
    pub disk_bytes: u64,
}

impl Default for Limits {
    /// Two minutes in memory, 3.7 MB at 16 kHz; four gigabytes on the disk, a day and a half of speech.
    fn default() -> Self {
        Self { memory: Duration::from_secs(120), disk_bytes: 4 << 30 }
    }
}

/// Opens the storage. Called again after each failure.
type Open<S> = Box<dyn FnMut() -> std::io::Result<S> + Send>;

/// Writes what lies in a ring to a storage. It starts no thread and reads no clock: whoever owns it calls [`step`](Self::step).
pub struct Writer<S> {
    open: Open<S>,
    storage: Option<S>,
    folder: PathBuf,
    head: Head,
    limits: Limits,
    ring: HeapCons<i16>,
    /// Bytes of the storage that are whole.
    length: u64,
    sequence: u32,
    written_samples: u64,
    /// Whether something was written since the last sync.
    dirty: bool,
    next_sync: Duration,
    not_before: Duration,
    trouble: Option<Warning>,
    told_near: bool,
    buffer: Vec<u8>,
}

impl<S: Storage> Writer<S> {
    /// A writer that has written nothing. `folder` is what warnings name.
    pub fn new(
        head: Head,
        limits: Limits,
        folder: PathBuf,
        ring: HeapCons<i16>,
        open: impl FnMut() -> std::io::Result<S> + Send + 'static,
    ) -> Self {
        Self {
            open: Box::new(open),
            storage: None,
            folder,
            head,
            limits,
            ring,
            length: 0,
            sequence: 0,
            written_samples: 0,
            dirty: false,
            next_sync: Duration::ZERO,
            not_before: Duration::ZERO,
            trouble: None,
            told_near: false,
            buffer: Vec::with_capacity(MOST_BYTES),
        }
    }

    /// Sound that was written.
    pub fn written(&self) -> Duration {
        self.duration(self.written_samples)
    }

    /// Sound that is in memory only.
    pub fn waiting(&self) -> Duration {
        self.duration(self.ring.occupied_len() as u64)
    }

    /// Writes what there is, and syncs if it is time. Returns what is new for the user.
    pub fn step(&mut self, now: Duration) -> Option<Warning> {
        if now < self.not_before {
            return None;
        }
        self.write_and_sync(now, false)
    }

    /// Writes and syncs what is left, now.
    pub fn finish(&mut self, now: Duration) -> Option<Warning> {
        self.write_and_sync(now, true)
    }

    fn write_and_sync(&mut self, now: Duration, last: bool) -> Option<Warning> {
        let result = self.write().and_then(|()| {
            if self.dirty && (last || now >= self.next_sync) {
                self.next_sync = now + SYNC_EVERY;
                if let Some(storage) = &mut self.storage {
                    storage.sync()?;
                }
                self.dirty = false;
            }
            Ok(())
        });
        let trouble = match result {
            Ok(()) if self.is_full() => Some(Warning::OverQuota),
            // Only while it went on was it slow: what is left in the ring came meanwhile.
            Ok(()) if self.waiting() >= SLOW => Some(Warning::Slow { behind: self.waiting() }),
            Ok(()) => None,
            Err(error) => {
                self.not_before = now + RETRY_AFTER;
                Some(Warning::of(&error, &self.folder))
            }
        };
        let same = |one: &Warning, other: &Warning| std::mem::discriminant(one) == std::mem::discriminant(other);
        match (&self.trouble, trouble) {
            (None, None) => self.near_quota(),
            (Some(_), None) => {
                self.trouble = None;
                Some(Warning::Mended)
            }
            (Some(known), Some(trouble)) if same(known, &trouble) => None,
            (_, Some(trouble)) => self.trouble.insert(trouble).clone().into(),
        }
    }

    /// Appends what lies in the ring. What was appended leaves it; what was not stays for the next attempt, which overwrites
    /// whatever a failed one has left behind.
    fn write(&mut self) -> std::io::Result<()> {
        let (head, seed) = self.head.encode();
        let storage = match &mut self.storage {
            Some(storage) => storage,
            closed => {
                let storage = closed.insert((self.open)()?);
                self.length = 0;
                storage
            }
        };
        if self.length == 0 {
            storage.write_at(0, &head)?;
            self.length = head.len() as u64;
            self.dirty = true;
        }
        // No more than there is now: a disk that is as slow as sound would keep this from ever coming to an end.
        let mut left = self.ring.occupied_len();
        while left > 0 {
            let (first, second) = self.ring.as_slices();
            let count = left.min(MOST_SAMPLES);
            let (first, second) = (&first[..count.min(first.len())], &second[..count.saturating_sub(first.len())]);
            let samples = Both { first: first.iter(), second: second.iter() };
            encode_chunk(seed, self.sequence, samples, &mut self.buffer);
            if self.length + self.buffer.len() as u64 > self.limits.disk_bytes {
                return Ok(());
            }
            storage.write_at(self.length, &self.buffer)?;
            self.length += self.buffer.len() as u64;
            self.sequence = self.sequence.wrapping_add(1);
            self.written_samples += count as u64;
            self.dirty = true;
            self.ring.skip(count);
            left -= count;
        }
        Ok(())
    }

    /// Whether the quota is used up.
    fn is_full(&self) -> bool {
        self.length > 0 && self.length + MOST_BYTES as u64 > self.limits.disk_bytes
    }

    fn near_quota(&mut self) -> Option<Warning> {
        let bytes = self.limits.disk_bytes.saturating_sub(self.length);
        let left = self.duration(bytes / size_of::<i16>() as u64);
        if left > NEAR || std::mem::replace(&mut self.told_near, true) {
            return None;
        }
        Some(Warning::NearQuota { left })
    }

    fn duration(&self, samples: u64) -> Duration {
        Duration::from_secs_f64(samples as f64 / f64::from(self.head.sample_rate))
    }
}

/// Two stretches of samples, one after the other, with their length.
struct Both<'a> {
    first: std::slice::Iter<'a, i16>,
    second: std::slice::Iter<'a, i16>,
}

impl Iterator for Both<'_> {
    type Item = i16;

    fn next(&mut self) -> Option<i16> {
        self.first.next().or_else(|| self.second.next()).copied()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let length = self.first.len() + self.second.len();
        (length, Some(length))
    }
}

impl ExactSizeIterator for Both<'_> {}

#[cfg(test)]
mod tests;
