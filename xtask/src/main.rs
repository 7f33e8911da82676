//! Every developer task: set-up, run, test, tidy, bench.
//!
//! `cargo xtask run` and `cargo xtask test` are all that a newcomer types; the rest is what they are made of.

mod bench;
mod fuzz;
mod load;
mod npu_model;
mod package;
mod process;
mod run;
mod screenshots;
mod setup;
mod soak;
mod test;
mod tidy;
mod virtual_npu;
mod workspace;
mod xrt;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::setup::{Consent, Purpose};

#[derive(Parser)]
#[command(about = "Developer tasks of Amanuensis", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs what is missing, builds the app and opens it.
    Run {
        /// Install what is missing without asking.
        #[arg(long)]
        yes: bool,
        /// What follows `--` goes to the app.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Installs what is missing, then runs `tidy` and every test.
    Test {
        /// Install what is missing without asking.
        #[arg(long)]
        yes: bool,
    },
    /// Checks what the compiler does not: layers, format, lints, licences, generated files, sizes, words, the code map.
    Tidy {
        /// Install what is missing without asking.
        #[arg(long)]
        yes: bool,
    },
    /// Measures, in an optimised build.
    Bench(bench::Options),
    /// Lets many clients at the server, in an optimised build: it must answer all and not grow.
    Load(load::Options),
    /// Makes an AppImage, a Debian package and an archive, in target/package.
    Package(package::Options),
    /// Feeds hostile bytes to everything that reads bytes. Needs a nightly compiler.
    Fuzz(fuzz::Options),
    /// Lets the app do everything at once while things go wrong by chance: no word may be lost.
    Soak(soak::Options),
    /// Prints how long the NPU is predicted to take for each Whisper size.
    NpuModel,
    /// Runs a command on a virtual NPU, beneath the real XRT.
    VirtualNpu {
        /// The command and its arguments.
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Unpacks AMD's XRT into the cache, for the NPU's shim and the virtual NPU. Installs nothing.
    Xrt,
    /// Takes pictures of every view of the window, for the documentation.
    Screenshots {
        /// Install what is missing without asking.
        #[arg(long)]
        yes: bool,
    },
    /// Installs what the other tasks need, and nothing else.
    Setup {
        /// Install what is missing without asking.
        #[arg(long)]
        yes: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Run { yes, arguments } => run::run(Consent::from_flag(yes), &arguments),
        Task::Test { yes } => test::run(Consent::from_flag(yes)),
        Task::Tidy { yes } => tidy::run(Consent::from_flag(yes)),
        Task::Bench(options) => bench::run(&options),
        Task::Load(options) => load::run(&options),
        Task::Package(options) => package::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Soak(options) => soak::run(&options),
        Task::NpuModel => npu_model::run(),
        Task::VirtualNpu { command } => virtual_npu::run(&command),
        Task::Xrt => xrt::run(),
        Task::Screenshots { yes } => screenshots::run(Consent::from_flag(yes)),
        Task::Setup { yes } => setup::prepare(Purpose::Test, Consent::from_flag(yes)).map(|_| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
