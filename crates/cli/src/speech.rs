//! The model and how it decodes: flags that every command has which turns speech into text.

use amanuensis_backends::npu::{Format, NpuOptions, Policy};
use amanuensis_backends::{Choice, CpuOptions, Precision};
use amanuensis_engine::{Engine, Settings};
use amanuensis_whisper::decode::{DecodeOptions, Task};
use amanuensis_whisper::languages::LANGUAGES;
use clap::{Args, ValueEnum};

/// Flags about the model.
#[derive(Debug, Args)]
pub struct ModelArguments {
    /// Model to use: the name of an installed one, or a path [default: the one installed last, else the demo model]
    #[arg(long, short, value_name = "MODEL")]
    model: Option<String>,
    /// What does the work
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: Device,
    /// What happens when the NPU cannot do the work
    #[arg(long, value_name = "POLICY", default_value = "require")]
    npu_policy: PolicyArgument,
    /// How the NPU computes
    #[arg(long, value_name = "FORMAT", default_value = "bfp16")]
    npu_format: FormatArgument,
    /// How the CPU holds the model's weights
    #[arg(long, value_name = "PRECISION", default_value = "int8")]
    precision: PrecisionArgument,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Device {
    /// The NPU where there is one that can, else the CPU
    Auto,
    /// The CPU
    Cpu,
    /// The NPU for the encoder
    Npu,
    /// A simulation of the NPU on the CPU: as exact as the NPU, and slow
    Simulated,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PolicyArgument {
    /// The command fails and says why
    Require,
    /// The CPU does it
    Fallback,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatArgument {
    /// Block floating point of 16 bits
    Bfp16,
    /// 8-bit integers: faster, and a few more words are wrong (6.0 % for 5.7 %: the demo model, simulated)
    Int8,
}

/// Flags about model and decoding.
#[derive(Debug, Args)]
pub struct SpeechArguments {
    #[command(flatten)]
    pub model: ModelArguments,
    /// Language that is spoken, as "de" or "German" [default: the model finds out]
    #[arg(long, short, value_name = "LANGUAGE", value_parser = language)]
    language: Option<String>,
    /// Translate into English
    #[arg(long)]
    translate: bool,
    /// Text that could have come before: names and words to expect, a style to follow
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Follow this many candidates at once: slower, now and then better [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    beam_size: Option<u8>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PrecisionArgument {
    /// 8-bit integers: fast and small
    Int8,
    /// 16-bit floats (bfloat16): between the two, and quick where the CPU has AVX-512 BF16
    Bf16,
    /// 32-bit floats: slow, for comparison
    F32,
}

impl ModelArguments {
    /// Loads the model and starts an engine with it.
    ///
    /// # Errors
    /// A sentence: there is no such model, or it cannot be loaded.
    pub fn engine(&self) -> anyhow::Result<Engine> {
        let file = amanuensis_models::choose(self.model.as_deref())?;
        let precision = match self.precision {
            PrecisionArgument::Int8 => Precision::Int8,
            PrecisionArgument::Bf16 => Precision::Bf16,
            PrecisionArgument::F32 => Precision::F32,
        };
        let cpu = CpuOptions { precision, ..CpuOptions::default() };
        let choice = match self.device {
            // Who asks for a precision asks for the CPU, whose it is.
            Device::Auto if matches!(self.precision, PrecisionArgument::Int8) => Choice::Auto,
            Device::Auto | Device::Cpu => Choice::Cpu(cpu),
            Device::Npu => Choice::Npu(self.on_npu(NpuOptions::default()), cpu),
            Device::Simulated => Choice::Npu(self.on_npu(NpuOptions::simulated()), cpu),
        };
        Ok(Engine::start(amanuensis_backends::open(&file, &choice)?, Settings::default())?)
    }

    /// `npu`, as the flags say.
    fn on_npu(&self, npu: NpuOptions) -> NpuOptions {
        let format = match self.npu_format {
            FormatArgument::Bfp16 => Format::Bfp16,
            FormatArgument::Int8 => Format::Int8,
        };
        let policy = match self.npu_policy {
            PolicyArgument::Require => Policy::RequireNpu,
            PolicyArgument::Fallback => Policy::AllowFallback,
        };
        NpuOptions { format, policy, ..npu }
    }
}

impl SpeechArguments {
    /// `defaults`, changed as the flags say.
    pub fn options(&self, defaults: DecodeOptions) -> DecodeOptions {
        DecodeOptions {
            language: self.language.clone(),
            task: if self.translate { Task::Translate } else { Task::Transcribe },
            prompt: self.prompt.clone(),
            beam_size: self.beam_size.map(usize::from).filter(|size| *size > 1),
            ..defaults
        }
    }
}

/// The code of a language that was given by code or name.
fn language(given: &str) -> Result<String, String> {
    let wanted = given.to_lowercase();
    LANGUAGES
        .iter()
        .find(|(code, name)| *code == wanted || name.to_lowercase() == wanted)
        .map(|(code, _)| (*code).to_owned())
        .ok_or_else(|| "no model knows this language; give its code as \"en\" or its English name".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_known_by_code_and_name() {
        assert_eq!(language("de"), Ok("de".to_owned()));
        assert_eq!(language("GERMAN"), Ok("de".to_owned()));
        assert!(language("klingon").is_err());
    }
}
