//! The server from outside: over sockets, with a model that says what it is told to.

mod client;
mod demo;
mod fake;
mod formats;
mod growth;
mod hostile;
mod official;
mod pages;
mod realtime;

use std::net::SocketAddr;
use std::time::Duration;

use amanuensis_engine::{Engine, Settings as EngineSettings, Shutdown, TrimContext};
use amanuensis_server::{Access, Limits, Server, Settings, Token};
use tempfile::TempDir;

use crate::fake::Fake;

/// A server with its engine, and the token that it made.
pub(crate) struct Served {
    server: Option<Server>,
    pub engine: Engine,
    pub token: String,
    _folder: TempDir,
}

impl Served {
    /// Serves a model that knows many languages, within the usual limits.
    pub fn start() -> Self {
        Self::with(Fake::default(), 100, Limits::default())
    }

    pub fn with(fake: Fake, queue: usize, limits: Limits) -> Self {
        let settings = EngineSettings {
            queue,
            mel_workers: 1,
            decode_workers: 1,
            trim_context: TrimContext::Always,
            ..Default::default()
        };
        Self::around(Engine::start(fake.speech(), settings).expect("the fake model fits"), limits)
    }

    pub fn around(engine: Engine, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("api-token");
        let access = Access::Token(Token::load_or_create(&file).unwrap());
        let mut settings = Settings { limits, ..Settings::local(access) };
        settings.address.set_port(0);
        let server = Server::start(engine.clone(), settings).expect("some port is free");
        let token = std::fs::read_to_string(&file).unwrap().trim().to_owned();
        Self { server: Some(server), engine, token, _folder: folder }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.as_ref().expect("it is served").address()
    }

    /// Serves another engine from now on.
    pub fn use_engine(&self, engine: Engine) {
        self.server.as_ref().expect("it is served").use_engine(engine);
    }

    /// Stops the server, but not the engine.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Waits until no request is at the engine.
    pub fn settle(&self) {
        loop {
            let snapshot = self.engine.snapshot();
            if snapshot.queued == 0 && snapshot.requests.in_flight == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server = None;
        self.engine.shutdown(Shutdown::Cancel);
    }
}

/// A tone as a WAV file, 16 kHz mono.
pub fn wav(seconds: f32) -> Vec<u8> {
    let samples = (0..(seconds * 16_000.0) as u32).map(|index| ((index as f32 * 0.17).sin() * 8_000.0) as i16);
    let data: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(16_000_u32.to_le_bytes());
    file.extend(32_000_u32.to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}
