//! A vocabulary of any tokens, and any text.

#![no_main]

use amanuensis_whisper::Tokenizer;
use libfuzzer_sys::fuzz_target;

/// English-only, and multilingual up to large-v2 and from large-v3 on.
const SIZES: [usize; 3] = [51_864, 51_865, 51_866];

fuzz_target!(|input: (u8, Vec<Vec<u8>>, &str, Vec<u32>)| {
    let (size, tokens, text, ids) = input;
    let n_vocab = SIZES[usize::from(size) % SIZES.len()];
    // All bytes first, as in every real vocabulary; then what the fuzzer wants; then filling.
    let bytes = (0..=255).map(|byte| vec![byte]);
    let filling = (0..50_000_u32).map(|index| format!("\u{1}{index}").into_bytes());
    let Ok(tokenizer) = Tokenizer::new(bytes.chain(tokens).chain(filling).collect(), n_vocab) else { return };
    let encoded = tokenizer.encode(text);
    assert_eq!(tokenizer.bytes(&encoded), text.as_bytes());
    tokenizer.decode(&ids);
    tokenizer.words("en", &ids);
    tokenizer.words("zh", &ids);
});
