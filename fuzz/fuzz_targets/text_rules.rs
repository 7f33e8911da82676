//! Any text, written by any rules.

#![no_main]

use amanuensis_dictation::TextRules;
use amanuensis_dictation::text::{Capitals, Replacement};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, bool, bool, Vec<String>, Vec<(String, String)>, &str)| {
    let (punctuation, sentences, correction, vocabulary, replacements, text) = input;
    let rules = TextRules {
        language: "en".to_owned(),
        without_fillers: true,
        vocabulary,
        without_correction: !correction,
        spoken_punctuation: punctuation,
        replacements: replacements.into_iter().map(|(from, to)| Replacement { from, to }).collect(),
        capitals: if sentences { Capitals::Sentences } else { Capitals::AsHeard },
        trailing_space: true,
    };
    rules.prompt();
    rules.finish(rules.apply(text));
});
