//! Model files that are none, or damaged: a typed error in a sentence with a way out, never a panic, never much memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::LazyLock;

use amanuensis_backend_cpu::{CpuOptions, LoadError, load};
use amanuensis_golden::{Folder, FolderType, NumberType, Recipe, write_folder, write_ggml};
use amanuensis_whisper::{Dims, Dtype, LogitsFor, MelView, WeightError, Weights};
use proptest::prelude::*;

/// As small as a model can be: its vocabulary is most of it.
fn recipe() -> Recipe {
    let dims = Dims {
        n_mels: 80,
        n_audio_ctx: 16,
        n_audio_state: 8,
        n_audio_head: 2,
        n_audio_layer: 1,
        n_vocab: 51_864,
        n_text_ctx: 16,
        n_text_state: 8,
        n_text_head: 2,
        n_text_layer: 1,
    };
    Recipe { dims, seed: 3 }
}

/// A whole ggml file.
static GGML: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    write_ggml(file.path(), &recipe(), NumberType::Of(Dtype::F16)).expect("room for a model");
    std::fs::read(file.path()).expect("it was just written")
});

/// Where the list of tokens begins in it: after eleven numbers and the magic, and the filters.
const TOKENS_AT: usize = 12 * 4 + 8 + 80 * 201 * 4;

fn tensors_at() -> usize {
    TOKENS_AT + 4 + recipe().vocabulary().iter().map(|token| 4 + token.len()).sum::<usize>()
}

fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
}

/// Where each tensor of the file begins, and its name.
fn tensors() -> Vec<(usize, String)> {
    let bytes = &*GGML;
    let mut at = tensors_at();
    let mut out = Vec::new();
    while at < bytes.len() {
        let (n_dims, name_length, kind) = (number(bytes, at), number(bytes, at + 4), number(bytes, at + 8));
        let values: usize = (0..n_dims).map(|index| number(bytes, at + 12 + 4 * index)).product();
        let name = at + 12 + 4 * n_dims;
        out.push((at, String::from_utf8_lossy(&bytes[name..name + name_length]).into_owned()));
        at = name + name_length + values * if kind == 0 { 4 } else { 2 };
    }
    out
}

/// Reads the file, packs it and runs it once. What a damaged model computes is not looked at.
fn use_model(path: &Path) -> Result<(), LoadError> {
    let weights = Weights::open(path)?;
    let model = load(&weights, CpuOptions::default())?;
    let dims = *model.dims();
    let frames = 2 * dims.n_audio_ctx;
    let mel = vec![0.5; frames * dims.n_mels];
    let mut encoded = vec![0.0; dims.n_audio_ctx * dims.n_audio_state];
    let view = MelView::by_frame(&mel, frames, dims.n_mels).expect("as long as it has to be");
    if Arc::clone(&model).encoder().encode(&[view], &mut [&mut encoded]).is_ok() {
        let mut decoder = model.decoder(1);
        decoder.start(&encoded).expect("a whole window");
        decoder.forward(&[weights.tokenizer().sot()], LogitsFor::Last, &mut Vec::new()).expect("one token");
        weights.tokenizer().encode("It still has to be able to cut a text into tokens, 漢字 too.");
    }
    Ok(())
}

fn check_sentence(error: &dyn std::error::Error) {
    let text = error.to_string();
    assert!(!text.contains('\n') && text.len() < 700, "{text}");
    assert!(!text.contains(" {") && !text.contains("Some("), "not meant for users: {text}");
    assert!(text.contains("; "), "no next step: {text}");
}

fn refused(path: &Path, expected: &str) {
    let error = use_model(path).expect_err(expected);
    check_sentence(&error);
    assert!(error.to_string().contains(expected), "{expected:?} is not in {error}");
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("room for a model");
        path
    }

    /// The whole file with these bytes at this place.
    fn changed(&self, at: usize, bytes: &[u8]) -> PathBuf {
        let mut all = GGML.clone();
        all[at..at + bytes.len()].copy_from_slice(bytes);
        self.write("model.bin", &all)
    }
}

#[test]
fn a_whole_file_is_read() {
    let place = Place::new();
    use_model(&place.write("model.bin", &GGML)).expect("nothing is wrong with it");
}

#[test]
fn what_is_no_model_is_named() {
    let place = Place::new();
    refused(&place.0.path().join("missing.bin"), "check that it is there");
    refused(&place.write("empty.bin", b""), "0 bytes");
    refused(&place.write("short.bin", b"lm"), "does not begin as a ggml file");
    refused(&place.write("letter.bin", b"Dear Sir or Madam, this is no model."), "does not begin as a ggml file");
    refused(&place.write("torch.pt", b"PK\x03\x04 a checkpoint of PyTorch"), "does not begin as a ggml file");
    refused(&place.write("llama.gguf", b"GGUF\x03\0\0\0"), "does not begin as a ggml file");
    refused(place.0.path(), "without config.json");
}

