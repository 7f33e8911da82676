//! `POST /v1/audio/transcriptions` and `POST /v1/audio/translations`.

use std::convert::Infallible;

use amanuensis_audio::{AudioFile, FileError};
use amanuensis_engine::{Done, Engine, Event, Priority, RequestError};
use amanuensis_export::subtitles;
use amanuensis_whisper::languages::LANGUAGES;
use amanuensis_whisper::{DecodeError, DecodeOptions, Task};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use crate::error::ApiError;
use crate::routes::App;
use crate::running::Running;
use crate::upload::Form;
use crate::wire::{StreamEvent, Transcription, Usage, VerboseTranscription};

/// What every client may call the model that is loaded.
pub(crate) const ALIAS: &str = "whisper-1";

/// Text in the language that was spoken.
pub(crate) async fn transcriptions(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    answer(&app, request, Task::Transcribe).await
}

/// English text.
pub(crate) async fn translations(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    answer(&app, request, Task::Translate).await
}

async fn answer(app: &App, request: Request, task: Task) -> Result<Response, ApiError> {
    let place = app.recording_place()?;
    let form = Form::receive(request, &app.settings.limits).await?;
    let engine = app.engine();
    let ask = Ask::parse(form.fields, task, &engine)?;
    let Some((file, name)) = form.file else {
        return Err(ApiError::field("file", "The field `file` is missing; put the recording there."));
    };
    let opened = tokio::task::spawn_blocking(move || AudioFile::from_file(file, &name)).await;
    let audio = opened.map_err(|_| broken_reader())?.map_err(unreadable)?;
    let deadline = Some(app.settings.limits.answer_time);
    let mut running = Running::start(&engine, audio.into(), Priority::Batch, ask.options(), deadline)?;
    if ask.stream {
        return Ok(events(running, place));
    }
    let done = running.finished().await?;
    Ok(ask.render(&done))
}

