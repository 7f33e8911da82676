//! The recordings that wait, are written out, or are done: one after the other, in the order of the list.
//!
//! What the page wants of them is an [`Ask`]; what takes time (folders, disks, documents) is done by threads of its own,
//! which report with one.

mod entry;
mod list;
mod watched;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use amanuensis_audio::{AudioFile, FileError};
use amanuensis_engine::{Engine, Event, Priority, Request, RequestError, SubmitError};
use amanuensis_export::{Format, WriteError, plain_name};
use amanuensis_folders::{Found, WatchEvent};
use amanuensis_history::Transcribed;
use amanuensis_settings::Settings;
use amanuensis_whisper::DecodeOptions;
use crossbeam_channel::{Receiver, Sender};

use super::history::FileDone;
use super::{Message, failure, report};
use crate::wire::{Failure, FileState, FileTranscript, Notice, Said, Update};
use crate::words::{self, Words};
use entry::Entry;
use list::List;
use watched::{Watched, Watching};

/// Number of a file since the app was started.
pub type FileId = u32;

/// What can be wanted of the files, or has become of them.
pub enum Ask {
    /// Put recordings, and those in folders, at the end of the list.
    Add(Vec<PathBuf>),
    /// Cancel a file or, if it is over, take it off the list.
    Drop(FileId),
    /// Take all that are over off the list.
    Clear,
    /// Transcribe a file that failed or was cancelled once more.
    Retry(FileId),
    /// Put a file before another one, or at the end.
    Move { id: FileId, before: Option<FileId> },
    /// A file is in this language. It is transcribed again if that was begun.
    Language { id: FileId, language: Option<String> },
    /// A file is to be transcribed by the model of this name. It is transcribed again if that was begun.
    Model { id: FileId, model: Option<String> },
    /// The page shows the transcript of this file.
    Show(Option<FileId>),
    /// A segment has another text.
    Edit { id: FileId, segment: usize, text: String },
    /// Put a file's text on the clipboard.
    Copy(FileId),
    /// Where a file's document should be written, unless somebody wants it elsewhere: its folder, and a name.
    Place { id: FileId, format: Format, reply: Box<dyn FnOnce(PathBuf, String) + Send> },
    /// Write a file's text to where somebody wants it, in the place of what is there.
    Export { id: FileId, format: Format, path: PathBuf },
    /// The recordings among what was added.
    Found(Found),
    /// A file was opened, or cannot be.
    Opened(FileId, Box<Result<AudioFile, FileError>>),
    /// A document was written, or cannot be.
    Written(Result<PathBuf, WriteError>),
    /// A document was written beside a recording of the watched folder, or cannot be.
    WrittenBeside(FileId, Result<PathBuf, WriteError>),
    /// The folder is being watched, or cannot be.
    Watching(Watching),
    /// Something happened in the watched folder.
    Watched(WatchEvent),
}

/// What a request asks of the desk in turn.
pub enum Effect {
    /// The user should know.
    Tell(Notice),
    /// This belongs on the clipboard.
    Copy(String),
}

/// All files of the window.
pub struct Files {
    list: List,
    stage: Stage,
    /// The file whose transcript the page shows.
    shown: Option<FileId>,
    watched: Watched,
    /// In which documents say why they end early.
    words: &'static Words,
    /// What the page should be told of the file that it shows.
    news: Vec<Update>,
    /// What is received from while no file is being transcribed.
    silence: Receiver<Event>,
    /// A busy engine is not asked again before this.
    patience: Option<Instant>,
    inbox: Sender<Message>,
}

/// What is done about the first file that waits.
enum Stage {
    Nothing,
    /// A thread opens it, for a disk may sleep and a network may be slow.
    Opening(FileId, Engine),
    Transcribing {
        id: FileId,
        job: amanuensis_engine::Job,
        /// It ends with the last who has it.
        _engine: Engine,
    },
}

impl Files {
    /// No files but those that come by the settings. What threads have to say goes to `inbox`.
    pub fn new(inbox: Sender<Message>, settings: &Settings) -> Self {
        let mut files = Self {
            list: List::default(),
            stage: Stage::Nothing,
            shown: None,
            watched: Watched::default(),
            words: words::of_system(),
            news: Vec::new(),
            silence: crossbeam_channel::never(),
            patience: None,
            inbox,
        };
        files.adopt(settings);
        files
    }

