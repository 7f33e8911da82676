//! The watched folder: recordings that are put into it join the list, and their text is written beside them.

use std::path::PathBuf;

use amanuensis_export::{Format, WriteError, beside, plain_name, write_new};
use amanuensis_folders::{Watch, WatchError, WatchEvent, memories};
use amanuensis_settings::{FileFormat, Settings};

use super::entry::Entry;
use super::{Ask, Effect, FileId, Files};
use crate::desk::{Message, failure, report};
use crate::wire::{FileState, Notice, Said};
use crate::words;

/// What is watched.
#[derive(Default)]
pub struct Watched {
    folder: Option<String>,
    format: FileFormat,
    watch: Option<Watch>,
    /// How often another folder was chosen: what was begun for an earlier one is of no interest.
    choice: u32,
}

/// A watch that was begun at this choice.
pub struct Watching {
    choice: u32,
    result: Result<Watch, WatchError>,
}

impl Files {
    /// Watches the folder that the settings name, and writes documents in their language.
    pub fn adopt(&mut self, settings: &Settings) {
        self.words = words::of(settings.interface.language);
        let settings = &settings.files;
        self.watched.format = settings.format;
        if self.watched.folder == settings.watched_folder {
            return;
        }
        self.watched.folder.clone_from(&settings.watched_folder);
        self.watched.choice += 1;
        let (choice, inbox) = (self.watched.choice, self.inbox.clone());
        let (before, folder) = (self.watched.watch.take(), settings.watched_folder.clone().map(PathBuf::from));
        let Some(memories) = memories() else { return };
        // A folder may lie on another machine, and its name may mean the one that was watched before.
        let begin = move || {
            drop(before);
            let folder = folder?;
            let tell = move |event| _ = inbox.send(Message::Files(Ask::Watched(event)));
            Some(Watch::start(&folder, &memories, false, tell))
        };
        let inbox = self.inbox.clone();
        let work = move || {
            if let Some(result) = begin() {
                // The desk may be gone, and the watch ends with the message.
                let _ = inbox.send(Message::Files(Ask::Watching(Watching { choice, result })));
            }
        };
        std::thread::Builder::new().name("watch folder".into()).spawn(work).expect("BUG: few threads are running");
    }

    pub(super) fn watching(&mut self, Watching { choice, result }: Watching) -> Option<Effect> {
        if choice != self.watched.choice {
            // Its end may take a moment.
            report(&self.inbox, "watch no more", move || {
                drop(result);
                Message::Files(Ask::Show(None))
            });
            return None;
        }
        match result {
            Ok(watch) => self.watched.watch = Some(watch),
            Err(cause) => return Some(not_watched(&cause)),
        }
        None
    }

    pub(super) fn happened_in_folder(&mut self, event: WatchEvent) -> Option<Effect> {
        match event {
            WatchEvent::Recording(path) => self.list.add(path).watched = true,
            WatchEvent::Trouble(cause) => return Some(not_watched(&cause)),
        }
        None
    }

    /// Writes the text of those that are over beside them, and lets the folder know that they are done with.
    pub(super) fn see_to_watched(&mut self) {
        let format = format_of(self.watched.format);
        let is_due = |entry: &&Entry| entry.watched && !entry.settled && entry.is_over();
        while let Some(id) = self.list.entries().iter().find(is_due).map(|entry| entry.id) {
            let Some(entry) = self.list.get_mut(id) else { return };
            entry.settled = true;
            // Of one that is damaged the text up to there; of one that somebody has cancelled nothing.
            let written = entry.state == FileState::Done || !entry.segments.is_empty();
            if written && entry.state != FileState::Cancelled {
                let (id, path, bytes) = (entry.id, entry.path.clone(), entry.render(format, self.words));
                report(&self.inbox, "write document", move || {
                    let document = beside(&path, format.ending());
                    let result = write_new(&document, &bytes).map(|()| document);
                    Message::Files(Ask::WrittenBeside(id, result))
                });
            } else if let Some(watch) = &self.watched.watch {
                watch.done(entry.path.clone());
            }
        }
    }

