//! A real server on this machine answers well, slowly, with errors, with nonsense and with far too much.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::Duration;

use amanuensis_polish::{KeyKeeper, PolishError, Polisher, Wanted};
use serde_json::{Value, json};

/// A server that takes one question, answers with these bytes (and if there are none never), and tells what it was asked.
fn server(answer: Vec<u8>) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut asked = String::new();
        while !asked.ends_with("\r\n\r\n") {
            stream.read_line(&mut asked).unwrap();
        }
        let length = asked.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut question = vec![0; length.unwrap()];
        stream.read_exact(&mut question).unwrap();
        asked.push_str(std::str::from_utf8(&question).unwrap());
        if answer.is_empty() {
            // Until the client hangs up.
            let _ = stream.read_to_string(&mut String::new());
        }
        // A client that has read enough hangs up in the middle.
        let _ = stream.get_mut().write_all(&answer);
        asked
    });
    (endpoint, thread)
}

fn http(status: &str, body: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body.as_bytes()].concat()
}

fn said(content: &str) -> String {
    json!({ "choices": [{ "message": { "role": "assistant", "content": content } }] }).to_string()
}

fn polisher(endpoint: &str, timeout: Duration) -> Polisher {
    let folder = tempfile::tempdir().unwrap();
    let keeper = KeyKeeper::new(folder.path().join("key")).on_bus("unix:path=/nowhere");
    keeper.keep("secret").unwrap();
    let wanted = Wanted { endpoint: endpoint.into(), model: "tiny".into(), prompt: "Correct it.".into(), timeout };
    Polisher::new(wanted, keeper.find().unwrap()).unwrap()
}

fn ask(text: &str, answer: Vec<u8>) -> (Result<String, PolishError>, String) {
    let (endpoint, thread) = server(answer);
    let answer = polisher(&endpoint, Duration::from_secs(20)).polish(text);
    (answer, thread.join().unwrap())
}

#[test]
fn the_text_is_asked_for_and_taken() {
    let (answer, asked) = ask("hello world", http("200 OK", &said(" Hello, world.\n")));
    assert_eq!(answer.unwrap(), "Hello, world.");
    assert!(asked.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{asked}");
    assert!(asked.to_lowercase().contains("authorization: bearer secret\r\n"), "{asked}");
    let (_, question) = asked.split_once("\r\n\r\n").unwrap();
    let question: Value = serde_json::from_str(question).unwrap();
    assert_eq!(question["model"], "tiny");
    assert_eq!(question["messages"][0]["content"], "Correct it.");
    assert_eq!(question["messages"][1], json!({ "role": "user", "content": "hello world" }));
    let aloud = said("<think>\nThe user says hello.\n</think>\n\nHello, world.");
    assert_eq!(ask("hello world", http("200 OK", &aloud)).0.unwrap(), "Hello, world.");
}

#[test]
fn whatever_else_comes_back_is_an_error_in_one_line() {
    let cases = [
        ("401 Unauthorized", r#"{"error":{"message":"wrong\n key"}}"#.to_owned(), "status 401: wrong key"),
        ("404 Not Found", r#"{"error":"model not found"}"#.to_owned(), "model not found"),
        ("302 Found", "elsewhere".to_owned(), "status 302"),
        ("500 Internal Server Error", "<html>\noops\u{1b}[2J".to_owned(), "<html> oops [2J"),
        ("500 Internal Server Error", String::new(), "did not say why"),
        ("200 OK", "{}".to_owned(), "not as OpenAI's API"),
        ("200 OK", "\u{0}\u{1}nonsense".to_owned(), "not as OpenAI's API"),
        ("200 OK", r#"{"choices":[]}"#.to_owned(), "is empty"),
        ("200 OK", r#"{"choices":[{"message":{"content":null}}]}"#.to_owned(), "is empty"),
        ("200 OK", said("<think> I never come to an end"), "is empty"),
        ("200 OK", said(&"no ".repeat(300)), "far too long"),
        ("200 OK", said(&"no ".repeat(600_000)), "far too long"),
    ];
    for (status, body, expected) in cases {
        let sentence = ask("hello world", http(status, &body)).0.unwrap_err().to_string();
        assert!(sentence.contains(expected) && !sentence.contains(char::is_control), "{sentence}");
        assert!(sentence.contains("; ") && sentence.len() < 500, "{sentence}");
    }
    let (answer, _) = ask(&"a long dictation ".repeat(100), http("200 OK", &said("Sure!")));
    assert!(answer.unwrap_err().to_string().contains("far too short"));
}

#[test]
fn an_answer_without_an_end_is_not_read_to_its_end() {
    let endless = [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec(), vec![b' '; 8 << 20]].concat();
    let error = ask("hello world", endless).0.unwrap_err();
    assert!(matches!(error, PolishError::Useless { what: "it is far too long", .. }), "{error}");
}

#[test]
fn nobody_is_waited_for_longer_than_was_allowed() {
    let (endpoint, thread) = server(Vec::new());
    let error = polisher(&endpoint, Duration::from_millis(300)).polish("hello").unwrap_err();
    assert!(matches!(error, PolishError::Unreachable { .. }), "{error}");
    thread.join().unwrap();
    let error = polisher("http://127.0.0.1:1/v1", Duration::from_secs(5)).polish("hello").unwrap_err();
    assert!(error.to_string().contains("127.0.0.1 cannot be asked"), "{error}");
}

#[test]
fn text_leaves_this_machine_encrypted_or_not_at_all() {
    let made = |endpoint: &str| Polisher::new(Wanted { endpoint: endpoint.into(), ..Wanted::default() }, None);
    for endpoint in
        ["http://localhost:11434/v1", "http://127.0.0.1/v1", "http://[::1]:8080/v1", "https://api.openai.com/v1"]
    {
        made(endpoint).unwrap();
    }
    for endpoint in ["http://192.168.1.7:11434/v1", "http://example.org/v1", "http://localhost.example.org/v1"] {
        assert!(matches!(made(endpoint), Err(PolishError::Unencrypted(_))), "{endpoint}");
    }
    for endpoint in ["", "localhost:11434", "ftp://localhost/v1", "http:///v1", "nonsense with spaces"] {
        assert!(matches!(made(endpoint), Err(PolishError::Address(_))), "{endpoint}");
    }
}
