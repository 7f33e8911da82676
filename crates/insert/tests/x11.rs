//! Real other programs under Xvfb get the text: a GTK field and xterm, by keys and by the clipboard.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use amanuensis_insert::{Desktop, Inserter, Manner, WayName};
use amanuensis_test_support::{Field, MIXED, Program, Witness, contents, found, long_text};
use tempfile::TempDir;

/// A display with a window manager.
struct Stage {
    environment: Vec<(&'static str, String)>,
    desktop: Desktop,
    folder: TempDir,
    _manager: Program,
    _display: Program,
}

impl Stage {
    fn open() -> Option<Self> {
        if !["Xvfb", "openbox", "setpriv", "setxkbmap", "xdotool", "xclip", "xprop"].into_iter().all(found) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().display().to_string();
        let mut environment = vec![
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("LANG", "C.UTF-8".to_owned()),
            ("HOME", home.clone()),
            ("XDG_RUNTIME_DIR", home),
            ("GDK_BACKEND", "x11".to_owned()),
            ("NO_AT_BRIDGE", "1".to_owned()),
        ];
        let mut display = Command::new("Xvfb");
        display.args(["-displayfd", "1", "-screen", "0", "1024x768x24", "-nolisten", "tcp"]);
        let mut display = Program::start(display.envs(environment.clone()));
        let name = format!(":{}", display.first_line());
        environment.push(("DISPLAY", name.clone()));
        let manager = Program::start(Command::new("openbox").envs(environment.clone()));
        let desktop = Desktop { x11: Some(name), ..Desktop::default() };
        let stage = Self { environment, desktop, folder, _manager: manager, _display: display };
        stage.wait_for("xprop", &["-root", "_NET_SUPPORTING_WM_CHECK"], |said| said.contains("0x"));
        Some(stage)
    }

