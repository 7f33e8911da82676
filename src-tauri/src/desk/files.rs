//! The recordings that wait, are written out, or are done: one after the other, in the order of the list.
//!
//! What the page wants of them is an [`Ask`]; what takes time (folders, disks, documents) is done by threads of its own,
//! which report with one.

mod entry;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use amanuensis_audio::{AudioFile, FileError, Playback, PlaybackEvent};
use amanuensis_engine::{Engine, Event, Priority, Request, RequestError, SubmitError};
use amanuensis_export::{Format, WriteError, plain_name};
use amanuensis_folders::Found;
use amanuensis_whisper::DecodeOptions;
use crossbeam_channel::{Receiver, Sender};

use super::{Message, error, report, sentence};
use crate::wire::{File, FileState, FileTranscript, Notice, Playing, Tone, Update};
use entry::{Entry, millis};

/// Number of a file since the app was started.
pub type FileId = u32;

/// What can be wanted of the files, or has become of them.
pub enum Ask {
    /// Put recordings, and those in folders, at the end of the list.
    Add(Vec<PathBuf>),
    /// Cancel a file or, if it is over, take it off the list.
    Drop(FileId),
    /// Transcribe a file that failed or was cancelled once more.
    Retry(FileId),
    /// Put a file before another one, or at the end.
    Move { id: FileId, before: Option<FileId> },
    /// A file is in this language; one that is done is transcribed again.
    Language { id: FileId, language: Option<String> },
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
    /// Play a file from here on.
    Play { id: FileId, from: Duration },
    /// Play nothing.
    Silence,
    /// The recordings among what was added.
    Found(Found),
    /// A file was opened, or cannot be.
    Opened(FileId, Box<Result<AudioFile, FileError>>),
    /// The playback of this number goes on, or is over.
    Heard(u32, PlaybackEvent),
    /// A document was written, or cannot be.
    Written(Result<PathBuf, WriteError>),
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
    list: Vec<Entry>,
    added: FileId,
    stage: Stage,
    /// The file whose transcript the page shows.
    shown: Option<FileId>,
    heard: Option<Heard>,
    /// Playbacks so far.
    played: u32,
    /// What the page should be told, beside the list.
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
    Opening(FileId),
    Transcribing(FileId, amanuensis_engine::Job),
}

/// What is being played. Dropped, it falls silent.
struct Heard {
    playing: Playing,
    number: u32,
    _playback: Playback,
}

impl Files {
    /// No files. What threads have to say goes to `inbox`.
    pub fn new(inbox: Sender<Message>) -> Self {
        Self {
            list: Vec::new(),
            added: 0,
            stage: Stage::Nothing,
            shown: None,
            heard: None,
            played: 0,
            news: Vec::new(),
            silence: crossbeam_channel::never(),
            patience: None,
            inbox,
        }
    }

    /// Does what is asked.
    pub fn handle(&mut self, ask: Ask, engine: Option<&Engine>, now: Instant) -> Option<Effect> {
        match ask {
            Ask::Add(paths) => report(&self.inbox, "find recordings", move || {
                Message::Files(Ask::Found(amanuensis_folders::recordings(&paths)))
            }),
            Ask::Found(found) => return self.found(found),
            Ask::Drop(id) => self.drop_file(id),
            Ask::Retry(id) => self.retry(id),
            Ask::Move { id, before } => self.put_before(id, before),
            Ask::Language { id, language } => {
                self.entry(id)?.language = language;
                self.retry(id);
            }
            Ask::Show(id) => {
                self.shown = id;
                self.news.extend(self.transcript());
            }
            Ask::Edit { id, segment, text } => {
                let spoken = self.entry(id)?.edit(segment, &text)?;
                self.news.push(Update::Spoken { file: id, index: segment as u32, segment: spoken });
            }
            Ask::Copy(id) => return Some(Effect::Copy(self.entry(id)?.text())),
            Ask::Place { id, format, reply } => {
                let path = &self.entry(id)?.path;
                let stem = plain_name(path.file_stem()?);
                let folder = path.parent().unwrap_or(Path::new("/"));
                reply(folder.to_owned(), format!("{stem}.{}", format.ending()));
            }
            Ask::Export { id, format, path } => {
                let bytes = self.entry(id)?.render(format);
                report(&self.inbox, "write document", move || {
                    let written = amanuensis_export::replace(&path, &bytes);
                    Message::Files(Ask::Written(written.map(|()| path)))
                });
            }
            Ask::Written(Ok(path)) => {
                let message = format!("Saved as {}.", plain_name(path.as_os_str()));
                return Some(Effect::Tell(Notice { tone: Tone::Info, message }));
            }
            Ask::Written(Err(cause)) => return Some(Effect::Tell(error(sentence(&cause)))),
            Ask::Play { id, from } => self.play(id, from),
            Ask::Silence => self.fall_silent(),
            Ask::Heard(number, event) => return self.heard(number, event),
            Ask::Opened(id, result) => self.opened(id, *result, engine?, now),
        }
        None
    }

