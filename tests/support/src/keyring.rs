//! GNOME's keyring, for tests that keep secrets in one.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use zbus::blocking::connection::Builder;
use zbus::zvariant::OwnedObjectPath;

use crate::{Program, found};

/// The keyring's name on the bus.
pub const NAME: &str = "org.freedesktop.secrets";
/// Where it is there.
pub const PATH: &str = "/org/freedesktop/secrets";
/// Bounds a hang; no test waits for it.
const START: Duration = Duration::from_secs(20);

/// A keyring that is unlocked, on the bus of this address. Its files are in `home`. `None` where there is no program for it, which
/// has been printed.
///
/// # Panics
/// It is there but does not answer.
pub fn keyring(address: &str, home: &Path) -> Option<Program> {
    if !["gnome-keyring-daemon", "setpriv"].into_iter().all(found) {
        return None;
    }
    std::fs::write(home.join("password"), "secret").expect("a file can be written");
    let mut daemon = Command::new("sh");
    daemon.args(["-c", "exec gnome-keyring-daemon --foreground --unlock --components=secrets < $HOME/password"]);
    daemon.env("HOME", home).env("XDG_RUNTIME_DIR", home).env("PATH", std::env::var("PATH").unwrap_or_default());
    daemon.env("DBUS_SESSION_BUS_ADDRESS", address);
    let daemon = Program::start(&daemon);
    let bus = Builder::address(address).and_then(Builder::build).expect("the bus is there");
    let is_ready = || {
        let service = Some("org.freedesktop.Secret.Service");
        let answer = bus.call_method(Some(NAME), PATH, service, "ReadAlias", &"default").ok()?;
        let default: OwnedObjectPath = answer.body().deserialize().ok()?;
        (default.as_str() != "/").then_some(())
    };
    let until = Instant::now() + START;
    while is_ready().is_none() {
        assert!(Instant::now() < until, "the keyring does not answer");
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(daemon)
}
