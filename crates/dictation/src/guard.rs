//! Keeps out what nobody said.
//!
//! Whisper invents text where there is none to hear: closing words of videos over noise, one phrase again and again. What it
//! says about its own certainty tells most of these apart.

use amanuensis_whisper::{Segment, Transcript};

/// A text that compresses better than this repeats itself. OpenAI's threshold.
const MOST_COMPRESSION: f32 = 2.4;
/// Mean log-probability under which text is a guess. OpenAI's threshold.
const LEAST_LOGPROB: f32 = -1.0;
/// Probability of no speech from which a guess counts as invented.
const MOST_NO_SPEECH: f32 = 0.4;
/// A phrase that comes this often in a row was said at most once.
const MOST_REPEATS: usize = 3;
/// The longest phrase whose repetition is looked for, in words.
const LONGEST_PHRASE: usize = 8;

/// The text of what was probably said.
pub(crate) fn text(transcript: &Transcript) -> String {
    let text: String =
        transcript.segments.iter().filter(|segment| is_likely(segment)).map(|segment| segment.text.as_str()).collect();
    without_repeats(&text)
}

fn is_likely(segment: &Segment) -> bool {
    let guessed = segment.avg_logprob < LEAST_LOGPROB && segment.no_speech_prob > MOST_NO_SPEECH;
    // After all temperatures were tried, it still repeats itself and is unlikely.
    let looped = segment.compression_ratio > MOST_COMPRESSION && segment.avg_logprob < LEAST_LOGPROB;
    !guessed && !looped
}

/// The text, in which a phrase that is repeated too often in a row stands once.
fn without_repeats(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut kept = Vec::with_capacity(words.len());
    let mut at = 0;
    while at < words.len() {
        let rest = &words[at..];
        let longest = LONGEST_PHRASE.min(rest.len() / 2);
        let found = (1..=longest).find_map(|length| {
            let repeats = rest.chunks_exact(length).take_while(|phrase| same(phrase, &rest[..length])).count();
            (repeats > MOST_REPEATS).then_some((length, repeats))
        });
        let (length, repeats) = found.unwrap_or((1, 1));
        kept.extend_from_slice(&rest[..length]);
        at += length * repeats;
    }
    kept.join(" ")
}

fn same(one: &[&str], other: &[&str]) -> bool {
    let letters = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    one.iter().zip(other).all(|(one, other)| letters(one) == letters(other))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn segment(text: &str, avg_logprob: f32, no_speech_prob: f32, compression_ratio: f32) -> Segment {
        Segment {
            start: Duration::ZERO,
            end: Duration::from_secs(1),
            window_start: Duration::ZERO,
            text: text.to_owned(),
            tokens: Vec::new(),
            words: Vec::new(),
            avg_logprob,
            no_speech_prob,
            compression_ratio,
            temperature: 0.0,
        }
    }

    #[test]
    fn guesses_over_silence_and_loops_are_left_out() {
        let segments = vec![
            segment(" Send the report.", -0.3, 0.1, 1.1),
            segment(" Thanks for watching!", -1.2, 0.7, 1.0),
            segment(" so so so so", -1.5, 0.1, 3.0),
            segment(" Sure?", -1.2, 0.1, 0.9),
        ];
        let transcript = Transcript { language: "en".to_owned(), segments };
        assert_eq!(text(&transcript), "Send the report. Sure?");
        assert_eq!(text(&Transcript::default()), "");
    }

    #[test]
    fn a_phrase_again_and_again_stands_once() {
        assert_eq!(without_repeats("I am. I am. I am. I am. Here"), "I am. Here");
        assert_eq!(without_repeats("the the the the the end"), "the end");
        assert_eq!(without_repeats("no, no, no, not at all"), "no, no, no, not at all");
        assert_eq!(without_repeats("one two one two"), "one two one two");
    }

    proptest! {
        #[test]
        fn no_word_is_added_or_moved(words in prop::collection::vec("[ab]", 0..40)) {
            let kept = without_repeats(&words.join(" "));
            let mut rest = words.iter();
            for word in kept.split_whitespace() {
                prop_assert!(rest.any(|other| other == word), "{kept}");
            }
        }
    }
}