    fn entry(&mut self, id: FileId) -> Option<&mut Entry> {
        self.list.iter_mut().find(|entry| entry.id == id)
    }

    fn found(&mut self, found: Found) -> Option<Effect> {
        for path in &found.recordings {
            self.added += 1;
            self.list.push(Entry::new(self.added, path.clone()));
        }
        let message = if found.recordings.is_empty() {
            "There is no recording in it. Choose files with sound, such as WAV, MP3 or M4A.".to_owned()
        } else if found.more {
            format!("The first {} recordings were taken. Add the others when these are done.", found.recordings.len())
        } else {
            return None;
        };
        Some(Effect::Tell(error(message)))
    }

    fn drop_file(&mut self, id: FileId) {
        let Some(index) = self.list.iter().position(|entry| entry.id == id) else { return };
        match self.list[index].state {
            FileState::Waiting | FileState::Running { .. } => {
                self.list[index].state = FileState::Cancelled;
                // A dropped job is cancelled. A file that is being opened is found to be cancelled afterwards.
                if matches!(&self.stage, Stage::Transcribing(running, _) if *running == id) {
                    self.stage = Stage::Nothing;
                }
            }
            FileState::Done | FileState::Cancelled | FileState::Failed { .. } => {
                self.list.remove(index);
                if self.heard.as_ref().is_some_and(|heard| heard.playing.file == id) {
                    self.fall_silent();
                }
            }
        }
    }

    fn retry(&mut self, id: FileId) {
        let shown = self.shown == Some(id);
        let Some(entry) = self.entry(id) else { return };
        if matches!(entry.state, FileState::Waiting | FileState::Running { .. }) {
            return;
        }
        entry.start_over();
        if shown {
            self.news.extend(self.transcript());
        }
    }

    fn put_before(&mut self, id: FileId, before: Option<FileId>) {
        let Some(from) = self.list.iter().position(|entry| entry.id == id) else { return };
        let entry = self.list.remove(from);
        let to = before.and_then(|before| self.list.iter().position(|entry| entry.id == before));
        self.list.insert(to.unwrap_or(self.list.len()), entry);
    }

    /// Begins with the next file, if none is being worked on.
    pub fn advance(&mut self, now: Instant) {
        if !matches!(self.stage, Stage::Nothing) || self.patience.is_some_and(|until| now < until) {
            return;
        }
        self.patience = None;
        let Some(entry) = self.list.iter_mut().find(|entry| entry.state == FileState::Waiting) else { return };
        let (id, path) = (entry.id, entry.path.clone());
        self.stage = Stage::Opening(id);
        report(&self.inbox, "open file", move || Message::Files(Ask::Opened(id, Box::new(AudioFile::open(&path)))));
    }

    /// There is no model that could transcribe what waits.
    pub fn fail_waiting(&mut self, message: &str) {
        for entry in self.list.iter_mut().filter(|entry| entry.state == FileState::Waiting) {
            entry.state = FileState::Failed { message: message.to_owned() };
        }
    }

    /// When [`advance`](Self::advance) should be called again, if nothing else happens.
    pub fn due(&self) -> Option<Instant> {
        self.patience
    }

    fn opened(&mut self, id: FileId, result: Result<AudioFile, FileError>, engine: &Engine, now: Instant) {
        if matches!(self.stage, Stage::Opening(opening) if opening == id) {
            self.stage = Stage::Nothing;
        }
        let Some(entry) = self.list.iter_mut().find(|entry| entry.id == id) else { return };
        if entry.state != FileState::Waiting {
            return;
        }
        let file = match result {
            Ok(file) => file,
            Err(error) => {
                entry.fail(&error);
                return;
            }
        };
        entry.duration = file.duration();
        let options =
            DecodeOptions { language: entry.language.clone(), word_timestamps: true, ..DecodeOptions::default() };
        let request = Request { audio: file.into(), priority: Priority::Interactive, options, deadline: None };
        match engine.submit(request) {
            Ok(job) => {
                entry.state = FileState::Running { done: None, left_s: None };
                self.stage = Stage::Transcribing(id, job);
            }
            Err(SubmitError::Busy { retry_after, .. }) => {
                self.patience = Some(now + retry_after.max(Duration::from_millis(100)));
            }
            Err(error) => entry.fail(&error),
        }
    }

    /// What happens to the file that is being transcribed.
    pub fn events(&self) -> &Receiver<Event> {
        match &self.stage {
            Stage::Transcribing(_, job) => job.events(),
            Stage::Nothing | Stage::Opening(_) => &self.silence,
        }
    }

