//! `amanuensis doctor`: what works on this machine, and what to do about what does not.

use std::io::Write;
use std::process::ExitCode;

use amanuensis_backends::npu::diagnose::{Link, State};
use amanuensis_backends::npu::{NpuOptions, Policy, diagnose};
use amanuensis_backends::{Choice, CpuOptions};
use amanuensis_insert::{Desktop, Inserter, Manner, PERMISSION};
use amanuensis_shortcut::bindings;

/// Prints what is to be known about the NPU, about typing into other programs, and about keys that start a dictation.
pub fn run() -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    print_npu(&mut out)?;
    let desktop = Desktop::detect();
    print_ways(&mut out, &desktop)?;
    print_bindings(&mut out, &desktop)?;
    Ok(ExitCode::SUCCESS)
}

/// Every link of the chain from the kernel's driver to checked results, and what to do about the first broken one.
fn print_npu(out: &mut impl Write) -> std::io::Result<()> {
    let mut links = diagnose();
    let broken = |link: &&Link| matches!(link.state, State::Broken(_));
    // The last link is whether the NPU computes what the CPU does. That takes a model, and all the other links.
    if !links.iter().any(|link| broken(&link))
        && let Some(last) = links.last_mut()
    {
        last.state = self_check();
    }
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
    Ok(())
}

/// The ways to type into other programs, in the order in which they are tried here.
fn print_ways(out: &mut impl Write, desktop: &Desktop) -> std::io::Result<()> {
    if desktop.x11.is_none() && desktop.wayland.is_none() {
        writeln!(
            out,
            "\nTyping into other programs: there is no desktop here; run this in a terminal of the desktop."
        )?;
        return Ok(());
    }
    writeln!(out, "\nTyping into other programs, on {}:", desktop.key())?;
    let permission = Some(amanuensis_settings::folder().join(PERMISSION));
    let ways = Inserter::new(desktop.clone(), Manner { permission, ..Manner::default() }).examine();
    let works = ways.iter().any(|(_, result)| result.is_ok());
    for (way, result) in ways {
        match result {
            Ok(()) => writeln!(out, "{:<17} ok       {way}", way.word())?,
            Err(reason) => writeln!(out, "{:<17} no       {way}: {reason}", way.word())?,
        }
    }
    if !works {
        writeln!(out, "What is dictated is put on the clipboard: paste it yourself.")?;
    }
    Ok(())
}

/// What to write where, so that a key starts and ends a dictation.
fn print_bindings(out: &mut impl Write, desktop: &Desktop) -> std::io::Result<()> {
    writeln!(
        out,
        "\nA key that starts and stops dictating. On X11 the app has one of its own, Ctrl+Alt+Space to begin with;"
    )?;
    writeln!(out, "elsewhere the desktop has to be told:")?;
    for recipe in bindings::for_desktop(&desktop.name) {
        writeln!(out, "\n{}, {}:", recipe.desktop, recipe.place)?;
        for line in recipe.lines.lines() {
            writeln!(out, "    {line}")?;
        }
    }
    Ok(())
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
