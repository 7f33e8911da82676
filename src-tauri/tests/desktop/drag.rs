//! A file manager in a few lines: drags files onto a window and drops them, by the desktop's own protocol.
//!
//! *Source*: XDND version 5, <https://freedesktop.org/wiki/Specifications/XDND/>.

use std::path::Path;
use std::time::{Duration, Instant};

use x11rb::CURRENT_TIME;
use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    Atom, AtomEnum, ClientMessageEvent, ConnectionExt as _, CreateWindowAux, EventMask, PropMode,
    SELECTION_NOTIFY_EVENT, SelectionNotifyEvent, SelectionRequestEvent, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// How long the window may take to accept the files and to fetch them.
const PATIENCE: Duration = Duration::from_secs(30);

x11rb::atom_manager! {
    /// The words of the protocol.
    Atoms: AtomsCookie {
        XdndAware,
        XdndSelection,
        XdndEnter,
        XdndPosition,
        XdndStatus,
        XdndDrop,
        XdndFinished,
        XdndActionCopy,
        uri_list: b"text/uri-list",
    }
}

/// Drops files on the middle of the window with this title.
///
/// # Panics
/// There is no such window, or it does not take the files.
pub fn drop_files(display: &str, title: &str, files: &[&Path]) {
    let (connection, screen) = x11rb::connect(Some(display)).expect("the display is there");
    let root = connection.setup().roots[screen].root;
    let atoms = Atoms::new(&connection).expect("a connection").reply().expect("atoms");
    let target = find(&connection, root, title, &atoms).expect("the window takes drops");
    let source = connection.generate_id().expect("an id");
    let aux = CreateWindowAux::new();
    connection.create_window(0, source, root, 0, 0, 1, 1, 0, WindowClass::INPUT_ONLY, 0, &aux).expect("a window");
    connection.set_selection_owner(source, atoms.XdndSelection, CURRENT_TIME).expect("a selection");

    let size = connection.get_geometry(target).expect("a request").reply().expect("a geometry");
    let (middle_x, middle_y) = (size.width as i16 / 2, size.height as i16 / 2);
    let middle = connection.translate_coordinates(target, root, middle_x, middle_y);
    let middle = middle.expect("a request").reply().expect("coordinates");
    let middle = (u32::from(middle.dst_x as u16) << 16) | u32::from(middle.dst_y as u16);

    let list: String = files.iter().map(|file| format!("file://{}\r\n", file.display())).collect();
    let drag = Drag { connection, atoms, target, list };
    let version = 5 << 24;
    drag.say(drag.atoms.XdndEnter, [source, version, drag.atoms.uri_list, 0, 0]);
    // The window answers once it knows what is dragged, for which it has to ask us in turn; until then it declines.
    drag.until(drag.atoms.XdndStatus, || {
        drag.say(drag.atoms.XdndPosition, [source, 0, middle, CURRENT_TIME, drag.atoms.XdndActionCopy]);
    });
    drag.say(drag.atoms.XdndDrop, [source, 0, CURRENT_TIME, 0, 0]);
    drag.until(drag.atoms.XdndFinished, || {});
}

/// The window of this title that takes drops, looked for from `window` downwards.
fn find(connection: &RustConnection, window: Window, title: &str, atoms: &Atoms) -> Option<Window> {
    let property = |name: Atom| connection.get_property(false, window, name, AtomEnum::ANY, 0, 256).ok()?.reply().ok();
    let aware = property(atoms.XdndAware).is_some_and(|value| value.value_len > 0);
    let titled = property(AtomEnum::WM_NAME.into()).is_some_and(|value| value.value == title.as_bytes());
    if aware && titled {
        return Some(window);
    }
    let children = connection.query_tree(window).ok()?.reply().ok()?.children;
    children.into_iter().find_map(|child| find(connection, child, title, atoms))
}

struct Drag {
    connection: RustConnection,
    atoms: Atoms,
    target: Window,
    list: String,
}

impl Drag {
    fn say(&self, what: Atom, data: [u32; 5]) {
        let message = ClientMessageEvent::new(32, self.target, what, data);
        self.connection.send_event(false, self.target, EventMask::NO_EVENT, message).expect("a message");
        self.connection.flush().expect("a connection");
    }

    /// Hands out the files to whoever asks, and repeats itself until the window gives this answer with a yes in it.
    fn until(&self, answer: Atom, repeat: impl Fn()) {
        let until = Instant::now() + PATIENCE;
        loop {
            repeat();
            let pause = Instant::now() + Duration::from_millis(100);
            while Instant::now() < pause {
                match self.connection.poll_for_event().expect("a connection") {
                    Some(Event::SelectionRequest(request)) => self.hand_out(&request),
                    Some(Event::ClientMessage(message)) if message.type_ == answer => {
                        if message.data.as_data32()[1] & 1 == 1 {
                            return;
                        }
                    }
                    Some(_) => {}
                    None => std::thread::sleep(Duration::from_millis(5)),
                }
            }
            assert!(Instant::now() < until, "the window does not take the files");
        }
    }

    fn hand_out(&self, request: &SelectionRequestEvent) {
        let known = request.target == self.atoms.uri_list;
        if known {
            let (window, property) = (request.requestor, request.property);
            let kind = self.atoms.uri_list;
            self.connection
                .change_property8(PropMode::REPLACE, window, property, kind, self.list.as_bytes())
                .expect("a property");
        }
        let notice = SelectionNotifyEvent {
            response_type: SELECTION_NOTIFY_EVENT,
            sequence: 0,
            time: request.time,
            requestor: request.requestor,
            selection: request.selection,
            target: request.target,
            property: if known { request.property } else { AtomEnum::NONE.into() },
        };
        self.connection.send_event(false, request.requestor, EventMask::NO_EVENT, notice).expect("a message");
        self.connection.flush().expect("a connection");
    }
}
