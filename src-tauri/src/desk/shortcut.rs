//! The keys that start a dictation from anywhere.

use amanuensis_insert::Desktop;
use amanuensis_settings::ShortcutMode;
use amanuensis_shortcut::{Edge, Keys, Shortcut, ShortcutError, Source};
use crossbeam_channel::Sender;

use super::{Message, State, failure, report};
use crate::wire::{Notice, Said};

impl State {
    /// Listens for the keys that the settings name, and for none that they named before.
    pub(super) fn listen_for_keys(&mut self) {
        // Keys have to be free before they can be taken.
        self.shortcut = None;
        let wanted = &self.chosen.settings().shortcut;
        let Some(keys) = wanted.keys.clone() else { return };
        let (hold, inbox) = (wanted.mode == ShortcutMode::Hold, self.inbox.clone());
        let description = self.words().shortcut;
        // A desktop may ask the user first.
        report(&self.inbox, "listen for keys", move || Message::Listening(listen(&keys, description, hold, inbox)));
    }

    /// The answer to that.
    pub(super) fn listening(&mut self, result: Result<Shortcut, ShortcutError>) {
        self.shortcut = match result {
            Ok(shortcut) => Some(shortcut),
            // Nothing is wrong: most desktops on Wayland have key bindings of their own.
            Err(cause @ ShortcutError::Portal(_)) => {
                tracing::info!("{cause}");
                None
            }
            Err(cause) => {
                self.tell(Notice::error(Said::NoShortcut, failure(&cause)));
                None
            }
        };
    }
}

fn listen(keys: &str, description: &str, hold: bool, inbox: Sender<Message>) -> Result<Shortcut, ShortcutError> {
    let keys: Keys = keys.parse()?;
    let source = match Desktop::detect() {
        Desktop { is_wayland: false, x11: Some(display), .. } => Source::X11(display),
        _ => Source::Portal { bus: None, description: description.to_owned() },
    };
    let tell = move |edge| {
        let message = match (hold, edge) {
            (false, Edge::Pressed) => Message::Toggle,
            (false, Edge::Released) => return,
            (true, Edge::Pressed) => Message::Start,
            (true, Edge::Released) => Message::Stop,
        };
        // A desk that has so much to do that it cannot take a message will not start a dictation either.
        let _ = inbox.try_send(message);
    };
    Shortcut::listen(&source, &keys, tell)
}
