//! The C library's functions in whose place this library stands.
//!
//! On x86-64 and AArch64 an argument that C passes as one of `...` lies where an ordinary one would, so these are ordinary functions. Each
//! does by a direct system call what is none of the device's, and calls no function that it stands in for.

use std::ffi::{CStr, c_char, c_int, c_long, c_ulong, c_void};
use std::io::Write;
use std::os::fd::{FromRawFd, IntoRawFd};

use crate::device::device;
use crate::faults::Kind;
use crate::paths::rewritten;

const NODES: &str = "/dev/accel/accel";

fn fail(error: i32) -> c_int {
    // SAFETY: errno is this thread's own.
    unsafe { *libc::__errno_location() = error };
    -1
}

/// Whether a descriptor is the device's.
fn is_device(descriptor: c_int) -> bool {
    if descriptor < 0 {
        return false;
    }
    let mut path = *b"/proc/self/fd/0000000000\0";
    let digits = format!("{descriptor}\0");
    path[14..14 + digits.len()].copy_from_slice(digits.as_bytes());
    let mut target = [0_u8; 256];
    // SAFETY: the path ends with a zero, and no more bytes are written than there are.
    let length = unsafe {
        libc::syscall(libc::SYS_readlinkat, libc::AT_FDCWD, path.as_ptr(), target.as_mut_ptr(), target.len())
    };
    usize::try_from(length)
        .is_ok_and(|length| target[..length].windows(NODES.len()).any(|part| part == NODES.as_bytes()))
}

/// Stands in for `ioctl`.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioctl(descriptor: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    let kind = (request >> 8 & 0xff) as u8;
    if kind != b'd' || !is_device(descriptor) {
        // SAFETY: passed on from the caller.
        return unsafe { libc::syscall(libc::SYS_ioctl, descriptor, request, argument) } as c_int;
    }
    let number = (request & 0xff) as u32;
    let mut device = device();
    // SAFETY: what the caller gives with this request is the structure of the driver's header.
    let outcome = unsafe { device.call(number, argument as u64) };
    if let Err(error) = outcome {
        device.say(format_args!("call {number:#x} fails with error {error}"));
        return fail(error);
    }
    0
}

/// Stands in for `mmap`.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap(
    address: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: c_long,
) -> *mut c_void {
    let map = |flags: c_int, descriptor: c_int, offset: c_long| {
        // SAFETY: passed on from the caller; a buffer's memory is as long as it was made.
        unsafe { libc::syscall(libc::SYS_mmap, address, length, protection, flags, descriptor, offset) as *mut c_void }
    };
    if !is_device(descriptor) {
        return map(flags, descriptor, offset);
    }
    let mut device = device();
    let refused = |error| {
        fail(error);
        libc::MAP_FAILED
    };
    let (handle, memory, heap) = match device.buffers.mapping(offset) {
        Ok(mapping) => mapping,
        Err(error) => return refused(error),
    };
    if heap && device.has_fault(Kind::Memlock) {
        return refused(libc::EAGAIN);
    }
    // The heap is locked on a real device; here it need not be, and where the limit is low it could not.
    let mapped = map(flags & !libc::MAP_LOCKED, memory, 0);
    if mapped != libc::MAP_FAILED {
        device.buffers.mapped(handle, mapped as usize);
    }
    mapped
}

/// Stands in for `mmap64`.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap64(
    address: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: c_long,
) -> *mut c_void {
    // SAFETY: passed on from the caller.
    unsafe { mmap(address, length, protection, flags, descriptor, offset) }
}

/// What a path is to the device.
enum Path {
    Node,
    Fdinfo,
    Other,
}

/// # Safety
/// `path` is null or a text that ends with a zero.
unsafe fn classify(path: *const c_char) -> Path {
    if path.is_null() {
        return Path::Other;
    }
    // SAFETY: passed on from the caller.
    let path = unsafe { CStr::from_ptr(path) }.to_bytes();
    if path.starts_with(NODES.as_bytes()) {
        return Path::Node;
    }
    let descriptor = path.strip_prefix(b"/proc/self/fdinfo/").and_then(|digits| std::str::from_utf8(digits).ok());
    match descriptor.and_then(|digits| digits.parse().ok()) {
        Some(descriptor) if is_device(descriptor) => Path::Fdinfo,
        _ => Path::Other,
    }
}

/// What the driver would write of a descriptor: how long it was busy.
fn fdinfo() -> c_int {
    let busy = device().busy_nanoseconds();
    let text = format!("drm-driver:\tamdxdna_accel_driver\ndrm-engine-amdxdna_accel_driver:\t{busy} ns\n");
    // SAFETY: the name is a text that ends with a zero; the descriptor is new and nobody else's.
    let mut file = unsafe {
        let descriptor = libc::memfd_create(c"fdinfo".as_ptr(), libc::MFD_CLOEXEC);
        if descriptor < 0 {
            return -1;
        }
        std::fs::File::from_raw_fd(descriptor)
    };
    if file.write_all(text.as_bytes()).is_err() {
        return fail(libc::EIO);
    }
    // SAFETY: the descriptor is the file's; writing has moved its place to the end.
    unsafe { libc::lseek(std::os::fd::AsRawFd::as_raw_fd(&file), 0, libc::SEEK_SET) };
    file.into_raw_fd()
}

/// Stands in for `openat`.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat(folder: c_int, path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: passed on from the caller.
    match unsafe { classify(path) } {
        Path::Node if device().has_fault(Kind::Permission) => fail(libc::EACCES),
        Path::Fdinfo => fdinfo(),
        _ => {
            // SAFETY: passed on from the caller.
            let rewritten = unsafe { rewritten(path) };
            let path = rewritten.as_ref().map_or(path, |path| path.as_ptr());
            // SAFETY: passed on from the caller, or our own text that ends with a zero.
            unsafe { libc::syscall(libc::SYS_openat, folder, path, flags, mode) as c_int }
        }
    }
}

/// Stands in for `open`.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { openat(libc::AT_FDCWD, path, flags, mode) }
}

/// Stands in for `open64`.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { openat(libc::AT_FDCWD, path, flags, mode) }
}

/// Stands in for `openat64`.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(folder: c_int, path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { openat(folder, path, flags, mode) }
}

/// Stands in for `__open_2`, which `open` becomes where the compiler sees that no mode is given.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __open_2(path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { openat(libc::AT_FDCWD, path, flags, 0) }
}

/// Stands in for `__open64_2`, which `open` becomes where the compiler sees that no mode is given.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __open64_2(path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { openat(libc::AT_FDCWD, path, flags, 0) }
}

/// Stands in for `__openat_2`, which `openat` becomes where the compiler sees that no mode is given.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __openat_2(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { openat(folder, path, flags, 0) }
}

/// Stands in for `__openat64_2`, which `openat` becomes where the compiler sees that no mode is given.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __openat64_2(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { openat(folder, path, flags, 0) }
}
