//! Text typed on a keyboard that the compositor takes for a real one.
//!
//! *Source*: virtual-keyboard-unstable-v1,
//! <https://gitlab.freedesktop.org/wlroots/wlroots/-/blob/0.17.0/protocol/virtual-keyboard-unstable-v1.xml>.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use wayland_client::globals::{BindError, GlobalListContents, registry_queue_init};
use wayland_client::protocol::wl_keyboard::KeymapFormat;
use wayland_client::protocol::wl_registry::WlRegistry;
use wayland_client::protocol::wl_seat::{self, Capability, WlSeat};
use wayland_client::{Connection, Dispatch, EventQueue, QueueHandle, WEnum, delegate_noop};
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_manager_v1::ZwpVirtualKeyboardManagerV1;
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_v1::ZwpVirtualKeyboardV1;

use super::keymap::{INSERT, LEFT_SHIFT, pasting, plan};
use super::{Keys, display};
use crate::{InsertError, Way};

/// Keys that are pressed without a pause. A compositor parts with a program that has too much to read.
const BURST: usize = 20;
const PAUSE: Duration = Duration::from_millis(10);
/// What programs are given to notice that there is a keyboard at all, where none was before.
const ARRIVAL: Duration = Duration::from_millis(500);

const DOWN: u32 = 1;
const UP: u32 = 0;
/// The bit of Shift among the modifiers of every keyboard.
const SHIFT: u32 = 1;

/// Types on a keyboard of its own.
pub struct Typing {
    queue: EventQueue<State>,
    state: State,
    keyboard: ZwpVirtualKeyboardV1,
    start: Instant,
}

#[derive(Default)]
struct State {
    has_keyboard: bool,
}

impl Typing {
    pub fn open(socket: &Path) -> Result<Self, InsertError> {
        let connection = Connection::from_socket(UnixStream::connect(socket).map_err(display)?).map_err(display)?;
        let (globals, mut queue) = registry_queue_init::<State>(&connection).map_err(display)?;
        let handle = queue.handle();
        let missing =
            |_: BindError| InsertError::NotHere { needs: "a compositor with virtual keyboards, like Sway or Hyprland" };
        let manager: ZwpVirtualKeyboardManagerV1 = globals.bind(&handle, 1..=1, ()).map_err(missing)?;
        let seat: WlSeat = globals.bind(&handle, 1..=1, ()).map_err(missing)?;
        let mut state = State::default();
        queue.roundtrip(&mut state).map_err(display)?;
        let keyboard = manager.create_virtual_keyboard(&seat, &handle, ());
        let has_keyboard = state.has_keyboard;
        let mut typing = Self { queue, state, keyboard, start: Instant::now() };
        typing.set_keymap(&plan("")[0].keymap)?;
        if !has_keyboard {
            std::thread::sleep(ARRIVAL);
        }
        Ok(typing)
    }

    fn set_keymap(&mut self, keymap: &str) -> Result<(), InsertError> {
        let bytes = [keymap.as_bytes(), b"\0"].concat();
        let mut file = tempfile::tempfile().map_err(display)?;
        file.write_all(&bytes).map_err(display)?;
        let length = u32::try_from(bytes.len()).expect("BUG: a keyboard has 255 keys");
        self.keyboard.keymap(KeymapFormat::XkbV1 as u32, file.as_fd(), length);
        self.keyboard.modifiers(0, 0, 0, 0);
        self.sync()
    }

    fn press(&self, key: u32) {
        [DOWN, UP].into_iter().for_each(|state| self.key(key, state));
    }

    fn key(&self, key: u32, state: u32) {
        // Milliseconds since some time, which may wrap.
        self.keyboard.key(self.start.elapsed().as_millis() as u32, key, state);
    }

    /// Returns when the compositor has done all it was asked for.
    fn sync(&mut self) -> Result<(), InsertError> {
        self.queue.roundtrip(&mut self.state).map(|_| ()).map_err(display)
    }
}

impl Way for Typing {
    fn insert(&mut self, text: &str) -> Result<(), InsertError> {
        for batch in plan(text) {
            self.set_keymap(&batch.keymap)?;
            for keys in batch.keys.chunks(BURST) {
                keys.iter().for_each(|&key| self.press(key));
                self.sync()?;
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    }
}

impl Keys for Typing {
    fn paste(&mut self) -> Result<(), InsertError> {
        self.set_keymap(pasting())?;
        self.key(LEFT_SHIFT, DOWN);
        self.keyboard.modifiers(SHIFT, 0, 0, 0);
        self.press(INSERT);
        self.key(LEFT_SHIFT, UP);
        self.keyboard.modifiers(0, 0, 0, 0);
        self.sync()
    }
}

impl Dispatch<WlSeat, ()> for State {
    fn event(state: &mut Self, _: &WlSeat, event: wl_seat::Event, _: &(), _: &Connection, _: &QueueHandle<Self>) {
        if let wl_seat::Event::Capabilities { capabilities: WEnum::Value(capabilities) } = event {
            state.has_keyboard = capabilities.contains(Capability::Keyboard);
        }
    }
}

impl Dispatch<WlRegistry, GlobalListContents> for State {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: <WlRegistry as wayland_client::Proxy>::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

delegate_noop!(State: ZwpVirtualKeyboardManagerV1);
delegate_noop!(State: ZwpVirtualKeyboardV1);
