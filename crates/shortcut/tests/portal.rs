//! A desktop's portal that is not there, and one played by the test.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use amanuensis_shortcut::{Edge, Keys, Shortcut, ShortcutError, Source};
use amanuensis_test_support::portal::{NAME, Options, PATH, answer, bus, path, word};
use zbus::connection::{Builder, Connection};
use zbus::message::Header;
use zbus::zvariant::{ObjectPath, OwnedObjectPath, Value};
use zbus::{block_on, interface};

const INTERFACE: &str = "org.freedesktop.portal.GlobalShortcuts";

/// Grants everything, and tells which keys were wished for.
struct Portal {
    wished: std::sync::mpsc::Sender<(OwnedObjectPath, String, [String; 2])>,
}

#[interface(name = "org.freedesktop.portal.GlobalShortcuts")]
impl Portal {
    #[zbus(property, name = "version")]
    fn version(&self) -> u32 {
        1
    }

    async fn create_session(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> OwnedObjectPath {
        let session = path("session", &header, &options, "session_handle_token");
        let results = [("session_handle", Value::from(session.as_str()))].into();
        answer(bus, &header, &options, 0, results).await
    }

    async fn bind_shortcuts(
        &self,
        session: OwnedObjectPath,
        shortcuts: Vec<(String, Options)>,
        _parent: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> OwnedObjectPath {
        for (id, about) in shortcuts {
            let about = ["preferred_trigger", "description"].map(|name| word(&about, name));
            self.wished.send((session.clone(), id, about)).unwrap();
        }
        answer(bus, &header, &options, 0, HashMap::new()).await
    }
}

fn keys() -> Keys {
    "Ctrl+Alt+Space".parse().unwrap()
}

fn next<T>(news: &Receiver<T>) -> T {
    news.recv_timeout(Duration::from_secs(20)).unwrap()
}

#[test]
fn the_desktop_is_asked_for_the_keys_and_tells_when_they_are_pressed() {
    let Some((_daemon, address)) = bus() else { return };
    let (wished, wishes) = channel();
    let portal = block_on(async {
        let builder = Builder::address(address.as_str()).unwrap().serve_at(PATH, Portal { wished }).unwrap();
        builder.name(NAME).unwrap().build().await.unwrap()
    });
    let (sender, edges) = channel();
    let source = Source::Portal { bus: Some(address), description: "Diktieren".to_owned() };
    let shortcut = Shortcut::listen(&source, &keys(), move |edge| sender.send(edge).unwrap()).unwrap();
    let (session, id, about) = next(&wishes);
    assert_eq!(about, ["CTRL+ALT+space", "Diktieren"]);
    for (signal, edge) in [("Activated", Edge::Pressed), ("Deactivated", Edge::Released)] {
        let about: HashMap<&str, Value<'_>> = HashMap::new();
        let session: ObjectPath<'_> = session.as_ref();
        block_on(portal.emit_signal(None::<&str>, PATH, INTERFACE, signal, &(session, id.as_str(), 1u64, about)))
            .unwrap();
        assert_eq!(next(&edges), edge);
    }
    drop(shortcut);
    assert_eq!(edges.iter().count(), 0, "its thread has ended");
}

#[test]
fn a_desktop_without_a_portal_says_what_to_do() {
    let Some((_daemon, address)) = bus() else { return };
    let source = Source::Portal { bus: Some(address), description: "Diktieren".to_owned() };
    let error = Shortcut::listen(&source, &keys(), |_| {}).unwrap_err();
    assert!(matches!(error, ShortcutError::Portal(_)));
    assert!(error.to_string().contains("amanuensis toggle"), "{error}");
}
