//! The models that can be downloaded: OpenAI's Whisper in all sizes, as whisper.cpp's ggml files.
//!
//! A file is known by its length and its SHA-256, and nothing else is installed under its name.
//!
//! *Source*: files of <https://huggingface.co/ggerganov/whisper.cpp> at [`REVISION`]. Their SHA-256 are the ids under which that
//! repository's Git LFS holds them. We could not reach it when this was written: lengths and SHA-256 were taken from public
//! programs that name this revision or publish what its API answers, and each agreed in at least two that do not share code.
//! The SHA-1 that whisper.cpp's own list (`models/README.md`) gives belong to the same names and lengths. A wrong entry can
//! only refuse a file, never let another one in.

use std::path::Path;

use amanuensis_whisper::Dims;

/// The state of the repository that the list describes; what an address with it leads to never changes.
pub const REVISION: &str = "5359861c739e955e79d9a303bcbc70fb988958b1";
/// Names a file of more models, such as those of a company: one a line, as [`parse`] reads it.
pub const CATALOGUE_VARIABLE: &str = "AMANUENSIS_CATALOGUE";

/// A model that can be downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What a person calls it, as "base.en".
    pub name: String,
    /// Length of its file.
    pub bytes: u64,
    /// SHA-256 of its file, in lower-case hexadecimal.
    pub sha256: String,
    /// Its dimensions, where they are known.
    pub dims: Option<Dims>,
    /// Where it lies, unless it is one of the hub's.
    pub address: Option<String>,
}

impl Entry {
    /// Name of its file.
    pub fn file_name(&self) -> String {
        format!("ggml-{}.bin", self.name)
    }

    /// Whether it knows languages other than English. Names say so: English-only models have `.en` in theirs.
    pub fn is_multilingual(&self) -> bool {
        self.dims.map_or_else(|| !self.name.contains(".en"), |dims| dims.is_multilingual())
    }

    fn new(name: &str, bytes: u64, sha256: &str) -> Self {
        let dims = Some(dims_of(name));
        Self { name: name.to_owned(), bytes, sha256: sha256.to_owned(), dims, address: None }
    }
}

/// All models of the catalogue, the small ones first, and behind them those of the file that [`CATALOGUE_VARIABLE`] names.
pub fn catalogue() -> Vec<Entry> {
    let named = std::env::var_os(CATALOGUE_VARIABLE);
    let more = named.map(|path| read(Path::new(&path))).unwrap_or_default();
    published().into_iter().chain(more).collect()
}

fn read(path: &Path) -> Vec<Entry> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| {
        tracing::error!("cannot read {}, which {CATALOGUE_VARIABLE} names: {error}", path.display());
        String::new()
    });
    let entry = |line: &str| {
        let entry = parse(line);
        if entry.is_none() {
            tracing::error!("{} has a line that is none of a catalogue: {line}", path.display());
        }
        entry
    };
    text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).filter_map(entry).collect()
}

/// An entry of a line: name, length in bytes, SHA-256 and address, with spaces between.
pub fn parse(line: &str) -> Option<Entry> {
    let mut words = line.split_whitespace();
    let (name, bytes, sha256, address) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let named =
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)) && !name.starts_with('.');
    let hashed = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    (named && hashed && words.next().is_none()).then_some(())?;
    Some(Entry {
        name: name.to_owned(),
        bytes: bytes.parse().ok().filter(|bytes| *bytes > 0)?,
        sha256: sha256.to_lowercase(),
        dims: None,
        address: Some(address.to_owned()),
    })
}

#[rustfmt::skip]
fn published() -> Vec<Entry> {
    vec![
        Entry::new("tiny", 77_691_713, "be07e048e1e599ad46341c8d2a135645097a538221678b7acdd1b1919c6e1b21"),
        Entry::new("tiny.en", 77_704_715, "921e4cf8686fdd993dcd081a5da5b6c365bfde1162e72b08d75ac75289920b1f"),
        Entry::new("base", 147_951_465, "60ed5bc3dd14eea856493d334349b405782ddcaf0028d4b5df4088345fba2efe"),
        Entry::new("base.en", 147_964_211, "a03779c86df3323075f5e796cb2ce5029f00ec8869eee3fdfb897afe36c6d002"),
        Entry::new("small", 487_601_967, "1be3a9b2063867b937e64e2ec7483364a79917e157fa98c5d94b5c1fffea987b"),
        Entry::new("small-q5_1", 190_085_487, "ae85e4a935d7a567bd102fe55afc16bb595bdb618e11b2fc7591bc08120411bb"),
        Entry::new("small-q8_0", 264_464_607, "49c8fb02b65e6049d5fa6c04f81f53b867b5ec9540406812c643f177317f779f"),
        Entry::new("small.en", 487_614_201, "c6138d6d58ecc8322097e0f987c32f1be8bb0a18532a3f88f734d1bbf9c41e5d"),
        Entry::new("small.en-q5_1", 190_098_681, "bfdff4894dcb76bbf647d56263ea2a96645423f1669176f4844a1bf8e478ad30"),
        Entry::new("small.en-q8_0", 264_477_561, "67a179f608ea6114bd3fdb9060e762b588a3fb3bd00c4387971be4d177958067"),
        Entry::new("medium", 1_533_763_059, "6c14d5adee5f86394037b4e4e8b59f1673b6cee10e3cf0b11bbdbee79c156208"),
        Entry::new("medium-q5_0", 539_212_467, "19fea4b380c3a618ec4723c3eef2eb785ffba0d0538cf43f8f235e7b3b34220f"),
        Entry::new("medium-q8_0", 823_369_779, "42a1ffcbe4167d224232443396968db4d02d4e8e87e213d3ee2e03095dea6502"),
        Entry::new("medium.en", 1_533_774_781, "cc37e93478338ec7700281a7ac30a10128929eb8f427dda2e865faa8f6da4356"),
        Entry::new("medium.en-q5_0", 539_225_533, "76733e26ad8fe1c7a5bf7531a9d41917b2adc0f20f2e4f5531688a8c6cd88eb0"),
        Entry::new("medium.en-q8_0", 823_382_461, "43fa2cd084de5a04399a896a9a7a786064e221365c01700cea4666005218f11c"),
        Entry::new("large-v3", 3_095_033_483, "64d182b440b98d5203c4f9bd541544d84c605196c4f7b845dfa11fb23594d1e2"),
        Entry::new("large-v3-q5_0", 1_081_140_203, "d75795ecff3f83b5faa89d1900604ad8c780abd5739fae406de19f23ecd98ad1"),
        Entry::new("large-v3-turbo", 1_624_555_275, "1fc70f774d38eb169993ac391eea357ef47c88757ef72ee5943879b7e8e2bc69"),
        Entry::new("large-v3-turbo-q5_0", 574_041_195, "394221709cd5ad1f40c46e6031ca61bce88931e6e088c188294c6d5a55ffa7e2"),
        Entry::new("large-v3-turbo-q8_0", 874_188_075, "317eb69c11673c9de1e1f0d459b253999804ec71ac4c23c17ecf5fbe24e259a1"),
    ]
}

