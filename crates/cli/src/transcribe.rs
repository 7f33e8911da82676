//! `amanuensis transcribe`.

use std::collections::VecDeque;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use amanuensis_audio::AudioFile;
use amanuensis_engine::{Audio, Done, Engine, Event, Job, Priority, Request, RequestError};
use amanuensis_export::{Format, Transcript, plain_name};
use amanuensis_whisper::{DecodeOptions, Segment};
use anyhow::{Context as _, bail};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser as _};
use crossbeam_channel::Select;
use indicatif::{ProgressBar, ProgressStyle};

use crate::speech::SpeechArguments;

/// Write down what is said in recordings
///
/// Reads WAV, FLAC, MP3, Ogg (Vorbis, Opus), M4A, Matroska and WebM. The text goes to standard output, everything else to
/// standard error. A file that is damaged somewhere gives its text up to there. The exit code is 0 if every file was
/// transcribed to its end, and 1 if not.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Recordings
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    speech: SpeechArguments,
    /// Form of the transcripts
    #[arg(long, short, value_name = "FORMAT", default_value = "txt", value_parser = formats())]
    format: Format,
    /// Give every word its time; shown by the JSON format, and always used for subtitles
    #[arg(long)]
    word_timestamps: bool,
    /// Write each transcript into a file of its own in this folder, not to standard output
    #[arg(long, short, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Recordings that are worked on at the same time
    #[arg(long, short, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u8).range(1..=32))]
    jobs: u8,
}

/// The formats with what `--help` says about each.
pub fn formats() -> impl clap::builder::TypedValueParser<Value = Format> {
    let values = Format::ALL.map(|format| {
        let help = match format {
            Format::Text => "The words, a line for each stretch of speech, as they come",
            Format::Srt => "SubRip subtitles",
            Format::Vtt => "WebVTT subtitles",
            Format::Markdown => "Paragraphs with their times",
            Format::Docx => "A document for Word or LibreOffice",
            Format::Csv => "A table: start and end in seconds, text",
            Format::Json => "One object a line: text, times, probabilities, and where the time went",
        };
        let value = PossibleValue::new(format.ending()).help(help);
        if format == Format::Text { value.alias("text") } else { value }
    });
    PossibleValuesParser::new(values).try_map(|name| name.parse::<Format>())
}

/// Transcribes the files in the order given. What is wrong with one does not keep the others back.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.output.is_none() {
        match arguments.format {
            Format::Docx => bail!("a document cannot be shown on a terminal; add --output FOLDER"),
            Format::Srt | Format::Vtt | Format::Csv if arguments.files.len() > 1 => bail!(
                "{} of several recordings cannot share one output; add --output FOLDER, or give one file at a time",
                if arguments.format == Format::Csv { "tables" } else { "subtitles" }
            ),
            _ => {}
        }
    }
    if let Some(folder) = &arguments.output {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let mut batch = Batch { arguments, engine: None, bar: bar(), total: Total::default() };
    let began = Instant::now();
    let mut coming = arguments.files.iter();
    let mut open: VecDeque<Recording> = VecDeque::new();
    loop {
        while running(&open).count() < usize::from(arguments.jobs)
            && let Some(path) = coming.next()
        {
            open.push_back(batch.submit(path)?);
        }
        // Transcripts leave in the order of the files, so that later ones wait in `open` until those before them are over.
        while let Some(first) = open.front_mut() {
            batch.show(first)?;
            if first.outcome.is_none() {
                break;
            }
            open.pop_front();
        }
        if !open.is_empty() {
            wait(&mut open);
        } else if coming.len() == 0 {
            break;
        }
    }
    batch.bar.finish_and_clear();
    if arguments.files.len() > 1 {
        eprintln!("{}", batch.total.summary(began.elapsed()));
    }
    Ok(if batch.total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A file on its way.
struct Recording {
    path: PathBuf,
    /// None after it is over, and for a file that cannot be read.
    job: Option<Job>,
    segments: Vec<Segment>,
    /// How many segments were printed; None before the heading was.
    printed: Option<usize>,
    progress: (Duration, Option<Duration>),
    /// In the end; a failure is a sentence that names the file.
    outcome: Option<Result<Done, String>>,
}

impl Recording {
    fn new(path: &Path) -> Self {
        let progress = (Duration::ZERO, None);
        Self { path: path.to_owned(), job: None, segments: Vec::new(), printed: None, progress, outcome: None }
    }

    fn failed(path: &Path, sentence: String) -> Self {
        Self { outcome: Some(Err(sentence)), ..Self::new(path) }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Started => {}
            Event::Segment(segment) => self.segments.push(segment),
            Event::Progress { done, total } => self.progress = (done, total),
            Event::Finished(result) => {
                self.outcome = Some(result.map_err(|error| match error {
                    // It comes from the file, and names it.
                    RequestError::Source(error) => error.to_string(),
                    error => format!("{}: {error}", self.path.display()),
                }));
                self.job = None;
            }
        }
    }
}

fn running(open: &VecDeque<Recording>) -> impl Iterator<Item = &Job> {
    open.iter().filter_map(|recording| recording.job.as_ref())
}

/// Waits until something happens to one of the recordings, and takes note of it.
fn wait(open: &mut VecDeque<Recording>) {
    let mut select = Select::new();
    for job in running(open) {
        select.recv(job.events());
    }
    let index = select.ready();
    let recording = open.iter_mut().filter(|recording| recording.job.is_some()).nth(index);
    let recording = recording.expect("BUG: the receivers were those of the running recordings");
    let events: Vec<Event> = recording.job.iter().flat_map(|job| job.events().try_iter()).collect();
    for event in events {
        recording.take(event);
    }
}

/// What is shared by all files.
struct Batch<'a> {
    arguments: &'a Arguments,
    /// Loaded for the first file that can be read: what is wrong with the others is told without it.
    engine: Option<Engine>,
    bar: ProgressBar,
    total: Total,
}

