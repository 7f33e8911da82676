//! A ggml file of any bytes.

#![no_main]

use std::os::fd::AsRawFd as _;

use amanuensis_fuzz::{file_of, read_model};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let file = file_of(bytes);
    read_model(format!("/proc/self/fd/{}", file.as_raw_fd()).as_ref());
});
