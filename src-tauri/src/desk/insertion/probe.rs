//! A window of our own that text is typed into and read back from, to see which ways of inserting work here.

use std::cell::RefCell;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use amanuensis_insert::{InsertError, Inserter, WayName};
use gtk::glib::MainContext;
use gtk::prelude::{ContainerExt as _, EntryExt as _, GtkWindowExt as _, WidgetExt as _};

/// What is typed: capitals, an accent, other alphabets, a sign beyond the first 65,536.
const SAMPLE: &str = "Test: Äé, λ, Ж, 漢, €, 😀.";
/// How long the window may take to get the focus, and then the text.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

thread_local! {
    /// The window, on GTK's thread.
    static OPEN: RefCell<Option<(gtk::Window, gtk::Entry)>> = const { RefCell::new(None) };
}

/// Why a way is not to be relied on.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// It cannot be used, or says itself that it failed.
    #[error(transparent)]
    Insert(#[from] InsertError),
    /// It says that all is well, and is wrong.
    #[error("not all of the text arrived; choose another way")]
    Lost,
    /// The window for the test was never in front.
    #[error("the window for the test never got the focus; close what lies over it and test again")]
    NoFocus,
}

/// Tries every way, in their order, and says which ones brought the text.
pub fn test(inserter: &mut Inserter) -> Vec<(WayName, Result<(), TestError>)> {
    on_main(|| {
        let window = gtk::Window::new(gtk::WindowType::Toplevel);
        window.set_title("Amanuensis");
        window.set_default_size(420, 60);
        window.set_position(gtk::WindowPosition::Center);
        let entry = gtk::Entry::new();
        window.add(&entry);
        window.show_all();
        window.present();
        entry.grab_focus();
        OPEN.set(Some((window, entry)));
    });
    let results = inserter.ways().to_vec().into_iter().map(|way| (way, test_way(inserter, way))).collect();
    on_main(|| OPEN.take().map(|(window, _)| window.close()));
    results
}

fn test_way(inserter: &mut Inserter, way: WayName) -> Result<(), TestError> {
    // The desktop's question, if it has one, takes the focus away.
    inserter.prepare(way)?;
    read(|_, entry| entry.set_text(""));
    if !soon(|| read(|window, entry| window.is_active() && entry.has_focus()) == Some(true)) {
        return Err(TestError::NoFocus);
    }
    // GTK may believe in its focus a moment before the window manager gives it.
    let until = Instant::now() + PATIENCE;
    while let Err(cause) = inserter.insert_by(way, SAMPLE) {
        if !matches!(cause, InsertError::NoFocus) || Instant::now() > until {
            return Err(cause.into());
        }
        std::thread::sleep(LOOK);
    }
    let arrived = || read(|_, entry| entry.text().as_str() == SAMPLE) == Some(true);
    if soon(arrived) { Ok(()) } else { Err(TestError::Lost) }
}

fn soon(is_so: impl Fn() -> bool) -> bool {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if is_so() {
            return true;
        }
        std::thread::sleep(LOOK);
    }
    false
}

/// Looks at the window. `None` if the user has closed the app meanwhile.
fn read<T: Send + 'static>(look: impl FnOnce(&gtk::Window, &gtk::Entry) -> T + Send + 'static) -> Option<T> {
    on_main(move || OPEN.with_borrow(|open| open.as_ref().map(|(window, entry)| look(window, entry)))).flatten()
}

/// Does something on GTK's thread.
fn on_main<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = channel();
    // Nobody waits for it any more if it took too long.
    MainContext::default().invoke(move || _ = done.send(work()));
    result.recv_timeout(PATIENCE).ok()
}
