//! `cargo xtask soak`: the app on a display of its own, with everything at once and faults by chance, for as long as one likes.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;

use crate::setup::{self, Consent, Purpose};
use crate::{process, workspace};

/// The test that does it; a minute of it runs with all the others.
const TEST: &str = "soak::nothing_is_lost_whatever_happens";

/// How long, and how it goes.
#[derive(Args)]
pub struct Options {
    /// Minutes.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// The number with which chance begins [default: another one each time; it is printed].
    #[arg(long)]
    seed: Option<u64>,
    /// A file for the report, beside the output.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Install what is missing without asking.
    #[arg(long)]
    yes: bool,
}

/// Builds the app and soaks it. Returns whether nothing was lost, doubled or left over.
///
/// *Errors*: the machine could not be prepared, or the app could not be built.
pub fn run(options: &Options) -> anyhow::Result<bool> {
    ensure!(options.minutes > 0.0, "a soak takes time: give it some minutes");
    let tools = setup::prepare(Purpose::Test, Consent::from_flag(options.yes))?;
    setup::build_ui(&tools)?;
    process::heading(&format!("soak: {} min", options.minutes));
    // The whole workspace, so that nothing is built with other features than by the tests.
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--locked", "--workspace", "--test", "desktop", "--", "--exact", TEST, "--nocapture"]);
    cargo.env("AMANUENSIS_SOAK_MINUTES", options.minutes.to_string());
    if let Some(seed) = options.seed {
        cargo.env("AMANUENSIS_SOAK_SEED", seed.to_string());
    }
    if let Some(report) = &options.report {
        cargo.env("AMANUENSIS_SOAK_REPORT", std::path::absolute(report)?);
    }
    let mut skipped = false;
    let well = process::watch(tools.equip(&mut cargo), |line| skipped |= line.starts_with("skipped:"))?;
    ensure!(!skipped, "something that the soak needs is missing; `cargo xtask setup` installs it");
    Ok(well)
}
