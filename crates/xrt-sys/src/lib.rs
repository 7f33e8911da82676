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
        Self::load_from(shim().ok_or(LoadError::NoShim)?)
    }

    fn load_from(path: PathBuf) -> Result<Self, LoadError> {
        let api = abi::Api::load(&path)?;
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// Builds a library of this C source, or says why the test is skipped.
    fn library(folder: &Path, source: &str) -> Option<PathBuf> {
        let (from, to) = (folder.join("shim.c"), folder.join(SHIM_FILE));
        std::fs::write(&from, source).expect("written");
        let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&to).arg(from).status();
        if built.is_ok_and(|status| status.success()) {
            return Some(to);
        }
        println!("skipped: there is no C compiler");
        None
    }

    #[test]
    fn a_shim_of_another_version_is_refused_before_anything_is_called() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = "unsigned amanuensis_xrt_abi(void) { return 99; }";
        let Some(path) = library(folder.path(), source) else { return };
        let error = Xrt::load_from(path.clone()).expect_err("another version");
        assert_eq!(error, LoadError::OtherShim { path, found: 99, expected: 1 });
    }

    #[test]
    fn what_is_no_shim_is_refused_with_the_linkers_text() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(SHIM_FILE);
        std::fs::write(&path, "not a library").expect("written");
        let said = Xrt::load_from(path).expect_err("no library").to_string();
        assert!(said.contains("libxrt2") && said.contains("too short"), "{said}");
    }
}
