//! Sway without a screen, for tests of Wayland.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Program, found};

/// Whom Sway runs as where the tests run as root, whom it refuses.
const NOBODY: u32 = 65534;
const START: Duration = Duration::from_secs(30);

const CONFIG: &str = "xwayland disable\noutput HEADLESS-1 resolution 1024x768\n";

/// A compositor with a keyboard plugged in. It ends with the value.
#[derive(Debug)]
pub struct Sway {
    environment: Vec<(&'static str, String)>,
    socket: PathBuf,
    folder: TempDir,
    _keyboard: Program,
    _sway: Program,
}

impl Sway {
    /// Starts it. `None` where a program is missing, which has been printed.
    ///
    /// # Panics
    /// It does not start.
    pub fn open() -> Option<Self> {
        if !["sway", "wtype", "setpriv"].into_iter().all(found) {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = folder.path().display().to_string();
        let config = folder.path().join("sway.conf");
        std::fs::write(&config, CONFIG).expect("a file can be written");
        let mut environment = vec![
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("HOME", home.clone()),
            ("XDG_RUNTIME_DIR", home),
            ("GDK_BACKEND", "wayland".to_owned()),
            ("NO_AT_BRIDGE", "1".to_owned()),
            ("LIBGL_ALWAYS_SOFTWARE", "1".to_owned()),
            ("WLR_BACKENDS", "headless".to_owned()),
            ("WLR_LIBINPUT_NO_DEVICES", "1".to_owned()),
            ("WLR_RENDERER", "pixman".to_owned()),
        ];
        let mut sway = if std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
            std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o700)).expect("root may");
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
            let mut sway = Command::new("setpriv");
            let user = NOBODY.to_string();
            sway.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--pdeathsig", "KILL", "sway"]);
            sway
        } else {
            Command::new("sway")
        };
        let sway = Program::start(sway.arg("--config").arg(&config).envs(environment.clone()));
        let until = Instant::now() + START;
        let (socket, name) = loop {
            let mut entries = std::fs::read_dir(folder.path()).expect("the folder is there");
            let socket = entries.find_map(|entry| {
                let entry = entry.ok()?;
                let name = entry.file_name().into_string().ok()?;
                (name.starts_with("wayland-") && !name.ends_with(".lock")).then(|| (entry.path(), name))
            });
            if let Some(socket) = socket {
                break socket;
            }
            assert!(Instant::now() < until, "Sway does not start");
            std::thread::sleep(Duration::from_millis(50));
        };
        environment.push(("WAYLAND_DISPLAY", name));
        // No program has the focus of keys where there are none.
        let mut keyboard = Command::new("wtype");
        let keyboard = Program::start(keyboard.args(["-s", "3600000", "-k", "Shift_L"]).envs(environment.clone()));
        Some(Self { environment, socket, folder, _keyboard: keyboard, _sway: sway })
    }

    /// What programs are started with that are to have their windows here.
    pub fn environment(&self) -> &[(&'static str, String)] {
        &self.environment
    }

    /// The compositor's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The home of all these programs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
