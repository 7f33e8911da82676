//! The simulated NPU: computes what the kernels compute, and keeps the time that the timing model predicts.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use amanuensis_kernels::ThreadPool;
use amanuensis_npu_kernels::execute::{Buffers, Executor};
use amanuensis_npu_kernels::manifest::Bundle;
use amanuensis_npu_kernels::timing::{Machine, predict};
use amanuensis_whisper::{DeviceInfo, Fallback, Obstacle};

use crate::device::{Device, DeviceError, Plan};
use crate::image::Pages;

/// Windows whose results are remembered at [`Pace::Predicted`].
const REMEMBERED: usize = 16;

/// How long a call takes. The time that is reported is always the predicted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// As long as the computation takes on this CPU.
    #[default]
    Computed,
    /// As long as is predicted, for windows that were computed before: their results are remembered. For measuring how well a
    /// pipeline would use an NPU of that speed.
    Predicted,
}

/// An NPU in this process. Always called `npu-simulated`.
#[derive(Debug)]
pub struct Simulated {
    machine: Machine,
    pace: Pace,
    executor: Executor,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    bundle: Bundle,
    workspace: Pages,
    remembered: HashMap<u64, Vec<f32>>,
}

impl Simulated {
    /// A simulation of the NPU in `machine`, computed by so many threads.
    pub fn new(machine: Machine, pace: Pace, threads: NonZeroUsize) -> Self {
        Self { machine, pace, executor: Executor::new(ThreadPool::new(threads)), open: None }
    }
}

impl Device for Simulated {
    fn info(&self) -> DeviceInfo {
        let detail = "a simulation on the CPU; times are predicted, not measured".to_owned();
        DeviceInfo { name: "npu-simulated".to_owned(), detail, threads: None }
    }

    fn open(&mut self, plan: &Plan) -> Result<(), DeviceError> {
        let bundle = Bundle::described(&plan.program);
        let workspace = Pages::new(plan.program.workspace_bytes());
        self.open = Some(Open { bundle, workspace, remembered: HashMap::new() });
        Ok(())
    }

    fn close(&mut self) {
        self.open = None;
    }

    fn encode(
        &mut self,
        plan: &Plan,
        frames: usize,
        spectrogram: &[f32],
        result: &mut [f32],
    ) -> Result<Duration, DeviceError> {
        let began = Instant::now();
        let predicted = predict(&plan.program, frames, &self.machine).time;
        let closed = || DeviceError::Unavailable(Fallback::new(Obstacle::Failed, "the simulated NPU is not open"));
        let Open { bundle, workspace, remembered } = self.open.as_mut().ok_or_else(closed)?;
        let key = (self.pace == Pace::Predicted).then(|| {
            let mut hasher = DefaultHasher::new();
            spectrogram.iter().for_each(|value| value.to_bits().hash(&mut hasher));
            hasher.finish()
        });
        if let Some(known) = key.and_then(|key| remembered.get(&key)).filter(|known| known.len() == result.len()) {
            result.copy_from_slice(known);
            std::thread::sleep(predicted.saturating_sub(began.elapsed()));
            return Ok(predicted);
        }
        let rows = plan.program.rows_for(frames.div_ceil(2)).ok_or_else(closed)?;
        let input: Vec<u8> = spectrogram.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut output = vec![0; result.len() * 4];
        for step in plan.program.steps(frames) {
            let lost = |error: &dyn std::error::Error| DeviceError::Lost(Fallback::new(Obstacle::Failed, error));
            let words = bundle.instructions(step.name, rows, frames).map_err(|error| lost(&error))?;
            let (start, bytes) = plan.program.part(step.part);
            let mut buffers = Buffers {
                weights: &plan.image[start..start + bytes],
                workspace,
                spectrogram: &input,
                result: &mut output,
            };
            self.executor.run(&words, &mut buffers).map_err(|error| lost(&error))?;
        }
        for (value, bytes) in result.iter_mut().zip(output.as_chunks::<4>().0) {
            *value = f32::from_le_bytes(*bytes);
        }
        if let Some(key) = key.filter(|_| remembered.len() < REMEMBERED) {
            remembered.insert(key, result.to_vec());
        }
        Ok(predicted)
    }
}