fn unreadable(error: FileError) -> ApiError {
    match error {
        FileError::Io { .. } => ApiError::server(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        error => ApiError::field("file", error.to_string()),
    }
}

fn broken_reader() -> ApiError {
    let message = "The recording broke its reader; send it in another format.";
    ApiError::server(StatusCode::INTERNAL_SERVER_ERROR, message)
}

/// Server-sent events, each as soon as its text is there.
fn events(running: Running, place: OwnedSemaphorePermit) -> Response {
    struct Stream {
        running: Running,
        _place: OwnedSemaphorePermit,
    }
    let start = Some(Stream { running, _place: place });
    let events = stream::unfold(start, |state| async move {
        let mut state = state?;
        loop {
            let event = match state.running.next().await {
                Some(Event::Segment(segment)) => {
                    let delta = StreamEvent::Delta { delta: segment.text };
                    return Some((Ok(event(&delta)), Some(state)));
                }
                Some(Event::Started | Event::Progress { .. }) => continue,
                Some(Event::Finished(Ok(done))) => event(&StreamEvent::Done { text: done.transcript.text() }),
                Some(Event::Finished(Err(error))) => event(&ApiError::from(error).body()),
                None => event(&ApiError::from(RequestError::Cancelled).body()),
            };
            return Some((Ok::<_, Infallible>(event), None));
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

fn event(data: &impl serde::Serialize) -> sse::Event {
    sse::Event::default()
        .json_data(data)
        .expect("BUG: every wire type has string keys, and its JSON has no line breaks")
}

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Format {
    #[default]
    Json,
    Text,
    Srt,
    VerboseJson,
    Vtt,
}

/// What a form asks for.
#[derive(Debug, Default)]
struct Ask {
    task: Task,
    language: Option<String>,
    prompt: Option<String>,
    temperature: Option<f32>,
    format: Format,
    segments: bool,
    words: bool,
    stream: bool,
}

impl Ask {
    /// Checks every field, so that nothing wrong is found out only after the wait.
    fn parse(fields: Vec<(String, String)>, task: Task, engine: &Engine) -> Result<Self, ApiError> {
        let mut ask = Self { task, ..Self::default() };
        let mut model = None;
        for (name, value) in fields {
            match name.as_str() {
                "model" => model = Some(value),
                "prompt" => ask.prompt = Some(value).filter(|prompt| !prompt.trim().is_empty()),
                "response_format" => ask.format = format(&value)?,
                "temperature" => ask.temperature = Some(temperature(&value)?),
                "language" if task == Task::Transcribe => ask.language = language(value, engine)?,
                "stream" if task == Task::Transcribe => ask.stream = stream(&value)?,
                "timestamp_granularities[]" | "timestamp_granularities" if task == Task::Transcribe => {
                    match value.as_str() {
                        "segment" => ask.segments = true,
                        "word" => ask.words = true,
                        _ => return Err(one_of(&name, &value, "`word` and `segment`")),
                    }
                }
                // Long recordings are always cut where they best can be.
                "chunking_strategy" if task == Task::Transcribe && value == "auto" => {}
                _ => {
                    let message = format!("Unrecognized request argument supplied: {name}; leave it out.");
                    return Err(ApiError::field(name, message));
                }
            }
        }
        let Some(model) = model else {
            let message = format!("You must provide a model parameter; `{ALIAS}` means the model that is loaded.");
            return Err(ApiError::field("model", message));
        };
        check_model(&model, engine)?;
        if task == Task::Translate && !engine.dims().is_multilingual() {
            return Err(ApiError::field("model", DecodeError::CannotTranslate.to_string()));
        }
        if (ask.segments || ask.words) && ask.format != Format::VerboseJson {
            let message = "Times of words and segments come with `response_format=verbose_json` only.";
            return Err(ApiError::field("timestamp_granularities", message));
        }
        if ask.stream && !matches!(ask.format, Format::Json | Format::Text) {
            let message = "A stream has the events of `response_format=json`; leave out `stream` for another format.";
            return Err(ApiError::field("stream", message));
        }
        // Segments are what one gets without asking.
        ask.segments |= !ask.words;
        Ok(ask)
    }

    fn options(&self) -> DecodeOptions {
        let defaults = DecodeOptions::default();
        DecodeOptions {
            language: self.language.clone(),
            task: self.task,
            // 0 stands for the whole ladder, as with OpenAI.
            temperatures: match self.temperature {
                Some(temperature) if temperature > 0.0 => vec![temperature],
                _ => defaults.temperatures,
            },
            prompt: self.prompt.clone(),
            word_timestamps: self.words,
            ..defaults
        }
    }

    fn render(&self, done: &Done) -> Response {
        let transcript = &done.transcript;
        match self.format {
            Format::Json => {
                Json(Transcription { text: transcript.text(), usage: Usage::of(done.timings.audio) }).into_response()
            }
            Format::VerboseJson => {
                Json(VerboseTranscription::of(done, self.task, self.segments, self.words)).into_response()
            }
            Format::Text => (transcript.text() + "\n").into_response(),
            Format::Srt => subtitles::srt(&subtitles::whole(&transcript.segments)).into_response(),
            Format::Vtt => subtitles::vtt(&subtitles::whole(&transcript.segments)).into_response(),
        }
    }
}

fn format(value: &str) -> Result<Format, ApiError> {
    Ok(match value {
        "json" => Format::Json,
        "text" => Format::Text,
        "srt" => Format::Srt,
        "verbose_json" => Format::VerboseJson,
        "vtt" => Format::Vtt,
        _ => return Err(one_of("response_format", value, "`json`, `text`, `srt`, `verbose_json` and `vtt`")),
    })
}

fn temperature(value: &str) -> Result<f32, ApiError> {
    let number = value.trim().parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| ApiError::field("temperature", "The temperature must be a number from 0 to 1."))
}

fn stream(value: &str) -> Result<bool, ApiError> {
    match value.trim() {
        "true" | "True" | "1" => Ok(true),
        "false" | "False" | "0" => Ok(false),
        _ => Err(one_of("stream", value, "`true` and `false`")),
    }
}

/// Whether `asked` means the model that is loaded.
pub(crate) fn check_model(asked: &str, engine: &Engine) -> Result<(), ApiError> {
    let loaded = engine.model_name();
    if asked == ALIAS || asked == loaded { Ok(()) } else { Err(ApiError::no_such_model(asked, loaded)) }
}

/// The language, if the model knows it. Nothing stands for finding out.
pub(crate) fn language(value: String, engine: &Engine) -> Result<Option<String>, ApiError> {
    let asked = value.trim().to_lowercase();
    if asked.is_empty() {
        return Ok(None);
    }
    let known = LANGUAGES.iter().find(|(code, name)| *code == asked || name.to_lowercase() == asked);
    match known {
        Some((code, _)) if *code == "en" || engine.dims().is_multilingual() => Ok(Some((*code).to_owned())),
        _ => Err(ApiError::field("language", DecodeError::UnknownLanguage { language: value }.to_string())),
    }
}

fn one_of(name: &str, value: &str, allowed: &str) -> ApiError {
    ApiError::field(name, format!("`{value}` is no `{name}`; there are {allowed}."))
}
