//! What the reader of MP4 files does not see to: the edit list, by which players leave out what the encoder put before the
//! first sample and after the last, and files that break off.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

/// Boxes that are looked at. Long recordings in fragments have some ten thousand.
const MOST_BOXES: usize = 1_000_000;
/// Edits that are read: more than two are a film's.
const MOST_EDITS: u32 = 64;

/// What part of a track is meant to be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Where it begins, in ticks of the track.
    pub(crate) skip: u64,
    /// How long it is, in ticks of the track; none if it goes on to the end.
    pub(crate) length: Option<u64>,
}

/// How an MP4 file is laid out.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Where its last box says that it ends.
    pub(crate) end: u64,
    /// Whether it has its index. It is written last, unless somebody has put it first.
    pub(crate) has_index: bool,
    /// By the number of the track.
    pub(crate) edits: HashMap<u32, Edit>,
}

/// A box: its kind, and where its content begins and ends.
struct Box4 {
    kind: [u8; 4],
    start: u64,
    end: u64,
}

/// Looks at a file of `length` bytes; nothing if it is no MP4. The file is at its beginning afterwards.
pub(crate) fn look(file: &mut File, length: u64) -> Result<Option<Layout>> {
    let layout = read(file, length);
    file.rewind()?;
    // What cannot be read here is told by the reader, in its turn.
    Ok(layout.unwrap_or_default())
}

fn read(file: &mut File, length: u64) -> Result<Option<Layout>> {
    let mut head = [0; 8];
    file.rewind()?;
    file.read_exact(&mut head)?;
    if &head[4..] != b"ftyp" {
        return Ok(None);
    }
    let mut layout = Layout { end: length, ..Layout::default() };
    for found in boxes(file, 0, length)? {
        layout.end = layout.end.max(found.end);
        if &found.kind == b"moov" && found.end <= length {
            layout.has_index = true;
            layout.edits = edits(file, &found)?;
        }
    }
    Ok(Some(layout))
}

/// The boxes between two places. The last may say that it ends later than what is there.
fn boxes(file: &mut File, start: u64, end: u64) -> Result<Vec<Box4>> {
    let mut found = Vec::new();
    let mut at = start;
    while at.saturating_add(8) <= end && found.len() < MOST_BOXES {
        file.seek(SeekFrom::Start(at))?;
        let (short, kind): ([u8; 4], [u8; 4]) = (array(file)?, array(file)?);
        let (head, size) = match u32::from_be_bytes(short) {
            0 => (8, end - at),
            1 => (16, u64::from_be_bytes(array(file)?)),
            size => (8, size.into()),
        };
        if size < head {
            break;
        }
        let after = at.saturating_add(size);
        found.push(Box4 { kind, start: at + head, end: after });
        at = after;
    }
    Ok(found)
}

fn edits(file: &mut File, moov: &Box4) -> Result<HashMap<u32, Edit>> {
    let within = boxes(file, moov.start, moov.end)?;
    let Some(movie) = within.iter().find(|found| &found.kind == b"mvhd") else { return Ok(HashMap::new()) };
    let movie_ticks = ticks(file, movie)?;
    let mut edits = HashMap::new();
    for track in within.iter().filter(|found| &found.kind == b"trak") {
        let parts = boxes(file, track.start, track.end)?;
        let mut part = |kind: &[u8; 4], of: &[u8; 4]| -> Result<Option<Box4>> {
            let Some(outer) = parts.iter().find(|found| &found.kind == kind) else { return Ok(None) };
            Ok(boxes(file, outer.start, outer.end)?.into_iter().find(|found| &found.kind == of))
        };
        let (list, media) = (part(b"edts", b"elst")?, part(b"mdia", b"mdhd")?);
        let head = parts.iter().find(|found| &found.kind == b"tkhd");
        if let (Some(list), Some(media), Some(head)) = (list, media, head) {
            let media_ticks = ticks(file, &media)?;
            if let Some(edit) = edit(file, &list, movie_ticks, media_ticks)? {
                edits.insert(number(file, head)?, edit);
            }
        }
    }
    Ok(edits)
}

