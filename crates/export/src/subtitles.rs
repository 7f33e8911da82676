//! Subtitle files: SubRip and WebVTT.
//!
//! [`cues`] makes of a transcript what can be read while it is shown: two lines of 42 letters at most, for one to seven
//! seconds. [`whole`] shows each segment as it is, as OpenAI's API does.
//!
//! *Source*: the limits are those of the BBC's and Netflix's guides for subtitles.

use std::fmt::Write as _;
use std::time::Duration;

use amanuensis_whisper::Segment;
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

use crate::edit::{spaced_words, spread};
use crate::paragraphs::ends_sentence;

/// Width of a line, in letters; those of Chinese and Japanese count twice.
const LINE: usize = 42;
/// Nobody reads faster than this.
const SHORTEST: Duration = Duration::from_secs(1);
/// What stands for longer is read twice.
const LONGEST: Duration = Duration::from_secs(7);

/// What is shown at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cue {
    /// When it appears.
    pub start: Duration,
    /// When it vanishes.
    pub end: Duration,
    /// Its lines.
    pub text: String,
}

/// A transcript cut where it best can be.
pub fn cues(segments: &[Segment]) -> Vec<Cue> {
    let mut cues: Vec<Cue> = Vec::new();
    for segment in segments {
        split(&atoms(segment), &mut cues);
    }
    for index in 0..cues.len() {
        let next = cues.get(index + 1).map(|cue| cue.start);
        let cue = &mut cues[index];
        cue.end = cue.end.clamp(cue.start + SHORTEST, cue.start + LONGEST);
        // Two at a time would cover each other.
        if let Some(next) = next {
            cue.end = cue.end.min(next.max(cue.start));
        }
    }
    cues
}

/// Each segment as one cue.
pub fn whole(segments: &[Segment]) -> Vec<Cue> {
    segments
        .iter()
        .map(|Segment { start, end, text, .. }| Cue { start: *start, end: *end, text: text.clone() })
        .collect()
}

/// SubRip: numbered cues, times with a comma.
pub fn srt(cues: &[Cue]) -> String {
    let mut out = String::new();
    for (index, cue) in cues.iter().enumerate() {
        let (start, end) = (time(cue.start, ','), time(cue.end, ','));
        // A cue has its times at an arrow: text may hold none.
        let text = lines(&cue.text).replace("-->", "->");
        // Writing to a string does not fail.
        let _ = write!(out, "{}\n{start} --> {end}\n{text}\n\n", index + 1);
    }
    out
}

