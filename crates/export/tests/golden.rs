//! Every format of two transcripts, byte for byte as it was when somebody looked at it.

use std::io::{Cursor, Read as _};
use std::path::Path;
use std::time::Duration;

use amanuensis_engine::{Done, Timings};
use amanuensis_export::{Format, Transcript, edited};
use amanuensis_whisper::{DeviceInfo, Segment, Word};

fn segment(start_ms: u64, text: &str) -> Segment {
    let mut words = Vec::new();
    let mut at = start_ms;
    for word in text.split(' ') {
        let end = at + 60 * word.len() as u64;
        let (start, end_of_word) = (Duration::from_millis(at), Duration::from_millis(end));
        words.push(Word { start, end: end_of_word, text: format!(" {word}"), probability: 0.75 });
        at = end + 40;
    }
    Segment {
        start: Duration::from_millis(start_ms),
        end: Duration::from_millis(at),
        window_start: Duration::ZERO,
        text: format!(" {text}"),
        tokens: Vec::new(),
        words,
        avg_logprob: -0.25,
        no_speech_prob: 0.0,
        compression_ratio: 1.25,
        temperature: 0.0,
    }
}

fn segments() -> Vec<Segment> {
    let first = segment(500, "Good morning, and welcome to the quarterly meeting of the people who keep the books.");
    vec![
        edited(&first, "Good morning and welcome to the yearly meeting of the people who keep the books."),
        segment(8_000, "Yes."),
        segment(12_500, "She said \"profit & loss\", <not> *more*; then = 3."),
        segment(3_700_000, "Naïve café, 日本, 😀."),
    ]
}

fn done() -> Done {
    let transcript = amanuensis_whisper::Transcript { language: "en".to_owned(), segments: Vec::new() };
    let ms = Duration::from_millis;
    let timings =
        Timings { queued: ms(1), mel: ms(20), encode: ms(300), decode: ms(200), total: ms(600), audio: ms(3_705_000) };
    let device = DeviceInfo { name: "cpu".to_owned(), detail: "AVX2".to_owned(), threads: None };
    Done { transcript, timings, device, fallback: None }
}

fn kept(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}; run with UPDATE_GOLDEN=1 and look at it"))
}

fn part(docx: &[u8], name: &str) -> String {
    let mut archive = zip::ZipArchive::new(Cursor::new(docx)).unwrap();
    let mut xml = String::new();
    archive.by_name(name).unwrap().read_to_string(&mut xml).unwrap();
    xml
}

#[test]
fn every_format_is_as_it_was() {
    let (segments, done) = (segments(), done());
    let transcript = Transcript { recording: "meeting & <more>.mp3", segments: &segments, outcome: Ok(&done) };
    for format in Format::ALL {
        let bytes = format.render(&transcript);
        let name = format!("meeting.{}", format.ending());
        let (name, bytes) = match format {
            // An archive is as it was if its document is.
            Format::Docx => ("meeting.docx.xml".to_owned(), part(&bytes, "word/document.xml").into_bytes()),
            _ => (name, bytes),
        };
        let kept = kept(&name, &bytes);
        assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&kept), "{name}");
    }
}

#[test]
fn a_document_opens_and_holds_the_text() {
    let (segments, done) = (segments(), done());
    let name = "line\nbreak\u{202e}.mp3";
    let docx = Format::Docx.render(&Transcript { recording: name, segments: &segments, outcome: Ok(&done) });
    let types = part(&docx, "[Content_Types].xml");
    let types = roxmltree::Document::parse(&types).unwrap();
    for listed in types.descendants().filter_map(|node| node.attribute("PartName")) {
        roxmltree::Document::parse(&part(&docx, listed.trim_start_matches('/'))).unwrap();
    }
    let document = part(&docx, "word/document.xml");
    let document = roxmltree::Document::parse(&document).unwrap();
    let texts: Vec<String> = document
        .descendants()
        .filter(|node| node.has_tag_name(("http://schemas.openxmlformats.org/wordprocessingml/2006/main", "p")))
        .map(|paragraph| paragraph.descendants().filter_map(|node| node.text().filter(|_| node.is_text())).collect())
        .collect();
    assert_eq!(texts[0], "line\u{fffd}break\u{fffd}.mp3");
    assert!(texts[1].starts_with("0:00  Good morning and welcome"), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("\"profit & loss\", <not> *more*")), "{texts:?}");
    assert!(texts.last().unwrap().starts_with("1:01:40  Naïve café, 日本, 😀."), "{texts:?}");
}

#[test]
fn a_transcript_that_is_not_whole_says_why() {
    let segments = segments();
    let transcript =
        Transcript { recording: "broken.flac", segments: &segments, outcome: Err("It is damaged after 9 s.") };
    for format in [Format::Markdown, Format::Json] {
        let text = String::from_utf8(format.render(&transcript)).unwrap();
        assert!(text.contains("It is damaged after 9 s."), "{text}");
    }
    assert!(part(&Format::Docx.render(&transcript), "word/document.xml").contains("It is damaged after 9 s."));
}
