//! Which keys type a text: those of the layout, and spare ones that are given a meaning for a while.

use std::collections::HashMap;

use x11rb::connection::Connection as _;
use x11rb::protocol::xkb::ConnectionExt as _;
use x11rb::protocol::xproto::{ConnectionExt as _, Keycode};

use super::{CORE_KEYBOARD, X11};
use crate::InsertError;
use crate::keysym::{NO_SYMBOL, of_char, to_char};

/// What every key means.
#[derive(Debug, Clone)]
pub struct Keymap {
    first: Keycode,
    /// Meanings of a key: two for each layout, without and with Shift, and more that are not used here.
    per_key: usize,
    keysyms: Vec<u32>,
    /// The layout that is switched on.
    group: usize,
    shift: Option<Keycode>,
}

/// One key, pressed and let go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stroke {
    /// The key.
    pub key: Keycode,
    /// Held down meanwhile.
    pub shift: Option<Keycode>,
}

/// Strokes that can be made one after the other, without a key changing its meaning in between.
#[derive(Debug, Default)]
pub struct Batch {
    /// What spare keys have to mean.
    pub bindings: Vec<(Keycode, u32)>,
    /// The text.
    pub strokes: Vec<Stroke>,
}

impl Keymap {
    /// The keyboard as it is now.
    pub fn read(x11: &X11) -> Result<Self, InsertError> {
        let setup = x11.connection.setup();
        let (first, last) = (setup.min_keycode, setup.max_keycode);
        let map = x11.connection.get_keyboard_mapping(first, last - first + 1)?.reply()?;
        let modifiers = x11.connection.get_modifier_mapping()?.reply()?;
        let group = x11.connection.xkb_get_state(CORE_KEYBOARD)?.reply()?.group;
        // The first row of modifiers is Shift's.
        let row = modifiers.keycodes.len() / 8;
        let shift = modifiers.keycodes[..row].iter().copied().find(|&key| key != 0);
        let per_key = usize::from(map.keysyms_per_keycode);
        Ok(Self { first, per_key, keysyms: map.keysyms, group: usize::from(u8::from(group)), shift })
    }

    /// How many meanings a key has.
    pub fn per_key(&self) -> usize {
        self.per_key
    }

    /// The strokes that type `text`, in as few batches as the spare keys allow.
    pub fn plan(&self, text: &str) -> Result<Vec<Batch>, InsertError> {
        let known = self.known();
        let spare: Vec<_> = self.keys().filter(|(_, means)| means.iter().all(|&keysym| keysym == NO_SYMBOL)).collect();
        let mut batches = Vec::new();
        let mut batch = Batch::default();
        let mut bound = HashMap::new();
        for character in text.chars() {
            let stroke = match known.get(&character).or_else(|| bound.get(&character)) {
                Some(&stroke) => stroke,
                None => {
                    if bound.len() == spare.len() {
                        bound.clear();
                        batches.push(std::mem::take(&mut batch));
                    }
                    let &(key, _) = spare.get(bound.len()).ok_or(InsertError::NoSpareKey(character))?;
                    batch.bindings.push((key, of_char(character)));
                    let stroke = Stroke { key, shift: None };
                    bound.insert(character, stroke);
                    stroke
                }
            };
            batch.strokes.push(stroke);
        }
        batches.push(batch);
        Ok(batches)
    }

    /// The key that programs take for V: the one that types it or, where another alphabet is switched on, the one that
    /// does in the first layout.
    pub fn key_of_v(&self) -> Option<Keycode> {
        let typed = self.known().get(&'v').map(|stroke| stroke.key);
        typed.or_else(|| self.key_of(of_char('v')))
    }

    /// The key that means this, whatever the layout that is switched on.
    pub fn key_of(&self, keysym: u32) -> Option<Keycode> {
        self.keys().find(|(_, means)| means.first() == Some(&keysym)).map(|(key, _)| key)
    }

