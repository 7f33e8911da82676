//! Two soft sounds, for those who do not look: a dictation begins, and it ends.

use std::f32::consts::TAU;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{BufferSize, Data, HostId, OutputCallbackInfo, SampleFormat, StreamConfig};

use crate::SAMPLE_RATE;
use crate::capture::host;

/// Of two notes, the lower and the higher one, in hertz: a fifth, which sounds finished either way.
const NOTES: [f32; 2] = [587.33, 880.0];
/// How long a note is.
const NOTE: Duration = Duration::from_millis(90);
/// How loud it is where it is loudest: quieter than anybody speaks.
const LOUDNESS: f32 = 0.1;
/// How long a device may take to ask for the sound and to let it be heard.
const PATIENCE: Duration = Duration::from_secs(3);
/// What the device has in its own buffer after it has taken the last sample.
const TAIL: Duration = Duration::from_millis(200);

/// A sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chime {
    /// Upwards: a dictation begins.
    Begin,
    /// Downwards: it ends.
    End,
}

/// Why it is not heard.
#[derive(Debug, thiserror::Error)]
pub enum ChimeError {
    /// There is nothing to play on.
    #[error("no loudspeaker was found; plug one in, or check the output device in the sound settings")]
    NoOutput,
    /// The system refuses.
    #[error("the sound cannot be played: {0}; check the output device in the sound settings")]
    Refused(cpal::Error),
    /// The device never asked for it.
    #[error("the output device does not answer; choose another one in the sound settings")]
    NoAnswer,
}

impl Chime {
    /// Plays it on the system's own output, and returns when it was heard.
    ///
    /// # Errors
    /// [`ChimeError`].
    pub fn play(self) -> Result<(), ChimeError> {
        let host = host();
        let device = host.default_output_device().ok_or(ChimeError::NoOutput)?;
        let buffer_size = match host.id() {
            HostId::PulseAudio => BufferSize::Fixed(SAMPLE_RATE / 20),
            _ => BufferSize::Default,
        };
        let config = StreamConfig { channels: 1, sample_rate: SAMPLE_RATE, buffer_size };
        let sound = self.samples();
        let taken = Arc::new(AtomicBool::new(false));
        let all_taken = Arc::clone(&taken);
        let mut next = 0;
        // *Real-time*: no allocation, lock, log or system call.
        let fill = move |data: &mut Data, _: &OutputCallbackInfo| {
            let Some(out) = data.as_slice_mut::<f32>() else { return };
            let count = out.len().min(sound.len() - next);
            out[..count].copy_from_slice(&sound[next..next + count]);
            out[count..].fill(0.0);
            next += count;
            all_taken.store(next == sound.len(), Ordering::Relaxed);
        };
        let stream = device
            .build_output_stream_raw(config, SampleFormat::F32, fill, |_| {}, None)
            .map_err(ChimeError::Refused)?;
        stream.play().map_err(ChimeError::Refused)?;
        let until = Instant::now() + PATIENCE;
        while !taken.load(Ordering::Relaxed) {
            if Instant::now() > until {
                return Err(ChimeError::NoAnswer);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(TAIL);
        Ok(())
    }

    fn samples(self) -> Vec<f32> {
        let [low, high] = NOTES;
        let notes = if self == Self::Begin { [low, high] } else { [high, low] };
        let length = NOTE.as_millis() as usize * SAMPLE_RATE as usize / 1000;
        let note = |hertz: f32| {
            (0..length).map(move |at| {
                // Swelling and fading, so that nothing clicks.
                let share = at as f32 / length as f32;
                let swell = 0.5 - 0.5 * (TAU * share).cos();
                LOUDNESS * swell * (TAU * hertz * at as f32 / SAMPLE_RATE as f32).sin()
            })
        };
        notes.into_iter().flat_map(note).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sounds_are_short_and_soft_and_begin_and_end_in_silence() {
        let (begin, end) = (Chime::Begin.samples(), Chime::End.samples());
        assert_ne!(begin, end);
        for sound in [begin, end] {
            assert_eq!(sound.len(), 2 * 1440);
            assert!(sound.iter().all(|sample| sample.abs() <= LOUDNESS));
            assert!(sound.iter().any(|sample| sample.abs() > LOUDNESS / 2.0));
            assert!(sound[0].abs() < 1e-4 && sound[sound.len() - 1].abs() < 1e-4);
        }
    }
}
