//! Once warm, encoding and decoding take nothing from the heap.

use std::alloc::{GlobalAlloc, Layout, System};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use amanuensis_backend_cpu::{CpuOptions, Precision};
use amanuensis_benches::model;
use amanuensis_whisper::{Decoder, Dims, Encoder, LogitsFor, MelView, Weights};

/// Counts every time that memory is asked for, by whatever thread.
struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on from the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: passed on from the caller.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on from the caller.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const DIMS: Dims = Dims {
    n_mels: 80,
    n_audio_ctx: 300,
    n_audio_state: 64,
    n_audio_head: 2,
    n_audio_layer: 2,
    n_vocab: 51_864,
    n_text_ctx: 64,
    n_text_state: 64,
    n_text_head: 2,
    n_text_layer: 2,
};

#[test]
fn nothing_is_allocated_once_warm() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ggml-small.bin");
    model::write(&path, &DIMS).expect("a model");
    let weights = Weights::open(&path).expect("a whole model");
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
        let options = CpuOptions { precision, threads: NonZeroUsize::new(2).expect("two") };
        let model = amanuensis_backend_cpu::load(&weights, options).expect("finite weights");
        let (mut encoder, mut decoder) = (Arc::clone(&model).encoder(), model.decoder(3));
        let mel: Vec<f32> = (0..2 * DIMS.n_audio_ctx * DIMS.n_mels).map(|index| (index % 17) as f32 / 17.0).collect();
        let mut memory = (vec![0.0; DIMS.n_audio_ctx * DIMS.n_audio_state], vec![0.0; 3 * 2 * DIMS.n_vocab]);
        window(&mut *encoder, &mut *decoder, &mel, &mut memory);
        let before = COUNT.load(Ordering::Relaxed);
        for _ in 0..3 {
            window(&mut *encoder, &mut *decoder, &mel, &mut memory);
        }
        let allocations = COUNT.load(Ordering::Relaxed) - before;
        assert_eq!(allocations, 0, "{precision:?}: allocations in three windows");
    }
}

/// A window from its spectrogram to some tokens: a prompt, two beams, three beams.
fn window(encoder: &mut dyn Encoder, decoder: &mut dyn Decoder, mel: &[f32], memory: &mut (Vec<f32>, Vec<f32>)) {
    let (encoded, logits) = memory;
    let view = MelView::by_frame(mel, 2 * DIMS.n_audio_ctx, DIMS.n_mels).expect("long enough");
    encoder.encode(&[view], &mut [encoded]).expect("a window of the model's shape");
    decoder.start(encoded).expect("its own model's output");
    decoder.forward(&[1, 2, 3], LogitsFor::LastAnd(0), &mut logits[..2 * DIMS.n_vocab]).expect("a short prompt");
    decoder.reorder(&[0, 0]).expect("two rows");
    decoder.forward(&[4, 5], LogitsFor::Last, &mut logits[..2 * DIMS.n_vocab]).expect("two tokens");
    decoder.reorder(&[1, 0, 1]).expect("three rows");
    for token in 6..20 {
        decoder.forward(&[token; 3], LogitsFor::Last, &mut logits[..3 * DIMS.n_vocab]).expect("three tokens");
    }
}
