//! Programs that a test starts and that must not outlive it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// A program that is killed when the value is dropped, or when the test's process ends.
#[derive(Debug)]
pub struct Program(Child);

impl Program {
    /// Starts it, with the environment of `command` and no other, with a pipe for input and output.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start(command: &Command) -> Self {
        let mut guarded = Command::new("setpriv");
        guarded.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
        guarded.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let child = guarded.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// The first line that it prints. What it prints after that is lost.
    ///
    /// # Panics
    /// It prints something else than text.
    pub fn first_line(&mut self) -> String {
        let mut line = String::new();
        let output = self.0.stdout.as_mut().expect("BUG: the output is a pipe");
        BufReader::new(output).read_line(&mut line).expect("a line of text");
        line.trim().to_owned()
    }

    /// Its ends of the pipes, to talk to it.
    pub(crate) fn pipes(&mut self) -> (std::process::ChildStdin, std::process::ChildStdout) {
        let taken = self.0.stdin.take().zip(self.0.stdout.take());
        taken.expect("BUG: the pipes are taken once")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Either it runs and can be killed, or it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
        // Its descendants have its output too: it closes when the last of them is gone.
        if let Some(mut output) = self.0.stdout.take() {
            let _ = std::io::copy(&mut output, &mut std::io::sink());
        }
    }
}
