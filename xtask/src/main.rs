//! Every developer task: run, test, bench, package, tidy.

use std::process::Command;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs every test.
    Test {
        /// Install what is missing without asking.
        #[arg(long)]
        yes: bool,
    },
}

fn main() -> anyhow::Result<()> {
    let Task::Test { .. } = Arguments::parse().task;
    let status = Command::new("cargo").args(["test", "--workspace"]).status()?;
    anyhow::ensure!(status.success(), "tests failed");
    Ok(())
}
