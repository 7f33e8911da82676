//! A real X server, and keys pressed on it.

use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use amanuensis_shortcut::{Edge, Keys, Shortcut, ShortcutError, Source};
use amanuensis_test_support::{Program, found};
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{ConnectionExt as _, KEY_PRESS_EVENT, KEY_RELEASE_EVENT};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

const CONTROL: u32 = 0xffe3;
const ALT: u32 = 0xffe9;
const CAPS_LOCK: u32 = 0xffe5;
const NUM_LOCK: u32 = 0xff7f;
const SPACE: u32 = 0x20;
const LETTER: u32 = 0x61;
/// Longer than a key has to be held until it is repeated.
const HELD: Duration = Duration::from_millis(1200);

struct Keyboard {
    connection: RustConnection,
    source: Source,
    _display: Program,
}

impl Keyboard {
    fn open() -> Option<Self> {
        if !["Xvfb", "setpriv"].into_iter().all(found) {
            return None;
        }
        let mut xvfb = Command::new("Xvfb");
        xvfb.args(["-displayfd", "1", "-nolisten", "tcp"]).env("PATH", std::env::var("PATH").unwrap_or_default());
        let mut display = Program::start(&xvfb);
        let name = format!(":{}", display.first_line());
        let (connection, _) = x11rb::connect(Some(&name)).unwrap();
        Some(Self { connection, source: Source::X11(name), _display: display })
    }

    fn key(&self, keysym: u32, down: bool) {
        let setup = self.connection.setup();
        let count = setup.max_keycode - setup.min_keycode + 1;
        let map = self.connection.get_keyboard_mapping(setup.min_keycode, count).unwrap().reply().unwrap();
        let mut keys = map.keysyms.chunks_exact(usize::from(map.keysyms_per_keycode));
        let key = setup.min_keycode + keys.position(|means| means[0] == keysym).unwrap() as u8;
        let event = if down { KEY_PRESS_EVENT } else { KEY_RELEASE_EVENT };
        let root = setup.roots[0].root;
        self.connection.xtest_fake_input(event, key, 0, root, 0, 0, 0).unwrap();
        self.connection.get_input_focus().unwrap().reply().unwrap();
    }

    fn press(&self, keysyms: &[u32]) {
        keysyms.iter().for_each(|&keysym| self.key(keysym, true));
        keysyms.iter().rev().for_each(|&keysym| self.key(keysym, false));
    }

    fn listen(&self) -> (Shortcut, Receiver<Edge>) {
        let (sender, edges) = channel();
        let shortcut = Shortcut::listen(&self.source, &keys(), move |edge| sender.send(edge).unwrap()).unwrap();
        (shortcut, edges)
    }
}

fn keys() -> Keys {
    "Ctrl+Alt+Space".parse().unwrap()
}

fn next(edges: &Receiver<Edge>) -> Edge {
    edges.recv_timeout(Duration::from_secs(20)).unwrap()
}

#[test]
fn a_press_and_its_end_are_told_once_however_long_it_is_held_and_whatever_is_locked() {
    let Some(keyboard) = Keyboard::open() else { return };
    let (shortcut, edges) = keyboard.listen();
    for lock in [None, Some(CAPS_LOCK), Some(NUM_LOCK)] {
        lock.into_iter().for_each(|lock| keyboard.press(&[lock]));
        for keysym in [CONTROL, ALT, SPACE] {
            keyboard.key(keysym, true);
        }
        assert_eq!(next(&edges), Edge::Pressed, "{lock:?}");
        std::thread::sleep(HELD);
        for keysym in [SPACE, ALT, CONTROL] {
            keyboard.key(keysym, false);
        }
        assert_eq!(next(&edges), Edge::Released, "{lock:?}");
    }
    keyboard.press(&[SPACE]);
    keyboard.press(&[CONTROL, SPACE]);
    keyboard.press(&[CONTROL, ALT, LETTER]);
    // The end of the shortcut ends its thread, and with it the channel.
    drop(shortcut);
    assert_eq!(edges.iter().collect::<Vec<_>>(), [], "other keys are not ours");
}

#[test]
fn what_another_program_has_is_said_to_be_taken_until_it_is_free() {
    let Some(keyboard) = Keyboard::open() else { return };
    let (first, _edges) = keyboard.listen();
    let error = Shortcut::listen(&keyboard.source, &keys(), |_| {}).unwrap_err();
    assert!(matches!(error, ShortcutError::Taken(_)));
    assert!(error.to_string().contains("Ctrl+Alt+Space"), "{error}");
    drop(first);
    let (_second, edges) = keyboard.listen();
    keyboard.press(&[CONTROL, ALT, SPACE]);
    assert_eq!(next(&edges), Edge::Pressed);
}

#[test]
fn without_a_display_it_says_so() {
    let error = Shortcut::listen(&Source::X11("nowhere:99".to_owned()), &keys(), |_| {}).unwrap_err();
    assert!(error.to_string().contains("display cannot be reached"), "{error}");
}
