//! A real other program that text is typed into: a window of GTK with one field, which says what is in it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command};
use std::time::{Duration, Instant};

use crate::program::Program;

/// How long text may be on its way. No test waits for it; it bounds a hang.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
/// Debian's own Python: PyGObject comes with it, and not with others.
const PYTHON: &str = "/usr/bin/python3";

/// What is in the window.
#[derive(Debug, Clone, Copy)]
pub enum Field {
    /// One line.
    Entry,
    /// Many lines.
    Page,
}

/// A running program with a text field that has the focus.
#[derive(Debug)]
pub struct Witness {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _program: Program,
}

impl Witness {
    /// Opens the window, and waits until it has the focus. `None` where GTK's Python is missing, which has been printed.
    ///
    /// # Panics
    /// It does not open.
    pub fn open(field: Field, title: &str, environment: &[(&'static str, String)]) -> Option<Self> {
        let has_gtk = || {
            let mut trial = Command::new(PYTHON);
            trial
                .args(["-c", "import gi; gi.require_version('Gtk', '3.0')"])
                .output()
                .is_ok_and(|output| output.status.success())
        };
        if !Path::new(PYTHON).exists() || !has_gtk() {
            println!("skipped: python3-gi or gir1.2-gtk-3.0 is not installed");
            return None;
        }
        let kind = match field {
            Field::Entry => "entry",
            Field::Page => "page",
        };
        let mut command = Command::new(PYTHON);
        command.args(["-c", include_str!("witness.py"), kind, title]).envs(environment.iter().cloned());
        let mut program = Program::start(&command);
        let (input, output) = program.pipes();
        let mut witness = Self { input, output: BufReader::new(output), _program: program };
        let until = Instant::now() + PATIENCE;
        while witness.ask("focused") != "\"yes\"" {
            assert!(Instant::now() < until, "the witness never gets the focus");
            std::thread::sleep(LOOK);
        }
        Some(witness)
    }

    /// What is in the field once it is `expected`, or after a long wait.
    pub fn text(&mut self, expected: &str) -> String {
        self.wait_for(|text| text == expected)
    }

    /// What is in the field once that `fits`, or after a long wait.
    pub fn wait_for(&mut self, fits: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let text = unquoted(&self.ask("text"));
            if fits(&text) || Instant::now() > until {
                return text;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Empties the field.
    pub fn clear(&mut self) {
        self.ask("clear");
    }

    fn ask(&mut self, question: &str) -> String {
        let mut answer = String::new();
        writeln!(self.input, "{question}").expect("the witness listens");
        self.output.read_line(&mut answer).expect("the witness answers");
        answer.trim_end().to_owned()
    }
}

/// The text of a JSON string in ASCII, as Python writes it.
fn unquoted(json: &str) -> String {
    let mut units = Vec::new();
    let mut letters = json.trim_matches('"').chars();
    while let Some(letter) = letters.next() {
        let unit = match letter {
            '\\' => match letters.next() {
                Some('n') => u16::from(b'\n'),
                Some('t') => u16::from(b'\t'),
                Some('u') => {
                    let digits: String = letters.by_ref().take(4).collect();
                    u16::from_str_radix(&digits, 16).expect("four digits")
                }
                Some(other) => other as u16,
                None => continue,
            },
            other => other as u16,
        };
        units.push(unit);
    }
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::unquoted;

    #[test]
    fn what_python_quotes_is_read_back() {
        assert_eq!(unquoted(r#""a\"\\\n\u00e9\ud83d\ude00""#), "a\"\\\n\u{e9}\u{1f600}");
    }
}
