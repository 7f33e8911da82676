//! `cargo xtask virtual-npu -- COMMAND…`: any command on a machine that seems to have an NPU.

use anyhow::ensure;

use crate::{process, workspace, xrt};

/// Fetches XRT if need be, and runs `command` with the real XRT over the virtual NPU.
///
/// *Errors*: XRT cannot be fetched, something cannot be built, or the command fails.
pub fn run(command: &[String]) -> anyhow::Result<bool> {
    ensure!(!command.is_empty(), "give a command: `cargo xtask virtual-npu -- xrt-smi examine`");
    xrt::run()?;
    let mut cargo = workspace::cargo();
    cargo.args(["run", "--quiet", "--locked", "--package", "amanuensis-npu-tests", "--bin", "virtual-npu", "--"]);
    // Programs of XRT's own are found too.
    let own = xrt::root()?.join("usr/bin");
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&inherited).chain([own]);
    cargo.env("PATH", std::env::join_paths(folders)?).args(command);
    process::run(&mut cargo)?;
    Ok(true)
}
