//! The desktop's portal for remote control, played by the test: it asks once, and types what it is told.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use amanuensis_insert::{Desktop, InsertError, Inserter, Manner, WayName};
use amanuensis_test_support::portal::{NAME, Options, PATH, answer, bus, path, word};
use amanuensis_test_support::{MIXED, Program};
use zbus::connection::{Builder, Connection};
use zbus::message::Header;
use zbus::zvariant::{OwnedObjectPath, Value};
use zbus::{block_on, interface};

/// What the portal is told.
#[derive(Debug, PartialEq)]
enum Told {
    /// Which devices are wanted, the token of an earlier permission, and how long a new one is to hold.
    Wanted { devices: u32, token: String, persist: u32 },
    /// A key goes down, or up.
    Key(i32, u32),
    /// The session is over.
    Closed,
}

/// Lends a keyboard, as long as the user wants it.
struct Portal {
    told: Sender<Told>,
    tokens: Vec<&'static str>,
    refuses: bool,
}

struct Session(Sender<Told>);

#[interface(name = "org.freedesktop.portal.Session")]
impl Session {
    fn close(&self) {
        let _ = self.0.send(Told::Closed);
    }
}

#[interface(name = "org.freedesktop.portal.RemoteDesktop")]
impl Portal {
    #[zbus(property, name = "version")]
    fn version(&self) -> u32 {
        2
    }

    /// A keyboard and a pointer.
    #[zbus(property)]
    fn available_device_types(&self) -> u32 {
        3
    }

    async fn create_session(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> OwnedObjectPath {
        let session = path("session", &header, &options, "session_handle_token");
        bus.object_server().at(&session, Session(self.told.clone())).await.unwrap();
        let results = [("session_handle", Value::from(session.as_str()))].into();
        answer(bus, &header, &options, 0, results).await
    }

    async fn select_devices(
        &self,
        _session: OwnedObjectPath,
        options: Options,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> OwnedObjectPath {
        let number = |name: &str| options.get(name).and_then(|value| u32::try_from(value).ok()).unwrap_or_default();
        let token = word(&options, "restore_token");
        let (devices, persist) = (number("types"), number("persist_mode"));
        self.told.send(Told::Wanted { devices, token, persist }).unwrap();
        answer(bus, &header, &options, 0, HashMap::new()).await
    }

    async fn start(
        &mut self,
        _session: OwnedObjectPath,
        _parent: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> OwnedObjectPath {
        if self.refuses {
            return answer(bus, &header, &options, 1, HashMap::new()).await;
        }
        let token = self.tokens.remove(0);
        let results = [("devices", Value::from(1_u32)), ("restore_token", Value::from(token))].into();
        answer(bus, &header, &options, 0, results).await
    }

    fn notify_keyboard_keysym(&self, _session: OwnedObjectPath, _options: Options, keysym: i32, state: u32) {
        self.told.send(Told::Key(keysym, state)).unwrap();
    }
}

/// A desktop with such a portal.
struct Stage {
    _daemon: Program,
    _portal: Connection,
    told: Receiver<Told>,
    desktop: Desktop,
    folder: tempfile::TempDir,
}

impl Stage {
    fn open(refuses: bool) -> Option<Self> {
        let (daemon, address) = bus()?;
        let (sender, told) = channel();
        let portal = Portal { told: sender, tokens: vec!["first", "second"], refuses };
        let portal = block_on(async {
            let builder = Builder::address(address.as_str()).unwrap().serve_at(PATH, portal).unwrap();
            builder.name(NAME).unwrap().build().await.unwrap()
        });
        let desktop = Desktop {
            is_wayland: true,
            wayland: Some("/nowhere/wayland-9".into()),
            bus: Some(address),
            ..Desktop::default()
        };
        let folder = tempfile::tempdir().unwrap();
        Some(Self { _daemon: daemon, _portal: portal, told, desktop, folder })
    }

    fn token(&self) -> PathBuf {
        self.folder.path().join("new/permission")
    }

    fn inserter(&self) -> Inserter {
        let manner = Manner { first: Some(WayName::Portal), permission: Some(self.token()), ..Manner::default() };
        Inserter::new(self.desktop.clone(), manner)
    }

    fn next(&self) -> Told {
        self.told.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    /// What somebody would read who has the focus.
    fn typed(&self, characters: usize) -> String {
        let strokes = (0..characters).map(|_| {
            let (Told::Key(down, 1), Told::Key(up, 0)) = (self.next(), self.next()) else { panic!("a key was missed") };
            assert_eq!(down, up, "no key stays down");
            match down {
                0xff0d => '\n',
                _ => char::from_u32(down as u32 & !0x0100_0000).unwrap(),
            }
        });
        strokes.collect()
    }
}

#[test]
fn the_desktop_asks_once_and_types_any_text() {
    let Some(stage) = Stage::open(false) else { return };
    let mut inserter = stage.inserter();
    let error = inserter.insert("Not yet.").unwrap_err();
    assert!(matches!(error.tried[0], (WayName::Portal, InsertError::NotAsked)), "{error:?}");
    assert!(error.to_string().contains("Test all ways"), "{error}");
    assert!(stage.told.try_recv().is_err(), "nobody who speaks is asked anything");
    let state = |inserter: &Inserter| inserter.examine().remove(0).1;
    assert!(matches!(state(&inserter), Err(InsertError::NotAsked)));

    let text = format!("{MIXED}\nA");
    inserter.insert_by(WayName::Portal, &text).unwrap();
    assert_eq!(stage.next(), Told::Wanted { devices: 1, token: String::new(), persist: 2 });
    assert_eq!(stage.typed(text.chars().count()), text);
    assert_eq!(std::fs::read_to_string(stage.token()).unwrap(), "first");
    assert_eq!(std::fs::metadata(stage.token()).unwrap().permissions().mode() & 0o777, 0o600);
    inserter.insert("In the same session.").unwrap();
    assert_eq!(stage.typed(20), "In the same session.");
    drop(inserter);
    assert_eq!(stage.next(), Told::Closed);

    let mut inserter = stage.inserter();
    assert!(state(&inserter).is_ok());
    assert!(stage.told.try_recv().is_err(), "whether it may is found out without a session");
    assert_eq!(inserter.insert("b").unwrap().way, WayName::Portal);
    assert_eq!(stage.next(), Told::Wanted { devices: 1, token: "first".into(), persist: 2 });
    assert_eq!(stage.typed(1), "b");
    assert_eq!(std::fs::read_to_string(stage.token()).unwrap(), "second");
}

#[test]
fn a_no_is_said_and_remembered_by_nobody() {
    let Some(stage) = Stage::open(true) else { return };
    std::fs::create_dir_all(stage.token().parent().unwrap()).unwrap();
    std::fs::write(stage.token(), "of another day").unwrap();
    let error = stage.inserter().insert("lost?").unwrap_err();
    assert!(matches!(error.tried[0], (WayName::Portal, InsertError::Refused { .. })), "{error:?}");
    assert!(!stage.token().exists(), "what does not hold any more is not shown again");
}

#[test]
fn without_a_portal_the_others_are_tried() {
    let Some((_daemon, address)) = bus() else { return };
    let desktop = Desktop {
        is_wayland: true,
        wayland: Some("/nowhere/wayland-9".into()),
        bus: Some(address),
        ..Desktop::default()
    };
    let mut inserter = Inserter::new(desktop, Manner::default());
    let error = inserter.insert_by(WayName::Portal, "lost?").unwrap_err();
    assert!(matches!(error, InsertError::NotHere { .. }), "{error}");
}
