//! Combinations of keys as people write them: `Ctrl+Alt+Space`.

use std::fmt;
use std::str::FromStr;

use crate::ShortcutError;

/// Keys held down, and the one pressed with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Control is held.
    pub control: bool,
    /// Alt is held.
    pub alt: bool,
    /// Shift is held.
    pub shift: bool,
    /// The key with the desktop's sign is held.
    pub super_: bool,
    /// What the key that is pressed means, as X11 numbers it.
    pub keysym: u32,
}

/// Keys other than letters, figures and F1 to F35, as they are written, as the portal calls them, and as X11 numbers them.
const NAMED: &[(&str, &str, u32)] = &[
    ("Space", "space", 0x20),
    ("Enter", "Return", 0xff0d),
    ("Tab", "Tab", 0xff09),
    ("Escape", "Escape", 0xff1b),
    ("Backspace", "BackSpace", 0xff08),
    ("Insert", "Insert", 0xff63),
    ("Delete", "Delete", 0xffff),
    ("Home", "Home", 0xff50),
    ("End", "End", 0xff57),
    ("PageUp", "Page_Up", 0xff55),
    ("PageDown", "Page_Down", 0xff56),
    ("Up", "Up", 0xff52),
    ("Down", "Down", 0xff54),
    ("Left", "Left", 0xff51),
    ("Right", "Right", 0xff53),
    ("Pause", "Pause", 0xff13),
    ("PrintScreen", "Print", 0xff61),
    ("ScrollLock", "Scroll_Lock", 0xff14),
    ("Menu", "Menu", 0xff67),
];
const F1: u32 = 0xffbe;

impl FromStr for Keys {
    type Err = ShortcutError;

    fn from_str(text: &str) -> Result<Self, ShortcutError> {
        let unknown = || ShortcutError::UnknownKeys(text.to_owned());
        let mut keys = Self { control: false, alt: false, shift: false, super_: false, keysym: 0 };
        let mut parts: Vec<_> = text.split('+').map(str::trim).collect();
        let last = parts.pop().filter(|last| !last.is_empty()).ok_or_else(unknown)?;
        for part in parts {
            let held = match part.to_lowercase().as_str() {
                "ctrl" | "control" => &mut keys.control,
                "alt" => &mut keys.alt,
                "shift" => &mut keys.shift,
                "super" | "meta" | "win" => &mut keys.super_,
                _ => return Err(unknown()),
            };
            *held = true;
        }
        keys.keysym = keysym(last).ok_or_else(unknown)?;
        // A key that types something would be lost to all programs.
        let types = keys.keysym < 0xff00 || keys.keysym > 0xffff;
        if types && !(keys.control || keys.alt || keys.super_) {
            return Err(ShortcutError::NoModifier(text.to_owned()));
        }
        Ok(keys)
    }
}

fn keysym(name: &str) -> Option<u32> {
    if let Some((_, _, keysym)) = NAMED.iter().find(|(known, _, _)| known.eq_ignore_ascii_case(name)) {
        return Some(*keysym);
    }
    let mut letters = name.chars();
    match (letters.next()?, letters.as_str()) {
        (letter, "") if letter.is_alphanumeric() => {
            Some(xkeysym::Keysym::from_char(letter.to_lowercase().next()?).raw())
        }
        ('F' | 'f', number) => {
            number.parse::<u32>().ok().filter(|number| (1..=35).contains(number)).map(|number| F1 + number - 1)
        }
        _ => None,
    }
}

impl Keys {
    /// As the portal writes them: `CTRL+ALT+space`.
    ///
    /// *Source*: <https://specifications.freedesktop.org/shortcuts-spec/latest/>.
    pub fn for_portal(&self) -> String {
        let named = NAMED.iter().find(|(_, _, keysym)| *keysym == self.keysym).map(|(_, name, _)| (*name).to_owned());
        self.written(["CTRL", "ALT", "SHIFT", "LOGO"], &named.unwrap_or_else(|| self.letter().to_lowercase()))
    }

    fn letter(&self) -> String {
        match self.keysym {
            F1..0xffe1 => format!("F{}", self.keysym - F1 + 1),
            keysym => xkeysym::Keysym::new(keysym).key_char().map(String::from).unwrap_or_default(),
        }
    }

    fn written(&self, words: [&str; 4], last: &str) -> String {
        let held = [self.control, self.alt, self.shift, self.super_];
        let words = words.into_iter().zip(held).filter_map(|(word, held)| held.then_some(word));
        words.chain([last]).collect::<Vec<_>>().join("+")
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = NAMED.iter().find(|(_, _, keysym)| *keysym == self.keysym).map(|(name, _, _)| (*name).to_owned());
        out.write_str(
            &self.written(["Ctrl", "Alt", "Shift", "Super"], &named.unwrap_or_else(|| self.letter().to_uppercase())),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Keys;
    use crate::ShortcutError;

    #[test]
    fn keys_are_read_as_they_are_written() {
        for text in
            ["Ctrl+Alt+Space", "Super+D", "Ctrl+Shift+F12", "F9", "Pause", "Alt+1", "Ctrl+Alt+Shift+Super+PageUp"]
        {
            assert_eq!(text.parse::<Keys>().unwrap().to_string(), text);
        }
        assert_eq!("control + alt + space".parse::<Keys>().unwrap().to_string(), "Ctrl+Alt+Space");
        assert_eq!("Ctrl+Alt+Space".parse::<Keys>().unwrap().for_portal(), "CTRL+ALT+space");
        assert_eq!("Super+D".parse::<Keys>().unwrap().for_portal(), "LOGO+d");
    }

    #[test]
    fn what_is_no_shortcut_is_said_so() {
        for text in ["", "Ctrl+", "Ctrl+Nonsense", "Hyper+A", "F36", "+"] {
            assert!(matches!(text.parse::<Keys>(), Err(ShortcutError::UnknownKeys(_))), "{text}");
        }
        assert!(matches!("a".parse::<Keys>(), Err(ShortcutError::NoModifier(_))));
        assert!(matches!("Shift+A".parse::<Keys>(), Err(ShortcutError::NoModifier(_))));
    }
}
