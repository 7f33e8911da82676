//! Which desktop this is.

use std::env;
use std::path::{Path, PathBuf};

/// What a desktop says of itself in the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desktop {
    /// Its names, as in `XDG_CURRENT_DESKTOP`: `ubuntu:GNOME`. Empty where it has none.
    pub name: String,
    /// Whether windows are a Wayland compositor's; those of an X server may lie among them.
    pub is_wayland: bool,
    /// The X server, as in `DISPLAY`.
    pub x11: Option<String>,
    /// The socket of the Wayland compositor.
    pub wayland: Option<PathBuf>,
    /// The address of the message bus; none for the session's.
    pub bus: Option<String>,
    /// The socket of ydotool's daemon, where there is one.
    pub ydotool: Option<PathBuf>,
}

impl Desktop {
    /// The desktop that this process runs in.
    pub fn detect() -> Self {
        let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let wayland = set("WAYLAND_DISPLAY").map(|name| {
            let name = Path::new(&name);
            // An absolute path stays what it is.
            set("XDG_RUNTIME_DIR").map_or_else(|| name.to_owned(), |folder| Path::new(&folder).join(name))
        });
        let x11 = set("DISPLAY");
        // `su` and `ssh` keep the session's word and lose its display: what is there counts more than what is said.
        let says_x11 = set("XDG_SESSION_TYPE").as_deref() == Some("x11");
        let is_wayland = wayland.is_some() && !(says_x11 && x11.is_some());
        let ydotool = set("YDOTOOL_SOCKET").map(PathBuf::from).or_else(|| {
            let folders = set("XDG_RUNTIME_DIR").into_iter().chain(["/tmp".to_owned()]);
            folders.map(|folder| Path::new(&folder).join(".ydotool_socket")).find(|socket| socket.exists())
        });
        Self { name: set("XDG_CURRENT_DESKTOP").unwrap_or_default(), is_wayland, x11, wayland, bus: None, ydotool }
    }

    /// Whether it is KDE's Plasma.
    pub fn is_plasma(&self) -> bool {
        self.name.split(':').any(|name| name.eq_ignore_ascii_case("KDE"))
    }

    /// A word that settings made for this desktop are kept under.
    pub fn key(&self) -> String {
        let display = if self.is_wayland { "wayland" } else { "x11" };
        if self.name.is_empty() { display.to_owned() } else { format!("{}/{display}", self.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::Desktop;

    #[test]
    fn settings_of_two_desktops_do_not_meet() {
        let desktop =
            |is_wayland, name: &str| Desktop { is_wayland, name: name.to_owned(), ..Desktop::default() }.key();
        assert_eq!(desktop(false, "ubuntu:GNOME"), "ubuntu:GNOME/x11");
        assert_eq!(desktop(true, ""), "wayland");
    }
}
