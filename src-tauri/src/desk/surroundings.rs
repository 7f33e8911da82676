//! What the desktop around the window is told: what the tray shows, and what happens while nobody looks at the window.

use std::collections::HashSet;

use amanuensis_audio::Chime;
use amanuensis_dictation::{Event, Outcome};

use super::files::FileId;
use super::{Errand, State, joined};
use crate::tray::{Doing, Face};
use crate::wire::{Fault, FileState, Phase};
use crate::words::{self, Words};

/// What was told so far.
#[derive(Default)]
pub struct Surroundings {
    tray: Option<Face>,
    /// Files that are not over.
    running: HashSet<FileId>,
}

impl State {
    /// Tells the desktop what has changed since the last time.
    pub(super) fn tell_surroundings(&mut self) {
        let face = self.chosen.settings().interface.tray.then(|| Face { doing: self.doing(), words: self.words() });
        if face != self.surroundings.tray {
            self.surroundings.tray = face;
            (self.run_errand)(Errand::Tray(face));
        }
        self.tell_of_files();
    }

    fn doing(&self) -> Doing {
        match self.view.phase {
            Phase::Opening | Phase::Recording => Doing::Recording,
            Phase::Idle if self.view.writing > 0 => Doing::Writing,
            Phase::Idle if self.view.hands_free => Doing::Listening,
            Phase::Idle => Doing::Nothing,
        }
    }

    fn tell_of_files(&mut self) {
        let (words, mut over) = (self.words(), Vec::new());
        for file in self.files.entries() {
            let end = match &file.state {
                FileState::Done => words.file_done.to_owned(),
                FileState::Failed { why } => joined(words.file_failed, words.fault(why.fault)),
                FileState::Cancelled => String::new(),
                FileState::Waiting | FileState::Running { .. } => {
                    self.surroundings.running.insert(file.id);
                    continue;
                }
            };
            if self.surroundings.running.remove(&file.id) && !end.is_empty() {
                over.push((file.name(), end));
            }
        }
        for (name, end) in over {
            self.notify(name, end);
        }
    }

    /// Tells of a dictation that came to nothing.
    pub(super) fn tell_of_dictation(&self, outcome: &Outcome) {
        let fault = match outcome {
            Outcome::NoMicrophone { .. } => Fault::NoMicrophone,
            Outcome::Failed { .. } => Fault::EngineFailed,
            Outcome::Text(_) | Outcome::NoSpeech | Outcome::Cancelled => return,
        };
        let words = self.words();
        self.notify(words.dictation_failed.to_owned(), words.fault(fault).to_owned());
    }

    /// Lets the beginning and the end of a dictation be heard, for those who want it.
    pub(super) fn sound(&self, event: &Event) {
        let chime = match event {
            Event::Recording { .. } => Chime::Begin,
            Event::Stopped { .. } => Chime::End,
            _ => return,
        };
        if self.chosen.settings().dictation.sounds {
            (self.run_errand)(Errand::Sound(chime));
        }
    }

    /// Has the desktop say something, if nobody looks at the window.
    fn notify(&self, summary: String, body: String) {
        if self.chosen.settings().interface.notifications && !self.outbox.watched() {
            (self.run_errand)(Errand::Notify { summary, body });
        }
    }

    /// What is said outside the window, in the language of the page.
    pub(super) fn words(&self) -> &'static Words {
        words::of(self.chosen.settings().interface.language)
    }
}
