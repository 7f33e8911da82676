//! What overlapping the stages brings: with a simulated machine, whose stages sleep for as long as real ones took, so that the
//! cores of this machine do not matter; and with a real model, where there is one: encoded on the CPU, and on a simulated NPU
//! that takes as long as is predicted.
//!
//! `cargo xtask bench --pipeline` runs it. `--json` prints the same figures as JSON; `--model FILE` names the real model,
//! `--audio FILE` what it hears in place of noise, and `--only simulated|npu|windows|live|memory` a part.

#[path = "../tests/simulated/mod.rs"]
mod simulated;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use amanuensis_audio::AudioFile;
use amanuensis_backend_npu::{Choice, Machine, NpuOptions, Pace, Policy};
use amanuensis_engine::{
    Audio, AudioSource, Done, Engine, Mode, Priority, Request, Settings, Snapshot, SourceError, Speech, Stage,
    TrimContext,
};
use amanuensis_whisper::{BackendError, DecodeOptions, SAMPLE_RATE, Weights};
use serde_json::{Map, Value, json};
use simulated::{Hooks, noise};

/// What the stages took on the machine that this engine's ancestor ran on.
const LOAD: Duration = Duration::from_millis(15);
const ENCODE: Duration = Duration::from_millis(15);
const DECODE: Duration = Duration::from_millis(30);
/// What the second and further windows of one encoder call cost, of the first.
const FURTHER: f64 = 0.5;
/// Requests in flight.
const CLIENTS: usize = 15;
/// Evenly spaced arrivals a second.
const ARRIVALS: u32 = 60;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1)
    };
    let wanted = |part: &str| value("--only").is_none_or(|only| only == part);
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo/amanuensis-demo.en.bin");
    let model = value("--model").map_or(demo, PathBuf::from);
    let sound = Sound(value("--audio").map_or_else(|| noise(WINDOW_SAMPLES, 1), |path| read(Path::new(path))));

    let mut report = Report { as_json: arguments.iter().any(|argument| argument == "--json"), figures: Map::new() };
    if wanted("simulated") {
        simulated_figures(&mut report);
    }
    if !model.is_file() {
        report.add("a real model", json!({ "skipped": format!("there is no model at {}", model.display()) }));
    } else if ["npu", "windows", "live", "memory"].into_iter().any(wanted) {
        if wanted("npu") {
            npu_figures(&mut report, &model, &sound);
        }
        let speech = speech(&model);
        if wanted("windows") {
            report.add("on the CPU, 16 windows of 30 s", windows(&speech, &sound));
        }
        if wanted("live") {
            report.add("on the CPU, a live request of 3 s", live(&speech, &sound));
        }
        if wanted("memory") {
            report.add("on the CPU, 1,000 live requests of 1 s", memory(&speech, &sound));
        }
    }
    if report.as_json {
        println!("{:#}", Value::Object(report.figures));
    }
}

/// The figures so far. As a table they are printed as they come.
struct Report {
    as_json: bool,
    figures: Map<String, Value>,
}

impl Report {
    fn add(&mut self, name: &str, figures: Value) {
        if !self.as_json {
            println!("{name}");
            table(&figures, 1);
        }
        self.figures.insert(name.to_owned(), figures);
    }
}

/// Prints nested figures, one a line.
fn table(figures: &Value, depth: usize) {
    let Some(entries) = figures.as_object() else { return };
    for (name, value) in entries {
        let name = format!("{:depth$}{name}", "", depth = 2 * depth);
        match value {
            Value::Object(_) => {
                println!("{name}");
                table(value, depth + 1);
            }
            Value::Number(number) if number.is_f64() => {
                println!("{name:<44}{:>12.2}", number.as_f64().unwrap_or_default());
            }
            Value::String(text) => println!("{name:<44}  {text}"),
            other => println!("{name:<44}{:>12}", other.to_string()),
        }
    }
}

// The simulated machine.

struct Sleeps;

impl Hooks for Sleeps {
    fn encode(&self, numbers: &[u32], _: &[usize]) -> Result<(), BackendError> {
        std::thread::sleep(ENCODE.mul_f64(1.0 + FURTHER * (numbers.len() - 1) as f64));
        Ok(())
    }

