//! The window that keys go to, and whether its program has read them.

use std::time::{Duration, Instant};

use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ChangeWindowAttributesAux, ClientMessageEvent, ConnectionExt as _, EventMask, InputFocus, Window,
};

use super::X11;
use crate::InsertError;

/// How long a program may take to read its keys. Only one that hangs takes so long.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(2);

x11rb::atom_manager! {
    /// The words of the window manager's protocol.
    Atoms: AtomsCookie {
        _NET_ACTIVE_WINDOW,
        _NET_SUPPORTING_WM_CHECK,
        _NET_WM_PING,
        WM_PROTOCOLS,
    }
}

/// The window with the focus.
#[derive(Debug, Clone, Copy)]
pub struct Focus {
    /// The window.
    pub window: Window,
    /// It, or the one around it, that tells when its program has read its keys.
    pub answers: Option<Window>,
}

impl X11 {
    /// The window that keys go to.
    pub fn focus(&self) -> Result<Focus, InsertError> {
        let atoms = Atoms::new(&self.connection)?.reply()?;
        let window = self.connection.get_input_focus()?.reply()?.focus;
        let of_root = |name| -> Result<Option<Window>, InsertError> {
            let value = self.connection.get_property(false, self.root, name, AtomEnum::WINDOW, 0, 1)?.reply()?;
            Ok(value.value32().and_then(|mut windows| windows.next()))
        };
        // When no program has the focus, window managers say so, or keep it in a window of their own.
        let nowhere = [u32::from(u8::from(InputFocus::NONE)), self.root].contains(&window)
            || of_root(atoms._NET_ACTIVE_WINDOW)? == Some(0)
            || of_root(atoms._NET_SUPPORTING_WM_CHECK)? == Some(window);
        if nowhere {
            return Err(InsertError::NoFocus);
        }
        let mut answers = None;
        for window in self.upwards(window)? {
            let protocols = self.connection.get_property(false, window, atoms.WM_PROTOCOLS, AtomEnum::ATOM, 0, 64)?;
            let protocols = protocols.reply()?;
            if protocols.value32().is_some_and(|mut atoms_of| atoms_of.any(|atom| atom == atoms._NET_WM_PING)) {
                answers = Some(window);
                break;
            }
        }
        Ok(Focus { window, answers })
    }

    /// The names that the program of a window goes by, in small letters: `xterm`.
    pub fn class(&self, window: Window) -> Result<Vec<String>, InsertError> {
        for window in self.upwards(window)? {
            let class = self.connection.get_property(false, window, AtomEnum::WM_CLASS, AtomEnum::STRING, 0, 256)?;
            let class = class.reply()?.value;
            if !class.is_empty() {
                let names = class.split(|&byte| byte == 0).filter(|name| !name.is_empty());
                return Ok(names.map(|name| String::from_utf8_lossy(name).to_lowercase()).collect());
            }
        }
        Ok(Vec::new())
    }

    /// Returns when the program with the focus has read the keys that were pressed before.
    ///
    /// A program asks what a key means when it reads it, not when it was pressed: a key whose meaning is changed too early
    /// types something else. Window managers ask programs whether they are alive, and the answer comes after all that
    /// lay in the queue before. Programs that take no part in that cannot be waited for, and a pause would be a guess.
    pub fn wait_until_read(&self, focus: Focus) -> Result<(), InsertError> {
        let window = focus.answers.ok_or(InsertError::Silent)?;
        let atoms = Atoms::new(&self.connection)?.reply()?;
        self.listen_at_root(EventMask::SUBSTRUCTURE_NOTIFY)?;
        // The time in the question is what tells answers apart.
        let number = self.connection.generate_id()?;
        let question =
            ClientMessageEvent::new(32, window, atoms.WM_PROTOCOLS, [atoms._NET_WM_PING, number, window, 0, 0]);
        self.connection.send_event(false, window, EventMask::NO_EVENT, question)?;
        self.connection.flush()?;
        let until = Instant::now() + PATIENCE;
        let mut answered = false;
        while !answered && Instant::now() < until {
            match self.connection.poll_for_event()? {
                Some(Event::ClientMessage(message)) => {
                    answered = message.data.as_data32()[..2] == [atoms._NET_WM_PING, number]
                }
                Some(_) => {}
                None => std::thread::sleep(LOOK),
            }
        }
        self.listen_at_root(EventMask::NO_EVENT)?;
        self.sync()?;
        while self.connection.poll_for_event()?.is_some() {}
        if answered { Ok(()) } else { Err(InsertError::Hangs) }
    }

    fn listen_at_root(&self, mask: EventMask) -> Result<(), InsertError> {
        let attributes = ChangeWindowAttributesAux::new().event_mask(mask);
        self.connection.change_window_attributes(self.root, &attributes)?;
        Ok(())
    }

    /// A window and the ones around it, without the root.
    fn upwards(&self, window: Window) -> Result<Vec<Window>, InsertError> {
        let mut windows = Vec::new();
        let mut window = window;
        // 1 stands for "wherever the pointer is", which has no window around it.
        while window > 1 && window != self.root {
            windows.push(window);
            window = self.connection.query_tree(window)?.reply()?.parent;
        }
        Ok(windows)
    }
}
