use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

/// Endings of files that may hold sound, pictures or not.
const ENDINGS: &[&str] = &[
    "3gp", "aac", "adts", "aif", "aifc", "aiff", "caf", "flac", "m4a", "m4b", "m4v", "mka", "mkv", "mov", "mp1", "mp2",
    "mp3", "mp4", "mpga", "oga", "ogg", "ogv", "ogx", "opus", "wav", "wave", "webm",
];

/// Recordings that are taken at a time: more are a mistake, such as a whole disk.
const MOST: usize = 1_000;
/// Files that are looked at, for the same reason.
const MOST_LOOKED_AT: usize = 200_000;
/// Folders within folders.
const DEEPEST: usize = 32;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Recordings, folder by folder, by name.
    pub recordings: Vec<PathBuf>,
    /// There are more than were taken.
    pub more: bool,
}

/// The files among `chosen`, whatever they are, and in the folders those that may be recordings.
///
/// Hidden files and folders are left out, and a recording that several links lead to is taken once.
pub fn recordings(chosen: &[PathBuf]) -> Found {
    let mut found = Found::default();
    let mut known = HashSet::new();
    let mut looked_at = 0;
    for path in chosen {
        if !path.is_dir() {
            // What somebody points at is tried, and told of if it is no recording.
            found.recordings.push(path.clone());
            continue;
        }
        for (path, metadata) in walk(path) {
            looked_at += 1;
            if found.recordings.len() >= MOST || looked_at > MOST_LOOKED_AT {
                found.more = true;
                return found;
            }
            if known.insert((metadata.dev(), metadata.ino())) {
                found.recordings.push(path);
            }
        }
    }
    found
}

/// What may be a recording in a folder and the folders in it. Links are followed, and loops of them are not.
pub fn walk(folder: &Path) -> impl Iterator<Item = (PathBuf, Metadata)> {
    let visible = |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".");
    WalkDir::new(folder)
        .follow_links(true)
        .max_depth(DEEPEST)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(visible)
        // A folder that may not be read, or a loop of links: the others are still of interest.
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file() && may_be_recording(entry.path()))
        .filter_map(|entry| Some((entry.path().to_owned(), entry.metadata().ok()?)))
}

fn may_be_recording(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
    ENDINGS.contains(&ending.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_folder_gives_its_recordings_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("b/deeper")).unwrap();
        fs::create_dir_all(at(".hidden")).unwrap();
        for name in ["z.MP3", "a.wav", "notes.txt", ".half.wav", "b/deeper/c.opus", ".hidden/d.wav", "b/film.mkv"] {
            fs::write(at(name), "x").unwrap();
        }
        // A loop, a link to what was seen, one that leads nowhere, and a name that is no text.
        symlink(folder.path(), at("b/up")).unwrap();
        symlink(at("a.wav"), at("b/again.wav")).unwrap();
        symlink("/nowhere.wav", at("b/gone.wav")).unwrap();
        let odd = folder.path().join(OsStr::from_bytes(b"odd\xff.wav"));
        fs::write(&odd, "x").unwrap();
        let found = recordings(&[folder.path().to_owned(), at("notes.txt")]);
        let expected = [at("a.wav"), at("b/deeper/c.opus"), at("b/film.mkv"), odd, at("z.MP3"), at("notes.txt")];
        assert_eq!(found, Found { recordings: expected.to_vec(), more: false });
    }

    #[test]
    fn a_whole_disk_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..=MOST {
            fs::write(folder.path().join(format!("{number}.wav")), "").unwrap();
        }
        let found = recordings(&[folder.path().to_owned()]);
        assert_eq!((found.recordings.len(), found.more), (MOST, true));
    }
}
