//! `GET /v1/realtime`: speech in while it is spoken, text out while it grows.
//!
//! The client sends binary messages of 16-bit little-endian samples, one channel, cut anywhere; at the end the text message
//! `{"type":"stop"}`. The server sends text messages:
//!
//! ```text
//! {"type":"ready","model":"…","rate":16000}                  audio may come
//! {"type":"partial","committed":"…","tentative":"…"}         the segment that grows, in place of the partial before
//! {"type":"final","text":"…"}                                a segment is over; its text stands for its partials
//! {"type":"done","text":"…"}                                 after a stop: the text of all segments; then it closes
//! {"type":"error","error":{…}}                               OpenAI's error object; then it closes
//! ```
//!
//! Words become committed by the agreement of two looks in a row, as in dictation: it is the same machine.

use std::time::{Duration, Instant};

use amanuensis_audio::{Resampler, VoiceDetector};
use amanuensis_dictation::machine::{Action, LookId, NoAnswer};
use amanuensis_dictation::{Event, Machine, Outcome, Rules, Setup};
use amanuensis_engine::{Audio, Engine, Priority, RequestError, SubmitError};
use amanuensis_whisper::{DecodeOptions, SAMPLE_RATE};
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::routes::App;
use crate::running::Running;
use crate::settings::Limits;
use crate::transcribe;
use crate::wire;

/// Sample rates that are taken.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=48_000;
/// Bytes of a message.
const MOST_MESSAGE_BYTES: usize = 128 << 10;
/// A client that is this far ahead of the engine has to wait.
const MOST_BACKLOG: Duration = Duration::from_secs(60);

/// How a session is opened.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Opening {
    rate: Option<u32>,
    language: Option<String>,
    prompt: Option<String>,
    model: Option<String>,
}

/// Opens a session.
pub(crate) async fn connect(
    State(app): State<App>,
    opening: Result<Query<Opening>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let Query(opening) = opening.map_err(|rejection| {
        let message = format!("{}; there are `rate`, `language`, `prompt` and `model`.", rejection.body_text());
        ApiError::invalid(StatusCode::BAD_REQUEST, message)
    })?;
    let engine = app.engine();
    if let Some(model) = opening.model {
        transcribe::check_model(&model, &engine)?;
    }
    let rate = opening.rate.unwrap_or(SAMPLE_RATE);
    let resampler = Resampler::new(rate, 1).filter(|_| RATES.contains(&rate));
    let Some(resampler) = resampler else {
        let message = format!("The rate must be from {} to {} samples a second.", RATES.start(), RATES.end());
        return Err(ApiError::field("rate", message));
    };
    let options = DecodeOptions {
        language: transcribe::language(opening.language.unwrap_or_default(), &engine)?,
        prompt: opening.prompt,
        ..Setup::default().options
    };
    let upgrade = upgrade.map_err(|rejection| {
        let message = format!("{}; open this address as a WebSocket.", rejection.body_text());
        ApiError::invalid(rejection.status(), message)
    })?;
    let place = app.session_place()?;
    Ok(upgrade.max_message_size(MOST_MESSAGE_BYTES).max_frame_size(MOST_MESSAGE_BYTES).on_upgrade(
        async move |socket| {
            let ready = Told::Ready { model: engine.model_name().to_owned(), rate };
            let mut session = Session::new(engine, options, resampler, app.settings.limits.clone());
            let mut socket = Socket { socket, write_time: app.settings.limits.write_time };
            let ending = async {
                socket.tell(&ready).await?;
                session.run(&mut socket, app.stopped()).await
            }
            .await;
            // A client that has gone needs no farewell.
            if let Ok(ending) = ending {
                socket.close(ending).await;
            }
            drop(place);
        },
    ))
}

/// What the client may say beside its audio.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    Stop,
}

