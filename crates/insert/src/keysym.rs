//! Characters as X11 and Wayland name them.
//!
//! *Source*: Keysym encoding, <https://www.x.org/releases/X11R7.7/doc/xproto/x11protocol.html#keysym_encoding>.

/// No meaning.
pub const NO_SYMBOL: u32 = 0;
const TAB: u32 = 0xff09;
const RETURN: u32 = 0xff0d;
/// What is added to a character's number for a keysym that stands for it.
const UNICODE: u32 = 0x0100_0000;

/// The keysym of a character. Every program that reads keysyms at all knows those of Latin-1 and of Unicode.
pub fn of_char(character: char) -> u32 {
    match character {
        '\n' => RETURN,
        '\t' => TAB,
        ' '..='~' | '\u{a0}'..='\u{ff}' => u32::from(character),
        _ => UNICODE | u32::from(character),
    }
}

/// The character that a key with this keysym types, whichever of its names the layout uses: Cyrillic, Greek and others
/// have names that are older than Unicode.
pub fn to_char(keysym: u32) -> Option<char> {
    match keysym {
        RETURN => Some('\n'),
        TAB => Some('\t'),
        // Keys of the keypad type the same characters, but depend on Num Lock.
        0xff00..=0xffff => None,
        _ => xkeysym::Keysym::new(keysym).key_char(),
    }
}

/// Text as it may be typed and pasted: line ends are `\n`, and no other control character is left. In a terminal they
/// are commands.
pub fn harmless(text: &str) -> String {
    text.replace("\r\n", "\n")
        .replace('\r', "\n")
        .chars()
        .filter(|&c| matches!(c, '\n' | '\t') || !c.is_control())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{harmless, of_char, to_char};

    proptest! {
        #[test]
        fn every_character_has_a_keysym_that_types_it(character in any::<char>()) {
            if !character.is_control() || matches!(character, '\n' | '\t') {
                prop_assert_eq!(to_char(of_char(character)), Some(character));
            }
        }
    }

    #[test]
    fn older_names_are_known_and_the_keypad_is_not_used() {
        assert_eq!(to_char(0x6c1), Some('\u{430}'), "Cyrillic a");
        assert_eq!(to_char(0x20ac), Some('\u{20ac}'), "the euro");
        assert_eq!(to_char(0xffb1), None, "1 on the keypad");
        assert_eq!(to_char(0xfe51), None, "a dead acute");
    }

    #[test]
    fn commands_to_a_terminal_are_left_out() {
        assert_eq!(harmless("a\u{1b}[31m\r\nb\rc\td\u{7f}\u{85}"), "a[31m\nb\nc\td");
    }
}
