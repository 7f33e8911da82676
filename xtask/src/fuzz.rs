//! `cargo xtask fuzz`: hostile bytes for everything that reads bytes, for a while; and what it came to.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::Args;

use crate::{process, workspace};

/// The version of cargo-fuzz that is installed where there is none.
const CARGO_FUZZ: &str = "cargo-fuzz@0.13.1";
/// What an input may take, by the clock, on a machine that may stand still for a while: a case beyond it is a finding.
const MOST_SECONDS_A_CASE: u32 = 120;
const MOST_MIB: u32 = 2048;
/// Largest input that is tried: what is longer is slow and finds little more.
const MOST_BYTES: u32 = 16 << 10;

/// What is fuzzed, and for how long.
#[derive(Args)]
pub struct Options {
    /// Minutes for each target.
    #[arg(long, default_value_t = 15.0)]
    minutes: f64,
    /// Targets [default: all].
    targets: Vec<String>,
}

/// How a target went.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    executions: u64,
    /// Edges of the program that were reached.
    edges: u64,
    crashed: bool,
}

/// Fuzzes the targets, one after the other, from the corpora in `fuzz/seeds` on. Returns whether none of them crashed.
///
/// *Errors*: a nightly compiler or cargo-fuzz is missing and cannot be installed, or a target cannot be built.
pub fn run(options: &Options) -> anyhow::Result<bool> {
    install()?;
    let folder = workspace::root().join("fuzz");
    let known = process::output(cargo_fuzz().arg("list"))?;
    let known: Vec<&str> = known.lines().collect();
    if let Some(stranger) = options.targets.iter().find(|target| !known.contains(&target.as_str())) {
        bail!("there is no fuzz target `{stranger}`; there are {}", known.join(", "));
    }
    let targets = known
        .into_iter()
        .filter(|name| options.targets.is_empty() || options.targets.iter().any(|target| target == name));
    let mut well = true;
    let mut table = format!("{:<20}{:>14}{:>10}  outcome\n", "target", "executions", "edges");
    for target in targets {
        process::heading(&format!("fuzz: {target}, {} min", options.minutes));
        let outcome = fuzz(&folder, target, options.minutes)?;
        well &= !outcome.crashed;
        let word = if outcome.crashed { "CRASHED" } else { "no crash" };
        table += &format!("{target:<20}{:>14}{:>10}  {word}\n", outcome.executions, outcome.edges);
    }
    println!("\n{table}");
    if !well {
        println!(
            "The inputs that crashed lie in fuzz/artifacts; `cargo +nightly fuzz run TARGET FILE` runs one again."
        );
    }
    Ok(well)
}

fn install() -> anyhow::Result<()> {
    let nightly = Command::new("rustup").args(["run", "nightly", "rustc", "--version"]).output();
    if !nightly.is_ok_and(|output| output.status.success()) {
        bail!("fuzzing needs a nightly compiler; run `rustup toolchain install nightly`");
    }
    if cargo_fuzz().arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    process::run(workspace::cargo().args(["install", "--locked", CARGO_FUZZ]))
}

fn cargo_fuzz() -> Command {
    // The cargo that runs us pins its own compiler by variables; rustup's proxy takes the one that is asked for.
    let mut command = Command::new("cargo");
    command
        .current_dir(workspace::root())
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .args(["+nightly", "fuzz"]);
    command
}

fn fuzz(folder: &Path, target: &str, minutes: f64) -> anyhow::Result<Outcome> {
    let (corpus, seeds) = (folder.join("corpus").join(target), folder.join("seeds").join(target));
    std::fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
    let mut command = cargo_fuzz();
    // New inputs go to the first folder; the second is in the repository, and only read.
    command.args(["run", target]).arg(&corpus);
    if seeds.is_dir() {
        command.arg(&seeds);
    }
    command.arg("--");
    command.arg(format!("-max_total_time={}", (minutes * 60.0).round()));
    command.args([
        format!("-timeout={MOST_SECONDS_A_CASE}"),
        format!("-rss_limit_mb={MOST_MIB}"),
        format!("-max_len={MOST_BYTES}"),
        "-print_final_stats=1".to_owned(),
    ]);
    let mut child = command.stderr(Stdio::piped()).spawn().context("cannot start `cargo fuzz`")?;
    let stderr = child.stderr.take().expect("BUG: the line above asked for a pipe");
    let mut outcome = Outcome::default();
    for line in BufReader::new(stderr).lines() {
        let line = line.context("cannot read what the fuzzer says")?;
        if !line.starts_with('#') {
            eprintln!("{line}");
        }
        outcome.read(&line);
    }
    let status = child.wait()?;
    if outcome.executions == 0 && !status.success() {
        bail!("the fuzz target `{target}` could not be built or started");
    }
    outcome.crashed = !status.success();
    Ok(outcome)
}

impl Outcome {
    /// Takes what a line of libFuzzer's says.
    fn read(&mut self, line: &str) {
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            self.executions = count.trim().parse().unwrap_or(self.executions);
        }
        let Some((number, rest)) = line.strip_prefix('#').and_then(|rest| rest.split_once(char::is_whitespace)) else {
            return;
        };
        // A crash prints no statistics: the last progress says nearly as much.
        self.executions = self.executions.max(number.parse().unwrap_or(0));
        let edges = rest.split_once("cov: ").and_then(|(_, rest)| rest.split_whitespace().next());
        self.edges = edges.and_then(|edges| edges.parse().ok()).unwrap_or(self.edges);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_fuzzer_says_is_understood() {
        let mut outcome = Outcome::default();
        for line in [
            "INFO: Running with entropic power schedule (0xFF, 100).",
            "#2\tINITED cov: 40 ft: 41 corp: 1/1b exec/s: 0 rss: 60Mb",
            "#4096\tpulse  cov: 512 ft: 900 corp: 60/1Kb lim: 40 exec/s: 2048 rss: 80Mb",
            "#5000\tDONE   cov: 515 ft: 910 corp: 61/1Kb lim: 40 exec/s: 2000 rss: 80Mb",
            "stat::number_of_executed_units: 5000",
        ] {
            outcome.read(line);
        }
        assert_eq!(outcome, Outcome { executions: 5000, edges: 515, crashed: false });
    }
}
