//! An NPU that answers with anything: the text is the CPU's, or finite, or an error.

#![no_main]

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::time::Duration;

use amanuensis_backends::npu::device::{Device, DeviceError, Plan};
use amanuensis_backends::npu::{Format, NpuOptions, Policy, open_on};
use amanuensis_fuzz::{folder, smallest_model};
use amanuensis_golden::{NumberType, Recipe, write_ggml};
use amanuensis_whisper::{BackendError, DeviceInfo, Dims, Dtype, EncodeReport, Encoder, MelView, Weights};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Clone, Arbitrary)]
enum Answer {
    Right,
    Nearly(u8),
    Values(Vec<f32>),
    Nothing,
    Unavailable(String),
    Lost(String),
}

#[derive(Debug, Arbitrary)]
struct Input {
    int8: bool,
    required: bool,
    opens: Vec<bool>,
    answers: Vec<Answer>,
    windows: Vec<u8>,
}

#[derive(Debug)]
struct Odd {
    dims: Dims,
    opens: VecDeque<bool>,
    answers: VecDeque<Answer>,
}

impl Device for Odd {
    fn info(&self) -> DeviceInfo {
        DeviceInfo { name: "npu".to_owned(), detail: String::new() }
    }

    fn open(&mut self, _: &Plan) -> Result<(), DeviceError> {
        match self.opens.pop_front() {
            Some(false) => Err(DeviceError::Unavailable("it is away".to_owned())),
            _ => Ok(()),
        }
    }

    fn close(&mut self) {}

    fn encode(&mut self, _: &Plan, _: usize, mel: &[f32], out: &mut [f32]) -> Result<Duration, DeviceError> {
        match self.answers.pop_front().unwrap_or(Answer::Right) {
            Answer::Right => right(&self.dims, mel, out),
            Answer::Nearly(step) => {
                right(&self.dims, mel, out);
                out.iter_mut().step_by(usize::from(step) + 1).for_each(|value| *value = -*value);
            }
            Answer::Values(values) => out.iter_mut().zip(values).for_each(|(out, value)| *out = value),
            Answer::Nothing => {}
            Answer::Unavailable(reason) => return Err(DeviceError::Unavailable(reason)),
            Answer::Lost(reason) => return Err(DeviceError::Lost(reason)),
        }
        Ok(Duration::MAX / 4096)
    }
}

struct Plain(Dims);

impl Encoder for Plain {
    fn dims(&self) -> &Dims {
        &self.0
    }

    fn device(&self) -> DeviceInfo {
        DeviceInfo { name: "cpu".to_owned(), detail: String::new() }
    }

    fn encode(&mut self, windows: &[MelView<'_>], outputs: &mut [&mut [f32]]) -> Result<EncodeReport, BackendError> {
        for (window, out) in windows.iter().zip(outputs) {
            right(&self.0, window.data(), out);
        }
        Ok(EncodeReport { device: self.device().into(), busy: Duration::ZERO, fallback: None })
    }
}

/// Stands for an encoder: finite, and another one for another spectrogram.
fn right(dims: &Dims, mel: &[f32], out: &mut [f32]) {
    for (index, out) in out.iter_mut().enumerate() {
        *out = mel[index % mel.len()] + (index % dims.n_audio_state) as f32;
    }
}

fn weights() -> &'static Weights {
    static WEIGHTS: OnceLock<Weights> = OnceLock::new();
    WEIGHTS.get_or_init(|| {
        let small = smallest_model();
        let wider =
            Dims { n_mels: 8, n_audio_ctx: 64, n_audio_state: 16, n_audio_head: 2, n_text_state: 16, ..small.dims };
        let folder = folder();
        let path = folder.path().join("model.bin");
        write_ggml(&path, &Recipe { dims: wider, ..small }, NumberType::Of(Dtype::F16)).expect("memory can be written");
        Weights::open(&path).expect("the model is whole")
    })
}

fuzz_target!(|input: Input| {
    let dims = *weights().dims();
    let format = if input.int8 { Format::Int8 } else { Format::Bfp16 };
    let policy = if input.required { Policy::RequireNpu } else { Policy::AllowFallback };
    let options = NpuOptions { format, policy, ..NpuOptions::default() };
    let device = Odd { dims, opens: input.opens.into(), answers: input.answers.into() };
    let Ok(mut encoder) = open_on(Box::new(device), weights(), Box::new(Plain(dims)), &options) else {
        assert!(input.required, "without the NPU it goes on");
        return;
    };
    for frames in input.windows.into_iter().take(16) {
        let frames = usize::from(frames) % (2 * dims.n_audio_ctx) + 1;
        let mel: Vec<f32> = (0..frames * dims.n_mels).map(|index| (index as f32).sin()).collect();
        let mut out = vec![0.0; frames.div_ceil(2) * dims.n_audio_state];
        let window = MelView::by_frame(&mel, frames, dims.n_mels).expect("it was made of this length");
        let outcome = encoder.encode(&[window], &mut [&mut out]);
        match outcome {
            Ok(report) => {
                assert!(out.iter().all(|value| value.is_finite()), "what is handed on is finite");
                if report.fallback.is_some() {
                    let mut expected = vec![0.0; out.len()];
                    right(&dims, &mel, &mut expected);
                    assert_eq!(out, expected, "the fallback's result is untouched by the NPU's");
                }
            }
            Err(BackendError::NotFinite) => {}
            Err(error) => assert!(input.required, "{error}"),
        }
    }
});