/// What the client is told.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Told<'a> {
    Ready { model: String, rate: u32 },
    Partial { committed: String, tentative: String },
    Final { text: String },
    Done { text: String },
    Error { error: wire::Error<'a> },
}

/// How a session ends.
enum Ending {
    Done(String),
    Failed(ApiError),
}

/// The client is gone, or takes nothing more.
struct Gone;

struct Socket {
    socket: WebSocket,
    write_time: Duration,
}

impl Socket {
    async fn tell(&mut self, told: &Told<'_>) -> Result<(), Gone> {
        let text = serde_json::to_string(told).expect("BUG: it has string keys");
        self.send(Message::Text(text.into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        let sent = tokio::time::timeout(self.write_time, self.socket.send(message)).await;
        sent.map_err(|_| Gone)?.map_err(|_| Gone)
    }

    async fn close(mut self, ending: Ending) {
        let (told, code) = match &ending {
            Ending::Done(text) => (Told::Done { text: text.clone() }, close_code::NORMAL),
            Ending::Failed(error) => {
                let code = if error.status.is_server_error() { close_code::ERROR } else { close_code::POLICY };
                (Told::Error { error: error.body().error }, code)
            }
        };
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static("") };
        if self.tell(&told).await.is_ok() && self.send(Message::Close(Some(frame))).await.is_ok() {
            // What the client still sends is read until it agrees, or its last messages would reset the connection.
            let rest = async { while let Some(Ok(_)) = self.socket.recv().await {} };
            let _ = tokio::time::timeout(self.write_time, rest).await;
        }
    }
}

/// A dictation whose microphone is the client.
struct Session {
    engine: Engine,
    options: DecodeOptions,
    limits: Limits,
    started: Instant,
    machine: Machine,
    voice: VoiceDetector,
    resampler: Resampler,
    /// The first byte of a sample whose second has not come.
    half: Option<u8>,
    asked: Option<(LookId, Running)>,
    /// Nothing more is read from the client.
    stopped: bool,
    failure: Option<ApiError>,
}

impl Session {
    fn new(engine: Engine, options: DecodeOptions, resampler: Resampler, limits: Limits) -> Self {
        // The client says itself when its last audio is sent.
        let rules = Rules { tail: Duration::ZERO, ..Rules::default() };
        Self {
            engine,
            options,
            limits,
            started: Instant::now(),
            machine: Machine::new(rules),
            voice: VoiceDetector::default(),
            resampler,
            half: None,
            asked: None,
            stopped: false,
            failure: None,
        }
    }