    fn decode(&self, _: u32) -> Result<(), BackendError> {
        std::thread::sleep(DECODE);
        Ok(())
    }
}

/// Half a second of sound that takes a while to load.
struct Slow {
    left: usize,
}

impl AudioSource for Slow {
    fn read(&mut self, out: &mut [f32]) -> Result<usize, SourceError> {
        if self.left == 0 {
            return Ok(0);
        }
        std::thread::sleep(LOAD);
        let count = self.left.min(out.len());
        out[..count].fill(0.1);
        self.left -= count;
        Ok(count)
    }

    fn duration(&self) -> Option<Duration> {
        None
    }
}

fn simulated_request() -> Request {
    // What is computed besides the sleeps is kept small: one token, and a spectrogram as short as the sound.
    let options =
        DecodeOptions { temperatures: vec![0.0], timestamps: false, max_tokens: Some(1), ..DecodeOptions::default() };
    let audio = Audio::Source(Box::new(Slow { left: SAMPLE_RATE as usize / 2 }));
    Request { audio, priority: Priority::Batch, options, deadline: None }
}

fn simulated_engine(mode: Mode, max_batch: usize) -> Engine {
    let settings =
        Settings { mode, mel_workers: 4, decode_workers: 4, trim_context: TrimContext::Always, ..Settings::default() };
    Engine::start(simulated::speech(Sleeps, max_batch), settings).expect("the simulated engine starts")
}

fn simulated_figures(report: &mut Report) {
    let sequential = closed_loop(&simulated_engine(Mode::Sequential, 1), 90, simulated_request);
    let mut pipelined = closed_loop(&simulated_engine(Mode::Pipelined, 1), 800, simulated_request);
    pipelined["over_sequential"] = json!(pace(&pipelined) / pace(&sequential));
    report.add("simulated, sequential", sequential);
    report.add("simulated, pipelined", pipelined);
    let batched = closed_loop(&simulated_engine(Mode::Pipelined, 4), 1000, simulated_request);
    report.add("simulated, pipelined, the encoder takes 4 windows", batched);
    let arrivals = evenly_spaced(&simulated_engine(Mode::Pipelined, 1), ARRIVALS * 10);
    report.add("simulated, 60 arrivals a second", arrivals);
}

fn pace(figures: &Value) -> f64 {
    figures["requests_per_s"].as_f64().unwrap_or(f64::NAN)
}