    /// Does what is asked.
    pub fn handle(&mut self, ask: Ask, now: Instant) -> Option<Effect> {
        let effect = self.obey(ask, now);
        self.see_to_watched();
        effect
    }

    fn obey(&mut self, ask: Ask, now: Instant) -> Option<Effect> {
        match ask {
            Ask::Add(paths) => report(&self.inbox, "find recordings", move || {
                Message::Files(Ask::Found(amanuensis_folders::recordings(&paths)))
            }),
            Ask::Found(found) => return self.found(found),
            Ask::Drop(id) => self.drop_file(id),
            Ask::Clear => self.list.retain(|entry| !entry.is_over()),
            Ask::Retry(id) if self.list.get(id)?.is_over() => self.start_over(id),
            Ask::Retry(_) => {}
            Ask::Move { id, before } => self.list.put_before(id, before),
            Ask::Language { id, language } => {
                self.list.get_mut(id)?.language = language;
                self.start_over(id);
            }
            Ask::Model { id, model } => {
                self.list.get_mut(id)?.model = model;
                self.start_over(id);
            }
            Ask::Show(id) => {
                self.shown = id;
                self.news.extend(self.transcript());
            }
            Ask::Edit { id, segment, text } => {
                let spoken = self.list.get_mut(id)?.edit(segment, &text)?;
                self.news.push(Update::Spoken { file: id, index: segment as u32, segment: spoken });
            }
            Ask::Copy(id) => return Some(Effect::Copy(self.list.get(id)?.text())),
            Ask::Place { id, format, reply } => {
                let path = &self.list.get(id)?.path;
                let stem = plain_name(path.file_stem()?);
                let folder = path.parent().unwrap_or(Path::new("/"));
                reply(folder.to_owned(), format!("{stem}.{}", format.ending()));
            }
            Ask::Export { id, format, path } => {
                let words = self.words;
                let bytes = self.list.get(id)?.render(format, words);
                report(&self.inbox, "write document", move || {
                    let written = amanuensis_export::replace(&path, &bytes);
                    Message::Files(Ask::Written(written.map(|()| path)))
                });
            }
            Ask::Written(Ok(path)) => {
                return Some(Effect::Tell(Notice::info(Said::Saved { path: plain_name(path.as_os_str()) })));
            }
            Ask::Written(Err(cause)) => return Some(Effect::Tell(Notice::error(Said::NotSaved, failure(&cause)))),
            Ask::WrittenBeside(id, result) => return self.written_beside(id, result),
            Ask::Watching(watching) => return self.watching(watching),
            Ask::Watched(event) => return self.happened_in_folder(event),
            Ask::Opened(id, result) => self.opened(id, *result, now),
        }
        None
    }

    fn found(&mut self, found: Found) -> Option<Effect> {
        let said = if found.recordings.is_empty() {
            Some(Said::NoRecordings)
        } else {
            let count = u32::try_from(found.recordings.len()).unwrap_or(u32::MAX);
            found.more.then_some(Said::OnlyFirst { count })
        };
        for path in found.recordings {
            self.list.add(path);
        }
        said.map(|said| Effect::Tell(Notice::warning(said)))
    }

    fn drop_file(&mut self, id: FileId) {
        match self.list.get_mut(id) {
            Some(entry) if !entry.is_over() => {
                entry.state = FileState::Cancelled;
                // A dropped job is cancelled. A file that is being opened is found to be cancelled afterwards.
                if matches!(&self.stage, Stage::Transcribing { id: running, .. } if *running == id) {
                    self.stage = Stage::Nothing;
                }
            }
            Some(_) => self.list.retain(|entry| entry.id != id),
            None => {}
        }
    }

    /// Lets a file wait again, whatever was, or is being, done about it.
    fn start_over(&mut self, id: FileId) {
        if let Stage::Opening(at_work, _) | Stage::Transcribing { id: at_work, .. } = self.stage
            && at_work == id
        {
            self.stage = Stage::Nothing;
        }
        let shown = self.shown == Some(id);
        let Some(entry) = self.list.get_mut(id) else { return };
        entry.start_over();
        if shown {
            self.news.extend(self.transcript());
        }
    }

