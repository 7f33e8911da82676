//! `amanuensis devices`.

use std::io::Write as _;
use std::process::ExitCode;

use amanuensis_backends::npu::diagnose;
use amanuensis_backends::npu::diagnose::State;

/// Prints the microphones, one a line: name, id, and a star at the one that is used unless another is chosen. Then whether the
/// NPU can be used, or the first reason why not.
pub fn run() -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let microphones = amanuensis_audio::devices();
    for (index, device) in microphones.iter().flatten().enumerate() {
        if index == 0 {
            writeln!(out, "Microphones:")?;
        }
        let mark = if device.is_default { '*' } else { ' ' };
        writeln!(out, "{mark} {}\t{}", device.name, device.id)?;
    }
    let broken = diagnose().into_iter().find_map(|link| match link.state {
        State::Broken(why) => Some((link.name, why)),
        State::Ok(_) | State::Unknown(_) => None,
    });
    match broken {
        Some((link, why)) => writeln!(out, "NPU: not available: {link}: {why}")?,
        None => writeln!(out, "NPU: available; `amanuensis doctor` checks what it computes")?,
    }
    out.flush()?;
    microphones?;
    Ok(ExitCode::SUCCESS)
}
