//! The tray: what it shows and offers, by a watcher of the test's own.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use zbus::blocking::{Connection, Proxy, connection};
use zbus::zvariant::OwnedValue;

use crate::overlay::Neighbour;
use crate::stage::{Setting, Stage};
use crate::{STATUS, drive, has_model};

/// How long the app may take to do what the tray asks for, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a desktop has that shows icons in a tray.
struct Watcher(Sender<String>);

#[zbus::interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    fn register_status_notifier_item(&self, service: String) {
        self.0.send(service).expect("the test goes on");
    }

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }
}

/// The icon of the app in such a tray.
struct Icon {
    connection: Connection,
    name: String,
}

impl Icon {
    fn wait_for(connection: Connection, items: &Receiver<String>) -> Self {
        let name = items.recv_timeout(PATIENCE).expect("the app shows itself in the tray");
        Self { connection, name }
    }

    fn item(&self) -> Proxy<'_> {
        let (path, interface) = ("/StatusNotifierItem", "org.kde.StatusNotifierItem");
        Proxy::new(&self.connection, self.name.as_str(), path, interface).expect("an icon")
    }

    fn menu(&self) -> Proxy<'_> {
        Proxy::new(&self.connection, self.name.as_str(), "/MenuBar", "com.canonical.dbusmenu").expect("a menu")
    }

    /// The entries of the menu by what they say.
    fn entries(&self) -> HashMap<String, i32> {
        type Entries = Vec<(i32, HashMap<String, OwnedValue>)>;
        let (no_ids, names): ([i32; 0], _) = ([], ["label"]);
        let entries: Entries = self.menu().call("GetGroupProperties", &(&no_ids[..], &names[..])).expect("a menu");
        let label = |mut entry: HashMap<String, OwnedValue>| String::try_from(entry.remove("label")?).ok();
        entries.into_iter().filter_map(|(id, entry)| Some((label(entry)?, id))).collect()
    }

    fn wait_until_it_says(&self, words: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.entries().contains_key(words) {
            assert!(Instant::now() < until, "`{words}` never stands in the menu: {:?}", self.entries());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn choose(&self, entry: &str) {
        let id = self.entries()[entry];
        let nothing = zbus::zvariant::Value::from("");
        self.menu().call::<_, _, ()>("Event", &(id, "clicked", nothing, 0_u32)).expect("it can be chosen");
    }
}

/// A tray on this bus, and what registers there.
fn tray(bus: &str) -> (Connection, Receiver<String>) {
    let (sender, items) = channel();
    let connection = connection::Builder::address(bus)
        .and_then(|builder| builder.serve_at("/StatusNotifierWatcher", Watcher(sender)))
        .and_then(|builder| builder.name("org.kde.StatusNotifierWatcher"))
        .and_then(connection::Builder::build);
    (connection.expect("the bus is there"), items)
}

#[test]
fn the_tray_says_what_the_app_does_and_keeps_it_when_its_window_is_closed() {
    drive(async {
        if !has_model() {
            return;
        }
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        let (connection, items) = tray(stage.bus());
        let icon = Icon::wait_for(connection, &items);
        icon.wait_until_it_says("Ready");
        icon.choose("Start dictating");
        icon.wait_until_it_says("Stop dictating");
        stage.wait_for(STATUS, |text| text.starts_with("Listening")).await;
        icon.choose("Stop dictating");
        icon.wait_until_it_says("Ready");

        let letter = Neighbour::open(stage.display());
        letter.close("Amanuensis");
        letter.until("the window is gone", || letter.seen("Amanuensis").is_none());
        icon.wait_until_it_says("Ready");
        icon.item().call::<_, _, ()>("Activate", &(0_i32, 0_i32)).expect("it can be pressed");
        letter.until("the window is back", || letter.seen("Amanuensis").is_some());
        icon.choose("Quit");
        letter.until("the app has ended", || letter.seen("Amanuensis").is_none());
        let until = Instant::now() + PATIENCE;
        while icon.item().get_property::<String>("Title").is_ok() {
            assert!(Instant::now() < until, "the icon outlives the app");
            std::thread::sleep(Duration::from_millis(100));
        }
    });
}

#[test]
fn without_a_tray_closing_the_window_ends_the_app() {
    drive(async {
        if !has_model() {
            return;
        }
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        let letter = Neighbour::open(stage.display());
        letter.close("Amanuensis");
        letter.until("the window is gone", || letter.seen("Amanuensis").is_none());
        // It tells another start what to do only while it runs.
        let (connection, items) = tray(stage.bus());
        assert!(items.recv_timeout(Duration::from_secs(2)).is_err(), "nobody is left to register");
        drop(connection);
    });
}
