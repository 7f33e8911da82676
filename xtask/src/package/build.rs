//! What the compiler makes: the programs of a package, and the program at the front of an AppImage.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use amanuensis_appimage::elf::Elf;
use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use super::release::Release;
use crate::{process, workspace};

/// Where the compiler left what packages are made of.
pub struct Built {
    /// The window.
    pub app: PathBuf,
    /// The command.
    pub command: PathBuf,
    /// The NPU's shim, where XRT's headers were found.
    pub shim: Option<PathBuf>,
    /// The program at the front of the AppImage.
    pub runtime: PathBuf,
}

/// What cargo says about one thing that it made, as far as it is needed.
#[derive(Deserialize)]
struct Message {
    reason: String,
    package_id: Option<String>,
    executable: Option<PathBuf>,
    out_dir: Option<PathBuf>,
}

/// Builds all of it.
///
/// *Errors*: the compiler found a mistake, or the runtime is not what it has to be.
pub fn all(release: &Release, profile: &str) -> anyhow::Result<Built> {
    process::heading(&format!("programs: {}", release.line()));
    let mut cargo = workspace::cargo();
    cargo.env("AMANUENSIS_VERSION", release.line());
    let made = build(cargo.args([
        "build",
        "--package",
        "amanuensis-app",
        "--package",
        "amanuensis-cli",
        "--profile",
        profile,
    ]))?;
    let (app, command) = (program(&made, "amanuensis-app")?, program(&made, "amanuensis")?);
    let shim = made.iter().find_map(|message| {
        let ours = message.package_id.as_ref()?.contains("xrt-sys");
        let shim = message.out_dir.as_ref().filter(|_| ours)?.join("libamanuensis_xrt.so");
        shim.is_file().then_some(shim)
    });
    if shim.is_none() {
        println!("without the NPU's shim, for XRT is not there: `cargo xtask xrt` brings it");
    }

    process::heading("the program at the front of the AppImage");
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let flags = format!("CARGO_TARGET_{}_RUSTFLAGS", target.replace('-', "_").to_uppercase());
    let mut cargo = workspace::cargo();
    // With `--target` the flags are for this program only, and not for build scripts, which must stay dynamic.
    cargo.env(flags, "-C target-feature=+crt-static");
    let made =
        build(cargo.args(["build", "--package", "amanuensis-appimage", "--target", &target, "--profile", "runtime"]))?;
    let runtime = program(&made, "appimage-runtime")?;
    let elf = Elf::read(&std::fs::File::open(&runtime)?)?;
    ensure!(elf.section(".interp").is_none(), "the program at the front of the AppImage is not static");
    Ok(Built { app, command, shim, runtime })
}

fn build(cargo: &mut Command) -> anyhow::Result<Vec<Message>> {
    cargo.args(["--locked", "--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
    let output = cargo.output().context("cannot start cargo")?;
    ensure!(output.status.success(), "the programs could not be built");
    let messages = String::from_utf8_lossy(&output.stdout);
    let messages = messages.lines().map(serde_json::from_str).collect::<Result<Vec<Message>, _>>();
    messages.context("cannot read what cargo said")
}

fn program(made: &[Message], name: &str) -> anyhow::Result<PathBuf> {
    let programs = made.iter().filter(|message| message.reason == "compiler-artifact");
    let found = programs.filter_map(|message| message.executable.as_deref()).find(|path| path.ends_with(name));
    match found.map(Path::to_owned) {
        Some(path) => Ok(path),
        None => bail!("cargo built no {name}"),
    }
}
