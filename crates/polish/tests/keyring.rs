//! A key in a real keyring, GNOME's, on a bus of its own: kept, read by another process, replaced, deleted; locked, refused, killed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use amanuensis_polish::{Key, KeyError, KeyKeeper, Place};
use amanuensis_test_support::keyring::{NAME, PATH, keyring};
use amanuensis_test_support::{Program, portal};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::blocking::{Connection, connection::Builder};
use zbus::zvariant::{DynamicType, ObjectPath, OwnedObjectPath, OwnedValue, Type, Value};

/// A bus with a keyring on it, whose files and whose owner's files are in a folder.
struct Desktop {
    keyring: Option<Program>,
    address: String,
    folder: tempfile::TempDir,
    _bus: Program,
}

impl Desktop {
    /// `None` where that cannot be had, which has been printed.
    fn start() -> Option<Self> {
        let (bus, address) = portal::bus()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let keyring = Some(keyring(&address, folder.path())?);
        Some(Self { keyring, address, folder, _bus: bus })
    }

    /// Starts the keyring again, and unlocks it.
    fn start_keyring(&mut self) {
        self.keyring = keyring(&self.address, self.folder.path());
    }

    /// Who keeps the key here, and the file where there is no keyring.
    fn keeper(&self) -> KeyKeeper {
        KeyKeeper::new(self.file()).on_bus(&self.address)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("llm-key")
    }

    fn bus(&self) -> Connection {
        Builder::address(self.address.as_str()).unwrap().build().unwrap()
    }

    /// Locks the keyring, as a desktop does when its user goes away.
    fn lock(&self) {
        let bus = self.bus();
        let default: OwnedObjectPath = call(&bus, "ReadAlias", &("default",));
        let (locked, _): (Vec<OwnedObjectPath>, OwnedObjectPath) = call(&bus, "Lock", &(vec![default],));
        assert_eq!(locked.len(), 1);
    }

    /// A keyring with an empty password becomes the one that is used. It is unlocked without a dialog.
    fn use_open_keyring(&self) {
        let bus = self.bus();
        let (_, session): (OwnedValue, OwnedObjectPath) = call(&bus, "OpenSession", &("plain", Value::from("")));
        let label = HashMap::from([("org.freedesktop.Secret.Collection.Label", Value::from("open"))]);
        let nothing = (&session, Vec::<u8>::new(), Vec::<u8>::new(), "text/plain");
        let answer = bus.call_method(
            Some(NAME),
            PATH,
            Some("org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface"),
            "CreateWithMasterPassword",
            &(label, nothing),
        );
        let collection: OwnedObjectPath = answer.unwrap().body().deserialize().unwrap();
        call::<()>(&bus, "SetAlias", &("default", collection));
    }
}

/// What the keyring answers to a question that the library does not ask.
fn call<T: DeserializeOwned + Type>(bus: &Connection, name: &str, about: &(impl Serialize + DynamicType)) -> T {
    let answer = bus.call_method(Some(NAME), PATH, Some("org.freedesktop.Secret.Service"), name, about).unwrap();
    answer.body().deserialize().unwrap()
}

/// A key as it is found where nothing but a file is.
fn key(text: &str) -> Option<Key> {
    let folder = tempfile::tempdir().unwrap();
    let keeper = KeyKeeper::new(folder.path().join("key")).on_bus("unix:path=/nowhere");
    keeper.keep(text).unwrap();
    keeper.find().unwrap()
}

#[test]
fn a_key_is_kept_in_the_keyring_read_by_another_process_replaced_and_deleted() {
    if let Some(file) = std::env::var_os("AMANUENSIS_TEST_KEY_FILE") {
        // The other process.
        assert_eq!(KeyKeeper::new(file.into()).find().unwrap(), key("sk-2"));
        return;
    }
    let Some(mut desktop) = Desktop::start() else { return };
    let keeper = desktop.keeper();
    assert_eq!((keeper.find().unwrap(), keeper.place().unwrap()), (None, None));
    for text in ["sk-1", "sk-2"] {
        keeper.keep(text).unwrap();
        assert_eq!((keeper.find().unwrap(), keeper.place().unwrap()), (key(text), Some(Place::Keyring)));
    }
    assert!(!desktop.file().exists());
    let mut other = Command::new(std::env::current_exe().unwrap());
    other.args(["--exact", "a_key_is_kept_in_the_keyring_read_by_another_process_replaced_and_deleted"]);
    other.env("DBUS_SESSION_BUS_ADDRESS", &desktop.address).env("AMANUENSIS_TEST_KEY_FILE", desktop.file());
    let other = other.output().unwrap();
    assert!(other.status.success(), "{}", String::from_utf8_lossy(&other.stdout));
    // It is there on the next day too.
    desktop.keyring = None;
    desktop.start_keyring();
    assert_eq!(keeper.find().unwrap(), key("sk-2"));
    keeper.keep("").unwrap();
    assert_eq!((keeper.find().unwrap(), keeper.place().unwrap()), (None, None));
    keeper.keep("").unwrap();
}

#[test]
fn a_key_in_the_file_moves_into_the_keyring_when_it_is_kept_again() {
    let Some(desktop) = Desktop::start() else { return };
    KeyKeeper::new(desktop.file()).on_bus("unix:path=/nowhere").keep("sk-1").unwrap();
    let keeper = desktop.keeper();
    assert_eq!((keeper.find().unwrap(), keeper.place().unwrap()), (key("sk-1"), Some(Place::File)));
    desktop.lock();
    assert!(matches!(keeper.keep("sk-2"), Err(KeyError::Locked)));
    assert_eq!(keeper.find().unwrap(), key("sk-1"), "it is not lost");
    drop(desktop.keyring);
    let mut desktop = Desktop { keyring: None, ..desktop };
    desktop.start_keyring();
    keeper.keep("sk-2").unwrap();
    assert_eq!((keeper.find().unwrap(), keeper.place().unwrap()), (key("sk-2"), Some(Place::Keyring)));
    assert!(!desktop.file().exists());
}

