//! `cargo xtask bench`: the figures, each from the bench that makes them.

mod app;
mod dictation;

use std::path::Path;
use std::process::Command;

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
    /// Other engines beside ours, which are installed from PyPI into an environment of their own in the cache.
    #[arg(long, conflicts_with = "pipeline")]
    peers: bool,
    /// The window: how long it takes to come, and what it costs while idle. Behind `--`, another program to measure, for example
    /// an AppImage.
    #[arg(long, conflicts_with_all = ["pipeline", "peers"])]
    app: bool,
    /// From a key to words in another program, 20 times, with speech without a pause at either end; and that silence and noise
    /// insert nothing. Behind `--`, another program to measure.
    #[arg(long, conflicts_with_all = ["pipeline", "peers", "app", "json"])]
    dictation: bool,
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
    } else if options.peers {
        peers(&tools, options)?;
    } else if options.app {
        app::run(&tools, options.arguments.first().map(Path::new), options.json)?;
    } else if options.dictation {
        dictation::run(&tools, options.arguments.first().map(Path::new))?;
    } else {
        stages(&tools, options)?;
    }
    Ok(true)
}

/// The engines that ours is compared with, in fixed versions, so that figures of different days can be compared.
const PEERS: &[&str] =
    &["numpy==2.4.6", "ctranslate2==4.8.5", "openvino==2026.4.1", "nncf==3.4.0", "pywhispercpp==1.5.1"];

fn peers(tools: &Tools, options: &Options) -> anyhow::Result<()> {
    let cache = workspace::cache()?;
    let venv = cache.join("peers/venv");
    let python = venv.join("bin/python");
    if !python.is_file() {
        process::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    }
    process::run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PEERS))?;
    let mut cargo = workspace::cargo();
    process::run(tools.equip(&mut cargo).args(["build", "--release", "--locked", "--package", "amanuensis-benches"]))?;
    let mut script = Command::new(&python);
    script.arg(workspace::root().join("benches/peers.py")).arg("--cache").arg(cache.join("bench"));
    script.arg("--measure").arg(workspace::Metadata::read()?.target_directory.join("release/measure"));
    if options.json {
        script.arg("--json");
    }
    process::run(script.args(&options.arguments))
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
