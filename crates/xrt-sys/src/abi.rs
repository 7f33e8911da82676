//! The shim's functions. `shim/shim.cpp` is the other half: change both, and the version.

use std::ffi::{CStr, c_char, c_void};
use std::path::Path;

use libloading::Library;

use crate::LoadError;

/// Version of the interface.
pub(crate) const VERSION: u32 = 1;

/// Declares the table of functions and fills it from a library.
macro_rules! functions {
    ($($name:ident: $symbol:literal, fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The shim's functions, and the library that keeps them there.
        #[derive(Debug)]
        pub(crate) struct Api {
            $(pub(crate) $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            _library: Library,
        }

        impl Api {
            /// Loads the shim.
            ///
            /// # Errors
            /// The dynamic linker's text, or another version of the interface.
            pub(crate) fn load(path: &Path) -> Result<Self, LoadError> {
                // SAFETY: the shim and XRT are libraries that do nothing of note when they are loaded.
                let library = unsafe { Library::new(path) }.map_err(|error| root_cause(&error))?;
                // SAFETY: this function has had its signature since the first version.
                let abi = unsafe { library.get::<unsafe extern "C" fn() -> u32>(b"amanuensis_xrt_abi\0") };
                // SAFETY: it takes nothing and touches nothing.
                let found = unsafe { abi.map_err(|error| root_cause(&error))?() };
                if found != VERSION {
                    return Err(LoadError::OtherShim { path: path.to_owned(), found, expected: VERSION });
                }
                $(
                    // SAFETY: the symbol has this signature in every shim of this version.
                    let $name = *unsafe { library.get(concat!("amanuensis_xrt_", $symbol, "\0").as_bytes()) }
                        .map_err(|error| root_cause(&error))?;
                )*
                Ok(Self { $($name,)* _library: library })
            }
        }
    };
}

functions! {
    version: "version", fn() -> u32;
    error: "error", fn() -> *const c_char;
    error_number: "error_number", fn() -> i32;
    open: "open", fn(u32, *const c_char, *const c_char) -> *mut c_void;
    name: "name", fn(*mut c_void) -> *const c_char;
    close: "close", fn(*mut c_void);
    buffer: "buffer", fn(*mut c_void, u64, i32, u32) -> *mut c_void;
    wrap: "wrap", fn(*mut c_void, *mut c_void, u64, u32) -> *mut c_void;
    part: "part", fn(*mut c_void, u64, u64) -> *mut c_void;
    map: "map", fn(*mut c_void) -> *mut c_void;
    sync: "sync", fn(*mut c_void, i32, u64, u64) -> i32;
    free: "free", fn(*mut c_void);
    run: "run", fn(*mut c_void) -> *mut c_void;
    set_u32: "set_u32", fn(*mut c_void, u32, u32) -> i32;
    set_u64: "set_u64", fn(*mut c_void, u32, u64) -> i32;
    set_buffer: "set_buffer", fn(*mut c_void, u32, *mut c_void) -> i32;
    free_run: "free_run", fn(*mut c_void);
    list: "list", fn(*mut c_void) -> *mut c_void;
    add: "add", fn(*mut c_void, *mut c_void) -> i32;
    execute: "execute", fn(*mut c_void, u32) -> i32;
    free_list: "free_list", fn(*mut c_void);
}

impl Api {
    pub(crate) fn xrt_version(&self) -> u32 {
        // SAFETY: it takes nothing and touches nothing.
        unsafe { (self.version)() }
    }

    /// XRT's text for what failed last on this thread, and its number.
    pub(crate) fn last_error(&self) -> (String, i32) {
        // SAFETY: the text is the thread's own and stays until this thread calls the shim again; it ends with a zero.
        unsafe { (text((self.error)()), (self.error_number)()) }
    }
}

/// Copies a text that ends with a zero.
///
/// # Safety
/// `pointer` is null or points to such a text.
pub(crate) unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: passed on from the caller.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().trim().to_owned()
}

fn root_cause(error: &libloading::Error) -> LoadError {
    LoadError::NoXrt { reason: std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string) }
}
