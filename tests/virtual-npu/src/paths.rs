//! Rewriting of paths, for systems that grant no private mounts: what is the device's lies below another root.

use std::ffi::{CStr, CString, OsString, c_char, c_int, c_long, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

/// What lies below the other root. Of the PCI bus all does, so that no other device is seen.
const REWRITTEN: [&str; 6] = [
    "/dev/accel",
    "/sys/bus/pci",
    "/sys/devices/pci0000:00/0000:c5:00.1",
    "/sys/module/amdxdna",
    "/sys/class/accel",
    "/sys/class/hwmon",
];

/// The other root, if there is one.
fn root() -> Option<&'static [u8]> {
    static ROOT: OnceLock<Option<OsString>> = OnceLock::new();
    ROOT.get_or_init(|| std::env::var_os("AMANUENSIS_VIRTUAL_NPU_ROOT")).as_deref().map(OsStrExt::as_bytes)
}

/// The path below the other root, if there is one and the path is to be rewritten.
///
/// # Safety
/// `path` is null or a text that ends with a zero.
pub(crate) unsafe fn rewritten(path: *const c_char) -> Option<CString> {
    let root = root()?;
    if path.is_null() {
        return None;
    }
    // SAFETY: passed on from the caller.
    rewrite(root, unsafe { CStr::from_ptr(path) }.to_bytes())
}

fn rewrite(root: &[u8], path: &[u8]) -> Option<CString> {
    let ours = REWRITTEN.iter().any(|prefix| {
        path.strip_prefix(prefix.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    });
    ours.then(|| CString::new([root, path].concat()).ok()).flatten()
}

/// Defines functions that take the place of the C library's of the same names, and call those with another path. In brackets
/// stands what comes before the path.
macro_rules! forward {
    ($($name:ident([$($before:ident: $before_type:ty)?] $(, $after:ident: $after_type:ty)*) -> $result:ty;)*) => {$(
        #[doc = concat!("Stands in for `", stringify!($name), "`.")]
        ///
        /// # Safety
        /// As the C library's.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            $($before: $before_type,)? path: *const c_char $(, $after: $after_type)*
        ) -> $result {
            type Next = unsafe extern "C" fn($($before_type,)? *const c_char $(, $after_type)*) -> $result;
            static NEXT: OnceLock<Next> = OnceLock::new();
            let next = NEXT.get_or_init(|| {
                let name = concat!(stringify!($name), "\0");
                // SAFETY: the name ends with a zero, and the next function of this name is the C library's, of this type. This
                // function is called by that name only, so that it is there.
                unsafe { std::mem::transmute::<*mut c_void, Next>(libc::dlsym(libc::RTLD_NEXT, name.as_ptr().cast())) }
            });
            // SAFETY: passed on from the caller.
            let rewritten = unsafe { rewritten(path) };
            let path = rewritten.as_ref().map_or(path, |path| path.as_ptr());
            // SAFETY: passed on from the caller, or our own text that ends with a zero.
            unsafe { next($($before,)? path $(, $after)*) }
        }
    )*};
}

forward! {
    fopen([], mode: *const c_char) -> *mut c_void;
    fopen64([], mode: *const c_char) -> *mut c_void;
    opendir([]) -> *mut c_void;
    stat([], buffer: *mut c_void) -> c_int;
    stat64([], buffer: *mut c_void) -> c_int;
    lstat([], buffer: *mut c_void) -> c_int;
    lstat64([], buffer: *mut c_void) -> c_int;
    fstatat([folder: c_int], buffer: *mut c_void, flags: c_int) -> c_int;
    fstatat64([folder: c_int], buffer: *mut c_void, flags: c_int) -> c_int;
    statx([folder: c_int], flags: c_int, mask: c_uint, buffer: *mut c_void) -> c_int;
    access([], mode: c_int) -> c_int;
    faccessat([folder: c_int], mode: c_int, flags: c_int) -> c_int;
    readlink([], buffer: *mut c_char, length: usize) -> c_long;
}

/// Stands in for `realpath`: without links, and without the other root, for XRT looks at how such a path begins.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realpath(path: *const c_char, buffer: *mut c_char) -> *mut c_char {
    type Next = unsafe extern "C" fn(*const c_char, *mut c_char) -> *mut c_char;
    static NEXT: OnceLock<Next> = OnceLock::new();
    let next = NEXT.get_or_init(|| {
        // SAFETY: the next function of this name is the C library's, of this type, and it is there.
        unsafe { std::mem::transmute::<*mut c_void, Next>(libc::dlsym(libc::RTLD_NEXT, c"realpath".as_ptr())) }
    });
    // SAFETY: passed on from the caller.
    let rewritten = unsafe { rewritten(path) };
    let path = rewritten.as_ref().map_or(path, |path| path.as_ptr());
    // SAFETY: passed on from the caller, or our own text that ends with a zero.
    let result = unsafe { next(path, buffer) };
    let Some(root) = root().filter(|_| !result.is_null() && rewritten.is_some()) else { return result };
    // SAFETY: the result is a text that ends with a zero, in memory that is the caller's to write; what stays is shorter.
    unsafe {
        let length = CStr::from_ptr(result).to_bytes().len();
        if CStr::from_ptr(result).to_bytes().starts_with(root) {
            std::ptr::copy(result.add(root.len()), result, length + 1 - root.len());
        }
    }
    result
}

/// Stands in for `__realpath_chk`, which `realpath` becomes where the compiler knows the buffer's length.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __realpath_chk(path: *const c_char, buffer: *mut c_char, _length: usize) -> *mut c_char {
    // SAFETY: passed on from the caller; a buffer that is given has room for the longest path, as `realpath` asks.
    unsafe { realpath(path, buffer) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_the_devices_is_rewritten() {
        let rewritten =
            |path: &str| rewrite(b"/tmp/view", path.as_bytes()).map(|path| path.into_string().expect("text"));
        assert_eq!(rewritten("/dev/accel/accel0").as_deref(), Some("/tmp/view/dev/accel/accel0"));
        assert_eq!(rewritten("/sys/bus/pci").as_deref(), Some("/tmp/view/sys/bus/pci"));
        for path in ["/dev/null", "/sys/devices/system/cpu", "/sys/bus/pcispam", "/tmp/view/dev/accel/accel0", ""] {
            assert_eq!(rewritten(path), None, "{path}");
        }
    }
}
