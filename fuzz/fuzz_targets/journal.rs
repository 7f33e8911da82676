//! A journal of any bytes.

#![no_main]

use amanuensis_journal::Reader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = Reader::new(bytes) else { return };
    let samples = reader.read_to_end().expect("memory can be read");
    assert!(reader.good_bytes() <= bytes.len() as u64);
    assert!(2 * samples.len() <= bytes.len(), "no more sound than bytes");
});
