//! How a journal lies in its file: a head, then chunks, each with a checksum.
//!
//! ```text
//! head   magic [8]  sample rate u32  started u64 (ms since 1970)  take u64  CRC-32 of what came before
//! chunk  length u32 (samples)  sequence u32  CRC-32  samples [length] i16
//! ```
//!
//! All numbers are little-endian. A chunk's checksum begins with that of the head, so that what lay on the disk before,
//! even another journal, is never taken for a part of this one.

use std::io::{ErrorKind, Read};
use std::time::{Duration, SystemTime};

/// Name and version.
const MAGIC: [u8; 8] = *b"AMANJRN1";
pub(crate) const HEAD_BYTES: usize = 8 + 4 + 8 + 8 + 4;
const CHUNK_HEAD_BYTES: usize = 4 + 4 + 4;
/// Half a second at 16 kHz.
pub(crate) const MOST_SAMPLES: usize = 8_000;
pub(crate) const MOST_BYTES: usize = CHUNK_HEAD_BYTES + MOST_SAMPLES * size_of::<i16>();
/// What a reader holds: the chunk that it looks for, wherever that begins, and more, so that it reads seldom.
const ROOM_BYTES: usize = 4 * MOST_BYTES;

/// What a journal says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Samples a second.
    pub sample_rate: u32,
    /// When the dictation began, in whole milliseconds.
    pub started: SystemTime,
    /// Number of the dictation, for whoever keeps count.
    pub take: u64,
}

impl Head {
    /// The bytes with which a journal begins, and the number with which the checksums of its chunks begin.
    pub(crate) fn encode(&self) -> ([u8; HEAD_BYTES], u32) {
        let since = self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.sample_rate.to_le_bytes());
        bytes[12..20].copy_from_slice(&(since.as_millis() as u64).to_le_bytes());
        bytes[20..28].copy_from_slice(&self.take.to_le_bytes());
        let sum = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&sum.to_le_bytes());
        (bytes, sum)
    }

    fn decode(bytes: &[u8; HEAD_BYTES]) -> Result<(Self, u32), ReadError> {
        if bytes[..8] != MAGIC {
            return Err(ReadError::NotAJournal);
        }
        let sum = u32_at(bytes, 28);
        let (sample_rate, started_ms) = (u32_at(bytes, 8), u64_at(bytes, 12));
        let started = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(started_ms));
        match started {
            Some(started) if sum == crc32fast::hash(&bytes[..28]) && sample_rate > 0 => {
                Ok((Self { sample_rate, started, take: u64_at(bytes, 20) }, sum))
            }
            _ => Err(ReadError::Damaged),
        }
    }
}