/// WebVTT: a heading, cues without numbers, times with a dot.
pub fn vtt(cues: &[Cue]) -> String {
    let mut out = "WEBVTT\n\n".to_owned();
    for cue in cues {
        let (start, end) = (time(cue.start, '.'), time(cue.end, '.'));
        let text = lines(&cue.text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        // Writing to a string does not fail.
        let _ = write!(out, "{start} --> {end}\n{text}\n\n");
    }
    out
}

/// A cue ends at an empty line: text may hold none.
fn lines(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// `hh:mm:ss` and milliseconds behind `mark`.
fn time(time: Duration, mark: char) -> String {
    let (seconds, ms) = (time.as_secs(), time.subsec_millis());
    format!("{:02}:{:02}:{:02}{mark}{ms:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Text that is not cut any further. It is never wider than a line.
#[derive(Debug, Clone, Copy)]
struct Atom<'a> {
    /// With the space before it, if there is one.
    text: &'a str,
    start: Duration,
    end: Duration,
}

/// The words of a segment; without their times, those are guessed from how long the words are.
fn atoms(segment: &Segment) -> Vec<Atom<'_>> {
    let timed: Vec<_> = match segment.words.as_slice() {
        [] => spread(&spaced_words(&segment.text), segment.start, segment.end).collect(),
        words => words.iter().map(|word| (word.text.as_str(), word.start, word.end)).collect(),
    };
    let mut atoms = Vec::new();
    for (text, start, end) in timed {
        if text.trim().is_empty() {
            continue;
        }
        if text.trim().width() <= LINE {
            atoms.push(Atom { text: text.trim_end(), start, end });
        } else {
            let parts = spread(&chopped(text.trim_end()), start, end).collect::<Vec<_>>();
            atoms.extend(parts.into_iter().map(|(text, start, end)| Atom { text, start, end }));
        }
    }
    atoms
}

/// A word that is wider than a line, or a text without spaces, in pieces that are not: whole letters, after punctuation
/// where there is some.
fn chopped(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut width) = (0, 0);
    for (at, letter) in text.grapheme_indices(true) {
        let stop = text[start..at].ends_with(['。', '，', '、', '！', '？', '；', '：']);
        if at > start && (width + letter.width() > LINE || (stop && width > LINE / 4)) {
            pieces.push(&text[start..at]);
            (start, width) = (at, 0);
        }
        width += letter.width();
    }
    pieces.push(&text[start..]);
    pieces
}

/// Cuts what does not fit in two, where that hurts least, until all of it fits.
fn split(atoms: &[Atom<'_>], cues: &mut Vec<Cue>) {
    let (Some(first), Some(last)) = (atoms.first(), atoms.last()) else { return };
    let duration = last.end.saturating_sub(first.start);
    match broken(atoms).filter(|_| duration <= LONGEST || atoms.len() == 1) {
        Some(text) => cues.push(Cue { start: first.start, end: last.end.max(first.start), text }),
        None => {
            let middle = best_cut(atoms, |index| {
                let pause = atoms[index].start.saturating_sub(atoms[index - 1].end);
                0.5 * pause.as_secs_f64().min(1.0)
            });
            split(&atoms[..middle], cues);
            split(&atoms[middle..], cues);
        }
    }
}

/// One line, or two where one is too long; nothing where two are.
fn broken(atoms: &[Atom<'_>]) -> Option<String> {
    let whole = joined(atoms);
    if whole.width() <= LINE {
        return Some(whole);
    }
    // More cannot fit, and need not be tried.
    if atoms.len() < 2 || whole.width() > 2 * LINE + 1 {
        return None;
    }
    let fits = |cut: &usize| joined(&atoms[..*cut]).width() <= LINE && joined(&atoms[*cut..]).width() <= LINE;
    let cut = Some(best_cut(atoms, |_| 0.0)).filter(fits).or_else(|| (1..atoms.len()).find(fits))?;
    Some(format!("{}\n{}", joined(&atoms[..cut]), joined(&atoms[cut..])))
}

/// The index before which to cut, from 1 on: near the middle, at the end of a sentence or of a clause, and where `bonus`
/// makes up for it.
fn best_cut(atoms: &[Atom<'_>], bonus: impl Fn(usize) -> f64) -> usize {
    let widths: Vec<usize> = atoms.iter().map(|atom| atom.text.width()).collect();
    let whole = widths.iter().sum::<usize>().max(1) as f64;
    let mut before = 0;
    let mut best = (f64::INFINITY, 1);
    for index in 1..atoms.len() {
        before += widths[index - 1];
        let imbalance = (2.0 * before as f64 / whole - 1.0).abs();
        let roughness = match atoms[index - 1].text.trim_end() {
            text if ends_sentence(text) => 0.0,
            text if text.ends_with([',', ';', ':', '—', '–', '，', '、', '；', '：', '،']) => 0.3,
            _ => 0.6,
        };
        let cost = imbalance + roughness - bonus(index);
        if cost < best.0 {
            best = (cost, index);
        }
    }
    best.1
}

fn joined(atoms: &[Atom<'_>]) -> String {
    atoms.iter().map(|atom| atom.text).collect::<String>().trim().to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use amanuensis_whisper::Word;
    use proptest::prelude::*;

    pub(crate) fn segment(start_ms: u64, end_ms: u64, text: &str) -> Segment {
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

    pub(crate) fn word(start_ms: u64, end_ms: u64, text: &str) -> Word {
        let (start, end) = (Duration::from_millis(start_ms), Duration::from_millis(end_ms));
        Word { start, end, text: text.to_owned(), probability: 0.9 }
    }

    #[test]
    fn srt_numbers_its_cues() {
        let segments = [segment(0, 1500, " Hello."), segment(3_661_042, 3_662_000, " Bye.")];
        let expected = "1\n00:00:00,000 --> 00:00:01,500\nHello.\n\n2\n01:01:01,042 --> 01:01:02,000\nBye.\n\n";
        assert_eq!(srt(&whole(&segments)), expected);
        assert_eq!(srt(&[]), "");
    }

    #[test]
    fn vtt_has_a_heading() {
        let expected = "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello.\n\n";
        assert_eq!(vtt(&whole(&[segment(0, 1500, " Hello.")])), expected);
        assert_eq!(vtt(&[]), "WEBVTT\n\n");
    }

    #[test]
    fn text_cannot_break_a_cue() {
        let segments = [segment(0, 1000, " a --> b\n\n2\n")];
        assert_eq!(srt(&whole(&segments)), "1\n00:00:00,000 --> 00:00:01,000\na -> b\n2\n\n");
        assert!(vtt(&whole(&[segment(0, 1000, "<i>a --> & b")])).ends_with("\n&lt;i&gt;a --&gt; &amp; b\n\n"));
    }

    #[test]
    fn long_speech_is_cut_at_the_ends_of_sentences() {
        let text = " We met on Tuesday to talk about the budget. Nobody had read the report, so we went through it \
                    page by page, which took until noon.";
        let texts: Vec<String> = cues(&[segment(0, 12_000, text)]).into_iter().map(|cue| cue.text).collect();
        assert_eq!(
            texts,
            [
                "We met on Tuesday to\ntalk about the budget.",
                "Nobody had read the report,",
                "so we went through it page by page,\nwhich took until noon.",
            ]
        );
    }

    #[test]
    fn a_pause_is_a_good_place_to_cut() {
        let words: Vec<Word> = (0..8)
            .map(|index| {
                let start = index * 500 + if index >= 3 { 5000 } else { 0 };
                word(start, start + 400, " word")
            })
            .collect();
        let segment = Segment { words, ..segment(0, 9_000, &" word".repeat(8)) };
        let cues = cues(&[segment]);
        assert_eq!(cues[0].text, "word word word");
        assert_eq!(cues[1].start, Duration::from_millis(6500));
    }

    #[test]
    fn short_cues_stay_long_enough_but_never_over_the_next() {
        let found = cues(&[segment(0, 200, " Yes."), segment(600, 700, " No."), segment(9000, 9100, " Well.")]);
        let times: Vec<_> = found.iter().map(|cue| (cue.start.as_millis(), cue.end.as_millis())).collect();
        assert_eq!(times, [(0, 600), (600, 1600), (9000, 10_000)]);
    }

    #[test]
    fn scripts_without_spaces_are_cut_between_letters() {
        let text = "今天天气很好，我们一起去公园散步，然后在湖边坐了很久，看着人们划船，直到太阳下山才慢慢地走回家去。";
        let found = cues(&[segment(0, 10_000, text)]);
        assert!(found.len() > 1);
        assert_eq!(found.iter().flat_map(|cue| cue.text.lines()).collect::<String>(), text);
        assert!(found.iter().flat_map(|cue| cue.text.lines()).all(|line| line.width() <= LINE), "{found:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn cues_hold_all_words_within_the_limits(
            texts in prop::collection::vec("( [a-zé日]{1,60}[.,]?){0,40}", 0..4),
            length_ms in 0_u64..30_000,
        ) {
            let segments: Vec<_> = texts
                .iter()
                .enumerate()
                .map(|(index, text)| segment(index as u64 * length_ms, (index as u64 + 1) * length_ms, text))
                .collect();
            let found = cues(&segments);
            let letters = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>();
            let shown: String = found.iter().map(|cue| letters(&cue.text)).collect();
            prop_assert_eq!(shown, letters(&texts.concat()));
            for cue in &found {
                prop_assert!(cue.text.lines().count() <= 2 && cue.text.lines().all(|line| line.width() <= LINE), "{:?}", cue);
                prop_assert!(cue.end.saturating_sub(cue.start) <= LONGEST);
            }
            for pair in found.windows(2) {
                prop_assert!(pair[0].start <= pair[0].end && pair[0].end <= pair[1].start, "{:?}", pair);
            }
        }
    }
}
