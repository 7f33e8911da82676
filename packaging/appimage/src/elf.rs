//! As much of the ELF format as an AppImage needs: where a program's file ends, and where its sections lie.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

/// Why a file cannot be read as a program.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// The operating system's word.
    #[error("the program cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Something else begins here.
    #[error("this is no 64-bit little-endian ELF program")]
    NotElf,
    /// The headers contradict themselves.
    #[error("the program's table of sections is broken; build or download it again")]
    Broken,
}

/// The sections of a program and where its file ends.
#[derive(Debug)]
pub struct Elf {
    /// The first byte after the program: where an AppImage's file system begins.
    pub end: u64,
    sections: Vec<(String, Range<u64>)>,
}

const HEADER_BYTES: usize = 64;
const SECTION_BYTES: usize = 64;
/// What a section of this kind spans lies in memory only.
const NO_BITS: u32 = 8;

impl Elf {
    /// Reads the headers of `file`.
    ///
    /// # Errors
    /// [`ElfError`].
    pub fn read(file: &File) -> Result<Self, ElfError> {
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).map_err(short)?;
        // Class 2 is 64 bits, encoding 1 little-endian.
        if !header.starts_with(b"\x7fELF\x02\x01") {
            return Err(ElfError::NotElf);
        }
        let table = u64_at(&header, 0x28);
        let size = usize::from(u16_at(&header, 0x3a));
        let count = usize::from(u16_at(&header, 0x3c));
        let names = usize::from(u16_at(&header, 0x3e));
        if size != SECTION_BYTES || names >= count {
            return Err(ElfError::Broken);
        }
        let mut bytes = vec![0; size * count];
        file.read_exact_at(&mut bytes, table).map_err(short)?;
        let rows: Vec<Row> = bytes.chunks_exact(size).map(Row::parse).collect::<Option<_>>().ok_or(ElfError::Broken)?;

        let length = file.metadata()?.len();
        let end = rows.iter().map(|row| row.span.end).fold(table + bytes.len() as u64, u64::max);
        if end > length {
            return Err(ElfError::Broken);
        }
        let span = rows[names].span.clone();
        let mut text = vec![0; usize::try_from(span.end - span.start).map_err(|_| ElfError::Broken)?];
        file.read_exact_at(&mut text, span.start).map_err(short)?;
        let sections = rows.into_iter().map(|row| (name_at(&text, row.name), row.span)).collect();
        Ok(Self { end, sections })
    }

    /// Where in the file the section of this name lies.
    pub fn section(&self, name: &str) -> Option<Range<u64>> {
        self.sections.iter().find(|(known, _)| known == name).map(|(_, span)| span.clone())
    }

    /// What the section of this name holds, without the zeros at its end. Empty where there is no such section.
    ///
    /// # Errors
    /// [`ElfError::Read`].
    pub fn text(&self, file: &File, name: &str) -> Result<Vec<u8>, ElfError> {
        let Some(span) = self.section(name) else { return Ok(Vec::new()) };
        let mut bytes = vec![0; usize::try_from(span.end - span.start).map_err(|_| ElfError::Broken)?];
        file.read_exact_at(&mut bytes, span.start)?;
        bytes.truncate(bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
        Ok(bytes)
    }
}

/// One row of the table of sections.
struct Row {
    name: usize,
    span: Range<u64>,
}

impl Row {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let start = u64_at(bytes, 0x18);
        let length = if u32_at(bytes, 4) == NO_BITS { 0 } else { u64_at(bytes, 0x20) };
        Some(Self { name: u32_at(bytes, 0) as usize, span: start..start.checked_add(length)? })
    }
}

/// A file that ends too early is no program.
fn short(error: io::Error) -> ElfError {
    if error.kind() == io::ErrorKind::UnexpectedEof { ElfError::NotElf } else { ElfError::Read(error) }
}

fn name_at(text: &[u8], start: usize) -> String {
    let name = text.get(start..).unwrap_or_default().split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("BUG: a header has a fixed length")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_program_ends_where_its_file_does() {
        let own = File::open("/proc/self/exe").unwrap();
        let elf = Elf::read(&own).unwrap();
        assert_eq!(elf.end, own.metadata().unwrap().len());
        assert!(elf.section(".text").is_some_and(|span| !span.is_empty()));
        assert!(elf.section(".surprise").is_none());
        assert!(elf.text(&own, ".surprise").unwrap().is_empty());
    }

    #[test]
    fn other_files_are_told_apart() {
        assert!(matches!(Elf::read(&file(b"")), Err(ElfError::NotElf)));
        assert!(matches!(Elf::read(&file(b"#!/bin/sh\nexit 0\n")), Err(ElfError::NotElf)));
        assert!(matches!(Elf::read(&file(&[0; 4096])), Err(ElfError::NotElf)));
    }

    #[test]
    fn broken_headers_are_no_panic() {
        let whole = std::fs::read("/proc/self/exe").unwrap();
        let mut header = whole[..HEADER_BYTES].to_vec();
        for at in 0x10..HEADER_BYTES {
            let kept = header[at];
            for wrong in [0, 1, 0x7f, 0xff] {
                header[at] = wrong;
                let mut bytes = header.clone();
                bytes.resize(8192, 0xff);
                // Some bytes mean nothing here; that all others are refused is not what matters.
                let _ = Elf::read(&file(&bytes));
            }
            header[at] = kept;
        }
        assert!(matches!(Elf::read(&file(&whole[..whole.len() / 2])), Err(ElfError::NotElf | ElfError::Broken)));
    }
}
