//! The language model's key: where it lies, and how another one is kept. Not on the desk's thread, for a keyring may ask its user
//! for a password.

use std::path::PathBuf;

use amanuensis_polish::{KeyError, KeyKeeper, Place};

use super::{Message, State, failure, report};
use crate::wire::{KeyState, Notice, Said};

/// Who keeps the key, and what is known of it.
pub struct Safe {
    keeper: KeyKeeper,
    state: KeyState,
    /// What is to be kept once the keeper has done what it is at.
    next: Option<String>,
}

/// What the keeper says.
pub struct Answer {
    /// Whether the key was kept, if that was asked for.
    kept: Result<(), KeyError>,
    place: Result<Option<Place>, KeyError>,
}

impl Safe {
    /// Nobody is asked yet. In this file lies what no keyring takes.
    pub fn new(file: PathBuf) -> Self {
        let keeper = KeyKeeper::new(file);
        // The keyring of whoever tests is none of our business.
        #[cfg(test)]
        let keeper = keeper.on_bus("unix:path=/nowhere");
        Self { keeper, state: KeyState::Unknown, next: None }
    }

    /// Who can be asked for the key.
    pub fn keeper(&self) -> KeyKeeper {
        self.keeper.clone()
    }

    /// What the page is to know.
    pub fn shown(&self) -> KeyState {
        self.state.clone()
    }
}

impl State {
    /// Finds out where the key lies.
    pub(super) fn look_for_key(&mut self) {
        if self.safe.state != KeyState::Asking {
            self.ask_keeper(None);
        }
    }

    /// Keeps another key, or none if it is empty.
    pub(super) fn keep_key(&mut self, key: String) {
        if self.safe.state == KeyState::Asking {
            self.safe.next = Some(key);
        } else {
            self.ask_keeper(Some(key));
        }
    }

    fn ask_keeper(&mut self, key: Option<String>) {
        self.safe.state = KeyState::Asking;
        let keeper = self.safe.keeper();
        report(&self.inbox, "ask for key", move || {
            let kept = key.map_or(Ok(()), |key| keeper.keep(&key));
            Message::Key(Answer { kept, place: keeper.place() })
        });
        self.tell_of_settings();
    }

    /// The keeper has answered.
    pub(super) fn told_of_key(&mut self, Answer { kept, place }: Answer) {
        if let Err(cause) = kept {
            self.tell(Notice::error(Said::KeyNotKept, failure(&cause)));
        }
        self.safe.state = match place {
            Ok(None) => KeyState::None,
            Ok(Some(Place::Environment)) => KeyState::Environment,
            Ok(Some(Place::File)) => KeyState::File,
            Ok(Some(Place::Keyring)) => KeyState::Keyring,
            Err(cause) => KeyState::Unusable { why: failure(&cause) },
        };
        match self.safe.next.take() {
            Some(key) => self.ask_keeper(Some(key)),
            None => self.tell_of_settings(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::desk::models::tests::state;

    #[test]
    fn keys_are_kept_one_after_the_other_and_what_became_of_them_is_known() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (mut state, messages) = state(folder.path());
        let answered = |state: &mut State| {
            assert_eq!(state.safe.state, KeyState::Asking);
            let message = messages.iter().find(|message| matches!(message, Message::Key(_))).expect("an answer");
            state.handle(message);
        };
        assert_eq!(state.safe.state, KeyState::Unknown);
        state.look_for_key();
        state.keep_key("first".into());
        state.keep_key("second".into());
        answered(&mut state);
        answered(&mut state);
        assert_eq!(state.safe.state, KeyState::File);
        let file = std::fs::read_to_string(folder.path().join("llm-key"));
        assert_eq!(file.expect("there is no keyring"), "second\n");
        state.keep_key("not a key".into());
        answered(&mut state);
        assert_eq!(
            (&state.safe.state, std::mem::take(&mut state.view.notices)),
            (&KeyState::File, vec![Notice { id: 1, ..Notice::error(Said::KeyNotKept, failure(&KeyError::Unusable)) }])
        );
        state.keep_key(String::new());
        answered(&mut state);
        assert_eq!((&state.safe.state, &state.view.notices), (&KeyState::None, &vec![]));
        assert!(messages.recv_timeout(Duration::ZERO).is_err(), "nobody is asked any more");
    }
}
