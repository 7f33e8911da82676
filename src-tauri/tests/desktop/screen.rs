//! What a user sees and a window manager does: what is on the display, and a window that is closed from outside.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    AtomEnum, ClientMessageEvent, ConnectionExt as _, EventMask, ImageFormat, InputFocus, Window,
};
use x11rb::rust_connection::RustConnection;

/// How long anything may take. It bounds a hang.
const PATIENCE: Duration = Duration::from_secs(60);
/// A page with letters has more colours than this; a blank window with a frame around it has fewer.
const COLOURS_OF_TEXT: usize = 60;

x11rb::atom_manager! {
    /// What window managers understand.
    Atoms: AtomsCookie {
        _NET_CLIENT_LIST,
        _NET_CLOSE_WINDOW,
    }
}

/// Waits until something is drawn on the display that has as many colours as letters have shades.
///
/// # Panics
/// The display stays blank.
pub fn assert_drawn(display: &str) {
    let (connection, screen) = x11rb::connect(Some(display)).expect("the display is there");
    let root = connection.setup().roots[screen].root;
    let until = Instant::now() + PATIENCE;
    loop {
        let size = connection.get_geometry(root).expect("a request").reply().expect("a geometry");
        let image = connection.get_image(ImageFormat::Z_PIXMAP, root, 0, 0, size.width, size.height, u32::MAX);
        let image = image.expect("a request").reply().expect("a picture");
        let colours: HashSet<&[u8]> = image.data.chunks_exact(4).map(|pixel| &pixel[..3]).collect();
        if colours.len() > COLOURS_OF_TEXT {
            return;
        }
        assert!(Instant::now() < until, "there are only {} colours on the display", colours.len());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Closes every window, as its button in the title bar does, and waits until the programs that drew them are gone.
///
/// # Panics
/// There is no window, or a program does not end.
pub fn close_all(display: &str) {
    let (connection, screen) = x11rb::connect(Some(display)).expect("the display is there");
    let root = connection.setup().roots[screen].root;
    let atoms = Atoms::new(&connection).expect("a connection").reply().expect("atoms");
    let windows = windows(&connection, root, &atoms);
    assert!(!windows.is_empty(), "there is no window");
    for window in windows {
        let close = ClientMessageEvent::new(32, window, atoms._NET_CLOSE_WINDOW, [0, 2, 0, 0, 0]);
        let mask = EventMask::SUBSTRUCTURE_REDIRECT | EventMask::SUBSTRUCTURE_NOTIFY;
        connection.send_event(false, root, mask, close).expect("an event can be sent");
    }
    connection.set_input_focus(InputFocus::POINTER_ROOT, root, x11rb::CURRENT_TIME).expect("a request");
    connection.flush().expect("a connection");
    let until = Instant::now() + PATIENCE;
    loop {
        let left = programs(display);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "{left:?} did not end with the window");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn windows(connection: &RustConnection, root: Window, atoms: &Atoms) -> Vec<Window> {
    let list = connection.get_property(false, root, atoms._NET_CLIENT_LIST, AtomEnum::WINDOW, 0, 64);
    let list = list.expect("a request").reply().expect("a window manager");
    list.value32().into_iter().flatten().collect()
}

/// The names of the app's processes on this display.
fn programs(display: &str) -> Vec<String> {
    let here = format!("DISPLAY={display}\0").into_bytes();
    let processes = std::fs::read_dir("/proc").expect("there is /proc").flatten().map(|entry| entry.path());
    let named = processes.filter_map(|process| {
        let name = std::fs::read_to_string(process.join("comm")).ok()?;
        let environment = std::fs::read(process.join("environ")).ok()?;
        let ours = name.starts_with("amanuensis-app") || name.starts_with("WebKitWeb") || name.starts_with("WebKitNet");
        // The driver stays, and its name begins like those of WebKit's processes.
        let ours = ours && !name.starts_with("WebKitWebDriver");
        (ours && environment.windows(here.len()).any(|part| part == here)).then(|| name.trim().to_owned())
    });
    named.collect()
}
