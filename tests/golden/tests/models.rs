//! Models against openai-whisper: encoder, logits, languages, tokens of windows, segments and words of recordings. And windows
//! decoded side by side against the same decoded alone.

mod common;

use std::sync::{Arc, Barrier};

use amanuensis_backend_cpu::Precision;
use amanuensis_golden::{DecodeCase, Expectations, ModelCase, NumberType, Recipe, RecordingCase, noise};
use amanuensis_whisper::align::alignment_heads;
use amanuensis_whisper::{
    DecodeOptions, Decoder, Dims, Dtype, LogitsFor, SAMPLES_PER_WINDOW, Segment, Sequencer, Task, TokenId,
    WindowDecoder,
};

use common::{Loaded, largest_difference};

/// Sums of a few thousand products in another order.
const ENCODER_TOLERANCE: f32 = 1e-3;
/// As above, after the decoder's layers and as many products again; logits reach 15.
const LOGIT_TOLERANCE: f32 = 2e-3;
/// Probabilities and their logarithms, means over tokens.
const PROBABILITY_TOLERANCE: f32 = 1e-3;

#[test]
fn the_small_english_model_is_openais() {
    check("english");
}

#[test]
fn the_small_multilingual_model_is_openais() {
    check("multilingual");
}

#[test]
fn the_small_model_of_the_third_generation_is_openais() {
    check("third");
}

#[test]
fn a_whole_tiny_en_is_openais() {
    check("tiny.en");
}

#[test]
fn alignment_heads_are_openais() {
    let expectations = Expectations::load();
    assert_eq!(expectations.alignment_heads.len(), 11);
    for case in &expectations.alignment_heads {
        let dims = Dims {
            n_mels: 80,
            n_audio_ctx: 1500,
            n_audio_state: case.state,
            n_audio_head: case.heads,
            n_audio_layer: case.layers,
            n_vocab: case.n_vocab,
            n_text_ctx: 448,
            n_text_state: case.state,
            n_text_head: case.heads,
            n_text_layer: case.layers,
        };
        assert_eq!(alignment_heads(&dims), case.found, "{}", case.name);
    }
}

fn check(name: &str) {
    let expectations = Expectations::load();
    let case = expectations.model(name);
    let mut loaded = Loaded::plain(&case.recipe());
    assert_eq!(alignment_heads(loaded.weights.dims()), case.alignment_heads);
    encoder(&expectations, case, &mut loaded);
    let mut windows = WindowDecoder::new(Arc::clone(loaded.weights.tokenizer()));
    let mut decoder = Arc::clone(&loaded.model).decoder(5);
    logits(&expectations, case, &mut loaded, &mut *decoder);
    languages(&expectations, case, &mut loaded, &mut windows, &mut *decoder);
    for decode in &case.decodes {
        let encoded = loaded.encode(&expectations.clip(&decode.clip));
        window(decode, &encoded, &mut windows, &mut *decoder);
    }
    for recording in &case.recordings {
        let samples = expectations.clip(&recording.clip);
        check_recording(recording, &transcribe(recording, &samples, &mut loaded, &mut windows, &mut *decoder));
    }
}

fn encoder(expectations: &Expectations, case: &ModelCase, loaded: &mut Loaded) {
    let width = loaded.weights.dims().n_audio_state;
    for case in &case.encoder {
        let encoded = loaded.encode(&expectations.clip(&case.clip));
        let found: Vec<f32> =
            case.positions.iter().flat_map(|position| &encoded[position * width..][..width]).copied().collect();
        let largest = largest_difference(&found, &expectations.values(case.values));
        println!("encoder, {}: largest difference {largest:.2e}", case.clip);
        assert!(largest <= ENCODER_TOLERANCE, "{}: largest difference {largest}", case.clip);
    }
}

fn logits(expectations: &Expectations, case: &ModelCase, loaded: &mut Loaded, decoder: &mut dyn Decoder) {
    let n_vocab = loaded.weights.dims().n_vocab;
    for case in &case.logits {
        decoder.start(&loaded.encode(&expectations.clip(&case.clip))).expect("a whole window");
        let mut logits = Vec::new();
        decoder.forward(&case.tokens, LogitsFor::Every, &mut logits).expect("few tokens");
        let sampled = |logits: &[f32]| -> Vec<f32> {
            logits.chunks_exact(n_vocab).flat_map(|row| row.iter().step_by(case.every)).copied().collect()
        };
        let expected = expectations.values(case.values);
        let largest = largest_difference(&sampled(&logits), &expected);
        println!("logits, {}: largest difference {largest:.2e}", case.clip);
        assert!(largest <= LOGIT_TOLERANCE, "{}: largest difference {largest}", case.clip);

        // The same, token by token through the cache.
        decoder.restart(1).expect("one row");
        let mut one_by_one = Vec::new();
        for token in &case.tokens {
            decoder.forward(&[*token], LogitsFor::Last, &mut logits).expect("few tokens");
            one_by_one.extend_from_slice(&logits);
        }
        let largest = largest_difference(&sampled(&one_by_one), &expected);
        assert!(largest <= LOGIT_TOLERANCE, "{}, one by one: largest difference {largest}", case.clip);
    }
}