    /// The characters of the layout.
    fn known(&self) -> HashMap<char, Stroke> {
        let mut known = HashMap::new();
        // Without Shift first: what both can do is done without.
        for with_shift in [false, true] {
            let shift = self.shift.filter(|_| with_shift);
            if with_shift && shift.is_none() {
                continue;
            }
            for (key, means) in self.keys() {
                let column =
                    |group: usize| means.get(group * 2 + usize::from(with_shift)).copied().unwrap_or(NO_SYMBOL);
                let in_group = |group: usize| (column(group) != NO_SYMBOL).then(|| column(group));
                let keysym = match self.group {
                    0 => in_group(0),
                    // A key that the second layout does not mention keeps its first meaning.
                    1 if means.iter().skip(2).take(2).all(|&keysym| keysym == NO_SYMBOL) => in_group(0),
                    1 => in_group(1),
                    // The core protocol does not tell of more layouts.
                    _ => None,
                };
                if let Some(character) = keysym.and_then(to_char) {
                    known.entry(character).or_insert(Stroke { key, shift });
                }
            }
        }
        known
    }

    fn keys(&self) -> impl Iterator<Item = (Keycode, &[u32])> {
        (self.first..=Keycode::MAX).zip(self.keysyms.chunks_exact(self.per_key.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::{Keymap, Stroke};
    use crate::keysym::{NO_SYMBOL, to_char};

    const SHIFT: u8 = 50;

    /// Keys from 8 on: `a` with a second layout, `1`, Return, then `spare` keys without a meaning.
    fn keymap(group: usize, spare: usize) -> Keymap {
        let mut keysyms = vec![
            0x61, 0x41, 0x6c6, 0x6e6, // a A, Cyrillic ef
            0x31, 0x21, NO_SYMBOL, NO_SYMBOL, // 1 !
            0xff0d, NO_SYMBOL, NO_SYMBOL, NO_SYMBOL,
        ];
        keysyms.resize(keysyms.len() + spare * 4, NO_SYMBOL);
        Keymap { first: 8, per_key: 4, keysyms, group, shift: Some(SHIFT) }
    }

    /// What a program that looks each key up when it is pressed reads.
    fn typed(keymap: &Keymap, text: &str) -> String {
        let mut bound = HashMap::new();
        let mut read = String::new();
        for batch in keymap.plan(text).unwrap() {
            let once: HashMap<_, _> = batch.bindings.iter().copied().collect();
            assert_eq!(once.len(), batch.bindings.len(), "no key has two meanings in a batch");
            bound.extend(once);
            for Stroke { key, shift } in batch.strokes {
                let means = &keymap.keysyms[usize::from(key - 8) * 4..][..4];
                let group = if means[2] == NO_SYMBOL { 0 } else { keymap.group.min(1) };
                let own = means[group * 2 + usize::from(shift.is_some())];
                let keysym = if own == NO_SYMBOL { bound[&key] } else { own };
                read.extend(to_char(keysym));
            }
        }
        read
    }

    proptest! {
        #[test]
        fn a_program_reads_what_was_planned(text in "[aA1!фФb-z\u{e9}漢字😀\n\t ]{0,60}", group in 0usize..2, spare in 1usize..5) {
            prop_assert_eq!(typed(&keymap(group, spare), &text), text);
        }
    }

    #[test]
    fn the_layout_is_used_as_it_stands() {
        let batches = keymap(0, 3).plan("aA!1a\n").unwrap();
        assert_eq!(batches.len(), 1);
        assert!(batches[0].bindings.is_empty());
        let russian = keymap(1, 3).plan("ф").unwrap();
        assert_eq!(russian[0].strokes, [Stroke { key: 8, shift: None }]);
        assert_eq!(keymap(1, 3).plan("a").unwrap()[0].bindings, [(11, 0x61)]);
    }

    #[test]
    fn a_keyboard_without_spare_keys_says_so() {
        let error = keymap(0, 0).plan("aé").unwrap_err().to_string();
        assert!(error.contains('é'), "{error}");
        assert!(keymap(0, 0).plan("a1").is_ok());
    }
}
