//! `amanuensis devices`.

use std::io::Write as _;
use std::process::ExitCode;

/// Prints the microphones, one a line: name, id, and a star at the one that is used unless another is chosen.
pub fn run() -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for device in amanuensis_audio::devices()? {
        let mark = if device.is_default { '*' } else { ' ' };
        writeln!(out, "{mark} {}\t{}", device.name, device.id)?;
    }
    Ok(ExitCode::SUCCESS)
}
