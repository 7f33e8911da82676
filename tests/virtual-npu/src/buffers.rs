//! Buffer objects and the device's heap.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::abi::{DEVICE, DEVICE_HEAP, INVALID_ADDRESS};

/// Where the device sees its heap.
const HEAP_ADDRESS: u64 = 0x400_0000;
/// Buffers on the heap begin at multiples of this.
const HEAP_ALIGN: u64 = 1 << 15;
/// Bits of a mapping's offset below the handle.
const OFFSET_BITS: u32 = 32;
const PAGE: u64 = 4096;

/// One buffer object.
#[derive(Debug)]
pub(crate) struct Buffer {
    kind: u32,
    bytes: u64,
    /// As the device sees it.
    device_address: u64,
    /// As the process sees it, once it is mapped.
    host: Option<usize>,
    /// What a mapping is made of; none for the caller's own memory and for the heap's parts.
    memory: Option<OwnedFd>,
}

/// All buffer objects of the process.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    live: HashMap<u32, Buffer>,
    last: u32,
    heap_host: Option<usize>,
    heap_bytes: u64,
}

/// Memory that a command names: the process's address, and the bytes from there to the buffer's end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) address: usize,
    pub(crate) bytes: usize,
}

impl Buffers {
    /// Makes a buffer of new memory.
    pub(crate) fn create(&mut self, kind: u32, bytes: u64) -> Result<u32, i32> {
        if bytes == 0 || bytes > 1 << 34 {
            return Err(libc::EINVAL);
        }
        let bytes = bytes.next_multiple_of(PAGE);
        let buffer = if kind == DEVICE {
            let device_address = self.heap_place(bytes).ok_or(libc::ENOMEM)?;
            let host = self.heap_host.map(|host| host + (device_address - HEAP_ADDRESS) as usize);
            Buffer { kind, bytes, device_address, host, memory: None }
        } else {
            // SAFETY: the name is a text that ends with a zero; the descriptor is new and nobody else's.
            let memory = unsafe {
                let descriptor = libc::memfd_create(c"virtual-npu".as_ptr(), libc::MFD_CLOEXEC);
                if descriptor < 0 || libc::ftruncate(descriptor, bytes.cast_signed()) != 0 {
                    return Err(libc::ENOMEM);
                }
                OwnedFd::from_raw_fd(descriptor)
            };
            let device_address = if kind == DEVICE_HEAP { HEAP_ADDRESS } else { INVALID_ADDRESS };
            if kind == DEVICE_HEAP {
                self.heap_bytes = bytes;
            }
            Buffer { kind, bytes, device_address, host: None, memory: Some(memory) }
        };
        Ok(self.insert(buffer))
    }

    /// Makes a buffer of the caller's memory.
    pub(crate) fn adopt(&mut self, kind: u32, address: u64, bytes: u64) -> Result<u32, i32> {
        if !address.is_multiple_of(PAGE) || bytes == 0 {
            return Err(libc::EINVAL);
        }
        let host = Some(address as usize);
        Ok(self.insert(Buffer { kind, bytes, device_address: INVALID_ADDRESS, host, memory: None }))
    }

    fn insert(&mut self, buffer: Buffer) -> u32 {
        self.last += 1;
        self.live.insert(self.last, buffer);
        self.last
    }

    /// The first gap on the heap that is large enough.
    fn heap_place(&self, bytes: u64) -> Option<u64> {
        let mut taken: Vec<_> = self
            .live
            .values()
            .filter(|buffer| buffer.kind == DEVICE)
            .map(|buffer| (buffer.device_address, buffer.bytes))
            .collect();
        taken.sort_unstable();
        let mut place = HEAP_ADDRESS;
        for (start, length) in taken {
            if start >= place + bytes {
                break;
            }
            place = (start + length).next_multiple_of(HEAP_ALIGN);
        }
        (place + bytes <= HEAP_ADDRESS + self.heap_bytes).then_some(place)
    }

    /// Forgets a buffer.
    pub(crate) fn close(&mut self, handle: u32) -> Result<(), i32> {
        let closed = self.live.remove(&handle).ok_or(libc::EINVAL)?;
        if closed.kind == DEVICE_HEAP {
            (self.heap_host, self.heap_bytes) = (None, 0);
        }
        Ok(())
    }

    /// Offset for a mapping, and the device's address.
    pub(crate) fn info(&self, handle: u32) -> Result<(u64, u64), i32> {
        let buffer = self.live.get(&handle).ok_or(libc::EINVAL)?;
        let offset = if buffer.memory.is_some() { u64::from(handle) << OFFSET_BITS } else { INVALID_ADDRESS };
        Ok((offset, buffer.device_address))
    }

    /// The descriptor that a mapping at this offset is made of, and whether it is the heap's.
    pub(crate) fn mapping(&self, offset: i64) -> Result<(u32, i32, bool), i32> {
        let handle = u32::try_from(offset >> OFFSET_BITS).map_err(|_| libc::EINVAL)?;
        let buffer = self.live.get(&handle).ok_or(libc::EINVAL)?;
        let memory = buffer.memory.as_ref().ok_or(libc::EINVAL)?;
        Ok((handle, memory.as_raw_fd(), buffer.kind == DEVICE_HEAP))
    }

    /// Notes where a buffer was mapped.
    pub(crate) fn mapped(&mut self, handle: u32, address: usize) {
        let Some(buffer) = self.live.get_mut(&handle) else { return };
        buffer.host = Some(address);
        if buffer.kind == DEVICE_HEAP {
            self.heap_host = Some(address);
        }
    }

    /// The whole of a buffer, as the process sees it.
    pub(crate) fn whole(&self, handle: u32) -> Option<Span> {
        let buffer = self.live.get(&handle)?;
        Some(Span { address: buffer.host?, bytes: usize::try_from(buffer.bytes).ok()? })
    }

    /// What lies at a device's address: from there to the end of its buffer.
    pub(crate) fn at(&self, address: u64) -> Option<Span> {
        self.live.values().filter(|buffer| buffer.kind != DEVICE_HEAP).find_map(|buffer| {
            let host = buffer.host?;
            // Where the device has no address of its own it uses the process's.
            let start = if buffer.device_address == INVALID_ADDRESS { host as u64 } else { buffer.device_address };
            let within = address.checked_sub(start).filter(|within| *within < buffer.bytes)?;
            let bytes = usize::try_from(buffer.bytes - within).ok()?;
            Some(Span { address: host + usize::try_from(within).ok()?, bytes })
        })
    }

    /// Bytes of all buffers, of those that are the driver's own, and of the heap's parts.
    pub(crate) fn usage(&self) -> (u64, u64, u64) {
        let sum = |kinds: &dyn Fn(u32) -> bool| {
            self.live.values().filter(|buffer| kinds(buffer.kind)).map(|buffer| buffer.bytes).sum::<u64>()
        };
        (sum(&|kind| kind != DEVICE), sum(&|kind| kind != DEVICE && kind != 1), sum(&|kind| kind == DEVICE))
    }
}