#[test]
fn a_file_that_breaks_off_is_damaged_wherever_it_does() {
    let place = Place::new();
    let last = GGML.len() - 1;
    for length in [5, 47, 48, 60, TOKENS_AT - 1, TOKENS_AT + 2, TOKENS_AT + 9, tensors_at() - 1, tensors_at() + 7, last]
    {
        refused(&place.write("cut.bin", &GGML[..length]), "it ends after");
    }
    for (at, name) in tensors() {
        refused(&place.write("cut.bin", &GGML[..at]), "download it again");
        refused(&place.write("cut.bin", &GGML[..at + 20]), "it ends after");
        // A tensor that is there under another name is missing under its own.
        let renamed = place.changed(at + 12 + 4 * number(&GGML, at), b"x");
        refused(&renamed, &format!("no tensor {name}"));
    }
}

#[test]
fn absurd_numbers_are_refused() {
    let place = Place::new();
    // Every number of the header but the number type, which nothing depends on.
    for field in (1..11).chain([12, 13]) {
        for value in [0, 1_u32 << 20, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            let path = place.changed(4 * field, &value.to_le_bytes());
            // No layers at all would be a model, but not of this file.
            match use_model(&path) {
                Ok(()) => assert!(value == 0 && [5, 9].contains(&field), "number {field} may not be {value}"),
                Err(error) => check_sentence(&error),
            }
        }
    }
    for value in [0, 1, 50_000, 51_865, 0x7fff_ffff, u32::MAX] {
        refused(&place.changed(TOKENS_AT, &value.to_le_bytes()), "download it again");
    }
    refused(&place.changed(TOKENS_AT + 4, &u32::MAX.to_le_bytes()), "a count of -1");
    refused(&place.changed(TOKENS_AT + 4, &100_000_u32.to_le_bytes()), "a token of 100000 bytes");
    let (tensor, _) = tensors()[0];
    refused(&place.changed(tensor, &9_u32.to_le_bytes()), "a tensor of 9 dimensions");
    refused(&place.changed(tensor + 4, &0x7000_0000_u32.to_le_bytes()), "with a name of");
    refused(&place.changed(tensor + 8, &99_u32.to_le_bytes()), "number type 99");
    // Type 8 is in blocks of 32, and these rows have three values.
    refused(&place.changed(tensor + 8, &8_u32.to_le_bytes()), "the shape");
    refused(&place.changed(tensor + 12, &[0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f]), "");
}

#[test]
fn dimensions_and_tensors_have_to_fit() {
    let place = Place::new();
    // Text context and audio context by one, another number of heads that does not divide the width.
    for (field, value) in [(6, 15_u32), (2, 17)] {
        refused(&place.changed(4 * field, &value.to_le_bytes()), "where its dimensions say");
    }
    refused(&place.changed(4 * 4, &3_u32.to_le_bytes()), "not a multiple of its heads");
    refused(&place.changed(4 * 9, &2_u32.to_le_bytes()), "no tensor decoder.blocks.1");
    refused(&place.changed(4, &51_865_u32.to_le_bytes()), "words where");
}

#[test]
fn values_that_are_no_numbers_are_refused() {
    let place = Place::new();
    let tensors = tensors();
    for (index, (at, name)) in tensors.iter().enumerate() {
        let end = tensors.get(index + 1).map_or(GGML.len(), |(next, _)| *next);
        let f16 = number(&GGML, at + 8) == 1;
        let bad: &[u8] = if f16 { &[0x00, 0x7c] } else { &[0, 0, 0xc0, 0x7f] };
        let error = use_model(&place.changed(end - bad.len(), bad)).expect_err("the last value is no number");
        check_sentence(&error);
        assert!(matches!(&error, LoadError::NotFinite { tensor, .. } if tensor == name), "{name}: {error}");
    }
}

/// A whole folder, and changes to it.
fn folder(change: impl FnOnce(&Path)) -> Place {
    let place = Place::new();
    let folder = Folder { number_type: FolderType::F32, shards: 1, tokenizer_json: false };
    write_folder(place.0.path(), &recipe(), folder).expect("room for a model");
    change(place.0.path());
    place
}

fn edit(path: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let mut value = serde_json::from_slice(&std::fs::read(path).expect("it was written")).expect("JSON");
    change(&mut value);
    std::fs::write(path, value.to_string()).expect("room for it");
}

