//! Every response format, every field.

use serde_json::{Value, json};

use crate::fake::Fake;
use crate::{Served, wav};

const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";
const TRANSLATIONS: &str = "/v1/audio/translations";

fn ask(served: &Served, fields: &[(&str, &str)]) -> crate::client::Answer {
    let fields: Vec<_> = [("model", "whisper-1")].into_iter().chain(fields.iter().copied()).collect();
    served.upload(TRANSCRIPTIONS, &fields, &wav(1.2))
}

#[test]
fn each_format_is_written_as_openai_writes_it() {
    let served = Served::start();
    let json = ask(&served, &[]);
    assert_eq!(json.status, 200);
    let expected = json!({"text": "Hello, world.", "usage": {"type": "duration", "seconds": 2}});
    assert_eq!((json.header("content-type"), json.json()), (Some("application/json"), expected));

    let text = ask(&served, &[("response_format", "text")]);
    assert_eq!((text.header("content-type"), text.text()), (Some("text/plain; charset=utf-8"), "Hello, world.\n"));
    let srt = "1\n00:00:00,000 --> 00:00:00,400\nHello,\n\n2\n00:00:00,400 --> 00:00:01,000\nworld.\n\n";
    assert_eq!(ask(&served, &[("response_format", "srt")]).text(), srt);
    let vtt = "WEBVTT\n\n00:00:00.000 --> 00:00:00.400\nHello,\n\n00:00:00.400 --> 00:00:01.000\nworld.\n\n";
    assert_eq!(ask(&served, &[("response_format", "vtt")]).text(), vtt);
}

#[test]
fn verbose_json_has_the_times_that_were_asked_for() {
    let served = Served::start();
    let verbose = ask(&served, &[("response_format", "verbose_json")]).json();
    assert_eq!(keys(&verbose), ["duration", "language", "segments", "task", "text", "usage"]);
    assert_eq!((&verbose["task"], &verbose["language"]), (&json!("transcribe"), &json!("english")));
    assert_eq!(verbose["duration"], json!(1.2));
    let segments = verbose["segments"].as_array().unwrap();
    assert_eq!(segments.len(), 2);
    let names = [
        "avg_logprob",
        "compression_ratio",
        "end",
        "id",
        "no_speech_prob",
        "seek",
        "start",
        "temperature",
        "text",
        "tokens",
    ];
    assert_eq!(keys(&segments[1]), names);
    assert_eq!((&segments[1]["id"], &segments[1]["start"], &segments[1]["end"]), (&json!(1), &json!(0.4), &json!(1.0)));
    assert_eq!((&segments[1]["text"], &segments[1]["seek"]), (&json!(" world."), &json!(0)));

    let words = [("response_format", "verbose_json"), ("timestamp_granularities[]", "word")];
    let verbose = ask(&served, &words).json();
    assert_eq!(keys(&verbose), ["duration", "language", "task", "text", "usage", "words"]);
    let spoken: Vec<_> =
        verbose["words"].as_array().unwrap().iter().map(|word| word["word"].as_str().unwrap()).collect();
    assert_eq!(spoken, ["Hello,", "world."]);
    assert_eq!(keys(&verbose["words"][0]), ["end", "start", "word"]);

    let both = [words[0], words[1], ("timestamp_granularities[]", "segment")];
    let verbose = ask(&served, &both).json();
    assert!(verbose["words"].is_array() && verbose["segments"].is_array());
}

#[test]
fn a_long_recording_names_the_window_of_each_segment() {
    let served = Served::start();
    let fields = [("model", "fake"), ("response_format", "verbose_json")];
    let verbose = served.upload(TRANSCRIPTIONS, &fields, &wav(40.0)).json();
    let seeks: Vec<_> =
        verbose["segments"].as_array().unwrap().iter().map(|segment| segment["seek"].as_u64().unwrap()).collect();
    assert_eq!(seeks, [0, 0, 3000, 3000]);
    assert_eq!(verbose["usage"]["seconds"], json!(40));
}

