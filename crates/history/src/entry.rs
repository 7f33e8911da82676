//! What the history knows of a dictation or a file.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Number of an entry. It is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub i64);

/// Where the sound of an entry came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A microphone.
    Dictation,
    /// A file of the user's.
    File,
}

/// How far an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its sound is being recorded.
    Recording,
    /// Its text is being written.
    Transcribing,
    /// Its text is there.
    Done,
    /// It could not be transcribed.
    Failed,
    /// Its recording broke off and was found again; nobody has asked for its text yet.
    Recovered,
}

impl State {
    pub(crate) const ALL: [Self; 5] = [Self::Recording, Self::Transcribing, Self::Done, Self::Failed, Self::Recovered];

    /// As it stands in the database.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Transcribing => "transcribing",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Recovered => "recovered",
        }
    }
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Dictation, Self::File];

    /// As it stands in the database.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Dictation => "dictation",
            Self::File => "file",
        }
    }
}

/// What is known of an entry when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// Where its sound comes from.
    pub kind: Kind,
    /// When, in whole milliseconds.
    pub started: SystemTime,
    /// The user's file that its sound is in.
    pub file: Option<PathBuf>,
    /// Where the journal of its sound lies.
    pub journal: Option<PathBuf>,
}

/// What came of transcribing an entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transcribed {
    /// The text; or what there was of it before a failure.
    pub text: String,
    /// The text as it was heard, where a language model has gone over it.
    pub raw: Option<String>,
    /// Why there is no more text.
    pub failure: Option<String>,
    /// The program's own word for that, where it has one.
    pub fault: Option<String>,
    /// The model that was used.
    pub model: Option<String>,
    /// The device that was used.
    pub device: Option<String>,
    /// Code of the language.
    pub language: Option<String>,
    /// From the end of the sound to the last word.
    pub waited: Option<Duration>,
}

/// A dictation or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub id: EntryId,
    /// Where its sound came from.
    pub kind: Kind,
    /// How far it is.
    pub state: State,
    /// When it began, in whole milliseconds.
    pub started: SystemTime,
    /// How long its sound is, where that is known.
    pub length: Option<Duration>,
    /// What came of transcribing it.
    pub transcribed: Transcribed,
    /// The user's own version of the text.
    pub edited: Option<String>,
    /// The user's file that its sound is in. The history only reads it, and it may be gone.
    pub file: Option<PathBuf>,
    /// The program that the text was written into.
    pub application: Option<String>,
    /// Whether it is kept until the user deletes it.
    pub pinned: bool,
    /// Where its sound lies, compressed.
    pub sound: Option<PathBuf>,
    /// Where the journal of its sound lies, until it is compressed.
    pub journal: Option<PathBuf>,
}

impl Entry {
    /// The text as the user wants it.
    pub fn text(&self) -> &str {
        self.edited.as_deref().unwrap_or(&self.transcribed.text)
    }

    /// Where its sound can be read, unless it still lies in a journal.
    pub fn recording(&self) -> Option<&Path> {
        self.sound.as_deref().or(self.file.as_deref())
    }
}
