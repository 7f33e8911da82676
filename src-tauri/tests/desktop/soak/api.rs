//! Clients of the app's API: good ones, whose answers are checked, and bad ones.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use amanuensis_test_support::{Random, heard};

use super::report::Report;
use super::{LOOK, PATIENCE, Voice};
use crate::UNDERSTOOD;

const CLIENTS: u64 = 2;

/// Clients at work, and the way to the server.
pub struct Api {
    way: Way,
    seen: Arc<Mutex<Seen>>,
    ends: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

/// What the clients have seen.
#[derive(Default)]
struct Seen {
    good: usize,
    busy: usize,
    hostile: usize,
    interrupted: usize,
    troubles: Vec<String>,
}

#[derive(Clone)]
struct Way {
    port: u16,
    token: PathBuf,
}

impl Api {
    /// Starts clients. While the app is `away` they may fail.
    pub fn start(
        port: u16,
        token: PathBuf,
        voices: Arc<Vec<Voice>>,
        away: Arc<AtomicBool>,
        mut random: Random,
    ) -> Self {
        let (way, seen, ends) = (Way { port, token }, Arc::default(), Arc::new(AtomicBool::new(false)));
        let clients = (0..CLIENTS).map(|_| {
            let mut client = Client {
                way: way.clone(),
                voices: Arc::clone(&voices),
                away: Arc::clone(&away),
                seen: Arc::clone(&seen),
                random: Random::new(random.below(u64::MAX)),
            };
            let ends = Arc::clone(&ends);
            std::thread::spawn(move || {
                while !ends.load(Ordering::SeqCst) {
                    client.ask();
                }
            })
        });
        let clients = clients.collect();
        Self { way, seen, ends, clients }
    }

    /// Waits until the server answers.
    pub fn wait_until_up(&self) {
        let until = Instant::now() + PATIENCE;
        while self.get("/stats/pipeline").is_none() {
            assert!(Instant::now() < until, "the app's server does not come up");
            sleep(LOOK);
        }
    }

    /// What the server says at this path, if it says yes.
    pub fn get(&self, path: &str) -> Option<String> {
        let (status, body) = self.way.send(&format!("GET {path}"), "", &[]).ok()?;
        (status == 200).then_some(body)
    }

    /// Has a recording transcribed.
    pub fn transcribe(&self, sound: &[u8]) -> Option<String> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            match self.way.upload(sound) {
                Ok((200, body)) => return Some(text_of(&body)),
                _ => sleep(Duration::from_millis(500)),
            }
        }
        None
    }

    /// Ends the clients after what they are at.
    pub fn stop(&mut self, report: &mut Report) {
        self.ends.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            client.join().expect("a client does not panic");
        }
        let seen = std::mem::take(&mut *self.seen.lock().expect("no client panics"));
        report.requests = seen.good;
        report.busy = seen.busy;
        report.hostile = seen.hostile;
        report.interrupted = seen.interrupted;
        report.troubles.extend(seen.troubles);
    }
}

struct Client {
    way: Way,
    voices: Arc<Vec<Voice>>,
    away: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    random: Random,
}

impl Client {
    fn ask(&mut self) {
        sleep(Duration::from_millis(self.random.below(3_000)));
        if self.random.below(6) == 0 {
            return self.be_hostile();
        }
        let voice = &self.voices[self.random.below(self.voices.len() as u64) as usize];
        let sound = std::fs::read(&voice.wav).expect("the recording is there");
        let was_away = self.away.load(Ordering::SeqCst);
        let answer = self.way.upload(&sound);
        let was_away = was_away || self.away.load(Ordering::SeqCst);
        let mut seen = self.seen.lock().expect("no client panics");
        match answer {
            Ok((200, body)) if heard(voice.said, &text_of(&body)) >= UNDERSTOOD => seen.good += 1,
            Ok((200, body)) => seen.troubles.push(format!("\"{}\" was answered with {body}", voice.said)),
            Ok((429, _)) => seen.busy += 1,
            Ok(_) | Err(_) if was_away => seen.interrupted += 1,
            Ok((status, body)) => seen.troubles.push(format!("an upload was answered with {status}: {body}")),
            Err(error) => seen.troubles.push(format!("an upload failed: {error}")),
        }
    }

    /// Sends nonsense, or half of a request, slowly, and goes away.
    fn be_hostile(&mut self) {
        self.seen.lock().expect("no client panics").hostile += 1;
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.way.port)) else { return };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let noise: Vec<u8> = (0..self.random.below(4_096)).map(|_| self.random.below(256) as u8).collect();
        match self.random.below(3) {
            0 => _ = stream.write_all(&noise),
            1 => {
                let answer = self.way.upload(&noise);
                let away = self.away.load(Ordering::SeqCst);
                if let Ok((status, body)) = answer.as_ref()
                    && *status != 400
                    && *status != 429
                    && !away
                {
                    let trouble = format!("noise was answered with {status}: {body}");
                    self.seen.lock().expect("no client panics").troubles.push(trouble);
                }
            }
            _ => {
                for byte in b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\nContent-Le" {
                    if stream.write_all(&[*byte]).is_err() {
                        break;
                    }
                    sleep(Duration::from_millis(self.random.below(60)));
                }
            }
        }
    }
}

impl Way {
    fn upload(&self, sound: &[u8]) -> std::io::Result<(u16, String)> {
        let part = |name: &str| format!("--cut\r\nContent-Disposition: form-data; name=\"{name}\"");
        let file = format!("{}; filename=\"said.wav\"\r\n\r\n", part("file"));
        let before = format!("{}\r\n\r\nwhisper-1\r\n{file}", part("model"));
        let body = [before.as_bytes(), sound, b"\r\n--cut--\r\n"].concat();
        self.send("POST /v1/audio/transcriptions", "Content-Type: multipart/form-data; boundary=cut\r\n", &body)
    }

    fn send(&self, what: &str, headers: &str, body: &[u8]) -> std::io::Result<(u16, String)> {
        let token = std::fs::read_to_string(&self.token)?;
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head = format!(
            "{what} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\n{headers}\
             Content-Length: {}\r\n\r\n",
            token.trim(),
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
        let cut = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        Ok((status.ok_or_else(cut)?, body))
    }
}

fn text_of(body: &str) -> String {
    let answer: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    answer["text"].as_str().unwrap_or_default().to_owned()
}
