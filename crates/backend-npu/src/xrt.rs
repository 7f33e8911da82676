//! The NPU through XRT.
//!
//! One context, one design, all shapes. For each number of rows there is a list of runs, made when first needed and executed again and
//! again; only the counts in the instructions, the spectrogram and the result change. Weights, spectrogram and result are the host's own
//! pages, read and written where they lie.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use amanuensis_npu_kernels::manifest::{Bundle, BundleError, Instructions};
use amanuensis_npu_kernels::program::{Part, Program};
use amanuensis_pool::PAGE_BYTES;
use amanuensis_whisper::{DeviceInfo, Fallback, Obstacle};
use amanuensis_xrt_sys::{self as xrt, Buffer, Kind, List, Session, Trouble, Xrt};

use crate::device::{Device, DeviceError, Plan};
use crate::image::Pages;
use crate::{PROGRAM_VARIABLE, checks, program_name};

/// Set where the NPU is the virtual one of `tests/virtual-npu`.
const VIRTUAL_VARIABLE: &str = "AMANUENSIS_VIRTUAL_NPU";
/// The firmware's command to run instructions.
const OPCODE: u64 = 3;
/// Arguments of the kernel.
const INSTRUCTIONS: u32 = 1;
const WORDS: u32 = 2;
const WEIGHTS: u32 = 3;
const WORKSPACE: u32 = 4;
const SPECTROGRAM: u32 = 5;
const RESULT: u32 = 6;
/// Bytes that one clean-up of the cache touches: buffers do not share such a line with anything else.
const LINE_BYTES: usize = 64;
/// What a window may take. A hundred times what is predicted for the largest encoder.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The NPU in this machine.
#[derive(Debug)]
pub struct XrtDevice {
    index: u32,
    program: Option<PathBuf>,
    detail: String,
    open: Option<Open>,
}

/// Dropped in this order: lists, buffers, context.
#[derive(Debug)]
struct Open {
    lists: HashMap<usize, Rows>,
    parts: Vec<xrt::Part>,
    /// Own buffers, for spectrograms and results that do not begin on a page.
    spectrogram: Buffer,
    result: Buffer,
    workspace: Buffer,
    _weights: Buffer,
    /// What the weights' buffer is made of.
    _image: Arc<Pages>,
    bundle: Bundle,
    session: Session,
}

/// The runs for one number of rows.
#[derive(Debug)]
struct Rows {
    list: List,
    /// Instructions by the step's name, and the frames that they are for.
    instructions: Vec<(&'static str, Buffer)>,
    frames: usize,
}

impl XrtDevice {
    /// Device `index`, with the program in this folder or in the place where programs are installed.
    pub fn new(index: u32, program: Option<PathBuf>) -> Self {
        Self { index, program, detail: "AMD XDNA2".to_owned(), open: None }
    }