    /// Takes an event; none means that no more will come.
    pub fn happened(&mut self, event: Option<Event>, now: Instant) {
        let Stage::Transcribing(id, _) = self.stage else { return };
        // A job ends with its event; a channel that closes without one is an engine that was shut down.
        let event = event.unwrap_or(Event::Finished(Err(RequestError::Cancelled)));
        let shown = self.shown == Some(id);
        let Some(entry) = self.list.iter_mut().find(|entry| entry.id == id) else { return };
        match event {
            Event::Started => entry.began = Some(now),
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
                self.stage = Stage::Nothing;
            }
        }
    }

    fn play(&mut self, id: FileId, from: Duration) {
        self.played += 1;
        let (number, inbox) = (self.played, self.inbox.clone());
        let Some(path) = self.entry(id).map(|entry| entry.path.clone()) else { return };
        // What is heard now falls silent first: two at a time help nobody.
        self.heard = None;
        let playback = Playback::start(path, from, move |event| {
            // The desk may have been closed meanwhile, and it may be busy: the next event says more than this one.
            let message = Message::Files(Ask::Heard(number, event));
            match &message {
                Message::Files(Ask::Heard(_, PlaybackEvent::At(_))) => _ = inbox.try_send(message),
                _ => _ = inbox.send(message),
            }
        });
        let playing = Playing { file: id, at_ms: millis(from) };
        self.news.push(Update::Playing { playing: Some(playing) });
        self.heard = Some(Heard { playing, number, _playback: playback });
    }

    fn fall_silent(&mut self) {
        self.heard = None;
        self.news.push(Update::Playing { playing: None });
    }

    fn heard(&mut self, number: u32, event: PlaybackEvent) -> Option<Effect> {
        let heard = self.heard.as_mut().filter(|heard| heard.number == number)?;
        match event {
            PlaybackEvent::At(time) => {
                heard.playing.at_ms = millis(time);
                self.news.push(Update::Playing { playing: Some(heard.playing) });
                None
            }
            PlaybackEvent::Ended => {
                self.fall_silent();
                None
            }
            PlaybackEvent::Failed(cause) => {
                self.fall_silent();
                Some(Effect::Tell(error(sentence(&cause))))
            }
        }
    }

    /// The list, as it is shown.
    pub fn shown(&self) -> Vec<File> {
        self.list.iter().map(Entry::shown).collect()
    }

    /// What the page should be told, beside the list.
    pub fn take_news(&mut self) -> Vec<Update> {
        std::mem::take(&mut self.news)
    }

    /// All that the page shows of one file, for a page that knows nothing.
    pub fn whole(&self) -> Vec<Update> {
        let playing = self.heard.as_ref().map(|heard| heard.playing);
        self.transcript().into_iter().chain([Update::Playing { playing }]).collect()
    }

    fn transcript(&self) -> Option<Update> {
        let entry = self.list.iter().find(|entry| Some(entry.id) == self.shown)?;
        let transcript = FileTranscript { file: entry.id, segments: entry.spoken() };
        Some(Update::Transcript { transcript })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> (Files, Receiver<Message>) {
        let (inbox, messages) = crossbeam_channel::bounded(64);
        let mut files = Files::new(inbox);
        let recordings = names.iter().map(PathBuf::from).collect();
        let effect = files.handle(Ask::Found(Found { recordings, more: false }), None, Instant::now());
        assert!(effect.is_none());
        (files, messages)
    }

    fn order(files: &Files) -> Vec<String> {
        files.shown().into_iter().map(|file| file.name).collect()
    }

    fn ask(files: &mut Files, ask: Ask) -> Option<Effect> {
        files.handle(ask, None, Instant::now())
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
        let (mut files, messages) = files(&["/nowhere/a.wav"]);
        files.advance(Instant::now());
        let Message::Files(Ask::Opened(1, result)) = messages.recv().unwrap() else { panic!("it was opened") };
        let message = result.unwrap_err().to_string();
        files.fail_waiting(&message);
        ask(&mut files, Ask::Retry(1));
        assert_eq!(files.shown()[0].state, FileState::Waiting);
        ask(&mut files, Ask::Drop(1));
        assert_eq!(files.shown()[0].state, FileState::Cancelled);
        ask(&mut files, Ask::Retry(1));
        assert_eq!(files.shown()[0].state, FileState::Waiting);
    }

    #[test]
    fn names_are_shown_in_one_line_and_in_their_own_direction() {
        let (mut files, _messages) = files(&["/x\ny/talk\n\u{202e}3pm.wav"]);
        let shown = files.shown().remove(0);
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
        assert!(matches!(effect, Some(Effect::Tell(notice)) if notice.message.contains("no recording")));
    }
}