/// A desktop that has the user's password asked for, and whose user does not come.
struct Prompter;

#[zbus::interface(name = "org.gnome.keyring.internal.Prompter")]
impl Prompter {
    fn begin_prompting(&self, _callback: ObjectPath<'_>) {}
    fn stop_prompting(&self, _callback: ObjectPath<'_>) {}
}

#[test]
fn a_locked_keyring_is_not_waited_for_for_ever_and_keeps_what_it_has() {
    let Some(mut desktop) = Desktop::start() else { return };
    let keeper = desktop.keeper();
    keeper.keep("sk-1").unwrap();
    desktop.lock();
    // There is nothing that could ask for the password, as if the user had said no.
    let refused = keeper.find().unwrap_err();
    assert!(matches!(refused, KeyError::Locked), "{refused}");
    assert!(matches!(keeper.keep("sk-2"), Err(KeyError::Locked)));
    assert!(matches!(keeper.keep(""), Err(KeyError::Locked)));
    assert!(!desktop.file().exists(), "a keyring that can be unlocked is the place");
    assert_eq!(keeper.place().unwrap(), Some(Place::Keyring), "that needs no password");
    let bus = desktop.bus();
    bus.object_server().at("/org/gnome/keyring/Prompter", Prompter).unwrap();
    bus.request_name("org.gnome.keyring.SystemPrompter").unwrap();
    let late = keeper.clone().waiting(Duration::from_millis(500));
    assert!(matches!(late.find(), Err(KeyError::Locked)));
    assert!(matches!(late.keep("sk-3"), Err(KeyError::Locked)));
    drop(bus);
    desktop.keyring = None;
    desktop.start_keyring();
    assert_eq!(keeper.find().unwrap(), key("sk-1"));
}

#[test]
fn without_a_keyring_the_file_is_taken_and_what_is_newer_wins() {
    let Some(mut desktop) = Desktop::start() else { return };
    let keeper = desktop.keeper();
    keeper.keep("sk-1").unwrap();
    // Killed between two questions.
    desktop.keyring = None;
    assert_eq!((keeper.find().unwrap(), keeper.place().unwrap()), (None, None));
    keeper.keep("sk-2").unwrap();
    assert_eq!((keeper.find().unwrap(), keeper.place().unwrap()), (key("sk-2"), Some(Place::File)));
    desktop.start_keyring();
    assert_eq!(keeper.find().unwrap(), key("sk-2"), "it was kept later than the one in the keyring");
    keeper.keep("sk-3").unwrap();
    assert_eq!((keeper.find().unwrap(), keeper.place().unwrap()), (key("sk-3"), Some(Place::Keyring)));
}

#[test]
fn a_keyring_that_hangs_is_told_of_and_harms_nothing() {
    let Some(desktop) = Desktop::start() else { return };
    let keeper = desktop.keeper();
    keeper.keep("sk-1").unwrap();
    let pid = desktop.keyring.as_ref().unwrap().id();
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &pid.to_string()]).status();
        assert!(sent.unwrap().success());
    };
    signal("-STOP");
    let error = keeper.place().unwrap_err();
    assert!(matches!(error, KeyError::Silent), "{error}");
    signal("-CONT");
    assert_eq!(keeper.find().unwrap(), key("sk-1"));
    assert!(!desktop.file().exists());
}

/// KDE's wallet where the package is missing with which it encrypts. It holds one key.
struct Wallet;

#[zbus::interface(name = "org.freedesktop.Secret.Service")]
impl Wallet {
    fn open_session(&self, algorithm: &str, _input: Value<'_>) -> zbus::fdo::Result<(OwnedValue, OwnedObjectPath)> {
        if algorithm != "plain" {
            return Err(zbus::fdo::Error::Failed("createDLGroup failed: maybe libqca-ossl is missing".to_owned()));
        }
        let nothing = Value::from("").try_into_owned().expect("a text needs no descriptor");
        Ok((nothing, path("session/1")))
    }

    fn search_items(&self, _attributes: HashMap<String, String>) -> (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) {
        (Vec::new(), vec![path("collection/kdewallet/1")])
    }
}

fn path(below: &str) -> OwnedObjectPath {
    ObjectPath::try_from(format!("{PATH}/{below}")).expect("a path").into()
}

#[test]
fn a_keyring_that_cannot_encrypt_on_the_bus_is_one_all_the_same() {
    let Some((_bus, address)) = portal::bus() else { return };
    let folder = tempfile::tempdir().unwrap();
    let keeper = KeyKeeper::new(folder.path().join("llm-key")).on_bus(&address);
    assert_eq!(keeper.place().unwrap(), None);
    let wallet = Builder::address(address.as_str()).unwrap().serve_at(PATH, Wallet).unwrap().name(NAME).unwrap();
    let _wallet = wallet.build().unwrap();
    assert_eq!(keeper.place().unwrap(), Some(Place::Keyring));
}

#[test]
fn a_locked_keyring_that_can_be_unlocked_is() {
    let Some(desktop) = Desktop::start() else { return };
    desktop.use_open_keyring();
    let keeper = desktop.keeper();
    keeper.keep("sk-1").unwrap();
    assert_eq!(keeper.place().unwrap(), Some(Place::Keyring));
    desktop.lock();
    assert_eq!(keeper.find().unwrap(), key("sk-1"));
    desktop.lock();
    keeper.keep("sk-2").unwrap();
    desktop.lock();
    keeper.keep("").unwrap();
    assert_eq!(keeper.find().unwrap(), None);
}
