//! The sound of an entry: compressed without loss, in a file that only the user may read.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use amanuensis_journal::{ReadError, Reader};
use flacenc::bitsink::ByteSink;
use flacenc::component::{BitRepr as _, Stream, StreamInfo};
use flacenc::error::Verify as _;
use flacenc::source::{Context, Fill as _, FrameBuf};

/// Samples that are compressed together: a quarter of a second.
const BLOCK: usize = 4_096;
const BITS: usize = 16;

/// Why a recording cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum SoundError {
    /// The journal gives nothing.
    #[error("the recording in {} cannot be read: {source}", path.display())]
    Journal {
        /// The journal.
        path: PathBuf,
        /// Why.
        source: ReadError,
    },
    /// The compressed file cannot be written.
    #[error("the recording cannot be saved as {} ({source}); check that there is room on the disk", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A compressed recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sound {
    /// How long it is.
    pub length: Duration,
    /// What it takes on the disk.
    pub bytes: u64,
}

/// Compresses what is whole of a journal into a FLAC file, which is there either as a whole or not at all.
pub(crate) fn compress(journal: &Path, flac: &Path) -> Result<Sound, SoundError> {
    let unreadable = |source| SoundError::Journal { path: journal.to_owned(), source };
    let unwritable = |source| SoundError::Write { path: flac.to_owned(), source };
    let file = File::open(journal).map_err(|error| unreadable(error.into()))?;
    let mut reader = Reader::new(BufReader::new(file)).map_err(unreadable)?;
    let part = flac.with_extension("part");
    let file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part).map_err(unwritable)?;
    let mut encoder = Encoder::new(file, reader.head().sample_rate as usize).map_err(unwritable)?;
    let mut block = Vec::with_capacity(2 * BLOCK);
    while let Some(samples) = reader.next_chunk().map_err(unreadable)? {
        block.extend(samples.iter().map(|sample| i32::from(*sample)));
        let whole = block.len() - block.len() % BLOCK;
        for block in block[..whole].chunks_exact(BLOCK) {
            encoder.push(block).map_err(unwritable)?;
        }
        block.drain(..whole);
    }
    if !block.is_empty() {
        encoder.push(&block).map_err(unwritable)?;
    }
    let sound = encoder.finish().map_err(unwritable)?;
    std::fs::rename(&part, flac).map_err(unwritable)?;
    let folder = flac.parent().map(File::open).transpose().map_err(unwritable)?;
    folder.map(|folder| folder.sync_all()).transpose().map_err(unwritable)?;
    Ok(sound)
}

/// Writes FLAC frame by frame; a long recording is never in memory as a whole.
struct Encoder {
    out: BufWriter<File>,
    config: flacenc::error::Verified<flacenc::config::Encoder>,
    info: StreamInfo,
    /// The samples of one frame; the last frame has fewer than fit.
    buffer: FrameBuf,
    context: Context,
    frames: usize,
}

impl Encoder {
    fn new(file: File, sample_rate: usize) -> std::io::Result<Self> {
        let config = flacenc::config::Encoder::default().into_verified().map_err(|(_, error)| told(error))?;
        let info = StreamInfo::new(sample_rate, 1, BITS).map_err(told)?;
        let mut encoder = Self {
            out: BufWriter::new(file),
            config,
            info,
            buffer: FrameBuf::with_size(1, BLOCK).map_err(told)?,
            context: Context::new(BITS, 1),
            frames: 0,
        };
        // Its place; what it says is known at the end.
        encoder.write_head()?;
        Ok(encoder)
    }

    fn push(&mut self, samples: &[i32]) -> std::io::Result<()> {
        self.buffer.fill_interleaved(samples).map_err(told)?;
        self.context.fill_interleaved(samples).map_err(told)?;
        let frame =
            flacenc::encode_fixed_size_frame(&self.config, &self.buffer, self.frames, &self.info).map_err(told)?;
        self.info.update_frame_info(&frame);
        let mut bytes = ByteSink::new();
        frame.write(&mut bytes).map_err(told)?;
        self.frames += 1;
        self.out.write_all(bytes.as_slice())
    }

    fn finish(mut self) -> std::io::Result<Sound> {
        self.info.set_block_sizes(BLOCK, BLOCK).map_err(told)?;
        self.info.set_total_samples(self.context.total_samples());
        self.info.set_md5_digest(&self.context.md5_digest());
        self.out.rewind()?;
        self.write_head()?;
        let file = self.out.into_inner().map_err(|error| error.into_error())?;
        file.sync_all()?;
        let seconds = self.context.total_samples() as f64 / self.info.sample_rate() as f64;
        Ok(Sound { length: Duration::from_secs_f64(seconds), bytes: file.metadata()?.len() })
    }

    fn write_head(&mut self) -> std::io::Result<()> {
        let mut bytes = ByteSink::new();
        Stream::with_stream_info(self.info.clone()).write(&mut bytes).map_err(told)?;
        self.out.write_all(bytes.as_slice())
    }
}

fn told(error: impl std::fmt::Display) -> std::io::Error {
    std::io::Error::other(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use amanuensis_audio::AudioFile;
    use amanuensis_journal::{Head, Limits, Recorder};

    use super::*;

    /// A journal of these samples.
    pub(crate) fn journal(path: &Path, samples: &[f32]) {
        let head = Head { sample_rate: 16_000, started: SystemTime::UNIX_EPOCH, take: 1 };
        let mut recorder = Recorder::start(path.to_owned(), head, Limits::default(), |_| ()).unwrap();
        recorder.push(samples);
    }

    #[test]
    fn what_is_compressed_is_read_back_sample_for_sample() {
        let home = tempfile::tempdir().unwrap();
        let paths = (home.path().join("a.journal"), home.path().join("a.flac"));
        for length in [0, 1, BLOCK - 1, BLOCK, 5 * BLOCK + 17, 40_000] {
            let samples: Vec<f32> =
                (0..length).map(|index| ((index * index / 7) as u16 as i16 / 3) as f32 / 32_768.0).collect();
            let _ = std::fs::remove_file(&paths.0);
            journal(&paths.0, &samples);
            let sound = compress(&paths.0, &paths.1).unwrap();
            assert_eq!(sound.length, Duration::from_secs_f64(length as f64 / 16_000.0));
            if length == 0 {
                continue;
            }
            let mut heard = vec![0.0; length + 1];
            let mut file = AudioFile::open(&paths.1).unwrap();
            assert_eq!(file.duration(), Some(sound.length));
            let mut filled = 0;
            loop {
                match file.read(&mut heard[filled..]).unwrap() {
                    0 => break,
                    count => filled += count,
                }
            }
            assert_eq!(&heard[..filled], &samples[..]);
        }
        assert!(!paths.1.with_extension("part").exists());
    }

    #[test]
    fn a_journal_that_cannot_be_read_leaves_nothing_behind() {
        let home = tempfile::tempdir().unwrap();
        let flac = home.path().join("a.flac");
        let journal = home.path().join("a.journal");
        std::fs::write(&journal, "Dear diary").unwrap();
        let error = compress(&journal, &flac).unwrap_err();
        assert!(error.to_string().contains("is not a recording's journal"), "{error}");
        assert!(!flac.exists());
    }
}
