//! A document as Word and LibreOffice open it: Office Open XML, of which a transcript needs little.
//!
//! *Source*: ECMA-376, parts 1 and 2.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::Transcript;
use crate::paragraphs::{clock, paragraphs};

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#;

const TYPES: &str = concat!(
    r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">"#,
    r#"<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>"#,
    r#"<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/>"#,
    r#"<Override PartName="/word/styles.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.styles+xml"/>"#,
    r#"<Override PartName="/docProps/core.xml" ContentType="application/vnd.openxmlformats-package.core-properties+xml"/>"#,
    "</Types>"
);

const PARTS: &str = concat!(
    r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">"#,
    r#"<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/>"#,
    r#"<Relationship Id="rId2" Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties" Target="docProps/core.xml"/>"#,
    "</Relationships>"
);

const PARTS_OF_DOCUMENT: &str = concat!(
    r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">"#,
    r#"<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/>"#,
    "</Relationships>"
);

/// Sizes are in half points, distances in twentieths of a point.
const STYLES: &str = concat!(
    r#"<w:styles xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">"#,
    r#"<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/>"#,
    r#"<w:pPr><w:spacing w:after="160" w:line="288" w:lineRule="auto"/></w:pPr><w:rPr><w:sz w:val="22"/></w:rPr></w:style>"#,
    r#"<w:style w:type="paragraph" w:styleId="Title"><w:name w:val="Title"/><w:basedOn w:val="Normal"/>"#,
    r#"<w:pPr><w:spacing w:after="240"/></w:pPr><w:rPr><w:b/><w:sz w:val="36"/></w:rPr></w:style>"#,
    r#"<w:style w:type="character" w:customStyle="1" w:styleId="Time"><w:name w:val="Time"/>"#,
    r#"<w:rPr><w:color w:val="5F6B7A"/><w:sz w:val="18"/></w:rPr></w:style>"#,
    "</w:styles>"
);

/// Languages that are written from right to left.
const RIGHT_TO_LEFT: &[&str] = &["ar", "fa", "he", "ps", "sd", "ur", "yi"];

/// The transcript as a `.docx` file: its title, and paragraphs with the time at which they begin.
pub fn document(transcript: &Transcript<'_>) -> Vec<u8> {
    let title = crate::plain_name(transcript.recording.as_ref());
    let parts = [
        ("[Content_Types].xml", TYPES.to_owned()),
        ("_rels/.rels", PARTS.to_owned()),
        ("docProps/core.xml", core(&title)),
        ("word/_rels/document.xml.rels", PARTS_OF_DOCUMENT.to_owned()),
        ("word/document.xml", body(transcript, &title)),
        ("word/styles.xml", STYLES.to_owned()),
    ];
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, xml) in parts {
        zip.start_file(name, SimpleFileOptions::default())
            .and_then(|()| Ok(zip.write_all(format!("{HEAD}\n{xml}").as_bytes())?))
            .expect("BUG: a few files of text fit into an archive in memory");
    }
    zip.finish().expect("BUG: nothing more is written than before").into_inner()
}

fn core(title: &str) -> String {
    format!(
        concat!(
            r#"<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" "#,
            r#"xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{}</dc:title></cp:coreProperties>"#
        ),
        escaped(title)
    )
}

fn body(transcript: &Transcript<'_>, title: &str) -> String {
    let language = transcript.outcome.ok().map(|done| done.transcript.language.as_str());
    let leftwards = language.is_some_and(|language| RIGHT_TO_LEFT.contains(&language));
    let (turned, turned_run) = if leftwards { ("<w:bidi/>", "<w:rtl/>") } else { ("", "") };
    let spoken = language.map(|language| format!(r#"<w:lang w:val="{language}"/>"#)).unwrap_or_default();
    let mut xml =
        r#"<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>"#.to_owned();
    let mut paragraph = |style: &str, runs: String| {
        // Writing to a string does not fail.
        let _ = write!(xml, "<w:p><w:pPr>{style}{turned}</w:pPr>{runs}</w:p>");
    };
    paragraph(r#"<w:pStyle w:val="Title"/>"#, run("", title));
    for found in paragraphs(transcript.segments) {
        let time = run(r#"<w:rStyle w:val="Time"/>"#, &format!("{}  ", clock(found.start)));
        paragraph("", time + &run(&format!("{turned_run}{spoken}"), &found.text));
    }
    if let Err(reason) = transcript.outcome {
        paragraph("", run("<w:i/>", reason));
    }
    xml + "</w:body></w:document>"
}

fn run(properties: &str, text: &str) -> String {
    format!(r#"<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{}</w:t></w:r>"#, escaped(text))
}

/// Text as XML may hold it: most control characters it may not hold at all.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            letter if letter.is_control() => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}
