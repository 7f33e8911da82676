//! X11: typing through XTEST, and the clipboard as a program that owns it sees it.

pub mod clipboard;
pub mod focus;
mod keymap;
mod modifiers;
pub mod typing;

use x11rb::connection::Connection as _;
use x11rb::errors::{ConnectError, ConnectionError, ReplyError, ReplyOrIdError};
use x11rb::protocol::xkb::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{ConnectionExt as _, KEY_PRESS_EVENT, KEY_RELEASE_EVENT, Keycode, Window};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

use crate::InsertError;

/// The keyboard that all keyboards together make.
const CORE_KEYBOARD: xkb::DeviceSpec = 0x100;

/// A connection to the X server, with the extensions that typing takes.
pub struct X11 {
    connection: RustConnection,
    root: Window,
}

impl X11 {
    /// Connects.
    pub fn connect(display: &str) -> Result<Self, InsertError> {
        let (connection, screen) = x11rb::connect(Some(display))?;
        let root = connection.setup().roots[screen].root;
        let x11 = Self { connection, root };
        x11.connection.xtest_get_version(2, 2)?.reply().map_err(|_| InsertError::NotHere { needs: "X11's XTEST" })?;
        x11.connection.xkb_use_extension(1, 0)?.reply().map_err(|_| InsertError::NotHere { needs: "X11's XKB" })?;
        Ok(x11)
    }

    /// Presses a key, or lets go of it.
    fn key(&self, key: Keycode, down: bool) -> Result<(), InsertError> {
        let event = if down { KEY_PRESS_EVENT } else { KEY_RELEASE_EVENT };
        self.connection.xtest_fake_input(event, key, 0, self.root, 0, 0, 0)?;
        Ok(())
    }

    /// Returns when the server has done all it was asked for.
    fn sync(&self) -> Result<(), InsertError> {
        self.connection.get_input_focus()?.reply()?;
        Ok(())
    }
}

macro_rules! is_display_error {
    ($($error:ty),*) => {$(
        impl From<$error> for InsertError {
            fn from(error: $error) -> Self {
                Self::Display { cause: error.to_string() }
            }
        }
    )*};
}
is_display_error!(ConnectError, ConnectionError, ReplyError, ReplyOrIdError);
