//! `amanuensis generate`: what packages install beside the command, made from the same description as its `--help`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap_complete::Shell;

/// Write man pages, and completions for shells, into a folder
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder, which has to be there
    folder: PathBuf,
}

/// Writes `*.1` and one file of completions for each shell.
pub fn run(arguments: &Arguments, command: clap::Command) -> anyhow::Result<ExitCode> {
    let folder = &arguments.folder;
    let written = || format!("cannot write into {}", folder.display());
    clap_mangen::generate_to(command.clone(), folder).with_context(written)?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        let name = command.get_name().to_owned();
        clap_complete::generate_to(shell, &mut command.clone(), name, folder).with_context(written)?;
    }
    Ok(ExitCode::SUCCESS)
}
