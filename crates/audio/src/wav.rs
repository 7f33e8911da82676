//! WAV files whose writer could not go back to fill in the lengths: what a pipe leaves.

use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

/// A length that says nothing: programs that write into a pipe put zero, or something near the largest they can.
const UNKNOWN: std::ops::RangeInclusive<u32> = 0x7fff_0000..=u32::MAX;
/// Where the sound begins at the latest, in a file that is looked at.
const LONGEST_HEAD: usize = 4096;

/// A WAV file with the true lengths in its head.
#[derive(Debug)]
pub(crate) struct Piped {
    /// What stands before the sound, corrected.
    head: Vec<u8>,
    file: File,
    length: u64,
    position: u64,
}

impl Piped {
    /// Looks at the head of a file of `length` bytes; nothing if it is no WAV, or one that knows its length. The file is at its
    /// beginning afterwards.
    pub(crate) fn recognise(file: &mut File, length: u64) -> Result<Option<Self>> {
        let mut head = Vec::new();
        file.take(LONGEST_HEAD as u64).read_to_end(&mut head)?;
        file.rewind()?;
        let Some(data) = find_data(&head) else { return Ok(None) };
        let said = u32::from_le_bytes([head[data - 4], head[data - 3], head[data - 2], head[data - 1]]);
        // The file may have grown since its length was asked for: then what is read here lies beyond it.
        let Some(true_length) = length.checked_sub(data as u64) else { return Ok(None) };
        // An empty recording says zero too, truly.
        let is_unknown =
            if said == 0 { true_length > 0 } else { UNKNOWN.contains(&said) && u64::from(said) > true_length };
        if !is_unknown {
            return Ok(None);
        }
        head.truncate(data);
        let fits = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
        head[4..8].copy_from_slice(&fits(length - 8));
        head[data - 4..].copy_from_slice(&fits(true_length));
        Ok(Some(Self { head, file: file.try_clone()?, length, position: 0 }))
    }
}

/// Where the sound begins.
fn find_data(head: &[u8]) -> Option<usize> {
    if head.get(..4)? != b"RIFF" || head.get(8..12)? != b"WAVE" {
        return None;
    }
    let mut at = 12;
    loop {
        let length: [u8; 4] = head.get(at + 4..at + 8)?.try_into().ok()?;
        if &head[at..at + 4] == b"data" {
            return Some(at + 8);
        }
        // Chunks begin at even places.
        at = at.checked_add(8)?.checked_add((u32::from_le_bytes(length) as usize).checked_next_multiple_of(2)?)?;
    }
}

impl Read for Piped {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let count = match self.head.get(self.position as usize..).filter(|rest| !rest.is_empty()) {
            Some(mut rest) => rest.read(out)?,
            None => {
                self.file.seek(SeekFrom::Start(self.position))?;
                self.file.read(out)?
            }
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Piped {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(position) => (position, 0),
            SeekFrom::Current(by) => (self.position, by),
            SeekFrom::End(by) => (self.length, by),
        };
        let position = from.checked_add_signed(by);
        self.position = position.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

impl MediaSource for Piped {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.length)
    }
}
