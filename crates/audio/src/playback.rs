//! A recording, heard from anywhere in it.
//!
//! Everything that [`AudioFile`] reads can be played, as 16 kHz mono: what the model heard is what is heard. The system
//! converts to what the loudspeakers want.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{BufferSize, Data, HostId, OutputCallbackInfo, SampleFormat, StreamConfig};
use ringbuf::HeapRb;
use ringbuf::traits::{Consumer, Observer, Producer, Split};

use crate::capture::host;
use crate::{AudioFile, FileError, SAMPLE_RATE};

/// Sound that is read ahead: a disk that sleeps for longer is heard.
const RING: usize = SAMPLE_RATE as usize;
/// How often the ring is filled.
const PERIOD: Duration = Duration::from_millis(20);
/// Periods from one [`PlaybackEvent::At`] to the next.
const PERIODS_PER_EVENT: u32 = 5;
/// A device that asks for nothing for this many periods is gone.
const SILENT_PERIODS: u32 = 150;

/// Why nothing is heard.
#[derive(Debug, thiserror::Error)]
pub enum PlaybackError {
    /// The recording cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is nothing to play on.
    #[error("no loudspeaker was found; plug one in, or check the output device in the sound settings")]
    NoOutput,
    /// The system refuses.
    #[error("the sound cannot be played ({reason}); check the output device in the sound settings")]
    Refused {
        /// What the system said.
        reason: String,
    },
}

/// What happens while a recording is played.
#[derive(Debug)]
pub enum PlaybackEvent {
    /// This is heard now; ten times a second.
    At(Duration),
    /// It was heard to its end.
    Ended,
    /// It cannot be heard, or not further. Nothing follows.
    Failed(PlaybackError),
}

/// A recording that is being played. It falls silent when this is dropped.
#[derive(Debug)]
pub struct Playback {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Playback {
    /// Plays the recording from `from` on, to the system's own output. `listener` is told on another thread, which it must
    /// not hold up.
    pub fn start(path: PathBuf, from: Duration, mut listener: impl FnMut(PlaybackEvent) + Send + 'static) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let play = move || {
            let last = match play(&path, from, &stop, &mut listener) {
                Ok(()) => PlaybackEvent::Ended,
                Err(error) => PlaybackEvent::Failed(error),
            };
            if !stop.load(Ordering::Acquire) {
                listener(last);
            }
        };
        let thread = std::thread::Builder::new().name("play".to_owned()).spawn(play);
        Self { stopping, thread: Some(thread.expect("BUG: few threads are running")) }
    }
}

impl Drop for Playback {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // It is not waited for: it may be reading from a disk that sleeps, and plays nothing more.
        drop(self.thread.take());
    }
}

/// What the audio callback tells.
#[derive(Default)]
struct Heard {
    /// Samples of the recording that it was given.
    samples: AtomicU64,
    /// Times that it asked.
    calls: AtomicU64,
    /// How long a sample takes from there to the ear, in samples.
    latency: AtomicU64,
}

fn play(
    path: &Path,
    from: Duration,
    stop: &AtomicBool,
    listener: &mut impl FnMut(PlaybackEvent),
) -> Result<(), PlaybackError> {
    let mut file = AudioFile::open_at(path, from)?;
    let (mut ring, consumer) = HeapRb::<f32>::new(RING).split();
    let heard = Arc::new(Heard::default());
    let stream = open(consumer, Arc::clone(&heard))?;
    let mut block = [0.0; RING / 4];
    let (mut ended, mut given) = (false, 0_u64);
    let (mut calls, mut silent) = (0, 0);
    for period in 0_u32.. {
        while !ended && ring.vacant_len() >= block.len() {
            // What is damaged further on was told when it was transcribed.
            let count = file.read(&mut block).unwrap_or_default();
            ring.push_slice(&block[..count]);
            given += count as u64;
            ended = count == 0;
        }
        if period == 0 {
            stream.play().map_err(refused)?;
        }
        if stop.load(Ordering::Acquire) {
            return Ok(());
        }
        std::thread::sleep(PERIOD);
        let asked = heard.calls.load(Ordering::Relaxed);
        silent = if asked == calls { silent + 1 } else { 0 };
        calls = asked;
        if silent > SILENT_PERIODS {
            return Err(PlaybackError::Refused { reason: "the device does not answer".to_owned() });
        }
        let samples = heard.samples.load(Ordering::Relaxed);
        let audible = samples.saturating_sub(heard.latency.load(Ordering::Relaxed));
        if period % PERIODS_PER_EVENT == 0 && samples > 0 {
            listener(PlaybackEvent::At(from + Duration::from_secs_f64(audible as f64 / f64::from(SAMPLE_RATE))));
        }
        if ended && samples >= given {
            let rest = (samples - audible).min(u64::from(SAMPLE_RATE)) as f64 / f64::from(SAMPLE_RATE);
            std::thread::sleep(Duration::from_secs_f64(rest));
            return Ok(());
        }
    }
    Ok(())
}

fn open(mut ring: ringbuf::HeapCons<f32>, heard: Arc<Heard>) -> Result<cpal::Stream, PlaybackError> {
    let host = host();
    let device = host.default_output_device().ok_or(PlaybackError::NoOutput)?;
    let buffer_size = match host.id() {
        HostId::PulseAudio => BufferSize::Fixed(SAMPLE_RATE / 20),
        _ => BufferSize::Default,
    };
    let config = StreamConfig { channels: 1, sample_rate: SAMPLE_RATE, buffer_size };
    // *Real-time*: no allocation, lock, log or system call.
    let fill = move |data: &mut Data, info: &OutputCallbackInfo| {
        let Some(out) = data.as_slice_mut::<f32>() else { return };
        let count = ring.pop_slice(out);
        out[count..].fill(0.0);
        let stamp = info.timestamp();
        let latency = stamp.playback.duration_since(stamp.callback);
        heard.latency.store((latency.as_secs_f64() * f64::from(SAMPLE_RATE)) as u64, Ordering::Relaxed);
        heard.samples.fetch_add(count as u64, Ordering::Relaxed);
        heard.calls.fetch_add(1, Ordering::Relaxed);
    };
    // A device that is lost asks for nothing any more, which is noticed.
    device.build_output_stream_raw(config, SampleFormat::F32, fill, |_| {}, None).map_err(refused)
}

fn refused(error: cpal::Error) -> PlaybackError {
    match error.kind() {
        cpal::ErrorKind::DeviceNotAvailable | cpal::ErrorKind::HostUnavailable => PlaybackError::NoOutput,
        _ => PlaybackError::Refused { reason: error.to_string() },
    }
}
