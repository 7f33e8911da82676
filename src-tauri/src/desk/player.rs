//! What is being heard: one recording at a time, be it a file's or one of the history.

use std::path::PathBuf;
use std::time::Duration;

use amanuensis_audio::{Playback, PlaybackEvent};
use crossbeam_channel::Sender;

use super::{HistoryAsk, Message, State, failure, millis};
use crate::wire::{Notice, Played, Playing, Said, Update};

/// What can be wanted, or has happened.
pub enum Order {
    /// Play this from here on.
    Play(Played, Duration),
    /// Play nothing.
    Silence,
    /// The playback of this number goes on, or is over.
    Heard(u32, PlaybackEvent),
}

/// What is being played, if anything is.
pub struct Player {
    heard: Option<Heard>,
    /// Playbacks so far.
    played: u32,
    inbox: Sender<Message>,
}

/// Dropped, it falls silent.
struct Heard {
    playing: Playing,
    number: u32,
    _playback: Playback,
}

impl Player {
    /// Nothing is heard. What becomes of a playback is told to `inbox`.
    pub fn new(inbox: Sender<Message>) -> Self {
        Self { heard: None, played: 0, inbox }
    }

    /// What the page is to know.
    pub fn shown(&self) -> Update {
        Update::Playing { playing: self.heard.as_ref().map(|heard| heard.playing) }
    }

    /// Which recording is heard.
    pub fn played(&self) -> Option<Played> {
        self.heard.as_ref().map(|heard| heard.playing.of)
    }

    fn play(&mut self, of: Played, path: PathBuf, from: Duration) {
        self.played += 1;
        let (number, inbox) = (self.played, self.inbox.clone());
        // What is heard now falls silent first: two at a time help nobody.
        self.heard = None;
        let playback = Playback::start(path, from, move |event| {
            // The desk may have been closed meanwhile, and it may be busy: the next event says more than this one.
            let passing = matches!(event, PlaybackEvent::At(_));
            let message = Message::Listen(Order::Heard(number, event));
            _ = if passing { inbox.try_send(message).is_ok() } else { inbox.send(message).is_ok() };
        });
        self.heard = Some(Heard { playing: Playing { of, at_ms: millis(from) }, number, _playback: playback });
    }

    /// Takes an event; one of an earlier playback says nothing. Returns why nothing is heard.
    fn happened(&mut self, number: u32, event: PlaybackEvent) -> Option<Notice> {
        let heard = self.heard.as_mut().filter(|heard| heard.number == number)?;
        match event {
            PlaybackEvent::At(time) => heard.playing.at_ms = millis(time),
            PlaybackEvent::Ended => self.heard = None,
            PlaybackEvent::Failed(cause) => {
                self.heard = None;
                return Some(Notice::error(Said::NotPlayed, failure(&cause)));
            }
        }
        None
    }
}

impl State {
    /// Does what is wanted of the player.
    pub(super) fn listen(&mut self, order: Order) {
        match order {
            Order::Play(Played::File { id }, from) => {
                if let Some(path) = self.files.path_of(id) {
                    self.play(Played::File { id }, path, from);
                }
            }
            Order::Play(Played::Entry { id }, from) => self.past.ask(HistoryAsk::Sound(id, from)),
            Order::Silence => self.player.heard = None,
            Order::Heard(number, event) => {
                if let Some(notice) = self.player.happened(number, event) {
                    self.tell(notice);
                }
            }
        }
        self.outbox.push(self.player.shown());
    }

    /// Plays a recording.
    pub(super) fn play(&mut self, of: Played, path: PathBuf, from: Duration) {
        self.player.play(of, path, from);
        self.outbox.push(self.player.shown());
    }
}