    pub(super) fn written_beside(&mut self, id: FileId, result: Result<PathBuf, WriteError>) -> Option<Effect> {
        let path = self.path_of(id);
        if let (Some(path), Some(watch)) = (path, &self.watched.watch) {
            // Once it was tried: a folder that may not be written into is not tried for ever.
            watch.done(path);
        }
        match result {
            Ok(document) => self.list.get_mut(id)?.saved = document.file_name().map(plain_name),
            Err(cause) => return Some(Effect::Tell(Notice::error(Said::NotSaved, failure(&cause)))),
        }
        None
    }
}

fn not_watched(cause: &WatchError) -> Effect {
    Effect::Tell(Notice::error(Said::NotWatched, failure(cause)))
}

fn format_of(format: FileFormat) -> Format {
    match format {
        FileFormat::Txt => Format::Text,
        FileFormat::Srt => Format::Srt,
        FileFormat::Vtt => Format::Vtt,
        FileFormat::Json => Format::Json,
        FileFormat::Csv => Format::Csv,
        FileFormat::Docx => Format::Docx,
        FileFormat::Md => Format::Markdown,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use amanuensis_whisper::Segment;
    use crossbeam_channel::Receiver;

    use super::*;
    use crate::wire::Fault;

    fn next(messages: &Receiver<Message>, files: &mut Files) -> Option<Effect> {
        let Ok(Message::Files(ask)) = messages.recv_timeout(Duration::from_secs(30)) else { panic!("a message") };
        files.handle(ask, Instant::now())
    }

    #[test]
    fn the_text_of_a_watched_recording_is_written_beside_it_and_never_over_anything() {
        let folder = tempfile::tempdir().unwrap();
        let recording = folder.path().join("talk.wav");
        std::fs::write(folder.path().join("talk.md"), "mine").unwrap();
        let (inbox, messages) = crossbeam_channel::bounded(8);
        let mut files = Files::new(inbox, &Settings::default());
        files.watched.format = FileFormat::Md;
        files.handle(Ask::Watched(WatchEvent::Recording(recording.clone())), Instant::now());
        let entry = files.list.get_mut(1).unwrap();
        entry.push(Segment {
            start: Duration::ZERO,
            end: Duration::from_secs(1),
            window_start: Duration::ZERO,
            text: "Well then.".into(),
            tokens: Vec::new(),
            words: Vec::new(),
            avg_logprob: 0.0,
            no_speech_prob: 0.0,
            compression_ratio: 1.0,
            temperature: 0.0,
        });
        entry.state = FileState::Done;
        assert!(files.handle(Ask::Show(None), Instant::now()).is_none());
        assert!(next(&messages, &mut files).is_none());
        assert_eq!(files.entries()[0].saved.as_deref(), Some("talk-2.md"));
        assert!(std::fs::read_to_string(folder.path().join("talk-2.md")).unwrap().contains("Well then."));
        assert_eq!(std::fs::read_to_string(folder.path().join("talk.md")).unwrap(), "mine");
        // Once is enough, until it is transcribed again.
        files.handle(Ask::Show(None), Instant::now());
        assert!(messages.is_empty());
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_of_unless_another_was_chosen_meanwhile() {
        let (inbox, messages) = crossbeam_channel::bounded(8);
        let missing = |name: &str| {
            let mut settings = Settings::default();
            settings.files.watched_folder = Some(name.into());
            settings
        };
        let mut files = Files::new(inbox, &missing("/nowhere"));
        let Some(Effect::Tell(notice)) = next(&messages, &mut files) else { panic!("it is told") };
        assert_eq!(notice.said, Said::NotWatched);
        assert!(notice.why.is_some_and(|why| why.fault == Fault::FolderUnseen && why.detail.contains("/nowhere")));
        files.adopt(&missing("/nowhere/else"));
        files.adopt(&Settings::default());
        assert!(next(&messages, &mut files).is_none());
    }
}
