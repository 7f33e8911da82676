//! The engine with a model that computes nothing.

mod simulated;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use amanuensis_engine::{
    Audio, AudioSource, Engine, Event, Mode, Priority, Request, RequestError, Settings, Shutdown, SourceError, Speech,
    Stage, SubmitError, TrimContext,
};
use amanuensis_mel::LogMel;
use amanuensis_whisper::{BackendError, DecodeOptions, SAMPLE_RATE, Weights};
use simulated::{DIMS, Hooks, noise, number_of, speech};

const SECOND: usize = SAMPLE_RATE as usize;

fn options(timestamps: bool) -> DecodeOptions {
    DecodeOptions { temperatures: vec![0.0], timestamps, ..DecodeOptions::default() }
}

fn request(samples: Vec<f32>, priority: Priority) -> Request {
    Request { audio: Audio::Samples(samples), priority, options: options(true), deadline: None }
}

fn start(hooks: impl Hooks + 'static) -> Engine {
    let settings = Settings { mel_workers: 2, decode_workers: 2, ..Settings::default() };
    Engine::start(speech(hooks, 1), settings).expect("it starts")
}

/// Nothing happens.
struct Nothing;

impl Hooks for Nothing {}

/// The number of the window that `samples` make, seen as `frames` mel frames.
fn number(samples: &[f32], frames: usize) -> u32 {
    let mut mel = vec![0.0; frames * DIMS.n_mels];
    LogMel::new(DIMS.n_mels).compute(samples, &mut mel);
    number_of(&mel)
}

fn text(number: u32) -> String {
    format!("w{number}.")
}

/// All buffers are free again.
fn assert_at_rest(engine: &Engine) {
    let snapshot = engine.snapshot();
    assert!(snapshot.pools.iter().all(|pool| pool.in_use == 0), "{:?}", snapshot.pools);
    assert_eq!((snapshot.queued, snapshot.requests.in_flight), (0, 0));
}

/// A recording read piece by piece.
struct Pieces {
    samples: Vec<f32>,
    read: usize,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    End,
    Fail,
    Panic,
}

