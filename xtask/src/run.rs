//! `cargo xtask run`: from a clone to the open window.

use crate::process;
use crate::setup::{self, Consent, Purpose};
use crate::workspace;

/// Builds the app and opens it, with `arguments` handed on to it. Returns when its window is closed.
///
/// *Errors*: something could not be installed or built, or the app ended with an error.
pub fn run(consent: Consent, arguments: &[String]) -> anyhow::Result<bool> {
    let tools = setup::prepare(Purpose::Run, consent)?;
    setup::build_ui(&tools)?;
    process::heading("app");
    let mut cargo = workspace::cargo();
    // Optimised, for a debug build listens slower than one speaks; without link-time optimisation, which doubles the wait.
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    cargo.args(["run", "--locked", "--release", "--package", "amanuensis-app", "--"]).args(arguments);
    process::run(&mut cargo)?;
    Ok(true)
}
