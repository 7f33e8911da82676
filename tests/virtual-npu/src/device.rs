//! The device: answers of the driver, and commands carried out.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use amanuensis_kernels::ThreadPool;
use amanuensis_npu_kernels::execute;

use crate::abi;
use crate::abi::{Header, STATE_ABORT, STATE_COMPLETED, STATE_ERROR};
use crate::buffers::{Buffers, Span};
use crate::faults::{Fault, Kind};

const COLUMNS: u32 = 8;
/// Command of the firmware to run instructions.
const RUN_INSTRUCTIONS: u64 = 3;
/// Instructions of a dispatch have fewer words.
const MOST_WORDS: usize = 1 << 16;

/// All that the driver knows of this process.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) buffers: Buffers,
    pub(crate) fault: Option<Fault>,
    contexts: Vec<ContextState>,
    last_context: u32,
    commands: u64,
    sequence: u64,
    /// Commands that will never end.
    hanging: Vec<u64>,
    busy_nanoseconds: u64,
    executor: Option<execute::Executor>,
    log: bool,
}

#[derive(Debug)]
struct ContextState {
    handle: u32,
    lost: bool,
    submissions: u64,
    completions: u64,
    errors: u64,
}

/// The device, for one call.
pub(crate) fn device() -> MutexGuard<'static, Device> {
    static DEVICE: OnceLock<Mutex<Device>> = OnceLock::new();
    let device = DEVICE.get_or_init(|| {
        Mutex::new(Device {
            buffers: Buffers::default(),
            fault: Fault::from_environment(),
            contexts: Vec::new(),
            last_context: 0,
            commands: 0,
            sequence: 0,
            hanging: Vec::new(),
            busy_nanoseconds: 0,
            executor: None,
            log: std::env::var_os("AMANUENSIS_VIRTUAL_NPU_LOG").is_some(),
        })
    });
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a structure of the caller's.
///
/// # Safety
/// `address` is one of a `T` that the caller lent for the call.
unsafe fn borrow<'a, T>(address: u64) -> Result<&'a mut T, i32> {
    // SAFETY: passed on from the caller.
    unsafe { (address as *mut T).as_mut() }.ok_or(libc::EFAULT)
}

/// Gives an answer into the caller's buffer, and says how long it is.
fn answer<T>(question: &mut abi::GetInfo, value: &[T]) -> Result<(), i32> {
    let room = question.bytes as usize / size_of::<T>();
    if question.buffer == 0 {
        return Err(libc::EFAULT);
    }
    // SAFETY: the caller states how many bytes there are, and no more than those are written.
    unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), question.buffer as *mut T, room.min(value.len())) };
    question.bytes = u32::try_from(size_of_val(value)).map_err(|_| libc::EINVAL)?;
    Ok(())
}

fn text<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    for (byte, from) in bytes.iter_mut().zip(text.bytes()) {
        *byte = from;
    }
    bytes
}

impl Device {
    pub(crate) fn say(&self, what: std::fmt::Arguments<'_>) {
        if self.log {
            eprintln!("virtual NPU: {what}");
        }
    }

    pub(crate) fn has_fault(&self, kind: Kind) -> bool {
        self.fault.is_some_and(|fault| fault.kind == kind)
    }

    pub(crate) fn busy_nanoseconds(&self) -> u64 {
        self.busy_nanoseconds
    }

