//! Engines for what nobody waits for at the microphone: that of the model in use or, for as long as it is wanted, of another.

use amanuensis_engine::Engine;
use amanuensis_history::Transcribed;

use super::{Loaded, Message, State, report};
use crate::wire::{Device, Failure, Model};

/// What there is for whoever wants something written down.
pub enum Lent {
    /// An engine, and what is written of it into the history.
    Ready(Engine, Transcribed),
    /// Its model is being read: whoever asked asks again when something has happened.
    Coming,
    /// There will be none.
    Failed(Failure),
}

/// A model beside the one in use.
pub struct Guest {
    name: String,
    state: GuestState,
}

enum GuestState {
    Coming,
    Here(Loaded),
    Failed(Failure),
}

impl State {
    /// The engine of the model of this name, or of the one in use. One that rests is read again, another one for the first time.
    pub(super) fn lend(&mut self, name: Option<&str>) -> Lent {
        let in_use = match &self.view.model {
            Model::Ready { name, .. } => Some(name.as_str()),
            Model::Loading | Model::Failed { .. } => None,
        };
        match name.filter(|name| in_use != Some(*name)) {
            None => match (&self.engine, &self.view.model) {
                (Some(engine), _) => Lent::Ready(engine.clone(), self.by()),
                (None, Model::Failed { why }) => Lent::Failed(why.clone()),
                (None, Model::Loading) => Lent::Coming,
                (None, Model::Ready { .. }) => {
                    self.open_model();
                    Lent::Coming
                }
            },
            Some(name) => self.invite(name),
        }
    }

    fn invite(&mut self, name: &str) -> Lent {
        match self.guest.as_ref().filter(|guest| guest.name == name).map(|guest| &guest.state) {
            Some(GuestState::Here(Loaded { file, engine })) => {
                let by = Transcribed {
                    model: Some(file.name.clone()),
                    device: Some(Device::from(engine.device()).kind.to_string()),
                    ..Transcribed::default()
                };
                return Lent::Ready(engine.clone(), by);
            }
            Some(GuestState::Failed(why)) => return Lent::Failed(why.clone()),
            Some(GuestState::Coming) => return Lent::Coming,
            // One at a time: memory is what models take most of.
            None if matches!(&self.guest, Some(Guest { state: GuestState::Coming, .. })) => return Lent::Coming,
            None => {}
        }
        leave(self.guest.replace(Guest { name: name.to_owned(), state: GuestState::Coming }));
        let (load, name) = (std::sync::Arc::clone(&self.load), name.to_owned());
        let wanted = amanuensis_settings::Model { name: Some(name.clone()), ..self.chosen.settings().model.clone() };
        report(&self.inbox, "load guest", move || Message::GuestLoaded(name, load(&wanted)));
        Lent::Coming
    }

    /// A model was read that somebody wanted beside the one in use.
    pub(super) fn guest_loaded(&mut self, name: &str, result: Result<Loaded, Failure>) {
        if let Some(guest) = self.guest.as_mut().filter(|guest| guest.name == name) {
            guest.state = result.map_or_else(GuestState::Failed, GuestState::Here);
        }
    }

    /// Gives the memory of a model back that nobody wants any more.
    pub(super) fn let_guest_go(&mut self) {
        let wanted = |guest: &mut Guest| {
            let coming = matches!(guest.state, GuestState::Coming);
            !coming && !self.files.want(&guest.name) && !self.past.wants(&guest.name)
        };
        leave(self.guest.take_if(wanted));
    }
}

/// An engine ends with the last who has it, which may take as long as the window of sound that it is at.
fn leave(guest: Option<Guest>) {
    if let Some(Guest { state: GuestState::Here(loaded), .. }) = guest {
        let left = std::thread::Builder::new().name("retire engine".into()).spawn(move || drop(loaded));
        if let Err(cause) = left {
            tracing::warn!(%cause, "the engine of another model was ended at once");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use amanuensis_history::EntryId;

    use super::*;
    use crate::desk::history::Again;
    use crate::desk::models::tests::{read_model, state, state_with_model};
    use crate::wire::Fault;

    #[test]
    fn another_model_comes_for_as_long_as_it_is_wanted() {
        let Some(demo) = amanuensis_models::demo() else {
            println!("skipped: the demo model is not there");
            return;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (mut state, messages) = state(folder.path());
        assert!(matches!(state.lend(None), Lent::Coming), "it is being read");
        state.open_model();
        read_model(&mut state, &messages);
        assert!(matches!(state.lend(None), Lent::Ready(_, by) if by.model.as_ref() == Some(&demo.name)));
        assert!(matches!(state.lend(Some(&demo.name)), Lent::Ready(..)), "it is the one in use");

        // By its path it is another one.
        let other = demo.path.display().to_string();
        state.past.wait(Again { id: EntryId(1), sound: PathBuf::new(), model: Some(other.clone()) });
        state.write_again();
        assert!(matches!(state.lend(Some("a third one")), Lent::Coming), "one at a time");
        read_model(&mut state, &messages);
        state.let_guest_go();
        assert!(matches!(state.lend(Some(&other)), Lent::Ready(..)), "somebody waits for it");
        state.write_again();
        state.let_guest_go();
        assert!(state.guest.is_none());

        assert!(matches!(state.lend(Some("no such model")), Lent::Coming));
        read_model(&mut state, &messages);
        assert!(matches!(state.lend(Some("no such model")), Lent::Failed(why) if why.fault == Fault::ModelGone));
    }

    #[test]
    fn a_model_that_rests_is_read_again() {
        let Some((mut state, messages, _folder)) = state_with_model() else { return };
        state.engine = None;
        assert!(matches!(state.lend(None), Lent::Coming));
        read_model(&mut state, &messages);
        assert!(matches!(state.lend(None), Lent::Ready(..)));
    }
}