/// Dimensions of a published size.
///
/// *Source*: <https://github.com/openai/whisper/blob/v20250625/model-card.md>
fn dims_of(name: &str) -> Dims {
    let size = name.split(['.', '-']).next().unwrap_or(name);
    let (width, heads, layers) = match size {
        "tiny" => (384, 6, 4),
        "base" => (512, 8, 6),
        "small" => (768, 12, 12),
        "medium" => (1024, 16, 24),
        _ => (1280, 20, 32),
    };
    let large = size == "large";
    let n_vocab = match (large, name.contains(".en")) {
        (true, _) => 51_866,
        (false, true) => 51_864,
        (false, false) => 51_865,
    };
    Dims {
        n_mels: if large { 128 } else { 80 },
        n_audio_ctx: 1500,
        n_audio_state: width,
        n_audio_head: heads,
        n_audio_layer: layers,
        n_vocab,
        n_text_ctx: 448,
        n_text_state: width,
        n_text_head: heads,
        n_text_layer: if name.contains("turbo") { 4 } else { layers },
    }
}

#[cfg(test)]
mod tests {
    use amanuensis_whisper::weights::expected_tensors;

    use super::*;

    #[test]
    fn every_name_and_hash_is_there_once_and_well_formed() {
        let entries = published();
        for (index, entry) in entries.iter().enumerate() {
            let line = format!("{} {} {} https://example.org", entry.name, entry.bytes, entry.sha256);
            let parsed = parse(&line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((&parsed.sha256, parsed.is_multilingual()), (&entry.sha256, entry.is_multilingual()));
            let same = |other: &Entry| other.name == entry.name || other.sha256 == entry.sha256;
            assert!(!entries[..index].iter().any(same), "{}", entry.name);
        }
    }

    /// What of a file is not tensors is the list of tokens, which is the same in all files with the same number of them.
    #[test]
    fn lengths_are_those_of_the_dimensions() {
        let mut vocabularies = std::collections::BTreeMap::new();
        for entry in published() {
            let dims = entry.dims.unwrap();
            let tensors: usize =
                expected_tensors(&dims).iter().map(|(name, shape)| stored(&entry.name, name, shape)).sum();
            let filters = 4 * 201 * dims.n_mels;
            let tokens = entry.bytes - (tensors + filters) as u64;
            let known = *vocabularies.entry(dims.n_vocab).or_insert(tokens);
            assert_eq!(tokens, known, "{} beside others with {} tokens", entry.name, dims.n_vocab);
        }
    }

    /// Bytes of a tensor in whisper.cpp's file of a model.
    ///
    /// *Source*: <https://github.com/ggml-org/whisper.cpp/blob/v1.8.2/models/convert-pt-to-ggml.py>
    fn stored(model: &str, name: &str, shape: &[usize]) -> usize {
        let values: usize = shape.iter().product();
        let halves = shape.len() > 1 && !name.contains("positional");
        let data = match model.rsplit_once("-q") {
            Some((_, "5_0")) if halves && shape.len() == 2 => values / 32 * 22,
            Some((_, "5_1")) if halves && shape.len() == 2 => values / 32 * 24,
            Some((_, "8_0")) if halves && shape.len() == 2 => values / 32 * 34,
            _ if halves => 2 * values,
            _ => 4 * values,
        };
        // A convolution's bias is stored with two dimensions.
        let dimensions = if name.contains("conv") { shape.len().max(2) } else { shape.len() };
        12 + 4 * dimensions + name.len() + data
    }

    #[test]
    fn a_line_that_is_no_entry_is_none() {
        let hash = "0".repeat(64);
        assert!(
            parse(&format!("ours.en 12 {hash} https://example.org/ours.bin"))
                .is_some_and(|entry| !entry.is_multilingual())
        );
        for line in [
            String::new(),
            format!("../ours 12 {hash} https://example.org"),
            format!(".ours 12 {hash} https://example.org"),
            format!("ours 0 {hash} https://example.org"),
            format!("ours 12 {hash}"),
            format!("ours 12 {hash} https://example.org more"),
            "ours 12 abc https://example.org".to_owned(),
        ] {
            assert_eq!(parse(&line), None, "{line}");
        }
    }
}
