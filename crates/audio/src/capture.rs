//! The microphone: any input device, any rate and channels, into 16 kHz mono.
//!
//! The audio callback pushes into a lock-free ring and does nothing else: it does not allocate, lock, log or call the system.
//! A thread of its own opens the device, empties the ring, resamples, and opens the device again when it went away.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{BufferSize, Data, ErrorKind, FromSample, Host, HostId, Sample, SampleFormat, StreamConfig};
use crossbeam_channel::{Receiver, Sender, bounded};
use ringbuf::HeapRb;
use ringbuf::traits::{Consumer, Producer, Split};

use crate::Resampler;

/// How much sound the ring holds: a thread that sleeps longer than this loses some, and says so.
const RING: Duration = Duration::from_secs(4);
/// How often the ring is emptied.
const PERIOD: Duration = Duration::from_millis(20);
/// A device that gives nothing for this long is opened again.
const SILENT_DEVICE: Duration = Duration::from_secs(3);
/// Pauses between attempts to open a device that went away: doubled each time, up to the second figure.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// Pieces that may wait for the receiver, each of one period or a little more.
const WAITING_PIECES: usize = 512;

/// A microphone that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Stable over restarts and unplugging: what is remembered.
    pub id: String,
    /// What a person calls it.
    pub name: String,
    /// Whether it is the one that is used when none is chosen.
    pub is_default: bool,
}

/// What the caller can do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// It passes: try again.
    Retry,
    /// The device has to be opened anew.
    Rebuild,
    /// It will not go away by itself.
    GiveUp,
}

/// Why there is no sound.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CaptureError {
    /// No microphone is plugged in.
    #[error("no microphone was found; plug one in, or check the input device in the sound settings")]
    NoMicrophone,
    /// The chosen microphone is not there.
    #[error("the microphone \"{name}\" is not there; plug it in, or choose another one")]
    Missing {
        /// What was chosen.
        name: String,
    },
    /// The microphone went away while it was open.
    #[error("the microphone went away; check its plug, then start again")]
    Lost,
    /// The system refused it.
    #[error("the microphone cannot be opened ({reason}); close other programs that use it, or choose another one")]
    Refused {
        /// What the system said.
        reason: String,
    },
}

impl CaptureError {
    /// What the caller can do.
    pub fn advice(&self) -> Advice {
        match self {
            Self::NoMicrophone | Self::Missing { .. } => Advice::GiveUp,
            Self::Lost => Advice::Rebuild,
            Self::Refused { .. } => Advice::Retry,
        }
    }
}

/// What a capture says, in order.
#[derive(Debug, Clone)]
pub enum CaptureEvent {
    /// The first sample has come: the microphone is live.
    Live {
        /// The device's name.
        device: String,
        /// From the start to the first sample.
        after: Duration,
    },
    /// The next 16 kHz mono samples.
    Samples(Vec<f32>),
    /// Sound was lost here: the program was too slow, or the sound system.
    Gap {
        /// How much.
        length: Duration,
    },
    /// The device went away. It is looked for until it is back or the capture ends.
    Lost(CaptureError),
    /// The device could not be opened at all; nothing follows.
    Failed(CaptureError),
}

/// The microphones there are, the default one first.
///
/// # Errors
/// [`CaptureError::NoMicrophone`].
pub fn devices() -> Result<Vec<Device>, CaptureError> {
    let host = host();
    let default = default_microphone(&host).and_then(|device| device.id().ok());
    let mut found: Vec<Device> = host
        .input_devices()
        .map_err(refused)?
        .filter_map(|device| {
            let id = device.id().ok()?;
            let name = device.description().ok()?.name().to_owned();
            is_microphone(&id).then(|| Device { is_default: Some(&id) == default.as_ref(), id: id.to_string(), name })
        })
        .collect();
    found.sort_by_key(|device| !device.is_default);
    if found.is_empty() { Err(CaptureError::NoMicrophone) } else { Ok(found) }
}

/// PulseAudio's protocol where something speaks it (PipeWire does), else ALSA.
pub(crate) fn host() -> Host {
    cpal::host_from_id(HostId::PulseAudio)
        .ok()
        .filter(|host| host.input_devices().is_ok())
        .unwrap_or_else(|| cpal::host_from_id(HostId::Alsa).unwrap_or_else(|_| cpal::default_host()))
}

/// The microphone of the system's choice, or the first there is where that is none.
fn default_microphone(host: &Host) -> Option<cpal::Device> {
    let is_microphone = |device: &cpal::Device| device.id().is_ok_and(|id| is_microphone(&id));
    let default = host.default_input_device();
    match host.id() {
        // Its default one is whatever the user has configured, under one name.
        HostId::Alsa => default
            .filter(|_| host.input_devices().is_ok_and(|mut devices| devices.any(|device| is_microphone(&device)))),
        _ => default.filter(is_microphone).or_else(|| host.input_devices().ok()?.find(is_microphone)),
    }
}

