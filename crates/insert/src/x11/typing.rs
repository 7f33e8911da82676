//! Text typed key by key.

use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{ConnectionExt as _, Keycode};

use super::keymap::{Keymap, Stroke};
use super::{X11, modifiers};
use crate::keysym::NO_SYMBOL;
use crate::{InsertError, Way};

/// Types through XTEST.
pub struct Typing {
    x11: X11,
}

impl Typing {
    pub fn open(display: &str) -> Result<Self, InsertError> {
        X11::connect(display).map(|x11| Self { x11 })
    }
}

impl Way for Typing {
    fn insert(&mut self, text: &str) -> Result<(), InsertError> {
        self.x11.type_text(text)
    }
}

impl X11 {
    fn type_text(&self, text: &str) -> Result<(), InsertError> {
        let focus = self.focus()?;
        let keymap = Keymap::read(self)?;
        let batches = keymap.plan(text)?;
        if focus.answers.is_none() && batches.iter().any(|batch| !batch.bindings.is_empty()) {
            return Err(InsertError::Silent);
        }
        let aside = modifiers::put_aside(self)?;
        let mut bound = Vec::new();
        let typed = batches.iter().try_for_each(|batch| {
            for &(key, keysym) in &batch.bindings {
                bound.push(key);
                self.bind(key, keysym, &keymap)?;
            }
            for &stroke in &batch.strokes {
                self.stroke(stroke)?;
            }
            self.sync()?;
            if batch.bindings.is_empty() { Ok(()) } else { self.wait_until_read(focus) }
        });
        // Whatever happened: no key keeps a meaning that it did not have, and none stays down.
        bound.sort_unstable();
        bound.dedup();
        let unbound = bound.iter().try_for_each(|&key| self.bind(key, NO_SYMBOL, &keymap));
        typed.and(unbound).and(modifiers::put_back(self, &aside))
    }

    /// Gives a key one meaning in all layouts, with and without Shift.
    fn bind(&self, key: Keycode, keysym: u32, keymap: &Keymap) -> Result<(), InsertError> {
        let per_key = keymap.per_key();
        self.connection.change_keyboard_mapping(1, key, per_key as u8, &vec![keysym; per_key])?;
        Ok(())
    }

    fn stroke(&self, stroke: Stroke) -> Result<(), InsertError> {
        let Stroke { key, shift } = stroke;
        let keys = shift.into_iter().chain([key]);
        for key in keys.clone() {
            self.key(key, true)?;
        }
        for key in keys.collect::<Vec<_>>().into_iter().rev() {
            self.key(key, false)?;
        }
        Ok(())
    }

    /// Whether the keyboard has a V, which a Russian one for example has not.
    pub fn has_v(&self) -> Result<bool, InsertError> {
        Ok(Keymap::read(self)?.key_of_v().is_some())
    }

    /// Presses the keys that paste, and returns when the server has passed them on.
    pub fn press_chord(&self, chord: Chord) -> Result<(), InsertError> {
        let keymap = Keymap::read(self)?;
        let (modifiers, key): (&[u32], u32) = match chord {
            Chord::ControlV => (&[CONTROL], LOWER_V),
            Chord::ControlShiftV => (&[CONTROL, SHIFT], LOWER_V),
            Chord::ShiftInsert => (&[SHIFT], INSERT),
        };
        let key = if key == LOWER_V { keymap.key_of_v() } else { keymap.key_of(key) };
        let key = key.ok_or(InsertError::NoSpareKey('v'))?;
        let keys: Vec<_> = modifiers.iter().filter_map(|&keysym| keymap.key_of(keysym)).chain([key]).collect();
        let aside = modifiers::put_aside(self)?;
        let pressed = keys.iter().try_for_each(|&key| self.key(key, true));
        let released = keys.iter().rev().try_for_each(|&key| self.key(key, false));
        pressed
            .and(released)
            .and(self.connection.flush().map_err(InsertError::from))
            .and(modifiers::put_back(self, &aside))
    }
}

const CONTROL: u32 = 0xffe3;
const SHIFT: u32 = 0xffe1;
const INSERT: u32 = 0xff63;
const LOWER_V: u32 = 0x76;

/// Keys that paste.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chord {
    /// In most programs.
    ControlV,
    /// In terminals, where Ctrl+V is a command.
    ControlShiftV,
    /// In terminals older than that habit.
    ShiftInsert,
}
