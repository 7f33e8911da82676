//! `amanuensis serve`, from its start to a signal.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use amanuensis_test_support::{assert_understood, speak};

const SAID: &str = "Please send the report to Alice before Friday.";

fn serve(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amanuensis"));
    command.arg("serve").args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

/// A server that is ended with the test.
struct Serving {
    child: Child,
    address: String,
    announced: String,
}

impl Serving {
    fn start(arguments: &[&str]) -> Self {
        let mut child = serve(arguments).args(["--port", "0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut announced = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut announced).unwrap();
        let rest = announced.strip_prefix("Listening on http://").unwrap_or_else(|| panic!("{announced}"));
        Self { child, address: rest.split('/').next().unwrap().to_owned(), announced }
    }

    /// Status and body of the answer to a recording.
    fn transcribe(&self, wav: &Path, authorization: &str) -> (u16, String) {
        let part = |name: &str| format!("--cut\r\nContent-Disposition: form-data; name={name}\r\n\r\n").into_bytes();
        let file = std::fs::read(wav).unwrap();
        let body: Vec<u8> = [part("model"), b"whisper-1\r\n".to_vec(), part("file; filename=a.wav"), file].concat();
        let body = [&body[..], b"\r\n--cut--\r\n"].concat();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{authorization}\
             Content-Type: multipart/form-data; boundary=cut\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        )
        .unwrap();
        stream.write_all(&body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Ends it as a service manager does, and returns its exit code.
    fn end(mut self) -> Option<i32> {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It has ended already, unless the test has failed.
        let _ = self.child.kill();
    }
}

fn has_model() -> bool {
    let is_there = amanuensis_models::demo().is_some();
    if !is_there {
        println!("skipped: the demo model is not there");
    }
    is_there
}

#[test]
fn who_knows_the_token_is_transcribed_for() {
    let (true, Some(wav)) = (has_model(), speak(SAID)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let serving = Serving::start(&["--token-file", file.to_str().unwrap()]);
    assert!(serving.announced.contains(file.to_str().unwrap()), "{}", serving.announced);
    let token = std::fs::read_to_string(&file).unwrap();
    let (status, body) = serving.transcribe(&wav, &format!("Authorization: Bearer {}\r\n", token.trim()));
    assert_eq!(status, 200, "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_understood(SAID, answer["text"].as_str().unwrap());
    assert_eq!(serving.transcribe(&wav, "").0, 401);
    assert_eq!(serving.end(), Some(0));
}

#[test]
fn without_a_token_it_serves_this_machine_only() {
    if !has_model() {
        return;
    }
    let output = serve(&["--no-token", "--address", "0.0.0.0", "--port", "0"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("127.0.0.1") && said.lines().count() == 1, "{said}");
    let serving = Serving::start(&["--no-token"]);
    assert!(serving.announced.contains("No token"), "{}", serving.announced);
    assert_eq!(serving.end(), Some(0));
}