    /// Answers one call of the driver's.
    ///
    /// # Safety
    /// `argument` is the address of the structure that belongs to `number`.
    pub(crate) unsafe fn call(&mut self, number: u32, argument: u64) -> Result<(), i32> {
        // SAFETY, here and below: each number's structure is the one of the driver's header, by the caller's word.
        match number {
            abi::CREATE_CONTEXT => {
                if self.has_fault(Kind::Firmware) {
                    return Err(libc::EOPNOTSUPP);
                }
                // SAFETY: as above.
                let create = unsafe { borrow::<abi::CreateContext>(argument) }?;
                self.last_context += 1;
                let handle = self.last_context;
                let state = ContextState { handle, lost: false, submissions: 0, completions: 0, errors: 0 };
                self.contexts.push(state);
                (create.handle, create.syncobj, create.doorbell) = (handle, 0, u32::MAX);
                self.say(format_args!("context {handle} with {} tiles", create.tiles));
                Ok(())
            }
            abi::DESTROY_CONTEXT => {
                // SAFETY: as above.
                let handle = unsafe { borrow::<abi::Handle>(argument) }?.handle;
                self.contexts.retain(|context| context.handle != handle);
                Ok(())
            }
            abi::CONFIGURE_CONTEXT | abi::SET_STATE => Ok(()),
            abi::CREATE_BUFFER => {
                // SAFETY: as above.
                let create = unsafe { borrow::<abi::CreateBuffer>(argument) }?;
                create.handle = if create.table == 0 {
                    self.buffers.create(create.kind, create.bytes)?
                } else {
                    // SAFETY: a table that is named is there.
                    let table = unsafe { borrow::<abi::AddressTable>(create.table) }?;
                    if table.entries != 1 {
                        return Err(libc::EINVAL);
                    }
                    self.buffers.adopt(create.kind, table.address, table.bytes)?
                };
                let whose = if create.table == 0 { "new memory" } else { "the caller's memory" };
                self.say(format_args!(
                    "buffer {} of {whose}, kind {}, {} bytes",
                    create.handle, create.kind, create.bytes
                ));
                Ok(())
            }
            abi::BUFFER_INFO => {
                // SAFETY: as above.
                let info = unsafe { borrow::<abi::BufferInfo>(argument) }?;
                (info.map_offset, info.device_address) = self.buffers.info(info.handle)?;
                info.address = abi::INVALID_ADDRESS;
                Ok(())
            }
            abi::SYNC_BUFFER => {
                // SAFETY: as above.
                let sync = unsafe { borrow::<abi::SyncBuffer>(argument) }?;
                self.buffers.info(sync.handle).map(|_| ())
            }
            abi::GEM_CLOSE => {
                // SAFETY: as above.
                let handle = unsafe { borrow::<abi::Handle>(argument) }?.handle;
                self.buffers.close(handle)
            }
            // SAFETY: as above.
            abi::EXECUTE => self.execute(unsafe { borrow::<abi::Execute>(argument) }?),
            abi::WAIT => {
                // SAFETY: as above.
                let wait = unsafe { borrow::<abi::Wait>(argument) }?;
                if self.hanging.contains(&wait.sequence) { Err(libc::ETIME) } else { Ok(()) }
            }
            // SAFETY: as above.
            abi::GET_INFO => self.info(unsafe { borrow::<abi::GetInfo>(argument) }?),
            // SAFETY: as above.
            abi::GET_ARRAY => self.array(unsafe { borrow::<abi::GetArray>(argument) }?),
            _ => Err(libc::EOPNOTSUPP),
        }
    }

    fn info(&mut self, question: &mut abi::GetInfo) -> Result<(), i32> {
        match question.parameter {
            1 => {
                let tile = |counts| abi::TileMetadata { counts, padding: [0; 3] };
                let metadata = abi::AieMetadata {
                    column_bytes: 1 << 25,
                    columns: COLUMNS as u16,
                    rows: 6,
                    version: [1, 1],
                    core: tile([4, 2, 2, 16, 37]),
                    memory: tile([1, 1, 6, 64, 0]),
                    shim: tile([1, 0, 2, 16, 0]),
                };
                answer(question, &[metadata])
            }
            2 => answer(question, &[[2_u32, 0]]),
            3 => {
                let clock = |name, megahertz| abi::Clock { name: text(name), megahertz, padding: 0 };
                answer(question, &[clock("MP-NPU Clock", 1267), clock("H Clock", 1800)])
            }
            4 => {
                let sensor = |label: &str, value, units: &str, unit_exponent, kind| abi::Sensor {
                    label: text(label),
                    values: [value, 0, 0, 0],
                    status: [0; 64],
                    units: text(units),
                    unit_exponent,
                    kind,
                    padding: [0; 6],
                };
                let mut sensors = vec![sensor("Total Power", 1234, "W", -3, 0)];
                let columns =
                    (0..COLUMNS).map(|column| sensor(&format!("Column {column} Utilization"), 10 * column, "%", 0, 1));
                sensors.extend(columns);
                answer(question, &sensors)
            }
            8 => answer(question, &[[1_u32, 1, 2, 65]]),
            9 | 11 | 13 => answer(question, &[0_u64]),
            12 => answer(question, &[[1800_u64, 58, 16, 58, self.contexts.len() as u64]]),
            _ => Err(libc::EOPNOTSUPP),
        }
    }