impl AudioSource for Pieces {
    fn read(&mut self, out: &mut [f32]) -> Result<usize, SourceError> {
        let count = out.len().min(self.samples.len() - self.read).min(50_000);
        if count == 0 {
            match self.then {
                Then::End => {}
                Then::Fail => {
                    let error: Box<dyn std::error::Error + Send + Sync> = "the file is damaged".into();
                    return Err(error.into());
                }
                Then::Panic => panic!("a source that panics"),
            }
        }
        out[..count].copy_from_slice(&self.samples[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }

    fn duration(&self) -> Option<Duration> {
        None
    }
}

fn streamed(samples: Vec<f32>, then: Then) -> Request {
    let audio = Audio::Source(Box::new(Pieces { samples, read: 0, then }));
    Request { audio, priority: Priority::Interactive, options: options(true), deadline: None }
}

#[test]
fn one_request_has_its_events_in_order() {
    let engine = start(Nothing);
    let samples = noise(5 * SECOND, 1);
    let expected = text(number(&samples, 3000));
    let job = engine.submit(request(samples, Priority::Batch)).expect("there is room");
    let events: Vec<Event> = job.events().iter().collect();
    match &events[..] {
        [Event::Started, Event::Segment(segment), Event::Progress { done, total }, Event::Finished(Ok(finished))] => {
            assert_eq!(segment.text, expected);
            assert_eq!(finished.transcript.segments, std::slice::from_ref(segment));
            assert_eq!((finished.transcript.language.as_str(), finished.device.name.as_str()), ("en", "simulated"));
            assert_eq!((*done, *total), (Duration::from_secs(5), Some(Duration::from_secs(5))));
            assert_eq!(finished.timings.audio, Duration::from_secs(5));
        }
        other => panic!("{other:?}"),
    }
    assert_at_rest(&engine);
    assert!(matches!(job.wait(), Err(RequestError::Cancelled)), "the end was received already");
}

#[test]
fn a_long_recording_is_the_sum_of_its_windows() {
    let samples = noise(95 * SECOND, 2);
    let expected: String = samples.chunks(30 * SECOND).map(|window| text(number(window, 3000))).collect();
    for mode in [Mode::Pipelined, Mode::Sequential] {
        let engine = Engine::start(speech(Nothing, 1), Settings { mode, ..Settings::default() }).expect("it starts");
        for request in [streamed(samples.clone(), Then::End), request(samples.clone(), Priority::Batch)] {
            let done = engine.submit(request).expect("there is room").wait().expect("it is transcribed");
            assert_eq!(done.transcript.text(), expected);
            assert_eq!(done.timings.audio, Duration::from_secs(95));
            let starts: Vec<u64> = done.transcript.segments.iter().map(|segment| segment.start.as_secs()).collect();
            assert_eq!(starts, [0, 30, 60, 90]);
        }
        assert_eq!(engine.snapshot().stages.map(|stage| (stage.count, stage.errors)), [(8, 0); 3]);
        assert_at_rest(&engine);
    }
}

#[test]
fn what_is_too_short_to_hear_has_no_text() {
    let engine = start(Nothing);
    for request in [request(Vec::new(), Priority::Live), streamed(vec![0.1; 159], Then::End)] {
        let done = engine.submit(request).expect("there is room").wait().expect("nothing is wrong with it");
        assert_eq!(done.transcript.text(), "");
    }
}

#[test]
fn many_at_once_get_their_own_text() {
    let engine = start(Nothing);
    let jobs: Vec<_> = (0..60)
        .map(|seed| {
            let samples = noise(SECOND + 997 * seed, seed as u64);
            let expected = text(number(&samples, 3000));
            let priority = Priority::ALL[1 + seed % 2];
            (engine.submit(request(samples, priority)).expect("there is room"), expected)
        })
        .collect();
    for (job, expected) in jobs {
        assert_eq!(job.wait().expect("it is transcribed").transcript.text(), expected);
    }
    let snapshot = engine.snapshot();
    assert_eq!((snapshot.requests.submitted, snapshot.requests.finished), (60, 60));
    assert_eq!(snapshot.requests.latency.count, 60);
    assert_at_rest(&engine);
}

/// Says which frames the encoder saw.
struct Frames(Mutex<Sender<usize>>);

impl Hooks for Frames {
    fn encode(&self, _: &[u32], frames: &[usize]) -> Result<(), BackendError> {
        for frames in frames {
            self.0.lock().expect("nobody panics").send(*frames).expect("the test listens");
        }
        Ok(())
    }
}

#[test]
fn short_windows_are_trimmed_where_it_is_asked_for() {
    let cases = [
        (TrimContext::Never, Priority::Live, 3000),
        (TrimContext::Live, Priority::Batch, 3000),
        // 5 s of speech and 1 s of margin, rounded up to 64 positions.
        (TrimContext::Live, Priority::Live, 640),
        (TrimContext::Always, Priority::Batch, 640),
    ];
    for (trim_context, priority, expected) in cases {
        let (sender, frames) = channel();
        let settings = Settings { trim_context, ..Settings::default() };
        let engine = Engine::start(speech(Frames(Mutex::new(sender)), 1), settings).expect("it starts");
        let done = engine.submit(request(noise(5 * SECOND, 3), priority)).expect("there is room").wait();
        assert_eq!(done.expect("it is transcribed").transcript.segments.len(), 1);
        assert_eq!(frames.recv(), Ok(expected), "{trim_context:?} {priority:?}");
    }
}

/// Every encoder call waits for a permit and says what it encodes.
struct Gate {
    permits: Mutex<Receiver<()>>,
    seen: Mutex<Sender<Vec<u32>>>,
}

impl Hooks for Gate {
    fn encode(&self, numbers: &[u32], _: &[usize]) -> Result<(), BackendError> {
        self.seen.lock().expect("nobody panics").send(numbers.to_vec()).expect("the test listens");
        // A test that is over lets everything pass.
        let _ = self.permits.lock().expect("nobody panics").recv();
        Ok(())
    }
}

fn gate() -> (Gate, Sender<()>, Receiver<Vec<u32>>) {
    let ((permit, permits), (seen, seen_by_test)) = (channel(), channel());
    (Gate { permits: Mutex::new(permits), seen: Mutex::new(seen) }, permit, seen_by_test)
}

#[test]
fn a_live_request_overtakes_all_but_the_window_in_the_encoder() {
    let (gate, permit, seen) = gate();
    let engine = start(gate);
    let long = engine.submit(streamed(noise(95 * SECOND, 4), Then::End)).expect("there is room");
    seen.recv().expect("the first window of the file is in the encoder");
    let files: Vec<_> = (0..20).map(|seed| engine.submit(request(noise(SECOND, seed), Priority::Batch))).collect();
    let samples = noise(2 * SECOND, 99);
    let live_number = number(&samples, 384);
    let live = engine.submit(request(samples, Priority::Live)).expect("there is room");
    // It is started although the others fill the pipeline.
    assert!(matches!(live.events().recv(), Ok(Event::Started)));
    while engine.snapshot().stages[Stage::Mel as usize].in_flight > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    permit.send(()).expect("the engine listens");
    assert_eq!(seen.recv().expect("another window is in the encoder"), [live_number]);
    drop(permit);
    assert!(live.wait().is_ok() && long.wait().is_ok());
    for file in files {
        assert!(file.expect("there is room").wait().is_ok());
    }
    assert_at_rest(&engine);
}

const WINDOWS: usize = 16;

/// Cores that everything is done on. Every window is decoded beside another, or the test does not end.
struct Cores {
    pair: Barrier,
    encoding: AtomicUsize,
    decoding: AtomicUsize,
}

impl Hooks for Arc<Cores> {
    fn encode(&self, numbers: &[u32], _: &[usize]) -> Result<(), BackendError> {
        assert_eq!(numbers.len(), 1);
        assert_eq!(self.encoding.fetch_add(1, Ordering::SeqCst), 0, "two windows are encoded beside each other");
        assert!(self.decoding.load(Ordering::SeqCst) < 2, "what is decoded waits for more than it can be decoded with");
        self.encoding.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }

    fn decode(&self, _: u32) -> Result<(), BackendError> {
        assert!(self.decoding.fetch_add(1, Ordering::SeqCst) < 2);
        self.pair.wait();
        self.decoding.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }

    fn shares_cores(&self) -> bool {
        true
    }
}

#[test]
fn windows_are_encoded_one_by_one_and_decoded_side_by_side() {
    let cores = Arc::new(Cores { pair: Barrier::new(2), encoding: AtomicUsize::new(0), decoding: AtomicUsize::new(0) });
    // One of the three is kept for live windows.
    let settings = Settings { decode_workers: 3, ..Settings::default() };
    let engine = Engine::start(speech(Arc::clone(&cores), 1), settings).expect("it starts");
    let submit = |seed| engine.submit(request(noise(SECOND, seed), Priority::Batch)).expect("there is room");
    let jobs: Vec<_> = (0..WINDOWS as u64).map(submit).collect();
    for job in jobs {
        job.wait().expect("it is transcribed");
    }
    assert_at_rest(&engine);
}

#[test]
fn a_full_queue_says_when_to_come_again() {
    let (gate, permit, seen) = gate();
    let settings = Settings { queue: 3, ..Settings::default() };
    let engine = Engine::start(speech(gate, 1), settings).expect("it starts");
    let mut jobs = Vec::new();
    let refused = loop {
        match engine.submit(request(noise(SECOND, 5), Priority::Batch)) {
            Ok(job) => jobs.push(job),
            Err(refused) => break refused,
        }
        assert!(jobs.len() < 50, "the queue has no end");
    };
    match refused {
        SubmitError::Busy { queued: 3, retry_after } => assert!(retry_after > Duration::ZERO),
        other => panic!("{other:?}"),
    }
    drop((permit, seen.recv()));
    for job in jobs {
        // The sender of what was seen fails once the test stops listening; it is kept until here.
        assert!(job.wait().is_ok());
    }
    assert_eq!(engine.snapshot().requests.refused, 1);
    assert!(engine.submit(request(noise(SECOND, 5), Priority::Batch)).is_ok());
}

#[test]
fn cancelling_ends_what_waits_and_what_runs() {
    let (gate, permit, seen) = gate();
    let engine = start(gate);
    let running = engine.submit(request(noise(40 * SECOND, 6), Priority::Batch)).expect("there is room");
    seen.recv().expect("its first window is in the encoder");
    let waiting: Vec<_> = (0..20).map(|_| engine.submit(request(noise(SECOND, 7), Priority::Batch))).collect();
    for job in waiting.into_iter().flatten() {
        job.cancel();
        let ends: Vec<Event> = job.events().iter().filter(|event| matches!(event, Event::Finished(_))).collect();
        assert!(matches!(ends[..], [Event::Finished(Err(RequestError::Cancelled))]), "{ends:?}");
    }
    running.cancel();
    permit.send(()).expect("the engine listens");
    assert!(matches!(running.wait(), Err(RequestError::Cancelled)));
    // Dropping is cancelling.
    let dropped = engine.submit(request(noise(SECOND, 8), Priority::Batch)).expect("there is room");
    drop(dropped);
    drop(permit);
    engine.shutdown(Shutdown::Drain);
    assert_at_rest(&engine);
    assert_eq!(engine.snapshot().requests.cancelled, 22);
}

#[test]
fn deadlines_end_what_waits() {
    let (gate, permit, seen) = gate();
    let engine = start(gate);
    let first = engine.submit(request(noise(SECOND, 9), Priority::Batch)).expect("there is room");
    seen.recv().expect("it is in the encoder");
    let allowed = Duration::from_millis(30);
    let late = Request { deadline: Some(allowed), ..request(noise(SECOND, 10), Priority::Batch) };
    let late = engine.submit(late).expect("there is room").wait();
    assert!(matches!(late, Err(RequestError::Deadline { allowed: said }) if said == allowed), "{late:?}");
    drop(permit);
    assert!(first.wait().is_ok());
}

/// Breaks down over one number.
#[derive(Default)]
struct Breaks {
    encode_panics: Option<u32>,
    encode_fails: Option<u32>,
    decode_panics: Option<u32>,
    calls: Mutex<Option<Receiver<()>>>,
}

impl Hooks for Breaks {
    fn encode(&self, numbers: &[u32], _: &[usize]) -> Result<(), BackendError> {
        if let Some(first_call) = self.calls.lock().expect("nobody panics").take() {
            let _ = first_call.recv();
        }
        assert!(!numbers.iter().any(|number| Some(*number) == self.encode_panics), "an encoder that panics");
        if numbers.iter().any(|number| Some(*number) == self.encode_fails) {
            return Err(BackendError::Device { device: "simulated".to_owned(), reason: "it is on fire".to_owned() });
        }
        Ok(())
    }

    fn decode(&self, number: u32) -> Result<(), BackendError> {
        assert_ne!(Some(number), self.decode_panics, "a decoder that panics");
        Ok(())
    }
}

#[test]
fn a_panic_fails_one_request_and_the_stage_goes_on() {
    let bad = noise(SECOND, 11);
    let bad_number = Some(number(&bad, 3000));
    let cases = [
        (Breaks { encode_panics: bad_number, ..Breaks::default() }, Stage::Encode),
        (Breaks { decode_panics: bad_number, ..Breaks::default() }, Stage::Decode),
    ];
    for (breaks, expected) in cases {
        let engine = start(breaks);
        for _ in 0..3 {
            let failed = engine.submit(request(bad.clone(), Priority::Batch)).expect("room").wait();
            assert!(matches!(failed, Err(RequestError::StageDied { stage }) if stage == expected), "{failed:?}");
            assert!(engine.submit(request(noise(SECOND, 12), Priority::Batch)).expect("room").wait().is_ok());
        }
        assert_eq!(engine.snapshot().stages[expected as usize].errors, 3);
        assert_at_rest(&engine);
    }
}

#[test]
fn a_source_that_fails_or_panics_keeps_what_came_before() {
    let engine = start(Nothing);
    let samples = noise(40 * SECOND, 13);
    for then in [Then::Fail, Then::Panic] {
        let job = engine.submit(streamed(samples.clone(), then)).expect("there is room");
        let events: Vec<Event> = job.events().iter().collect();
        let segments = events.iter().filter(|event| matches!(event, Event::Segment(_))).count();
        match (then, events.last()) {
            (Then::Fail, Some(Event::Finished(Err(RequestError::Source(error))))) => {
                assert_eq!((segments, error.to_string().as_str()), (2, "the file is damaged"));
            }
            (Then::Panic, Some(Event::Finished(Err(RequestError::StageDied { stage: Stage::Mel })))) => {
                assert_eq!(segments, 1);
            }
            (_, other) => panic!("{other:?}"),
        }
    }
    assert_at_rest(&engine);
}

#[test]
fn of_windows_encoded_together_only_the_bad_one_fails() {
    let bad = noise(SECOND, 14);
    for panics in [true, false] {
        let (first, first_call) = channel();
        let bad_number = Some(number(&bad, 3000));
        let breaks = Breaks {
            encode_panics: bad_number.filter(|_| panics),
            encode_fails: bad_number.filter(|_| !panics),
            calls: Mutex::new(Some(first_call)),
            ..Breaks::default()
        };
        let settings = Settings { mel_workers: 4, ..Settings::default() };
        let engine = Engine::start(speech(breaks, 4), settings).expect("it starts");
        let submit = |samples| engine.submit(request(samples, Priority::Batch)).expect("there is room");
        let mut good = vec![submit(noise(SECOND, 15))];
        while engine.snapshot().stages[Stage::Encode as usize].in_flight == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let failed = submit(bad.clone());
        good.extend((16..20).map(|seed| submit(noise(SECOND, seed))));
        while engine.snapshot().stages[Stage::Encode as usize].waiting < 4 {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(first);
        let failed = failed.wait();
        match (panics, &failed) {
            (true, Err(RequestError::StageDied { stage: Stage::Encode })) => {}
            (false, Err(RequestError::Backend(BackendError::Device { .. }))) => {}
            other => panic!("{other:?}"),
        }
        for job in good {
            assert!(job.wait().is_ok());
        }
        assert_at_rest(&engine);
    }
}

#[test]
fn shutdown_drains_or_cancels() {
    for (how, finishes) in [(Shutdown::Drain, true), (Shutdown::Cancel, false)] {
        let (gate, permit, seen) = gate();
        let engine = start(gate);
        let jobs: Vec<_> = (0..10).map(|seed| engine.submit(request(noise(SECOND, seed), Priority::Batch))).collect();
        seen.recv().expect("one is in the encoder");
        let other = engine.clone();
        let ending = std::thread::spawn(move || other.shutdown(how));
        let refused = loop {
            match engine.submit(request(Vec::new(), Priority::Live)) {
                Err(refused) => break refused,
                Ok(job) => drop(job),
            }
        };
        assert_eq!(refused, SubmitError::ShuttingDown);
        drop(permit);
        ending.join().expect("it ends");
        for job in jobs {
            assert_eq!(job.expect("there was room").wait().is_ok(), finishes, "{how:?}");
        }
        assert_at_rest(&engine);
    }
}

#[test]
fn a_dropped_engine_cancels_what_it_has() {
    let engine = start(Nothing);
    let jobs: Vec<_> = (0..50).map(|seed| engine.submit(request(noise(SECOND, seed), Priority::Batch))).collect();
    drop(engine);
    for job in jobs {
        let result = job.expect("there was room").wait();
        assert!(matches!(result, Ok(_) | Err(RequestError::Cancelled)), "{result:?}");
    }
}

#[test]
fn a_thousand_requests_leave_nothing_behind() {
    let engine = start(Nothing);
    let samples: Arc<Vec<f32>> = Arc::new(noise(SECOND, 21));
    for round in 0..20 {
        let jobs: Vec<_> = (0..50).map(|_| engine.submit(request(samples.to_vec(), Priority::Live))).collect();
        for (index, job) in jobs.into_iter().flatten().enumerate() {
            if (index + round) % 7 == 0 {
                job.cancel();
            } else {
                assert!(job.wait().is_ok());
            }
        }
    }
    engine.shutdown(Shutdown::Drain);
    let snapshot = engine.snapshot();
    let requests = &snapshot.requests;
    assert_eq!(requests.submitted, 1000);
    assert_eq!(requests.finished + requests.cancelled, 1000);
    assert_eq!(requests.failed, 0);
    for pool in &snapshot.pools {
        assert!(pool.misses as usize <= pool.capacity, "{pool:?}");
    }
    assert_at_rest(&engine);
}

#[test]
fn an_idle_engine_gives_its_memory_back() {
    let settings = Settings { shrink_after: Duration::from_millis(20), ..Settings::default() };
    let engine = Engine::start(speech(Nothing, 1), settings).expect("it starts");
    for _ in 0..2 {
        let done = engine.submit(streamed(noise(SECOND, 22), Then::End)).expect("there is room").wait();
        assert!(done.is_ok());
        while engine.snapshot().pools.iter().any(|pool| pool.bytes > 0) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    assert!(engine.snapshot().pools.iter().all(|pool| pool.misses == 2), "{:?}", engine.snapshot().pools);
}

/// The demo model, if it is there.
fn demo_model() -> PathBuf {
    let demo = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo/amanuensis-demo.en.bin");
    std::env::var_os("AMANUENSIS_DEMO_MODEL").map_or_else(demo, PathBuf::from)
}

/// A sound unlike that of any other seed, of which the model is told to make something.
fn sound(seed: u64) -> Request {
    let seconds = 1 + seed as usize % 4;
    let samples = noise(seconds * SECOND, seed).into_iter().enumerate();
    let tone = |index: usize| (index as f32 * (0.01 + 0.03 * seed as f32)).sin() * (index as f32 * 0.0004).sin();
    let samples = samples.map(|(index, noise)| 0.05 * noise + 0.4 * tone(index)).collect();
    let options = DecodeOptions {
        temperatures: vec![0.0],
        timestamps: false,
        max_tokens: Some(12),
        no_speech_threshold: None,
        logprob_threshold: None,
        ..DecodeOptions::default()
    };
    Request { audio: Audio::Samples(samples), priority: Priority::ALL[seed as usize % 3], options, deadline: None }
}

#[test]
fn on_the_cpu_a_text_is_the_same_alone_and_among_others() {
    let path = demo_model();
    if !path.is_file() {
        println!("skipped: there is no model at {}", path.display());
        return;
    }
    let weights = Weights::open(&path).expect("the model can be read");
    let model = amanuensis_backend_cpu::load(&weights, Default::default()).expect("the model can be loaded");
    let speech = Speech { name: "demo".to_owned(), model, tokenizer: weights.tokenizer().clone() };
    let start = |mode| {
        let settings = Settings { mode, decode_workers: 3, trim_context: TrimContext::Always, ..Settings::default() };
        Engine::start(speech.clone(), settings).expect("it starts")
    };
    let text = |engine: &Engine, seed| {
        let done = engine.submit(sound(seed)).expect("there is room").wait().expect("nothing fails");
        done.transcript.segments
    };
    let alone = start(Mode::Sequential);
    let expected: Vec<_> = (0..6).map(|seed| text(&alone, seed)).collect();
    let together = start(Mode::Pipelined);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..6)
            .map(|seed| {
                scope.spawn({
                    let together = &together;
                    move || text(together, seed)
                })
            })
            .collect();
        for (text, expected) in all.into_iter().zip(&expected) {
            assert_eq!(&text.join().expect("nothing panics"), expected);
        }
    });
}