/// The one edit of a list; nothing if there are several, for those of a cut film are not followed.
fn edit(file: &mut File, list: &Box4, movie_ticks: u32, media_ticks: u32) -> Result<Option<Edit>> {
    let long = version(file, list)? == 1;
    let count = u32::from_be_bytes(array(file)?);
    let mut kept = None;
    for _ in 0..count.min(MOST_EDITS) {
        let (length, skip) = if long {
            (u64::from_be_bytes(array(file)?), i64::from_be_bytes(array(file)?))
        } else {
            (u32::from_be_bytes(array(file)?).into(), i32::from_be_bytes(array(file)?).into())
        };
        let _rate: [u8; 4] = array(file)?;
        // A negative one is a pause before.
        if let Ok(skip) = u64::try_from(skip) {
            if kept.is_some() {
                return Ok(None);
            }
            let scaled = u128::from(length) * u128::from(media_ticks);
            let length = scaled.checked_div(movie_ticks.into()).and_then(|ticks| u64::try_from(ticks).ok());
            kept = Some(Edit { skip, length: length.filter(|length| *length > 0) });
        }
    }
    Ok(kept)
}

/// Ticks in a second, as a head of a movie or of a track's media has them.
fn ticks(file: &mut File, head: &Box4) -> Result<u32> {
    let before = if version(file, head)? == 1 { 16 } else { 8 };
    file.seek_relative(before)?;
    Ok(u32::from_be_bytes(array(file)?))
}

/// The number of a track, as its head has it.
fn number(file: &mut File, head: &Box4) -> Result<u32> {
    let before = if version(file, head)? == 1 { 16 } else { 8 };
    file.seek_relative(before)?;
    Ok(u32::from_be_bytes(array(file)?))
}

/// The version of a box; its flags come next, and are passed.
fn version(file: &mut File, found: &Box4) -> Result<u8> {
    file.seek(SeekFrom::Start(found.start))?;
    let [version, ..]: [u8; 4] = array(file)?;
    Ok(version)
}

fn array<const N: usize>(file: &mut File) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A file that breaks off, and says that it is as long as it was meant to be: the reader takes no shorter one.
pub(crate) struct Whole {
    file: File,
    length: u64,
}

impl Whole {
    pub(crate) fn new(file: File, length: u64) -> Self {
        Self { file, length }
    }
}

impl Read for Whole {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        self.file.read(out)
    }
}

impl Seek for Whole {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.file.seek(match to {
            SeekFrom::End(from_end) => SeekFrom::Start(self.length.saturating_add_signed(from_end)),
            to => to,
        })
    }
}

impl MediaSource for Whole {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes(), &kind[..], content].concat()
    }

    fn looked_at(bytes: &[u8]) -> Option<Layout> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        look(&mut file, bytes.len() as u64).unwrap()
    }

    /// A track with 44,100 ticks a second, of a movie with 1,000, and these edits: length, and where it begins.
    fn movie(edits: &[(u32, i32)]) -> Vec<u8> {
        let list: Vec<u8> = edits
            .iter()
            .flat_map(|(length, skip)| [length.to_be_bytes(), skip.to_be_bytes(), [0, 1, 0, 0]].concat())
            .collect();
        let list = [&[0; 4][..], &(edits.len() as u32).to_be_bytes(), &list].concat();
        let head = |number: u32| [&[0; 12][..], &number.to_be_bytes(), &[0; 8]].concat();
        let media = boxed(b"mdia", &boxed(b"mdhd", &head(44_100)));
        let track = [boxed(b"tkhd", &head(7)), boxed(b"edts", &boxed(b"elst", &list)), media].concat();
        let index = [boxed(b"mvhd", &head(1_000)), boxed(b"trak", &track)].concat();
        [boxed(b"ftyp", b"M4A "), boxed(b"moov", &index), boxed(b"mdat", &[0; 100])].concat()
    }

    #[test]
    fn an_edit_is_known_by_its_track_in_the_ticks_of_the_track() {
        let layout = looked_at(&movie(&[(2_000, 1_024)])).unwrap();
        assert!(layout.has_index);
        assert_eq!(layout.edits[&7], Edit { skip: 1_024, length: Some(88_200) });
        // A pause before it is not the sound's.
        assert_eq!(looked_at(&movie(&[(500, -1), (0, 5)])).unwrap().edits[&7], Edit { skip: 5, length: None });
        assert!(looked_at(&movie(&[(1, 0), (1, 9)])).unwrap().edits.is_empty(), "a film that was cut");
    }

    #[test]
    fn a_file_that_breaks_off_knows_where_it_was_to_end() {
        let bytes = movie(&[]);
        let cut = looked_at(&bytes[..bytes.len() - 50]).unwrap();
        assert_eq!((cut.end, cut.has_index), (bytes.len() as u64, true));
        assert!(!looked_at(&bytes[..40]).unwrap().has_index);
        assert!(looked_at(b"RIFF....WAVE").is_none());
        assert!(looked_at(b"ftyp").is_none());
    }
}
