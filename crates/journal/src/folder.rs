//! The folder in which journals lie, and the ones in it that nobody is writing.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::format::{HEAD_BYTES, Head, MOST_BYTES, ReadError, Reader, encode_chunk};
use crate::storage::{self, Storage as _};

const ENDING: &str = "journal";
/// Of a journal that is made anew, until it is whole.
const UNFINISHED: &str = "rebuilt";
/// Of a journal that was not as it was written.
const ASIDE: &str = "damaged";
/// What all journals are recorded at, should one not be able to say so itself.
const SAMPLE_RATE: u32 = 16_000;

/// A folder of journals. It is made when the first one is written.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

/// A journal that nobody is writing: whoever did was ended before all was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The file.
    pub path: PathBuf,
    /// What it says of itself.
    pub head: Head,
    /// Sound that is whole.
    pub length: Duration,
    /// Bytes behind that sound that are not as they were written, and were cut off.
    pub cut_bytes: u64,
}

/// The journals that nobody is writing.
#[derive(Debug, Default)]
pub struct Found {
    /// Those with sound, or without any, the oldest first.
    pub orphans: Vec<Orphan>,
    /// Copies of those that were damaged at their beginning, as they were found. What could be read of them is an orphan.
    pub aside: Vec<PathBuf>,
    /// Those that cannot be read just now, which are left as they are.
    pub unread: Vec<(PathBuf, ReadError)>,
}

impl Folder {
    /// The folder at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of a new journal. Its name says when the dictation began, and which it was.
    pub fn new_journal(&self, head: &Head) -> PathBuf {
        let since = head.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.path.join(format!("{}-{}.{ENDING}", since.as_millis(), head.take))
    }

    /// Bytes that all journals take.
    pub fn bytes(&self) -> u64 {
        self.journals().filter_map(|path| Some(path.metadata().ok()?.len())).sum()
    }

    /// Finds the journals that nobody is writing, and cuts off what of each is not whole. One that is damaged at its beginning
    /// is put aside, and what can be read of it is in a new one in its place.
    pub fn orphans(&self) -> Found {
        let mut found = Found::default();
        for path in self.journals() {
            match repair(&path, &mut found.aside) {
                Ok(orphan) => found.orphans.extend(orphan),
                Err(error) => found.unread.push((path, error)),
            }
        }
        found.orphans.sort_by_key(|orphan| orphan.head.started);
        found
    }

    fn journals(&self) -> impl Iterator<Item = PathBuf> {
        let entries = std::fs::read_dir(&self.path).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.extension() == Some(OsStr::new(ENDING)))
    }
}

/// Nothing where the journal is being written, or holds nothing of ours.
fn repair(path: &Path, aside: &mut Vec<PathBuf>) -> Result<Option<Orphan>, ReadError> {
    // On a disk that may only be read there is nothing to cut, but still something to hear.
    let writable = OpenOptions::new().read(true).write(true).open(path);
    let can_cut = writable.is_ok();
    let file = writable.or_else(|_| File::open(path))?;
    if matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock)) {
        return Ok(None);
    }
    let mut reader = match Reader::new(BufReader::new(&file)) {
        Err(ReadError::NotAJournal | ReadError::Damaged) => return rebuild(path, &file, aside),
        reader => reader?,
    };
    let mut samples = 0;
    while let Some(chunk) = reader.next_chunk()? {
        samples += chunk.len() as u64;
    }
    let head = reader.head();
    let good = reader.good_bytes();
    let cut_bytes = file.metadata()?.len().saturating_sub(good);
    if cut_bytes > 0 && can_cut {
        file.set_len(good)?;
    }
    let length = Duration::from_secs_f64(samples as f64 / f64::from(head.sample_rate));
    Ok(Some(Orphan { path: path.to_owned(), head, length, cut_bytes }))
}

