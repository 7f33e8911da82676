//! How near the quick number types come to 32-bit floats.

use std::num::NonZeroUsize;

use amanuensis_backend_cpu::{CpuOptions, Precision};
use amanuensis_benches::model::{self, Random};
use amanuensis_whisper::{Dims, MelView, Weights};

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The encoder of tiny.en with random weights: the decoder is left out.
#[test]
fn encoders_of_all_precisions_agree() {
    let dims = Dims { n_text_layer: 0, ..model::dims("tiny.en").expect("a known shape") };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ggml-random.bin");
    model::write(&path, &dims).expect("a model");
    let weights = Weights::open(&path).expect("a whole model");
    let mut random = Random(3);
    let frames = 2 * dims.n_audio_ctx;
    let mel: Vec<f32> = (0..frames * dims.n_mels).map(|_| random.normal()).collect();
    let encode = |precision| {
        let options = CpuOptions { precision, threads: NonZeroUsize::new(2).expect("two") };
        let mut encoder = amanuensis_backend_cpu::load(&weights, options).expect("finite weights").encoder();
        let mut out = vec![0.0; dims.n_audio_ctx * dims.n_audio_state];
        let window = MelView::by_frame(&mel, frames, dims.n_mels).expect("a whole window");
        encoder.encode(&[window], &mut [&mut out]).expect("a window of the model's shape");
        out
    };
    let exact = encode(Precision::F32);
    for precision in [Precision::Bf16, Precision::Int8] {
        let similarity = cosine(&encode(precision), &exact);
        println!("{precision:?}: {similarity:.6}");
        assert!(similarity >= 0.999, "{precision:?}: {similarity}");
    }
}