    /// The file whose turn it is, if none is being worked on, and the model that it wants.
    pub fn next(&self, now: Instant) -> Option<(FileId, Option<String>)> {
        if !matches!(self.stage, Stage::Nothing) || self.patience.is_some_and(|until| now < until) {
            return None;
        }
        let entry = self.list.entries().iter().find(|entry| entry.state == FileState::Waiting)?;
        Some((entry.id, entry.model.clone()))
    }

    /// Begins with a file, by an engine of which `by` tells.
    pub fn begin(&mut self, id: FileId, engine: Engine, by: Transcribed) {
        self.patience = None;
        let Some(entry) = self.list.get_mut(id) else { return };
        entry.by = by;
        let path = entry.path.clone();
        self.stage = Stage::Opening(id, engine);
        report(&self.inbox, "open file", move || Message::Files(Ask::Opened(id, Box::new(AudioFile::open(&path)))));
    }

    /// A file that waits cannot be transcribed.
    pub fn fail(&mut self, id: FileId, why: Failure) {
        if let Some(entry) = self.list.get_mut(id) {
            entry.fail(why);
        }
        self.see_to_watched();
    }

    /// Whether a file waits for the model in use, or is being transcribed by it.
    pub fn wait(&self) -> bool {
        self.list.entries().iter().any(|entry| !entry.is_over() && entry.model.is_none())
    }

    /// Whether a file waits for this model, or is being transcribed by it.
    pub fn want(&self, model: &str) -> bool {
        self.list.entries().iter().any(|entry| !entry.is_over() && entry.model.as_deref() == Some(model))
    }

    /// Where a file lies.
    pub fn path_of(&self, id: FileId) -> Option<PathBuf> {
        self.list.get(id).map(|entry| entry.path.clone())
    }

    /// When [`next`](Self::next) should be asked again, if nothing else happens.
    pub fn due(&self) -> Option<Instant> {
        self.patience
    }

    fn opened(&mut self, id: FileId, result: Result<AudioFile, FileError>, now: Instant) {
        let engine = match std::mem::replace(&mut self.stage, Stage::Nothing) {
            Stage::Opening(opening, engine) if opening == id => engine,
            other => return self.stage = other,
        };
        let Some(entry) = self.list.get_mut(id) else { return };
        if entry.state != FileState::Waiting {
            return;
        }
        let file = match result {
            Ok(file) => file,
            Err(error) => return entry.fail(failure(&error)),
        };
        entry.duration = file.duration();
        let options =
            DecodeOptions { language: entry.language.clone(), word_timestamps: true, ..DecodeOptions::default() };
        let priority = if entry.watched { Priority::Batch } else { Priority::Interactive };
        match engine.submit(Request { audio: file.into(), priority, options, deadline: None }) {
            Ok(job) => {
                entry.state = FileState::Running { done: None, left_s: None };
                self.stage = Stage::Transcribing { id, job, _engine: engine };
            }
            Err(SubmitError::Busy { retry_after, .. }) => {
                self.patience = Some(now + retry_after.max(Duration::from_millis(100)));
            }
            Err(error) => entry.fail(failure(&error)),
        }
    }

    /// What happens to the file that is being transcribed.
    pub fn events(&self) -> &Receiver<Event> {
        match &self.stage {
            Stage::Transcribing { job, .. } => job.events(),
            Stage::Nothing | Stage::Opening(..) => &self.silence,
        }
    }

    /// Takes an event; none means that no more will come. Returns what the history should know of a file that is over.
    pub fn happened(&mut self, event: Option<Event>, now: Instant) -> Option<FileDone> {
        let Stage::Transcribing { id, .. } = self.stage else { return None };
        // A job ends with its event; a channel that closes without one is an engine that was shut down.
        let event = event.unwrap_or(Event::Finished(Err(RequestError::Cancelled)));
        let shown = self.shown == Some(id);
        let entry = self.list.get_mut(id)?;
        match event {
            Event::Started => entry.start(now),
            Event::Segment(segment) => {
                if let (index, Some(segment)) = (entry.segments.len() as u32, entry.push(segment))
                    && shown
                {
                    self.news.push(Update::Spoken { file: id, index, segment });
                }
            }
            Event::Progress { done, total } => entry.progress(done, total, now),
            Event::Finished(result) => {
                entry.finish(result);
                let done = entry.for_history();
                self.stage = Stage::Nothing;
                self.see_to_watched();
                return done;
            }
        }
        None
    }

