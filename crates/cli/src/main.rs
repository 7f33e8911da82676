//! The `amanuensis` command: flags and wiring. What it does is done by the libraries.

mod control;
mod devices;
mod doctor;
mod generate;
mod history;
mod listen;
mod models;
mod serve;
mod speech;
mod transcribe;
mod watch;

use std::process::ExitCode;

use amanuensis_control::Request;
use clap::{CommandFactory as _, Parser, Subcommand};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Turn speech into text, on this machine and nowhere else.
#[derive(Debug, Parser)]
#[command(name = "amanuensis", version = amanuensis_version::VERSION, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Transcribe(transcribe::Arguments),
    Watch(watch::Arguments),
    Listen(listen::Arguments),
    Serve(serve::Arguments),
    Models(models::Arguments),
    History(history::Arguments),
    /// List the microphones, and whether the NPU can be used
    Devices,
    /// Say what works on this machine: the NPU, typing into other programs, keys; and what to do if not
    Doctor,
    /// Start dictating or, while dictating, stop: for a key binding of the desktop
    Toggle,
    /// Start dictating
    Start,
    /// Stop dictating; what was said is written out
    Stop,
    /// Throw away what is being dictated
    Cancel,
    #[command(hide = true)]
    Generate(generate::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let levels = std::env::var("RUST_LOG").ok().and_then(|levels| levels.parse::<Targets>().ok());
    tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr))
        // What goes wrong is said in sentences. Of logs only our own mistakes are shown, unless they are asked for.
        .with(levels.unwrap_or_else(|| Targets::new().with_target("amanuensis", LevelFilter::ERROR)))
        .init();
    let done = match arguments.command {
        Command::Transcribe(arguments) => transcribe::run(&arguments),
        Command::Watch(arguments) => watch::run(&arguments),
        Command::Listen(arguments) => listen::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Models(arguments) => models::run(&arguments),
        Command::History(arguments) => history::run(&arguments),
        Command::Devices => devices::run(),
        Command::Doctor => doctor::run(),
        Command::Toggle => control::run(&Request::Toggle),
        Command::Start => control::run(&Request::Start),
        Command::Stop => control::run(&Request::Stop),
        Command::Cancel => control::run(&Request::Cancel),
        Command::Generate(arguments) => generate::run(&arguments, Arguments::command()),
    };
    match done {
        Ok(code) => code,
        // Whoever read our output has gone, as `head` does. There is nobody to tell.
        Err(error) if is_broken_pipe(&error) => ExitCode::FAILURE,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Says what went wrong, in one line: the name of a file in it may hold anything, and a terminal obeys what it is sent.
fn complain(sentence: &str) {
    eprintln!("amanuensis: {}", amanuensis_export::plain_name(sentence.as_ref()));
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
