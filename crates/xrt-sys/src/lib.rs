//! AMD's XRT, as far as the NPU needs it, loaded at run time.
//!
//! XRT's C interface cannot drive an NPU, so a shim in C++ (`shim/shim.cpp`) gives its C++ interface a C one. Nothing links to either: a
//! machine without XRT loads nothing and is told so. This crate knows buffers, runs and lists of runs, and nothing of models.
//!
//! *Order*: everything made from a [`Session`] keeps it open; a run keeps the buffers that were set as its arguments.

mod abi;
mod session;

use std::path::PathBuf;
use std::sync::Arc;

pub use session::{Argument, Buffer, Kind, List, Part, Run, Session, Shared};

/// The shim's file name.
pub const SHIM_FILE: &str = "libamanuensis_xrt.so";
/// Names the shim's file, before all places where it is looked for.
pub const SHIM_VARIABLE: &str = "AMANUENSIS_XRT_SHIM";
/// The oldest XRT that was tried.
pub const OLDEST_VERSION: (u32, u32) = (2, 25);

/// Why XRT cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The shim is nowhere.
    #[error("the NPU's shim, {SHIM_FILE}, is not installed with Amanuensis; install a package that has it")]
    NoShim,
    /// The shim is there, but XRT is not, or is too old for it.
    #[error(
        "AMD's XRT 2.25 or newer is not installed ({reason}); install the packages libxrt2 and libxrt-npu2 of your distribution \
         or AMD's own"
    )]
    NoXrt {
        /// What the dynamic linker said.
        reason: String,
    },
    /// The shim belongs to another version of Amanuensis.
    #[error("the NPU's shim {} speaks version {found} of its interface, not {expected}; install Amanuensis again", path.display())]
    OtherShim {
        /// The shim.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// XRT is older than what was tried.
    #[error("XRT {}.{} is installed, which is older than 2.25; install a newer one", found.0, found.1)]
    OldXrt {
        /// Its version.
        found: (u32, u32),
    },
}

/// What went wrong in XRT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// XRT did not do what it was asked for; the session is as before.
    Refused,
    /// A command ended abnormally: the session is lost.
    Failed,
    /// A command did not end in time: the session is lost.
    TimedOut,
}

/// XRT's own error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("XRT could not {operation}: {text}")]
pub struct Error {
    /// What was asked for.
    pub operation: &'static str,
    /// What kind of trouble it is.
    pub trouble: Trouble,
    /// The system's error number, or the state of the command, or 0.
    pub number: i32,
    /// XRT's text.
    pub text: String,
}

/// XRT with the shim, loaded. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Xrt {
    api: Arc<abi::Api>,
    path: PathBuf,
}

impl Xrt {
    /// Loads the shim, and by that XRT.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load() -> Result<Self, LoadError> {
        let path = shim().ok_or(LoadError::NoShim)?;
        let api = abi::Api::load(&path).map_err(|reason| LoadError::NoXrt { reason })?;
        let found = api.abi_version();
        if found != abi::VERSION {
            return Err(LoadError::OtherShim { path, found, expected: abi::VERSION });
        }
        let xrt = Self { api: Arc::new(api), path };
        let found = xrt.version();
        if found < OLDEST_VERSION { Err(LoadError::OldXrt { found }) } else { Ok(xrt) }
    }

    /// XRT's version: major, minor.
    pub fn version(&self) -> (u32, u32) {
        let code = self.api.xrt_version();
        (code >> 16, code & 0xffff)
    }

    /// The shim that was loaded.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }
}

/// Where the shim is: named by [`SHIM_VARIABLE`], beside the program, in the package's folder, or where it was built.
fn shim() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(SHIM_VARIABLE) {
        return Some(PathBuf::from(named)).filter(|path| path.is_file());
    }
    let program = std::env::current_exe().ok();
    let beside = program
        .as_deref()
        .and_then(|program| program.parent())
        .into_iter()
        .flat_map(|folder| [folder.join(SHIM_FILE), folder.join("../lib/amanuensis").join(SHIM_FILE)]);
    let built = option_env!("AMANUENSIS_XRT_SHIM_BUILT").map(PathBuf::from);
    beside.chain(built).find(|path| path.is_file())
}
