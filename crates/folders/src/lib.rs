//! The recordings in folders: those that are there, and those that are new.
//!
//! [`recordings`] looks through what somebody has dropped or chosen. A [`Watch`] tells of each recording that is put into a
//! folder, once it has stopped growing, and remembers what was done.

mod memory;
mod news;
mod walk;
mod watch;

pub use memory::memories;
pub use walk::{Found, recordings};
pub use watch::{Watch, WatchError, WatchEvent};
