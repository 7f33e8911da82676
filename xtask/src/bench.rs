//! `cargo xtask bench`: the figures, each from the bench that makes them.

use clap::Args;

use crate::process;
use crate::setup::{self, Consent, Purpose, Tools};
use crate::workspace;

/// What is measured.
#[derive(Args)]
pub struct Options {
    /// The engine: stages that overlap against stages that do not, with a simulated machine and on the CPU. Without it, the
    /// stages by themselves: random weights of several sizes, one thread and two, beside what the silicon allows.
    #[arg(long)]
    pipeline: bool,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
    /// Install what is missing without asking.
    #[arg(long)]
    pub yes: bool,
    /// What follows `--` goes to the bench.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Prepares the machine and runs what is asked for. Returns whether all of it ran.
///
/// *Errors*: the machine could not be prepared, or a bench failed.
pub fn run(options: &Options) -> anyhow::Result<bool> {
    let tools = setup::prepare(Purpose::Test, Consent::from_flag(options.yes))?;
    if options.pipeline {
        bench(&tools, "amanuensis-engine", "pipeline", options)?;
    } else {
        stages(&tools, options)?;
    }
    Ok(true)
}

fn stages(tools: &Tools, options: &Options) -> anyhow::Result<()> {
    let mut cargo = workspace::cargo();
    let run = ["run", "--release", "--locked", "--quiet", "--package", "amanuensis-benches", "--", "--cache"];
    tools.equip(&mut cargo).args(run).arg(workspace::cache()?.join("bench"));
    if options.json {
        cargo.arg("--json");
    }
    process::run(cargo.args(&options.arguments))
}

fn bench(tools: &Tools, package: &str, name: &str, options: &Options) -> anyhow::Result<()> {
    let mut cargo = workspace::cargo();
    tools.equip(&mut cargo).args(["bench", "--locked", "--quiet", "--package", package, "--bench", name, "--"]);
    if options.json {
        cargo.arg("--json");
    }
    process::run(cargo.args(&options.arguments))
}
