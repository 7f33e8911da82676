//! `amanuensis history`.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use amanuensis_export::plain_name;
use amanuensis_history::{Entry, EntryId, History, Kind, State};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

/// Letters of a text that a list shows.
const BEGINNING: usize = 80;

/// Read, search, export and delete what was dictated and transcribed
///
/// It is the history that the app's window shows. The app may be open meanwhile.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the newest entries, each in a line
    List {
        /// How many
        #[arg(long, short, value_name = "N", default_value = "20")]
        limit: u32,
    },
    /// List the entries in which words that begin like these stand
    Search {
        /// What to look for
        #[arg(required = true, value_name = "WORD")]
        words: Vec<String>,
        /// How many at most
        #[arg(long, short, value_name = "N", default_value = "20")]
        limit: u32,
    },
    /// Print an entry's text, and on standard error how it came about
    Show {
        /// Its number, as in the list
        #[arg(value_name = "NUMBER")]
        id: i64,
    },
    /// Print all entries, or those in which words that begin like these stand, the oldest first
    Export {
        /// What to look for
        #[arg(value_name = "WORD")]
        words: Vec<String>,
        /// In what form
        #[arg(long, short, value_enum, default_value_t)]
        format: Form,
    },
    /// Delete entries for good, with their sound; the files of transcribed recordings stay
    Delete {
        /// Their numbers, as in the list
        #[arg(required = true, value_name = "NUMBER")]
        ids: Vec<i64>,
    },
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Form {
    /// The time in a line, then the text
    #[default]
    Txt,
    /// Everything that is known, an object a line
    Json,
}

