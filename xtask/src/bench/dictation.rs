//! `cargo xtask bench --dictation`: from a key to words in another program, in the real app.
//!
//! The tests of the window do it, with the app optimised and as often as the figures want.

use std::path::Path;

use anyhow::Context as _;

use crate::setup::Tools;
use crate::{process, workspace};

/// The tests that print figures.
const FIGURES: &str = "package(amanuensis-app) and test(/^figures::/)";
/// How often each dictation is repeated.
const RUNS: &str = "20";

/// Measures `program`, or else the app, which is built for it.
///
/// *Errors*: it cannot be built, or a word was lost.
pub fn run(tools: &Tools, program: Option<&Path>) -> anyhow::Result<()> {
    let program = match program {
        // The tests run in another folder.
        Some(program) => program.canonicalize().with_context(|| format!("there is no {}", program.display()))?,
        None => super::app::build(tools)?,
    };
    process::heading(&program.display().to_string());
    let mut cargo = workspace::cargo();
    let run = ["nextest", "run", "--locked", "--workspace", "--test", "desktop", "--no-capture"];
    tools.equip(&mut cargo).args(run).args(["--retries", "0", "--filterset", FIGURES]);
    process::run(cargo.env("AMANUENSIS_RUNS", RUNS).env("AMANUENSIS_TEST_APP", program))
}
