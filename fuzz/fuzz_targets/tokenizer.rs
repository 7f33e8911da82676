//! A vocabulary of any tokens, and any text.

#![no_main]

use std::collections::HashSet;

use amanuensis_fuzz::SIZES;
use amanuensis_whisper::Tokenizer;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

/// Tokens of a window, at most.
const WINDOW: usize = 448;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    size: u8,
    /// Whether all bytes come first, as in every real vocabulary.
    has_bytes: bool,
    looks_for_speech: bool,
    tokens: Vec<Vec<u8>>,
    text: &'a str,
    ids: Vec<u16>,
}

fuzz_target!(|input: Input| {
    let n_vocab = SIZES[usize::from(input.size) % SIZES.len()];
    let bytes = (0..=255).map(|byte| vec![byte]).filter(|_| input.has_bytes);
    let filling = (0..400_u32).map(|index| format!("\u{1}{index}").into_bytes());
    let tokens = bytes.chain(input.tokens).chain(filling).collect();
    let tokenizer = Tokenizer::new(tokens, n_vocab).expect("there are enough");
    let encoded = tokenizer.encode(input.text);
    if input.has_bytes {
        assert_eq!(tokenizer.bytes(&encoded), input.text.as_bytes());
    }
    if input.looks_for_speech {
        tokenizer.non_speech_tokens();
    }

    // Some are text, some special, and some none.
    let ids: Vec<u32> = input.ids.into_iter().take(WINDOW).map(|id| u32::from(id) % 2_000).collect();
    tokenizer.decode(&ids);
    for id in HashSet::<u32>::from_iter(ids.iter().copied()) {
        if let Some(code) = tokenizer.language_code(id) {
            assert_eq!(tokenizer.language(code), tokenizer.is_multilingual().then_some(id));
        }
        tokenizer.time(id);
    }
    for language in ["en", "zh"] {
        let words = tokenizer.words(language, &ids);
        assert_eq!(words.iter().map(|(_, count)| count).sum::<usize>(), ids.len());
    }
});
