//! Packed weights on disk: packing takes longer than anything else at load, and mapped memory is shared by processes.
//!
//! A file holds what a model's matrices were packed into, one after the other in the order in which the graph asks for them, and
//! before that what it was packed from. Whatever does not fit - another model at the same place, another version, a damaged file -
//! is as if it was not there, and is written again.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use amanuensis_kernels::{Level, PackedWords};
use amanuensis_whisper::Weights;
use amanuensis_whisper::weights::expected_tensors;
use memmap2::Mmap;

use crate::Precision;

/// Changes whenever packing, or the order of the graph, does.
const VERSION: u32 = 4;
const MAGIC: [u8; 8] = *b"amanpack";
/// Magic, checksum, length of the key.
const HEADER: usize = 24;
/// How names of files begin that are being written, and after what time nobody is writing them any more.
const UNFINISHED: &str = "unfinished-";
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);
/// Parts begin on a cache line.
const LINE: usize = 64;

/// Where packed weights lie: `$XDG_CACHE_HOME/amanuensis/packed`, usually `~/.cache/amanuensis/packed`.
pub fn folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
    Some(cache.join("amanuensis/packed"))
}

/// The result of writing packed weights; if there is none, the next load packs again.
pub(crate) fn report<T>(written: io::Result<T>) -> Option<T> {
    written.inspect_err(|error| tracing::warn!(%error, "packed weights are not kept")).ok()
}

/// The place of one model's packed weights.
pub(crate) struct Place {
    path: PathBuf,
    /// Where they come from: the first line is the model's path.
    key: String,
}

impl Place {
    /// The place in `folder` of a model that is packed this way on this CPU.
    pub(crate) fn new(folder: &Path, weights: &Weights, precision: Precision) -> io::Result<Self> {
        let source = fs::canonicalize(weights.path())?;
        let way = format!("{precision:?} {}", Level::best().name()).to_lowercase();
        let name = checksum(format!("{way} {}", source.display()).as_bytes());
        let mut key = format!("{}\n{way} {VERSION} {:?}\n", source.display(), weights.dims());
        let mut files = if source.is_dir() {
            fs::read_dir(&source)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?
        } else {
            vec![source]
        };
        files.sort();
        for file in files {
            let about = fs::metadata(&file)?;
            let modified = about.modified()?.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
            // Writing to a string does not fail.
            let _ = writeln!(key, "{} {} {modified}", file.display(), about.len());
        }
        // A file that was replaced by one as long and as old has other numbers.
        let mut sample = Vec::new();
        for (name, _) in expected_tensors(weights.dims()) {
            let bytes = weights.tensor(&name).map_err(io::Error::other)?.bytes;
            sample.extend_from_slice(&bytes[..bytes.len().min(LINE)]);
        }
        let _ = writeln!(key, "{:016x}", checksum(&sample));
        Ok(Self { path: folder.join(format!("{name:016x}.packed")), key })
    }

    /// What lies there, if it is whole and comes from where this model does.
    pub(crate) fn open(&self) -> Option<Stored> {
        let file = File::open(&self.path).ok()?;
        #[allow(unsafe_code, reason = "what is mapped costs no time and no memory of this process")]
        // SAFETY: the map is read-only, and these files are replaced by renaming, never written in place.
        let map = unsafe { Mmap::map(&file) }.ok()?;
        let number = |at: usize| Some(u64::from_le_bytes(*map.get(at..)?.first_chunk()?));
        let key = map.get(HEADER..HEADER.checked_add(usize::try_from(number(16)?).ok()?)?)?;
        let begin = (HEADER + key.len()).next_multiple_of(LINE);
        let same = map.first_chunk() == Some(&MAGIC) && key == self.key.as_bytes();
        if !same || number(8)? != checksum(map.get(begin..)?) {
            return None;
        }
        Some(Stored { memory: Arc::new(map), at: begin })
    }

