use std::str::FromStr;

use amanuensis_engine::Done;
use amanuensis_whisper::Segment;

use crate::paragraphs::{clock, paragraphs};
use crate::{docx, json, subtitles};

/// In what form a transcript is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The words, a line for each stretch of speech.
    Text,
    /// SubRip subtitles.
    Srt,
    /// WebVTT subtitles.
    Vtt,
    /// Markdown: a title, and paragraphs with the time at which they begin.
    Markdown,
    /// A document for Word, LibreOffice and the like, with the same in it as the Markdown.
    Docx,
    /// A table: start, end and text of each stretch of speech.
    Csv,
    /// One object in a line: text, times, words, probabilities, and where the time went.
    Json,
}

/// A recording's text, as far as it went.
#[derive(Debug, Clone, Copy)]
pub struct Transcript<'a> {
    /// What the recording is called.
    pub recording: &'a str,
    /// Its text, in order of time.
    pub segments: &'a [Segment],
    /// How it was made, or why it is not whole: a sentence. The segments in it are not looked at.
    pub outcome: Result<&'a Done, &'a str>,
}

impl Format {
    /// All forms, those for reading first.
    pub const ALL: [Self; 7] = [Self::Text, Self::Srt, Self::Vtt, Self::Markdown, Self::Docx, Self::Csv, Self::Json];

    /// Ending of files in this form, by which it is also called.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Markdown => "md",
            Self::Docx => "docx",
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }

    /// Whether the form shows when each word was said, or is better for knowing it.
    pub fn wants_word_times(self) -> bool {
        matches!(self, Self::Srt | Self::Vtt | Self::Json)
    }

    /// A transcript in this form.
    pub fn render(self, transcript: &Transcript<'_>) -> Vec<u8> {
        let segments = transcript.segments;
        match self {
            Self::Text => segments.iter().map(line).collect::<String>().into_bytes(),
            Self::Srt => subtitles::srt(&subtitles::cues(segments)).into_bytes(),
            Self::Vtt => subtitles::vtt(&subtitles::cues(segments)).into_bytes(),
            Self::Markdown => markdown(transcript).into_bytes(),
            Self::Docx => docx::document(transcript),
            Self::Csv => csv(segments).into_bytes(),
            Self::Json => json::report(transcript).into_bytes(),
        }
    }
}

/// There is no such form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{asked}` is no format; there are txt, srt, vtt, md, docx, csv and json")]
pub struct UnknownFormat {
    /// What was asked for.
    pub asked: String,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    /// By its ending; `text` is understood too.
    fn from_str(asked: &str) -> Result<Self, UnknownFormat> {
        let known = |format: &Self| format.ending() == asked || (*format == Self::Text && asked == "text");
        Self::ALL.into_iter().find(known).ok_or_else(|| UnknownFormat { asked: asked.to_owned() })
    }
}

/// A segment's words as a line.
pub fn line(segment: &Segment) -> String {
    format!("{}\n", segment.text.trim())
}

/// RFC 4180, with times in seconds. Every text is in quotes, so that it cannot be taken for anything else.
fn csv(segments: &[Segment]) -> String {
    let mut table = "start,end,text\r\n".to_owned();
    for segment in segments {
        let (start, end) = (segment.start.as_secs_f64(), segment.end.as_secs_f64());
        let text = segment.text.trim().replace('"', "\"\"");
        table += &format!("{start:.3},{end:.3},\"{text}\"\r\n");
    }
    table
}

fn markdown(transcript: &Transcript<'_>) -> String {
    let mut text = format!("# {}\n", escaped(&crate::plain_name(transcript.recording.as_ref())));
    for paragraph in paragraphs(transcript.segments) {
        text += &format!("\n**{}** {}\n", clock(paragraph.start), escaped(&paragraph.text));
    }
    if let Err(reason) = transcript.outcome {
        text += &format!("\n*{}*\n", escaped(reason));
    }
    text
}

/// Text that Markdown shows as it stands. What is special at the beginning of a line only never stands there.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '&' | '~' | '|') {
            out.push('\\');
        }
        out.push(if letter == '\n' { ' ' } else { letter });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_known_by_its_ending() {
        for format in Format::ALL {
            assert_eq!(format.ending().parse(), Ok(format));
        }
        assert_eq!("text".parse(), Ok(Format::Text));
        let error = "odt".parse::<Format>().unwrap_err().to_string();
        assert!(Format::ALL.iter().all(|format| error.contains(format.ending())), "{error}");
    }

    #[test]
    fn markdown_means_nothing_by_the_text_in_it() {
        assert_eq!(escaped("2 * 3 <b> [x](y)"), "2 \\* 3 \\<b> \\[x\\](y)");
    }
}
