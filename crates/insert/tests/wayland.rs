//! Real other programs under a headless Sway get the text: a GTK field and the terminal foot.

use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use amanuensis_insert::{Desktop, InsertError, Inserter, Manner, WayName};
use amanuensis_test_support::{Field, MIXED, Program, Sway, Witness, contents, found, long_text};

/// How long a program may take. No test waits for it; it bounds a hang.
const START: Duration = Duration::from_secs(30);

/// A desktop without a screen.
struct Stage {
    environment: Vec<(&'static str, String)>,
    desktop: Desktop,
    sway: Sway,
}

impl Stage {
    fn open() -> Option<Self> {
        let sway = Sway::open()?;
        let desktop = Desktop { is_wayland: true, wayland: Some(sway.socket().to_owned()), ..Desktop::default() };
        Some(Self { environment: sway.environment().to_vec(), desktop, sway })
    }

    fn inserter(&self) -> Inserter {
        Inserter::new(self.desktop.clone(), Manner::default())
    }

    /// A terminal, the keys of which go into a file.
    fn foot(&self) -> Option<(Program, PathBuf)> {
        if !found("foot") {
            return None;
        }
        let typed = self.sway.folder().join("typed");
        let script = format!("stty raw -echo; exec tee {} > /dev/null", typed.display());
        let mut foot = Command::new("foot");
        let foot = Program::start(foot.args(["sh", "-c", &script]).envs(self.environment.clone()));
        let until = Instant::now() + START;
        while !typed.exists() {
            assert!(Instant::now() < until, "foot does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some((foot, typed))
    }

    /// Puts something on the clipboard, as another program would.
    fn copy(&self, format: &str, bytes: &[u8]) {
        let mut wl_copy = Command::new("wl-copy");
        wl_copy.args(["--type", format]).env_clear().envs(self.environment.clone()).stdin(Stdio::piped());
        let mut wl_copy = wl_copy.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wl_copy.stdin.take().unwrap().write_all(bytes).unwrap();
        assert!(wl_copy.wait().unwrap().success());
        let until = Instant::now() + START;
        while self.clipboard(format) != bytes {
            assert!(Instant::now() < until, "wl-copy never takes the clipboard");
        }
    }

    fn clipboard(&self, format: &str) -> Vec<u8> {
        let mut wl_paste = Command::new("wl-paste");
        wl_paste.args(["--no-newline", "--type", format]).env_clear().envs(self.environment.clone());
        wl_paste.output().unwrap().stdout
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
    let Some((_foot, typed)) = stage.foot() else { return };
    let mut inserter = stage.inserter();
    let mut expected = String::new();
    for text in ["Hello, World. ", MIXED, &long_text()] {
        inserter.insert(text).unwrap();
        expected += text;
        assert_eq!(contents(&typed, &expected), expected);
    }
}

#[test]
fn the_clipboard_brings_any_text_and_is_as_it_was() {
    let Some(stage) = Stage::open() else { return };
    let Some(mut witness) = Witness::open(Field::Page, "Witness", &stage.environment) else { return };
    if !["wl-copy", "wl-paste"].into_iter().all(found) {
        return;
    }
    let mut inserter = stage.inserter();
    for text in ["Hello, World.", MIXED, "two\nlines\tand a tab", &long_text()] {
        witness.clear();
        inserter.insert_by(WayName::Paste, text).unwrap();
        assert_eq!(witness.text(text), text);
    }
    let picture: Vec<u8> = (0..3_000_000u32).map(|number| (number * 7 / 3) as u8).collect();
    let cases: [(&str, &[u8]); 3] =
        [("text/plain;charset=utf-8", "Grüße".as_bytes()), ("text/html", b"<b>bold</b>"), ("image/png", &picture)];
    for (format, bytes) in cases {
        stage.copy(format, bytes);
        for _ in 0..2 {
            witness.clear();
            inserter.insert_by(WayName::Paste, "dictated").unwrap();
            assert_eq!(witness.text("dictated"), "dictated");
            assert!(stage.clipboard(format) == bytes, "{format}");
        }
    }
    witness.clear();
    let mut expected = String::new();
    for number in 0..20 {
        let text = format!("{number}: Straße, 第{number}号! ");
        inserter.insert_by(WayName::Paste, &text).unwrap();
        expected += &text;
    }
    assert_eq!(witness.text(&expected), expected);
    assert!(stage.clipboard("image/png") == picture);
}

#[test]
fn a_terminal_takes_the_clipboard_too() {
    let Some(stage) = Stage::open() else { return };
    let Some((_foot, typed)) = stage.foot() else { return };
    let mut inserter = stage.inserter();
    for (text, all) in [(MIXED, MIXED.to_owned()), ("more", format!("{MIXED}more"))] {
        inserter.insert_by(WayName::Paste, text).unwrap();
        assert_eq!(contents(&typed, &all), all);
    }
}

#[test]
fn what_no_program_fetches_is_said_not_to_have_arrived() {
    let Some(stage) = Stage::open() else { return };
    let error = stage.inserter().insert_by(WayName::Paste, "lost?").unwrap_err();
    assert!(matches!(error, InsertError::NotFetched { .. }), "{error}");
}

#[test]
fn ydotools_daemon_presses_the_keys_that_paste() {
    let Some(stage) = Stage::open() else { return };
    let Some((_foot, typed)) = stage.foot() else { return };
    let socket = stage.sway.folder().join("ydotool");
    let daemon = UnixDatagram::bind(&socket).unwrap();
    let environment = stage.environment.clone();
    let played = std::thread::spawn(move || {
        let mut events = Vec::new();
        let mut event = [0; 64];
        while events.len() < 8 {
            assert_eq!(daemon.recv(&mut event).unwrap(), 24, "what the kernel calls an input event");
            let number = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
            events.push((number(16), number(18), number(20)));
        }
        // There is no kernel's keyboard here that the daemon could press keys on.
        let mut wtype = Command::new("wtype");
        let _pressed = Program::start(wtype.args(["-M", "shift", "-k", "Insert", "-m", "shift"]).envs(environment));
        std::thread::sleep(Duration::from_secs(1));
        events
    });
    let desktop = Desktop { ydotool: Some(socket), ..stage.desktop.clone() };
    Inserter::new(desktop, Manner::default()).insert_by(WayName::Ydotool, MIXED).unwrap();
    assert_eq!(contents(&typed, MIXED), MIXED);
    let (shift, insert, end) = (42, 110, (0, 0, 0));
    let expected = [(1, shift, 1), end, (1, insert, 1), end, (1, insert, 0), end, (1, shift, 0), end];
    assert_eq!(played.join().unwrap(), expected);
}

#[test]
fn a_compositor_that_is_gone_is_said_to_be() {
    let desktop = Desktop { is_wayland: true, wayland: Some("/nowhere/wayland-9".into()), ..Desktop::default() };
    let error = Inserter::new(desktop, Manner::default()).insert("lost?").unwrap_err().to_string();
    assert!(error.contains("the display cannot be reached"), "{error}");
}