    fn array(&mut self, question: &mut abi::GetArray) -> Result<(), i32> {
        let pid = i64::from(std::process::id());
        let (_, _, heap) = self.buffers.usage();
        match question.parameter {
            0 => {
                let entries: Vec<_> = self
                    .contexts
                    .iter()
                    .map(|context| abi::ContextEntry {
                        id: context.handle,
                        start_column: 0,
                        columns: COLUMNS,
                        hardware_id: context.handle,
                        pid,
                        submissions: context.submissions,
                        completions: context.completions,
                        migrations: 0,
                        preemptions: 0,
                        errors: context.errors,
                        priority: 0x200,
                        heap_usage: heap,
                        suspensions: 0,
                        rest: [0; 14],
                    })
                    .collect();
                give(question, &entries)
            }
            6 => {
                let (total, internal, heap) = self.buffers.usage();
                give(question, &[abi::BufferUsage { pid, total, internal, heap }])
            }
            _ => Err(libc::EOPNOTSUPP),
        }
    }

    fn execute(&mut self, execute: &mut abi::Execute) -> Result<(), i32> {
        self.commands += 1;
        self.sequence += 1;
        execute.sequence = self.sequence;
        let hit = self.fault.filter(|fault| fault.hits(self.commands)).map(|fault| fault.kind);
        self.say(format_args!("command {} on context {}, fault {hit:?}", self.commands, execute.context));
        let index = self.contexts.iter().position(|context| context.handle == execute.context);
        let index = index.ok_or(libc::EINVAL)?;
        let context = &mut self.contexts[index];
        context.submissions += 1;
        if hit == Some(Kind::LostContext) {
            context.lost = true;
        }
        if context.lost {
            context.errors += 1;
            return Err(libc::ENOENT);
        }
        let handle = u32::try_from(execute.commands).map_err(|_| libc::EINVAL)?;
        let packet = self.buffers.whole(handle).ok_or(libc::EINVAL)?;
        match hit {
            Some(Kind::Eio) => {
                self.contexts[index].errors += 1;
                return Err(libc::EIO);
            }
            Some(Kind::Timeout) => {
                self.hanging.push(self.sequence);
                return Ok(());
            }
            _ => {}
        }
        let began = Instant::now();
        let state = match hit {
            Some(Kind::Abort) => STATE_ABORT,
            Some(Kind::Zeros) => STATE_COMPLETED,
            _ => self.packet(packet),
        };
        self.busy_nanoseconds += u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        finish(packet, state);
        let context = &mut self.contexts[index];
        if state == STATE_COMPLETED {
            context.completions += 1;
        } else {
            context.errors += 1;
        }
        Ok(())
    }

    /// Carries out a packet, or the packets that it lists, and returns the state in which it ends.
    fn packet(&mut self, packet: Span) -> u32 {
        let words = words_of(packet);
        let header = Header(words[0]);
        if header.operation() != abi::OPERATION_CHAIN {
            return self.start(packet);
        }
        let count = words[1] as usize;
        // Command count, submit index, error index, three reserved words, then a handle of 64 bits for each command.
        let Some(handles) = words.get(7..7 + 2 * count) else { return STATE_ERROR };
        let handles: Vec<u32> = handles.iter().step_by(2).copied().collect();
        for (index, handle) in handles.into_iter().enumerate() {
            let Some(part) = self.buffers.whole(handle) else { return STATE_ERROR };
            let state = self.start(part);
            finish(part, state);
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            set_word(packet, 2, index);
            if state != STATE_COMPLETED {
                set_word(packet, 3, index);
                return state;
            }
        }
        STATE_COMPLETED
    }

    /// Carries out a packet that starts the kernel.
    fn start(&mut self, packet: Span) -> u32 {
        match self.try_start(packet) {
            Ok(()) => STATE_COMPLETED,
            Err(reason) => {
                self.say(format_args!("the command fails: {reason}"));
                STATE_ERROR
            }
        }
    }

