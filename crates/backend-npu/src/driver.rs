//! Questions to the kernel's driver, `amdxdna`. Each wakes the device: ask while it works, or when a person wants to know.
//!
//! *Source*: `drm/amdxdna_accel.h` of Linux 7.3.

use std::fs::File;
use std::os::fd::AsRawFd;

use crate::checks;

const GET_INFO: u32 = 7;
const GET_ARRAY: u32 = 10;
const COMMAND_BASE: u32 = 0x40;

pub(crate) const QUERY_CLOCKS: u32 = 3;
pub(crate) const QUERY_SENSORS: u32 = 4;
pub(crate) const QUERY_FIRMWARE: u32 = 8;
pub(crate) const QUERY_POWER_MODE: u32 = 9;
const HW_CONTEXT_ALL: u32 = 0;
const BO_USAGE: u32 = 6;
/// More sensors and contexts than any device has.
const MOST: usize = 64;

#[repr(C)]
struct GetInfo {
    parameter: u32,
    bytes: u32,
    buffer: u64,
}

#[repr(C)]
struct GetArray {
    parameter: u32,
    element_bytes: u32,
    elements: u32,
    padding: u32,
    buffer: u64,
}

/// A sensor's reading: `input` times ten to the power of `unit_exponent`, in `units`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sensor {
    pub(crate) label: [u8; 64],
    pub(crate) input: u32,
    _max: u32,
    _average: u32,
    _highest: u32,
    _status: [u8; 64],
    _units: [u8; 16],
    pub(crate) unit_exponent: i8,
    pub(crate) kind: u8,
    _padding: [u8; 6],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clock {
    _name: [u8; 16],
    pub(crate) megahertz: u32,
    _padding: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clocks {
    pub(crate) controller: Clock,
    pub(crate) array: Clock,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Firmware {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) patch: u32,
    pub(crate) build: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PowerMode {
    pub(crate) mode: u8,
    _padding: [u8; 7],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Context {
    _context_id: u32,
    _start_column: u32,
    pub(crate) columns: u32,
    _hardware_id: u32,
    pub(crate) pid: i64,
    pub(crate) submissions: u64,
    pub(crate) completions: u64,
    _migrations: u64,
    _preemptions: u64,
    pub(crate) errors: u64,
    _priority: u64,
    _heap_usage: u64,
    _suspensions: u64,
    _rest: [u32; 14],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BufferUsage {
    pub(crate) pid: i64,
    pub(crate) total: u64,
    pub(crate) internal: u64,
    pub(crate) heap: u64,
}

/// Plain numbers in the layout that the driver writes: every pattern of bits is a value.
///
/// # Safety
/// The type is `repr(C)`, has no padding that it does not name, and is valid for all bits.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: arrays of integers and integers.
unsafe impl Plain for Sensor {}
// SAFETY: as above.
unsafe impl Plain for Clocks {}
// SAFETY: as above.
unsafe impl Plain for Firmware {}
// SAFETY: as above.
unsafe impl Plain for PowerMode {}
// SAFETY: as above.
unsafe impl Plain for Context {}
// SAFETY: as above.
unsafe impl Plain for BufferUsage {}

/// The driver, opened for questions.
#[derive(Debug)]
pub(crate) struct Driver {
    node: File,
}

impl Driver {
    pub(crate) fn open(index: u32) -> Result<Self, String> {
        Ok(Self { node: checks::open_node(index).map_err(|error| error.text)? })
    }

    /// Asks for one structure.
    pub(crate) fn ask<T: Plain>(&self, parameter: u32) -> Result<T, String> {
        let answer = self.ask_many::<T>(parameter, 1)?;
        answer.first().copied().ok_or_else(|| "the driver answers with nothing".to_owned())
    }

    /// Asks for the sensors.
    pub(crate) fn sensors(&self) -> Result<Vec<Sensor>, String> {
        self.ask_many(QUERY_SENSORS, MOST)
    }

    fn ask_many<T: Plain>(&self, parameter: u32, most: usize) -> Result<Vec<T>, String> {
        let mut answer: Vec<T> = Vec::with_capacity(most);
        let bytes = u32::try_from(most * size_of::<T>()).unwrap_or(u32::MAX);
        let mut question = GetInfo { parameter, bytes, buffer: answer.as_mut_ptr() as u64 };
        self.call(GET_INFO, &mut question)?;
        let count = (question.bytes as usize / size_of::<T>()).min(most);
        // SAFETY: the driver has written so many bytes, of any value, into the room that was made.
        unsafe { answer.set_len(count) };
        Ok(answer)
    }

    /// Asks for all contexts on the device, of any process.
    pub(crate) fn contexts(&self) -> Result<Vec<Context>, String> {
        self.ask_array(HW_CONTEXT_ALL, [Context::default(); MOST])
    }

    /// Asks for what this process holds in buffers.
    pub(crate) fn buffers(&self) -> Result<BufferUsage, String> {
        let question = BufferUsage { pid: i64::from(std::process::id()), ..BufferUsage::default() };
        let answer = self.ask_array(BO_USAGE, [question])?;
        answer.first().copied().ok_or_else(|| "the driver answers with nothing".to_owned())
    }

    fn ask_array<T: Plain, const N: usize>(&self, parameter: u32, mut room: [T; N]) -> Result<Vec<T>, String> {
        let mut question = GetArray {
            parameter,
            element_bytes: u32::try_from(size_of::<T>()).unwrap_or(u32::MAX),
            elements: u32::try_from(N).unwrap_or(u32::MAX),
            padding: 0,
            buffer: room.as_mut_ptr() as u64,
        };
        self.call(GET_ARRAY, &mut question)?;
        Ok(room[..(question.elements as usize).min(N)].to_vec())
    }

    fn call<T>(&self, number: u32, argument: &mut T) -> Result<(), String> {
        // _IOWR('d', number, T): direction, size, type, number.
        let size = u32::try_from(size_of::<T>()).unwrap_or(u32::MAX);
        let request = 3 << 30 | size << 16 | u32::from(b'd') << 8 | (COMMAND_BASE + number);
        // SAFETY: the structure has the layout of the driver's header, and the buffer in it the length that it states.
        let code = unsafe { libc::ioctl(self.node.as_raw_fd(), libc::c_ulong::from(request), argument) };
        if code == 0 {
            return Ok(());
        }
        let error = std::io::Error::last_os_error();
        Err(match error.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ENOTTY) => "this driver does not know the question".to_owned(),
            _ => format!("the driver answers: {error}"),
        })
    }
}

const _: () = assert!(size_of::<Sensor>() == 168 && size_of::<Clocks>() == 48 && size_of::<Context>() == 144);