    /// Begins to write what is packed.
    pub(crate) fn create(&self) -> io::Result<Writer<'_>> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        remove_orphans(folder)?;
        let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
        let mut file = BufWriter::new(unfinished);
        let mut header = vec![0; (HEADER + self.key.len()).next_multiple_of(LINE)];
        header[..8].copy_from_slice(&MAGIC);
        header[16..HEADER].copy_from_slice(&(self.key.len() as u64).to_le_bytes());
        header[HEADER..HEADER + self.key.len()].copy_from_slice(self.key.as_bytes());
        file.write_all(&header)?;
        Ok(Writer { place: self, file, sums: Sums::default() })
    }
}

/// Removes what was packed from models that are not there any more, and what somebody began to write and did not finish.
fn remove_orphans(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let orphan = if name.to_string_lossy().starts_with(UNFINISHED) {
            entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age > ABANDONED_AFTER)
        } else if path.extension().is_some_and(|extension| extension == "packed") {
            let mut start = Vec::new();
            File::open(&path)?.take(4096).read_to_end(&mut start)?;
            let source = start.get(HEADER..).and_then(|key| key.split(|byte| *byte == b'\n').next());
            !source.is_some_and(|source| Path::new(&*String::from_utf8_lossy(source)).exists())
        } else {
            false
        };
        if orphan {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Packed weights that are read one after the other.
pub(crate) struct Stored {
    memory: Arc<Mmap>,
    at: usize,
}

impl Stored {
    /// The next so many words.
    pub(crate) fn next(&mut self, words: usize) -> Option<PackedWords> {
        let bytes = self.take(words)?;
        PackedWords::shared(Arc::clone(&self.memory) as Arc<_>, bytes)
    }

    /// The next so many floats.
    pub(crate) fn floats(&mut self, count: usize) -> Option<Vec<f32>> {
        let bytes = self.take(count)?;
        Some(self.memory[bytes].as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn take(&mut self, words: usize) -> Option<Range<usize>> {
        let bytes = self.at..self.at.checked_add(words.checked_mul(4)?)?;
        self.at = bytes.end.next_multiple_of(LINE);
        (self.at <= self.memory.len()).then_some(bytes)
    }
}

/// Packed weights that are written one after the other.
pub(crate) struct Writer<'a> {
    place: &'a Place,
    file: BufWriter<tempfile::NamedTempFile>,
    sums: Sums,
}

impl Writer<'_> {
    /// Writes the next part.
    pub(crate) fn put(&mut self, words: &[u32]) -> io::Result<()> {
        for part in words.chunks(LINE / 4) {
            let mut line = [0; LINE];
            for (bytes, word) in line.as_chunks_mut().0.iter_mut().zip(part) {
                *bytes = word.to_le_bytes();
            }
            self.sums.add(&line);
            self.file.write_all(&line)?;
        }
        Ok(())
    }

    /// Puts the whole where it will be found.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(8))?;
        self.file.write_all(&self.sums.total().to_le_bytes())?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.persist(&self.place.path).map_err(|failed| failed.error)?;
        Ok(())
    }
}

/// Bytes that are summed up by themselves, so that threads can share the work.
const CHUNK: usize = 1 << 20;
/// FNV's offset basis.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

