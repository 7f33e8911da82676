//! Times of the stages, one window after the other.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use amanuensis_backend_cpu::{CpuOptions, Precision};
use amanuensis_mel::LogMel;
use amanuensis_whisper::{Dims, HOP_SAMPLES, LogitsFor, MelView, SAMPLE_RATE, Weights};
use anyhow::Context;
use serde::Serialize;

use amanuensis_benches::model::Random;

/// What is run how often.
pub struct Plan {
    pub runs: usize,
    pub tokens: usize,
    pub seconds: f32,
    /// Whether each run waits for a line on the standard input, and prints its times: to take turns with other engines.
    pub takes_turns: bool,
}

/// Times of one run, as the script that compares engines reads them.
#[derive(Serialize)]
struct Turn {
    mel: f64,
    encoder: f64,
    encoder_cpu: f64,
    token: f64,
    end: f64,
    load: f64,
    first: f64,
    rss: f64,
}

/// Milliseconds of several runs.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Times {
    pub median: f64,
    pub min: f64,
}

impl Times {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self { median: times[times.len() / 2], min: times[0] }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.2} ({:.2})", self.median, self.min)
    }
}

/// Times of one model in milliseconds.
#[derive(Debug, Serialize)]
pub struct Stages {
    pub mel: Times,
    pub encoder: Times,
    /// CPU time of all threads: what is left of it when others use the machine, and what warms it.
    pub encoder_cpu: Times,
    /// Keys and values of the window for all layers of the decoder.
    pub cross: Times,
    /// One token, the average of the window's.
    pub token: Times,
    pub end_to_end: Times,
    /// Until a model that was packed before can be used.
    pub load_ms: f64,
    /// From the start of that until the first window's first token: nothing is warm but what the system keeps of files.
    pub first_token_ms: f64,
    /// Operations of the encoder; a multiplication and an addition are two.
    pub encoder_operations: f64,
}

/// Measures a model, by way of packed weights in `cache`.
///
/// # Errors
/// It cannot be loaded or run.
pub fn measure(
    path: &Path,
    cache: &Path,
    precision: Precision,
    threads: NonZeroUsize,
    plan: &Plan,
) -> anyhow::Result<Stages> {
    let options = CpuOptions { precision, threads };
    let mut random = Random(2);
    let samples: Vec<f32> = (0..(plan.seconds * SAMPLE_RATE as f32) as usize).map(|_| 0.1 * random.normal()).collect();
    let began = Instant::now();
    let weights = Weights::open(path)?;
    let model = amanuensis_backend_cpu::load_cached(&weights, options, cache)?;
    let load_ms = milliseconds(began);
    let dims = *weights.dims();
    let mut log_mel = LogMel::new(dims.n_mels);
    let mut encoder = Arc::clone(&model).encoder();
    let mut decoder = model.decoder(1);

    let frames = samples.len() / HOP_SAMPLES;
    let positions = frames.div_ceil(2);
    let mut mel = vec![0.0; frames * dims.n_mels];
    let mut encoded = vec![0.0; positions * dims.n_audio_state];
    let mut logits = vec![0.0; dims.n_vocab];

    let mut times: [Vec<f64>; 6] = Default::default();
    let mut first_token_ms = 0.0;
    // The first run warms up.
    for run in 0..=plan.runs {
        if plan.takes_turns && run > 0 && std::io::stdin().read_line(&mut String::new())? == 0 {
            break;
        }
        let start = Instant::now();
        log_mel.compute(&samples, &mut mel);
        let mel_ms = milliseconds(start);

        let (encode, encode_cpu) = (Instant::now(), cpu_milliseconds());
        let window = MelView::by_frame(&mel, frames, dims.n_mels).context("BUG: the spectrogram has its own shape")?;
        encoder.encode(&[window], &mut [&mut encoded])?;
        let (encoder_ms, encoder_cpu_ms) = (milliseconds(encode), cpu_milliseconds() - encode_cpu);

        let cross = Instant::now();
        decoder.start(&encoded)?;
        let cross_ms = milliseconds(cross);

        let decode = Instant::now();
        let mut token = weights.tokenizer().sot();
        for _ in 0..plan.tokens {
            decoder.forward(&[token], LogitsFor::Last, &mut logits)?;
            token = best(&logits);
            if first_token_ms == 0.0 {
                first_token_ms = milliseconds(began);
            }
        }
        let token_ms = milliseconds(decode) / plan.tokens.max(1) as f64;
        let end_ms = milliseconds(start);
        if plan.takes_turns && run > 0 {
            let turn = Turn {
                mel: mel_ms,
                encoder: encoder_ms,
                encoder_cpu: encoder_cpu_ms,
                token: token_ms,
                end: end_ms,
                load: load_ms,
                first: first_token_ms,
                rss: peak_rss_mb(),
            };
            println!("times {}", serde_json::to_string(&turn)?);
        }
        if run > 0 {
            for (times, time) in times.iter_mut().zip([mel_ms, encoder_ms, encoder_cpu_ms, cross_ms, token_ms, end_ms])
            {
                times.push(time);
            }
        }
    }
    let [mel, encoder, encoder_cpu, cross, token, end_to_end] = times.map(Times::of);
    let encoder_operations = encoder_operations(&dims, positions);
    Ok(Stages { mel, encoder, encoder_cpu, cross, token, end_to_end, load_ms, first_token_ms, encoder_operations })
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// CPU time of the whole process so far.
fn cpu_milliseconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes the time, or leaves the zeros.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// Most memory that the process has had.
fn peak_rss_mb() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: zeros are a valid usage, and it is written or left alone.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    usage.ru_maxrss as f64 / 1024.0
}

fn best(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.map_or(0, |(token, _)| token as u32)
}

/// Linear layers, attention and convolutions.
fn encoder_operations(dims: &Dims, positions: usize) -> f64 {
    let (width, positions) = (dims.n_audio_state as f64, positions as f64);
    let linear = 12.0 * width * width * positions;
    let attention = 2.0 * positions * positions * width;
    let convolution = 2.0 * positions * 3.0 * dims.n_mels as f64 * width + positions * 3.0 * width * width;
    2.0 * (dims.n_audio_layer as f64 * (linear + attention) + convolution)
}
