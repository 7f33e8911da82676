//! Child processes: run one, say what it was when it fails, and nothing more.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Prints a heading, so that a long log can be read by eye.
pub fn heading(text: &str) {
    println!("\n== {text}");
}

/// Runs `command` with our own terminal and fails when it does.
///
/// *Errors*: the program cannot be started, or ends with a status other than zero.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = show(command);
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// Runs `command` silently and gives back what it wrote to its standard output.
///
/// *Errors*: as [`run`]; what the program wrote to its standard error is part of the message.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let shown = show(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` ended with {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `command`, passes its standard output on line by line and shows each line to `seen`.
///
/// Returns whether the program ended well.
///
/// *Errors*: the program cannot be started.
pub fn watch(command: &mut Command, mut seen: impl FnMut(&str)) -> anyhow::Result<bool> {
    let shown = show(command);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{shown}`"))?;
    let stdout = child.stdout.take().expect("BUG: the line above asked for a pipe");
    for line in BufReader::new(stdout).lines() {
        let line = line.with_context(|| format!("cannot read from `{shown}`"))?;
        println!("{line}");
        seen(&line);
    }
    Ok(child.wait()?.success())
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_its_words() {
        let error = output(Command::new("sh").args(["-c", "echo no such luck >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("sh -c") && error.contains("no such luck") && error.contains('3'), "{error}");
    }

    #[test]
    fn watch_sees_every_line_and_the_end() {
        let mut lines = Vec::new();
        let well = watch(Command::new("sh").args(["-c", "echo a; echo b; exit 1"]), |line| lines.push(line.to_owned()));
        assert!(!well.unwrap());
        assert_eq!(lines, ["a", "b"]);
    }
}
