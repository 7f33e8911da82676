//! How often samples are copied on their way to the encoder: a copy needs room, and whoever asks for room is counted.

mod counting;

use std::time::Duration;

use amanuensis_benches::model;
use amanuensis_dictation::machine::Action;
use amanuensis_dictation::{Machine, Rules};
use amanuensis_engine::{Audio, AudioSource, Engine, Priority, Request, Settings, SourceError, Speech};
use amanuensis_whisper::{DecodeOptions, Dims, SAMPLE_RATE, Weights};
use counting::large;

const DIMS: Dims = Dims {
    n_mels: 80,
    n_audio_ctx: 100,
    n_audio_state: 64,
    n_audio_head: 2,
    n_audio_layer: 1,
    n_vocab: 51_864,
    n_text_ctx: 64,
    n_text_state: 64,
    n_text_head: 2,
    n_text_layer: 1,
};
const SAMPLES: usize = 10 * SAMPLE_RATE as usize;

fn sound() -> Vec<f32> {
    (0..SAMPLES).map(|index| (index % 17) as f32 / 17.0 - 0.5).collect()
}

/// What can be read a little at a time.
struct Pieces {
    left: usize,
}

impl AudioSource for Pieces {
    fn read(&mut self, out: &mut [f32]) -> Result<usize, SourceError> {
        let count = out.len().min(self.left).min(1_000);
        out[..count].fill(0.1);
        self.left -= count;
        Ok(count)
    }

    fn duration(&self) -> Option<Duration> {
        None
    }
}

/// One test, for the count is of the whole process.
#[test]
fn samples_are_copied_once_into_a_request_and_never_in_the_engine() {
    dictation_copies_a_segment_once();
    the_engine_copies_nothing();
}

/// What a look asks about is a copy of the segment, which is kept until its text is there.
fn dictation_copies_a_segment_once() {
    let mut machine = Machine::new(Rules::default());
    let mut now = Duration::ZERO;
    machine.start(now);
    let mut copies = Vec::new();
    for piece in sound().chunks(320) {
        now += Duration::from_millis(20);
        let before = large();
        machine.heard(now, piece, true);
        let grown = large() - before;
        while let Some(action) = machine.next_action() {
            if let Action::Look { id, samples } = action {
                if samples.len() > 2 * SAMPLE_RATE as usize {
                    copies.push(grown);
                }
                machine.answered(now, id, Ok(String::new()));
            }
        }
    }
    // A look that comes when the segment's own memory has to grow is counted with that.
    let once = copies.iter().filter(|copies| **copies == 1).count();
    assert!(copies.len() >= 3 && once + 1 >= copies.len(), "{copies:?}");
}

/// Samples in memory are read where they lie, others are read into a buffer of the pool.
fn the_engine_copies_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ggml-small.bin");
    model::write(&path, &DIMS).expect("a model");
    let weights = Weights::open(&path).expect("a whole model");
    let model = amanuensis_backend_cpu::load(&weights, Default::default()).expect("finite weights");
    let speech = Speech { name: "small".to_owned(), model, tokenizer: weights.tokenizer().clone() };
    let settings = Settings { mel_workers: 1, decode_workers: 1, ..Settings::default() };
    let engine = Engine::start(speech, settings).expect("it starts");
    let run = |audio: Audio| {
        let options = DecodeOptions { temperatures: vec![0.0], max_tokens: Some(4), ..DecodeOptions::default() };
        let request = Request { audio, priority: Priority::Batch, options, deadline: None };
        engine.submit(request).expect("there is room").wait().expect("it is transcribed");
    };
    let streamed = || Audio::Source(Box::new(Pieces { left: SAMPLES }));
    for _ in 0..2 {
        run(Audio::Samples(sound()));
        run(streamed());
    }
    let whole = Audio::Samples(sound());
    let before = large();
    run(whole);
    assert_eq!(large() - before, 0, "samples in memory are copied");
    run(streamed());
    assert_eq!(large() - before, 0, "samples that are read are copied beside the buffer");
    let [audio, ..] = engine.snapshot().pools;
    assert_eq!((audio.in_use, audio.high_water), (0, 1), "samples in memory go through a buffer");
}
