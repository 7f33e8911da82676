//! Once warm, nothing is taken from the heap between samples and logits, nor for a token that is chosen.

mod counting;

use std::num::NonZeroUsize;
use std::sync::Arc;

use amanuensis_backend_cpu::{CpuOptions, Precision};
use amanuensis_benches::model;
use amanuensis_mel::LogMel;
use amanuensis_whisper::{
    DecodeOptions, Decoder, Dims, Encoder, HOP_SAMPLES, LogitsFor, MelView, Observer, TokenId, Weights, WindowDecoder,
};

const DIMS: Dims = Dims {
    n_mels: 80,
    n_audio_ctx: 300,
    n_audio_state: 64,
    n_audio_head: 2,
    n_audio_layer: 2,
    n_vocab: 51_864,
    n_text_ctx: 64,
    n_text_state: 64,
    n_text_head: 2,
    n_text_layer: 2,
};

#[test]
fn nothing_is_allocated_once_warm() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ggml-small.bin");
    model::write(&path, &DIMS).expect("a model");
    let weights = Weights::open(&path).expect("a whole model");
    let samples: Vec<f32> = (0..2 * DIMS.n_audio_ctx * HOP_SAMPLES).map(|index| (index % 17) as f32 / 17.0).collect();
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
        let options = CpuOptions { precision, threads: NonZeroUsize::new(2).expect("two") };
        let model = amanuensis_backend_cpu::load(&weights, options).expect("finite weights");
        let mut window = Window {
            log_mel: LogMel::new(DIMS.n_mels),
            encoder: Arc::clone(&model).encoder(),
            decoder: model.decoder(3),
            mel: vec![0.0; 2 * DIMS.n_audio_ctx * DIMS.n_mels],
            encoded: vec![0.0; DIMS.n_audio_ctx * DIMS.n_audio_state],
            logits: Vec::new(),
        };
        window.work(&samples);
        let before = counting::count();
        for _ in 0..3 {
            window.work(&samples);
        }
        assert_eq!(counting::count() - before, 0, "{precision:?}: allocations in three windows");

        // The list of a window's tokens is made before the first, and its text after the last.
        let mut windows = WindowDecoder::new(Arc::clone(weights.tokenizer()));
        let options = DecodeOptions { temperatures: vec![0.0], timestamps: false, ..DecodeOptions::default() };
        let mut counts = Counts { all: Vec::with_capacity(DIMS.n_text_ctx) };
        windows.decode(&mut *window.decoder, &window.encoded, &options, &[], &[], &mut counts).expect("it decodes");
        assert!(counts.all.len() > 5, "{precision:?}: only {} tokens", counts.all.len());
        assert_eq!(counts.all.first(), counts.all.last(), "{precision:?}: allocations for {} tokens", counts.all.len());
    }
}

/// How much was allocated when each token was chosen.
struct Counts {
    all: Vec<usize>,
}

impl Observer for Counts {
    fn progress(&mut self, _tokens: &[TokenId]) {
        self.all.push(counting::count());
    }
}

/// What a window is worked on with.
struct Window {
    log_mel: LogMel,
    encoder: Box<dyn Encoder>,
    decoder: Box<dyn Decoder>,
    mel: Vec<f32>,
    encoded: Vec<f32>,
    logits: Vec<f32>,
}

impl Window {
    /// A window from its samples to some tokens: a prompt, two beams, three beams.
    fn work(&mut self, samples: &[f32]) {
        let Self { log_mel, encoder, decoder, mel, encoded, logits } = self;
        log_mel.compute(samples, mel);
        let view = MelView::by_frame(mel, 2 * DIMS.n_audio_ctx, DIMS.n_mels).expect("long enough");
        encoder.encode(&[view], &mut [encoded]).expect("a window of the model's shape");
        decoder.start(encoded).expect("its own model's output");
        decoder.forward(&[1, 2, 3], LogitsFor::LastAnd(0), logits).expect("a short prompt");
        decoder.reorder(&[0, 0]).expect("two rows");
        decoder.forward(&[4, 5], LogitsFor::Last, logits).expect("two tokens");
        decoder.reorder(&[1, 0, 1]).expect("three rows");
        for token in 6..20 {
            decoder.forward(&[token; 3], LogitsFor::Last, logits).expect("three tokens");
        }
    }
}