/// Whether a source of sound is a microphone. PulseAudio can record what is being played, and ALSA lists every plugin that it
/// has, and every card several times.
fn is_microphone(id: &cpal::DeviceId) -> bool {
    match id.host() {
        HostId::PulseAudio => !id.id().ends_with(".monitor"),
        // Named by the card, not by its number, which changes.
        HostId::Alsa => {
            id.id().strip_prefix("plughw:CARD=").is_some_and(|card| !card.starts_with(|c: char| c.is_ascii_digit()))
        }
    }
}

fn refused(error: cpal::Error) -> CaptureError {
    match error.kind() {
        ErrorKind::DeviceNotAvailable | ErrorKind::HostUnavailable => CaptureError::NoMicrophone,
        _ => CaptureError::Refused { reason: error.to_string() },
    }
}

/// A running capture. Dropping it ends it at once; [`stop`](Self::stop) ends it after the last sample.
#[derive(Debug)]
pub struct Capture {
    events: Receiver<CaptureEvent>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Starts capturing from the device of this id, or from the default one. Opening happens on another thread: the first event
    /// is [`CaptureEvent::Live`] or [`CaptureEvent::Failed`].
    ///
    /// # Errors
    /// [`CaptureError::Refused`] when there are no more threads.
    pub fn start(device: Option<&str>) -> Result<Self, CaptureError> {
        let (sender, events) = bounded(WAITING_PIECES);
        let stopping = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            wanted: device.map(str::to_owned),
            sender,
            stopping: Arc::clone(&stopping),
            started: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || worker.run())
            .map_err(|error| CaptureError::Refused { reason: error.to_string() })?;
        Ok(Self { events, stopping, thread: Some(thread) })
    }

    /// What happens, in order. The channel closes after the last sample.
    pub fn events(&self) -> &Receiver<CaptureEvent> {
        &self.events
    }

    /// Asks for the end: what was spoken until now still arrives, then the channel closes.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop();
        // The thread may be waiting for room in the channel.
        let (_, closed) = bounded(0);
        drop(std::mem::replace(&mut self.events, closed));
        if let Some(thread) = self.thread.take() {
            // It has nothing to panic on; if it did, there is nothing left to clean up.
            let _ = thread.join();
        }
    }
}

struct Worker {
    wanted: Option<String>,
    sender: Sender<CaptureEvent>,
    stopping: Arc<AtomicBool>,
    started: Instant,
}

/// An opened device and the other end of its ring.
struct Opened {
    name: String,
    rate: u32,
    channels: usize,
    ring: ringbuf::HeapCons<f32>,
    lost_samples: Arc<AtomicU64>,
    broken: Receiver<ErrorKind>,
    /// Keeps the stream running.
    _stream: cpal::Stream,
}

/// The receiver is gone: nobody listens any more.
struct NobodyListens;

impl Worker {
    fn run(self) {
        let mut is_live = false;
        let mut pause = RETRY.0;
        while !self.stopping.load(Ordering::Acquire) {
            let error = match self.open() {
                Ok(opened) => {
                    pause = RETRY.0;
                    match self.listen(opened, &mut is_live) {
                        Ok(false) => return,
                        Ok(true) => CaptureError::Lost,
                        Err(NobodyListens) => return,
                    }
                }
                Err(error) if is_live => error,
                Err(error) => {
                    let _ = self.sender.send(CaptureEvent::Failed(error));
                    return;
                }
            };
            if matches!(error, CaptureError::Lost) && self.sender.send(CaptureEvent::Lost(error)).is_err() {
                return;
            }
            let until = Instant::now() + pause;
            while Instant::now() < until && !self.stopping.load(Ordering::Acquire) {
                std::thread::sleep(PERIOD);
            }
            pause = (pause * 2).min(RETRY.1);
        }
    }