/// Does what is asked about the history.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let opened = History::open(&amanuensis_models::data_folder(), SystemTime::now())?;
    if let Some(damage) = &opened.damage {
        let (rescued, kept) = (damage.rescued, damage.kept_at.display());
        crate::complain(&format!("the history was damaged; {rescued} entries could be read, and {kept} has the rest"));
    }
    let history = opened.history;
    let mut out = std::io::stdout().lock();
    match &arguments.command {
        Command::List { limit } => list(&history, "", *limit, &mut out)?,
        Command::Search { words, limit } => list(&history, &words.join(" "), *limit, &mut out)?,
        Command::Show { id } => show(&history, &find(&history, *id)?, &mut out)?,
        Command::Export { words, format } => {
            let mut entries = history.page(&words.join(" "), 0, i64::MAX as u64)?.entries;
            entries.reverse();
            for entry in &entries {
                export(&history, entry, *format, &mut out)?;
            }
        }
        Command::Delete { ids } => {
            // All or none: a number that is wrong is noticed before anything is gone.
            let entries = ids.iter().map(|id| find(&history, *id)).collect::<Result<Vec<_>, _>>()?;
            if let Some(busy) =
                entries.iter().find(|entry| matches!(entry.state, State::Recording | State::Transcribing))
            {
                bail!("entry {} is being written just now; try again when that is done", busy.id.0);
            }
            for entry in &entries {
                history.remove(entry.id)?;
            }
            writeln!(
                out,
                "{} deleted.",
                if let [_] = entries[..] { "1 entry".to_owned() } else { format!("{} entries", entries.len()) }
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn find(history: &History, id: i64) -> anyhow::Result<Entry> {
    let entry = history.entry(EntryId(id))?;
    entry.with_context(|| format!("the history has no entry {id}; `amanuensis history list` shows their numbers"))
}

fn list(history: &History, typed: &str, limit: u32, out: &mut impl Write) -> anyhow::Result<()> {
    let page = history.page(typed, 0, limit.into())?;
    for entry in &page.entries {
        let text = match (entry.text(), entry.state) {
            ("", State::Recording | State::Transcribing) => "(being written)".to_owned(),
            ("", State::Recovered) => "(interrupted, not written down yet)".to_owned(),
            ("", _) => "(no words)".to_owned(),
            (text, _) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        let mut beginning: String = text.chars().take(BEGINNING).collect();
        if text.chars().nth(BEGINNING).is_some() {
            beginning.push('…');
        }
        let mark = if entry.pinned { '*' } else { ' ' };
        let length = entry.length.map(length).unwrap_or_default();
        writeln!(
            out,
            "{:>6}{mark} {} {length:>8}  {}",
            entry.id.0,
            history.local_time(entry.started)?,
            harmless(&beginning)
        )?;
    }
    let shown = page.entries.len() as u64;
    if page.total > shown {
        eprintln!("{} more; --limit shows them.", page.total - shown);
    } else if page.total == 0 {
        eprintln!("{}", if typed.is_empty() { "The history is empty." } else { "Nothing found." });
    }
    Ok(())
}

fn show(history: &History, entry: &Entry, out: &mut impl Write) -> anyhow::Result<()> {
    let made = &entry.transcribed;
    let waited = made.waited.map(|waited| format!("{:.1} s after the last word", waited.as_secs_f32()));
    let sound = entry.recording().filter(|sound| sound.is_file()).map(|sound| plain_name(sound.as_os_str()));
    let about = [
        ("time", Some(history.local_time(entry.started)?)),
        ("length", entry.length.map(length)),
        ("sound", sound),
        ("model", made.model.clone()),
        ("device", made.device.clone()),
        ("language", made.language.clone()),
        ("written", waited),
        ("into", entry.application.clone()),
        ("kept", entry.pinned.then(|| "until you delete it".to_owned())),
        ("as heard", made.raw.clone()),
        ("failure", made.failure.clone()),
    ];
    for (name, what) in about {
        if let Some(what) = what {
            eprintln!("{name:>9}  {}", plain_name(what.as_ref()));
        }
    }
    writeln!(out, "{}", harmless(entry.text().trim_end()))?;
    Ok(())
}

/// All that is known of an entry.
#[derive(Serialize)]
struct Report<'a> {
    id: i64,
    kind: &'static str,
    started: String,
    started_ms: u64,
    length_s: Option<f64>,
    text: &'a str,
    heard: Option<&'a str>,
    model: Option<&'a str>,
    device: Option<&'a str>,
    language: Option<&'a str>,
    application: Option<&'a str>,
    waited_s: Option<f64>,
    pinned: bool,
    sound: Option<String>,
    failure: Option<&'a str>,
}

fn export(history: &History, entry: &Entry, format: Form, out: &mut impl Write) -> anyhow::Result<()> {
    let started = history.local_time(entry.started)?;
    match format {
        Form::Txt if entry.text().is_empty() => {}
        Form::Txt => writeln!(out, "{started}\n{}\n", harmless(entry.text().trim_end()))?,
        Form::Json => {
            let made = &entry.transcribed;
            let report = Report {
                id: entry.id.0,
                kind: match entry.kind {
                    Kind::Dictation => "dictation",
                    Kind::File => "file",
                },
                started,
                started_ms: entry.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
                length_s: entry.length.map(|length| length.as_secs_f64()),
                text: entry.text(),
                heard: made.raw.as_deref(),
                model: made.model.as_deref(),
                device: made.device.as_deref(),
                language: made.language.as_deref(),
                application: entry.application.as_deref(),
                waited_s: made.waited.map(|waited| waited.as_secs_f64()),
                pinned: entry.pinned,
                sound: entry.recording().map(|sound| sound.to_string_lossy().into_owned()),
                failure: made.failure.as_deref(),
            };
            writeln!(out, "{}", serde_json::to_string(&report)?)?;
        }
    }
    Ok(())
}

fn length(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    if seconds < 60 { format!("{seconds} s") } else { format!("{}:{:02} min", seconds / 60, seconds % 60) }
}

/// A text that makes a terminal do nothing but show it.
fn harmless(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() && letter != '\n' { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_makes_a_terminal_do_nothing() {
        assert_eq!(harmless("one\ntwo\u{1b}[2J"), "one\ntwo\u{fffd}[2J");
        assert_eq!(
            (length(Duration::from_millis(59_400)), length(Duration::from_secs(125))),
            ("59 s".into(), "2:05 min".into())
        );
    }
}
