//! The encoder: the NPU while it works, the fallback when it does not, and the reason.

use std::time::Duration;

use amanuensis_pool::Pool;
use amanuensis_whisper::{BackendError, DeviceInfo, Dims, EncodeReport, Encoder, Fallback, MelView, Obstacle};

use crate::device::{Device, DeviceError, Plan};
use crate::{NpuError, Policy};

/// Frames of the window with which the NPU's results are checked: all dispatches, little work.
const CHECK_FRAMES: usize = 96;
/// Cosine below which results are not the same. Number formats cost about 1e-3; a missing instruction leaves zeros or noise.
const CHECK_SIMILARITY: f64 = 0.99;

/// An encoder on an NPU, over another one.
#[derive(Debug)]
pub(crate) struct NpuEncoder {
    dims: Dims,
    device: Box<dyn Device>,
    state: State,
    fallback: Other,
    policy: Policy,
    /// For spectrograms that do not lie as the NPU reads them: one, for windows are encoded one at a time.
    gathered: Pool,
}

#[derive(Debug)]
enum State {
    /// The device is open and its results were checked.
    Ready(Plan),
    /// The device is given up, for this reason.
    GivenUp(Fallback),
}

impl State {
    /// Until it is known.
    fn unknown() -> Self {
        Self::GivenUp(Fallback::new(Obstacle::Failed, ""))
    }
}

struct Other(Box<dyn Encoder>);

impl std::fmt::Debug for Other {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.device().fmt(formatter)
    }
}

impl NpuEncoder {
    pub(crate) fn new(
        dims: Dims,
        device: Box<dyn Device>,
        plan: Result<Plan, NpuError>,
        fallback: Box<dyn Encoder>,
        policy: Policy,
    ) -> Result<Self, NpuError> {
        let gathered = Pool::new("npu-spectrogram", 1, 2 * dims.n_audio_ctx * dims.n_mels);
        let state = State::unknown();
        let mut encoder = Self { dims, device, state, fallback: Other(fallback), policy, gathered };
        match plan.and_then(|plan| encoder.open(&plan).map(|()| plan)) {
            Ok(plan) => encoder.state = State::Ready(plan),
            Err(error) if policy == Policy::RequireNpu => return Err(error),
            Err(error) => encoder.give_up(error.into()),
        }
        Ok(encoder)
    }

    fn open(&mut self, plan: &Plan) -> Result<(), NpuError> {
        self.device.open(plan)?;
        self.check(plan).inspect_err(|_| self.device.close())
    }

    fn give_up(&mut self, reason: Fallback) {
        tracing::warn!(target: "amanuensis", %reason, "the NPU is given up");
        self.device.close();
        self.state = State::GivenUp(reason);
    }

    /// Compares a window of the NPU's with the fallback's.
    fn check(&mut self, plan: &Plan) -> Result<(), NpuError> {
        let (bins, width) = (self.dims.n_mels, self.dims.n_audio_state);
        let frames = CHECK_FRAMES.min(2 * self.dims.n_audio_ctx);
        // Bands that wander, roughly in a spectrogram's range.
        let mel: Vec<f32> = (0..frames * bins)
            .map(|index| ((index / bins) as f32 * 0.37 + (index % bins) as f32 * 0.21).sin() * 0.9)
            .collect();
        let positions = frames.div_ceil(2);
        let (mut found, mut expected) = (vec![0.0; positions * width], vec![0.0; positions * width]);
        self.device.encode(plan, frames, &mel, &mut found)?;
        let nothing = |error: BackendError| NpuError::NothingToCompare(error.to_string());
        let window = MelView::by_frame(&mel, frames, bins).expect("BUG: it was made of this length");
        self.fallback.0.encode(&[window], &mut [&mut expected]).map_err(nothing)?;
        let similarity = cosine(&found, &expected);
        if similarity >= CHECK_SIMILARITY { Ok(()) } else { Err(NpuError::SelfCheck { similarity }) }
    }

    /// Encodes one window on the NPU, opening it again once if it fails.
    fn on_npu(&mut self, plan: &Plan, frames: usize, mel: &[f32], out: &mut [f32]) -> Result<Duration, DeviceError> {
        let first = match self.device.encode(plan, frames, mel, out) {
            Ok(busy) => return Ok(busy),
            Err(error) => error,
        };
        tracing::warn!(target: "amanuensis", error = %first, "opening the NPU again");
        self.device.close();
        let again = self.device.open(plan).and_then(|()| self.device.encode(plan, frames, mel, out));
        // The first failure says more: what follows is mostly its consequence.
        again.map_err(|_| first)
    }

