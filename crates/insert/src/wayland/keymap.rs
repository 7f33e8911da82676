//! Keyboards made for a text: each key types one of its characters, and nothing else.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::keysym::of_char;

/// What XKB adds to the number of a key.
const XKB_OFFSET: u32 = 8;
const TAB: u32 = 15;
const ENTER: u32 = 28;
const SPACE: u32 = 57;
/// The left Shift key.
pub const LEFT_SHIFT: u32 = 42;
/// The Insert key.
pub const INSERT: u32 = 110;

/// A keyboard, and the keys to press on it.
#[derive(Debug, Default)]
pub struct Batch {
    /// The keyboard, as XKB writes it down.
    pub keymap: String,
    /// The keys, as the kernel numbers them.
    pub keys: Vec<u32>,
}

/// Keys that carry characters. Some programs look at which key it is before they ask what it types, so those come first
/// that type characters on every keyboard, and then ones that no keyboard has.
fn carriers() -> impl Iterator<Item = u32> {
    (2..=13).chain(16..=27).chain(30..=41).chain(43..=53).chain(195..=247)
}

/// The keyboards that `text` takes, one after the other.
pub fn plan(text: &str) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut places: HashMap<char, u32> = HashMap::new();
    let mut free = carriers();
    let mut keys = Vec::new();
    for character in text.chars() {
        let fixed = match character {
            '\n' => Some(ENTER),
            '\t' => Some(TAB),
            ' ' => Some(SPACE),
            _ => places.get(&character).copied(),
        };
        let key = fixed.or_else(|| free.next()).unwrap_or_else(|| {
            batches.push(Batch { keymap: written(&places), keys: std::mem::take(&mut keys) });
            places.clear();
            free = carriers();
            free.next().expect("BUG: there are keys that carry characters")
        });
        places.insert(character, key);
        keys.push(key);
    }
    batches.push(Batch { keymap: written(&places), keys });
    batches
}

/// A keyboard as there are many, for the keys that paste. On one that has nothing but these, GTK does not find out what they do.
pub fn pasting() -> &'static str {
    "xkb_keymap {\nxkb_keycodes { include \"evdev+aliases(qwerty)\" };\nxkb_types { include \"complete\" };\n\
     xkb_compat { include \"complete\" };\nxkb_symbols { include \"pc+us+inet(evdev)\" };\n};\n"
}

fn written(places: &HashMap<char, u32>) -> String {
    let mut places: Vec<_> = places.iter().map(|(&character, &key)| (key + XKB_OFFSET, of_char(character))).collect();
    places.sort_unstable();
    let mut codes = String::new();
    let mut symbols = String::new();
    for (code, keysym) in places {
        // Writing into a string cannot fail.
        let _ = writeln!(codes, "<K{code}> = {code};");
        let _ = writeln!(symbols, "key <K{code}> {{ [ {keysym:#x} ] }};");
    }
    format!(
        "xkb_keymap {{\nxkb_keycodes \"text\" {{\nminimum = 8;\nmaximum = 255;\n{codes}}};\n\
         xkb_types \"text\" {{ include \"complete\" }};\nxkb_compatibility \"text\" {{ include \"complete\" }};\n\
         xkb_symbols \"text\" {{\n{symbols}}};\n}};\n"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::{XKB_OFFSET, plan};
    use crate::keysym::to_char;

    /// What a program reads.
    fn typed(text: &str) -> String {
        let mut read = String::new();
        for batch in plan(text) {
            let mut means = HashMap::new();
            for line in batch.keymap.lines().filter_map(|line| line.strip_prefix("key <K")) {
                let (code, rest) = line.split_once("> { [ 0x").unwrap();
                let keysym = u32::from_str_radix(rest.split_once(' ').unwrap().0, 16).unwrap();
                let before = means.insert(code.parse::<u32>().unwrap() - XKB_OFFSET, keysym);
                assert!(before.is_none(), "no key has two meanings");
            }
            read.extend(batch.keys.iter().map(|key| to_char(means[key]).unwrap()));
        }
        read
    }

    proptest! {
        #[test]
        fn a_program_reads_what_was_planned(text in "[^\\p{Cc}]{0,400}") {
            prop_assert_eq!(typed(&text), text);
        }
    }

    #[test]
    fn line_ends_and_tabs_have_keys_of_their_own() {
        assert_eq!(typed("a\tb\nc d"), "a\tb\nc d");
        assert_eq!(plan("\n\t ")[0].keys, [28, 15, 57]);
    }
}
