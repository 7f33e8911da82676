//! Real other programs under a headless Sway get the text: a GTK field and the terminal foot.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use amanuensis_insert::{Desktop, Inserter, WayName};
use amanuensis_test_support::{Field, MIXED, Program, Witness, found, long_text};
use tempfile::TempDir;

/// Whom Sway runs as where the tests run as root, whom it refuses.
const NOBODY: u32 = 65534;
const START: Duration = Duration::from_secs(30);

const CONFIG: &str = "xwayland disable\noutput HEADLESS-1 resolution 1024x768\n";

/// A compositor with a keyboard plugged in.
struct Stage {
    environment: Vec<(&'static str, String)>,
    desktop: Desktop,
    folder: TempDir,
    _keyboard: Program,
    _sway: Program,
}

impl Stage {
    fn open() -> Option<Self> {
        if !["sway", "wtype", "setpriv"].into_iter().all(found) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().display().to_string();
        let config = folder.path().join("sway.conf");
        std::fs::write(&config, CONFIG).unwrap();
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
        let mut sway = if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
            std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o700)).unwrap();
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            let mut sway = Command::new("setpriv");
            let user = NOBODY.to_string();
            sway.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--pdeathsig", "KILL", "sway"]);
            sway
        } else {
            Command::new("sway")
        };
        let sway = Program::start(sway.arg("--config").arg(&config).envs(environment.clone()));
        let until = Instant::now() + START;
        let socket = loop {
            let is_socket = |path: &PathBuf| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                name.starts_with("wayland-") && !name.ends_with(".lock")
            };
            let entries = std::fs::read_dir(folder.path()).unwrap();
            if let Some(socket) = entries.filter_map(|entry| Some(entry.ok()?.path())).find(is_socket) {
                break socket;
            }
            assert!(Instant::now() < until, "Sway does not start");
            std::thread::sleep(Duration::from_millis(50));
        };
        environment.push(("WAYLAND_DISPLAY", socket.file_name().unwrap().to_str().unwrap().to_owned()));
        // No program has the focus of keys where there are none.
        let mut keyboard = Command::new("wtype");
        let keyboard = Program::start(keyboard.args(["-s", "3600000", "-k", "Shift_L"]).envs(environment.clone()));
        let desktop = Desktop { is_wayland: true, wayland: Some(socket), ..Desktop::default() };
        Some(Self { environment, desktop, folder, _keyboard: keyboard, _sway: sway })
    }

    fn inserter(&self) -> Inserter {
        Inserter::new(self.desktop.clone(), None, true)
    }
}

#[test]
fn any_text_is_typed_into_a_field() {
    let Some(stage) = Stage::open() else { return };
    let Some(mut witness) = Witness::open(Field::Page, "Witness", &stage.environment) else { return };
    let mut inserter = stage.inserter();
    for text in ["a", "Hello, World.", MIXED, "two\nlines\tand a tab", &long_text()] {
        witness.clear();
        assert_eq!(inserter.insert(text).unwrap().way, WayName::VirtualKeyboard);
        assert_eq!(witness.text(text), text);
    }
}

#[test]
fn twenty_dictations_in_a_row_arrive_whole_and_in_order() {
    let Some(stage) = Stage::open() else { return };
    let Some(mut witness) = Witness::open(Field::Entry, "Witness", &stage.environment) else { return };
    let mut inserter = stage.inserter();
    let mut expected = String::new();
    for number in 0..20 {
        let text = format!("{number}: Straße, 第{number}号! ");
        inserter.insert(&text).unwrap();
        expected += &text;
    }
    assert_eq!(witness.text(&expected), expected);
}

#[test]
fn a_terminal_gets_every_character() {
    let Some(stage) = Stage::open() else { return };
    if !found("foot") {
        return;
    }
    let typed = stage.folder.path().join("typed");
    let script = format!("stty raw -echo; exec tee {} > /dev/null", typed.display());
    let mut foot = Command::new("foot");
    let _foot = Program::start(foot.args(["sh", "-c", &script]).envs(stage.environment.clone()));
    let until = Instant::now() + START;
    while !typed.exists() {
        assert!(Instant::now() < until, "foot does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut inserter = stage.inserter();
    let mut expected = String::new();
    for text in ["Hello, World. ", MIXED, &long_text()] {
        inserter.insert(text).unwrap();
        expected += text;
        let until = Instant::now() + START;
        while std::fs::read_to_string(&typed).unwrap() != expected && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(std::fs::read_to_string(&typed).unwrap(), expected);
    }
}

#[test]
fn a_compositor_that_is_gone_is_said_to_be() {
    let desktop = Desktop { is_wayland: true, wayland: Some("/nowhere/wayland-9".into()), ..Desktop::default() };
    let error = Inserter::new(desktop, None, true).insert("lost?").unwrap_err().to_string();
    assert!(error.contains("the display cannot be reached"), "{error}");
}
