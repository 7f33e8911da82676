//! A model that computes nothing: what it "hears" depends on what it is asked, never on the sound.

use std::sync::Arc;

use amanuensis_engine::Speech;
use amanuensis_test_support::Gate;
use amanuensis_whisper::{
    BackendError, Decoder, DeviceInfo, Dims, EncodeReport, Encoder, LogitsFor, MelView, Model, TokenId, Tokenizer,
};

/// Logit of the token that comes next; all others have 0.
const SURE: f32 = 20.0;

/// Words that are one token each.
const WORDS: &[&str] = &[" Hello", " Hallo", " world", " Welt", " in", " English", " as", " prompted"];

/// What the fake is to be like.
#[derive(Clone)]
pub struct Fake {
    pub n_vocab: usize,
    /// Closed, the encoder waits.
    pub gate: Gate,
    /// The encoder fails.
    pub broken: bool,
}

impl Default for Fake {
    fn default() -> Self {
        Self { n_vocab: 51_865, gate: Gate::default(), broken: false }
    }
}

impl Fake {
    /// As an engine takes it, called `fake`.
    pub fn speech(self) -> Speech {
        // All bytes, the words that it says, and filling up to the size of the vocabulary.
        let bytes = (0..=255).map(|byte| vec![byte]);
        let words = WORDS.iter().map(|word| word.as_bytes().to_vec());
        let filling = (0..50_300).map(|index: u32| format!("\u{1}{index}").into_bytes());
        let tokens = bytes.chain(words).chain(filling).collect();
        let tokenizer = Arc::new(Tokenizer::new(tokens, self.n_vocab).expect("there are enough"));
        let dims = Dims {
            n_mels: 80,
            n_audio_ctx: 1500,
            n_audio_state: 4,
            n_audio_head: 1,
            n_audio_layer: 1,
            n_vocab: self.n_vocab,
            n_text_ctx: 448,
            n_text_state: 4,
            n_text_head: 1,
            n_text_layer: 1,
        };
        let model = FakeModel { fake: self, dims, tokenizer: Arc::clone(&tokenizer) };
        Speech { name: "fake".to_owned(), model: Arc::new(model), tokenizer }
    }
}

struct FakeModel {
    fake: Fake,
    dims: Dims,
    tokenizer: Arc<Tokenizer>,
}

fn device() -> DeviceInfo {
    DeviceInfo { name: "fake".to_owned(), detail: "says what it is told to".to_owned(), threads: None }
}

impl Model for FakeModel {
    fn dims(&self) -> &Dims {
        &self.dims
    }

    fn encoder(self: Arc<Self>) -> Box<dyn Encoder> {
        Box::new(FakeEncoder(self))
    }

    fn decoder(self: Arc<Self>, max_rows: usize) -> Box<dyn Decoder> {
        Box::new(FakeDecoder { model: self, max_rows, rows: Vec::new(), positions: 0 })
    }
}

struct FakeEncoder(Arc<FakeModel>);

impl Encoder for FakeEncoder {
    fn dims(&self) -> &Dims {
        &self.0.dims
    }

    fn device(&self) -> DeviceInfo {
        device()
    }

    fn encode(&mut self, _: &[MelView<'_>], outputs: &mut [&mut [f32]]) -> Result<EncodeReport, BackendError> {
        self.0.fake.gate.pass();
        if self.0.fake.broken {
            return Err(BackendError::NotFinite);
        }
        outputs.iter_mut().for_each(|output| output.fill(0.0));
        Ok(EncodeReport { device: device().into(), busy: std::time::Duration::ZERO, fallback: None })
    }
}

struct FakeDecoder {
    model: Arc<FakeModel>,
    max_rows: usize,
    rows: Vec<Vec<TokenId>>,
    positions: usize,
}

impl FakeDecoder {
    /// The token after these.
    fn next(&self, tokens: &[TokenId]) -> TokenId {
        let tokenizer = &self.model.tokenizer;
        if let [only] = tokens
            && *only == tokenizer.sot()
        {
            return tokenizer.language("en").unwrap_or(tokenizer.eot());
        }
        let sot = tokens.iter().rposition(|token| *token == tokenizer.sot()).unwrap_or(0);
        let mut start = sot + if tokenizer.is_multilingual() { 3 } else { 1 };
        if tokens.get(start) == Some(&tokenizer.no_timestamps()) {
            start += 1;
        }
        let said = self.script(&tokens[..start.min(tokens.len())]);
        let at = tokens.len().saturating_sub(start);
        said.get(at).copied().unwrap_or(tokenizer.eot())
    }

    /// What follows on this beginning: two segments, or one where no times are asked for.
    fn script(&self, beginning: &[TokenId]) -> Vec<TokenId> {
        let tokenizer = &self.model.tokenizer;
        let has = |token| beginning.contains(&token);
        let (first, second) = match () {
            () if has(tokenizer.translate()) => (" Hello, in", " English."),
            () if tokenizer.language("de").is_some_and(has) => (" Hallo,", " Welt."),
            () if has(tokenizer.sot_prev()) => (" Hello,", " as prompted."),
            () => (" Hello,", " world."),
        };
        let (first, second) = (tokenizer.encode(first), tokenizer.encode(second));
        if has(tokenizer.no_timestamps()) {
            return [first, second].concat();
        }
        let time = |ms: u32| vec![tokenizer.timestamp_begin() + ms / 20];
        [time(0), first, time(400), time(400), second, time(1000)].concat()
    }
}

impl Decoder for FakeDecoder {
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
        self.positions = encoded.len() / self.model.dims.n_audio_state;
        self.rows = vec![Vec::new()];
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
        let (rows, count) = (self.rows.len(), tokens.len() / self.rows.len());
        logits.clear();
        for row in 0..rows {
            let before = self.rows[row].len();
            self.rows[row].extend(&tokens[row * count..(row + 1) * count]);
            for position in want.positions(count) {
                let next = self.next(&self.rows[row][..=before + position]);
                logits.resize(logits.len() + n_vocab, 0.0);
                let start = logits.len() - n_vocab;
                logits[start + next as usize] = SURE;
            }
        }
        Ok(())
    }

    fn align(
        &mut self,
        tokens: &[TokenId],
        heads: &[(usize, usize)],
        scores: &mut [f32],
        logits: &mut Vec<f32>,
    ) -> Result<(), BackendError> {
        // Each token is spoken for 120 ms.
        for (index, score) in scores.iter_mut().enumerate() {
            let (token, position) = (index / self.positions % tokens.len(), index % self.positions);
            *score = if position / 6 == token { SURE } else { 0.0 };
        }
        assert_eq!(scores.len(), heads.len() * tokens.len() * self.positions);
        logits.clear();
        logits.resize(tokens.len() * self.model.dims.n_vocab, 0.0);
        for (index, logits) in logits.chunks_exact_mut(self.model.dims.n_vocab).enumerate() {
            if let Some(next) = tokens.get(index + 1) {
                logits[*next as usize] = SURE;
            }
        }
        Ok(())
    }
}
