//! `amanuensis doctor`.

use std::io::Write as _;
use std::process::ExitCode;

use amanuensis_backends::npu::diagnose::{Link, State};
use amanuensis_backends::npu::{NpuOptions, Policy, diagnose};
use amanuensis_backends::{Choice, CpuOptions};

/// Prints every link of the chain from the kernel's driver to checked results, and what to do about the first broken one.
pub fn run() -> anyhow::Result<ExitCode> {
    let mut links = diagnose();
    let broken = |link: &&Link| matches!(link.state, State::Broken(_));
    // The last link is whether the NPU computes what the CPU does. That takes a model, and all the other links.
    if !links.iter().any(|link| broken(&link))
        && let Some(last) = links.last_mut()
    {
        last.state = self_check();
    }
    let mut out = std::io::stdout().lock();
    for Link { name, state } in &links {
        let (mark, text) = match state {
            State::Ok(text) => ("ok", text),
            State::Broken(text) => ("broken", text),
            State::Unknown(text) => ("unknown", text),
        };
        writeln!(out, "{name:<14} {mark:<8} {text}")?;
    }
    match links.iter().find(broken) {
        Some(Link { name, state: State::Broken(text) }) => {
            writeln!(out, "\nThe NPU cannot be used, and the CPU does all the work. First broken: {name}: {text}")?;
        }
        _ => writeln!(out, "\nThe NPU can be used.")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn self_check() -> State {
    let options = NpuOptions { policy: Policy::RequireNpu, ..NpuOptions::default() };
    let choice = Choice::Npu(options, CpuOptions::default());
    let file = match amanuensis_models::choose(None) {
        Ok(file) => file,
        Err(error) => return State::Unknown(error.to_string()),
    };
    match amanuensis_backends::open(&file, &choice) {
        Ok(_) => State::Ok(format!("the NPU encodes for {} as the CPU does", file.name)),
        Err(error) => State::Broken(error.to_string()),
    }
}
