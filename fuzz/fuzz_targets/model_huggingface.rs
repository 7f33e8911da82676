//! A model's folder as Hugging Face publishes them, its files of any bytes.

#![no_main]

use amanuensis_fuzz::{folder, read_model};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Files<'a> {
    config: &'a [u8],
    vocabulary: &'a [u8],
    tokenizer: Option<&'a [u8]>,
    index: Option<&'a [u8]>,
    weights: &'a [u8],
}

fuzz_target!(|files: Files| {
    let folder = folder();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("it is in memory");
    write("config.json", files.config);
    match files.tokenizer {
        Some(bytes) => write("tokenizer.json", bytes),
        None => write("vocab.json", files.vocabulary),
    }
    if let Some(bytes) = files.index {
        write("model.safetensors.index.json", bytes);
    }
    write("model.safetensors", files.weights);
    read_model(folder.path());
});
