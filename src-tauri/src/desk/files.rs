//! The recordings that wait, are written out, or are done: one after the other, in the order in which they came.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use amanuensis_audio::{AudioFile, FileError};
use amanuensis_engine::{Engine, Event, Priority, Request, RequestError, SubmitError};
use crossbeam_channel::{Receiver, Sender};

use super::{Message, joined, sentence};
use crate::wire::{File, FileState, FileText, Update};

/// Number of a file since the app was started.
pub type FileId = u32;

/// All files of the window.
pub struct Files {
    list: Vec<Entry>,
    added: FileId,
    stage: Stage,
    /// What is received from while no file is being transcribed.
    silence: Receiver<Event>,
    /// A busy engine is not asked again before this.
    patience: Option<Instant>,
    inbox: Sender<Message>,
}

struct Entry {
    path: PathBuf,
    shown: File,
    text: String,
}

/// What is done about the first file that is not over.
enum Stage {
    Nothing,
    /// A thread opens it, for a disk may sleep and a network may be slow.
    Opening(FileId),
    Transcribing(FileId, amanuensis_engine::Job),
}

impl Files {
    /// No files. Opened ones are reported to `inbox`.
    pub fn new(inbox: Sender<Message>) -> Self {
        Self {
            list: Vec::new(),
            added: 0,
            stage: Stage::Nothing,
            silence: crossbeam_channel::never(),
            patience: None,
            inbox,
        }
    }

    /// Puts files at the end of the list.
    pub fn add(&mut self, paths: Vec<PathBuf>) {
        for path in paths {
            self.added += 1;
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            let shown = File { id: self.added, name, state: FileState::Waiting };
            self.list.push(Entry { path, shown, text: String::new() });
        }
    }

    /// Cancels a file or, if it is over, takes it off the list.
    pub fn drop_file(&mut self, id: FileId) {
        let Some(index) = self.list.iter().position(|entry| entry.shown.id == id) else { return };
        match self.list[index].shown.state {
            FileState::Waiting | FileState::Running { .. } => {
                self.list[index].shown.state = FileState::Cancelled;
                // A dropped job is cancelled. A file that is being opened is found to be cancelled afterwards.
                if matches!(&self.stage, Stage::Transcribing(running, _) if *running == id) {
                    self.stage = Stage::Nothing;
                }
            }
            FileState::Done | FileState::Cancelled | FileState::Failed { .. } => _ = self.list.remove(index),
        }
    }

    /// Begins with the next file, if none is being worked on.
    pub fn advance(&mut self, now: Instant) {
        if !matches!(self.stage, Stage::Nothing) || self.patience.is_some_and(|until| now < until) {
            return;
        }
        self.patience = None;
        let Some(entry) = self.list.iter_mut().find(|entry| entry.shown.state == FileState::Waiting) else { return };
        let (id, path, inbox) = (entry.shown.id, entry.path.clone(), self.inbox.clone());
        let open = move || {
            // The desk may have been closed meanwhile.
            let _ = inbox.send(Message::Opened(id, Box::new(AudioFile::open(&path))));
        };
        match std::thread::Builder::new().name("open file".into()).spawn(open) {
            Ok(_) => self.stage = Stage::Opening(id),
            Err(error) => entry.shown.state = FileState::Failed { message: sentence(&error) },
        }
    }

    /// There is no model that could transcribe what waits.
    pub fn fail_waiting(&mut self, message: &str) {
        let waiting = self.list.iter_mut().filter(|entry| entry.shown.state == FileState::Waiting);
        for entry in waiting {
            entry.shown.state = FileState::Failed { message: message.to_owned() };
        }
    }

    /// When [`advance`](Self::advance) should be called again, if nothing else happens.
    pub fn due(&self) -> Option<Instant> {
        self.patience
    }

    /// A file has been opened, or cannot be.
    pub fn opened(&mut self, id: FileId, result: Result<AudioFile, FileError>, engine: &Engine, now: Instant) {
        if matches!(self.stage, Stage::Opening(opening) if opening == id) {
            self.stage = Stage::Nothing;
        }
        let Some(entry) = self.list.iter_mut().find(|entry| entry.shown.id == id) else { return };
        if entry.shown.state != FileState::Waiting {
            return;
        }
        let file = match result {
            Ok(file) => file,
            Err(error) => {
                entry.shown.state = FileState::Failed { message: sentence(&error) };
                return;
            }
        };
        let request = Request {
            audio: file.into(),
            priority: Priority::Interactive,
            options: amanuensis_whisper::DecodeOptions::default(),
            deadline: None,
        };
        match engine.submit(request) {
            Ok(job) => {
                entry.shown.state = FileState::Running { done: None };
                self.stage = Stage::Transcribing(id, job);
            }
            Err(SubmitError::Busy { retry_after, .. }) => {
                self.patience = Some(now + retry_after.max(Duration::from_millis(100)));
            }
            Err(error) => entry.shown.state = FileState::Failed { message: sentence(&error) },
        }
    }

    /// What happens to the file that is being transcribed.
    pub fn events(&self) -> &Receiver<Event> {
        match &self.stage {
            Stage::Transcribing(_, job) => job.events(),
            Stage::Nothing | Stage::Opening(_) => &self.silence,
        }
    }

    /// Takes an event; none means that no more will come. Returns the news in it, if there are any beside the state.
    pub fn happened(&mut self, event: Option<Event>) -> Option<Update> {
        let Stage::Transcribing(id, _) = self.stage else { return None };
        // A job ends with its event; a channel that closes without one is an engine that was shut down.
        let event = event.unwrap_or(Event::Finished(Err(RequestError::Cancelled)));
        let entry = self.list.iter_mut().find(|entry| entry.shown.id == id)?;
        match event {
            Event::Started => None,
            Event::Segment(segment) => {
                entry.text = joined(&entry.text, &segment.text);
                Some(Update::FileText { file: id, text: segment.text.trim().to_owned() })
            }
            Event::Progress { done, total } => {
                let share = total.filter(|total| !total.is_zero());
                let done = share.map(|total| (done.as_secs_f32() / total.as_secs_f32()).min(1.0));
                entry.shown.state = FileState::Running { done };
                None
            }
            Event::Finished(result) => {
                entry.shown.state = match result {
                    Ok(_) => FileState::Done,
                    Err(RequestError::Cancelled) => FileState::Cancelled,
                    Err(error) => FileState::Failed { message: sentence(&error) },
                };
                self.stage = Stage::Nothing;
                None
            }
        }
    }

    /// The list, as it is shown.
    pub fn shown(&self) -> Vec<File> {
        self.list.iter().map(|entry| entry.shown.clone()).collect()
    }

    /// All text.
    pub fn texts(&self) -> Vec<FileText> {
        let with_text = self.list.iter().filter(|entry| !entry.text.is_empty());
        with_text.map(|entry| FileText { file: entry.shown.id, text: entry.text.clone() }).collect()
    }
}
