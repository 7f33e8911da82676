//! A whole model, as a ggml file and as Hugging Face publishes them, in which some bytes are others and a file may end early.

#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use amanuensis_fuzz::{folder, read_model, smallest_model};
use amanuensis_golden::{Folder, FolderType, NumberType, write_folder, write_ggml};
use amanuensis_whisper::Dtype;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input {
    file: u8,
    end: Option<u32>,
    edits: Vec<(u32, u8)>,
}

/// The models: what to open of each, and its files with their content.
struct Models {
    _folder: tempfile::TempDir,
    files: Vec<(PathBuf, PathBuf, Vec<u8>)>,
}

static MODELS: LazyLock<Models> = LazyLock::new(|| {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let recipe = smallest_model();
    write_ggml(&path("ggml.bin"), &recipe, NumberType::Of(Dtype::F16)).expect("memory can be written");
    let mut models = vec![path("ggml.bin")];
    for (tokenizer_json, shards) in [(false, 1), (true, 2)] {
        let model = path(if tokenizer_json { "tokenizer" } else { "vocab" });
        std::fs::create_dir(&model).expect("memory can be written");
        let layout = Folder { number_type: FolderType::F16, shards, tokenizer_json };
        write_folder(&model, &recipe, layout).expect("memory can be written");
        models.push(model);
    }
    let files = models.iter().flat_map(|model| {
        let mut files: Vec<PathBuf> = match std::fs::read_dir(model) {
            Ok(entries) => entries.map(|entry| entry.expect("memory can be read").path()).collect(),
            Err(_) => vec![model.clone()],
        };
        files.sort();
        files.into_iter().map(|file| {
            let content = std::fs::read(&file).expect("memory can be read");
            (model.clone(), file, content)
        })
    });
    Models { files: files.collect(), _folder: folder }
});

fuzz_target!(|input: Input| {
    let files = &MODELS.files;
    let (model, file, whole) = &files[usize::from(input.file) % files.len()];
    let mut bytes = whole.clone();
    for (at, byte) in input.edits {
        let at = at as usize % bytes.len();
        bytes[at] = byte;
    }
    if let Some(end) = input.end {
        bytes.truncate(end as usize % (bytes.len() + 1));
    }
    write(file, &bytes);
    read_model(model);
    write(file, whole);
});

fn write(file: &Path, bytes: &[u8]) {
    std::fs::write(file, bytes).expect("memory can be written");
}
