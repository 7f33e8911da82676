//! Runs a command on the virtual NPU: `cargo xtask virtual-npu -- COMMAND…`.

use std::path::PathBuf;
use std::process::ExitCode;

use amanuensis_npu_tests::launch::VirtualNpu;
use anyhow::Context;

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().context("give a command to run on the virtual NPU")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(&program)).find(|file| file.is_file());
    // The loader takes a path, and looks for none itself.
    let program = found.unwrap_or_else(|| PathBuf::from(&program));
    let status = VirtualNpu::prepare()?.command(&program).args(arguments).status().context("cannot start unshare")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}
