//! What the demo model understands with its encoder on the CPU, on the simulated NPU, and on the virtual one.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use amanuensis_audio::AudioFile;
use amanuensis_backend_cpu::{CpuOptions, Precision};
use amanuensis_backend_npu::{Choice, Format, Machine, NpuOptions, Pace, Policy, open};
use amanuensis_mel::LogMel;
use amanuensis_npu_tests::conformance::{encode, similarity};
use amanuensis_npu_tests::launch::VirtualNpu;
use amanuensis_whisper::{DecodeOptions, FRAMES_PER_WINDOW, Model, Weights, WindowDecoder};

/// None of these was trained on.
const SAID: [&str; 4] = [
    "Please send the report to Alice before Friday.",
    "The quick brown fox jumps over the lazy dog.",
    "The meeting with the new manager starts at ten in the morning.",
    "My sister bought a small house near the river last summer.",
];
const TWO: NonZeroUsize = NonZeroUsize::new(2).expect("two is not zero");

struct Demo {
    path: PathBuf,
    weights: Weights,
    cpu: Arc<dyn Model>,
    /// A spectrogram of each sentence: `[3000, n_mels]`.
    mels: Vec<Vec<f32>>,
}

/// The demo model and what was said to it, or `None` where the test is skipped.
fn demo() -> Option<Demo> {
    let Some(file) = amanuensis_models::demo() else {
        println!("skipped: the demo model is not there");
        return None;
    };
    let weights = Weights::open(&file.path).expect("it is a model");
    let options = CpuOptions { precision: Precision::F32, threads: TWO };
    let cpu = amanuensis_backend_cpu::load(&weights, options).expect("it loads");
    let mut log_mel = LogMel::new(cpu.dims().n_mels);
    let mut mels = Vec::new();
    for sentence in SAID {
        let wav = amanuensis_test_support::speak(sentence)?;
        let mut samples = vec![0.0; 480_000];
        let mut length = 0;
        let mut file = AudioFile::open(&wav).expect("it is sound");
        loop {
            match file.read(&mut samples[length..]).expect("it is whole") {
                0 => break,
                count => length += count,
            }
        }
        let mut mel = vec![0.0; FRAMES_PER_WINDOW * cpu.dims().n_mels];
        log_mel.compute(&samples[..length], &mut mel);
        mels.push(mel);
    }
    Some(Demo { path: file.path, weights, cpu, mels })
}

impl Demo {
    /// What the decoder makes of each sentence's encoder output.
    fn words(&self, encoded: &[Vec<f32>]) -> Vec<String> {
        let mut windows = WindowDecoder::new(Arc::clone(self.weights.tokenizer()));
        let options = DecodeOptions { temperatures: vec![0.0], ..DecodeOptions::default() };
        let mut decoder = Arc::clone(&self.cpu).decoder(1);
        let mut texts = Vec::new();
        for encoded in encoded {
            let result = windows.decode(&mut *decoder, encoded, &options, &[], &[], &mut ());
            texts.push(result.expect("it decodes").text);
        }
        texts
    }

    fn on_the_cpu(&self) -> Vec<Vec<f32>> {
        let mut encoder = Arc::clone(&self.cpu).encoder();
        self.mels.iter().map(|mel| encode(&mut *encoder, mel, FRAMES_PER_WINDOW).expect("it encodes")).collect()
    }

    fn simulated(&self, format: Format) -> Vec<Vec<f32>> {
        let choice = Choice::Simulated { machine: Machine::default(), pace: Pace::Computed, threads: TWO };
        let options = NpuOptions { choice, format, policy: Policy::RequireNpu };
        let mut encoder =
            open(&self.weights, Arc::clone(&self.cpu).encoder(), &options).expect("the simulation opens anywhere");
        self.mels.iter().map(|mel| encode(&mut *encoder, mel, FRAMES_PER_WINDOW).expect("it encodes")).collect()
    }
}

/// Word errors of all sentences, in per cent of the words that were said.
fn error_rate(texts: &[String]) -> f64 {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
    };
    let (mut errors, mut said) = (0, 0);
    for (sentence, text) in SAID.iter().zip(texts) {
        let (from, to) = (words(sentence), words(text));
        // Levenshtein's distance, row by row.
        let mut row: Vec<usize> = (0..=to.len()).collect();
        for (index, word) in from.iter().enumerate() {
            let mut diagonal = std::mem::replace(&mut row[0], index + 1);
            for (column, other) in to.iter().enumerate() {
                let replaced = diagonal + usize::from(word != other);
                diagonal = row[column + 1];
                row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
            }
        }
        errors += row[to.len()];
        said += from.len();
    }
    100.0 * errors as f64 / said as f64
}

/// Checks texts against the CPU's: the same, or within half a point of its error rate.
fn check(name: &str, texts: &[String], cpu: &[String]) {
    let (found, expected) = (error_rate(texts), error_rate(cpu));
    println!("{name}: {found:.1} % of the words wrong, the CPU {expected:.1} %; texts {texts:?}");
    assert!(texts == cpu || found <= expected + 0.5, "{name}: {texts:?}, the CPU: {cpu:?}");
}

#[test]
fn the_simulated_npu_understands_what_the_cpu_does() {
    let Some(demo) = demo() else { return };
    let cpu = demo.on_the_cpu();
    let expected = demo.words(&cpu);
    let bfp16 = demo.simulated(Format::Bfp16);
    for (found, expected) in bfp16.iter().zip(&cpu) {
        let close = similarity(found, expected);
        assert!(close >= 0.999, "{close}");
    }
    check("bfp16", &demo.words(&bfp16), &expected);
    // A setting, and no default: its errors are shown, and only must not be many.
    let int8 = demo.words(&demo.simulated(Format::Int8));
    let (found, expected) = (error_rate(&int8), error_rate(&expected));
    println!("int8: {found:.1} % of the words wrong, the CPU {expected:.1} %; texts {int8:?}");
    assert!(found <= expected + 10.0, "int8: {found} %");
}

#[test]
fn the_real_xrt_over_the_virtual_npu_understands_what_the_cpu_does() {
    let Some(demo) = demo() else { return };
    let npu = match VirtualNpu::prepare() {
        Ok(npu) => npu,
        Err(reason) => return println!("skipped: {reason:#}"),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let program = npu.write_program(folder.path(), demo.cpu.dims(), Format::Bfp16).expect("written");
    let mut command = npu.command(Path::new(env!("CARGO_BIN_EXE_exercise")));
    command.arg("encode").arg(&demo.path).arg(program).arg("bfp16");
    let files: Vec<_> = (0..demo.mels.len()).map(|index| folder.path().join(format!("{index}.f32"))).collect();
    for (file, mel) in files.iter().zip(&demo.mels) {
        let bytes: Vec<u8> = mel.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(file, bytes).expect("written");
        command.arg(file);
    }
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |file: &PathBuf| -> Vec<f32> {
        let bytes = std::fs::read(file).expect("it was written");
        bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    let encoded: Vec<_> = files.iter().map(read).collect();
    let cpu = demo.words(&demo.on_the_cpu());
    check("virtual NPU", &demo.words(&encoded), &cpu);
}
