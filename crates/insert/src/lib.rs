//! Puts text where the cursor is, in whatever program has the focus.
//!
//! No desktop has one way that always works, so there are several, each behind [`Way`]: they are tried in the order that
//! suits the [`Desktop`], and the first that the program in front is known to have taken the text by ends the search.
//! An [`Inserter`] does that. What none could insert it leaves on the clipboard.

mod application;
mod desktop;
mod inserter;
mod keysym;
mod paste;
mod wayland;
mod x11;

use std::fmt;
use std::time::Duration;

pub use application::application;
pub use desktop::Desktop;
pub use inserter::{Inserted, Inserter, Manner, NotInserted};

/// The name of the file, among the settings, in which the desktop's permission to type is kept.
pub const PERMISSION: &str = "permission-to-type";

/// A way to put text into another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WayName {
    /// A keyboard of our own, on compositors in the manner of wlroots.
    VirtualKeyboard,
    /// Keys pressed through X11's XTEST.
    XTest,
    /// Keys pressed by the desktop itself, through its portal for remote control.
    Portal,
    /// The clipboard, and the keys that paste.
    Paste,
    /// The clipboard, and the keys that paste pressed by ydotool's daemon.
    Ydotool,
}

impl WayName {
    /// All of them, best first.
    pub const ALL: &[Self] = &[Self::VirtualKeyboard, Self::XTest, Self::Portal, Self::Paste, Self::Ydotool];

    /// A word for settings and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::VirtualKeyboard => "virtual-keyboard",
            Self::XTest => "xtest",
            Self::Portal => "portal",
            Self::Paste => "paste",
            Self::Ydotool => "ydotool",
        }
    }

    /// The way that this word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|way| way.word() == word)
    }
}

impl fmt::Display for WayName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::VirtualKeyboard => "a virtual keyboard on Wayland",
            Self::XTest => "keys pressed through X11",
            Self::Portal => "the desktop's portal for remote control",
            Self::Paste => "the clipboard and the keys that paste",
            Self::Ydotool => "the clipboard and ydotool",
        })
    }
}

/// One way, ready to be used.
trait Way: Send {
    /// Puts `text`, which has no control characters but tabs and line ends, at the cursor of the program that has the
    /// focus, and returns when that program has it.
    fn insert(&mut self, text: &str) -> Result<(), InsertError>;
}

/// Why a way cannot be used, or did not work.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// The way belongs to another kind of desktop.
    #[error("it needs {needs}, which this desktop does not have")]
    NotHere {
        /// What it stands on.
        needs: &'static str,
    },
    /// The display server cannot be reached, or went away.
    #[error(
        "the display cannot be reached: {cause}; start Amanuensis from the desktop session that it is to type into"
    )]
    Display {
        /// What was said.
        cause: String,
    },
    /// The desktop would ask the user, who is in the middle of something.
    #[error(
        "the desktop has not been asked yet whether Amanuensis may type; press \u{201c}Test all ways\u{201d} in the settings, and allow it"
    )]
    NotAsked,
    /// The desktop's portal, or the user, does not want it.
    #[error(
        "the desktop does not let Amanuensis type: {cause}; press \u{201c}Test all ways\u{201d} in the settings to be asked again"
    )]
    Refused {
        /// What was said.
        cause: String,
    },
    /// No window takes keys.
    #[error("no window has the focus; click where the text should go")]
    NoFocus,
    /// Every key of the keyboard has a meaning already.
    #[error("the keyboard layout leaves no key free for \u{201c}{0}\u{201d}; paste the text instead")]
    NoSpareKey(char),
    /// The program in front takes no part in the protocol that tells when it has read its keys.
    #[error(
        "the program in front does not tell when it has read a key, so that none can be lent a new meaning; paste the text instead"
    )]
    Silent,
    /// The program in front reads no keys.
    #[error("the program in front hangs: it does not read its keys; wait until it answers, and see what it got")]
    Hangs,
    /// The program in front did not ask for the clipboard after the keys that paste.
    #[error("the program in front did not fetch the text within {} s; paste it there yourself", waited.as_secs_f32())]
    NotFetched {
        /// How long it was waited for.
        waited: Duration,
    },
    /// Another program took the clipboard in the middle.
    #[error("another program took the clipboard over; dictate again")]
    ClipboardTaken,
}
