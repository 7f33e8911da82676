//! Wayland: compositors in the manner of wlroots let a program bring a keyboard of its own.

mod keymap;
pub mod typing;
