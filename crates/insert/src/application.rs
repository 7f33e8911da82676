//! The program that has the focus, by name.

use std::env;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use crate::Desktop;
use crate::x11::X11;

/// How long a compositor may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// The longest answer that is read: a thousand windows fit into it.
const MOST_BYTES: u32 = 4 << 20;
/// What begins each message of i3's and Sway's protocol.
const MAGIC: &[u8] = b"i3-ipc";
const GET_TREE: u32 = 4;

/// The program that has the focus, by the name that its windows go by (`xterm`, `org.gnome.TextEditor`), where the desktop
/// tells: on X11, and in Sway's session.
pub fn application(desktop: &Desktop) -> Option<String> {
    let name =
        if desktop.is_wayland { of_sway(&env::var("SWAYSOCK").ok()?)? } else { of_x11(desktop.x11.as_deref()?)? };
    Some(name).filter(|name| !name.is_empty())
}

fn of_x11(display: &str) -> Option<String> {
    let x11 = X11::connect(display).ok()?;
    let names = x11.class(x11.focus().ok()?.window).ok()?;
    // The first is that of the window, the second that of the program.
    names.into_iter().next_back()
}

fn of_sway(socket: &str) -> Option<String> {
    let tree = ask(socket, GET_TREE).inspect_err(|error| tracing::debug!("Sway does not tell: {error}")).ok()?;
    focused(&serde_json::from_slice(&tree).ok()?)
}

/// An answer of Sway's: a magic word, length and kind as the machine writes numbers, and JSON.
fn ask(socket: &str, kind: u32) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&[MAGIC, &0_u32.to_ne_bytes(), &kind.to_ne_bytes()].concat())?;
    let mut head = [0; 14];
    stream.read_exact(&mut head)?;
    let length = u32::from_ne_bytes([head[6], head[7], head[8], head[9]]);
    if !head.starts_with(MAGIC) || length > MOST_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body)?;
    Ok(body)
}

/// The name of the window with the focus: windows of X11 have another one than those of Wayland.
fn focused(node: &Value) -> Option<String> {
    if node["focused"] == true {
        let name = node["app_id"].as_str().or_else(|| node["window_properties"]["class"].as_str());
        return name.map(str::to_lowercase);
    }
    let within = |kind: &str| node[kind].as_array().into_iter().flatten();
    within("nodes").chain(within("floating_nodes")).find_map(focused)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn sway_is_asked_and_its_answer_is_looked_through() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("sway.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let tree = r#"{"focused":false,"nodes":[{"focused":false,"app_id":"one","nodes":[]},
            {"focused":false,"nodes":[],"floating_nodes":[{"focused":true,"app_id":null,"window_properties":{"class":"XTerm"}}]}]}"#;
        std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut question = [0; 14];
            stream.read_exact(&mut question).unwrap();
            assert_eq!(question[10..], GET_TREE.to_ne_bytes());
            let length = (tree.len() as u32).to_ne_bytes();
            stream.write_all(&[MAGIC, &length, &GET_TREE.to_ne_bytes(), tree.as_bytes()].concat()).unwrap();
        });
        assert_eq!(of_sway(socket.to_str().unwrap()).as_deref(), Some("xterm"));
        assert_eq!(of_sway("/nowhere"), None);
    }

    #[test]
    fn a_window_of_wayland_is_known_by_its_own_name() {
        let tree = serde_json::json!({ "nodes": [{ "focused": true, "app_id": "foot" }] });
        assert_eq!(focused(&tree).as_deref(), Some("foot"));
        assert_eq!(focused(&serde_json::json!({ "nodes": [] })), None);
    }
}
