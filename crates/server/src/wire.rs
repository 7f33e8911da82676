//! The JSON of OpenAI's API, name for name.
//!
//! *Source*: <https://platform.openai.com/docs/api-reference/audio>, as the types of `openai` 3.57.0 on PyPI have it.

use std::time::Duration;

use amanuensis_engine::Done;
use amanuensis_whisper::languages::LANGUAGES;
use amanuensis_whisper::{HOP_SAMPLES, SAMPLE_RATE, Segment, Task, TokenId, Word};
use serde::Serialize;

/// Any failure.
#[derive(Serialize)]
pub(crate) struct ErrorBody<'a> {
    pub error: Error<'a>,
}

#[derive(Serialize)]
pub(crate) struct Error<'a> {
    pub message: &'a str,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub param: Option<&'a str>,
    pub code: Option<&'static str>,
}

/// `response_format=json`.
#[derive(Serialize)]
pub(crate) struct Transcription {
    pub text: String,
    pub usage: Usage,
}

/// What is charged for elsewhere.
#[derive(Serialize)]
pub(crate) struct Usage {
    #[serde(rename = "type")]
    kind: &'static str,
    seconds: u64,
}

impl Usage {
    pub fn of(audio: Duration) -> Self {
        Self { kind: "duration", seconds: audio.as_secs_f64().ceil() as u64 }
    }
}

/// `response_format=verbose_json`.
#[derive(Serialize)]
pub(crate) struct VerboseTranscription {
    task: &'static str,
    language: String,
    duration: f64,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<VerboseSegment>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<VerboseWord>>,
    usage: Usage,
}

#[derive(Serialize)]
struct VerboseSegment {
    id: usize,
    seek: u64,
    start: f64,
    end: f64,
    text: String,
    tokens: Vec<TokenId>,
    temperature: f32,
    avg_logprob: f32,
    compression_ratio: f32,
    no_speech_prob: f32,
}

#[derive(Serialize)]
struct VerboseWord {
    word: String,
    start: f64,
    end: f64,
}

impl VerboseTranscription {
    /// The whole answer, with `segments`, `words` or both.
    pub fn of(done: &Done, task: Task, segments: bool, words: bool) -> Self {
        let transcript = &done.transcript;
        let (task, language) = match task {
            Task::Transcribe => ("transcribe", transcript.language.as_str()),
            // What is named is the language of the text.
            Task::Translate => ("translate", "en"),
        };
        let all_words = || transcript.segments.iter().flat_map(|segment| &segment.words).map(VerboseWord::of).collect();
        Self {
            task,
            language: language_name(language),
            duration: done.timings.audio.as_secs_f64(),
            text: transcript.text(),
            segments: segments.then(|| transcript.segments.iter().enumerate().map(VerboseSegment::of).collect()),
            words: words.then(all_words),
            usage: Usage::of(done.timings.audio),
        }
    }
}

impl VerboseSegment {
    fn of((id, segment): (usize, &Segment)) -> Self {
        Self {
            id,
            // In mel frames, as the model counts.
            seek: segment.window_start.as_millis() as u64 * u64::from(SAMPLE_RATE) / 1000 / HOP_SAMPLES as u64,
            start: segment.start.as_secs_f64(),
            end: segment.end.as_secs_f64(),
            text: segment.text.clone(),
            tokens: segment.tokens.clone(),
            temperature: segment.temperature,
            avg_logprob: segment.avg_logprob,
            compression_ratio: segment.compression_ratio,
            no_speech_prob: segment.no_speech_prob,
        }
    }
}

impl VerboseWord {
    fn of(word: &Word) -> Self {
        Self { word: word.text.trim().to_owned(), start: word.start.as_secs_f64(), end: word.end.as_secs_f64() }
    }
}

/// English name in small letters, which is what OpenAI answers for a code.
fn language_name(code: &str) -> String {
    LANGUAGES.iter().find(|(known, _)| *known == code).map_or(code, |(_, name)| name).to_lowercase()
}

/// An event of `stream=true`.
#[derive(Serialize)]
#[serde(tag = "type")]
pub(crate) enum StreamEvent {
    #[serde(rename = "transcript.text.delta")]
    Delta { delta: String },
    #[serde(rename = "transcript.text.done")]
    Done { text: String },
}

/// `GET /v1/models`.
#[derive(Serialize)]
pub(crate) struct ModelList {
    object: &'static str,
    data: Vec<Model>,
}

impl ModelList {
    pub fn of(data: Vec<Model>) -> Self {
        Self { object: "list", data }
    }
}

#[derive(Serialize)]
pub(crate) struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

impl Model {
    /// `created` is in seconds since 1970.
    pub fn of(id: String, created: u64) -> Self {
        Self { id, object: "model", created, owned_by: "amanuensis" }
    }
}
