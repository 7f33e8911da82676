//! `amanuensis models`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use amanuensis_models::shelf::{self, Keep};
use amanuensis_models::size::in_words;
use amanuensis_models::speed::{Machine, memory_bytes};
use amanuensis_models::{DownloadError, Entry, Hub, ModelFile, Progress, Step, Stop, catalogue, download};
use amanuensis_whisper::{Dims, Weights};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

/// List, download, add and delete models
///
/// Nothing is downloaded but what you ask for, from huggingface.co/ggerganov/whisper.cpp or the servers that
/// AMANUENSIS_MODEL_MIRRORS or HF_ENDPOINT name, through the proxy of HTTPS_PROXY.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the models that are installed and those that can be downloaded
    List,
    /// Download a model; go on where an earlier download ended
    Download {
        /// Name of a model, as "base.en"
        name: String,
    },
    /// Delete an installed model
    Delete {
        /// Name of the model
        name: String,
    },
    /// Add a model that lies on this machine: a ggml .bin file, or a folder from Hugging Face
    Add {
        /// The file or folder
        file: PathBuf,
        /// Put a link to it in place of a copy
        #[arg(long)]
        link: bool,
    },
    /// Print where models lie
    Path,
}

/// Does what is asked about models.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let folder = amanuensis_models::folder();
    let mut out = std::io::stdout().lock();
    match &arguments.command {
        Command::List => list(&folder, &mut out)?,
        Command::Download { name } => {
            let entry = wanted(name)?;
            fetch(&entry, &folder)?;
            writeln!(out, "{} is installed and will be used, for it is the newest.", entry.name)?;
        }
        Command::Delete { name } => {
            let model = amanuensis_models::choose(Some(name))?;
            shelf::delete(&model, &folder)?;
            writeln!(out, "{} is deleted.", model.name)?;
        }
        Command::Add { file, link } => {
            let keep = if *link { Keep::Link } else { Keep::Copy };
            let model = shelf::add(file, &folder, keep)?;
            writeln!(out, "{} is installed.", model.name)?;
        }
        Command::Path => writeln!(out, "{}", folder.display())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn wanted(name: &str) -> anyhow::Result<Entry> {
    let entries = catalogue();
    let known = entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", ");
    entries
        .iter()
        .find(|entry| entry.name.eq_ignore_ascii_case(name) || entry.file_name() == name)
        .cloned()
        .with_context(|| format!("no model called \"{name}\" can be downloaded; there are {known}"))
}

fn fetch(entry: &Entry, folder: &Path) -> anyhow::Result<()> {
    let hub = Hub::from_environment()?;
    let stop = Stop::default();
    let stopped = stop.clone();
    ctrlc::set_handler(move || stopped.stop()).context("cannot listen for Ctrl-C")?;
    let bar = ProgressBar::new(entry.bytes);
    let style = |template| ProgressStyle::with_template(template).expect("BUG: the templates are well formed");
    let receiving = style("{prefix} {bar:30} {percent}% of {total_bytes}, {msg}");
    bar.set_style(receiving);
    bar.set_prefix(entry.name.clone());
    let result = hub.download(entry, folder, &stop, &mut |progress| {
        bar.set_position(progress.done);
        bar.set_message(step_words(&progress));
    });
    bar.finish_and_clear();
    if let (Err(DownloadError::Stopped), Some(there)) = (&result, download::unfinished(entry, folder)) {
        anyhow::bail!(
            "stopped with {} of {} received; the same command goes on from there",
            in_words(there),
            in_words(entry.bytes)
        );
    }
    Ok(result?)
}

fn step_words(progress: &Progress) -> String {
    match (progress.step, progress.rate) {
        (Step::Checking, _) => "reading what is there".to_owned(),
        (Step::Waiting, _) => "waiting to ask again".to_owned(),
        (Step::Receiving, Some(rate)) if rate >= 1.0 => {
            let left = ((progress.total - progress.done) as f64 / rate).ceil() as u64;
            format!("{}/s, {}:{:02} left", in_words(rate as u64), left / 60, left % 60)
        }
        (Step::Receiving, _) => "receiving".to_owned(),
    }
}

fn list(folder: &Path, out: &mut impl std::io::Write) -> anyhow::Result<()> {
    let machine = Machine::measure();
    let installed: Vec<ModelFile> =
        amanuensis_models::installed().into_iter().chain(amanuensis_models::demo()).collect();
    writeln!(out, "{HEADING}")?;
    writeln!(out, "Installed in {}, the one at the top is used:", folder.display())?;
    for model in &installed {
        let note = if model.demo { ", comes with the program, for a first try only" } else { "" };
        let line = match Weights::open(&model.path) {
            Ok(weights) => {
                line(&model.name, model.bytes(), Some(weights.dims()), weights.dims().is_multilingual(), machine)
            }
            Err(error) => format!("{:<21} cannot be used: {error}", model.name),
        };
        writeln!(out, "  {line}{note}")?;
    }
    writeln!(out, "To be had with `amanuensis models download NAME`:")?;
    for entry in catalogue().iter().filter(|entry| !installed.iter().any(|model| model.name == entry.name)) {
        let begun = download::unfinished(entry, folder).map(|there| format!(", {} of it is here", in_words(there)));
        let line = line(&entry.name, entry.bytes, entry.dims.as_ref(), entry.is_multilingual(), machine);
        writeln!(out, "  {line}{}", begun.unwrap_or_default())?;
    }
    writeln!(
        out,
        "Speed and memory are estimates for this machine's CPU: \"12x\" writes 12 s of speech out in a second."
    )?;
    Ok(())
}

const HEADING: &str = "  NAME                     FILE   MEMORY    SPEED  LANGUAGES";

fn line(name: &str, bytes: u64, dims: Option<&Dims>, multilingual: bool, machine: Machine) -> String {
    let memory = dims.map_or_else(String::new, |dims| in_words(memory_bytes(dims)));
    let speed = dims.map_or_else(String::new, |dims| times(machine.speed(dims)));
    let languages = match dims.map(Dims::n_languages) {
        Some(1) => "English".to_owned(),
        Some(count) => count.to_string(),
        None if multilingual => "many".to_owned(),
        None => "English".to_owned(),
    };
    format!("{name:<20} {:>8} {memory:>8} {speed:>8}  {languages}", in_words(bytes))
}

/// As exact as an estimate can be.
fn times(speed: f64) -> String {
    if speed < 10.0 { format!("~{speed:.1}x") } else { format!("~{speed:.0}x") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_says_how_long_it_will_take() {
        let progress = |step, rate| Progress { step, done: 1_000_000, total: 91_000_000, rate };
        assert_eq!(step_words(&progress(Step::Receiving, Some(1e6))), "1 MB/s, 1:30 left");
        assert_eq!(step_words(&progress(Step::Receiving, None)), "receiving");
        assert_eq!(step_words(&progress(Step::Waiting, None)), "waiting to ask again");
    }
}
