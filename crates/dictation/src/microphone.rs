//! Where a session's sound comes from.

use amanuensis_audio::{Capture, CaptureError, CaptureEvent};
use crossbeam_channel::Receiver;

/// An open microphone. Dropping it closes it.
pub trait Microphone: Send {
    /// What happens, in order. The channel closes after the last sample.
    fn events(&self) -> &Receiver<CaptureEvent>;

    /// Asks for the end. Never blocks.
    fn stop(&self);
}

impl Microphone for Capture {
    fn events(&self) -> &Receiver<CaptureEvent> {
        Self::events(self)
    }

    fn stop(&self) {
        Self::stop(self);
    }
}

/// Opens the microphone of an id, or the default one. Never blocks: what takes time is told by [`Microphone::events`].
pub type OpenMicrophone = Box<dyn FnMut(Option<&str>) -> Result<Box<dyn Microphone>, CaptureError> + Send>;

/// Opens the machine's own microphones.
pub(crate) fn hardware() -> OpenMicrophone {
    Box::new(|id| Ok(Box::new(Capture::start(id)?)))
}

/// The microphone of a session: open, closed, or on the way from one to the other.
///
/// A device is opened again only after it was closed: some can be opened only once.
pub(crate) struct Ear {
    open: OpenMicrophone,
    /// The id of the one that is to be used.
    chosen: Option<String>,
    state: State,
    /// What is received from while nothing is open.
    silence: Receiver<CaptureEvent>,
}

enum State {
    Closed,
    /// Open, with the id it was opened by.
    Open(Box<dyn Microphone>, Option<String>),
    /// What it still says is of no use. Whether to open again when it is done.
    Closing(Box<dyn Microphone>, bool),
}

impl Ear {
    pub(crate) fn new(open: OpenMicrophone, chosen: Option<String>) -> Self {
        Self { open, chosen, state: State::Closed, silence: crossbeam_channel::never() }
    }

    /// What is received from at the moment.
    pub(crate) fn events(&self) -> &Receiver<CaptureEvent> {
        match &self.state {
            State::Closed => &self.silence,
            State::Open(microphone, _) | State::Closing(microphone, _) => microphone.events(),
        }
    }

    /// Whether what is received now is of use.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(..))
    }

    /// Chooses a microphone for the next time that one is opened.
    pub(crate) fn choose(&mut self, id: Option<String>) {
        self.chosen = id;
    }

    /// Whether another microphone is open than the chosen one.
    pub(crate) fn is_outdated(&self) -> bool {
        matches!(&self.state, State::Open(_, id) if *id != self.chosen)
    }

    pub(crate) fn open(&mut self) -> Result<(), CaptureError> {
        match &mut self.state {
            State::Open(..) => {}
            State::Closing(_, again) => *again = true,
            State::Closed => {
                let microphone = (self.open)(self.chosen.as_deref())?;
                self.state = State::Open(microphone, self.chosen.clone());
            }
        }
        Ok(())
    }

    pub(crate) fn close(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Closed => State::Closed,
            State::Open(microphone, _) | State::Closing(microphone, _) => {
                microphone.stop();
                State::Closing(microphone, false)
            }
        };
    }

    /// The channel has closed: the microphone is done.
    pub(crate) fn closed(&mut self) -> Result<(), CaptureError> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Closing(_, true) => self.open(),
            _ => Ok(()),
        }
    }
}