/// Makes a journal anew whose head is lost: its name says what that said, and by it its chunks are found.
fn rebuild(path: &Path, mut file: &File, aside: &mut Vec<PathBuf>) -> Result<Option<Orphan>, ReadError> {
    let Some(head) = head_of(path) else {
        aside.push(put_aside(path, |path, aside| std::fs::rename(path, aside))?);
        return Ok(None);
    };
    file.rewind()?;
    let mut beginning = Vec::new();
    file.take(HEAD_BYTES as u64).read_to_end(&mut beginning)?;
    if head.encode().0.starts_with(&beginning) {
        // It broke off before there was any sound.
        return Ok(Some(Orphan { path: path.to_owned(), head, length: Duration::ZERO, cut_bytes: 0 }));
    }
    file.rewind()?;
    let unfinished = path.with_extension(UNFINISHED);
    // Of an attempt that broke off.
    let _ = std::fs::remove_file(&unfinished);
    let samples = copy(Reader::behind(BufReader::new(file), head), &unfinished);
    if !matches!(samples, Ok(1..)) {
        let _ = std::fs::remove_file(&unfinished);
    }
    let samples = samples?;
    if samples == 0 {
        aside.push(put_aside(path, |path, aside| std::fs::rename(path, aside))?);
        return Ok(None);
    }
    // At any moment the sound is there under the one name or the other.
    aside.push(put_aside(path, |path, aside| {
        std::fs::hard_link(path, aside).or_else(|_| std::fs::copy(path, aside).map(|_| ()))
    })?);
    std::fs::rename(&unfinished, path)?;
    let length = Duration::from_secs_f64(samples as f64 / f64::from(head.sample_rate));
    Ok(Some(Orphan { path: path.to_owned(), head, length, cut_bytes: 0 }))
}

/// Writes what a reader finds into a new journal. Returns how many samples that are.
fn copy(mut from: Reader<BufReader<&File>>, to: &Path) -> Result<u64, ReadError> {
    let (head, seed) = from.head().encode();
    let mut new = storage::create(to)?;
    new.write_at(0, &head)?;
    let (mut at, mut samples, mut bytes) = (head.len() as u64, 0, Vec::with_capacity(MOST_BYTES));
    for sequence in 0.. {
        let Some(chunk) = from.next_chunk()? else { break };
        encode_chunk(seed, sequence, chunk.iter().copied(), &mut bytes);
        new.write_at(at, &bytes)?;
        at += bytes.len() as u64;
        samples += chunk.len() as u64;
    }
    new.sync()?;
    Ok(samples)
}

/// Gives a journal another name, or one more, that nothing has.
fn put_aside(path: &Path, put: impl FnOnce(&Path, &Path) -> std::io::Result<()>) -> std::io::Result<PathBuf> {
    let mut names = (1..).map(|number| {
        let number = if number == 1 { String::new() } else { format!("-{number}") };
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{ASIDE}{number}"));
        PathBuf::from(name)
    });
    let aside = names.find(|name| !name.exists()).expect("BUG: numbers have no end");
    put(path, &aside)?;
    Ok(aside)
}

