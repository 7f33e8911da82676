//! Runs a command on the virtual NPU: `cargo xtask virtual-npu -- COMMAND…`. A program for the demo model is there.

use std::path::PathBuf;
use std::process::ExitCode;

use amanuensis_backend_npu::{Format, PROGRAM_VARIABLE};
use amanuensis_npu_tests::launch::VirtualNpu;
use amanuensis_whisper::Weights;
use anyhow::Context;

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().context("give a command to run on the virtual NPU")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(&program)).find(|file| file.is_file());
    // The loader takes a path, and looks for none itself.
    let program = found.unwrap_or_else(|| PathBuf::from(&program));
    let npu = VirtualNpu::prepare()?;
    let programs = tempfile::tempdir()?;
    if let Some(demo) = amanuensis_models::demo() {
        let weights = Weights::open(&demo.path)?;
        for format in [Format::Bfp16, Format::Int8] {
            npu.write_program(programs.path(), weights.dims(), format)?;
        }
    }
    let mut command = npu.command(&program);
    if std::env::var_os(PROGRAM_VARIABLE).is_none() {
        command.env(PROGRAM_VARIABLE, programs.path());
    }
    let status = command.args(arguments).status().context("cannot start unshare")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}
