//! `amanuensis watch`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use amanuensis_audio::AudioFile;
use amanuensis_engine::{Done, Engine, Event, Priority, Request};
use amanuensis_export::{Format, Transcript, beside, plain_name, write_new};
use amanuensis_folders::{Watch, WatchEvent, memories};
use amanuensis_whisper::{DecodeOptions, Segment};
use anyhow::Context as _;
use clap::Args;

use crate::speech::SpeechArguments;
use crate::transcribe::formats;

/// Transcribe each recording that is put into a folder
///
/// The text is written beside the recording, and its name printed, once the recording has stopped growing. What was done is
/// remembered over restarts, and nothing is ever overwritten. Stop it with Ctrl+C.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The folder; those in it are watched too
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    #[command(flatten)]
    speech: SpeechArguments,
    /// Form of the transcripts
    #[arg(long, short, value_name = "FORMAT", default_value = "txt", value_parser = formats())]
    format: Format,
    /// Also transcribe the recordings that are there when the folder is watched for the first time
    #[arg(long)]
    existing: bool,
}

/// Runs until it is ended from outside.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let memories = memories().context("there is no place to remember what was done: set HOME or XDG_STATE_HOME")?;
    let engine = arguments.speech.model.engine()?;
    let (sender, events) = crossbeam_channel::unbounded();
    // The receiver lives as long as the program.
    let watch = Watch::start(&arguments.folder, &memories, arguments.existing, move |event| _ = sender.send(event))?;
    eprintln!("Watching {} for new recordings. Stop with Ctrl+C.", shown(&arguments.folder));
    for event in events {
        match event {
            WatchEvent::Recording(recording) => {
                match transcribe(arguments, &engine, &recording) {
                    Ok(document) => println!("{}", shown(&document)),
                    Err(error) => crate::complain(&format!("{error:#}")),
                }
                watch.done(recording);
            }
            WatchEvent::Trouble(error) => crate::complain(&error.to_string()),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the text of a recording beside it. Of one that is damaged, the text up to there is written, and the damage told.
fn transcribe(arguments: &Arguments, engine: &Engine, recording: &Path) -> anyhow::Result<PathBuf> {
    let file = AudioFile::open(recording)?;
    let word_timestamps = arguments.format.wants_word_times();
    let options = arguments.speech.options(DecodeOptions { word_timestamps, ..DecodeOptions::default() });
    let job = engine.submit(Request { audio: file.into(), priority: Priority::Batch, options, deadline: None })?;
    let mut segments = Vec::new();
    let mut outcome = Err("the transcription was cancelled".to_owned());
    for event in job.events() {
        match event {
            Event::Segment(segment) => segments.push(segment),
            Event::Finished(result) => outcome = result.map_err(|error| error.to_string()),
            Event::Started | Event::Progress { .. } => {}
        }
    }
    let document = write(arguments.format, recording, &segments, &outcome)?;
    match outcome {
        Ok(_) => Ok(document),
        Err(reason) => anyhow::bail!("{reason}; {} has what was understood", shown(&document)),
    }
}

fn write(
    format: Format,
    recording: &Path,
    segments: &[Segment],
    outcome: &Result<Done, String>,
) -> anyhow::Result<PathBuf> {
    let name = recording.file_name().unwrap_or_default().to_string_lossy();
    let outcome = outcome.as_ref().map_err(String::as_str);
    let document = beside(recording, format.ending());
    write_new(&document, &format.render(&Transcript { recording: &name, segments, outcome }))?;
    Ok(document)
}

fn shown(path: &Path) -> String {
    plain_name(path.as_os_str())
}
