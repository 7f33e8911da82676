//! Recordings in files, streamed: WAV, FLAC, MP3, Ogg Vorbis and Opus, AAC and ALAC in MP4, Matroska and WebM.

use std::fs::File;
use std::io::Seek;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, SeekMode, SeekTo, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, ReadOnlySource};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::units::{Time, TimeBase, Timestamp};
use symphonia_adapter_libopus::OpusDecoder;

use crate::mp4::{self, Edit, Whole};
use crate::wav::Piped;
use crate::{Resampler, SAMPLE_RATE};

/// Damaged packets in a row after which a file counts as broken off.
const MOST_DAMAGED_PACKETS: usize = 100;

/// What a decoder that begins in the middle may need until it is right.
const SETTLING: Duration = Duration::from_millis(200);

static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut codecs = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut codecs);
    codecs.register_audio_decoder::<OpusDecoder>();
    codecs
});

/// Why a file cannot be transcribed, or not further.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be opened or read.
    #[error("cannot read {}: {}; check that it is there and that you may read it", path.display(), plain(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is none.
    #[error("{} is a folder; choose a recording in it", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// The file has no bytes.
    #[error("{} is empty; record it again or choose another", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is in no known format.
    #[error("{} is not a recording that can be read; use WAV, FLAC, MP3, OGG, M4A, MKV or WebM", path.display())]
    NotAudio {
        /// The file.
        path: PathBuf,
    },
    /// The file broke off while it was written or copied, and lacks its index.
    #[error("{} breaks off before its end, where MP4 files have the index without which nothing can be found in them; copy it again from where it came", path.display())]
    Unfinished {
        /// The file.
        path: PathBuf,
    },
    /// The file has pictures but no sound.
    #[error("{} has no sound track; choose a file with sound", path.display())]
    NoSoundTrack {
        /// The file.
        path: PathBuf,
    },
    /// The sound is coded in a way that is not known.
    #[error("the sound of {} is coded in a way that is not supported ({reason}); convert it to WAV, FLAC or MP3", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },
    /// The file is damaged from here on. What came before it stays.
    #[error("{} is damaged after {:.1} s ({reason}); what came before was read", path.display(), after.as_secs_f64())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Sound that was read before.
        after: Duration,
        /// What the decoder said.
        reason: String,
    },
}

/// What the system said, without its number for it.
fn plain(error: &std::io::Error) -> String {
    let mut said = error.to_string();
    if let Some(number) = said.find(" (os error") {
        said.truncate(number);
    }
    said
}

/// An opened recording, read as 16 kHz mono from front to back. Only a packet of it is in memory at a time.
pub struct AudioFile {
    path: PathBuf,
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    duration: Option<Duration>,
    resampler: Option<((u32, usize), Resampler)>,
    interleaved: Vec<f32>,
    /// Samples decoded but not yet given out, from `taken` on.
    ready: Vec<f32>,
    taken: usize,
    given_out: u64,
    /// When the first packet that had sound in it was to be heard.
    first: Option<Timestamp>,
    /// What part of the track is meant to be heard; none for all of it.
    edit: Option<Edit>,
    base: Option<TimeBase>,
    ended: bool,
    /// Why it ended early, until it was said.
    failure: Option<FileError>,
}

