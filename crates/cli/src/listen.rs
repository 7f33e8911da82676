//! `amanuensis listen`.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use amanuensis_audio::CaptureError;
use amanuensis_dictation::{Event, Outcome, Session, Setup};
use anyhow::Context as _;
use clap::Args;
use console::{Term, style};

use crate::speech::SpeechArguments;

/// Write down what is said into the microphone
///
/// A line for each stretch of speech goes to standard output. On a terminal the last line shows what is being said: words that
/// are settled, and in grey those that may still change. Ctrl-C ends; what was said until then is still written. Ctrl-C again
/// ends at once.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    speech: SpeechArguments,
    /// Microphone: a name or id that `amanuensis devices` shows, or a part of the name [default: the system's]
    #[arg(long, value_name = "NAME")]
    microphone: Option<String>,
    /// End after so many seconds
    #[arg(long, short, value_name = "N")]
    seconds: Option<u32>,
}

/// Dictates to the standard output until it is told to end.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let microphone = arguments.microphone.as_deref().map(find_microphone).transpose()?;
    let engine = arguments.speech.model.engine()?;
    let (interrupt, interrupts) = crossbeam_channel::bounded(2);
    // A third press is not heard; the second has already ended everything.
    ctrlc::set_handler(move || _ = interrupt.try_send(())).context("cannot listen for Ctrl-C")?;
    let defaults = Setup::default();
    let setup = Setup { options: arguments.speech.options(defaults.options.clone()), microphone, ..defaults };
    let (sender, receiver) = crossbeam_channel::bounded(64);
    let session = Session::start(engine.clone(), setup, move |event| _ = sender.send(event));
    // Dropped before the session, which would otherwise wait for room in the channel while we wait for the session.
    let events = receiver;
    session.begin();

    let screen = Screen::new();
    let mut end = crossbeam_channel::never();
    let mut interrupted = false;
    let mut lost = false;
    loop {
        crossbeam_channel::select! {
            recv(interrupts) -> _ => {
                if std::mem::replace(&mut interrupted, true) {
                    session.cancel();
                } else {
                    session.stop();
                }
            }
            recv(end) -> _ => session.stop(),
            recv(events) -> event => match event.context("dictation has ended unexpectedly")? {
                Event::MicrophoneLive { device, .. } => {
                    screen.remark(&format!("Listening to {device} with {}. Ctrl-C ends.", engine.model_name()));
                }
                Event::Recording { .. } => {
                    if let Some(seconds) = arguments.seconds {
                        end = crossbeam_channel::at(Instant::now() + Duration::from_secs(seconds.into()));
                    }
                }
                Event::Live { committed, tentative, .. } => screen.show(&committed, &tentative),
                Event::Segment { text, .. } => screen.write(&text)?,
                Event::Gap { length } => {
                    screen.remark(&format!("{:.1} s of sound were lost: this machine is too busy.", length.as_secs_f64()));
                }
                Event::MicrophoneLost { reason } => {
                    lost = true;
                    screen.remark(&format!("amanuensis: {reason}; what was said until then is written"));
                }
                Event::Finished { outcome, .. } => {
                    screen.clear();
                    return Ok(ended(outcome, lost));
                }
                Event::Opening { .. } | Event::HandsFree { .. } | Event::Level { .. } | Event::Stopped { .. } => {}
            },
        }
    }
}

fn ended(outcome: Outcome, lost: bool) -> ExitCode {
    match outcome {
        Outcome::Text(_) if lost => ExitCode::FAILURE,
        Outcome::Text(_) => ExitCode::SUCCESS,
        Outcome::NoSpeech => {
            eprintln!("No speech was heard.");
            if lost { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        // As of a program that Ctrl-C has ended.
        Outcome::Cancelled => ExitCode::from(130),
        Outcome::NoMicrophone { reason } | Outcome::Failed { reason, .. } => {
            crate::complain(&reason.to_string());
            ExitCode::FAILURE
        }
    }
}

/// The id of the microphone that is called so.
fn find_microphone(wanted: &str) -> Result<String, CaptureError> {
    let devices = amanuensis_audio::devices()?;
    let named = |name: &str| name.to_lowercase().contains(&wanted.to_lowercase());
    devices
        .iter()
        .find(|device| device.id == wanted || device.name == wanted)
        .or_else(|| devices.iter().find(|device| named(&device.name)))
        .map(|device| device.id.clone())
        .ok_or_else(|| CaptureError::Missing { name: wanted.to_owned() })
}

/// The terminal: text goes to standard output, everything else to standard error, whose last line is written over.
struct Screen {
    term: Term,
}

impl Screen {
    fn new() -> Self {
        Self { term: Term::stderr() }
    }

    /// Shows the words of the stretch that still grows: its end, if it does not fit the line.
    fn show(&self, committed: &str, tentative: &str) {
        if !self.term.is_term() {
            return;
        }
        let width = usize::from(self.term.size().1).saturating_sub(1);
        let (committed, tentative) = fit(committed, tentative, width);
        self.clear();
        // A terminal that has gone is noticed by whoever writes text to it.
        let _ = self.term.write_str(&format!("{committed}{}", style(tentative).dim().for_stderr()));
    }

    /// Writes settled text.
    fn write(&self, text: &str) -> std::io::Result<()> {
        self.clear();
        if text.is_empty() {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()
    }

    /// Says something about the dictation.
    fn remark(&self, text: &str) {
        self.clear();
        let _ = self.term.write_line(text);
    }

    fn clear(&self) {
        if self.term.is_term() {
            let _ = self.term.clear_line();
        }
    }
}

/// The last words of both that fit `width` columns, with a space between them.
fn fit(committed: &str, tentative: &str, width: usize) -> (String, String) {
    let space = if committed.is_empty() || tentative.is_empty() { "" } else { " " };
    let committed = format!("{committed}{space}");
    let mut letters: Vec<(char, bool)> =
        committed.chars().map(|c| (c, false)).chain(tentative.chars().map(|c| (c, true))).collect();
    let columns = |letters: &[(char, bool)]| -> usize {
        letters.iter().map(|(c, _)| console::measure_text_width(c.encode_utf8(&mut [0; 4]))).sum()
    };
    while columns(&letters) > width {
        letters.remove(0);
    }
    let part = |of: bool| letters.iter().filter(|(_, is_tentative)| *is_tentative == of).map(|(c, _)| c).collect();
    (part(false), part(true))
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn the_end_of_the_text_fits_the_line() {
        assert_eq!(fit("ask not", "what", 20), ("ask not ".to_owned(), "what".to_owned()));
        assert_eq!(fit("ask not", "what", 8), ("not ".to_owned(), "what".to_owned()));
        assert_eq!(fit("ask not", "what", 3), (String::new(), "hat".to_owned()));
        assert_eq!(fit("", "what", 20), (String::new(), "what".to_owned()));
        // Two columns each.
        assert_eq!(fit("", "\u{6f22}\u{5b57}", 3), (String::new(), "\u{5b57}".to_owned()));
    }
}
