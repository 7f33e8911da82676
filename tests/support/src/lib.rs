//! What tests of the whole system share: a voice, a microphone that is not there, and what was understood.
//!
//! A test that gets `None` from here has already had its `skipped: reason` printed and returns.

mod gate;
pub mod keyring;
mod microphone;
pub mod portal;
mod program;
mod random;
mod sway;
mod texts;
mod wav;
mod witness;
mod words;

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempPath;

pub use gate::Gate;
pub use microphone::{Playing, VirtualMicrophone};
pub use program::Program;
pub use random::Random;
pub use sway::Sway;
pub use texts::{MIXED, contents, long_text};
pub use wav::{trim, wav};
pub use witness::{Field, Witness};
pub use words::{assert_understood, heard};

/// Says `text`, in the voice that the demo model knows best, into a WAV file (22,050 Hz, mono), which is deleted with the answer. `None` where there is no espeak-ng.
///
/// # Panics
/// espeak-ng is there but does not speak.
pub fn speak(text: &str) -> Option<TempPath> {
    if !found("espeak-ng") {
        return None;
    }
    let wav = tempfile::Builder::new().suffix(".wav").tempfile().expect("a temporary file").into_temp_path();
    let mut espeak = Command::new("espeak-ng");
    run(espeak.args(["-v", "en", "-s", "140", "-w"]).arg(&*wav).arg(text));
    Some(wav)
}

/// Whether a program is installed; prints why the test is skipped where it is not.
pub fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| Path::new(&folder).join(program).is_file());
    if !is_there {
        println!("skipped: {program} is not installed");
    }
    is_there
}

/// Runs a command that has to succeed, and returns what it printed.
fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
