//! Shift, Control and their like, out of the way while text is typed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use x11rb::protocol::xinput::{ConnectionExt as _, DeviceUse, InputStateData};
use x11rb::protocol::xkb::ConnectionExt as _;
use x11rb::protocol::xproto::{ConnectionExt as _, Keycode, ModMask};

use super::{CORE_KEYBOARD, X11};
use crate::InsertError;

/// How long somebody may take to let go of the keys that ended the dictation.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(10);

/// What was changed, and has to be put back.
#[derive(Debug)]
pub struct Aside {
    held: Vec<Keycode>,
    locks: ModMask,
}

/// Waits until no key is held, lets go of those that still are, and switches Caps Lock and its like off. As long as the
/// keys of a shortcut are down, whatever is typed goes to the program that waits for them.
pub fn put_aside(x11: &X11) -> Result<Aside, InsertError> {
    let until = Instant::now() + PATIENCE;
    while !pressed(x11)?.is_empty() && Instant::now() < until {
        std::thread::sleep(LOOK);
    }
    let modifiers = x11.connection.get_modifier_mapping()?.reply()?.keycodes;
    let down = pressed(x11)?;
    for &key in &down {
        x11.key(key, false)?;
    }
    let held = down.into_iter().filter(|key| modifiers.contains(key)).collect();
    let state = x11.connection.xkb_get_state(CORE_KEYBOARD)?.reply()?;
    // Num Lock changes nothing that is typed here.
    let locks = ModMask::from(u16::from(state.locked_mods) & !u16::from(ModMask::M2));
    lock(x11, locks, ModMask::default())?;
    Ok(Aside { held, locks })
}

/// Puts back what is still wanted: a lock, and a key that a finger is still on.
pub fn put_back(x11: &X11, aside: &Aside) -> Result<(), InsertError> {
    lock(x11, aside.locks, aside.locks)?;
    // Whoever let go in the meantime would be left with a key that is stuck.
    let fingers = under_fingers(x11)?;
    for &key in aside.held.iter().filter(|key| fingers.contains(key)) {
        x11.key(key, true)?;
    }
    x11.sync()
}

fn lock(x11: &X11, affected: ModMask, locked: ModMask) -> Result<(), InsertError> {
    if affected != ModMask::default() {
        let (none, first) = (ModMask::default(), 0u8.into());
        x11.connection.xkb_latch_lock_state(CORE_KEYBOARD, affected, locked, false, first, none, false, 0)?;
    }
    Ok(())
}

/// The keys that the server takes for pressed.
fn pressed(x11: &X11) -> Result<BTreeSet<Keycode>, InsertError> {
    Ok(of_bits(&x11.connection.query_keymap()?.reply()?.keys))
}

/// The keys that are pressed on keyboards other than the one that XTEST pretends.
fn under_fingers(x11: &X11) -> Result<BTreeSet<Keycode>, InsertError> {
    let list = x11.connection.xinput_list_input_devices()?.reply()?;
    let mut pressed = BTreeSet::new();
    for (device, name) in list.devices.iter().zip(&list.names) {
        let pretended = String::from_utf8_lossy(&name.name).contains("XTEST");
        if device.device_use != DeviceUse::IS_X_EXTENSION_KEYBOARD || pretended {
            continue;
        }
        let state = x11.connection.xinput_query_device_state(device.device_id)?.reply()?;
        for class in state.classes {
            if let InputStateData::Key(state) = class.data {
                pressed.append(&mut of_bits(&state.keys));
            }
        }
    }
    Ok(pressed)
}

fn of_bits(bits: &[u8; 32]) -> BTreeSet<Keycode> {
    (0..=Keycode::MAX).filter(|&key| bits[usize::from(key / 8)] >> (key % 8) & 1 == 1).collect()
}
