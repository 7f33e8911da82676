//! `amanuensis models` as a stranger would use it, with a server on this machine in place of the hub.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs it with a home and a catalogue of its own.
fn models(home: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_amanuensis"))
        .arg("models")
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("RUST_LOG")
        .env("XDG_DATA_HOME", home)
        .env("AMANUENSIS_CATALOGUE", home.join("catalogue"))
        .env("NO_PROXY", "*")
        .output()
        .unwrap()
}

fn said(output: &Output) -> (bool, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// Serves the demo model under another name; gone with the test's process.
fn hub(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/ours", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head: Vec<String> = BufReader::new(stream.try_clone().unwrap())
                .lines()
                .map(Result::unwrap)
                .take_while(|line| !line.is_empty())
                .collect();
            let from = head.iter().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok());
            let (from, status) = match from {
                Some(from) => (from, format!("206 Partial\r\nContent-Range: bytes {from}-/{}", bytes.len())),
                None => (0, "200 OK".to_owned()),
            };
            let rest = &bytes[from..];
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len()).unwrap();
            stream.write_all(rest).unwrap();
        }
    });
    address
}

#[test]
fn a_model_is_downloaded_listed_used_and_deleted() {
    use sha2::{Digest as _, Sha256};
    let Some(demo) = amanuensis_models::demo() else {
        println!("skipped: the demo model is not there");
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("amanuensis/models");
    let bytes = std::fs::read(demo.path).unwrap();
    let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let length = bytes.len();
    let catalogue = home.path().join("catalogue");
    std::fs::write(&catalogue, format!("# ours\nours.en {length} {hash} {}\n", hub(bytes.clone()))).unwrap();

    let (done, out, err) = said(&models(home.path(), &["path"]));
    assert_eq!((done, out, err), (true, format!("{}\n", folder.display()), String::new()));

    // As if an earlier download had been cut off.
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("ggml-ours.en.bin.part"), &bytes[..1_000_000]).unwrap();
    let (done, out, err) = said(&models(home.path(), &["list"]));
    assert!(done && err.is_empty(), "{err}");
    let line = |out: &str, name: &str| out.lines().position(|line| line.trim_start().starts_with(name));
    assert!(
        out.lines().any(|line| line.trim_start().starts_with("ours.en ") && line.ends_with("1 MB of it is here")),
        "{out}"
    );
    assert!(
        line(&out, "large-v3-turbo ") > line(&out, "To be had")
            && line(&out, "amanuensis-demo.en") < line(&out, "To be had"),
        "{out}"
    );

    let (done, out, err) = said(&models(home.path(), &["download", "ours.en"]));
    assert_eq!(
        (done, out.as_str(), err.as_str()),
        (true, "ours.en is installed and will be used, for it is the newest.\n", "")
    );
    assert!(std::fs::read(folder.join("ggml-ours.en.bin")).unwrap() == bytes);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    let (_, out, _) = said(&models(home.path(), &["list"]));
    assert!(line(&out, "ours.en ") < line(&out, "amanuensis-demo.en"), "{out}");

    let (done, out, _) = said(&models(home.path(), &["delete", "ours.en"]));
    assert!(done && out == "ours.en is deleted.\n", "{out}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn a_file_of_ones_own_is_added_and_another_one_is_not() {
    let Some(demo) = amanuensis_models::demo() else {
        println!("skipped: the demo model is not there");
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let mine = home.path().join("ggml-mine.en.bin");
    std::fs::copy(demo.path, &mine).unwrap();
    let (done, out, err) = said(&models(home.path(), &["add", mine.to_str().unwrap()]));
    assert_eq!((done, out.as_str(), err.as_str()), (true, "mine.en is installed.\n", ""));
    let (done, _, err) = said(&models(home.path(), &["add", "--link", mine.to_str().unwrap()]));
    assert!(!done && err.contains("a model called mine.en is installed already"), "{err}");
    std::fs::write(home.path().join("page.bin"), "<html>").unwrap();
    let (done, _, err) = said(&models(home.path(), &["add", home.path().join("page.bin").to_str().unwrap()]));
    assert!(!done && err.contains("is not a Whisper model") && err.lines().count() == 1, "{err}");
}

#[test]
fn what_is_not_known_is_told_with_what_is() {
    let home = tempfile::tempdir().unwrap();
    let (done, _, err) = said(&models(home.path(), &["download", "huge"]));
    assert!(
        !done && err.contains("no model called \"huge\" can be downloaded; there are tiny, tiny.en, base"),
        "{err}"
    );
    let (done, _, err) = said(&models(home.path(), &["delete", "amanuensis-demo.en"]));
    assert!(!done && err.lines().count() == 1, "{err}");
}
