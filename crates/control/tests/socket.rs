//! Both ends of the socket, and what else may be at either.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::channel;

use amanuensis_control::{ControlError, Listener, Request, send};

fn ask(folder: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(folder.join("amanuensis.sock")).unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_app_is_told_and_says_no_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let (sender, told) = channel();
    let serving = Listener::bind(folder.path()).unwrap().serve(move |request| {
        let refuse = request == Request::Stop;
        sender.send(request).unwrap();
        if refuse { Err("Not\nnow.".to_owned()) } else { Ok(()) }
    });
    let mode = std::fs::metadata(folder.path().join("amanuensis.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    send(folder.path(), &Request::Toggle).unwrap();
    assert_eq!(told.recv().unwrap(), Request::Toggle);
    let open = Request::Open(vec!["/a b".into(), "/c\nd".into()]);
    send(folder.path(), &open).unwrap();
    assert_eq!(told.recv().unwrap(), open);
    assert_eq!(send(folder.path(), &Request::Stop).unwrap_err().to_string(), "Not now.");
    drop(serving);
    assert!(matches!(send(folder.path(), &Request::Toggle), Err(ControlError::NotRunning)));
}

#[test]
fn a_second_app_cannot_listen_and_a_dead_one_is_no_hindrance() {
    let folder = tempfile::tempdir().unwrap();
    // A socket that nobody answers, as one who was killed leaves it.
    drop(UnixListener::bind(folder.path().join("amanuensis.sock")).unwrap());
    assert!(matches!(send(folder.path(), &Request::Show), Err(ControlError::NotRunning)));
    let first = Listener::bind(folder.path()).unwrap();
    assert!(matches!(Listener::bind(folder.path()), Err(ControlError::AlreadyRunning)));
    drop(first);
    drop(Listener::bind(folder.path()).unwrap().serve(|_| Ok(())));
}

#[test]
fn nonsense_is_answered_and_hurts_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let _serving = Listener::bind(folder.path()).unwrap().serve(|_| Ok(()));
    for bytes in [&b"dance\n"[..], b"", b"toggle", b"\xff\xfe\n", b"open\t%\n"] {
        assert!(ask(folder.path(), bytes).starts_with("no "), "{bytes:?}");
    }
    assert_eq!(ask(folder.path(), b"toggle\n"), "ok\n");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    let error = Listener::bind(Path::new("/nowhere/at/all")).unwrap_err().to_string();
    assert!(error.contains("/nowhere/at/all/amanuensis.sock"), "{error}");
}
