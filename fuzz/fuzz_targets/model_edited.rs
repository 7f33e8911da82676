//! A whole model in which some bytes are others, and which may end early.

#![no_main]

use std::os::fd::AsRawFd as _;

use amanuensis_fuzz::{file_of, read_model, smallest_model};
use libfuzzer_sys::fuzz_target;

/// Bytes behind the vocabulary, where the tensors are: most edits go there.
const TAIL_BYTES: usize = 1 << 14;

fuzz_target!(|input: (Option<u32>, Vec<(bool, u32, u8)>)| {
    let (end, edits) = input;
    let mut bytes = smallest_model().to_vec();
    for (in_tail, at, byte) in edits {
        let first = if in_tail { first_tensor(&bytes) } else { 0 };
        let room = if in_tail { TAIL_BYTES } else { bytes.len() - first };
        if let Some(place) = bytes.get_mut(first + at as usize % room) {
            *place = byte;
        }
    }
    if let Some(end) = end {
        bytes.truncate(end as usize % (bytes.len() + 1));
    }
    let file = file_of(&bytes);
    read_model(format!("/proc/self/fd/{}", file.as_raw_fd()).as_ref());
});

/// Where the first tensor's name is, and so nearly where its head begins.
fn first_tensor(bytes: &[u8]) -> usize {
    let name = b"encoder.conv1.weight";
    bytes.windows(name.len()).position(|window| window == name).unwrap_or(64) - 24
}
