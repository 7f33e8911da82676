//! `amanuensis toggle`, `start`, `stop` and `cancel`: for key bindings.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use amanuensis_control::{ControlError, Request};
use anyhow::Context as _;

/// The app's program.
const APP: &str = "amanuensis-app";

/// Tells the running app. Where none runs, one is started if there is something to dictate.
pub fn run(request: &Request) -> anyhow::Result<ExitCode> {
    match amanuensis_control::send(&amanuensis_control::runtime_folder()?, request) {
        Err(ControlError::NotRunning) if matches!(request, Request::Toggle | Request::Start) => start_app()?,
        told => told?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts the app, and with it a dictation, in a group of its own: it must not end with the terminal.
fn start_app() -> anyhow::Result<()> {
    let beside = std::env::current_exe().ok().and_then(|own| own.parent().map(|folder| folder.join(APP)));
    let app = beside.filter(|app| Path::is_file(app)).unwrap_or_else(|| PathBuf::from(APP));
    let mut command = Command::new(&app);
    command.arg("--start").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.spawn().with_context(|| format!("Amanuensis is not running, and {} cannot be started", app.display()))?;
    Ok(())
}