/// `CLIENTS` clients ask again as soon as they are answered. Start and end, when not all are there, are not counted.
fn closed_loop(engine: &Engine, requests: usize, request: impl Fn() -> Request + Sync) -> Value {
    let asked = AtomicUsize::new(0);
    let run = |count: usize| {
        asked.store(0, Ordering::Relaxed);
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    while asked.fetch_add(1, Ordering::Relaxed) < count {
                        let job = engine.submit(request()).expect("the queue has room for all clients");
                        job.wait().expect("nothing fails");
                    }
                });
            }
        });
    };
    run(2 * CLIENTS);
    // The figures are of the time in which the pipeline is full: from when the first have passed until the last are asked.
    std::thread::scope(|scope| {
        scope.spawn(|| run(requests));
        let reach = |count: u64, base: u64| {
            loop {
                let snapshot = engine.snapshot();
                if snapshot.requests.finished - base >= count {
                    return (snapshot, Instant::now());
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        let base = engine.snapshot().requests.finished;
        let (before, began) = reach(CLIENTS as u64, base);
        let (after, ended) = reach((requests - CLIENTS) as u64, base);
        rate(&before, &after, ended - began)
    })
}

fn rate(before: &Snapshot, after: &Snapshot, during: Duration) -> Value {
    let requests = after.requests.finished - before.requests.finished;
    let encode = Stage::Encode as usize;
    json!({
        "requests_per_s": requests as f64 / during.as_secs_f64(),
        "encoder_utilisation_percent": 100.0 * after.stages[encode].utilisation(&before.stages[encode], during),
        "end_to_end_p50_ms": ms(after.requests.latency.p50),
        "end_to_end_p99_ms": ms(after.requests.latency.p99),
    })
}

fn evenly_spaced(engine: &Engine, requests: u32) -> Value {
    let began = Instant::now();
    let jobs: Vec<_> = (0..requests)
        .map(|index| {
            let due = Duration::from_secs(1) * index / ARRIVALS;
            std::thread::sleep(due.saturating_sub(began.elapsed()));
            engine.submit(simulated_request())
        })
        .collect();
    // A machine too busy to keep up refuses some.
    let refused = jobs.iter().filter(|job| job.is_err()).count();
    let jobs = jobs.into_iter().flatten();
    let done: Vec<Done> = jobs.map(|job| job.wait().expect("nothing fails")).collect();
    let waited =
        done.iter().map(|done| done.timings.total - done.timings.mel - done.timings.encode - done.timings.decode);
    let snapshot = engine.snapshot();
    json!({
        "refused": refused,
        "queue_wait_p99_ms": ms(snapshot.requests.queue_wait.p99),
        "all_waits_p50_ms": ms(quantile(waited.clone(), 0.5)),
        "all_waits_p99_ms": ms(quantile(waited, 0.99)),
        "end_to_end_p50_ms": ms(quantile(done.iter().map(|done| done.timings.total), 0.5)),
        "end_to_end_p99_ms": ms(quantile(done.iter().map(|done| done.timings.total), 0.99)),
    })
}

fn quantile(times: impl Iterator<Item = Duration>, quantile: f64) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    let index = (times.len() as f64 * quantile).ceil() as usize;
    times.get(index.saturating_sub(1)).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

// A real model.

const WINDOW_SAMPLES: usize = 30 * SAMPLE_RATE as usize;

fn speech(path: &Path) -> Speech {
    let weights = Weights::open(path).expect("the model can be read");
    let model = amanuensis_backend_cpu::load(&weights, Default::default()).expect("the model can be loaded");
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Speech { name, model, tokenizer: weights.tokenizer().clone() }
}

/// The encoder on a simulated NPU that takes as long as is predicted, all else on this machine's cores.
fn npu_figures(report: &mut Report, model: &Path, sound: &Sound) {
    let weights = Weights::open(model).expect("the model can be read");
    let on_cpu = amanuensis_backend_cpu::load(&weights, Default::default()).expect("the model can be loaded");
    let options = NpuOptions {
        choice: Choice::Simulated {
            machine: Machine::default(),
            pace: Pace::Predicted,
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        },
        policy: Policy::RequireNpu,
        ..NpuOptions::default()
    };
    let on_npu = amanuensis_backend_npu::load(&weights, on_cpu, &options).expect("the simulated NPU can be opened");
    let name = model.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let speech = Speech { name, model: on_npu, tokenizer: weights.tokenizer().clone() };
    let measure = |mode| {
        let engine = start(&speech, mode);
        // The first window is computed; afterwards its result is known, and takes the predicted time.
        at_once(&engine, sound, 1);
        let mut figures = closed_loop(&engine, 150, || sound.request(WINDOW_SAMPLES, Priority::Batch));
        figures["device"] = json!(engine.device().name.to_string());
        for (stage, load) in Stage::ALL.into_iter().zip(engine.snapshot().stages) {
            figures[format!("{stage}_p50_ms")] = json!(ms(load.service.p50));
        }
        figures
    };
    let sequential = measure(Mode::Sequential);
    let mut pipelined = measure(Mode::Pipelined);
    pipelined["over_sequential"] = json!(pace(&pipelined) / pace(&sequential));
    report.add("on a simulated NPU, windows of 30 s, sequential", sequential);
    report.add("on a simulated NPU, windows of 30 s, pipelined", pipelined);
}

fn start(speech: &Speech, mode: Mode) -> Engine {
    Engine::start(speech.clone(), Settings { mode, ..Settings::default() }).expect("it starts")
}

fn windows(speech: &Speech, sound: &Sound) -> Value {
    // Interleaved, so that what else the machine does meets both; of each the fastest counts, for that only ever takes time.
    let (sequential, pipelined) = (start(speech, Mode::Sequential), start(speech, Mode::Pipelined));
    at_once(&pipelined, sound, 2);
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..5 {
        times[0].push(at_once(&sequential, sound, 16));
        times[1].push(at_once(&pipelined, sound, 16));
    }
    let [sequential_time, pipelined_time] = times.map(|times| times.into_iter().min().unwrap_or_default());
    let [_, encode, decode] = sequential.snapshot().stages.map(|stage| stage.service.p50);
    let device = pipelined.device();
    json!({
        "model": speech.name,
        "device": format!("{} ({device})", device.name),
        "encode_p50_ms": ms(encode),
        "decode_p50_ms": ms(decode),
        "sequential_s": sequential_time.as_secs_f64(),
        "pipelined_s": pipelined_time.as_secs_f64(),
        "pipelined_over_sequential": sequential_time.as_secs_f64() / pipelined_time.as_secs_f64(),
    })
}

fn live(speech: &Speech, sound: &Sound) -> Value {
    let engine = start(speech, Mode::Pipelined);
    let request = |windows: usize| engine.submit(sound.request(windows * WINDOW_SAMPLES, Priority::Batch));
    let window = request(1).expect("there is room").wait().expect("nothing fails").timings;
    let idle = live_latencies(&engine, sound, 20);
    let file = request(100).expect("there is room");
    let busy = live_latencies(&engine, sound, 20);
    file.cancel();
    let p95 = |times: &[Duration]| quantile(times.iter().copied(), 0.95);
    json!({
        "idle_p50_ms": ms(quantile(idle.iter().copied(), 0.5)),
        "idle_p95_ms": ms(p95(&idle)),
        "during_a_file_p50_ms": ms(quantile(busy.iter().copied(), 0.5)),
        "during_a_file_p95_ms": ms(p95(&busy)),
        "allowed_p95_ms": ms(p95(&idle).mul_f64(1.5) + window.mel + window.encode + window.decode),
    })
}

fn read(path: &Path) -> Vec<f32> {
    let mut file = AudioFile::open(path).unwrap_or_else(|error| panic!("{error}"));
    let mut samples = vec![0.0; WINDOW_SAMPLES];
    let count = file.read(&mut samples).unwrap_or_else(|error| panic!("{error}"));
    samples.truncate(count);
    samples
}

/// What is heard, over and over.
struct Sound(Vec<f32>);

impl Sound {
    fn request(&self, samples: usize, priority: Priority) -> Request {
        let audio = Audio::Samples(self.0.iter().copied().cycle().take(samples).collect());
        let options = DecodeOptions { temperatures: vec![0.0], max_tokens: Some(64), ..DecodeOptions::default() };
        Request { audio, priority, options, deadline: None }
    }

    fn speech(&self, seconds: usize) -> Request {
        self.request(seconds * SAMPLE_RATE as usize, Priority::Live)
    }
}

fn at_once(engine: &Engine, sound: &Sound, windows: usize) -> Duration {
    let began = Instant::now();
    let jobs: Vec<_> = (0..windows)
        .map(|_| engine.submit(sound.request(WINDOW_SAMPLES, Priority::Batch)).expect("there is room"))
        .collect();
    for job in jobs {
        job.wait().expect("nothing fails");
    }
    began.elapsed()
}

fn live_latencies(engine: &Engine, sound: &Sound, requests: u32) -> Vec<Duration> {
    (0..requests)
        .map(|index| {
            // Not in step with the file's windows.
            std::thread::sleep(Duration::from_millis(u64::from(37 * (index % 7))));
            engine.submit(sound.speech(3)).expect("there is room").wait().expect("nothing fails").timings.total
        })
        .collect()
}

/// Memory after 100 and after 1,000 requests.
fn memory(speech: &Speech, sound: &Sound) -> Value {
    let engine = start(speech, Mode::Pipelined);
    let mut after_hundred = 0.0;
    for index in 0..1000 {
        if index == 100 {
            after_hundred = resident_mb();
        }
        engine.submit(sound.speech(1)).expect("there is room").wait().expect("nothing fails");
    }
    let in_use: usize = engine.snapshot().pools.iter().map(|pool| pool.in_use).sum();
    json!({ "rss_after_100_mb": after_hundred, "rss_after_1000_mb": resident_mb(), "leases": in_use })
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kb.unwrap_or_default() / 1024.0
}