fn step(sum: u64, word: u64) -> u64 {
    // Odd, so that no step forgets anything.
    (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

/// The sum of one chunk, as quick as memory: eight sums side by side, one for each eight bytes of a line.
struct ChunkSum([u64; 8]);

impl ChunkSum {
    fn add(&mut self, line: &[u8; LINE]) {
        for (sum, bytes) in self.0.iter_mut().zip(line.as_chunks().0) {
            *sum = step(*sum, u64::from_le_bytes(*bytes));
        }
    }

    fn total(&self) -> u64 {
        self.0.iter().fold(0, |total, sum| step(total, *sum))
    }

    fn of(bytes: &[u8]) -> u64 {
        let mut sum = Self([BASIS; 8]);
        let (lines, rest) = bytes.as_chunks();
        for line in lines {
            sum.add(line);
        }
        if !rest.is_empty() {
            let mut line = [0; LINE];
            line[..rest.len()].copy_from_slice(rest);
            sum.add(&line);
        }
        sum.total()
    }
}

/// [`checksum`] of what comes line by line.
struct Sums {
    chunk: ChunkSum,
    /// Of the chunk.
    bytes: usize,
    total: u64,
}

impl Default for Sums {
    fn default() -> Self {
        Self { chunk: ChunkSum([BASIS; 8]), bytes: 0, total: BASIS }
    }
}

impl Sums {
    fn add(&mut self, line: &[u8; LINE]) {
        self.chunk.add(line);
        self.bytes += LINE;
        if self.bytes == CHUNK {
            *self = Self { total: self.total(), ..Self::default() };
        }
    }

    fn total(&self) -> u64 {
        if self.bytes == 0 { self.total } else { step(self.total, self.chunk.total()) }
    }
}

/// A checksum, by all cores: to look at every byte takes most of the time of a load.
fn checksum(bytes: &[u8]) -> u64 {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let part = bytes.len().div_ceil(CHUNK).div_ceil(threads).max(1) * CHUNK;
    std::thread::scope(|scope| {
        let sums = |part: &[u8]| part.chunks(CHUNK).map(ChunkSum::of).collect::<Vec<_>>();
        let (first, others) = bytes.split_at(part.min(bytes.len()));
        let others: Vec<_> = others.chunks(part).map(|part| scope.spawn(move || sums(part))).collect();
        let others = others.into_iter().flat_map(|thread| thread.join().expect("BUG: sums do not panic"));
        sums(first).into_iter().chain(others).fold(BASIS, step)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &Path, key: &str) -> Place {
        Place { path: folder.join("a.packed"), key: format!("{}\n{key}\n", folder.display()) }
    }

    fn write(place: &Place) {
        let mut writer = place.create().unwrap();
        writer.put(&[1, 2, 3]).unwrap();
        writer.put(&[4; 40]).unwrap();
        writer.finish().unwrap();
    }

    #[test]
    fn what_was_put_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path(), "here");
        assert!(place.open().is_none());
        write(&place);
        let mut stored = place.open().unwrap();
        assert_eq!(stored.next(3).unwrap().as_slice(), [1, 2, 3]);
        assert_eq!(stored.next(40).unwrap().as_slice(), [4; 40]);
        assert!(stored.next(1).is_none());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing unfinished is left behind");
    }

    #[test]
    fn what_does_not_fit_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        write(&place(folder.path(), "here"));
        assert!(place(folder.path(), "there").open().is_none());
        let place = place(folder.path(), "here");
        let whole = fs::read(&place.path).unwrap();
        for at in [0, 8, 16, 30, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&place.path, &damaged).unwrap();
            assert!(place.open().is_none(), "byte {at}");
        }
        for length in [0, 7, 23, 64, whole.len() - 64] {
            fs::write(&place.path, &whole[..length]).unwrap();
            assert!(place.open().is_none(), "{length} bytes");
        }
        fs::write(&place.path, &whole).unwrap();
        assert!(place.open().is_some());
    }

    #[test]
    fn sums_are_the_same_line_by_line() {
        for length in [0, 1, 64, 1000, CHUNK - 64, CHUNK, CHUNK + 1, 5 * CHUNK + 640] {
            let bytes: Vec<u8> = (0..length).map(|index| (index * 7 % 251) as u8).collect();
            let mut sums = Sums::default();
            for part in bytes.chunks(LINE) {
                let mut line = [0; LINE];
                line[..part.len()].copy_from_slice(part);
                sums.add(&line);
            }
            assert_eq!(sums.total(), checksum(&bytes), "{length} bytes");
        }
    }

    #[test]
    fn orphans_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let orphan = Place { path: folder.path().join("b.packed"), key: "/nowhere/model.bin\n".to_owned() };
        write(&orphan);
        write(&place(folder.path(), "here"));
        assert!(!orphan.path.exists());
    }
}
