//! A combination of keys, borrowed from the X server.

use std::sync::Arc;
use std::thread::JoinHandle;

use x11rb::connection::Connection as _;
use x11rb::errors::{ConnectError, ConnectionError, ReplyError, ReplyOrIdError};
use x11rb::protocol::xkb::{BoolCtrl, ConnectionExt as _, DeviceSpec, PerClientFlag};
use x11rb::protocol::xproto::{
    ClientMessageEvent, ConnectionExt as _, CreateWindowAux, EventMask, GrabMode, Keycode, Mapping, ModMask, Window,
    WindowClass,
};
use x11rb::protocol::{ErrorKind, Event};
use x11rb::rust_connection::RustConnection;

use crate::{Edge, Keys, ShortcutError};

/// The keyboard that all keyboards together make.
const CORE_KEYBOARD: DeviceSpec = 0x100;
const NUM_LOCK: u32 = 0xff7f;

/// A grab of keys. It ends with the value.
#[derive(Debug)]
pub struct Grab {
    keyboard: Arc<Keyboard>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Keyboard {
    connection: RustConnection,
    root: Window,
    /// Takes the message that ends the thread.
    window: Window,
    keys: Keys,
}

impl Grab {
    pub fn take(
        display: &str,
        keys: &Keys,
        mut tell: impl FnMut(Edge) + Send + 'static,
    ) -> Result<Self, ShortcutError> {
        let (connection, screen) = x11rb::connect(Some(display))?;
        let root = connection.setup().roots[screen].root;
        let window = connection.generate_id()?;
        let aux = CreateWindowAux::new();
        connection.create_window(0, window, root, 0, 0, 1, 1, 0, WindowClass::INPUT_ONLY, 0, &aux)?;
        // A held key would be let go of and pressed again and again otherwise.
        let steady = PerClientFlag::DETECTABLE_AUTO_REPEAT;
        let none = BoolCtrl::default();
        connection.xkb_use_extension(1, 0)?.reply()?;
        connection.xkb_per_client_flags(CORE_KEYBOARD, steady, steady, none, none, none)?.reply()?;
        let keyboard = Arc::new(Keyboard { connection, root, window, keys: keys.clone() });
        let mut grabbed = keyboard.grab()?;
        let listening = Arc::clone(&keyboard);
        let work = move || {
            let mut down = false;
            while let Ok(event) = listening.connection.wait_for_event() {
                match event {
                    Event::ClientMessage(message) if message.window == listening.window => break,
                    Event::KeyPress(press) if press.detail == grabbed && !down => {
                        down = true;
                        tell(Edge::Pressed);
                    }
                    Event::KeyRelease(release) if release.detail == grabbed && down => {
                        down = false;
                        tell(Edge::Released);
                    }
                    // The layout was changed, and the key may be another one.
                    Event::MappingNotify(change) if change.request == Mapping::KEYBOARD => {
                        listening.follow(&mut grabbed)
                    }
                    _ => {}
                }
            }
        };
        let thread =
            std::thread::Builder::new().name("shortcut".into()).spawn(work).expect("BUG: few threads are running");
        Ok(Self { keyboard, thread: Some(thread) })
    }
}

impl Drop for Grab {
    fn drop(&mut self) {
        let Keyboard { connection, window, .. } = &*self.keyboard;
        let end = ClientMessageEvent::new(32, *window, 1u32, [0; 5]);
        let told =
            connection.send_event(false, *window, EventMask::NO_EVENT, end).is_ok() && connection.flush().is_ok();
        if let Some(thread) = self.thread.take().filter(|_| told) {
            let _ = thread.join();
        }
    }
}

impl Keyboard {
    /// Borrows the keys, whatever is locked meanwhile: Caps Lock and Num Lock count as held.
    fn grab(&self) -> Result<Keycode, ShortcutError> {
        let key = self.key()?;
        let held = self.held();
        for lock in self.locks()? {
            let asked =
                self.connection.grab_key(false, self.root, held | lock, key, GrabMode::ASYNC, GrabMode::ASYNC)?;
            match asked.check() {
                Ok(()) => {}
                Err(ReplyError::X11Error(error)) if error.error_kind == ErrorKind::Access => {
                    self.release(key);
                    return Err(ShortcutError::Taken(self.keys.clone()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(key)
    }

    /// Borrows the keys of another place of the keyboard, if that is where they are now.
    fn follow(&self, grabbed: &mut Keycode) {
        if self.key().is_ok_and(|key| key == *grabbed) {
            return;
        }
        self.release(*grabbed);
        match self.grab() {
            Ok(key) => *grabbed = key,
            Err(error) => tracing::warn!("{error}"),
        }
    }

    fn release(&self, key: Keycode) {
        // What was not borrowed need not be given back.
        let _ = self.connection.ungrab_key(key, self.root, ModMask::ANY).map(|_| self.connection.flush());
    }

    fn held(&self) -> ModMask {
        let Keys { control, alt, shift, super_, .. } = self.keys;
        let masks = [(control, ModMask::CONTROL), (alt, ModMask::M1), (shift, ModMask::SHIFT), (super_, ModMask::M4)];
        masks.into_iter().filter(|(held, _)| *held).fold(ModMask::default(), |all, (_, mask)| all | mask)
    }

    fn key(&self) -> Result<Keycode, ShortcutError> {
        self.find(self.keys.keysym)?.ok_or_else(|| ShortcutError::NoSuchKey(self.keys.clone()))
    }

    fn find(&self, keysym: u32) -> Result<Option<Keycode>, ShortcutError> {
        let setup = self.connection.setup();
        let (first, last) = (setup.min_keycode, setup.max_keycode);
        let map = self.connection.get_keyboard_mapping(first, last - first + 1)?.reply()?;
        let per_key = usize::from(map.keysyms_per_keycode).max(1);
        let keys = (first..=last).zip(map.keysyms.chunks_exact(per_key));
        Ok(keys.into_iter().find(|(_, means)| means.first() == Some(&keysym)).map(|(key, _)| key))
    }

    /// All that may be locked: nothing, Caps Lock, Num Lock, both.
    fn locks(&self) -> Result<[ModMask; 4], ShortcutError> {
        let modifiers = self.connection.get_modifier_mapping()?.reply()?.keycodes;
        let per_row = (modifiers.len() / 8).max(1);
        let num_lock =
            self.find(NUM_LOCK)?.and_then(|key| modifiers.chunks_exact(per_row).position(|row| row.contains(&key)));
        let num_lock = num_lock.map_or(ModMask::default(), |row| ModMask::from(1u16 << row));
        Ok([ModMask::default(), ModMask::LOCK, num_lock, ModMask::LOCK | num_lock])
    }
}

macro_rules! is_display_error {
    ($($error:ty),*) => {$(
        impl From<$error> for ShortcutError {
            fn from(error: $error) -> Self {
                Self::Display(error.to_string())
            }
        }
    )*};
}
is_display_error!(ConnectError, ConnectionError, ReplyError, ReplyOrIdError);
