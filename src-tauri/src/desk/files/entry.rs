//! One recording of the list.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use amanuensis_engine::{Done, RequestError};
use amanuensis_export::{Format, Transcript, edited, plain_name};
use amanuensis_history::Transcribed;
use amanuensis_whisper::Segment;

use super::FileId;
use crate::desk::history::{FileDone, broken_off};
use crate::desk::{failure, joined, millis};
use crate::wire::{Failure, File, FileState, Spoken, SpokenWord};
use crate::words::Words;

/// Letters of the text that the list shows.
const PREVIEW: usize = 160;

/// A recording, how far it is, and what was written down.
pub struct Entry {
    pub id: FileId,
    pub path: PathBuf,
    pub state: FileState,
    pub language: Option<String>,
    /// Name of the model that is to do it; none for the one in use.
    pub model: Option<String>,
    /// The model and the device that do it.
    pub by: Transcribed,
    /// It was put into the watched folder: its text is to be written beside it.
    pub watched: bool,
    /// The watched folder has heard how it ended.
    pub settled: bool,
    /// Name of the document beside it.
    pub saved: Option<String>,
    pub duration: Option<Duration>,
    /// When the work on it began.
    pub began: Option<(Instant, SystemTime)>,
    /// With the user's edits in it.
    pub segments: Vec<Segment>,
    preview: String,
    /// How it was made, without the segments.
    done: Option<Done>,
}

impl Entry {
    /// A recording that waits.
    pub fn new(id: FileId, path: PathBuf) -> Self {
        Self {
            id,
            path,
            state: FileState::Waiting,
            language: None,
            model: None,
            by: Transcribed::default(),
            watched: false,
            settled: false,
            saved: None,
            duration: None,
            began: None,
            segments: Vec::new(),
            preview: String::new(),
            done: None,
        }
    }

    /// Forgets what was written down, and waits.
    pub fn start_over(&mut self) {
        let (path, language, model) = (std::mem::take(&mut self.path), self.language.take(), self.model.take());
        let (duration, watched) = (self.duration, self.watched);
        *self = Self { language, model, duration, watched, ..Self::new(self.id, path) };
    }

    /// The work on it begins.
    pub fn start(&mut self, now: Instant) {
        self.began = Some((now, SystemTime::now()));
    }

    /// Takes the next stretch of text, and gives it as the page sees it; none if there is none in it.
    pub fn push(&mut self, segment: Segment) -> Option<Spoken> {
        if segment.text.trim().is_empty() {
            return None;
        }
        let shown = spoken(&segment);
        self.segments.push(segment);
        self.look_again();
        Some(shown)
    }

    /// Gives a segment another text.
    pub fn edit(&mut self, index: usize, text: &str) -> Option<Spoken> {
        let segment = self.segments.get_mut(index)?;
        *segment = edited(segment, text);
        let shown = spoken(segment);
        self.look_again();
        Some(shown)
    }

    /// The preview is the beginning of the text.
    fn look_again(&mut self) {
        let mut text = String::new();
        for segment in &self.segments {
            if text.chars().count() >= PREVIEW {
                break;
            }
            text = joined(&text, &segment.text);
        }
        self.preview = text.chars().take(PREVIEW).collect();
    }

    /// How much is done, and how long the rest will take if it goes on like this.
    pub fn progress(&mut self, done: Duration, total: Option<Duration>, now: Instant) {
        let total = total.filter(|total| !total.is_zero());
        self.duration = total.or(self.duration);
        let share = total.map(|total| (done.as_secs_f32() / total.as_secs_f32()).min(1.0));
        let speed =
            self.began.map(|(began, _)| done.as_secs_f32() / now.duration_since(began).as_secs_f32().max(0.001));
        let left = total.zip(speed.filter(|speed| *speed > 0.0));
        let left_s = left.map(|(total, speed)| (total.saturating_sub(done).as_secs_f32() / speed).ceil() as u32);
        self.state = FileState::Running { done: share, left_s };
    }

    /// Whether nothing more will come of it.
    pub fn is_over(&self) -> bool {
        !matches!(self.state, FileState::Waiting | FileState::Running { .. })
    }

    /// It cannot be transcribed.
    pub fn fail(&mut self, why: Failure) {
        // A name in the sentence may hold anything.
        self.state = FileState::Failed { why: Failure { detail: plain_name(why.detail.as_ref()), ..why } };
    }

