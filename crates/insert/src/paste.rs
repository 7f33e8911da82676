//! The text is lent to the clipboard, the keys that paste are pressed, and once the program in front has fetched the text
//! the clipboard gets back what it had.

use std::time::{Duration, Instant};

use crate::x11::X11;
use crate::x11::clipboard::Clipboard;
use crate::x11::typing::Chord;
use crate::{InsertError, Way};

/// How long a program may take from the keys to the question for the text.
const PATIENCE: Duration = Duration::from_secs(3);
/// Programs ask more than once; after this long they have all they wanted. What they were given lies with the X server.
const QUIET: Duration = Duration::from_millis(150);

/// Which clipboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// What was copied.
    Clipboard,
    /// What was marked last.
    Primary,
}

/// A display's clipboards, things on which can be ours.
pub trait Board: Send {
    /// All that is on one.
    type Contents;
    /// Who fetches a text, as far as that can be known.
    type Reader;

    /// What is on it, in the formats that matter.
    fn contents(&self, selection: Selection) -> Result<Self::Contents, InsertError>;
    /// Offers a text in place of what is there.
    fn offer(&self, selection: Selection, text: &str) -> Result<(), InsertError>;
    /// Puts back what was there, unless another program has put something there meanwhile.
    fn restore(&self, selection: Selection, contents: Self::Contents) -> Result<(), InsertError>;
    /// Whether nothing has been copied since we offered something.
    fn is_ours(&self, selection: Selection) -> Result<bool, InsertError>;
    /// The next program that fetches a text.
    fn next_fetch(&self, until: Instant) -> Option<Self::Reader>;
}

/// Lends a text to clipboards, lets the keys be pressed that paste, and puts back what was there once the text was fetched.
/// `is_fetched` waits for that until a time; the text is read once nothing was fetched for as long as `quiet`.
pub fn lend<B: Board>(
    board: &B,
    selections: &[Selection],
    text: &str,
    restore: bool,
    quiet: Duration,
    press: impl FnOnce() -> Result<(), InsertError>,
    is_fetched: impl Fn(Instant) -> bool,
) -> Result<(), InsertError> {
    let mut before = Vec::new();
    for &selection in selections {
        if restore {
            before.push((selection, board.contents(selection)?));
        }
        board.offer(selection, text)?;
    }
    press()?;
    let until = Instant::now() + PATIENCE;
    if !is_fetched(until) {
        // The text stays on the clipboard: whoever is slow still finds it there, and not what was there before.
        let ours = board.is_ours(Selection::Clipboard)?;
        return Err(if ours { InsertError::NotFetched { waited: PATIENCE } } else { InsertError::ClipboardTaken });
    }
    while Instant::now() < until && board.next_fetch(Instant::now() + quiet).is_some() {}
    before.into_iter().try_for_each(|(selection, contents)| board.restore(selection, contents))
}

/// Pastes on X11.
pub struct Paste {
    x11: X11,
    clipboard: Clipboard,
    /// What was on the clipboard is put back.
    restore: bool,
}

impl Paste {
    pub fn open(display: &str, restore: bool) -> Result<Self, InsertError> {
        Ok(Self { x11: X11::connect(display)?, clipboard: Clipboard::open(display)?, restore })
    }
}

impl Way for Paste {
    fn insert(&mut self, text: &str) -> Result<(), InsertError> {
        let Self { x11, clipboard, restore } = self;
        let focus = x11.focus()?;
        // Insert is on every keyboard.
        let chord = if x11.has_v()? { chord_of(&x11.class(focus.window)?) } else { Chord::ShiftInsert };
        let selections = match chord {
            Chord::ShiftInsert => &[Selection::Clipboard, Selection::Primary][..],
            Chord::ControlV | Chord::ControlShiftV => &[Selection::Clipboard],
        };
        // Programs that keep a history of the clipboard look at whatever is new: they are not meant.
        let is_fetched = |until| {
            std::iter::from_fn(|| clipboard.next_fetch(until))
                .any(|window| clipboard.same_program(window, focus.window))
        };
        lend(clipboard, selections, text, *restore, QUIET, || x11.press_chord(chord), is_fetched)
    }
}

/// The keys that paste in a program of this class.
fn chord_of(class: &[String]) -> Chord {
    const OLD: [&str; 4] = ["xterm", "uxterm", "urxvt", "rxvt"];
    const TERMINALS: [&str; 27] = [
        "alacritty",
        "blackbox",
        "com.mitchellh.ghostty",
        "com.raggesilver.blackbox",
        "contour",
        "cool-retro-term",
        "deepin-terminal",
        "foot",
        "footclient",
        "ghostty",
        "gnome-terminal",
        "gnome-terminal-server",
        "guake",
        "kgx",
        "kitty",
        "konsole",
        "lxterminal",
        "mate-terminal",
        "org.gnome.console",
        "ptyxis",
        "qterminal",
        "rio",
        "terminator",
        "terminology",
        "tilix",
        "wezterm",
        "xfce4-terminal",
    ];
    // `org.kde.konsole` and `org.wezfurlong.wezterm` are called by their last word too.
    let is = |names: &[&str]| {
        class.iter().any(|name| {
            names.contains(&name.as_str()) || name.rsplit('.').next().is_some_and(|last| names.contains(&last))
        })
    };
    if is(&OLD) {
        Chord::ShiftInsert
    } else if is(&TERMINALS) {
        Chord::ControlShiftV
    } else {
        Chord::ControlV
    }
}

#[cfg(test)]
mod tests {
    use super::{Chord, chord_of};

    #[test]
    fn terminals_get_keys_of_their_own() {
        let of = |names: &[&str]| chord_of(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["xterm", "xterm"]), Chord::ShiftInsert);
        assert_eq!(of(&["gnome-terminal-server", "gnome-terminal"]), Chord::ControlShiftV);
        assert_eq!(of(&["org.kde.konsole"]), Chord::ControlShiftV);
        assert_eq!(of(&["navigator", "firefox"]), Chord::ControlV);
        assert_eq!(of(&[]), Chord::ControlV);
    }
}