    fn try_start(&mut self, packet: Span) -> Result<(), String> {
        let words = words_of(packet);
        let header = Header(words[0]);
        if header.operation() != abi::OPERATION_START {
            return Err(format!("operation {} is unknown", header.operation()));
        }
        // Header, mask of compute units and more such masks, then the kernel's arguments as the xclbin places them.
        let first = 2 + header.extra_masks();
        let arguments = words.get(first..(1 + header.count()).min(words.len())).filter(|words| words.len() >= 13);
        let arguments = arguments.ok_or("the packet is too short")?;
        let address = |word: usize| u64::from(arguments[word]) | u64::from(arguments[word + 1]) << 32;
        if address(0) != RUN_INSTRUCTIONS {
            return Err(format!("opcode {} is unknown", address(0)));
        }
        let span =
            |word: usize| self.buffers.at(address(word)).ok_or_else(|| format!("no buffer is at {:#x}", address(word)));
        let (instructions, count) = (span(2)?, arguments[4] as usize);
        if count > MOST_WORDS || count * 4 > instructions.bytes {
            return Err("there are fewer instructions than the packet says".to_owned());
        }
        let (weights, workspace, spectrogram, result) = (span(5)?, span(7)?, span(9)?, span(11)?);
        let overlap = |a: Span, b: Span| a.address < b.address + b.bytes && b.address < a.address + a.bytes;
        if overlap(workspace, result)
            || [workspace, result].iter().any(|a| overlap(*a, weights) || overlap(*a, spectrogram))
        {
            return Err("what is written overlaps with what is read".to_owned());
        }
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let executor = self.executor.get_or_insert_with(|| execute::Executor::new(ThreadPool::new(threads)));
        // SAFETY: the spans are of live buffers, do not overlap where they are written, and the process waits meanwhile.
        unsafe {
            let read = |span: Span| std::slice::from_raw_parts(span.address as *const u8, span.bytes);
            let write = |span: Span| std::slice::from_raw_parts_mut(span.address as *mut u8, span.bytes);
            let mut buffers = execute::Buffers {
                weights: read(weights),
                workspace: write(workspace),
                spectrogram: read(spectrogram),
                result: write(result),
            };
            let words = std::slice::from_raw_parts(instructions.address as *const u32, count);
            executor.run(words, &mut buffers).map_err(|fault| fault.to_string())
        }
    }
}

/// The words of a packet.
fn words_of(packet: Span) -> Vec<u32> {
    // SAFETY: the packet is a live, mapped buffer, which begins on a page.
    unsafe { std::slice::from_raw_parts(packet.address as *const u32, packet.bytes / 4) }.to_vec()
}

fn set_word(packet: Span, index: usize, value: u32) {
    if index < packet.bytes / 4 {
        // SAFETY: within the packet, which is a live, mapped buffer.
        unsafe { (packet.address as *mut u32).add(index).write_volatile(value) }
    }
}

fn finish(packet: Span, state: u32) {
    // SAFETY: the packet is a live, mapped buffer of at least a word.
    let header = Header(unsafe { (packet.address as *const u32).read_volatile() });
    set_word(packet, 0, header.with_state(state));
}

/// Gives an array, each element as long as the caller has room for.
fn give<T>(question: &mut abi::GetArray, values: &[T]) -> Result<(), i32> {
    if question.buffer == 0 {
        return Err(libc::EFAULT);
    }
    let (stride, size) = (question.element_bytes as usize, size_of::<T>());
    let count = values.len().min(question.elements as usize);
    for (index, value) in values[..count].iter().enumerate() {
        // SAFETY: the caller states how many elements of how many bytes there are, and no more than those are written.
        unsafe {
            let to = (question.buffer as *mut u8).add(index * stride);
            std::ptr::copy_nonoverlapping(std::ptr::from_ref(value).cast(), to, size.min(stride));
        }
    }
    question.element_bytes = u32::try_from(size.min(stride)).map_err(|_| libc::EINVAL)?;
    question.elements = u32::try_from(count).map_err(|_| libc::EINVAL)?;
    Ok(())
}
