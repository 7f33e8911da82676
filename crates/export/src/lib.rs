//! Transcripts as files: text, subtitles, tables, documents.
//!
//! A [`Format`] makes bytes of a [`Transcript`]; [`write_new`] and [`replace`] put them on the disk, whole or not at all.
//! [`edited`] changes the text of a segment, and its words keep their times.

mod docx;
mod edit;
mod file;
mod format;
mod json;
mod paragraphs;
pub mod subtitles;

pub use edit::edited;
pub use file::{WriteError, beside, plain_name, replace, write_new};
pub use format::{Format, Transcript, UnknownFormat, line};