    fn open(&self) -> Result<Opened, CaptureError> {
        let host = host();
        let device = match &self.wanted {
            None => default_microphone(&host).ok_or(CaptureError::NoMicrophone)?,
            Some(wanted) => cpal::DeviceId::from_str(wanted)
                .ok()
                .and_then(|id| host.device_by_id(&id))
                .ok_or_else(|| CaptureError::Missing { name: wanted.clone() })?,
        };
        let supported = device.default_input_config().map_err(refused)?;
        let mut config: StreamConfig = supported.into();
        let rate = config.sample_rate;
        if host.id() == HostId::PulseAudio {
            // Smaller buffers lose samples under load, the default one holds up the first by seconds.
            config.buffer_size = BufferSize::Fixed(rate / 20);
        }
        let channels = usize::from(config.channels);
        let capacity = (f64::from(rate) * RING.as_secs_f64()) as usize * channels;
        let (mut producer, ring) = HeapRb::<f32>::new(capacity).split();
        let lost_samples = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost_samples);
        let (report, broken) = bounded(8);
        let format = supported.sample_format();
        let stream = device
            .build_input_stream_raw(
                config,
                format,
                move |data: &Data, _: &_| {
                    let lost = push(data, &mut producer);
                    if lost > 0 {
                        counter.fetch_add(lost as u64, Ordering::Relaxed);
                    }
                },
                move |error| {
                    // Not the audio thread, but no place to wait either.
                    let _ = report.try_send(error.kind());
                },
                None,
            )
            .map_err(refused)?;
        stream.play().map_err(refused)?;
        let name =
            device.description().map_or_else(|_| "microphone".to_owned(), |description| description.name().to_owned());
        Ok(Opened { name, rate, channels, ring, lost_samples, broken, _stream: stream })
    }

    /// Passes sound on until the end (`false`) or until the device is gone (`true`).
    fn listen(&self, mut opened: Opened, is_live: &mut bool) -> Result<bool, NobodyListens> {
        let Some(mut resampler) = Resampler::new(opened.rate, opened.channels) else {
            let reason = format!("{} channels at {} Hz", opened.channels, opened.rate);
            let _ = self.sender.send(CaptureEvent::Failed(CaptureError::Refused { reason }));
            return Ok(false);
        };
        let send = |event| self.sender.send(event).map_err(|_| NobodyListens);
        let mut last_sound = Instant::now();
        let mut first_sound = None;
        let mut received_frames = 0_u64;
        loop {
            // Looked at before the ring, so that what came until now is still passed on.
            let stopping = self.stopping.load(Ordering::Acquire);
            let gone = opened.broken.try_iter().any(is_fatal) || last_sound.elapsed() > SILENT_DEVICE;
            // Read where it lies. Whole frames go into a ring that holds a whole number of them, so neither part cuts one.
            let (front, back) = opened.ring.as_slices();
            let taken = front.len() + back.len();
            let mut samples = Vec::with_capacity(taken / opened.channels + 64);
            resampler.push(front, &mut samples);
            resampler.push(back, &mut samples);
            opened.ring.skip(taken);
            if taken > 0 {
                last_sound = Instant::now();
                first_sound.get_or_insert(last_sound);
                received_frames += (taken / opened.channels) as u64;
                if !*is_live {
                    *is_live = true;
                    send(CaptureEvent::Live { device: opened.name.clone(), after: self.started.elapsed() })?;
                }
            }
            if stopping || gone {
                resampler.finish(&mut samples);
            }
            if !samples.is_empty() {
                send(CaptureEvent::Samples(samples))?;
            }
            let lost = opened.lost_samples.swap(0, Ordering::Relaxed) / opened.channels as u64;
            if lost > 0 {
                received_frames += lost;
                send(CaptureEvent::Gap { length: Duration::from_secs_f64(lost as f64 / f64::from(opened.rate)) })?;
            }
            // Some sound systems drop samples without a word: the clock knows how many there should be.
            if let Some(first) = first_sound {
                let missing = (last_sound - first).as_secs_f64() - received_frames as f64 / f64::from(opened.rate);
                if missing > 0.5 {
                    received_frames += (missing * f64::from(opened.rate)) as u64;
                    send(CaptureEvent::Gap { length: Duration::from_secs_f64(missing) })?;
                }
            }
            if stopping {
                return Ok(false);
            }
            if gone {
                return Ok(true);
            }
            std::thread::sleep(PERIOD);
        }
    }
}

fn is_fatal(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::Xrun | ErrorKind::RealtimeDenied)
}

/// Pushes what fits and returns how many samples did not.
///
/// *Real-time*: runs in the audio callback; no allocation, lock, log or system call.
fn push(data: &Data, ring: &mut impl Producer<Item = f32>) -> usize {
    fn of<T: cpal::SizedSample>(data: &Data, ring: &mut impl Producer<Item = f32>) -> usize
    where
        f32: FromSample<T>,
    {
        let samples = data.as_slice::<T>().unwrap_or(&[]);
        let pushed = ring.push_iter(samples.iter().map(|sample| f32::from_sample(*sample)));
        samples.len() - pushed
    }
    match data.sample_format() {
        SampleFormat::F32 => of::<f32>(data, ring),
        SampleFormat::I16 => of::<i16>(data, ring),
        SampleFormat::U16 => of::<u16>(data, ring),
        SampleFormat::I32 => of::<i32>(data, ring),
        SampleFormat::U32 => of::<u32>(data, ring),
        SampleFormat::I8 => of::<i8>(data, ring),
        SampleFormat::U8 => of::<u8>(data, ring),
        SampleFormat::F64 => of::<f64>(data, ring),
        // Every format that a default configuration names is above; another gives silence, and with it a lost device.
        _ => 0,
    }
}