impl Batch<'_> {
    /// Hands a file to the engine. An error is about the engine; what is wrong with the file is its outcome.
    fn submit(&mut self, path: &Path) -> anyhow::Result<Recording> {
        if let Some(taken) = self.target(path).filter(|target| target.exists()) {
            let taken = amanuensis_export::WriteError::Taken { path: taken };
            return Ok(Recording::failed(path, taken.to_string()));
        }
        let file = match AudioFile::open(path) {
            Ok(file) => file,
            Err(error) => return Ok(Recording::failed(path, error.to_string())),
        };
        let engine = match &mut self.engine {
            Some(engine) => engine,
            none => none.insert(self.arguments.speech.model.engine()?),
        };
        let subtitles = matches!(self.arguments.format, Format::Srt | Format::Vtt);
        let word_timestamps = self.arguments.word_timestamps || subtitles;
        let options = self.arguments.speech.options(DecodeOptions { word_timestamps, ..DecodeOptions::default() });
        let progress = (Duration::ZERO, file.duration());
        let priority = Priority::Interactive;
        let job = engine.submit(Request { audio: Audio::from(file), priority, options, deadline: None })?;
        Ok(Recording { job: Some(job), progress, ..Recording::new(path) })
    }

    /// The file that a transcript is written into, if it is not the standard output.
    fn target(&self, recording: &Path) -> Option<PathBuf> {
        let mut name = recording.file_stem()?.to_owned();
        name.push(".");
        name.push(self.arguments.format.ending());
        Some(self.arguments.output.as_ref()?.join(name))
    }

    /// Shows what is new of the recording whose turn it is.
    fn show(&mut self, recording: &mut Recording) -> anyhow::Result<()> {
        let Arguments { format, output, .. } = self.arguments;
        // Of a file that could not even be opened there is nothing to show but why.
        let was_read = !matches!(recording.outcome, Some(Err(_))) || !recording.segments.is_empty();
        if *format == Format::Text && output.is_none() && was_read {
            self.show_lines(recording)?;
        }
        let name = recording.path.display().to_string();
        let Some(outcome) = &recording.outcome else {
            self.progress(&name, recording.progress);
            return Ok(());
        };
        let mut failure = outcome.as_ref().err().cloned();
        let outcome = outcome.as_ref().map_err(String::as_str);
        let written = || format.render(&Transcript { recording: &name, segments: &recording.segments, outcome });
        match self.target(&recording.path) {
            Some(target) if was_read => {
                let saved = amanuensis_export::write_new(&target, &written());
                failure = failure.or(saved.err().map(|error| error.to_string()));
            }
            None if *format == Format::Json || (*format != Format::Text && was_read) => self.print(&written())?,
            _ => {}
        }
        match (outcome, failure) {
            (Ok(done), None) => self.total.add(done),
            (_, failure) => {
                self.total.failed += 1;
                self.bar.suspend(|| crate::complain(&failure.unwrap_or_default()));
            }
        }
        self.bar.reset();
        Ok(())
    }

    /// Prints the segments that have come, a line each, under a heading where there are several files.
    fn show_lines(&mut self, recording: &mut Recording) -> std::io::Result<()> {
        let mut text = String::new();
        if recording.printed.is_none() && self.arguments.files.len() > 1 {
            let gap = if self.total.headings > 0 { "\n" } else { "" };
            text += &format!("{gap}==> {} <==\n", plain_name(recording.path.as_os_str()));
            self.total.headings += 1;
        }
        text.extend(recording.segments[recording.printed.unwrap_or(0)..].iter().map(amanuensis_export::line));
        recording.printed = Some(recording.segments.len());
        if text.is_empty() { Ok(()) } else { self.print(text.as_bytes()) }
    }

    fn print(&self, text: &[u8]) -> std::io::Result<()> {
        self.bar.suspend(|| {
            let mut out = std::io::stdout().lock();
            out.write_all(text)?;
            out.flush()
        })
    }

    fn progress(&self, name: &str, (done, total): (Duration, Option<Duration>)) {
        let template = match total {
            // How long it takes is known after the first window.
            Some(_) if done.is_zero() => "{prefix} {wide_bar}",
            Some(_) => "{prefix} {wide_bar} {percent:>3} %, {eta} left",
            None => "{prefix} {spinner} {msg}",
        };
        match total {
            Some(total) => {
                self.bar.set_length(total.as_millis() as u64);
                self.bar.set_position(done.as_millis() as u64);
            }
            None => self.bar.set_message(format!("{:.0} s done", done.as_secs_f64())),
        }
        self.bar.set_prefix(plain_name(name.as_ref()));
        self.bar.set_style(ProgressStyle::with_template(template).expect("BUG: the templates are well formed"));
    }
}

