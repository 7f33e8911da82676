//! A context on the device with buffers, runs and lists of runs.

use std::ffi::{CString, c_void};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::abi::{Api, text};
use crate::{Error, Trouble, Xrt};

/// What a buffer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Instructions: memory of the device's own heap.
    Instructions,
    /// Data: memory of the host that the device reaches.
    Data,
}

/// A pointer into the shim, with what has to be called for it in the end and what has to outlive it.
#[derive(Debug)]
struct Handle {
    api: Arc<Api>,
    pointer: *mut c_void,
    free: unsafe extern "C" fn(*mut c_void),
    _outlives: Vec<Arc<Handle>>,
}

// SAFETY: XRT's objects may be used from any thread; that two threads use one at the same time is ruled out by `&mut`, or the
// functions that take `&` only read.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    fn new(
        api: &Arc<Api>,
        operation: &'static str,
        pointer: *mut c_void,
        free: unsafe extern "C" fn(*mut c_void),
        outlives: Vec<Arc<Self>>,
    ) -> Result<Arc<Self>, Error> {
        if pointer.is_null() {
            let (text, number) = api.last_error();
            return Err(Error { operation, trouble: Trouble::Refused, number, text });
        }
        Ok(Arc::new(Self { api: Arc::clone(api), pointer, free, _outlives: outlives }))
    }

    fn check(&self, operation: &'static str, code: i32) -> Result<(), Error> {
        let trouble = match code {
            0 => return Ok(()),
            2 => Trouble::Failed,
            3 => Trouble::TimedOut,
            _ => Trouble::Refused,
        };
        let (text, number) = self.api.last_error();
        Err(Error { operation, trouble, number, text })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the pointer came from the shim, is freed once, and what it needs is dropped after it.
        unsafe { (self.free)(self.pointer) }
    }
}

/// A context on one device, configured with one xclbin.
#[derive(Debug)]
pub struct Session {
    handle: Arc<Handle>,
}

impl Session {
    /// Opens device `index`, registers the xclbin and makes a context for it.
    ///
    /// # Errors
    /// [`Error`] with XRT's text.
    pub fn open(xrt: &Xrt, index: u32, xclbin: &Path, kernel: &str) -> Result<Self, Error> {
        let operation = "open the NPU";
        let refused = |text: &str| Error { operation, trouble: Trouble::Refused, number: 0, text: text.to_owned() };
        let path = CString::new(xclbin.as_os_str().as_encoded_bytes());
        let path = path.map_err(|_| refused("the xclbin's path has a zero in it"))?;
        let kernel = CString::new(kernel).map_err(|_| refused("the kernel's name has a zero in it"))?;
        let api = &xrt.api;
        // SAFETY: both texts end with a zero and outlive the call.
        let pointer = unsafe { (api.open)(index, path.as_ptr(), kernel.as_ptr()) };
        Ok(Self { handle: Handle::new(api, operation, pointer, api.close, Vec::new())? })
    }

    /// The device's name.
    pub fn name(&self) -> String {
        // SAFETY: the session is open; its name stays with it and ends with a zero.
        unsafe { text((self.handle.api.name)(self.handle.pointer)) }
    }

    /// Makes a buffer of the device's for one argument of the kernel.
    ///
    /// # Errors
    /// [`Error`] with XRT's text.
    pub fn buffer(&self, bytes: usize, kind: Kind, argument: u32) -> Result<Buffer, Error> {
        let api = &self.handle.api;
        let instructions = i32::from(kind == Kind::Instructions);
        // SAFETY: the session is open.
        let pointer = unsafe { (api.buffer)(self.handle.pointer, bytes as u64, instructions, argument) };
        let handle = Handle::new(api, "make a buffer", pointer, api.free, vec![Arc::clone(&self.handle)])?;
        Buffer::mapped(handle, bytes)
    }

