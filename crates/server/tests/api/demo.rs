//! With the demo model, from a voice to its words.

use amanuensis_backends::{Choice, CpuOptions};
use amanuensis_engine::Engine;
use amanuensis_server::Limits;
use amanuensis_test_support::{assert_understood, speak};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use crate::Served;
use crate::realtime::{next, open, run, send, speech, stop};

const SAID: &str = "Please send the report to Alice before Friday.";
const THEN: &str = "Can you tell me where the station is?";

/// The demo model, served. `None` where it is not there.
fn demo() -> Option<Served> {
    let Some(file) = amanuensis_models::demo() else {
        println!("skipped: the demo model is not there");
        return None;
    };
    let speech = amanuensis_backends::open(&file, &Choice::Cpu(CpuOptions::default())).unwrap();
    Some(Served::around(Engine::start(speech, Default::default()).unwrap(), Limits::default()))
}

#[test]
fn a_stream_says_each_segment_and_then_the_whole() {
    let (Some(served), Some(wav)) = (demo(), speak(&format!("{SAID} {THEN}"))) else { return };
    let fields = [("model", "whisper-1"), ("stream", "true")];
    let answer = served.upload("/v1/audio/transcriptions", &fields, &std::fs::read(wav).unwrap());
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")), "{answer:?}");
    let events = answer.text().split("\n\n").filter(|event| !event.is_empty());
    let mut events: Vec<Value> =
        events.map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap()).collect();
    let done = events.pop().unwrap();
    let text = done["text"].as_str().unwrap();
    assert_eq!(done["type"], "transcript.text.done");
    assert_understood(&format!("{SAID} {THEN}"), text);
    assert!(events.iter().all(|event| event["type"] == "transcript.text.delta"), "{events:?}");
    let deltas: String = events.iter().map(|event| event["delta"].as_str().unwrap()).collect();
    assert_eq!(deltas.trim(), text);
}

#[test]
fn a_live_session_has_words_before_the_end_and_all_after_it() {
    let (Some(served), Some(audio)) = (demo(), speech(SAID)) else { return };
    run(async {
        let mut socket = open(&served, "").await.unwrap();
        assert_eq!(next(&mut socket).await.unwrap()["type"], "ready");
        // A quarter of a second at a time, at twice the pace of speech.
        let (mut partials, mut finals) = (Vec::new(), Vec::new());
        let mut hear = |told: Value| match told["type"].as_str() {
            Some("partial") => partials.push(told),
            Some("final") => finals.push(told["text"].as_str().unwrap().to_owned()),
            _ => panic!("{told}"),
        };
        for block in audio.chunks(8_000) {
            send(&mut socket, Message::binary(block.to_vec())).await;
            let until = tokio::time::Instant::now() + std::time::Duration::from_millis(125);
            while let Ok(Some(told)) = tokio::time::timeout_at(until, next(&mut socket)).await {
                hear(told);
            }
        }
        stop(&mut socket).await;
        let done = loop {
            let told = next(&mut socket).await.expect("it is done before it closes");
            if told["type"] == "done" {
                break told["text"].as_str().unwrap().to_owned();
            }
            hear(told);
        };
        assert_understood(SAID, &done);
        assert_eq!(done, finals.join(" "));
        let tentative = |told: &Value| told["tentative"].as_str().is_some_and(|text| !text.is_empty());
        assert!(partials.iter().any(tentative), "no words before the end: {partials:?}");
        assert_eq!(next(&mut socket).await, None);
    });
    served.settle();
    let snapshot = served.engine.snapshot();
    assert!(snapshot.pools.iter().all(|pool| pool.in_use == 0), "{:?}", snapshot.pools);
}