fn languages(
    expectations: &Expectations,
    case: &ModelCase,
    loaded: &mut Loaded,
    windows: &mut WindowDecoder,
    decoder: &mut dyn Decoder,
) {
    for case in &case.languages {
        decoder.start(&loaded.encode(&expectations.clip(&case.clip))).expect("a whole window");
        let found = windows.detect_language(decoder).expect("finite weights");
        for ((code, probability), (expected_code, expected)) in found.iter().zip(&case.best) {
            assert_eq!(code, expected_code, "{}: {found:?}", case.clip);
            assert!((probability - expected).abs() < PROBABILITY_TOLERANCE, "{code}: {probability}, not {expected}");
        }
    }
}

/// The first try only, whatever it is worth: random models are sure of nothing.
fn options(language: Option<&String>, beams: Option<usize>, most_tokens: Option<usize>) -> DecodeOptions {
    DecodeOptions {
        language: language.cloned(),
        temperatures: vec![0.0],
        beam_size: beams,
        max_tokens: most_tokens,
        compression_ratio_threshold: None,
        logprob_threshold: None,
        no_speech_threshold: None,
        ..DecodeOptions::default()
    }
}

fn window(case: &DecodeCase, encoded: &[f32], windows: &mut WindowDecoder, decoder: &mut dyn Decoder) {
    let task = if case.task == "translate" { Task::Translate } else { Task::Transcribe };
    let options = DecodeOptions {
        task,
        timestamps: case.timestamps,
        ..options(case.language.as_ref(), case.beams, case.most_tokens)
    };
    let result =
        windows.decode(decoder, encoded, &options, &case.prompt, &case.prefix, &mut ()).expect("finite weights");
    let what = format!("{} {:?} beams {:?} timestamps {}", case.clip, case.language, case.beams, case.timestamps);
    let tokenizer = windows.tokenizer();
    if result.tokens != case.tokens {
        let same = result.tokens.iter().zip(&case.tokens).take_while(|(a, b)| a == b).count();
        panic!("{what}: the first {same} tokens are the same of\n{:?}\n{:?}", result.tokens, case.tokens);
    }
    assert_eq!(result.language, case.detected, "{what}");
    let near = |found: f32, expected: f32| (found - expected).abs() <= PROBABILITY_TOLERANCE * expected.abs().max(1.0);
    assert!(near(result.avg_logprob, case.avg_logprob), "{what}: {} not {}", result.avg_logprob, case.avg_logprob);
    assert!(near(result.no_speech_prob, case.no_speech_prob), "{what}: {}", result.no_speech_prob);
    // OpenAI spells special tokens out; here they are no text.
    if case.tokens.iter().all(|token| *token < tokenizer.eot() || *token >= tokenizer.timestamp_begin()) {
        assert_eq!(result.text, case.text, "{what}");
        // Two implementations of deflate differ by some bytes.
        let compressed = |ratio: f32| case.text.len() as f32 / ratio.max(1e-3);
        let difference = (compressed(result.compression_ratio) - compressed(case.compression_ratio)).abs();
        assert!(difference <= 16.0, "{what}: compressed to {difference} bytes more or less");
    }
}

fn transcribe(
    case: &RecordingCase,
    samples: &[f32],
    loaded: &mut Loaded,
    windows: &mut WindowDecoder,
    decoder: &mut dyn Decoder,
) -> (Vec<Segment>, String) {
    let options = DecodeOptions {
        word_timestamps: case.word_timestamps,
        condition_on_previous_text: case.condition_on_previous_text,
        prompt: case.prompt.clone(),
        ..options(case.language.as_ref(), case.beams, case.most_tokens)
    };
    let mut sequencer = Sequencer::new(Arc::clone(windows.tokenizer()), options);
    let frames = samples.len() / 160;
    let mut segments = Vec::new();
    while sequencer.next_frame() < frames {
        let rest = &samples[sequencer.next_frame() * 160..];
        let encoded = loaded.encode(&rest[..rest.len().min(SAMPLES_PER_WINDOW)]);
        let options = sequencer.options().clone();
        let previous = sequencer.previous().to_vec();
        let result = windows
            .decode(decoder, &encoded, &options, &previous, &sequencer.prefix(), &mut ())
            .expect("finite weights");
        let left = frames - sequencer.next_frame();
        segments.extend(sequencer.accept(&result, left, windows, decoder).expect("finite weights"));
    }
    (segments, sequencer.options().language.clone().unwrap_or_default())
}

