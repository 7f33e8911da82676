//! Live sessions, by a WebSocket client that shares no code with the server.

use std::time::Duration;

use amanuensis_audio::AudioFile;
use amanuensis_server::Limits;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, ClientRequestBuilder, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::Served;
use crate::fake::Fake;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Something said, as 16-bit samples, 16,000 a second, with silence around it. `None` where there is no voice.
pub(crate) fn speech(text: &str) -> Option<Vec<u8>> {
    let wav = amanuensis_test_support::speak(text)?;
    let mut file = AudioFile::open(&wav).unwrap();
    let mut samples = vec![0.0; 20 * 16_000];
    let count = file.read(&mut samples).unwrap();
    let silence = std::iter::repeat_n(0.0, 16_000);
    let all = silence.clone().chain(samples[..count].iter().copied()).chain(silence);
    Some(all.flat_map(|sample| ((sample * 32_767.0) as i16).to_le_bytes()).collect())
}

pub(crate) async fn open(served: &Served, query: &str) -> Result<Socket, tungstenite::Error> {
    let address = format!("ws://{}/v1/realtime{query}", served.address()).parse().unwrap();
    let request = ClientRequestBuilder::new(address).with_header("Authorization", served.bearer());
    tokio_tungstenite::connect_async(request).await.map(|(socket, _)| socket)
}