/// Writes a chunk over `out`.
pub(crate) fn encode_chunk(seed: u32, sequence: u32, samples: impl ExactSizeIterator<Item = i16>, out: &mut Vec<u8>) {
    debug_assert!(samples.len() <= MOST_SAMPLES);
    out.clear();
    out.extend((samples.len() as u32).to_le_bytes());
    out.extend(sequence.to_le_bytes());
    out.extend([0; 4]);
    samples.for_each(|sample| out.extend(sample.to_le_bytes()));
    let sum = chunk_sum(seed, &out[..8], &out[CHUNK_HEAD_BYTES..]);
    out[8..CHUNK_HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
}

/// The chunk with which these bytes begin: its number and its sound.
fn decode_chunk(seed: u32, bytes: &[u8]) -> Option<(u32, &[u8])> {
    let length = u32_at(bytes, 0) as usize;
    if length == 0 || length > MOST_SAMPLES {
        return None;
    }
    let sound = bytes.get(CHUNK_HEAD_BYTES..CHUNK_HEAD_BYTES + length * size_of::<i16>())?;
    (chunk_sum(seed, &bytes[..8], sound) == u32_at(bytes, 8)).then(|| (u32_at(bytes, 4), sound))
}

fn chunk_sum(seed: u32, head: &[u8], sound: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(head);
    hasher.update(sound);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// Why a file gives no sound.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is something else, or ends before it says what it is.
    #[error("the file is not a recording's journal")]
    NotAJournal,
    /// Its head is not as it was written.
    #[error("the beginning of the journal is damaged, and nothing behind it can be read")]
    Damaged,
    /// The disk does not give it.
    #[error("the journal cannot be read ({0}); check the disk")]
    Io(#[from] std::io::Error),
}

/// Gives the sound of a journal from front to back. What is not as it was written is passed over: the sound behind it is found
/// again by the checksums. At most a few chunks are in memory.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    head: Head,
    seed: u32,
    /// The least number that the next chunk can have.
    sequence: u32,
    good_bytes: u64,
    /// What was read of the source and not used; it begins at `at`, which in the file is `position`.
    buffer: Vec<u8>,
    at: usize,
    position: u64,
    ended: bool,
    samples: Vec<i16>,
}

impl<R: Read> Reader<R> {
    /// Reads the head.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn new(mut source: R) -> Result<Self, ReadError> {
        let mut bytes = [0; HEAD_BYTES];
        source.read_exact(&mut bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => ReadError::NotAJournal,
            _ => ReadError::Io(error),
        })?;
        let (head, seed) = Head::decode(&bytes)?;
        Ok(Self::at(source, head, seed, HEAD_BYTES as u64))
    }

    /// Looks for the sound of a journal with this head in a source whose own head is lost.
    pub(crate) fn behind(source: R, head: Head) -> Self {
        Self::at(source, head, head.encode().1, 0)
    }

    fn at(source: R, head: Head, seed: u32, position: u64) -> Self {
        Self {
            source,
            head,
            seed,
            sequence: 0,
            good_bytes: position,
            buffer: Vec::with_capacity(ROOM_BYTES),
            at: 0,
            position,
            ended: false,
            samples: Vec::new(),
        }
    }

    /// What the journal says of itself.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Where the last whole chunk ends that was read so far, in bytes from the file's beginning.
    pub fn good_bytes(&self) -> u64 {
        self.good_bytes
    }

    /// The next stretch of sound; nothing at the end.
    ///
    /// # Errors
    /// [`ReadError::Io`].
    pub fn next_chunk(&mut self) -> Result<Option<&[i16]>, ReadError> {
        loop {
            if self.buffer.len() - self.at < MOST_BYTES && !self.ended {
                self.fill()?;
            }
            let rest = &self.buffer[self.at..];
            if rest.len() < CHUNK_HEAD_BYTES {
                return Ok(None);
            }
            let taken = match decode_chunk(self.seed, rest) {
                // A chunk that comes a second time, or too late, is what a disk has mixed up.
                Some((sequence, sound)) if sequence >= self.sequence => {
                    self.samples.clear();
                    self.samples.extend(sound.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)));
                    self.sequence = sequence.saturating_add(1);
                    let taken = CHUNK_HEAD_BYTES + sound.len();
                    self.good_bytes = self.position + taken as u64;
                    taken
                }
                _ => 1,
            };
            self.at += taken;
            self.position += taken as u64;
            if taken > 1 {
                return Ok(Some(&self.samples));
            }
        }
    }

    /// All sound there is, from here on.
    ///
    /// # Errors
    /// [`ReadError::Io`].
    pub fn read_to_end(&mut self) -> Result<Vec<i16>, ReadError> {
        let mut all = Vec::new();
        while let Some(samples) = self.next_chunk()? {
            all.extend_from_slice(samples);
        }
        Ok(all)
    }

    /// Reads on until there is room for no more.
    fn fill(&mut self) -> std::io::Result<()> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let room = (ROOM_BYTES - self.buffer.len()) as u64;
        self.ended = (&mut self.source).take(room).read_to_end(&mut self.buffer)? < room as usize;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head() -> Head {
        Head {
            sample_rate: 16_000,
            started: SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_115_200_123),
            take: 7,
        }
    }

    fn journal(chunks: &[Vec<i16>]) -> Vec<u8> {
        let (bytes, seed) = head().encode();
        let mut all = bytes.to_vec();
        let mut out = Vec::new();
        for (sequence, chunk) in chunks.iter().enumerate() {
            encode_chunk(seed, sequence as u32, chunk.iter().copied(), &mut out);
            all.extend(&out);
        }
        all
    }

    /// All sound of the bytes, or why there is none. Must not panic, whatever they are.
    fn read(bytes: &[u8]) -> Result<Vec<i16>, ReadError> {
        Reader::new(bytes)?.read_to_end()
    }

    fn chunks() -> impl Strategy<Value = Vec<Vec<i16>>> {
        prop::collection::vec(prop::collection::vec(any::<i16>(), 1..64), 0..8)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(chunks in chunks()) {
            let bytes = journal(&chunks);
            let mut reader = Reader::new(&bytes[..]).unwrap();
            prop_assert_eq!(reader.head(), head());
            prop_assert_eq!(reader.read_to_end().unwrap(), chunks.concat());
            prop_assert_eq!(reader.good_bytes(), bytes.len() as u64);
        }

        #[test]
        fn a_journal_cut_anywhere_gives_all_whole_chunks(chunks in chunks(), cut in any::<prop::sample::Index>()) {
            let mut bytes = journal(&chunks);
            bytes.truncate(cut.index(bytes.len() + 1));
            match read(&bytes) {
                Ok(samples) => {
                    let all = chunks.concat();
                    prop_assert_eq!(&samples, &all[..samples.len()]);
                    let torn = chunks.iter().map(Vec::len).max().unwrap_or(0) * 2 + CHUNK_HEAD_BYTES;
                    prop_assert!(journal(&[samples]).len() + torn + CHUNK_HEAD_BYTES * chunks.len() >= bytes.len());
                }
                Err(error) => prop_assert!(matches!(error, ReadError::NotAJournal) && bytes.len() < HEAD_BYTES),
            }
        }

        #[test]
        fn damage_costs_the_chunks_it_hits_and_no_other(
            chunks in chunks(),
            first in any::<prop::sample::Index>(),
            damage in prop::collection::vec(1_u8.., 1..200),
        ) {
            let mut bytes = journal(&chunks);
            let first = first.index(bytes.len());
            bytes[first..].iter_mut().zip(&damage).for_each(|(byte, damage)| *byte ^= damage);
            let hit = first..first + damage.len();
            let mut end = HEAD_BYTES;
            let whole = chunks.iter().filter(|chunk| {
                let start = end;
                end += CHUNK_HEAD_BYTES + 2 * chunk.len();
                end <= hit.start || start >= hit.end
            });
            match read(&bytes) {
                Ok(samples) => prop_assert_eq!(samples, whole.flatten().copied().collect::<Vec<_>>()),
                Err(_) => prop_assert!(first < HEAD_BYTES),
            }
        }

        #[test]
        fn bytes_that_were_lost_or_came_in_between_cost_one_chunk(
            chunks in chunks(),
            at in any::<prop::sample::Index>(),
            lost in 0_usize..40,
            came in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut bytes = journal(&chunks);
            let at = HEAD_BYTES + at.index(bytes.len() - HEAD_BYTES + 1);
            let end = (at + lost).min(bytes.len());
            let cost = chunks.iter().map(Vec::len).max().unwrap_or(0).max(1) * (2 + lost);
            bytes.splice(at..end, came);
            prop_assert!(read(&bytes).unwrap().len() + cost >= chunks.concat().len());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
            let _ = read(&bytes);
            let mut after_a_head = journal(&[]);
            after_a_head.extend(&bytes);
            prop_assert_eq!(read(&after_a_head).unwrap(), Vec::<i16>::new());
        }
    }

    #[test]
    fn a_sector_that_was_lost_in_a_long_journal_costs_one_chunk() {
        let chunks: Vec<Vec<i16>> = (0..40).map(|chunk| vec![chunk; MOST_SAMPLES]).collect();
        let mut bytes = journal(&chunks);
        let sector = HEAD_BYTES + 17 * MOST_BYTES + 4_096;
        bytes[sector..sector + 4_096].fill(0);
        let expected: Vec<i16> = (0..40).filter(|chunk| *chunk != 17).flat_map(|chunk| [chunk; MOST_SAMPLES]).collect();
        let mut reader = Reader::new(&bytes[..]).unwrap();
        assert!(reader.read_to_end().unwrap() == expected);
        assert_eq!(reader.good_bytes(), bytes.len() as u64);
    }

    #[test]
    fn a_chunk_that_is_there_twice_is_heard_once() {
        let bytes = journal(&[vec![1, 2], vec![3, 4]]);
        let again = [&bytes[..], &bytes[HEAD_BYTES..]].concat();
        assert_eq!(read(&again).unwrap(), [1, 2, 3, 4]);
    }

    #[test]
    fn chunks_of_another_journal_are_not_taken() {
        let other = Head { take: 8, ..head() };
        let (mut bytes, _) = other.encode();
        let mut mixed = bytes.to_vec();
        mixed.extend(&journal(&[vec![1, 2, 3]])[HEAD_BYTES..]);
        assert_eq!(read(&mixed).unwrap(), Vec::<i16>::new());
        bytes[28] ^= 1;
        assert!(matches!(read(&bytes), Err(ReadError::Damaged)));
        assert!(matches!(read(b"RIFF"), Err(ReadError::NotAJournal)));
    }
}
