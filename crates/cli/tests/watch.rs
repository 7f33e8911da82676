//! `amanuensis watch`: a recording is put into a folder, and its text lies beside it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use amanuensis_test_support::{assert_understood, speak};

const SAID: &str = "Please send the report to Alice before Friday.";

/// A watching program, which ends with the value.
struct Watching(Child);

impl Watching {
    fn start(folder: &Path, home: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_amanuensis"));
        command.arg("watch").arg(folder).args(arguments);
        command.env("XDG_STATE_HOME", home).env_remove("RUST_LOG");
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // Either it runs and can be killed, or it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(path: &Path) -> String {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        match fs::read_to_string(path) {
            Ok(text) => return text,
            Err(_) => assert!(Instant::now() < until, "{} never came", path.display()),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_new_recording_gets_its_text_beside_it_once() {
    if amanuensis_models::demo().is_none() {
        println!("skipped: the demo model is not there");
        return;
    }
    let Some(wav) = speak(SAID) else { return };
    let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name);
    fs::copy(&wav, at("one.wav")).unwrap();
    fs::write(at("one.txt"), "mine").unwrap();
    let watching = Watching::start(folder.path(), home.path(), &["--existing"]);
    assert_understood(SAID, &wait_for(&at("one-2.txt")));
    assert_eq!(fs::read_to_string(at("one.txt")).unwrap(), "mine");
    // Only what is remembered as done is not done again.
    let remembers = |path: &Path| fs::read(path).is_ok_and(|bytes| bytes.windows(7).any(|part| part == b"one.wav"));
    let until = Instant::now() + Duration::from_secs(60);
    while !fs::read_dir(home.path().join("amanuensis/watched")).unwrap().any(|file| remembers(&file.unwrap().path())) {
        assert!(Instant::now() < until, "it is never remembered");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(watching);
    // After a restart only what is new is done. What is no recording is told of and holds nothing up.
    let _watching = Watching::start(folder.path(), home.path(), &["--format", "srt"]);
    fs::write(at("broken.wav"), "no recording").unwrap();
    fs::copy(&wav, at("two.wav")).unwrap();
    assert!(wait_for(&at("two.srt")).starts_with("1\n00:00:0"));
    assert!(!at("one.srt").exists() && !at("broken.srt").exists());
}
