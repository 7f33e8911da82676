//! Segments as subtitle files, in the form that OpenAI's API gives them.

use std::fmt::Write as _;
use std::time::Duration;

use crate::Segment;

/// SubRip: numbered cues, times with a comma.
pub fn srt(segments: &[Segment]) -> String {
    let mut out = String::new();
    for (index, segment) in segments.iter().enumerate() {
        let (start, end) = (time(segment.start, ','), time(segment.end, ','));
        // Writing to a string does not fail.
        let _ = write!(out, "{}\n{start} --> {end}\n{}\n\n", index + 1, cue(&segment.text));
    }
    out
}

/// WebVTT: a heading, cues without numbers, times with a dot.
pub fn vtt(segments: &[Segment]) -> String {
    let mut out = "WEBVTT\n\n".to_owned();
    for segment in segments {
        let (start, end) = (time(segment.start, '.'), time(segment.end, '.'));
        // Writing to a string does not fail.
        let _ = write!(out, "{start} --> {end}\n{}\n\n", cue(&segment.text));
    }
    out
}

/// A cue ends at an empty line and has its times at an arrow: text may hold neither.
fn cue(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n").replace("-->", "->")
}

/// `hh:mm:ss` and milliseconds behind `mark`.
fn time(time: Duration, mark: char) -> String {
    let (seconds, ms) = (time.as_secs(), time.subsec_millis());
    format!("{:02}:{:02}:{:02}{mark}{ms:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(start_ms: u64, end_ms: u64, text: &str) -> Segment {
        Segment {
            start: Duration::from_millis(start_ms),
            end: Duration::from_millis(end_ms),
            window_start: Duration::ZERO,
            text: text.to_owned(),
            tokens: Vec::new(),
            words: Vec::new(),
            avg_logprob: 0.0,
            no_speech_prob: 0.0,
            compression_ratio: 1.0,
            temperature: 0.0,
        }
    }

    #[test]
    fn srt_numbers_its_cues() {
        let segments = [segment(0, 1500, " Hello."), segment(3_661_042, 3_662_000, " Bye.")];
        let expected = "1\n00:00:00,000 --> 00:00:01,500\nHello.\n\n2\n01:01:01,042 --> 01:01:02,000\nBye.\n\n";
        assert_eq!(srt(&segments), expected);
        assert_eq!(srt(&[]), "");
    }

    #[test]
    fn vtt_has_a_heading() {
        let expected = "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello.\n\n";
        assert_eq!(vtt(&[segment(0, 1500, " Hello.")]), expected);
        assert_eq!(vtt(&[]), "WEBVTT\n\n");
    }

    #[test]
    fn text_cannot_break_a_cue() {
        let text = srt(&[segment(0, 1000, " a --> b\n\n2\n")]);
        assert_eq!(text, "1\n00:00:00,000 --> 00:00:01,000\na -> b\n2\n\n");
    }
}
