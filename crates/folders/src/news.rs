use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::memory::Stamp;

/// A file that has not changed for this long is whole.
pub const SETTLED: Duration = Duration::from_secs(3);

/// Which recordings are new and whole. It opens no file and reads no clock.
#[derive(Default)]
pub struct News {
    /// As they were when they were last seen to change, and when.
    growing: HashMap<PathBuf, (Stamp, Instant)>,
    /// Given out, as they were then, and not yet done.
    given: HashMap<PathBuf, Stamp>,
}

impl News {
    /// Takes what is in the folder and not known; returns what is whole from now on.
    pub fn look(&mut self, unknown: Vec<(PathBuf, Stamp)>, now: Instant) -> Vec<PathBuf> {
        let mut whole = Vec::new();
        let mut growing = HashMap::new();
        for (path, stamp) in unknown {
            if self.given.contains_key(&path) {
                continue;
            }
            let since = self.growing.get(&path).filter(|(before, _)| *before == stamp).map_or(now, |(_, since)| *since);
            if stamp.bytes > 0 && now.duration_since(since) >= SETTLED {
                self.given.insert(path.clone(), stamp);
                whole.push(path);
            } else {
                growing.insert(path, (stamp, since));
            }
        }
        self.growing = growing;
        whole
    }

    /// When to look again though nothing has happened.
    pub fn due(&self) -> Option<Instant> {
        let filled = self.growing.values().filter(|(stamp, _)| stamp.bytes > 0);
        filled.map(|(_, since)| *since + SETTLED).min()
    }

    /// This was done, as it was when it was given out.
    pub fn done(&mut self, path: &Path) -> Option<(PathBuf, Stamp)> {
        self.given.remove_entry(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, bytes: u64) -> (PathBuf, Stamp) {
        (name.into(), Stamp { bytes, modified_s: 0, modified_ns: 0 })
    }

    #[test]
    fn a_recording_is_new_once_it_has_stopped_growing() {
        let mut news = News::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(news.look(vec![file("a", 1), file("empty", 0)], at(0)), [] as [PathBuf; 0]);
        assert_eq!(news.look(vec![file("a", 2), file("empty", 0)], at(2_000)), [] as [PathBuf; 0]);
        assert_eq!(news.due(), Some(at(5_000)));
        assert_eq!(news.look(vec![file("a", 2), file("empty", 0)], at(4_999)), [] as [PathBuf; 0]);
        assert_eq!(news.look(vec![file("a", 2), file("empty", 0)], at(5_000)), [Path::new("a")]);
        assert_eq!(news.due(), None, "nobody knows when an empty file will be filled");
        // It is given out once, and known as it was then.
        assert_eq!(news.look(vec![file("a", 3)], at(60_000)), [] as [PathBuf; 0]);
        assert_eq!(news.done(Path::new("a")), Some(file("a", 2)));
        assert_eq!(news.done(Path::new("a")), None);
    }

    #[test]
    fn what_vanishes_is_forgotten() {
        let mut news = News::default();
        let start = Instant::now();
        news.look(vec![file("a", 1)], start);
        news.look(vec![], start + SETTLED);
        assert_eq!(news.look(vec![file("a", 1)], start + 2 * SETTLED), [] as [PathBuf; 0]);
    }
}
