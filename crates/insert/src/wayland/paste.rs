//! A text lent to the clipboard, and the keys that fetch it, in whatever program has the focus: it cannot be known which.

use std::time::{Duration, Instant};

use super::Keys;
use crate::paste::{Board, Selection, lend};
use crate::{InsertError, Way};

/// Programs that keep a history of the clipboard look at what is new at once; after this long they have.
const SETTLE: Duration = Duration::from_millis(60);
/// One that looks again and again is not waited for.
const SETTLED: Duration = Duration::from_millis(600);
/// What was fetched is on its way through a pipe, and GTK for one stops reading when something else is on the clipboard. That it
/// was read to its end is told by nobody, so that this is long for a program that other programs keep waiting.
const QUIET: Duration = Duration::from_millis(500);

/// Pastes on Wayland.
pub struct Paste<B> {
    clipboard: B,
    /// Both are set: which one Shift+Insert takes differs.
    selections: &'static [Selection],
    keys: Box<dyn Keys>,
    /// What was on the clipboard is put back.
    restore: bool,
}

impl<B: Board> Paste<B> {
    pub fn new(clipboard: B, has_primary: bool, keys: Box<dyn Keys>, restore: bool) -> Self {
        let both = &[Selection::Clipboard, Selection::Primary];
        Self { clipboard, selections: if has_primary { both } else { &both[..1] }, keys, restore }
    }
}

impl<B: Board> Way for Paste<B> {
    fn insert(&mut self, text: &str) -> Result<(), InsertError> {
        let Self { clipboard, selections, keys, restore } = self;
        let press = || {
            let until = Instant::now() + SETTLED;
            while Instant::now() < until && clipboard.next_fetch(Instant::now() + SETTLE).is_some() {}
            keys.paste()
        };
        lend(clipboard, selections, text, *restore, QUIET, press, |until| clipboard.next_fetch(until).is_some())
    }
}
