//! One encoder, one task: what the tests run on the virtual NPU. The last line of the output is the outcome.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use amanuensis_backend_cpu::{CpuOptions, Precision};
use amanuensis_backend_npu::telemetry::Telemetry;
use amanuensis_backend_npu::{Choice, Format, NpuOptions, Policy, diagnose, open};
use amanuensis_npu_tests::conformance::{check, encode, similarity};
use amanuensis_npu_tests::model::spectrogram;
use amanuensis_pool::Pool;
use amanuensis_whisper::{Encoder, MelView, Weights};
use anyhow::{Context, bail, ensure};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [task, rest @ ..] = &arguments[..] else { bail!("exercise TASK [MODEL PROGRAM [FORMAT [FILES…]]]") };
    if task == "diagnose" {
        for link in diagnose() {
            println!("{}: {:?}", link.name, link.state);
        }
        return Ok(());
    }
    let [model, program, format @ ..] = rest else { bail!("give a model and a folder of programs") };
    let files = format.get(1..).unwrap_or_default();
    let format = if format.first().is_some_and(|format| format == "int8") { Format::Int8 } else { Format::Bfp16 };
    let weights = Weights::open(Path::new(model))?;
    let options = CpuOptions { precision: Precision::F32, threads: NonZeroUsize::MIN };
    let cpu = amanuensis_backend_cpu::load(&weights, options)?;
    let program = Some(PathBuf::from(program));
    let npu = |policy| {
        let choice = Choice::Hardware { index: 0, program: program.clone() };
        open(&weights, cpu.clone().encoder(), &NpuOptions { choice, format, policy })
    };
    match task.as_str() {
        "conform" => {
            let least = if format == Format::Int8 { 0.99 } else { 0.999 };
            let mut encoder = npu(Policy::RequireNpu)?;
            println!("{}: {}", encoder.device().name, encoder.device());
            check(&mut *encoder, &mut *cpu.encoder(), least)?;
            println!("it conforms");
        }
        "once" => once(&mut *npu(Policy::RequireNpu)?, &mut *cpu.encoder())?,
        "thousand" => thousand(&mut *npu(Policy::RequireNpu)?)?,
        "fallback" => windows(&mut *npu(Policy::AllowFallback)?, &mut *cpu.encoder())?,
        "required" => match npu(Policy::RequireNpu) {
            Ok(mut encoder) => windows(&mut *encoder, &mut *cpu.encoder())?,
            Err(error) => println!("refused: {error}"),
        },
        "encode" => {
            let mut encoder = npu(Policy::RequireNpu)?;
            files.iter().try_for_each(|file| encode_file(&mut *encoder, Path::new(file)))?;
        }
        "telemetry" => {
            let mut encoder = npu(Policy::RequireNpu)?;
            encode(&mut *encoder, &spectrogram(20, 80, 1), 20)?;
            println!("{:#?}", Telemetry::sample(0, true));
        }
        other => bail!("{other} is no task"),
    }
    Ok(())
}

/// Puts the encoder's output in the place of a file's spectrogram, 32-bit floats both.
fn encode_file(npu: &mut dyn Encoder, file: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(file)?;
    let mel: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let frames = mel.len() / npu.dims().n_mels;
    let encoded = encode(npu, &mel, frames)?;
    std::fs::write(file, encoded.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())?;
    Ok(())
}

/// A full window, for its similarity to the CPU's.
fn once(npu: &mut dyn Encoder, cpu: &mut dyn Encoder) -> anyhow::Result<()> {
    let frames = 2 * npu.dims().n_audio_ctx;
    let mel = spectrogram(frames, npu.dims().n_mels, 11);
    let began = std::time::Instant::now();
    let found = encode(npu, &mel, frames)?;
    println!("{:.2} s of computing", began.elapsed().as_secs_f64());
    println!("similarity {:.6}", similarity(&found, &encode(cpu, &mel, frames)?));
    Ok(())
}

/// A thousand requests, every other one in memory that the device uses where it lies: no buffer may be left, and every result
/// is the first one.
fn thousand(npu: &mut dyn Encoder) -> anyhow::Result<()> {
    let dims = *npu.dims();
    let mel = spectrogram(24, dims.n_mels, 5);
    let expected = encode(npu, &mel, 24)?;
    let pool = Pool::new("thousand", 2, mel.len().max(expected.len()));
    let held = || Telemetry::sample(0, true).buffers.context("the device says what is held");
    let before = held()?;
    for request in 0..1000 {
        let found = if request % 2 == 0 {
            encode(npu, &mel, 24)?
        } else {
            let (mut from, mut to) = (pool.lease()?, pool.lease()?);
            from[..mel.len()].copy_from_slice(&mel);
            let view = MelView::by_frame(&from, 24, dims.n_mels).context("it is long enough")?;
            npu.encode(&[view], &mut [&mut to[..expected.len()]])?;
            to[..expected.len()].to_vec()
        };
        ensure!(found == expected, "request {request} gives another result");
    }
    let after = held()?;
    ensure!(before == after, "{before:?} became {after:?}");
    println!("{} bytes before and after", after.total);
    Ok(())
}

/// Four windows, none of which may be lost. Prints for each which device did it, and why if it was another one.
fn windows(npu: &mut dyn Encoder, cpu: &mut dyn Encoder) -> anyhow::Result<()> {
    let bins = npu.dims().n_mels;
    for window in 0..4 {
        let mel = spectrogram(30, bins, window);
        let view = MelView::by_frame(&mel, 30, bins).context("it is long enough")?;
        let mut out = vec![f32::NAN; 15 * npu.dims().n_audio_state];
        match npu.encode(&[view], &mut [&mut out]) {
            Ok(report) => {
                let close = similarity(&out, &encode(cpu, &mel, 30)?);
                ensure!(close >= 0.999, "window {window}: similarity {close}");
                println!(
                    "window {window}: {}: {}",
                    report.device.name,
                    report.fallback.map(|reason| reason.text).unwrap_or_default()
                );
            }
            Err(error) => println!("window {window}: failed: {error}"),
        }
    }
    Ok(())
}