    fn try_open(&mut self, plan: &Plan) -> Result<Open, DeviceError> {
        let unavailable =
            |obstacle, error: &dyn std::error::Error| DeviceError::Unavailable(Fallback::new(obstacle, error));
        checks::node(self.index).map_err(DeviceError::Unavailable)?;
        checks::memory(plan.image.len() + plan.program.workspace_bytes()).map_err(DeviceError::Unavailable)?;
        let library = Xrt::load().map_err(|error| unavailable(Obstacle::Library, &error))?;
        let folder = self.program.clone().or_else(|| installed_program(&plan.program));
        let bundle =
            open_bundle(folder.as_deref(), &plan.program).map_err(|error| unavailable(Obstacle::Program, &error))?;
        // Silicon would take descriptions for instructions.
        if bundle.manifest.instructions == Instructions::Described && std::env::var_os(VIRTUAL_VARIABLE).is_none() {
            let reason = Fallback::new(Obstacle::Program, "the NPU's program is for the virtual NPU only");
            return Err(DeviceError::Unavailable(reason));
        }
        let refused = |error: xrt::Error| DeviceError::Unavailable(checks::explain(&error));
        let session = Session::open(&library, self.index, &bundle.xclbin, &bundle.manifest.kernel).map_err(refused)?;
        let (major, minor) = library.version();
        self.detail = format!("{}, {}, XRT {major}.{minor}", session.name(), plan.program.format().name());
        let shape = plan.program.shape();
        let image: &[u8] = &plan.image;
        // SAFETY: the image is kept with the buffer and dropped after it, and nobody writes it any more.
        let weights = unsafe { session.wrap(image.as_ptr().cast_mut(), image.len(), WEIGHTS) }.map_err(refused)?;
        weights.to_device().map_err(refused)?;
        let parts = plan.program.parts().map(|part| plan.program.part(part));
        let parts =
            parts.map(|(start, bytes)| weights.part(start, bytes)).collect::<Result<_, _>>().map_err(refused)?;
        let buffer = |bytes: usize, argument| session.buffer(bytes.next_multiple_of(PAGE_BYTES), Kind::Data, argument);
        let workspace = buffer(plan.program.workspace_bytes(), WORKSPACE).map_err(refused)?;
        workspace.to_device().map_err(refused)?;
        let spectrogram = buffer(2 * shape.positions * shape.mels * 4, SPECTROGRAM).map_err(refused)?;
        let result = buffer(shape.positions * shape.width * 4, RESULT).map_err(refused)?;
        let lists = HashMap::new();
        Ok(Open {
            lists,
            parts,
            spectrogram,
            result,
            workspace,
            _weights: weights,
            _image: Arc::clone(&plan.image),
            bundle,
            session,
        })
    }
}

impl Open {
    /// Makes the runs for one number of rows.
    fn rows(&self, program: &Program, rows: usize, frames: usize) -> Result<Rows, DeviceError> {
        let unavailable = |error: xrt::Error| DeviceError::Unavailable(Fallback::new(Obstacle::Failed, error));
        let mut instructions: Vec<(&'static str, Buffer, u32)> = Vec::new();
        for step in program.distinct_steps(frames) {
            let words = self.words(step.name, rows, frames)?;
            let bytes = (words.len() * 4).next_multiple_of(LINE_BYTES);
            let mut buffer = self.session.buffer(bytes, Kind::Instructions, INSTRUCTIONS).map_err(unavailable)?;
            write_words(&words, buffer.bytes_mut());
            buffer.to_device().map_err(unavailable)?;
            instructions.push((step.name, buffer, u32::try_from(words.len()).unwrap_or(u32::MAX)));
        }
        let mut runs = Vec::new();
        for step in program.steps(frames) {
            let known = instructions.iter().find(|(name, ..)| *name == step.name);
            let (_, buffer, words) = known.expect("BUG: the distinct steps have every name");
            let part = match step.part {
                Part::Head => 0,
                Part::Layer(index) => 1 + index,
                Part::Tail => self.parts.len() - 1,
            };
            let make = || {
                let mut run = self.session.run()?;
                run.set_u64(0, OPCODE)?;
                run.set_buffer(INSTRUCTIONS, buffer)?;
                run.set_u32(WORDS, *words)?;
                run.set_buffer(WEIGHTS, &self.parts[part])?;
                run.set_buffer(WORKSPACE, &self.workspace)?;
                run.set_buffer(SPECTROGRAM, &self.spectrogram)?;
                run.set_buffer(RESULT, &self.result)?;
                Ok(run)
            };
            runs.push(make().map_err(unavailable)?);
        }
        let list = self.session.list(runs).map_err(unavailable)?;
        let instructions = instructions.into_iter().map(|(name, buffer, _)| (name, buffer)).collect();
        Ok(Rows { list, instructions, frames })
    }

    fn words(&self, name: &str, rows: usize, frames: usize) -> Result<Vec<u32>, DeviceError> {
        let words = self.bundle.instructions(name, rows, frames);
        words.map_err(|error: BundleError| DeviceError::Unavailable(Fallback::new(Obstacle::Program, error)))
    }

    fn encode(
        &mut self,
        program: &Program,
        frames: usize,
        spectrogram: &[f32],
        result: &mut [f32],
    ) -> Result<Duration, DeviceError> {
        let rows = program.rows_for(frames.div_ceil(2));
        let too_long =
            || DeviceError::Unavailable(Fallback::new(Obstacle::Model, "the window is too long for the NPU"));
        let rows = rows.ok_or_else(too_long)?;
        let mut entry = match self.lists.remove(&rows) {
            Some(entry) => entry,
            None => self.rows(program, rows, frames)?,
        };
        if entry.frames != frames {
            for (name, buffer) in &mut entry.instructions {
                write_words(&self.words(name, rows, frames)?, buffer.bytes_mut());
                buffer.to_device().map_err(|error| DeviceError::Lost(Fallback::new(Obstacle::Failed, error)))?;
            }
            entry.frames = frames;
        }
        let busy = self.execute(&mut entry.list, spectrogram, result).map_err(|error| match error.trouble {
            Trouble::Refused => DeviceError::Lost(checks::explain(&error)),
            Trouble::Failed | Trouble::TimedOut => DeviceError::Lost(Fallback::new(Obstacle::Failed, error)),
        })?;
        self.lists.insert(rows, entry);
        Ok(busy)
    }

    fn execute(&mut self, list: &mut List, spectrogram: &[f32], result: &mut [f32]) -> Result<Duration, xrt::Error> {
        let (input, output) = (size_of_val(spectrogram), size_of_val(result));
        let ours_in = if lies_well(spectrogram) {
            // SAFETY: the slice outlives this call, at the end of which the run has another buffer; the device only reads it.
            Some(unsafe { self.session.wrap(spectrogram.as_ptr().cast_mut().cast(), input, SPECTROGRAM) }?)
        } else {
            let bytes = self.spectrogram.bytes_mut();
            for (bytes, value) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(spectrogram) {
                *bytes = value.to_ne_bytes();
            }
            None
        };
        let ours_out = if lies_well(result) {
            // SAFETY: as above, and nothing else touches it while the list is executed, for it is borrowed.
            Some(unsafe { self.session.wrap(result.as_mut_ptr().cast(), output, RESULT) }?)
        } else {
            None
        };
        let (from, to) = (ours_in.as_ref().unwrap_or(&self.spectrogram), ours_out.as_ref().unwrap_or(&self.result));
        let [first, .., last] = list.runs_mut() else { unreachable!("BUG: a program has more than one step") };
        first.set_buffer(SPECTROGRAM, from)?;
        last.set_buffer(RESULT, to)?;
        from.to_device()?;
        // What the host's cache holds of the result must not be written back over it.
        to.to_device()?;
        let began = Instant::now();
        let executed = list.execute(TIMEOUT);
        let busy = began.elapsed();
        // The runs must not keep the caller's memory, whatever became of them.
        let [first, .., last] = list.runs_mut() else { unreachable!("BUG: a program has more than one step") };
        let restored = first.set_buffer(SPECTROGRAM, &self.spectrogram).and(last.set_buffer(RESULT, &self.result));
        executed?;
        restored?;
        to.from_device()?;
        if ours_out.is_none() {
            for (value, bytes) in result.iter_mut().zip(self.result.bytes().as_chunks::<4>().0) {
                *value = f32::from_ne_bytes(*bytes);
            }
        }
        Ok(busy)
    }
}

impl Device for XrtDevice {
    fn info(&self) -> DeviceInfo {
        DeviceInfo { name: "npu".to_owned(), detail: self.detail.clone(), threads: None }
    }

