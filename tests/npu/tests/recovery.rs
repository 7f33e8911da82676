//! What the encoder does when its device fails, on a device that fails as it is told.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use amanuensis_backend_cpu::{CpuOptions, Precision};
use amanuensis_backend_npu::device::{Device, DeviceError, Plan};
use amanuensis_backend_npu::{Machine, NpuError, NpuOptions, Pace, Policy, Simulated, open_on};
use amanuensis_npu_tests::conformance::{encode, similarity};
use amanuensis_npu_tests::model::{self, spectrogram};
use amanuensis_whisper::{DeviceInfo, Fallback, MelView, Obstacle, Weights};

/// What the device does at each call, in order; well when nothing is left.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Next {
    Well,
    FailToOpen,
    Lose,
    Garbage,
}

type Log = Arc<Mutex<Vec<&'static str>>>;

#[derive(Debug)]
struct Flaky {
    inner: Simulated,
    script: VecDeque<Next>,
    log: Log,
}

impl Flaky {
    fn next(&mut self, call: &'static str) -> Next {
        self.log.lock().expect("no test panics while it holds this").push(call);
        self.script.pop_front().unwrap_or(Next::Well)
    }
}

impl Device for Flaky {
    fn info(&self) -> DeviceInfo {
        DeviceInfo { name: "npu-flaky".to_owned(), detail: String::new(), threads: None }
    }

    fn open(&mut self, plan: &Plan) -> Result<(), DeviceError> {
        match self.next("open") {
            Next::FailToOpen => Err(DeviceError::Unavailable(Fallback::new(Obstacle::Absent, "it is not there"))),
            _ => self.inner.open(plan),
        }
    }

    fn close(&mut self) {
        self.log.lock().expect("no test panics while it holds this").push("close");
        self.inner.close();
    }

    fn encode(
        &mut self,
        plan: &Plan,
        frames: usize,
        spectrogram: &[f32],
        result: &mut [f32],
    ) -> Result<Duration, DeviceError> {
        match self.next("encode") {
            Next::Lose => Err(DeviceError::Lost(Fallback::new(Obstacle::Failed, "the context is gone"))),
            Next::Garbage => {
                result.fill(1.0);
                Ok(Duration::ZERO)
            }
            _ => self.inner.encode(plan, frames, spectrogram, result),
        }
    }
}

struct Outcome {
    /// For each of three windows the device, and the reason if it was the fallback; or the error.
    windows: Vec<String>,
    /// What stood in the way the last time.
    obstacle: Option<Obstacle>,
    calls: Vec<&'static str>,
}

fn run(script: &[Next], policy: Policy) -> Result<Outcome, NpuError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.bin");
    model::write(&path, &model::dims(64, 1, 1, 32), 1).expect("written");
    let weights = Weights::open(&path).expect("our own model is one");
    let options = CpuOptions { precision: Precision::F32, threads: NonZeroUsize::MIN };
    let cpu = amanuensis_backend_cpu::load(&weights, options).expect("it loads");
    let log = Log::default();
    let inner = Simulated::new(Machine::default(), Pace::Computed, NonZeroUsize::MIN);
    let flaky = Flaky { inner, script: script.iter().copied().collect(), log: Arc::clone(&log) };
    let options = NpuOptions { policy, ..NpuOptions::default() };
    let mut encoder = open_on(Box::new(flaky), &weights, Arc::clone(&cpu).encoder(), &options)?;
    let mut reference = cpu.encoder();
    let (mut windows, mut obstacle) = (Vec::new(), None);
    for seed in 0..3 {
        let mel = spectrogram(20, 80, seed);
        let view = MelView::by_frame(&mel, 20, 80).expect("it is long enough");
        let mut out = vec![f32::NAN; 10 * 64];
        windows.push(match encoder.encode(&[view], &mut [&mut out]) {
            Ok(report) => {
                let expected = encode(&mut *reference, &mel, 20).expect("encoded");
                assert!(similarity(&out, &expected) > 0.999, "window {seed} is wrong");
                obstacle = report.fallback.as_ref().map(|reason| reason.obstacle);
                format!("{}{}", report.device.name, report.fallback.map(|why| format!(": {why}")).unwrap_or_default())
            }
            Err(error) => format!("error: {error}"),
        });
    }
    let calls = log.lock().expect("no test panics while it holds this").clone();
    Ok(Outcome { windows, obstacle, calls })
}

#[test]
fn a_device_that_works_is_opened_once() {
    let Outcome { windows, calls, .. } = run(&[], Policy::RequireNpu).expect("opens");
    assert_eq!(windows, ["npu-flaky"; 3]);
    assert_eq!(calls, ["open", "encode", "encode", "encode", "encode"]);
}

#[test]
fn a_lost_context_is_opened_again_and_the_window_replayed() {
    let script = [Next::Well, Next::Well, Next::Well, Next::Lose];
    let Outcome { windows, calls, .. } = run(&script, Policy::RequireNpu).expect("opens");
    assert_eq!(windows, ["npu-flaky"; 3]);
    assert_eq!(calls, ["open", "encode", "encode", "encode", "close", "open", "encode", "encode"]);
}

#[test]
fn a_device_that_stays_away_is_given_up_with_the_first_reason() {
    for last in [Next::FailToOpen, Next::Lose] {
        let again = if last == Next::Lose { vec![Next::Well, Next::Lose] } else { vec![Next::FailToOpen] };
        let script = [vec![Next::Well, Next::Well, Next::Well, Next::Lose], again].concat();
        let Outcome { windows, obstacle, calls } = run(&script, Policy::AllowFallback).expect("opens");
        assert_eq!(obstacle, Some(Obstacle::Failed));
        let reason = "cpu: the NPU failed: the context is gone";
        assert_eq!(windows, ["npu-flaky", reason, reason]);
        assert_eq!(calls.last(), Some(&"close"));
        let Outcome { windows, .. } = run(&script, Policy::RequireNpu).expect("opens");
        let error = "error: npu-flaky failed: the NPU failed: the context is gone";
        assert_eq!(windows, ["npu-flaky", error, error]);
    }
}

#[test]
fn a_device_that_is_not_there_or_computes_nonsense_is_never_used() {
    let absent = run(&[Next::FailToOpen], Policy::AllowFallback).expect("falls back");
    assert_eq!((absent.windows, absent.obstacle), (vec!["cpu: it is not there".to_owned(); 3], Some(Obstacle::Absent)));
    let wrong = run(&[Next::Well, Next::Garbage], Policy::AllowFallback).expect("falls back");
    assert!(wrong.windows.iter().all(|window| window.starts_with("cpu: the NPU's results differ")));
    assert_eq!(wrong.obstacle, Some(Obstacle::Wrong));
    assert_eq!(wrong.calls.iter().filter(|call| **call == "encode").count(), 1);
    assert!(matches!(run(&[Next::FailToOpen], Policy::RequireNpu), Err(NpuError::Device(_))));
    assert!(matches!(run(&[Next::Well, Next::Garbage], Policy::RequireNpu), Err(NpuError::SelfCheck { .. })));
}
