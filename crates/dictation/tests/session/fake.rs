//! A model that counts, and a microphone that plays what a test gives it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use amanuensis_audio::{CaptureError, CaptureEvent};
use amanuensis_dictation::{Microphone, OpenMicrophone};
use amanuensis_engine::{Engine, Settings, Speech};
use amanuensis_test_support::Gate;
use amanuensis_whisper::{
    BackendError, Decoder, DeviceInfo, Dims, EncodeReport, Encoder, LogitsFor, MelView, Model, TokenId, Tokenizer,
};
use crossbeam_channel::{Receiver, Sender};

/// Logit of the token that comes next; all others have 0.
const SURE: f32 = 20.0;
/// Encoder positions of half a second, for each of which the model hears a word.
const WORD_POSITIONS: usize = 25;

/// An engine whose model hears `word1 word2 word3 …`, one for each half second until the last sound.
pub fn engine(word: &'static str, gate: &Gate) -> Engine {
    // All bytes, then every word that it can say.
    let bytes = (0..=255).map(|byte| vec![byte]);
    let tokens = bytes.chain((1..50_300).map(|number: u32| format!(" {word}{number}").into_bytes())).collect();
    let tokenizer = Arc::new(Tokenizer::new(tokens, 51_864).unwrap());
    let dims = Dims {
        n_mels: 80,
        n_audio_ctx: 1500,
        n_audio_state: 1,
        n_audio_head: 1,
        n_audio_layer: 1,
        n_vocab: 51_864,
        n_text_ctx: 448,
        n_text_state: 1,
        n_text_head: 1,
        n_text_layer: 1,
    };
    let model = Counting { gate: gate.clone(), dims, tokenizer: Arc::clone(&tokenizer) };
    let speech = Speech { name: "counting".to_owned(), model: Arc::new(model), tokenizer };
    Engine::start(speech, Settings { mel_workers: 1, decode_workers: 1, ..Settings::default() }).unwrap()
}

struct Counting {
    gate: Gate,
    dims: Dims,
    tokenizer: Arc<Tokenizer>,
}

fn device() -> DeviceInfo {
    DeviceInfo { name: "fake".to_owned(), detail: "counts".to_owned(), threads: None }
}

impl Model for Counting {
    fn dims(&self) -> &Dims {
        &self.dims
    }

    fn encoder(self: Arc<Self>) -> Box<dyn Encoder> {
        Box::new(Loudness(self))
    }

    fn decoder(self: Arc<Self>, max_rows: usize) -> Box<dyn Decoder> {
        Box::new(Counter { model: self, max_rows, rows: Vec::new(), positions: 0, said: Vec::new() })
    }
}

/// Encodes each position as how loud it is.
struct Loudness(Arc<Counting>);

impl Encoder for Loudness {
    fn dims(&self) -> &Dims {
        &self.0.dims
    }

    fn device(&self) -> DeviceInfo {
        device()
    }

    fn encode(&mut self, windows: &[MelView<'_>], outputs: &mut [&mut [f32]]) -> Result<EncodeReport, BackendError> {
        self.0.gate.pass();
        for (window, output) in windows.iter().zip(outputs) {
            for (position, loudness) in output.iter_mut().enumerate() {
                let from = 2 * position * window.frame_stride();
                let bins = (0..window.n_mels()).map(|bin| window.data()[from + bin * window.bin_stride()]);
                *loudness = bins.sum::<f32>() / window.n_mels() as f32;
            }
        }
        Ok(EncodeReport { device: device().into(), busy: Duration::ZERO, fallback: None })
    }
}

struct Counter {
    model: Arc<Counting>,
    max_rows: usize,
    rows: Vec<Vec<TokenId>>,
    positions: usize,
    said: Vec<TokenId>,
}

impl Decoder for Counter {
    fn dims(&self) -> &Dims {
        &self.model.dims
    }

    fn device(&self) -> DeviceInfo {
        device()
    }

    fn max_rows(&self) -> usize {
        self.max_rows
    }

    fn positions(&self) -> usize {
        self.positions
    }

