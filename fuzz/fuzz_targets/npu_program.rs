//! A program for the NPU whose manifest and instructions are of any bytes.

#![no_main]

use amanuensis_fuzz::folder;
use amanuensis_npu_kernels::program::Dispatch;
use amanuensis_npu_kernels::manifest::{Bundle, MANIFEST_FILE};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], Vec<u32>)| {
    let (manifest, words) = input;
    if let Ok(dispatch) = Dispatch::decode(&words) {
        assert!(words.starts_with(&dispatch.encode()), "what is understood is what was written");
    }
    let folder = folder();
    std::fs::write(folder.path().join(MANIFEST_FILE), manifest).expect("it is in memory");
    let _ = Bundle::open(folder.path());
});
