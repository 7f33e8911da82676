//! `cargo xtask tidy`: what the compiler does not check.

mod evidence;
mod files;
mod layers;
mod licences;
mod unsafety;

use crate::process;
use crate::setup::{self, Consent, Purpose, Tools};
use crate::workspace::{self, Metadata};

/// Prepares the machine and runs every check. Returns whether all passed.
///
/// *Errors*: the machine could not be prepared or a check could not be run.
pub fn run(consent: Consent) -> anyhow::Result<bool> {
    let tools = setup::prepare(Purpose::Test, consent)?;
    // The app's code embeds the page, so that clippy needs it.
    setup::build_ui(&tools)?;
    process::heading("tidy");
    check(&tools)
}

/// Runs every check on a prepared machine, prints each complaint and returns whether there was none.
///
/// *Errors*: a check could not be run.
pub fn check(tools: &Tools) -> anyhow::Result<bool> {
    let metadata = Metadata::read()?;
    let mut complaints = layers::check(&metadata);
    complaints.extend(licences::check(&metadata)?);
    complaints.extend(files::check(&metadata)?);
    complaints.extend(unsafety::check()?);
    complaints.extend(evidence::check()?);
    for complaint in &complaints {
        eprintln!("tidy: {complaint}");
    }
    let mut fmt = workspace::cargo();
    let formatted = process::run(fmt.args(["fmt", "--all", "--check"]));
    let mut clippy = workspace::cargo();
    tools.equip(&mut clippy).args(["clippy", "--workspace", "--all-targets", "--locked", "--quiet"]);
    let linted = process::run(clippy.args(["--", "-D", "warnings"]));
    for error in [&formatted, &linted].into_iter().filter_map(|result| result.as_ref().err()) {
        eprintln!("tidy: {error:#}");
    }
    Ok(complaints.is_empty() && formatted.is_ok() && linted.is_ok())
}