    /// Makes a buffer of the caller's memory, which the device then reads and writes in place.
    ///
    /// # Errors
    /// [`Error`] with XRT's text: above all if `data` does not begin on a page.
    ///
    /// # Safety
    /// The memory stays valid until the buffer and every run that it was set for are gone, and is not otherwise
    /// touched while a list with such a run is executed.
    pub unsafe fn wrap(&self, data: *mut u8, bytes: usize, argument: u32) -> Result<Buffer, Error> {
        let api = &self.handle.api;
        // SAFETY: the session is open; the memory is the caller's promise.
        let pointer = unsafe { (api.wrap)(self.handle.pointer, data.cast(), bytes as u64, argument) };
        let handle = Handle::new(api, "use a buffer of ours", pointer, api.free, vec![Arc::clone(&self.handle)])?;
        Ok(Buffer { handle, data, bytes })
    }

    /// Makes a run of the kernel, without arguments.
    ///
    /// # Errors
    /// [`Error`] with XRT's text.
    pub fn run(&self) -> Result<Run, Error> {
        let api = &self.handle.api;
        // SAFETY: the session is open.
        let pointer = unsafe { (api.run)(self.handle.pointer) };
        let handle = Handle::new(api, "make a run", pointer, api.free_run, vec![Arc::clone(&self.handle)])?;
        Ok(Run { handle, buffers: Vec::new() })
    }

    /// Makes a list that executes `runs` one after the other.
    ///
    /// # Errors
    /// [`Error`] with XRT's text.
    pub fn list(&self, runs: Vec<Run>) -> Result<List, Error> {
        let api = &self.handle.api;
        // SAFETY: the session is open.
        let pointer = unsafe { (api.list)(self.handle.pointer) };
        let handle = Handle::new(api, "make a list of runs", pointer, api.free_list, vec![Arc::clone(&self.handle)])?;
        for run in &runs {
            // SAFETY: list and run are alive and of the same session.
            let code = unsafe { (api.add)(handle.pointer, run.handle.pointer) };
            handle.check("add a run to a list", code)?;
        }
        Ok(List { handle, runs })
    }
}

/// Memory that both the host and the device reach. Neither sees what the other wrote before the buffer is synchronised.
#[derive(Debug)]
pub struct Buffer {
    handle: Arc<Handle>,
    data: *mut u8,
    bytes: usize,
}

// SAFETY: the memory is reached through `&self` for reading and `&mut self` for writing only.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    fn mapped(handle: Arc<Handle>, bytes: usize) -> Result<Self, Error> {
        // SAFETY: the buffer is alive.
        let data = unsafe { (handle.api.map)(handle.pointer) };
        if data.is_null() {
            let (text, number) = handle.api.last_error();
            return Err(Error { operation: "map a buffer", trouble: Trouble::Refused, number, text });
        }
        Ok(Self { handle, data: data.cast(), bytes })
    }

    /// A part of the buffer as a buffer of its own, in the same memory.
    ///
    /// # Errors
    /// [`Error`] with XRT's text.
    pub fn part(&self, offset: usize, bytes: usize) -> Result<Part, Error> {
        let api = &self.handle.api;
        // SAFETY: the buffer is alive; XRT checks that the part lies within it.
        let pointer = unsafe { (api.part)(self.handle.pointer, offset as u64, bytes as u64) };
        let outlives = vec![Arc::clone(&self.handle)];
        Ok(Part { handle: Handle::new(api, "divide a buffer", pointer, api.free, outlives)? })
    }

    /// What the host sees. While a list is executed the device may write it: read it afterwards.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: mapped for so many bytes as long as the buffer lives.
        unsafe { std::slice::from_raw_parts(self.data, self.bytes) }
    }

    /// What the host sees, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` is the only way to write.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.bytes) }
    }

    /// Makes what the host wrote visible to the device.
    ///
    /// # Errors
    /// [`Error`] with XRT's text.
    pub fn to_device(&self) -> Result<(), Error> {
        self.sync("send a buffer to the NPU", 1)
    }

    /// Makes what the device wrote visible to the host.
    ///
    /// # Errors
    /// [`Error`] with XRT's text.
    pub fn from_device(&self) -> Result<(), Error> {
        self.sync("fetch a buffer from the NPU", 0)
    }

    fn sync(&self, operation: &'static str, to_device: i32) -> Result<(), Error> {
        // SAFETY: the buffer is alive and so long.
        let code = unsafe { (self.handle.api.sync)(self.handle.pointer, to_device, 0, self.bytes as u64) };
        self.handle.check(operation, code)
    }
}

