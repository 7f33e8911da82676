//! Every file format and number type carries the same model.

mod common;

use amanuensis_backend_cpu::Precision;
use amanuensis_golden::{
    Expectations, Folder, FolderType, NumberType, Recipe, dequantise, noise, quantise, write_folder,
};
use amanuensis_whisper::{Dtype, LogitsFor};

use common::{Loaded, largest_difference};

const QUANTISED: [Dtype; 5] = [Dtype::Q8_0, Dtype::Q5_0, Dtype::Q5_1, Dtype::Q4_0, Dtype::Q4_1];

/// Encoder output and logits of a noise, by which models are compared.
fn fingerprint(loaded: &mut Loaded) -> (Vec<f32>, Vec<f32>) {
    let encoded = loaded.encode(&noise(11, 160_000, 0.25));
    let mut decoder = std::sync::Arc::clone(&loaded.model).decoder(1);
    decoder.start(&encoded).expect("a whole window");
    let mut logits = Vec::new();
    let sot = loaded.weights.tokenizer().sot();
    decoder.forward(&[sot, 1000, 2000], LogitsFor::Every, &mut logits).expect("few tokens");
    (encoded, logits)
}

fn folder(recipe: &Recipe, folder: Folder) -> Loaded {
    let place = tempfile::tempdir().expect("a temporary folder");
    write_folder(place.path(), recipe, folder).expect("room for a model");
    Loaded::open(place.path(), Precision::F32)
}

#[test]
fn floats_of_either_width_and_format_are_the_same_model() {
    for recipe in [Recipe::small(), Recipe::small_multilingual()] {
        let mut reference = Loaded::ggml(&recipe, NumberType::Of(Dtype::F32));
        let expected = fingerprint(&mut reference);
        let plain = Folder { number_type: FolderType::F32, shards: 1, tokenizer_json: false };
        let others = [
            ("ggml f16", Loaded::ggml(&recipe, NumberType::Of(Dtype::F16))),
            ("folder f32", folder(&recipe, plain)),
            ("folder f16", folder(&recipe, Folder { number_type: FolderType::F16, ..plain })),
            ("folder in shards, tokenizer.json", folder(&recipe, Folder { shards: 3, tokenizer_json: true, ..plain })),
        ];
        let text = " Ask not what your country can do for you: Größe, 漢字!";
        let tokens = reference.weights.tokenizer().encode(text);
        for (name, mut other) in others {
            assert_eq!(other.weights.dims(), reference.weights.dims(), "{name}");
            assert_eq!(other.weights.tokenizer().encode(text), tokens, "{name}");
            assert!(fingerprint(&mut other) == expected, "{name} computes something else");
        }
    }
}

#[test]
fn quantised_models_are_their_dequantised_floats() {
    let recipe = Recipe::small();
    for dtype in QUANTISED.into_iter().chain([Dtype::Bf16]) {
        let found = fingerprint(&mut Loaded::ggml(&recipe, NumberType::Of(dtype)));
        let expected = fingerprint(&mut Loaded::ggml(&recipe, NumberType::FloatsLike(dtype)));
        assert!(found == expected, "{dtype:?} computes something else than its floats");
    }
}

#[test]
fn a_folder_of_bfloat16_is_its_floats() {
    let recipe = Recipe::small();
    let found = folder(&recipe, Folder { number_type: FolderType::Bf16, shards: 1, tokenizer_json: false });
    for (name, _, values) in recipe.tensors() {
        let expected = dequantise(Dtype::Bf16, &quantise(Dtype::Bf16, &values));
        assert!(found.weights.tensor(&name).expect("every tensor is there").to_f32() == expected, "{name}");
    }
}

#[test]
fn coarser_numbers_stay_near_the_finer_ones() {
    let recipe = Recipe::small();
    let expected = fingerprint(&mut Loaded::plain(&recipe)).0;
    for (dtype, least) in [(Dtype::Q8_0, 0.999), (Dtype::Q5_1, 0.98), (Dtype::Q4_0, 0.9)] {
        let found = fingerprint(&mut Loaded::ggml(&recipe, NumberType::Of(dtype))).0;
        let cosine = cosine(&found, &expected);
        println!("{dtype:?}: cosine {cosine:.5}");
        assert!(cosine > least, "{dtype:?}: cosine {cosine}");
    }
}

#[test]
fn integers_encode_a_tiny_en_like_floats() {
    let expectations = Expectations::load();
    let recipe = expectations.model("tiny.en").recipe();
    let samples = expectations.clip("speech");
    let expected = Loaded::plain(&recipe).encode(&samples);
    let found = Loaded::ggml_as(&recipe, NumberType::Of(Dtype::F16), Precision::Int8).encode(&samples);
    let cosine = cosine(&found, &expected);
    println!("cosine {cosine:.5}, largest difference {:.3}", largest_difference(&found, &expected));
    assert!(cosine >= 0.999, "cosine {cosine}");
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn blocks_are_ggmls() {
    let expectations = Expectations::load();
    let mut values = noise(7, 256, 2.0);
    values[64..96].fill(0.0);
    for case in &expectations.quantised {
        let dtype = QUANTISED.into_iter().find(|dtype| format!("{dtype:?}") == case.name).expect("a known type");
        let bytes = quantise(dtype, &values);
        assert_eq!(base64(&bytes), case.bytes, "{}", case.name);
        let expected = expectations.values(case.values);
        assert_eq!(dequantise(dtype, &bytes), expected, "{}", case.name);
        // What the loader makes of them is compared with these in the tests above.
        assert!(largest_difference(&expected, &values) < 0.3, "{}", case.name);
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let word = (0..3).fold(0_u32, |word, index| word << 8 | u32::from(*three.get(index).unwrap_or(&0)));
        for index in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * index) & 63) as usize];
            out.push(if index <= three.len() { char::from(letter) } else { '=' });
        }
    }
    out
}
