//! The overlay: there while one dictates into another program, and never in the way.

use std::time::{Duration, Instant};

use amanuensis_test_support::{heard, speak};
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    AtomEnum, ClientMessageEvent, ConnectionExt as _, CreateWindowAux, EventMask, MapState, PropMode, Window,
    WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

use crate::stage::{Setting, Stage, repository};
use crate::{SAID, UNDERSTOOD, drive, has_model};

pub const TITLE: &str = "Amanuensis: dictation";
/// How long a window may take to come or go, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Another program, into which one dictates.
pub struct Neighbour {
    connection: RustConnection,
    root: Window,
    window: Window,
}

impl Neighbour {
    /// Opens its window and waits until that has the focus.
    pub fn open(display: &str) -> Self {
        let (connection, screen) = x11rb::connect(Some(display)).expect("the display is there");
        let root = connection.setup().roots[screen].root;
        let window = connection.generate_id().expect("an id");
        let aux = CreateWindowAux::new();
        connection
            .create_window(0, window, root, 0, 0, 300, 200, 0, WindowClass::INPUT_OUTPUT, 0, &aux)
            .expect("a window");
        connection
            .change_property8(PropMode::REPLACE, window, AtomEnum::WM_NAME, AtomEnum::STRING, b"Letter")
            .expect("a name");
        connection.map_window(window).expect("a window");
        connection.flush().expect("a connection");
        let neighbour = Self { connection, root, window };
        neighbour.until("the other window has the focus", || neighbour.has_focus());
        neighbour
    }

    /// Waits until something `holds`.
    ///
    /// # Panics
    /// It never does.
    pub fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < until, "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn atom(&self, name: &[u8]) -> u32 {
        self.connection.intern_atom(false, name).expect("a request").reply().expect("an atom").atom
    }

    fn windows(&self, window: Window, name: &[u8]) -> Vec<Window> {
        let property = self.connection.get_property(false, window, self.atom(name), AtomEnum::ANY, 0, 256);
        let reply = property.expect("a request").reply().expect("a property");
        reply.value32().map(Iterator::collect).unwrap_or_default()
    }

    /// Whether the window manager says so, and the keyboard agrees.
    fn has_focus(&self) -> bool {
        let focus = self.connection.get_input_focus().expect("a request").reply().expect("a focus").focus;
        self.windows(self.root, b"_NET_ACTIVE_WINDOW") == [self.window] && focus == self.window
    }

    /// The window of this title, if it can be seen.
    pub fn seen(&self, title: &str) -> Option<Window> {
        self.windows(self.root, b"_NET_CLIENT_LIST").into_iter().find(|window| {
            let name = self.connection.get_property(false, *window, AtomEnum::WM_NAME, AtomEnum::ANY, 0, 256);
            let attributes = self.connection.get_window_attributes(*window);
            // It may have vanished meanwhile.
            let named = name.ok().and_then(|name| name.reply().ok()).is_some_and(|name| name.value == title.as_bytes());
            let seen = attributes.ok().and_then(|seen| seen.reply().ok());
            named && seen.is_some_and(|seen| seen.map_state == MapState::VIEWABLE)
        })
    }

    /// Whether the window of this title is kept above others.
    pub fn lies_above(&self, title: &str) -> bool {
        let states = self.seen(title).map(|window| self.windows(window, b"_NET_WM_STATE")).unwrap_or_default();
        states.contains(&self.atom(b"_NET_WM_STATE_ABOVE"))
    }

    /// Width and height of the window of this title, if it can be seen.
    pub fn size(&self, title: &str) -> Option<(i32, i32)> {
        let (_, _, width, height) = self.place(self.seen(title)?);
        Some((width, height))
    }

    fn overlay(&self) -> Option<Window> {
        self.seen(TITLE)
    }

    /// Asks the window of this title to close, as the button in its frame does.
    pub fn close(&self, title: &str) {
        let window = self.seen(title).expect("the window is there");
        let message = ClientMessageEvent::new(32, window, self.atom(b"_NET_CLOSE_WINDOW"), [0; 5]);
        let manager = EventMask::SUBSTRUCTURE_REDIRECT | EventMask::SUBSTRUCTURE_NOTIFY;
        self.connection.send_event(false, self.root, manager, message).expect("a message");
        self.connection.flush().expect("a connection");
    }

    /// Where a window is on the screen: left, top, width, height.
    fn place(&self, window: Window) -> (i32, i32, i32, i32) {
        let size = self.connection.get_geometry(window).expect("a request").reply().expect("a geometry");
        let corner = self.connection.translate_coordinates(window, self.root, 0, 0);
        let corner = corner.expect("a request").reply().expect("coordinates");
        (corner.dst_x.into(), corner.dst_y.into(), size.width.into(), size.height.into())
    }
}