/// The head that a journal of this name had.
fn head_of(path: &Path) -> Option<Head> {
    let (started_ms, take) = path.file_stem()?.to_str()?.split_once('-')?;
    let started = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(started_ms.parse().ok()?))?;
    Some(Head { sample_rate: SAMPLE_RATE, started, take: take.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::mpsc;

    use super::*;
    use crate::{Limits, Recorder, Report};

    fn head(take: u64) -> Head {
        Head { sample_rate: 16_000, started: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 + take), take }
    }

    #[test]
    fn a_journal_is_private_is_no_orphan_while_written_and_is_one_afterwards() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path().join("data/journal"));
        assert_eq!((folder.bytes(), folder.orphans().orphans.len()), (0, 0));
        let path = folder.new_journal(&head(1));
        let (sender, reports) = mpsc::channel();
        let mut recorder =
            Recorder::start(path.clone(), head(1), Limits::default(), move |report| sender.send(report).unwrap())
                .unwrap();
        let second: Vec<f32> = (0..16_000).map(|index| index as f32 / 32_768.0).collect();
        recorder.push(&second);
        while folder.bytes() < 32_000 {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(folder.orphans().orphans, [], "it is being written");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(folder.path())), (0o600, 0o700));
        recorder.push(&second[..8_001]);
        drop(recorder);
        let length = Duration::from_secs_f64(24_001.0 / 16_000.0);
        assert_eq!(reports.iter().last(), Some(Report::Closed { saved: length, whole: true }));

        let torn = [7; 100];
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], &torn].concat()).unwrap();
        let Found { orphans, aside, unread } = folder.orphans();
        assert!(aside.is_empty() && unread.is_empty());
        assert_eq!(orphans, [Orphan { path: path.clone(), head: head(1), length, cut_bytes: 100 }]);
        assert_eq!(std::fs::read(&path).unwrap(), whole, "what was torn is cut off");
        let samples = Reader::new(&whole[..]).unwrap().read_to_end().unwrap();
        assert!(samples.iter().map(|sample| *sample as usize).eq((0..16_000).chain(0..8_001)));
    }

    /// Writes a journal, and returns its path, its bytes and its samples.
    fn written(folder: &Folder, take: u64) -> (PathBuf, Vec<u8>, Vec<i16>) {
        let path = folder.new_journal(&head(take));
        let mut recorder = Recorder::start(path.clone(), head(take), Limits::default(), |_| ()).unwrap();
        let samples: Vec<i16> = (0..20_000).map(|index| (index * 7 + 1) as i16).collect();
        recorder.push(&samples.iter().map(|sample| f32::from(*sample) / 32_768.0).collect::<Vec<_>>());
        drop(recorder);
        let bytes = std::fs::read(&path).unwrap();
        (path, bytes, samples)
    }

    #[test]
    fn whatever_byte_of_a_head_is_damaged_the_sound_is_there_and_the_file_is_kept_aside() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path().to_owned());
        let (path, whole, samples) = written(&folder, 1);
        let flipped = (0..HEAD_BYTES).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            bytes
        });
        let mut cases: Vec<Vec<u8>> = flipped.collect();
        // Overwritten, cut off, and something before it.
        cases.push([&[0; HEAD_BYTES], &whole[HEAD_BYTES..]].concat());
        cases.push(whole[HEAD_BYTES..].to_vec());
        cases.push(whole[HEAD_BYTES / 2..].to_vec());
        cases.push([b"Dear diary", &whole[..]].concat());
        for damaged in cases {
            std::fs::write(&path, &damaged).unwrap();
            let Found { orphans, aside, unread } = folder.orphans();
            let [orphan] = &orphans[..] else { panic!("{orphans:?} {unread:?} {:?}", &damaged[..HEAD_BYTES]) };
            assert_eq!((&orphan.path, orphan.head), (&path, head(1)));
            let [aside] = &aside[..] else { panic!("{aside:?}") };
            assert_eq!(std::fs::read(aside).unwrap(), damaged);
            let again = Reader::new(File::open(&path).unwrap()).unwrap().read_to_end().unwrap();
            assert!(again == samples, "{} samples", again.len());
            // Another start finds an orphan like any other.
            let next = folder.orphans();
            assert_eq!((next.orphans, next.aside, next.unread.len()), (orphans.clone(), Vec::new(), 0));
            std::fs::remove_file(aside).unwrap();
        }
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn where_head_and_sound_are_damaged_what_is_left_is_found() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path().to_owned());
        let (path, mut bytes, samples) = written(&folder, 1);
        bytes[..HEAD_BYTES + 100].fill(0xff);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(folder.orphans().orphans.len(), 1);
        let left = Reader::new(File::open(&path).unwrap()).unwrap().read_to_end().unwrap();
        assert!(!left.is_empty() && samples.ends_with(&left), "{} samples", left.len());
    }

    #[test]
    fn of_two_journals_one_of_which_is_damaged_the_other_is_there() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path().to_owned());
        let ((bad, bytes, _), (good, ..)) = (written(&folder, 1), written(&folder, 2));
        for damage in [vec![7; bytes.len()], b"Dear diary".to_vec()] {
            std::fs::write(&bad, &damage).unwrap();
            let Found { orphans, aside, unread } = folder.orphans();
            assert_eq!(orphans.iter().map(|orphan| &orphan.path).collect::<Vec<_>>(), [&good]);
            assert!(unread.is_empty());
            assert_eq!(std::fs::read(&aside[0]).unwrap(), damage, "what nothing can be read of is kept all the same");
            assert!(!bad.exists(), "it is told of once");
        }
    }

    #[test]
    fn a_journal_that_breaks_off_in_its_head_is_one_without_sound() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path().to_owned());
        let (path, bytes, _) = written(&folder, 1);
        for length in 0..HEAD_BYTES {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let Found { orphans, aside, unread } = folder.orphans();
            assert!(aside.is_empty() && unread.is_empty(), "{length}");
            assert_eq!(orphans.iter().map(|orphan| orphan.length).collect::<Vec<_>>(), [Duration::ZERO]);
        }
    }

    #[test]
    fn what_is_no_journal_is_put_aside_and_named() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path().to_owned());
        // Of this one, with another extension, Rust makes the folder above.
        std::fs::write(home.path().join("..journal"), "Dear diary").unwrap();
        assert_eq!(folder.orphans().aside, [home.path().join("..journal.damaged")]);
        std::fs::write(home.path().join("diary.journal"), "Dear diary").unwrap();
        std::fs::create_dir(home.path().join("2-1.journal")).unwrap();
        std::fs::write(home.path().join("letter.txt"), "Dear Sir").unwrap();
        let Found { orphans, aside, unread } = folder.orphans();
        assert_eq!(orphans, []);
        assert_eq!(aside, [home.path().join("diary.journal.damaged")]);
        assert_eq!(std::fs::read(&aside[0]).unwrap(), b"Dear diary");
        assert!(matches!(&unread[..], [(path, ReadError::Io(_))] if path.ends_with("2-1.journal")), "{unread:?}");
    }
}
