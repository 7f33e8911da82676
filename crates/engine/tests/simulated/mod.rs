//! A model that computes nothing: its text is a number that follows from the window's spectrogram, and what it takes is what the
//! test makes it take. So a text that belongs to another request shows.

use std::sync::{Arc, LazyLock};

use amanuensis_engine::Speech;
use amanuensis_whisper::{
    BackendError, Decoder, DeviceInfo, Dims, EncodeReport, Encoder, LogitsFor, MelView, Model, TokenId, Tokenizer,
};

pub const DIMS: Dims = Dims {
    n_mels: 80,
    n_audio_ctx: 1500,
    n_audio_state: 8,
    n_audio_head: 1,
    n_audio_layer: 1,
    n_vocab: 51_864,
    n_text_ctx: 448,
    n_text_state: 8,
    n_text_head: 1,
    n_text_layer: 1,
};

/// What happens while the model works on windows of these numbers: it may take time, wait, fail or panic.
pub trait Hooks: Send + Sync {
    fn encode(&self, _numbers: &[u32], _frames: &[usize]) -> Result<(), BackendError> {
        Ok(())
    }

    fn decode(&self, _number: u32) -> Result<(), BackendError> {
        Ok(())
    }

    /// Whether its encoders and decoders use the same cores.
    fn shares_cores(&self) -> bool {
        false
    }
}

pub fn speech(hooks: impl Hooks + 'static, max_batch: usize) -> Speech {
    Speech {
        name: "simulated".to_owned(),
        model: Arc::new(Simulated { hooks: Arc::new(hooks), max_batch }),
        tokenizer: Arc::clone(&TOKENIZER),
    }
}

/// A recording unlike that of any other seed.
pub fn noise(samples: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..samples)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        })
        .collect()
}

static TOKENIZER: LazyLock<Arc<Tokenizer>> = LazyLock::new(|| {
    let bytes = (0..=255).map(|byte| vec![byte]);
    let filling = (0..50_000).map(|index| format!("\u{fffd}{index}").into_bytes());
    Arc::new(Tokenizer::new(bytes.chain(filling).collect(), DIMS.n_vocab).expect("a vocabulary of the right size"))
});

/// The number of a window, from its spectrogram.
pub fn number_of(mel: &[f32]) -> u32 {
    mel.iter().fold(0_u32, |sum, value| sum.rotate_left(1).wrapping_add(value.to_bits())) % 1_000_000
}

struct Simulated {
    hooks: Arc<dyn Hooks>,
    max_batch: usize,
}

impl Model for Simulated {
    fn dims(&self) -> &Dims {
        &DIMS
    }

    fn encoder(self: Arc<Self>) -> Box<dyn Encoder> {
        Box::new(SimulatedEncoder(self))
    }

    fn decoder(self: Arc<Self>, max_rows: usize) -> Box<dyn Decoder> {
        Box::new(SimulatedDecoder { model: self, max_rows, positions: 0, text: Vec::new(), times: true, given: 0 })
    }

    fn shares_cores(&self) -> bool {
        self.hooks.shares_cores()
    }
}

fn device() -> DeviceInfo {
    DeviceInfo { name: "simulated".to_owned(), detail: "computes nothing".to_owned(), threads: None }
}

struct SimulatedEncoder(Arc<Simulated>);

impl Encoder for SimulatedEncoder {
    fn dims(&self) -> &Dims {
        &DIMS
    }

    fn device(&self) -> DeviceInfo {
        device()
    }

    fn max_batch(&self) -> usize {
        self.0.max_batch
    }

    fn encode(&mut self, windows: &[MelView<'_>], outputs: &mut [&mut [f32]]) -> Result<EncodeReport, BackendError> {
        let began = std::time::Instant::now();
        let numbers: Vec<u32> =
            windows.iter().map(|window| number_of(&window.data()[..window.frames() * window.n_mels()])).collect();
        let frames: Vec<usize> = windows.iter().map(MelView::frames).collect();
        self.0.hooks.encode(&numbers, &frames)?;
        for (output, number) in outputs.iter_mut().zip(numbers) {
            output.fill(number as f32);
        }
        Ok(EncodeReport { device: device().into(), busy: began.elapsed(), fallback: None })
    }
}

struct SimulatedDecoder {
    model: Arc<Simulated>,
    max_rows: usize,
    positions: usize,
    text: Vec<TokenId>,
    times: bool,
    /// Tokens of the text that were given out.
    given: usize,
}

impl SimulatedDecoder {
    /// What is said next: a time, the text, a time, the end.
    fn next(&self) -> TokenId {
        let begin = TOKENIZER.timestamp_begin();
        let at = if self.times { self.given.checked_sub(1) } else { Some(self.given) };
        match at {
            None => begin,
            Some(at) if at < self.text.len() => self.text[at],
            Some(at) if self.times && at == self.text.len() => begin + self.positions as TokenId,
            Some(_) => TOKENIZER.eot(),
        }
    }
}

impl Decoder for SimulatedDecoder {
    fn dims(&self) -> &Dims {
        &DIMS
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
        let number = encoded[0];
        assert!(encoded.iter().all(|value| *value == number), "the encoder's output was overwritten");
        self.model.hooks.decode(number as u32)?;
        self.positions = encoded.len() / DIMS.n_audio_state;
        self.text = TOKENIZER.encode(&format!("w{number}."));
        self.restart(1)
    }

    fn restart(&mut self, _rows: usize) -> Result<(), BackendError> {
        self.given = 0;
        Ok(())
    }

    fn reorder(&mut self, _sources: &[usize]) -> Result<(), BackendError> {
        Ok(())
    }

    fn forward(&mut self, tokens: &[TokenId], want: LogitsFor, logits: &mut Vec<f32>) -> Result<(), BackendError> {
        if matches!(want, LogitsFor::LastAnd(_)) {
            self.times = tokens.last() != Some(&TOKENIZER.no_timestamps());
        } else {
            self.given += 1;
        }
        logits.clear();
        // After the prompt every row is given a token.
        let wanted = if matches!(want, LogitsFor::LastAnd(_)) { 2 } else { tokens.len() };
        logits.resize(wanted * DIMS.n_vocab, 0.0);
        let next = self.next() as usize;
        for row in logits.chunks_exact_mut(DIMS.n_vocab) {
            row[next] = 30.0;
        }
        Ok(())
    }

    fn align(
        &mut self,
        _tokens: &[TokenId],
        _heads: &[(usize, usize)],
        _scores: &mut [f32],
        _logits: &mut Vec<f32>,
    ) -> Result<(), BackendError> {
        Err(BackendError::Device { device: "simulated".to_owned(), reason: "it knows no words".to_owned() })
    }
}
