//! A program for the NPU whose manifest and instructions are of any bytes, and what the simulated NPU makes of them.

#![no_main]

use std::num::NonZeroUsize;

use amanuensis_fuzz::folder;
use amanuensis_kernels::ThreadPool;
use amanuensis_npu_kernels::execute::{Buffers, Executor};
use amanuensis_npu_kernels::program::Dispatch;
use amanuensis_npu_kernels::manifest::{Bundle, MANIFEST_FILE};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], Vec<u32>)| {
    let (manifest, words) = input;
    if let Ok(dispatch) = Dispatch::decode(&words) {
        assert!(words.starts_with(&dispatch.encode()), "what is understood is what was written");
    }
    // Buffers of a size that a small program has.
    let (weights, spectrogram) = (vec![7; 1 << 16], vec![9; 1 << 12]);
    let (mut workspace, mut result) = (vec![1; 1 << 16], vec![0; 1 << 12]);
    let mut buffers = Buffers {
        weights: &weights,
        workspace: &mut workspace,
        spectrogram: &spectrogram,
        result: &mut result,
    };
    let _ = Executor::new(ThreadPool::new(NonZeroUsize::MIN)).run(&words, &mut buffers);
    let folder = folder();
    std::fs::write(folder.path().join(MANIFEST_FILE), manifest).expect("it is in memory");
    let _ = Bundle::open(folder.path());
});