/// A part of a [`Buffer`], to be set as an argument.
#[derive(Debug)]
pub struct Part {
    handle: Arc<Handle>,
}

/// What can be set as an argument: a whole buffer or a part of one.
pub trait Argument {
    #[doc(hidden)]
    fn shared(&self) -> Shared;
}

/// A buffer as a run keeps it.
#[derive(Debug)]
pub struct Shared(Arc<Handle>);

impl Argument for Buffer {
    fn shared(&self) -> Shared {
        Shared(Arc::clone(&self.handle))
    }
}

impl Argument for Part {
    fn shared(&self) -> Shared {
        Shared(Arc::clone(&self.handle))
    }
}

/// One run of the kernel, which can be executed again and again. Keeps the buffers that are its arguments.
#[derive(Debug)]
pub struct Run {
    handle: Arc<Handle>,
    buffers: Vec<(u32, Shared)>,
}

impl Run {
    /// Sets a 32-bit argument.
    ///
    /// # Errors
    /// [`Error`] with XRT's text.
    pub fn set_u32(&mut self, argument: u32, value: u32) -> Result<(), Error> {
        // SAFETY: the run is alive.
        let code = unsafe { (self.handle.api.set_u32)(self.handle.pointer, argument, value) };
        self.handle.check("set an argument", code)
    }

    /// Sets a 64-bit argument.
    ///
    /// # Errors
    /// [`Error`] with XRT's text.
    pub fn set_u64(&mut self, argument: u32, value: u64) -> Result<(), Error> {
        // SAFETY: the run is alive.
        let code = unsafe { (self.handle.api.set_u64)(self.handle.pointer, argument, value) };
        self.handle.check("set an argument", code)
    }

    /// Sets a buffer as an argument, in place of the one that was.
    ///
    /// # Errors
    /// [`Error`] with XRT's text.
    pub fn set_buffer(&mut self, argument: u32, buffer: &impl Argument) -> Result<(), Error> {
        let shared = buffer.shared();
        // SAFETY: run and buffer are alive, and the run keeps the buffer.
        let code = unsafe { (self.handle.api.set_buffer)(self.handle.pointer, argument, shared.0.pointer) };
        self.handle.check("set an argument", code)?;
        self.buffers.retain(|(index, _)| *index != argument);
        self.buffers.push((argument, shared));
        Ok(())
    }
}

/// Runs that are sent to the device together and executed one after the other.
#[derive(Debug)]
pub struct List {
    // Dropped before the runs, which are dropped before their buffers.
    handle: Arc<Handle>,
    runs: Vec<Run>,
}

impl List {
    /// The runs, whose arguments can be changed between executions.
    pub fn runs_mut(&mut self) -> &mut [Run] {
        &mut self.runs
    }

    /// Executes every run and waits for the last.
    ///
    /// # Errors
    /// [`Error`] with XRT's text. After [`Trouble::Failed`] and [`Trouble::TimedOut`] the session is lost: drop all of it.
    pub fn execute(&mut self, timeout: Duration) -> Result<(), Error> {
        let milliseconds = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        // SAFETY: the list is alive, and so are its runs and their buffers.
        let code = unsafe { (self.handle.api.execute)(self.handle.pointer, milliseconds) };
        self.handle.check("run the encoder", code)
    }
}