#[test]
fn folders_are_refused_for_what_they_lack() {
    use_model(folder(|_| {}).0.path()).expect("nothing is wrong with it");
    let remove =
        |name: &'static str| folder(move |path| std::fs::remove_file(path.join(name)).expect("it was written"));
    refused(remove("config.json").0.path(), "without config.json");
    refused(remove("vocab.json").0.path(), "neither vocab.json nor tokenizer.json");
    refused(remove("model.safetensors").0.path(), "no model.safetensors");

    let write = |name: &'static str, bytes: &'static [u8]| {
        folder(move |path| std::fs::write(path.join(name), bytes).expect("room for it"))
    };
    for name in ["config.json", "vocab.json"] {
        for bytes in [&b""[..], b"{", b"[]", b"null", b"\xff\xfe", b"{\"d_model\": -1}"] {
            let place = folder(|path| std::fs::write(path.join(name), bytes).expect("room for it"));
            refused(place.0.path(), "cannot be understood");
        }
    }
    refused(write("model.safetensors", b"").0.path(), "0 bytes");
    refused(write("model.safetensors", b"\xff\xff\xff\xff\xff\xff\xff\x7f{}").0.path(), "download it again");
    refused(write("model.safetensors", b"\x02\0\0\0\0\0\0\0{}").0.path(), "no tensor");
    refused(write("vocab.json", b"{}").0.path(), "0 words");
    refused(write("vocab.json", b"{\"a\": 0, \"c\": 2}").0.path(), "leaves out token 1");
    refused(write("vocab.json", "{\"漢\": 0}".as_bytes()).0.path(), "outside of the byte alphabet");

    let cut = folder(|path| {
        let bytes = std::fs::read(path.join("model.safetensors")).expect("it was written");
        std::fs::write(path.join("model.safetensors"), &bytes[..bytes.len() - 10]).expect("room for it");
    });
    refused(cut.0.path(), "download it again");
    let nan = folder(|path| {
        let mut bytes = std::fs::read(path.join("model.safetensors")).expect("it was written");
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
        std::fs::write(path.join("model.safetensors"), bytes).expect("room for it");
    });
    refused(nan.0.path(), "not numbers");
}

#[test]
fn folders_are_refused_for_what_does_not_fit() {
    for (key, value) in [
        ("d_model", serde_json::json!(16)),
        ("d_model", serde_json::json!(1_000_000_000_000_u64)),
        ("encoder_layers", serde_json::json!(2)),
        ("decoder_attention_heads", serde_json::json!(0)),
        ("max_target_positions", serde_json::json!(448)),
        ("vocab_size", serde_json::json!(30_000)),
        ("num_mel_bins", serde_json::json!(128)),
        ("num_mel_bins", serde_json::json!(80.5)),
    ] {
        let place = folder(|path| edit(&path.join("config.json"), |config| config[key] = value.clone()));
        let error = use_model(place.0.path()).expect_err(key);
        check_sentence(&error);
    }
}

#[test]
fn an_index_does_not_lead_out_of_its_folder() {
    for name in ["../model.safetensors", "/etc/hostname", "shards/model.safetensors", "..", ""] {
        let place = folder(|path| {
            std::fs::remove_file(path.join("model.safetensors")).expect("it was written");
            let index = serde_json::json!({ "weight_map": { "model.encoder.conv1.weight": name } });
            std::fs::write(path.join("model.safetensors.index.json"), index.to_string()).expect("room for it");
        });
        refused(place.0.path(), "names files that are not in it");
    }
    let place = folder(|path| {
        std::fs::remove_file(path.join("model.safetensors")).expect("it was written");
        let index = serde_json::json!({ "weight_map": { "model.encoder.conv1.weight": "model-1.safetensors" } });
        std::fs::write(path.join("model.safetensors.index.json"), index.to_string()).expect("room for it");
    });
    let error = Weights::open(place.0.path()).expect_err("a shard is missing");
    check_sentence(&error);
    assert!(matches!(error, WeightError::Io { .. }), "{error}");
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// Changes of a file: places, most of them where numbers stand that others depend on, and what they become.
fn changes() -> impl Strategy<Value = Vec<(usize, u8)>> {
    let headers: Vec<usize> = (0..56)
        .chain(TOKENS_AT..TOKENS_AT + 40)
        .chain(tensors().iter().flat_map(|(at, name)| *at..at + 24 + name.len()))
        .collect();
    let place = prop_oneof![4 => prop::sample::select(headers), 1 => 0..GGML.len()];
    prop::collection::vec((place, prop_oneof![any::<u8>(), Just(0), Just(0xff), Just(0x7f)]), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn damaged_files_do_no_harm(
        changes in changes(),
        length in prop_oneof![4 => Just(GGML.len()), 1 => 0..GGML.len()],
    ) {
        let mut bytes = GGML.clone();
        for (at, byte) in &changes {
            bytes[*at] = *byte;
        }
        bytes.truncate(length);
        let place = Place::new();
        let before = peak_kib();
        if let Err(error) = use_model(&place.write("model.bin", &bytes)) {
            check_sentence(&error);
        }
        prop_assert!(peak_kib() < before + (1 << 20), "a small file took a gigabyte");
    }
}

/// A folder whose tensors each test damages anew.
static FOLDER: LazyLock<(Place, Vec<u8>)> = LazyLock::new(|| {
    let place = folder(|_| {});
    let bytes = std::fs::read(place.0.path().join("model.safetensors")).expect("it was written");
    (place, bytes)
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn damaged_safetensors_do_no_harm(
        changes in prop::collection::vec((0_usize..6_000, any::<u8>()), 1..4),
    ) {
        let (place, bytes) = &*FOLDER;
        let mut bytes = bytes.clone();
        for (at, byte) in &changes {
            bytes[*at] = *byte;
        }
        if let Err(error) = use_model(place.write("model.safetensors", &bytes).parent().expect("it lies in a folder")) {
            check_sentence(&error);
        }
    }
}
