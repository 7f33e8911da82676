use std::time::Duration;

use amanuensis_whisper::Segment;

/// A pause after which a new thought begins.
const PAUSE: Duration = Duration::from_secs(2);

/// Bytes of text after which the next sentence begins a new paragraph.
const ENOUGH: usize = 600;

/// Text that belongs together.
#[derive(Debug, PartialEq)]
pub struct Paragraph {
    pub start: Duration,
    pub text: String,
}

/// Segments as paragraphs: a new one after a pause, and at the end of a sentence where one grows long.
pub fn paragraphs(segments: &[Segment]) -> Vec<Paragraph> {
    let mut all: Vec<Paragraph> = Vec::new();
    let mut end = Duration::ZERO;
    for segment in segments.iter().filter(|segment| !segment.text.trim().is_empty()) {
        let pause = segment.start.saturating_sub(end);
        match all.last_mut() {
            Some(last) if pause < PAUSE && !(last.text.len() >= ENOUGH && ends_sentence(&last.text)) => {
                // A script without spaces has none between its segments either.
                if !last.text.ends_with(char::is_whitespace) && segment.text.starts_with(char::is_whitespace) {
                    last.text.push(' ');
                }
                last.text.push_str(segment.text.trim());
            }
            _ => all.push(Paragraph { start: segment.start, text: segment.text.trim().to_owned() }),
        }
        end = segment.end;
    }
    all
}

/// Whether nothing is missing after this.
pub fn ends_sentence(text: &str) -> bool {
    let text = text.trim_end_matches(['"', '\'', '”', '’', '»', ')', '」']);
    text.ends_with(['.', '!', '?', '…', '。', '！', '？', '।', '؟'])
}

/// `h:mm:ss`, or `m:ss` within the first hour.
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subtitles::tests::segment;

    #[test]
    fn a_paragraph_ends_at_a_pause() {
        let segments = [segment(0, 1000, " One."), segment(1200, 2000, " Two."), segment(4500, 5000, " Three.")];
        let found = paragraphs(&segments);
        assert_eq!(found[0].text, "One. Two.");
        assert_eq!(found[1], Paragraph { start: Duration::from_millis(4500), text: "Three.".to_owned() });
    }

    #[test]
    fn a_long_paragraph_ends_with_a_sentence() {
        let half = format!(" {}", "word ".repeat(130).trim_end());
        let segments = [
            segment(0, 1000, &half),
            segment(1000, 2000, " and then, he said, \"it ends.\""),
            segment(2000, 3000, " Another."),
        ];
        let found = paragraphs(&segments);
        assert_eq!(found.len(), 2);
        assert!(found[0].text.ends_with("it ends.\""));
    }

    #[test]
    fn a_script_without_spaces_gets_none() {
        let found = paragraphs(&[segment(0, 1000, "你好。"), segment(1000, 2000, "世界。")]);
        assert_eq!(found[0].text, "你好。世界。");
    }

    #[test]
    fn hours_are_shown_where_there_are_any() {
        assert_eq!(clock(Duration::from_secs(65)), "1:05");
        assert_eq!(clock(Duration::from_secs(3725)), "1:02:05");
    }
}