impl std::fmt::Debug for AudioFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AudioFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl AudioFile {
    /// Opens a recording and finds its sound track.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(|source| FileError::Io { path: path.to_owned(), source })?;
        Self::from_file(file, path)
    }

    /// Opens a recording so that reading begins `at` this time, or at its end where it is shorter.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open_at(path: &Path, at: Duration) -> Result<Self, FileError> {
        let mut file = Self::open(path)?;
        if at.is_zero() {
            return Ok(file);
        }
        let landed = match file.seek(at) {
            Some(landed) => landed,
            // Where the format cannot, everything before is read.
            None => {
                file = Self::open(path)?;
                Duration::ZERO
            }
        };
        let mut rest = ((at - landed).as_secs_f64() * f64::from(SAMPLE_RATE)) as usize;
        let mut passed = vec![0.0; rest.min(SAMPLE_RATE as usize)];
        while rest > 0 {
            let most = rest.min(passed.len());
            match file.read(&mut passed[..most])? {
                0 => break,
                count => rest -= count,
            }
        }
        Ok(file)
    }

    /// Goes to a packet a little before this time, so that the decoder has settled then, and returns where that begins.
    fn seek(&mut self, at: Duration) -> Option<Duration> {
        let base = self.base?;
        let skip = self.edit.map_or(0, |edit| edit.skip);
        let skip = Duration::try_from_secs_f64(base.calc_duration(skip.into())?.as_secs_f64()).ok()?;
        let time = Time::try_from_secs_f64((at + skip).saturating_sub(SETTLING).as_secs_f64())?;
        let to = SeekTo::Time { time, track_id: Some(self.track) };
        guarded(|| self.format.seek(SeekMode::Accurate, to)).ok()?.ok()?;
        self.decoder.reset();
        // What a reader says of where it landed is not always where the next sound comes from.
        self.first = None;
        while self.first.is_none() && !self.ended {
            self.packet();
        }
        let landed = Duration::try_from_secs_f64(base.calc_time(self.first?)?.as_secs_f64()).ok()?;
        Some(landed.saturating_sub(skip)).filter(|landed| *landed <= at)
    }

    /// Reads a recording from its beginning in a file that is open already, and may have no name on the disk. `path` is what
    /// messages call it; its ending is a hint at the format.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn from_file(mut file: File, path: &Path) -> Result<Self, FileError> {
        let path = path.to_owned();
        let io = |source| FileError::Io { path: path.clone(), source };
        let metadata = file.metadata().map_err(io)?;
        if metadata.is_dir() {
            return Err(FileError::Folder { path });
        }
        if metadata.len() == 0 {
            return Err(FileError::Empty { path });
        }
        let not_audio = || FileError::NotAudio { path: path.clone() };
        // Of a file that breaks off the index at its end is missing: read from front to back, it is not asked for.
        let mut again = file.try_clone().map_err(io)?;
        let piped = Piped::recognise(&mut file, metadata.len()).map_err(io)?;
        let layout = mp4::look(&mut file, metadata.len()).map_err(io)?;
        let source: Box<dyn MediaSource> = match (piped, &layout) {
            (Some(piped), _) => Box::new(piped),
            (None, Some(layout)) if layout.end > metadata.len() => Box::new(Whole::new(file, layout.end)),
            (None, _) => Box::new(file),
        };
        let format = probe(&path, source).or_else(|| {
            again.rewind().ok()?;
            probe(&path, Box::new(ReadOnlySource::new(again)))
        });
        let format = format.ok_or_else(|| match &layout {
            Some(layout) if !layout.has_index => FileError::Unfinished { path: path.clone() },
            _ => not_audio(),
        })?;
        let Some(track) = format.default_track(TrackType::Audio).or_else(|| format.first_track(TrackType::Audio))
        else {
            return Err(FileError::NoSoundTrack { path });
        };
        let Some(parameters) = track.codec_params.as_ref().and_then(|parameters| parameters.audio()) else {
            return Err(FileError::NoSoundTrack { path });
        };
        let decoder = guarded(|| CODECS.make_audio_decoder(parameters, &AudioDecoderOptions::default()))
            .and_then(|decoder| decoder.map_err(|error| error.to_string()))
            .map_err(|reason| FileError::Unsupported { path: path.clone(), reason })?;
        let edit = layout.as_ref().and_then(|layout| layout.edits.get(&track.id).copied());
        let base = track.time_base;
        let duration = match (track.num_frames, parameters.sample_rate) {
            (Some(frames), Some(rate)) if rate > 0 => Duration::try_from_secs_f64(frames as f64 / f64::from(rate)).ok(),
            _ => track.time_base.zip(track.duration).and_then(|(base, ticks)| {
                let time = base.calc_duration(ticks)?;
                Duration::try_from_secs_f64(time.as_secs_f64()).ok()
            }),
        };
        let edited = edit.zip(base).and_then(|(edit, base)| {
            let seconds = |ticks: u64| Some(base.calc_duration(ticks.into())?.as_secs_f64());
            let whole = edit.length.and_then(seconds);
            let whole = whole.or_else(|| Some(duration?.as_secs_f64() - seconds(edit.skip)?))?;
            Duration::try_from_secs_f64(whole).ok()
        });
        Ok(Self {
            track: track.id,
            duration: edited.or(duration),
            edit,
            base,
            path,
            format,
            decoder,
            resampler: None,
            interleaved: Vec::new(),
            ready: Vec::new(),
            taken: 0,
            given_out: 0,
            first: None,
            ended: false,
            failure: None,
        })
    }

    /// Length, where the file says it. It may say it wrongly.
    pub fn duration(&self) -> Option<Duration> {
        self.duration
    }

    /// Fills `out` with the next samples, as far as there are any; 0 at the end.
    ///
    /// # Errors
    /// [`FileError::Damaged`] where decoding cannot go on, after everything before it was given out. Then the file is at its end.
    pub fn read(&mut self, out: &mut [f32]) -> Result<usize, FileError> {
        let mut filled = 0;
        while filled < out.len() {
            if self.taken == self.ready.len() {
                self.ready.clear();
                self.taken = 0;
                if !self.ended {
                    self.packet();
                    continue;
                }
                match self.failure.take() {
                    // What was read is given out first; the failure waits for the next call.
                    Some(failure) if filled > 0 => self.failure = Some(failure),
                    Some(failure) => return Err(failure),
                    None => {}
                }
                break;
            }
            let count = (self.ready.len() - self.taken).min(out.len() - filled);
            out[filled..filled + count].copy_from_slice(&self.ready[self.taken..self.taken + count]);
            self.taken += count;
            self.given_out += count as u64;
            filled += count;
        }
        Ok(filled)
    }

    /// Decodes the next packet of the track into `ready`, or ends.
    fn packet(&mut self) {
        let mut damaged = 0;
        loop {
            let packet = match guarded(|| self.format.next_packet()) {
                Ok(Ok(Some(packet))) => packet,
                // A chain of streams ends with the first: the others would be other recordings.
                Ok(Ok(None) | Err(Error::ResetRequired)) => return self.end(None),
                Ok(Err(Error::IoError(error))) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return self.end(Some("it ends in the middle".to_owned()));
                }
                Ok(Err(error)) => return self.end(Some(error.to_string())),
                Err(panic) => return self.end(Some(panic)),
            };
            if packet.track_id != self.track {
                continue;
            }
            let (decoder, interleaved) = (&mut self.decoder, &mut self.interleaved);
            let decoded = guarded(|| {
                let buffer = decoder.decode(&packet)?;
                buffer.copy_to_vec_interleaved(interleaved);
                Ok((buffer.spec().rate(), buffer.spec().channels().count()))
            });
            let reason = match decoded {
                Ok(Ok((rate, channels))) => {
                    self.follow_edit(packet.pts, rate, channels);
                    if !self.interleaved.is_empty() {
                        self.first.get_or_insert(packet.pts);
                    }
                    return self.take(rate, channels);
                }
                Ok(Err(Error::DecodeError(reason))) => reason.to_owned(),
                Ok(Err(error)) => return self.end(Some(error.to_string())),
                Err(panic) => return self.end(Some(panic)),
            };
            damaged += 1;
            if damaged > MOST_DAMAGED_PACKETS {
                return self.end(Some(reason));
            }
        }
    }

    /// Leaves out what of a packet is not meant to be heard, and ends after what is.
    fn follow_edit(&mut self, pts: Timestamp, rate: u32, channels: usize) {
        let Some((Edit { skip, length }, base)) = self.edit.zip(self.base) else { return };
        let frames_of = |seconds: f64| (seconds * f64::from(rate)).round() as i64;
        let frames = |ticks: u64| base.calc_duration(ticks.into()).map(|time| frames_of(time.as_secs_f64()));
        let (Some(first), Some(at)) = (frames(skip), base.calc_time(pts).map(|time| frames_of(time.as_secs_f64())))
        else {
            return;
        };
        let count = (self.interleaved.len() / channels.max(1)) as i64;
        if let Some(last) = length.and_then(|length| frames(skip.saturating_add(length))) {
            self.interleaved.truncate((last - at).clamp(0, count) as usize * channels);
            if at >= last {
                self.end(None);
            }
        }
        let before = (first - at).clamp(0, count) as usize * channels;
        self.interleaved.drain(..before.min(self.interleaved.len()));
    }

    fn take(&mut self, rate: u32, channels: usize) {
        if self.interleaved.is_empty() {
            return;
        }
        for sample in &mut self.interleaved {
            // Floating-point files may hold anything.
            *sample = if sample.is_finite() { sample.clamp(-8.0, 8.0) } else { 0.0 };
        }
        if self.resampler.as_ref().is_none_or(|(of, _)| *of != (rate, channels)) {
            if let Some((_, mut before)) = self.resampler.take() {
                before.finish(&mut self.ready);
            }
            let Some(resampler) = Resampler::new(rate, channels) else {
                return self.end(Some(format!("{channels} channels at {rate} Hz")));
            };
            self.resampler = Some(((rate, channels), resampler));
        }
        if let Some((_, resampler)) = &mut self.resampler {
            resampler.push(&self.interleaved, &mut self.ready);
        }
    }

    fn end(&mut self, reason: Option<String>) {
        self.ended = true;
        if let Some((_, mut resampler)) = self.resampler.take() {
            resampler.finish(&mut self.ready);
        }
        let samples = self.given_out + self.ready.len() as u64;
        self.failure = reason.map(|reason| FileError::Damaged {
            path: self.path.clone(),
            after: Duration::from_secs_f64(samples as f64 / f64::from(SAMPLE_RATE)),
            reason,
        });
    }
}

/// Finds out what format the bytes are in.
fn probe(path: &Path, source: Box<dyn MediaSource>) -> Option<Box<dyn FormatReader>> {
    let mut hint = Hint::new();
    if let Some(extension) = path.extension().and_then(|extension| extension.to_str()) {
        hint.with_extension(extension);
    }
    let stream = MediaSourceStream::new(source, Default::default());
    let probe = symphonia::default::get_probe();
    guarded(|| probe.probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())).ok()?.ok()
}

/// Runs a reader or decoder on what came from outside. One that panics over it (some do in debug builds, where sums of absurd
/// numbers overflow) has failed, and is not used again.
fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| "its numbers make no sense".to_owned())
}