/// The next thing that the server says; nothing when it closes.
pub(crate) async fn next(socket: &mut Socket) -> Option<Value> {
    loop {
        match futures_util::StreamExt::next(socket).await? {
            Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

pub(crate) async fn send(socket: &mut Socket, message: Message) {
    futures_util::SinkExt::send(socket, message).await.unwrap();
}

pub(crate) async fn stop(socket: &mut Socket) {
    send(socket, Message::text(r#"{"type":"stop"}"#)).await;
}

pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await.expect("it goes on") })
}

#[test]
fn words_come_while_they_are_spoken() {
    let Some(audio) = speech("The quick brown fox jumps over the lazy dog, again and again and again.") else { return };
    let served = Served::start();
    run(async {
        let mut socket = open(&served, "?rate=16000&language=de").await.unwrap();
        assert_eq!(next(&mut socket).await, Some(json!({"type": "ready", "model": "fake", "rate": 16000})));
        let (mut partials, mut said) = (Vec::new(), Vec::new());
        // Cut in the middle of samples, and not in real time.
        for block in audio.chunks(9_999) {
            send(&mut socket, Message::binary(block.to_vec())).await;
            while let Ok(Some(told)) = tokio::time::timeout(Duration::from_millis(60), next(&mut socket)).await {
                if told["type"] == "partial" { partials.push(told) } else { said.push(told) }
            }
        }
        stop(&mut socket).await;
        while let Some(told) = next(&mut socket).await {
            if told["type"] == "partial" { partials.push(told) } else { said.push(told) }
        }
        assert_eq!(partials[0], json!({"type": "partial", "committed": "", "tentative": "Hallo, Welt."}));
        assert!(partials[1..].iter().all(|told| told["committed"] == "Hallo, Welt."), "{partials:?}");
        let expected =
            [json!({"type": "final", "text": "Hallo, Welt."}), json!({"type": "done", "text": "Hallo, Welt."})];
        assert_eq!(said, expected);
    });
    served.settle();
    let snapshot = served.engine.snapshot();
    assert!(snapshot.pools.iter().all(|pool| pool.in_use == 0), "{:?}", snapshot.pools);
}

#[test]
fn a_recording_sent_at_once_is_not_lost() {
    let Some(audio) = speech("One two three four five six seven eight.") else { return };
    let served = Served::start();
    run(async {
        let mut socket = open(&served, "").await.unwrap();
        for block in audio.repeat(3).chunks(64_000) {
            send(&mut socket, Message::binary(block.to_vec())).await;
        }
        stop(&mut socket).await;
        let mut finals = 0;
        let done = loop {
            let told = next(&mut socket).await.expect("it is done before it closes");
            match told["type"].as_str() {
                Some("final") => finals += 1,
                Some("done") => break told,
                _ => {}
            }
        };
        let text = vec!["Hello, world."; finals].join(" ");
        assert!(finals >= 3, "{finals} segments");
        assert_eq!(done["text"], text);
        assert_eq!(next(&mut socket).await, None);
    });
}

#[test]
fn silence_has_no_text() {
    let served = Served::start();
    run(async {
        let mut socket = open(&served, "?rate=48000").await.unwrap();
        assert_eq!(next(&mut socket).await.unwrap()["rate"], 48_000);
        send(&mut socket, Message::binary(vec![0; 96_000])).await;
        stop(&mut socket).await;
        assert_eq!(next(&mut socket).await, Some(json!({"type": "done", "text": ""})));
    });
    assert_eq!(served.engine.snapshot().requests.submitted, 0);
}

#[test]
fn a_client_that_falls_silent_gets_what_there_is() {
    let Some(audio) = speech("Hello there, everybody.") else { return };
    let served = Served::with(Fake::default(), 100, Limits { pause: Duration::from_millis(400), ..Limits::default() });
    run(async {
        let mut socket = open(&served, "").await.unwrap();
        for block in audio.chunks(64_000) {
            send(&mut socket, Message::binary(block.to_vec())).await;
        }
        let mut last = Value::Null;
        while let Some(told) = next(&mut socket).await {
            last = told;
        }
        assert_eq!(last, json!({"type": "done", "text": "Hello, world."}));
    });
}

#[test]
fn a_broken_model_ends_the_session_with_an_error() {
    let Some(audio) = speech("Hello there, everybody.") else { return };
    let served = Served::with(Fake { broken: true, ..Fake::default() }, 100, Limits::default());
    run(async {
        let mut socket = open(&served, "").await.unwrap();
        for block in audio.chunks(64_000) {
            send(&mut socket, Message::binary(block.to_vec())).await;
        }
        stop(&mut socket).await;
        let mut last = Value::Null;
        while let Some(told) = next(&mut socket).await {
            last = told;
        }
        assert_eq!((&last["type"], &last["error"]["type"]), (&json!("error"), &json!("server_error")));
    });
}

#[test]
fn what_is_no_session_is_refused() {
    let served = Served::with(Fake::default(), 100, Limits { sessions: 1, ..Limits::default() });
    let status = |opened: Result<Socket, tungstenite::Error>| match opened {
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
        Ok(_) => 101,
    };
    run(async {
        for (query, expected) in [
            ("?rate=7999", 400),
            ("?rate=many", 400),
            ("?surprise=1", 400),
            ("?language=klingon", 400),
            ("?model=gpt-9", 404),
        ] {
            assert_eq!(status(open(&served, query).await), expected, "{query}");
        }
        let address: tungstenite::http::Uri = format!("ws://{}/v1/realtime", served.address()).parse().unwrap();
        let page = ClientRequestBuilder::new(address.clone())
            .with_header("Authorization", served.bearer())
            .with_header("Origin", "https://page.example");
        assert_eq!(status(tokio_tungstenite::connect_async(page).await.map(|(socket, _)| socket)), 403);
        let anonymous = ClientRequestBuilder::new(address);
        assert_eq!(status(tokio_tungstenite::connect_async(anonymous).await.map(|(socket, _)| socket)), 401);

        let mut first = open(&served, "").await.unwrap();
        assert_eq!(status(open(&served, "").await), 429);
        assert_eq!(next(&mut first).await.unwrap()["type"], "ready");
        send(&mut first, Message::text("go on")).await;
        let told = next(&mut first).await.unwrap();
        assert_eq!((&told["type"], &told["error"]["type"]), (&json!("error"), &json!("invalid_request_error")));
        assert_eq!(next(&mut first).await, None);
    });
    let plain = served.get("/v1/realtime");
    assert_eq!((plain.status, plain.error().contains("WebSocket")), (400, true));
}

#[test]
fn a_session_ends_with_the_server() {
    let Some(audio) = speech("Hello there, everybody.") else { return };
    let mut served = Served::start();
    run(async {
        let mut socket = open(&served, "").await.unwrap();
        // Without the pause at its end, which would end the segment.
        for block in audio[..audio.len() - 32_000].chunks(64_000) {
            send(&mut socket, Message::binary(block.to_vec())).await;
        }
        while next(&mut socket).await.unwrap()["type"] != "partial" {}
        let stopping = tokio::task::spawn_blocking(move || {
            served.stop();
            served
        });
        let mut last = Value::Null;
        while let Some(told) = next(&mut socket).await {
            last = told;
        }
        assert_eq!(last, json!({"type": "done", "text": "Hello, world."}));
        drop(socket);
        stopping.await.unwrap();
    });
}
