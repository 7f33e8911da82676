//! The tokenizer against tiktoken and `whisper.tokenizer`.

use amanuensis_golden::{Expectations, vocabulary};
use amanuensis_whisper::Tokenizer;

fn tokenizer(name: &str) -> Tokenizer {
    let multilingual = name == "multilingual";
    Tokenizer::new(vocabulary(multilingual), if multilingual { 51_865 } else { 51_864 }).expect("a whole vocabulary")
}

#[test]
fn texts_have_tiktokens_tokens() {
    for (name, cases) in &Expectations::load().tokenizers {
        let tokenizer = tokenizer(name);
        for (text, tokens) in &cases.texts {
            assert_eq!(&tokenizer.encode(text), tokens, "{name}: {text:?}");
            assert_eq!(&tokenizer.decode(tokens), text, "{name}");
        }
        for (tokens, text) in &cases.decoded {
            assert_eq!(&tokenizer.decode(tokens), text, "{name}");
        }
        assert_eq!(tokenizer.non_speech_tokens(), cases.non_speech, "{name}");
    }
}

#[test]
fn words_are_cut_where_openai_cuts_them() {
    let expectations = Expectations::load();
    let cases = &expectations.tokenizers["multilingual"].words;
    assert!(cases.len() > 40);
    let tokenizer = tokenizer("multilingual");
    // To Python four control characters are space.
    let control = |words: &[String]| words.concat().contains('\u{1f}');
    for (language, tokens, words) in cases.iter().filter(|(_, _, words)| !control(words)) {
        let found = tokenizer.words(language, tokens);
        assert_eq!(&found.iter().map(|(word, _)| word.clone()).collect::<Vec<_>>(), words, "{language}");
        assert_eq!(found.iter().map(|(_, count)| count).sum::<usize>(), tokens.len());
    }
}

#[test]
fn special_tokens_are_no_text() {
    // The parser must not make control tokens of what a user types as a prompt.
    let tokenizer = tokenizer("multilingual");
    let tokens = tokenizer.encode("<|endoftext|><|startofprev|>");
    assert!(tokens.iter().all(|token| *token < tokenizer.eot()));
}