    fn window(&mut self, window: MelView<'_>, out: &mut [f32]) -> Result<EncodeReport, BackendError> {
        let State::Ready(plan) = std::mem::replace(&mut self.state, State::unknown()) else {
            unreachable!("BUG: the caller has seen that the NPU is ready")
        };
        let lies_well = window.bin_stride() == 1 && window.frame_stride() == window.n_mels();
        let outcome = if lies_well {
            let mel = &window.data()[..window.frames() * window.n_mels()];
            self.on_npu(&plan, window.frames(), mel, out)
        } else {
            match self.gathered.lease() {
                Ok(mut lease) => {
                    let mel = &mut lease[..window.frames() * window.n_mels()];
                    gather(&window, mel);
                    self.on_npu(&plan, window.frames(), mel, out)
                }
                Err(error) => Err(DeviceError::Unavailable(Fallback::new(Obstacle::Failed, error))),
            }
        };
        match outcome {
            Ok(busy) => {
                self.state = State::Ready(plan);
                if out.iter().any(|value| !value.is_finite()) {
                    return Err(BackendError::NotFinite);
                }
                Ok(EncodeReport { device: self.device.info().into(), busy, fallback: None })
            }
            Err(error) => {
                let reason = error.to_string();
                self.give_up(NpuError::from(error).into());
                Err(BackendError::Device { device: self.device.info().name, reason })
            }
        }
    }

    fn check_shapes(&self, window: &MelView<'_>, out: &[f32]) -> Result<(), BackendError> {
        let shape = |what, found, expected| {
            if found == expected { Ok(()) } else { Err(BackendError::Shape { what, found, expected }) }
        };
        shape("spectrogram's rows", window.n_mels(), self.dims.n_mels)?;
        if window.frames() == 0 || window.positions() > self.dims.n_audio_ctx {
            let expected = 2 * self.dims.n_audio_ctx;
            return Err(BackendError::Shape { what: "spectrogram", found: window.frames(), expected });
        }
        shape("encoder's output", out.len(), window.positions() * self.dims.n_audio_state)
    }
}

impl Encoder for NpuEncoder {
    fn dims(&self) -> &Dims {
        &self.dims
    }

    fn device(&self) -> DeviceInfo {
        match (&self.state, self.policy) {
            (State::GivenUp(_), Policy::AllowFallback) => self.fallback.0.device(),
            _ => self.device.info(),
        }
    }

    fn encode(&mut self, windows: &[MelView<'_>], outputs: &mut [&mut [f32]]) -> Result<EncodeReport, BackendError> {
        if windows.len() != outputs.len() {
            return Err(BackendError::Shape { what: "list of outputs", found: outputs.len(), expected: windows.len() });
        }
        let mut total = EncodeReport { device: self.device().into(), busy: Duration::ZERO, fallback: None };
        for (window, out) in windows.iter().zip(outputs) {
            self.check_shapes(window, out)?;
            if matches!(self.state, State::Ready(_)) {
                match self.window(*window, out) {
                    Ok(report) => {
                        total.busy += report.busy;
                        continue;
                    }
                    Err(BackendError::Device { .. }) => {}
                    Err(other) => return Err(other),
                }
            }
            let State::GivenUp(reason) = &self.state else { continue };
            if self.policy == Policy::RequireNpu {
                let device = self.device.info().name;
                return Err(BackendError::Device { device, reason: reason.text.clone() });
            }
            let report = self.fallback.0.encode(&[*window], &mut [&mut **out])?;
            total.busy += report.busy;
            total.device = report.device;
            total.fallback = Some(reason.clone());
        }
        Ok(total)
    }
}

fn gather(window: &MelView<'_>, out: &mut [f32]) {
    for (frame, row) in out.chunks_exact_mut(window.n_mels()).enumerate() {
        for (bin, value) in row.iter_mut().enumerate() {
            *value = window.data()[frame * window.frame_stride() + bin * window.bin_stride()];
        }
    }
}

/// Cosine of the angle between two results; not a number, or zero, if one of them is.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let size = (dot(a, a) * dot(b, b)).sqrt();
    if size > 0.0 { dot(a, b) / size } else { 0.0 }
}