    fn open(&mut self, plan: &Plan) -> Result<(), DeviceError> {
        self.open = None;
        self.open = Some(self.try_open(plan)?);
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
        let closed = || DeviceError::Unavailable(Fallback::new(Obstacle::Failed, "the NPU is not open"));
        let open = self.open.as_mut().ok_or_else(closed)?;
        let outcome = open.encode(&plan.program, frames, spectrogram, result);
        if outcome.is_err() {
            self.open = None;
        }
        outcome
    }
}

/// Whether the device may read and write a slice where it lies: on a page of its own, in whole cache lines.
fn lies_well(values: &[f32]) -> bool {
    (values.as_ptr() as usize).is_multiple_of(PAGE_BYTES) && size_of_val(values).is_multiple_of(LINE_BYTES)
}

fn write_words(words: &[u32], out: &mut [u8]) {
    for (bytes, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
}

/// Opens the program in `folder` and checks that it is this one.
fn open_bundle(folder: Option<&Path>, program: &Program) -> Result<Bundle, BundleError> {
    let folder = folder.map(Path::to_owned).unwrap_or_else(|| PathBuf::from("/usr/lib/amanuensis/npu"));
    let bundle = Bundle::open(&folder)?;
    bundle.check(program)?;
    Ok(bundle)
}

/// The folder of an encoder's program: below the one that [`PROGRAM_VARIABLE`] names, the user's, or the package's.
pub(crate) fn installed_program(program: &Program) -> Option<PathBuf> {
    let name = program_name(&program.shape(), program.format());
    let candidates = program_folders().into_iter().map(|folder| folder.join(&name)).collect::<Vec<_>>();
    let there = candidates.iter().find(|folder| folder.is_dir()).cloned();
    there.or_else(|| candidates.into_iter().next())
}

/// Where programs may lie.
pub(crate) fn program_folders() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(named) = variable(PROGRAM_VARIABLE) {
        return vec![named];
    }
    let data = variable("XDG_DATA_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/share")));
    let user = data.map(|data| data.join("amanuensis/npu"));
    let program = std::env::current_exe().ok();
    let beside = program.and_then(|program| Some(program.parent()?.join("../lib/amanuensis/npu")));
    user.into_iter().chain(beside).chain([PathBuf::from("/usr/lib/amanuensis/npu")]).collect()
}