/// Waits for what stands in an element. WebDriver takes words for unseen whose box cuts off what does not fit.
pub async fn wait_for_words(stage: &Stage, selector: &str, fits: impl Fn(&str) -> bool) {
    let script = format!("return document.querySelector('{selector}')?.textContent ?? ''");
    let until = Instant::now() + PATIENCE;
    loop {
        let words = stage.page.execute(&script, Vec::new()).await.expect("the page answers");
        if words.as_str().is_some_and(&fits) {
            return;
        }
        assert!(Instant::now() < until, "`{selector}` says {words}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn the_overlay_is_there_while_one_dictates_elsewhere_and_takes_no_focus() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        let letter = Neighbour::open(stage.display());
        assert_eq!(letter.overlay(), None);

        stage.app_again(&["--toggle"]);
        letter.until("the overlay is seen", || letter.overlay().is_some());
        assert!(letter.has_focus());
        let overlay = letter.overlay().expect("it was seen");
        letter.until("it is in its place", || {
            let (left, top, width, height) = letter.place(overlay);
            let (right, below) = (1280 - left - width, 1024 - top - height);
            (left - right).abs() <= 2 && (20..100).contains(&below)
        });
        for state in [b"_NET_WM_STATE_SKIP_TASKBAR".as_slice(), b"_NET_WM_STATE_SKIP_PAGER", b"_NET_WM_STATE_ABOVE"] {
            let states = letter.windows(overlay, b"_NET_WM_STATE");
            assert!(states.contains(&letter.atom(state)), "{}", String::from_utf8_lossy(state));
        }
        let kind = letter.windows(overlay, b"_NET_WM_WINDOW_TYPE");
        assert_eq!(kind, [letter.atom(b"_NET_WM_WINDOW_TYPE_NOTIFICATION")]);

        let main = stage.page.window().await.expect("a window");
        stage.enter_other_window(&main).await;
        wait_for_words(&stage, "[role=status]", |text| text == "Listening").await;
        stage.microphone.play(&voice);
        wait_for_words(&stage, "main .text", |text| heard(SAID, text) >= UNDERSTOOD / 2.0).await;
        stage.shoot("overlay").await;
        let rules = repository("ui/node_modules/axe-core/axe.min.js");
        match std::fs::read_to_string(&rules) {
            Ok(rules) => stage.check_accessibility(&rules).await,
            Err(_) => println!("skipped: {} is not there; `cargo xtask setup` puts it there", rules.display()),
        }
        stage.app_again(&["--stop"]);
        letter.until("the overlay is gone", || letter.overlay().is_none());
        assert!(letter.has_focus());

        stage.app_again(&["--start"]);
        letter.until("the overlay is seen again", || letter.overlay().is_some());
        stage.app_again(&["--cancel"]);
        letter.until("the overlay is gone again", || letter.overlay().is_none());
        assert!(letter.has_focus());
        stage.page.switch_to_window(main).await.expect("the main window is there");
        stage.close().await;
    });
}

#[test]
fn the_overlay_leaves_the_window_alone_that_has_it_all_in_it() {
    drive(async {
        if !has_model() {
            return;
        }
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        stage.press("Start dictating").await;
        stage.wait_for("[role=status]", |text| text.starts_with("Listening")).await;
        assert_eq!(stage.page.windows().await.expect("windows").len(), 1, "only the main window was made");
        stage.close().await;
    });
}