    /// Goes on until all that was said is written, or something fails.
    async fn run(&mut self, socket: &mut Socket, stopping: impl Future<Output = ()>) -> Result<Ending, Gone> {
        self.machine.start(self.now());
        let mut stopping = std::pin::pin!(stopping);
        loop {
            if let Some(ending) = self.act(socket).await? {
                return Ok(ending);
            }
            let deadline = self.machine.next_deadline().map(|deadline| deadline.saturating_sub(self.now()));
            let reads = !self.stopped && self.machine.backlog() < MOST_BACKLOG;
            tokio::select! {
                message = socket.socket.recv(), if reads => match message {
                    Some(Ok(message)) => self.hear(message)?,
                    Some(Err(_)) | None => return Err(Gone),
                },
                () = tokio::time::sleep(self.limits.pause), if reads => self.stop(),
                (id, answer) = answer(&mut self.asked) => {
                    self.asked = None;
                    self.machine.answered(self.now(), id, answer);
                }
                () = tokio::time::sleep(deadline.unwrap_or_default()), if deadline.is_some() => self.machine.tick(self.now()),
                () = &mut stopping, if !self.stopped => self.stop(),
            }
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes what the client sent.
    fn hear(&mut self, message: Message) -> Result<(), Gone> {
        match message {
            Message::Binary(bytes) => self.listen(&bytes),
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(Said::Stop) => self.stop(),
                Err(_) => {
                    let message =
                        "This message is not understood; send audio as binary messages, or {\"type\":\"stop\"}.";
                    self.failure = Some(ApiError::invalid(StatusCode::BAD_REQUEST, message));
                }
            },
            Message::Close(_) => return Err(Gone),
            Message::Ping(_) | Message::Pong(_) => {}
        }
        Ok(())
    }

    fn listen(&mut self, bytes: &[u8]) {
        let bytes: Vec<u8> = self.half.take().into_iter().chain(bytes.iter().copied()).collect();
        let (pairs, rest) = bytes.as_chunks::<2>();
        self.half = rest.first().copied();
        let samples: Vec<f32> = pairs.iter().map(|pair| f32::from(i16::from_le_bytes(*pair)) / 32_768.0).collect();
        let mut heard = Vec::new();
        self.resampler.push(&samples, &mut heard);
        self.detect(&heard);
    }

    fn detect(&mut self, samples: &[f32]) {
        let now = self.now();
        self.voice.push(samples, |frame, is_speech| self.machine.heard(now, frame, is_speech));
    }

    /// Nothing more will be heard.
    fn stop(&mut self) {
        let mut last = Vec::new();
        self.resampler.finish(&mut last);
        self.detect(&last);
        let rest = self.voice.finish();
        let now = self.now();
        self.machine.heard(now, &rest, false);
        self.machine.stop(now);
        self.stopped = true;
    }

    /// Does what the machine wants done.
    async fn act(&mut self, socket: &mut Socket) -> Result<Option<Ending>, Gone> {
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::Look { id, samples } => self.look(id, samples),
                Action::Abandon(id) => {
                    self.asked.take_if(|(asked, _)| *asked == id);
                }
                Action::Tell(event) => match event {
                    Event::Live { committed, tentative, .. } => {
                        socket.tell(&Told::Partial { committed, tentative }).await?;
                    }
                    Event::Segment { text, .. } => socket.tell(&Told::Final { text }).await?,
                    Event::Finished { outcome, .. } => return Ok(Some(ending(outcome))),
                    _ => {}
                },
                Action::OpenMicrophone | Action::CloseMicrophone => {}
            }
        }
        Ok(self.failure.take().map(Ending::Failed))
    }

    fn look(&mut self, id: LookId, samples: Vec<f32>) {
        let audio = Audio::Samples(samples);
        match Running::start(&self.engine, audio, Priority::Live, self.options.clone(), None) {
            Ok(running) => self.asked = Some((id, running)),
            Err(error) => {
                let reason = match error {
                    SubmitError::Busy { .. } => NoAnswer::Busy,
                    SubmitError::ShuttingDown => NoAnswer::Failed(error.to_string()),
                };
                self.machine.answered(self.now(), id, Err(reason));
            }
        }
    }
}

/// The answer to the question that is with the engine; none as long as none is.
async fn answer(asked: &mut Option<(LookId, Running)>) -> (LookId, Result<String, NoAnswer>) {
    let Some((id, running)) = asked else { return std::future::pending().await };
    let answer = match running.finished().await {
        Ok(done) => Ok(done.transcript.text()),
        Err(RequestError::Cancelled) => Err(NoAnswer::Failed("the speech engine was stopped".to_owned())),
        Err(error) => Err(NoAnswer::Failed(error.to_string())),
    };
    (*id, answer)
}

fn ending(outcome: Outcome) -> Ending {
    match outcome {
        Outcome::Text(text) => Ending::Done(text),
        Outcome::NoSpeech => Ending::Done(String::new()),
        Outcome::Failed { reason, .. } => Ending::Failed(ApiError::server(StatusCode::INTERNAL_SERVER_ERROR, reason)),
        Outcome::NoMicrophone { .. } | Outcome::Cancelled => {
            Ending::Failed(ApiError::server(StatusCode::INTERNAL_SERVER_ERROR, "The session was ended."))
        }
    }
}
