//! What was packed before is what would be packed now.

use std::fs;
use std::num::NonZeroUsize;

use amanuensis_backend_cpu::{CpuOptions, Precision};
use amanuensis_benches::model::{self, Random};
use amanuensis_whisper::{Dims, MelView, Weights};

const DIMS: Dims = Dims {
    n_mels: 80,
    n_audio_ctx: 100,
    n_audio_state: 64,
    n_audio_head: 2,
    n_audio_layer: 2,
    n_vocab: 51_864,
    n_text_ctx: 8,
    n_text_state: 64,
    n_text_head: 2,
    n_text_layer: 0,
};

#[test]
fn cached_models_are_those_of_their_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, cache) = (folder.path().join("ggml-small.bin"), folder.path().join("cache"));
    let mut random = Random(4);
    let mel: Vec<f32> = (0..2 * DIMS.n_audio_ctx * DIMS.n_mels).map(|_| random.normal()).collect();
    let encode = |precision, cache: Option<&std::path::Path>| {
        let weights = Weights::open(&path).expect("a whole model");
        let options = CpuOptions { precision, threads: NonZeroUsize::MIN };
        let model = match cache {
            Some(cache) => amanuensis_backend_cpu::load_cached(&weights, options, cache),
            None => amanuensis_backend_cpu::load(&weights, options),
        };
        let mut out = vec![0.0; DIMS.n_audio_ctx * DIMS.n_audio_state];
        let window = MelView::by_frame(&mel, 2 * DIMS.n_audio_ctx, DIMS.n_mels).expect("a whole window");
        model.expect("finite weights").encoder().encode(&[window], &mut [&mut out]).expect("the model's shape");
        out
    };
    let files = || fs::read_dir(&cache).expect("a folder of packed weights").count();
    model::write(&path, &DIMS).expect("a model");
    for (index, precision) in [Precision::F32, Precision::Bf16, Precision::Int8].into_iter().enumerate() {
        let packed = encode(precision, None);
        for turn in ["packing", "packed", "packed"] {
            assert!(encode(precision, Some(&cache)) == packed, "{precision:?}, {turn}");
            assert_eq!(files(), index + 1, "{precision:?}, {turn}");
        }
    }
    // Another model in the place of the first.
    model::write(&path, &Dims { n_audio_ctx: 100, n_audio_head: 1, ..DIMS }).expect("a model");
    assert!(encode(Precision::Int8, Some(&cache)) == encode(Precision::Int8, None));
    // A folder that cannot be written to spoils nothing.
    assert!(encode(Precision::Int8, Some(&path.join("no folder"))) == encode(Precision::Int8, None));
    // What was kept of a model that is not there any more goes when the next is kept.
    let other = folder.path().join("ggml-other.bin");
    fs::rename(&path, &other).expect("it can be renamed");
    let weights = Weights::open(&other).expect("a whole model");
    amanuensis_backend_cpu::load_cached(&weights, CpuOptions::default(), &cache).expect("finite weights");
    assert_eq!(files(), 1);
}