    fn inserter(&self) -> Inserter {
        Inserter::new(self.desktop.clone(), Manner::default())
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(self.environment.clone());
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program, arguments).output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until a program prints what `fits`.
    fn wait_for(&self, program: &str, arguments: &[&str], fits: impl Fn(&str) -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let said = self.command(program, arguments).output().unwrap().stdout;
            let said = String::from_utf8_lossy(&said);
            if fits(&said) {
                return;
            }
            assert!(Instant::now() < until, "{program} {arguments:?} still says {said:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Puts something on a clipboard, as another program would.
    fn copy(&self, format: &str, bytes: &[u8]) {
        let mut xclip = self.command("xclip", &["-selection", "clipboard", "-target", format, "-in"]);
        let mut xclip = xclip.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        xclip.stdin.take().unwrap().write_all(bytes).unwrap();
        assert!(xclip.wait().unwrap().success());
        // It goes on in the background, and takes the clipboard only there.
        let until = Instant::now() + Duration::from_secs(20);
        while self.clipboard(format) != bytes {
            assert!(Instant::now() < until, "xclip never takes the clipboard");
        }
    }

    fn clipboard(&self, format: &str) -> Vec<u8> {
        self.command("xclip", &["-selection", "clipboard", "-target", format, "-out"]).output().unwrap().stdout
    }

    /// An xterm, the keys of which go into a file.
    fn xterm(&self) -> (Program, std::path::PathBuf) {
        let typed = self.folder.path().join("typed");
        let script = format!("stty raw -echo; exec tee {} > /dev/null", typed.display());
        let mut xterm = self.command("xterm", &["-u8", "-T", "terminal", "-e", "sh", "-c", &script]);
        let xterm = Program::start(xterm.env("LC_ALL", "C.UTF-8"));
        self.wait_for("xdotool", &["getactivewindow", "getwindowname"], |said| {
            said.trim() == "terminal" && typed.exists()
        });
        (xterm, typed)
    }
}

#[test]
fn every_way_brings_any_text_into_a_field() {
    let Some(stage) = Stage::open() else { return };
    let Some(mut witness) = Witness::open(Field::Page, "Witness", &stage.environment) else { return };
    let mut inserter = stage.inserter();
    for way in [WayName::XTest, WayName::Paste] {
        for text in ["a", "Hello, World.", MIXED, "two\nlines\tand a tab", &long_text()] {
            witness.clear();
            inserter.insert_by(way, text).unwrap_or_else(|error| panic!("{way:?}: {error}"));
            assert_eq!(witness.text(text), text, "{way:?}");
        }
    }
}

#[test]
fn twenty_dictations_in_a_row_arrive_whole_and_in_order() {
    let Some(stage) = Stage::open() else { return };
    let Some(mut witness) = Witness::open(Field::Entry, "Witness", &stage.environment) else { return };
    for way in [WayName::XTest, WayName::Paste] {
        stage.copy("UTF8_STRING", "what was copied before: é".as_bytes());
        let mut inserter = stage.inserter();
        let mut expected = String::new();
        witness.clear();
        for number in 0..20 {
            let text = format!("{number}: Straße, 第{number}号! ");
            inserter.insert_by(way, &text).unwrap();
            expected += &text;
        }
        assert_eq!(witness.text(&expected), expected, "{way:?}");
        assert_eq!(stage.clipboard("UTF8_STRING"), "what was copied before: é".as_bytes());
    }
}

#[test]
fn a_terminal_gets_every_character() {
    let Some(stage) = Stage::open() else { return };
    if !found("xterm") {
        return;
    }
    let (_xterm, typed) = stage.xterm();
    let mut inserter = stage.inserter();
    let mut expected = String::new();
    // It does not tell when it has read its keys, so that only what is on the layout can be typed.
    for (text, way) in [("Hello, World. ", WayName::XTest), (MIXED, WayName::Paste), (&long_text(), WayName::Paste)] {
        assert_eq!(inserter.insert(text).unwrap().way, way);
        expected += text;
        assert_eq!(contents(&typed, &expected), expected, "{way:?}");
    }
}

#[test]
fn the_clipboard_is_as_it_was_whatever_was_on_it() {
    let Some(stage) = Stage::open() else { return };
    let Some(mut witness) = Witness::open(Field::Entry, "Witness", &stage.environment) else { return };
    let mut inserter = stage.inserter();
    let picture: Vec<u8> = (0..3_000_000u32).map(|number| (number * 7 / 3) as u8).collect();
    let cases: [(&str, &[u8]); 3] =
        [("UTF8_STRING", "Grüße".as_bytes()), ("text/html", b"<b>bold</b>"), ("image/png", &picture)];
    for (format, bytes) in cases {
        stage.copy(format, bytes);
        for _ in 0..2 {
            witness.clear();
            inserter.insert_by(WayName::Paste, "dictated").unwrap();
            assert_eq!(witness.text("dictated"), "dictated");
            assert!(stage.clipboard(format) == bytes, "{format}");
        }
    }
}

#[test]
fn layouts_locks_and_held_keys_change_nothing() {
    let Some(stage) = Stage::open() else { return };
    let Some(mut witness) = Witness::open(Field::Entry, "Witness", &stage.environment) else { return };
    for layout in [&["de"][..], &["ru"], &["us,ru", "-option", "grp:caps_toggle"], &["fr", "bepo"]] {
        stage.run("setxkbmap", layout);
        if layout.contains(&"grp:caps_toggle") {
            stage.run("xdotool", &["key", "ISO_Next_Group"]);
        }
        let mut inserter = stage.inserter();
        for way in [WayName::XTest, WayName::Paste] {
            witness.clear();
            inserter.insert_by(way, MIXED).unwrap();
            assert_eq!(witness.text(MIXED), MIXED, "{way:?} {layout:?}");
        }
    }
    stage.run("setxkbmap", &["us"]);
    stage.run("xdotool", &["key", "Caps_Lock"]);
    stage.run("xdotool", &["keydown", "Control_L", "keydown", "Shift_L"]);
    witness.clear();
    stage.inserter().insert_by(WayName::XTest, "Not in capitals: é").unwrap();
    assert_eq!(witness.text("Not in capitals: é"), "Not in capitals: é");
    stage.run("xdotool", &["key", "a"]);
    assert_eq!(
        witness.text("Not in capitals: éA"),
        "Not in capitals: éA",
        "Caps Lock is on again, and no key is stuck"
    );
}

#[test]
fn without_a_focus_it_says_so_and_leaves_the_clipboard_alone() {
    let Some(stage) = Stage::open() else { return };
    stage.copy("UTF8_STRING", b"before");
    // A window manager that has just started takes a moment to take the focus away from wherever the pointer is.
    let mut inserter = stage.inserter();
    let until = Instant::now() + Duration::from_secs(20);
    let error = loop {
        match inserter.insert("lost?") {
            Err(error) => break error.to_string(),
            Ok(_) => assert!(Instant::now() < until, "something has the focus"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(error.contains("no window has the focus"), "{error}");
    assert_eq!(stage.clipboard("UTF8_STRING"), b"before");
}