    /// All of them, in their order.
    pub fn entries(&self) -> &[Entry] {
        self.list.entries()
    }

    /// What the page does not know yet.
    pub fn take_news(&mut self) -> Vec<Update> {
        let mut news = self.list.take_news();
        news.append(&mut self.news);
        news
    }

    /// All that the page shows, for a page that knows nothing.
    pub fn whole(&self) -> Vec<Update> {
        [self.list.whole()].into_iter().chain(self.transcript()).collect()
    }

    fn transcript(&self) -> Option<Update> {
        let entry = self.list.get(self.shown?)?;
        let transcript = FileTranscript { file: entry.id, segments: entry.spoken() };
        Some(Update::Transcript { transcript })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Fault;

    fn files(names: &[&str]) -> (Files, Receiver<Message>) {
        let (inbox, messages) = crossbeam_channel::bounded(64);
        let mut files = Files::new(inbox, &Settings::default());
        let recordings = names.iter().map(PathBuf::from).collect();
        let effect = files.handle(Ask::Found(Found { recordings, more: false }), Instant::now());
        assert!(effect.is_none());
        (files, messages)
    }

    fn order(files: &Files) -> Vec<String> {
        files.entries().iter().map(Entry::name).collect()
    }

    fn ask(files: &mut Files, ask: Ask) -> Option<Effect> {
        files.handle(ask, Instant::now())
    }

    #[test]
    fn the_list_can_be_put_in_another_order() {
        let (mut files, _messages) = files(&["/a.wav", "/b.wav", "/c.wav"]);
        ask(&mut files, Ask::Move { id: 3, before: Some(1) });
        assert_eq!(order(&files), ["c.wav", "a.wav", "b.wav"]);
        ask(&mut files, Ask::Move { id: 3, before: None });
        assert_eq!(order(&files), ["a.wav", "b.wav", "c.wav"]);
        ask(&mut files, Ask::Move { id: 9, before: Some(1) });
        ask(&mut files, Ask::Move { id: 2, before: Some(2) });
        assert_eq!(order(&files).len(), 3);
    }

    #[test]
    fn what_failed_can_be_tried_again() {
        let (mut files, _messages) = files(&["/nowhere/a.wav"]);
        assert_eq!(files.next(Instant::now()), Some((1, None)));
        files.fail(1, Failure { fault: Fault::NoModel, detail: String::new() });
        assert_eq!(files.next(Instant::now()), None);
        ask(&mut files, Ask::Retry(1));
        assert_eq!(files.entries()[0].state, FileState::Waiting);
        ask(&mut files, Ask::Drop(1));
        assert_eq!(files.entries()[0].state, FileState::Cancelled);
        ask(&mut files, Ask::Retry(1));
        assert_eq!(files.entries()[0].state, FileState::Waiting);
    }

    #[test]
    fn names_are_shown_in_one_line_and_in_their_own_direction() {
        let (mut files, _messages) = files(&["/x\ny/talk\n\u{202e}3pm.wav"]);
        let shown = files.entries()[0].shown();
        assert_eq!((shown.name.as_str(), shown.folder.as_str()), ("talk\u{fffd}\u{fffd}3pm.wav", "/x\u{fffd}y"));
        let (sender, place) = crossbeam_channel::bounded(1);
        let reply = Box::new(move |folder, name| sender.send((folder, name)).unwrap());
        ask(&mut files, Ask::Place { id: 1, format: Format::Srt, reply });
        assert_eq!(place.recv().unwrap(), (PathBuf::from("/x\ny"), "talk\u{fffd}\u{fffd}3pm.srt".to_owned()));
    }

    #[test]
    fn a_folder_without_recordings_is_told() {
        let (mut files, _messages) = files(&["/a.wav"]);
        let effect = ask(&mut files, Ask::Found(Found::default()));
        assert!(matches!(effect, Some(Effect::Tell(notice)) if notice.said == Said::NoRecordings));
    }
}
