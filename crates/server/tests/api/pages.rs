//! What tells of the server itself.

use std::collections::BTreeSet;

use amanuensis_engine::{Engine, Settings as EngineSettings, Shutdown, Speech};
use serde_json::json;

use crate::client::request;
use crate::fake::Fake;
use crate::{Served, wav};

#[test]
fn the_description_names_what_there_is() {
    let served = Served::start();
    let description = request(served.address(), "GET", "/openapi.json", &[], &[]).json();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for method in ["get", "post"] {
            let path = path.replace("{model}", "fake");
            let headers = [("Authorization", served.bearer())];
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let status = request(served.address(), &method.to_uppercase(), &path, &headers, &[]).status;
            let described = methods.get(method).is_some();
            assert_ne!(status, 404, "{method} {path}");
            assert_eq!(status == 405, !described, "{method} {path} answers {status}");
        }
    }
    let page = request(served.address(), "GET", "/docs", &[], &[]);
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    let start = request(served.address(), "GET", "/", &[], &[]);
    assert_eq!((start.status, start.header("location")), (307, Some("/docs")));
}

#[test]
fn models_are_listed_under_both_names() {
    let served = Served::start();
    let list = served.get("/v1/models").json();
    assert_eq!(list["object"], "list");
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(ids, ["fake", "whisper-1"]);
    let model = served.get("/v1/models/whisper-1").json();
    assert_eq!((&model["object"], model["created"].is_u64()), (&json!("model"), true));
    assert_eq!(served.get("/v1/models/gpt-9").status, 404);
}

#[test]
fn another_engine_takes_over_without_a_pause() {
    let served = Served::start();
    let speech = Speech { name: "other".to_owned(), ..Fake::default().speech() };
    let other = Engine::start(speech, EngineSettings::default()).unwrap();
    served.use_engine(other.clone());
    let ids = served.get("/v1/models").json();
    assert_eq!((&ids["data"][0]["id"], ids["data"].as_array().unwrap().len()), (&json!("other"), 2));
    assert_eq!(served.upload("/v1/audio/transcriptions", &[("model", "other")], &wav(1.5)).status, 200);
    assert_eq!((other.snapshot().requests.finished, served.engine.snapshot().requests.submitted), (1, 0));
    other.shutdown(Shutdown::Drain);
}

#[test]
fn figures_agree_wherever_they_are_shown() {
    let served = Served::start();
    for _ in 0..3 {
        served.upload("/v1/audio/transcriptions", &[("model", "fake")], &wav(1.5));
    }
    served.get("/nowhere");
    served.settle();
    assert_eq!(request(served.address(), "GET", "/health", &[], &[]).json(), json!({"status": "ok"}));
    let health = served.get("/health/pipeline").json();
    assert_eq!((&health["status"], health["stages"].as_array().unwrap().len()), (&json!("ok"), 3));
    let stats = served.get("/stats").json();
    assert_eq!((&stats["requests"]["finished"], &stats["requests"]["audio_s"]), (&json!(3), &json!(4.5)));
    let answers = stats["answers"].as_array().unwrap();
    let posted = json!({"method": "POST", "path": "/v1/audio/transcriptions", "status": 200, "count": 3});
    assert!(answers.contains(&posted), "{answers:?}");
    assert!(answers.contains(&json!({"method": "GET", "path": "other", "status": 404, "count": 1})), "{answers:?}");
    let pipeline = served.get("/stats/pipeline").json();
    let stages: Vec<_> = pipeline["stages"].as_array().unwrap().iter().map(|stage| &stage["stage"]).collect();
    assert_eq!(stages, ["mel", "encode", "decode"]);
    assert_eq!((&pipeline["model"], &pipeline["stages"][1]["count"]), (&json!("fake"), &json!(3)));
    let platform = served.get("/platform").json();
    assert_eq!((&platform["os"], &platform["device"]["name"]), (&json!("linux"), &json!("fake")));
    let metrics = served.get("/metrics");
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let has = |line: &str| metrics.text().lines().any(|other| other == line);
    assert!(has("amanuensis_requests_total{outcome=\"finished\"} 3"), "{}", metrics.text());
    assert!(has("amanuensis_stage_windows_total{stage=\"encode\"} 3"));
    assert!(has("amanuensis_http_responses_total{method=\"POST\",path=\"/v1/audio/transcriptions\",status=\"200\"} 3"));
}

#[test]
fn metrics_are_in_the_format_of_prometheus() {
    let served = Served::start();
    served.upload("/v1/audio/transcriptions", &[("model", "fake")], &wav(1.5));
    let page = served.get("/metrics");
    let mut families = BTreeSet::new();
    let mut series = BTreeSet::new();
    let mut family = "";
    for line in page.text().lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap();
            assert!(families.insert(family), "{family} comes twice");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(name == family && ["counter", "gauge", "summary"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
            assert!(series.insert(name), "{name} comes twice");
            let bare = name.split('{').next().unwrap();
            assert!(
                [family, &format!("{family}_sum"), &format!("{family}_count")].contains(&bare),
                "{line} in {family}"
            );
        }
    }
    assert!(families.len() > 20, "{families:?}");
}

#[test]
fn what_is_not_there_says_so() {
    let served = Served::start();
    let nothing = served.get("/v2/audio");
    assert_eq!((nothing.status, nothing.error().is_empty()), (404, false));
    let wrong = request(served.address(), "DELETE", "/health", &[], &[]);
    assert_eq!((wrong.status, wrong.error().is_empty()), (405, false));
}