fn check_recording(case: &RecordingCase, (found, language): &(Vec<Segment>, String)) {
    let what = format!(
        "{} {:?} beams {:?} words {} condition {}",
        case.clip, case.language, case.beams, case.word_timestamps, case.condition_on_previous_text
    );
    assert_eq!(language, &case.detected, "{what}");
    // Times are multiples of 10 ms.
    let near = |found: std::time::Duration, expected: f64| (found.as_secs_f64() - expected).abs() < 0.002;
    for (index, (found, expected)) in found.iter().zip(&case.segments).enumerate() {
        assert_eq!(found.text, expected.text, "{what}: segment {index} from {} s", expected.start);
        assert!(
            near(found.start, expected.start) && near(found.end, expected.end),
            "{what}: segment {index} is {:?} to {:?}, not {} to {}",
            found.start,
            found.end,
            expected.start,
            expected.end
        );
        let words: Vec<&str> = found.words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(words, expected.words.iter().map(|word| word.word.as_str()).collect::<Vec<_>>(), "{what}");
        for (found, expected) in found.words.iter().zip(&expected.words) {
            assert!(
                near(found.start, expected.start) && near(found.end, expected.end),
                "{what}: segment {index}: {:?} is {:?} to {:?}, not {} to {}",
                found.text,
                found.start,
                found.end,
                expected.start,
                expected.end
            );
            assert!((found.probability - expected.probability).abs() < PROBABILITY_TOLERANCE, "{what}: {found:?}");
        }
    }
    assert_eq!(found.len(), case.segments.len(), "{what}");
}

/// Windows that are decoded side by side.
const WINDOWS: u64 = 5;
const STEPS: usize = 12;

/// Logits of a prompt and of some steps, with beams that come and go: all differs from window to window.
fn steps(decoder: &mut dyn Decoder, encoded: &[f32], window: u64) -> Vec<f32> {
    let token = |step: usize| (1000 * window as usize + 17 * step) as TokenId;
    let (mut all, mut logits) = (Vec::new(), Vec::new());
    let prompt: Vec<TokenId> = (0..=window as usize).map(token).collect();
    decoder.start(encoded).expect("a whole window");
    decoder.forward(&prompt, LogitsFor::LastAnd(0), &mut logits).expect("a short prompt");
    all.extend_from_slice(&logits);
    let rows = 1 + window as usize % 3;
    for step in 0..STEPS + window as usize {
        if step == 2 {
            decoder.reorder(&vec![0; rows]).expect("as many rows as the decoder has");
        }
        let rows = if step < 2 { 1 } else { rows };
        let tokens: Vec<TokenId> = (0..rows).map(|row| token(step + row)).collect();
        decoder.forward(&tokens, LogitsFor::Last, &mut logits).expect("few tokens");
        all.extend_from_slice(&logits);
    }
    all
}

fn check_together(precision: Precision) {
    let mut loaded = Loaded::ggml_as(&Recipe::small(), NumberType::Of(Dtype::F16), precision);
    let encoded: Vec<Vec<f32>> = (0..WINDOWS).map(|seed| loaded.encode(&noise(seed, 48_000, 0.25))).collect();
    let alone: Vec<Vec<f32>> = (0..WINDOWS)
        .map(|window| steps(&mut *Arc::clone(&loaded.model).decoder(3), &encoded[window as usize], window))
        .collect();
    let start = Barrier::new(WINDOWS as usize + 1);
    std::thread::scope(|scope| {
        for window in 0..WINDOWS {
            let (loaded, encoded, alone, start) = (&loaded, &encoded, &alone, &start);
            scope.spawn(move || {
                let mut decoder = Arc::clone(&loaded.model).decoder(3);
                start.wait();
                let found = steps(&mut *decoder, &encoded[window as usize], window);
                let expected = &alone[window as usize];
                assert_eq!(found.len(), expected.len());
                let differs = found.iter().zip(expected).position(|(a, b)| a.to_bits() != b.to_bits());
                assert_eq!(differs, None, "{precision:?}, window {window}");
            });
        }
        start.wait();
    });
    // Another window is encoded as before.
    assert_eq!(loaded.encode(&noise(0, 48_000, 0.25)), encoded[0]);
}

#[test]
fn what_is_decoded_together_is_what_is_decoded_alone() {
    for precision in [Precision::Int8, Precision::Bf16, Precision::F32] {
        check_together(precision);
    }
}
