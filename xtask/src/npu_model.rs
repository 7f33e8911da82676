//! `cargo xtask npu-model`: what the NPU is predicted to take.

use crate::{process, workspace};

/// Prints the predictions of the timing model.
///
/// *Errors*: it could not be built.
pub fn run() -> anyhow::Result<bool> {
    let arguments = ["run", "--quiet", "--locked", "--package", "amanuensis-npu-kernels", "--example", "npu_model"];
    process::run(workspace::cargo().args(arguments))?;
    Ok(true)
}