#[test]
fn language_prompt_and_task_reach_the_model() {
    let served = Served::start();
    assert_eq!(ask(&served, &[("language", "de")]).json()["text"], "Hallo, Welt.");
    assert_eq!(ask(&served, &[("language", "German")]).json()["text"], "Hallo, Welt.");
    assert_eq!(ask(&served, &[("prompt", "As before")]).json()["text"], "Hello, as prompted.");
    let warm = ask(&served, &[("temperature", "0.4"), ("response_format", "verbose_json")]).json();
    assert_eq!(warm["segments"][0]["temperature"], json!(0.4));
    let fields = [("model", "fake"), ("response_format", "verbose_json")];
    let translated = served.upload(TRANSLATIONS, &fields, &wav(1.2)).json();
    assert_eq!((&translated["task"], &translated["text"]), (&json!("translate"), &json!("Hello, in English.")));
    assert_eq!(translated["language"], "english");
}

#[test]
fn a_stream_sends_each_segment_and_then_the_whole() {
    let served = Served::start();
    let answer = ask(&served, &[("stream", "true")]);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    let lines = answer.text().split("\n\n").filter(|line| !line.is_empty());
    let events: Vec<Value> =
        lines.map(|line| serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap()).collect();
    let expected = [
        json!({"type": "transcript.text.delta", "delta": " Hello,"}),
        json!({"type": "transcript.text.delta", "delta": " world."}),
        json!({"type": "transcript.text.done", "text": "Hello, world."}),
    ];
    assert_eq!(events, expected);
}

#[test]
fn wrong_fields_are_named_with_a_next_step() {
    let served = Served::start();
    let wrong: [(&[(&str, &str)], &str); 11] = [
        (&[("response_format", "diarized_json")], "response_format"),
        (&[("temperature", "1.5")], "temperature"),
        (&[("temperature", "NaN")], "temperature"),
        (&[("temperature", "hot")], "temperature"),
        (&[("language", "klingon")], "language"),
        (&[("stream", "maybe")], "stream"),
        (&[("stream", "true"), ("response_format", "srt")], "stream"),
        (&[("timestamp_granularities[]", "word")], "timestamp_granularities"),
        (&[("timestamp_granularities[]", "letter"), ("response_format", "verbose_json")], "timestamp_granularities[]"),
        (&[("include[]", "logprobs")], "include[]"),
        (&[("surprise", "!")], "surprise"),
    ];
    for (fields, param) in wrong {
        let answer = ask(&served, fields);
        assert_eq!(answer.status, 400, "{fields:?}");
        assert_eq!(answer.json()["error"]["param"], param, "{fields:?}");
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
        assert!(!answer.error().is_empty());
    }
    let unknown = served.upload(TRANSCRIPTIONS, &[("model", "gpt-9")], &wav(0.5));
    assert_eq!((unknown.status, &unknown.json()["error"]["code"]), (404, &json!("model_not_found")));
    assert_eq!(served.upload(TRANSCRIPTIONS, &[], &wav(0.5)).json()["error"]["param"], "model");
    let without_file = served.send_form(TRANSCRIPTIONS, &crate::client::form(&[("model", "fake")], None));
    assert_eq!((without_file.status, &without_file.json()["error"]["param"]), (400, &json!("file")));
    let no_translation_field = served.upload(TRANSLATIONS, &[("model", "fake"), ("language", "de")], &wav(0.5));
    assert_eq!(no_translation_field.json()["error"]["param"], "language");
    assert_eq!(served.engine.snapshot().requests.submitted, 0);
}

#[test]
fn an_english_model_says_what_it_cannot_do() {
    let fake = Fake { n_vocab: 51_864, ..Fake::default() };
    let served = Served::with(fake, 100, Default::default());
    assert_eq!(ask(&served, &[("language", "en")]).json()["text"], "Hello, world.");
    let german = ask(&served, &[("language", "de")]);
    assert_eq!((german.status, german.error().contains("multilingual")), (400, true));
    let translated = served.upload(TRANSLATIONS, &[("model", "fake")], &wav(1.0));
    assert_eq!((translated.status, translated.error().contains("multilingual")), (400, true));
}

#[test]
fn a_broken_model_is_the_servers_fault() {
    let served = Served::with(Fake { broken: true, ..Fake::default() }, 100, Default::default());
    let answer = ask(&served, &[]);
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (500, &json!("server_error")));
    let stream = ask(&served, &[("stream", "true")]);
    assert!(stream.status == 200 && stream.text().starts_with("data: {\"error\":{\"message\":"), "{}", stream.text());
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}