    fn start(&mut self, encoded: &[f32]) -> Result<(), BackendError> {
        self.positions = encoded.len();
        self.rows = vec![Vec::new()];
        let (quietest, loudest) =
            encoded.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), it| (low.min(*it), high.max(*it)));
        let threshold = quietest + (loudest - quietest) / 4.0;
        let last = encoded.iter().rposition(|loudness| *loudness > threshold);
        let words = last.map_or(0, |last| last / WORD_POSITIONS + 1);
        self.said = (0..words).map(|number| 256 + number as TokenId).collect();
        Ok(())
    }

    fn restart(&mut self, rows: usize) -> Result<(), BackendError> {
        self.rows = vec![Vec::new(); rows];
        Ok(())
    }

    fn reorder(&mut self, sources: &[usize]) -> Result<(), BackendError> {
        self.rows = sources.iter().map(|source| self.rows[*source].clone()).collect();
        Ok(())
    }

    fn forward(&mut self, tokens: &[TokenId], want: LogitsFor, logits: &mut Vec<f32>) -> Result<(), BackendError> {
        let n_vocab = self.model.dims.n_vocab;
        let count = tokens.len() / self.rows.len();
        logits.clear();
        for (row, new) in self.rows.iter_mut().zip(tokens.chunks_exact(count)) {
            let before = row.len();
            row.extend(new);
            for position in want.positions(count) {
                // Start of transcript and "no timestamps" come before what is said.
                let at = (before + position + 1).saturating_sub(2);
                let next = self.said.get(at).copied().unwrap_or(self.model.tokenizer.eot());
                logits.resize(logits.len() + n_vocab, 0.0);
                let start = logits.len() - n_vocab;
                logits[start + next as usize] = SURE;
            }
        }
        Ok(())
    }

    fn align(
        &mut self,
        _: &[TokenId],
        _: &[(usize, usize)],
        _: &mut [f32],
        _: &mut Vec<f32>,
    ) -> Result<(), BackendError> {
        unreachable!("dictation asks for no word times")
    }
}

/// What a test does with an opened microphone.
pub struct Feed {
    /// The id it was opened by.
    pub id: Option<String>,
    events: Sender<CaptureEvent>,
    /// Closed when the microphone was stopped.
    stopped: Receiver<()>,
}

impl Feed {
    pub fn send(&self, event: CaptureEvent) {
        // A session that has closed the microphone hears nothing any more.
        let _ = self.events.send(event);
    }

    /// Gives sound in pieces, as devices do.
    pub fn play(&self, samples: &[f32]) {
        for piece in samples.chunks(320) {
            self.send(CaptureEvent::Samples(piece.to_vec()));
        }
    }

    pub fn live(&self) {
        self.send(CaptureEvent::Live { device: "fake".to_owned(), after: Duration::from_millis(7) });
    }

    /// Waits until the session wants no more, and closes the channel.
    pub fn wait_for_stop(self) {
        let _ = self.stopped.recv();
    }
}

struct FakeMicrophone {
    events: Receiver<CaptureEvent>,
    running: Mutex<Option<Sender<()>>>,
}

impl Microphone for FakeMicrophone {
    fn events(&self) -> &Receiver<CaptureEvent> {
        &self.events
    }

    fn stop(&self) {
        *self.running.lock().unwrap() = None;
    }
}

/// How a session opens microphones, and where a test finds those that were opened.
pub fn microphones() -> (OpenMicrophone, Receiver<Feed>) {
    let (opened, feeds) = crossbeam_channel::unbounded();
    let open: OpenMicrophone = Box::new(move |id| {
        if id == Some("refused") {
            return Err(CaptureError::Missing { name: "refused".to_owned() });
        }
        let (events, receiver) = crossbeam_channel::unbounded();
        let (running, stopped) = crossbeam_channel::bounded(0);
        let _ = opened.send(Feed { id: id.map(str::to_owned), events, stopped });
        Ok(Box::new(FakeMicrophone { events: receiver, running: Mutex::new(Some(running)) }))
    });
    (open, feeds)
}
