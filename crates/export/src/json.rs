use std::time::Duration;

use amanuensis_engine::Done;
use amanuensis_whisper::{Segment, Word};
use serde::Serialize;

use crate::Transcript;

/// The transcript as one object in a line.
pub fn report(transcript: &Transcript<'_>) -> String {
    let json =
        serde_json::to_string(&Report::new(transcript)).expect("BUG: numbers and strings always have a JSON form");
    format!("{json}\n")
}

#[derive(Serialize)]
struct Report<'a> {
    recording: &'a str,
    language: Option<&'a str>,
    duration_s: Option<f64>,
    text: String,
    segments: Vec<SegmentReport<'a>>,
    device: Option<&'a str>,
    /// Why another device than the preferred one was used.
    fallback: Option<&'a str>,
    timings_ms: Option<TimingsReport>,
    /// Why the transcript is not whole.
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct SegmentReport<'a> {
    start_s: f64,
    end_s: f64,
    text: &'a str,
    avg_logprob: f32,
    no_speech_prob: f32,
    compression_ratio: f32,
    temperature: f32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    words: Vec<WordReport<'a>>,
}

#[derive(Serialize)]
struct WordReport<'a> {
    start_s: f64,
    end_s: f64,
    word: &'a str,
    probability: f32,
}

#[derive(Serialize)]
struct TimingsReport {
    queued: f64,
    mel: f64,
    encode: f64,
    decode: f64,
    total: f64,
}

impl<'a> Report<'a> {
    fn new(transcript: &Transcript<'a>) -> Self {
        let Transcript { recording, segments, outcome } = *transcript;
        let done = outcome.ok();
        Self {
            recording,
            language: done.map(|done| done.transcript.language.as_str()),
            duration_s: done.map(|done| seconds(done.timings.audio)),
            text: segments.iter().map(|segment| segment.text.as_str()).collect::<String>().trim().to_owned(),
            segments: segments.iter().map(SegmentReport::new).collect(),
            device: done.map(|done| done.device.name.as_str()),
            fallback: done.and_then(|done| done.fallback.as_ref().map(|reason| reason.text.as_str())),
            timings_ms: done.map(|Done { timings, .. }| TimingsReport {
                queued: seconds(timings.queued) * 1e3,
                mel: seconds(timings.mel) * 1e3,
                encode: seconds(timings.encode) * 1e3,
                decode: seconds(timings.decode) * 1e3,
                total: seconds(timings.total) * 1e3,
            }),
            error: outcome.err(),
        }
    }
}

impl<'a> SegmentReport<'a> {
    fn new(segment: &'a Segment) -> Self {
        Self {
            start_s: seconds(segment.start),
            end_s: seconds(segment.end),
            text: segment.text.trim(),
            avg_logprob: segment.avg_logprob,
            no_speech_prob: segment.no_speech_prob,
            compression_ratio: segment.compression_ratio,
            temperature: segment.temperature,
            words: segment.words.iter().map(WordReport::new).collect(),
        }
    }
}

impl<'a> WordReport<'a> {
    fn new(word: &'a Word) -> Self {
        Self {
            start_s: seconds(word.start),
            end_s: seconds(word.end),
            word: word.text.trim(),
            probability: word.probability,
        }
    }
}

/// To the millisecond: more digits would only be noise.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}