/// A bar that shows nothing until there is something to show. On anything but a terminal it never shows.
fn bar() -> ProgressBar {
    ProgressBar::new(0).with_style(ProgressStyle::with_template("").expect("BUG: nothing is well formed"))
}

/// Figures about all files.
#[derive(Debug, Default)]
struct Total {
    /// Headings that were printed.
    headings: usize,
    done: usize,
    failed: usize,
    audio: Duration,
    device: Option<String>,
}

impl Total {
    fn add(&mut self, done: &Done) {
        self.done += 1;
        self.audio += done.timings.audio;
        self.device = Some(format!("{} ({})", done.device.name, done.device));
    }

    fn summary(&self, took: Duration) -> String {
        let (audio, took) = (self.audio.as_secs_f64(), took.as_secs_f64());
        let mut text = format!("{} of {} recordings transcribed", self.done, self.done + self.failed);
        if let Some(device) = self.device.as_ref().filter(|_| audio > 0.0) {
            text += &format!(
                ": {audio:.1} s of sound in {took:.1} s, {:.1} times as fast as it was spoken (realtime factor {:.3}), on {device}",
                audio / took,
                took / audio,
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_and_compares() {
        let mut total = Total { done: 2, failed: 1, audio: Duration::from_secs(60), ..Total::default() };
        assert_eq!(total.summary(Duration::from_secs(6)), "2 of 3 recordings transcribed");
        total.device = Some("cpu (int8)".to_owned());
        assert_eq!(
            total.summary(Duration::from_secs(6)),
            "2 of 3 recordings transcribed: 60.0 s of sound in 6.0 s, 10.0 times as fast as it was spoken \
             (realtime factor 0.100), on cpu (int8)"
        );
    }
}
