//! How fast a model would be on this machine's CPU, and how much memory it would take, from its dimensions alone.
//!
//! Two rates are measured once, with our own kernels: products with many rows, which the encoder lives on, and with one row,
//! which the decoder lives on. A model's operations are counted and divided by them. It is an estimate: what is left out are
//! normalisations, the search for words, and everything else that the machine does.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use amanuensis_kernels::{Activations, Epilogue, PackedI8, ThreadPool, WeightMatrix, Workspace};
use amanuensis_whisper::Dims;

/// Length of a window.
const WINDOW: Duration = Duration::from_secs(30);
/// Tokens in 30 s of speech without pauses: 150 words a minute, 4 tokens for 3 words.
const TOKENS: f64 = 100.0;
/// How long each rate is measured.
const MEASURE: Duration = Duration::from_millis(120);
/// How much slower attention is than products of weights: it works on floats.
const ATTENTION: f64 = 3.0;

/// What this machine's CPU can do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// Multiplications of products with many rows, a second.
    pub many: f64,
    /// Bytes of weights that products with one row go through, a second.
    pub one: f64,
}

impl Machine {
    /// Measures it with all cores. It takes half a second, and is wrong by what else the machine does meanwhile.
    pub fn measure() -> Self {
        let pool = ThreadPool::new(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
        let mut workspace = Workspace::new();
        let mut rate = |n: usize, k: usize, rows: usize| {
            let weights = PackedI8::pack(n, k, |row, out| out.fill((row % 7) as f32 - 3.0));
            let activations = vec![0.5; rows * k];
            let mut out = vec![0.0; rows * n];
            let mut best = Duration::MAX;
            let end = Instant::now() + MEASURE;
            // The first one warms up, and the best one was disturbed least.
            while best == Duration::MAX || Instant::now() < end {
                let start = Instant::now();
                let a = Activations::new(&activations, k);
                weights.multiply(&pool, a, Epilogue::default(), &mut out, n, &mut workspace);
                best = best.min(start.elapsed());
                black_box(&mut out);
            }
            (n * k * rows) as f64 / best.max(Duration::from_nanos(1)).as_secs_f64()
        };
        Self { many: rate(1024, 1024, 384), one: rate(8192, 2048, 1) }
    }

    /// Seconds of speech that are written out in a second, if nothing else is done.
    pub fn speed(&self, dims: &Dims) -> f64 {
        let encoder = (encoder_products(dims) + ATTENTION * encoder_attention(dims)) / self.many;
        let decoder = TOKENS * bytes_a_token(dims) / self.one;
        WINDOW.as_secs_f64() / (encoder + decoder)
    }
}

/// Multiplications by weights in a window's encoding, the decoder's view of it included.
fn encoder_products(dims: &Dims) -> f64 {
    let (positions, width) = (dims.n_audio_ctx as f64, dims.n_audio_state as f64);
    let convolutions = 2.0 * positions * 3.0 * dims.n_mels as f64 * width + positions * 3.0 * width * width;
    let layers = dims.n_audio_layer as f64 * 12.0 * width * width * positions;
    let views = dims.n_text_layer as f64 * 2.0 * width * width * positions;
    convolutions + layers + views
}

fn encoder_attention(dims: &Dims) -> f64 {
    let positions = dims.n_audio_ctx as f64;
    dims.n_audio_layer as f64 * 2.0 * positions * positions * dims.n_audio_state as f64
}

/// What is read for a token: the decoder's weights, all tokens' embeddings, and the window's keys and values.
fn bytes_a_token(dims: &Dims) -> f64 {
    let width = dims.n_text_state as f64;
    let weights = dims.n_text_layer as f64 * 14.0 * width * width + dims.n_vocab as f64 * width;
    weights + keys_and_values(dims)
}

/// Of the window, in 16-bit numbers.
fn keys_and_values(dims: &Dims) -> f64 {
    (dims.n_text_layer * 2 * dims.n_audio_ctx * dims.n_text_state * 2) as f64
}

/// Memory that a model takes while it works, weights in 8-bit integers. An estimate too.
pub fn memory_bytes(dims: &Dims) -> u64 {
    let width = dims.n_audio_state as f64;
    let attention = 4.0 * width * width;
    let encoder = dims.n_audio_layer as f64 * (attention + 8.0 * width * width);
    let decoder = dims.n_text_layer as f64 * (2.0 * attention + 8.0 * width * width);
    let ends = dims.n_vocab as f64 * width + 3.0 * width * width + 4.0 * 3.0 * dims.n_mels as f64 * width;
    // Two windows at once, and what each stage works in: a few rows of the widest layer for each position.
    let windows = 2.0 * (keys_and_values(dims) + 4.0 * dims.n_audio_ctx as f64 * 10.0 * width);
    (encoder + decoder + ends + windows) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    fn dims(name: &str) -> Dims {
        catalogue().into_iter().find(|entry| entry.name == name).and_then(|entry| entry.dims).unwrap()
    }

    #[test]
    fn larger_models_are_slower_and_take_more() {
        let machine = Machine { many: 1e11, one: 1e10 };
        let speed = |name| machine.speed(&dims(name));
        let order = ["tiny", "base", "small", "medium", "large-v3"];
        assert!(order.is_sorted_by(|smaller, larger| speed(smaller) > speed(larger)));
        assert!(order.is_sorted_by(|smaller, larger| memory_bytes(&dims(smaller)) < memory_bytes(&dims(larger))));
        assert!(speed("large-v3-turbo") > 1.5 * speed("large-v3"));
        // Of large-v3's 1.55 billion weights each takes a byte.
        assert!((1.5e9..2.2e9).contains(&(memory_bytes(&dims("large-v3")) as f64)));
    }

    #[test]
    fn a_machine_that_is_measured_does_something() {
        let machine = Machine::measure();
        assert!(machine.many > 1e8 && machine.one > 1e7, "{machine:?}");
        assert!(machine.speed(&dims("tiny")).is_finite());
        println!("{machine:?}");
        for entry in catalogue() {
            let dims = entry.dims.unwrap();
            println!("{:<20} {:6.1} {:6.0} MB", entry.name, machine.speed(&dims), memory_bytes(&dims) as f64 / 1e6);
        }
    }
}
