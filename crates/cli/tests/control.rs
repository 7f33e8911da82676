//! `amanuensis toggle` and its like, against an app that is only a socket.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc::channel;
use std::time::Duration;

use amanuensis_control::{Listener, Request};

fn amanuensis(word: &str, folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amanuensis"));
    command.arg(word).env_clear().env("XDG_RUNTIME_DIR", folder).env("PATH", folder).output().unwrap()
}

#[test]
fn the_running_app_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (sender, told) = channel();
    let _serving = Listener::bind(folder.path()).unwrap().serve(move |request| {
        sender.send(request).unwrap();
        Ok(())
    });
    let words =
        [("toggle", Request::Toggle), ("start", Request::Start), ("stop", Request::Stop), ("cancel", Request::Cancel)];
    for (word, request) in words {
        let output = amanuensis(word, folder.path());
        assert!(output.status.success(), "{output:?}");
        assert_eq!(told.recv_timeout(Duration::from_secs(20)).unwrap(), request);
    }
}

#[test]
fn without_an_app_there_is_nothing_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let output = amanuensis("stop", folder.path());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("Amanuensis is not running"), "{said}");
    let output = amanuensis("stop", Path::new("/nowhere"));
    assert!(String::from_utf8(output.stderr).unwrap().contains("XDG_RUNTIME_DIR"));
}

#[test]
fn a_start_without_an_app_starts_one() {
    let folder = tempfile::tempdir().unwrap();
    // The app is looked for beside the command first; a copy of the command has none there.
    let command = folder.path().join("amanuensis");
    std::fs::copy(env!("CARGO_BIN_EXE_amanuensis"), &command).unwrap();
    let app = folder.path().join("amanuensis-app");
    let started = folder.path().join("started");
    std::fs::write(&app, format!("#!/bin/sh\necho \"$@\" > {}\n", started.display())).unwrap();
    std::fs::set_permissions(&app, PermissionsExt::from_mode(0o755)).unwrap();
    let status = Command::new(&command).arg("toggle").env_clear().env("XDG_RUNTIME_DIR", folder.path()).status();
    assert!(status.unwrap().success());
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while !std::fs::read_to_string(&started).is_ok_and(|words| words == "--start\n") {
        assert!(std::time::Instant::now() < until, "no app was started");
        std::thread::sleep(Duration::from_millis(20));
    }
}
