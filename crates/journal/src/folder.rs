//! The folder in which journals lie, and the ones in it that nobody is writing.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::format::{Head, ReadError, Reader};

const ENDING: &str = "journal";

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

    /// Finds the journals that nobody is writing, the oldest first, and cuts off what of each is not whole. A file that is none,
    /// or says nothing of itself, is left alone and returned with the reason.
    pub fn orphans(&self) -> (Vec<Orphan>, Vec<(PathBuf, ReadError)>) {
        let (mut orphans, mut bad) = (Vec::new(), Vec::new());
        for path in self.journals() {
            match repair(&path) {
                Ok(orphan) => orphans.extend(orphan),
                Err(error) => bad.push((path, error)),
            }
        }
        orphans.sort_by_key(|orphan| orphan.head.started);
        (orphans, bad)
    }

    fn journals(&self) -> impl Iterator<Item = PathBuf> {
        let entries = std::fs::read_dir(&self.path).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.extension() == Some(OsStr::new(ENDING)))
    }
}

/// Nothing where the journal is being written.
fn repair(path: &Path) -> Result<Option<Orphan>, ReadError> {
    // On a disk that may only be read there is nothing to cut, but still something to hear.
    let writable = OpenOptions::new().read(true).write(true).open(path);
    let can_cut = writable.is_ok();
    let file = writable.or_else(|_| File::open(path))?;
    if matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock)) {
        return Ok(None);
    }
    let mut reader = Reader::new(BufReader::new(&file))?;
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
        assert_eq!((folder.bytes(), folder.orphans().0.len()), (0, 0));
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
        assert_eq!(folder.orphans().0, [], "it is being written");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(folder.path())), (0o600, 0o700));
        recorder.push(&second[..8_001]);
        drop(recorder);
        let length = Duration::from_secs_f64(24_001.0 / 16_000.0);
        assert_eq!(reports.iter().last(), Some(Report::Closed { saved: length, whole: true }));

        let torn = [7; 100];
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], &torn].concat()).unwrap();
        let (orphans, bad) = folder.orphans();
        assert!(bad.is_empty());
        assert_eq!(orphans, [Orphan { path: path.clone(), head: head(1), length, cut_bytes: 100 }]);
        assert_eq!(std::fs::read(&path).unwrap(), whole, "what was torn is cut off");
        let samples = Reader::new(&whole[..]).unwrap().read_to_end().unwrap();
        assert!(samples.iter().map(|sample| *sample as usize).eq((0..16_000).chain(0..8_001)));
    }

    #[test]
    fn what_is_no_journal_is_left_alone_and_named() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path().to_owned());
        std::fs::write(home.path().join("1-1.journal"), "Dear diary").unwrap();
        std::fs::write(home.path().join("2-1.journal"), "").unwrap();
        std::fs::write(home.path().join("letter.txt"), "Dear Sir").unwrap();
        let (orphans, bad) = folder.orphans();
        assert_eq!(orphans, []);
        assert_eq!(bad.len(), 2);
        assert_eq!(std::fs::read(home.path().join("1-1.journal")).unwrap(), b"Dear diary");
    }
}
