//! Times of the stages, one window after the other.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use amanuensis_backend_cpu::{CpuOptions, Precision};
use amanuensis_kernels::argmax;
use amanuensis_mel::LogMel;
use amanuensis_whisper::{Decoder, Dims, Encoder, HOP_SAMPLES, LogitsFor, MelView, Model, SAMPLE_RATE, Weights};
use anyhow::Context;
use serde::Serialize;

use amanuensis_benches::model::Random;

/// What is run how often.
pub struct Plan {
    pub runs: usize,
    pub tokens: usize,
    pub seconds: f32,
    /// Whether to do what lines on the standard input say, and print its times: to take turns with other engines.
    pub takes_turns: bool,
}

/// Windows in the best mode for many, and how many of them are side by side.
const MANY: usize = 16;
const SIDE_BY_SIDE: usize = 4;
/// Seconds of a short utterance.
const SHORT_SECONDS: usize = 5;

/// Times of one turn, as the script that compares engines reads them.
#[derive(Serialize)]
#[serde(untagged)]
enum Turn {
    Run { mel: f64, encoder: f64, encoder_cpu: f64, token: f64, end: f64, load: f64, first: f64, rss: f64 },
    Short { short: f64 },
    Many { many: f64 },
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
    /// Weights that the decoder reads for every token.
    pub decoder_weights: usize,
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
    let start = weights.tokenizer().sot();
    let mut session = Session::new(&model, start);
    session.window(&samples, 1)?;
    let first_token_ms = milliseconds(began);
    session.window(&samples, plan.tokens)?;
    if plan.takes_turns {
        take_turns(plan, &samples, &mut session, (load_ms, first_token_ms))?;
    }
    let runs = (0..plan.runs).map(|_| session.window(&samples, plan.tokens)).collect::<anyhow::Result<Vec<_>>>()?;
    let of = |time: fn(&Window) -> f64| Times::of(runs.iter().map(time).collect());
    let positions = (samples.len() / HOP_SAMPLES).div_ceil(2);
    Ok(Stages {
        mel: of(|window| window.mel),
        encoder: of(|window| window.encoder),
        encoder_cpu: of(|window| window.encoder_cpu),
        cross: of(|window| window.cross),
        token: of(|window| window.token),
        end_to_end: of(|window| window.end),
        load_ms,
        first_token_ms,
        encoder_operations: encoder_operations(weights.dims(), positions),
        decoder_weights: decoder_weights(weights.dims()),
    })
}

/// Does what each line of the standard input says, and prints its times.
fn take_turns(plan: &Plan, samples: &[f32], session: &mut Session, (load, first): (f64, f64)) -> anyhow::Result<()> {
    for line in std::io::stdin().lines() {
        let turn = match line?.trim() {
            "short" => {
                let samples = &samples[..samples.len().min(SHORT_SECONDS * SAMPLE_RATE as usize)];
                Turn::Short { short: session.window(samples, plan.tokens * SHORT_SECONDS / 30)?.end }
            }
            "many" => Turn::Many { many: side_by_side(session, samples, plan)? },
            _ => {
                let Window { mel, encoder, encoder_cpu, token, end, .. } = session.window(samples, plan.tokens)?;
                Turn::Run { mel, encoder, encoder_cpu, token, end, load, first, rss: peak_rss_mb() }
            }
        };
        println!("times {}", serde_json::to_string(&turn)?);
    }
    Ok(())
}

/// Milliseconds of many windows, some of them side by side: each is encoded with all threads, and they are decoded together.
fn side_by_side(session: &Session, samples: &[f32], plan: &Plan) -> anyhow::Result<f64> {
    let mut sessions: Vec<_> = (0..SIDE_BY_SIDE).map(|_| Session::new(&session.model, session.start)).collect();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let running: Vec<_> = sessions
            .iter_mut()
            .map(|session| {
                scope.spawn(move || {
                    (0..MANY / SIDE_BY_SIDE).try_for_each(|_| session.window(samples, plan.tokens).map(|_| ()))
                })
            })
            .collect();
        running.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    Ok(milliseconds(began))
}

/// Milliseconds of one window.
struct Window {
    mel: f64,
    encoder: f64,
    encoder_cpu: f64,
    cross: f64,
    token: f64,
    end: f64,
}

/// What works on one window after the other.
struct Session {
    model: Arc<dyn Model>,
    dims: Dims,
    start: u32,
    log_mel: LogMel,
    encoder: Box<dyn Encoder>,
    decoder: Box<dyn Decoder>,
    mel: Vec<f32>,
    encoded: Vec<f32>,
    logits: Vec<f32>,
}

impl Session {
    fn new(model: &Arc<dyn Model>, start: u32) -> Self {
        let dims = *model.dims();
        Self {
            model: Arc::clone(model),
            dims,
            start,
            log_mel: LogMel::new(dims.n_mels),
            encoder: Arc::clone(model).encoder(),
            decoder: Arc::clone(model).decoder(1),
            mel: Vec::new(),
            encoded: Vec::new(),
            logits: Vec::new(),
        }
    }

    fn window(&mut self, samples: &[f32], tokens: usize) -> anyhow::Result<Window> {
        let frames = samples.len() / HOP_SAMPLES;
        self.mel.resize(frames * self.dims.n_mels, 0.0);
        self.encoded.resize(frames.div_ceil(2) * self.dims.n_audio_state, 0.0);
        let start = Instant::now();
        self.log_mel.compute(samples, &mut self.mel);
        let mel = milliseconds(start);

        let (encode, encode_cpu) = (Instant::now(), cpu_milliseconds());
        let window =
            MelView::by_frame(&self.mel, frames, self.dims.n_mels).context("BUG: a spectrogram has its shape")?;
        self.encoder.encode(&[window], &mut [&mut self.encoded])?;
        let (encoder, encoder_cpu) = (milliseconds(encode), cpu_milliseconds() - encode_cpu);

        let cross = Instant::now();
        self.decoder.start(&self.encoded)?;
        let cross = milliseconds(cross);

        let decode = Instant::now();
        let mut token = self.start;
        for _ in 0..tokens {
            self.decoder.forward(&[token], LogitsFor::Last, &mut self.logits)?;
            token = argmax(&self.logits).0 as u32;
        }
        let token = milliseconds(decode) / tokens.max(1) as f64;
        Ok(Window { mel, encoder, encoder_cpu, cross, token, end: milliseconds(start) })
    }
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

/// Linear layers, attention and convolutions.
fn encoder_operations(dims: &Dims, positions: usize) -> f64 {
    let (width, positions) = (dims.n_audio_state as f64, positions as f64);
    let linear = 12.0 * width * width * positions;
    let attention = 2.0 * positions * positions * width;
    let convolution = 2.0 * positions * 3.0 * dims.n_mels as f64 * width + positions * 3.0 * width * width;
    2.0 * (dims.n_audio_layer as f64 * (linear + attention) + convolution)
}

/// The matrices of the layers, without those of the window's keys and values, and that of the words.
fn decoder_weights(dims: &Dims) -> usize {
    let width = dims.n_text_state;
    dims.n_text_layer * 14 * width * width + dims.n_vocab * width
}
