//! A folder with a journal that was written, and then damaged at its head and elsewhere: what of it is found again.

#![no_main]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use amanuensis_fuzz::folder;
use amanuensis_journal::{Folder, Head, Limits, Reader, Storage, Writer};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use ringbuf::HeapRb;
use ringbuf::traits::{Producer as _, Split as _};

const SAMPLE_RATE: u32 = 16_000;
const HEAD_BYTES: usize = 32;
/// Samples of a chunk, at most.
const MOST_SAMPLES: usize = 8_000;

#[derive(Debug, Arbitrary)]
struct Input {
    started_ms: u64,
    take: u64,
    chunks: Vec<Vec<i16>>,
    damage: Vec<Damage>,
    /// What somebody has called the file since.
    name: Option<String>,
}

#[derive(Debug, Arbitrary)]
enum Damage {
    Byte { at: u16, byte: u8 },
    InHead { at: u8, byte: u8 },
    FrontLost(u8),
    EndLost(u16),
    Inserted { at: u16, bytes: Vec<u8> },
}

impl Damage {
    fn happen(&self, bytes: &mut Vec<u8>) {
        let within = |at: usize| at % (bytes.len() + 1);
        match self {
            Self::Byte { at, byte } => {
                let at = within(usize::from(*at));
                bytes[at..].iter_mut().take(1).for_each(|old| *old = *byte);
            }
            Self::InHead { at, byte } => {
                let at = within(usize::from(*at) % HEAD_BYTES);
                bytes[at..].iter_mut().take(1).for_each(|old| *old = *byte);
            }
            Self::FrontLost(count) => drop(bytes.drain(..within(usize::from(*count)))),
            Self::EndLost(count) => bytes.truncate(bytes.len() - within(usize::from(*count))),
            Self::Inserted { at, bytes: new } => {
                let at = within(usize::from(*at));
                drop(bytes.splice(at..at, new.iter().copied()));
            }
        }
    }

    /// Whether it spares all sound of a journal whose head was still whole.
    fn spares_sound(&self) -> bool {
        matches!(self, Self::InHead { .. })
    }
}

fuzz_target!(|input: Input| {
    let Some(started) = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(input.started_ms)) else { return };
    let head = Head { sample_rate: SAMPLE_RATE, started, take: input.take };
    let mut bytes = written(head, &input.chunks);
    input.damage.iter().for_each(|damage| damage.happen(&mut bytes));
    let home = folder();
    let folder = Folder::new(home.path().to_owned());
    let known = folder.new_journal(&head);
    let path = input.name.as_deref().and_then(|name| named(home.path(), name)).unwrap_or_else(|| known.clone());
    std::fs::write(&path, &bytes).expect("memory can be written");

    let found = folder.orphans();
    assert!(found.unread.is_empty(), "{:?}", found.unread);
    assert!(found.orphans.len() <= 1 && found.aside.len() <= 1);
    for aside in &found.aside {
        assert!(std::fs::read(aside).expect("memory can be read") == bytes, "what is put aside is as it was found");
    }
    let left = found.orphans.first().map(|orphan| {
        assert_eq!(orphan.path, path);
        let samples = match Reader::new(&*std::fs::read(&path).expect("memory can be read")) {
            Ok(mut reader) => reader.read_to_end().expect("memory can be read"),
            Err(_) => Vec::new(),
        };
        let length = Duration::from_secs_f64(samples.len() as f64 / f64::from(orphan.head.sample_rate));
        assert_eq!(orphan.length, length);
        samples
    });
    assert_eq!(
        std::fs::read_dir(home.path()).expect("memory can be read").count(),
        found.aside.len() + usize::from(left.is_some())
    );

    // A head with another checksum that fits is another journal's.
    let is_another = Reader::new(&*bytes).is_ok_and(|reader| reader.head() != head);
    if path == known && !is_another && input.damage.iter().all(Damage::spares_sound) {
        assert!(left.unwrap_or_default() == input.chunks.concat(), "only the head was damaged");
    }

    let again = folder.orphans();
    assert!(again.aside.is_empty() && again.unread.is_empty(), "it is told of once");
    let same = again.orphans.iter().zip(&found.orphans).all(|(again, found)| again.length == found.length);
    assert!(same && again.orphans.len() == found.orphans.len());
});

/// The journal of a dictation whose sound came in these chunks.
fn written(head: Head, chunks: &[Vec<i16>]) -> Vec<u8> {
    let bytes = Memory::default();
    let storage = bytes.clone();
    let (mut sound, ring) = HeapRb::new(MOST_SAMPLES).split();
    let mut writer = Writer::new(head, Limits::default(), PathBuf::new(), ring, move || Ok(storage.clone()));
    for chunk in chunks {
        for part in chunk.chunks(MOST_SAMPLES) {
            sound.push_slice(part);
            assert_eq!(writer.step(Duration::ZERO), None);
        }
    }
    writer.finish(Duration::ZERO);
    let bytes = bytes.0.lock().unwrap_or_else(PoisonError::into_inner);
    bytes.clone()
}

/// A journal of this name, if a file can have it.
fn named(folder: &Path, name: &str) -> Option<PathBuf> {
    let is_possible = (1..200).contains(&name.len()) && !name.contains(['/', '\0']);
    is_possible.then(|| folder.join(format!("{name}.journal")))
}

/// A file in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Storage for Memory {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.truncate(offset as usize);
        all.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
