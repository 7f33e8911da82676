//! Wayland: a keyboard of our own where the compositor takes one, and otherwise what the desktop or the system lets type.

pub mod clipboard;
mod keymap;
pub mod paste;
pub mod portal;
pub mod typing;
pub mod ydotool;

use crate::InsertError;

/// Something that presses keys.
pub trait Keys: Send {
    /// Presses Shift+Insert, with which programs fetch what was copied, and terminals what was marked.
    fn paste(&mut self) -> Result<(), InsertError>;
}

fn display(cause: impl std::fmt::Display) -> InsertError {
    InsertError::Display { cause: cause.to_string() }
}
