//! Keys pressed by ydotool's daemon, where somebody has set one up.
//!
//! It takes what the kernel calls an input event in each datagram. Only keys are pressed that are where they are on every
//! keyboard: which character a key types is the compositor's to say, and ydotool knows of one layout only.
//!
//! *Source*: ydotool 1.0, `Client/ydotool.h`, <https://github.com/ReimuNotMoe/ydotool>.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::Keys;
use crate::InsertError;

const KEY_EVENT: u16 = 1;
const LEFT_SHIFT: u16 = 42;
const INSERT: u16 = 110;

/// A connection to the daemon.
pub struct Ydotool(UnixDatagram);

impl Ydotool {
    pub fn open(socket: &Path) -> Result<Self, InsertError> {
        // Older ones listen to streams, and are told in another way.
        let connect = || -> std::io::Result<UnixDatagram> {
            let daemon = UnixDatagram::unbound()?;
            daemon.connect(socket)?;
            Ok(daemon)
        };
        connect().map(Self).map_err(|_| InsertError::NotHere { needs: "ydotoold 1.0 or newer, running for this user" })
    }

    /// What the kernel calls an event: when, which is left to it, what kind, which key, down or up.
    fn send(&self, kind: u16, code: u16, value: i32) -> Result<(), InsertError> {
        let mut event = [0; 24];
        event[16..18].copy_from_slice(&kind.to_ne_bytes());
        event[18..20].copy_from_slice(&code.to_ne_bytes());
        event[20..].copy_from_slice(&value.to_ne_bytes());
        self.0.send(&event).map(|_| ()).map_err(super::display)
    }
}

impl Keys for Ydotool {
    fn paste(&mut self) -> Result<(), InsertError> {
        for (key, value) in [(LEFT_SHIFT, 1), (INSERT, 1), (INSERT, 0), (LEFT_SHIFT, 0)] {
            self.send(KEY_EVENT, key, value)?;
            // The end of what happens at once.
            self.send(0, 0, 0)?;
        }
        Ok(())
    }
}
