//! What desktops' portals have in common, for tests that play one on a message bus of their own.

use std::collections::HashMap;
use std::process::Command;

use zbus::connection::Connection;
use zbus::message::Header;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};

use crate::{Program, found};

/// The configuration of a bus that starts no program by itself.
pub const BUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bus.conf");
/// Where a portal is.
pub const PATH: &str = "/org/freedesktop/portal/desktop";
/// The name that it has on the bus.
pub const NAME: &str = "org.freedesktop.portal.Desktop";

/// What a program wants, by name.
pub type Options = HashMap<String, OwnedValue>;

/// A message bus on which nobody is nor is started by it, and its address. `None` where there is no program for it, which has been printed.
pub fn bus() -> Option<(Program, String)> {
    if !["dbus-daemon", "setpriv"].into_iter().all(found) {
        return None;
    }
    let mut daemon = Command::new("dbus-daemon");
    daemon.arg(format!("--config-file={BUS}")).args(["--nofork", "--print-address=1"]);
    daemon.env("PATH", std::env::var("PATH").unwrap_or_default());
    let mut daemon = Program::start(&daemon);
    let address = daemon.first_line();
    Some((daemon, address))
}

/// An option that is a word; empty if it is not there.
pub fn word(options: &Options, name: &str) -> String {
    options.get(name).and_then(|value| String::try_from(value.clone()).ok()).unwrap_or_default()
}

/// Where a portal keeps what it made for a program, as both agree on beforehand: a `session` by the option
/// `session_handle_token`, a `request` by `handle_token`.
///
/// # Panics
/// The program does not keep to the rules.
pub fn path(kind: &str, header: &Header<'_>, options: &Options, token: &str) -> OwnedObjectPath {
    let sender = header.sender().expect("a sender").trim_start_matches(':').replace('.', "_");
    OwnedObjectPath::try_from(format!("{PATH}/{kind}/{sender}/{}", word(options, token))).expect("a path")
}

/// Answers a request; 0 is a yes, 1 the user's no.
///
/// # Panics
/// The bus is gone.
pub async fn answer(
    bus: &Connection,
    header: &Header<'_>,
    options: &Options,
    code: u32,
    results: HashMap<&str, Value<'_>>,
) -> OwnedObjectPath {
    let request = path("request", header, options, "handle_token");
    let to = header.sender().cloned();
    bus.emit_signal(to, &request, "org.freedesktop.portal.Request", "Response", &(code, results)).await.expect("a bus");
    request
}