    /// It is over.
    pub fn finish(&mut self, result: Result<Done, RequestError>) {
        match result {
            Ok(mut done) => {
                self.duration = Some(done.timings.audio);
                done.transcript.segments.clear();
                self.done = Some(done);
                self.state = FileState::Done;
            }
            Err(RequestError::Cancelled) => self.state = FileState::Cancelled,
            Err(error) => self.fail(failure(&error)),
        }
    }

    /// What the history is told when it is over; nothing, if somebody has cancelled it or it has never begun.
    pub fn for_history(&self) -> Option<FileDone> {
        let why = match &self.state {
            FileState::Done => None,
            FileState::Failed { why } => Some(why.clone()),
            FileState::Waiting | FileState::Running { .. } | FileState::Cancelled => return None,
        };
        let language = self.done.as_ref().map(|done| done.transcript.language.clone());
        let by = Transcribed { text: self.text(), language, ..self.by.clone() };
        Some(FileDone {
            file: self.id,
            path: self.path.clone(),
            started: self.began?.1,
            length: self.duration.unwrap_or_default(),
            transcribed: why.map_or(by.clone(), |why| broken_off(why, by)),
        })
    }

    /// The text as a document, which says in these words why it ends before the recording does.
    pub fn render(&self, format: Format, words: &Words) -> Vec<u8> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let outcome = self.done.as_ref().ok_or(match &self.state {
            FileState::Failed { why } => words.fault(why.fault),
            _ => words.unfinished,
        });
        // What was edited away is not there.
        let written = self.segments.iter().filter(|segment| !segment.text.trim().is_empty());
        let segments: Vec<Segment> = written.cloned().collect();
        format.render(&Transcript { recording: &name, segments: &segments, outcome })
    }

    /// All text, a line for each stretch of speech.
    pub fn text(&self) -> String {
        let lines = self.segments.iter().map(|segment| segment.text.trim()).filter(|line| !line.is_empty());
        lines.collect::<Vec<_>>().join("\n")
    }

    /// File name without its folder, as it can be shown.
    pub fn name(&self) -> String {
        plain_name(self.path.file_name().unwrap_or(self.path.as_os_str()))
    }

    /// The recording as the list shows it.
    pub fn shown(&self) -> File {
        File {
            id: self.id,
            name: self.name(),
            folder: plain_name(self.path.parent().unwrap_or(Path::new("")).as_os_str()),
            state: self.state.clone(),
            duration_ms: self.duration.map(millis),
            language: self.language.clone(),
            model: self.model.clone(),
            preview: self.preview.clone(),
            saved: self.saved.clone(),
        }
    }

    /// The text as the page shows it.
    pub fn spoken(&self) -> Vec<Spoken> {
        self.segments.iter().map(spoken).collect()
    }
}

fn spoken(segment: &Segment) -> Spoken {
    let word = |word: &amanuensis_whisper::Word| SpokenWord {
        start_ms: millis(word.start),
        end_ms: millis(word.end),
        text: word.text.clone(),
    };
    Spoken {
        start_ms: millis(segment.start),
        end_ms: millis(segment.end),
        text: segment.text.trim().to_owned(),
        words: segment.words.iter().map(word).collect(),
    }
}

#[cfg(test)]
mod tests {
    use amanuensis_settings::Language;

    use super::*;
    use crate::wire::Fault;
    use crate::words;

    #[test]
    fn the_time_left_follows_from_the_speed_so_far() {
        let began = Instant::now();
        let mut entry = Entry::new(1, "/a.wav".into());
        entry.start(began);
        entry.progress(Duration::from_secs(30), Some(Duration::from_secs(120)), began + Duration::from_secs(3));
        assert_eq!(entry.state, FileState::Running { done: Some(0.25), left_s: Some(9) });
        entry.progress(Duration::from_secs(30), None, began + Duration::from_secs(3));
        assert_eq!(entry.state, FileState::Running { done: None, left_s: None });
    }

    #[test]
    fn a_document_says_in_the_language_of_the_page_why_it_ends_early() {
        let german = words::of(Language::De);
        let mut entry = Entry::new(1, "/a.wav".into());
        let document = |entry: &Entry| String::from_utf8(entry.render(Format::Markdown, german)).unwrap();
        assert!(document(&entry).ends_with("*Die Transkription wurde nicht beendet.*\n"));
        entry.fail(Failure { fault: Fault::CutOff, detail: "The file ends after 9 s.".to_owned() });
        let said = document(&entry);
        assert!(said.ends_with(&format!("*{}*\n", german.fault(Fault::CutOff))) && !said.contains("ends after"));
    }
}
