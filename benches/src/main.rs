//! Measures the stages of transcription on this machine, beside what the silicon allows, and prints a table or JSON.
//!
//! `cargo xtask bench` builds it for release and runs it.

mod ceiling;
mod stages;

use std::path::PathBuf;

use amanuensis_backend_cpu::Precision;
use amanuensis_benches::model;
use clap::{Parser, ValueEnum};
use serde::Serialize;

use crate::ceiling::Ceiling;
use crate::stages::Stages;

#[derive(Parser)]
#[command(about = "Measures the stages of transcription with random weights of Whisper's shapes")]
struct Arguments {
    /// Shapes to measure.
    #[arg(long, value_delimiter = ',', default_value = "tiny.en,base.en,small.en")]
    models: Vec<String>,
    /// Numbers of threads to measure with.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<std::num::NonZeroUsize>,
    /// How weights are held.
    #[arg(long, value_delimiter = ',', default_value = "int8")]
    precisions: Vec<Number>,
    /// Runs of each; the table shows their median and their minimum.
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// Tokens that each window is decoded to.
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// Seconds of sound in the window.
    #[arg(long, default_value_t = 30.0)]
    seconds: f32,
    /// Where models with random weights are kept.
    #[arg(long)]
    cache: PathBuf,
    /// Take turns with other engines: each line on the standard input says what to run, and its times are printed. `run` is the
    /// window, `short` its first five seconds, `many` sixteen windows in the best mode for that.
    #[arg(long)]
    takes_turns: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Number {
    F32,
    Bf16,
    Int8,
}

/// One line of the table.
#[derive(Serialize)]
struct Line {
    model: String,
    precision: Number,
    threads: usize,
    ceiling: Ceiling,
    stages: Stages,
    encoder_gops: f64,
    encoder_fraction_of_ceiling: f64,
    /// Milliseconds in which the decoder's weights are read once.
    reading_ms: f64,
    token_fraction_of_reading: f64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut lines = Vec::new();
    for name in &arguments.models {
        let path = model::random(&arguments.cache, name)?;
        for precision in &arguments.precisions {
            for threads in &arguments.threads {
                let (kind, weight_bytes) = match precision {
                    Number::F32 => (Precision::F32, 4),
                    Number::Bf16 => (Precision::Bf16, 2),
                    Number::Int8 => (Precision::Int8, 1),
                };
                let ceiling = ceiling::measure(threads.get());
                let plan = stages::Plan {
                    runs: arguments.runs,
                    tokens: arguments.tokens,
                    seconds: arguments.seconds,
                    takes_turns: arguments.takes_turns,
                };
                let stages = stages::measure(&path, &arguments.cache.join("packed"), kind, *threads, &plan)?;
                let encoder_gops = stages.encoder_operations / stages.encoder.min / 1e6;
                let most = match precision {
                    Number::F32 => ceiling.f32,
                    Number::Bf16 => ceiling.bf16,
                    Number::Int8 => ceiling.int8,
                };
                let reading_ms = ceiling::reading_ms(threads.get(), weight_bytes * stages.decoder_weights);
                let line = Line {
                    model: name.clone(),
                    precision: *precision,
                    threads: threads.get(),
                    ceiling,
                    encoder_gops,
                    encoder_fraction_of_ceiling: if most > 0.0 { encoder_gops / most } else { 0.0 },
                    reading_ms,
                    token_fraction_of_reading: reading_ms / stages.token.min,
                    stages,
                };
                if !arguments.json && !arguments.takes_turns {
                    print(&line, lines.is_empty());
                }
                lines.push(line);
            }
        }
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&lines)?);
    }
    Ok(())
}

fn print(line: &Line, first: bool) {
    if first {
        println!("Milliseconds: median (minimum); of CPU time, all threads together, the minimum.");
        println!(
            "Load: packed before, from files that the system keeps in memory; first: from its start to the first token."
        );
        println!("Ceilings in GOP/s, measured in registers; GOP/s and their fraction from the minimum of the encoder.");
        println!("Read: the decoder's weights once, and nothing else; its fraction of the minimum of a token.");
        println!(
            "{:<9} {:<5} {:>2}  {:>15} {:>17} {:>9} {:>15} {:>15} {:>17} {:>5} {:>6} {:>7} {:>6} {:>5} {:>5} {:>5} {:>6} {:>8}",
            "model",
            "",
            "th",
            "mel",
            "encoder",
            "its CPU",
            "cross",
            "token",
            "end to end",
            "load",
            "first",
            "GOP/s",
            "of max",
            "int8",
            "bf16",
            "f32",
            "read",
            "of token"
        );
    }
    let stages = &line.stages;
    println!(
        "{:<9} {:<5} {:>2}  {:>15} {:>17} {:>9.1} {:>15} {:>15} {:>17} {:>5.0} {:>6.0} {:>7.0} {:>5.0}% {:>5.0} {:>5.0} {:>5.0} {:>6.2} {:>7.0}%",
        line.model,
        format!("{:?}", line.precision).to_lowercase(),
        line.threads,
        stages.mel.to_string(),
        stages.encoder.to_string(),
        stages.encoder_cpu.min,
        stages.cross.to_string(),
        stages.token.to_string(),
        stages.end_to_end.to_string(),
        stages.load_ms,
        stages.first_token_ms,
        line.encoder_gops,
        100.0 * line.encoder_fraction_of_ceiling,
        line.ceiling.int8,
        line.ceiling.bf16,
        line.ceiling.f32,
        line.reading_ms,
        100.0 * line.token_fraction_of_reading,
    );
}
