//! Any rate and any number of channels into 16 kHz mono.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Indexing, Resampler as _, SincInterpolationParameters, SincInterpolationType, WindowFunction,
};

use crate::SAMPLE_RATE;

/// Frames that are resampled at a time.
const CHUNK: usize = 512;
/// Points of the filter.
const SINC_LEN: usize = 128;

/// A stream of interleaved frames into 16 kHz mono, with neither delay nor loss: the output has
/// `ceil(frames * 16000 / rate)` samples, and the first stands where the first frame stood, to within half a sample.
///
/// Channels are averaged; of channels that are silent throughout a piece nothing is averaged in, so that a microphone that
/// reports two channels and speaks in one is not halved.
pub struct Resampler {
    channels: usize,
    rate: u32,
    /// Absent where the rate is right already.
    sinc: Option<Async<f32>>,
    /// Mono frames that do not fill a chunk yet.
    pending: Vec<f32>,
    /// Samples at the beginning of the output that are the filter's delay.
    delay_left: usize,
    frames_in: u64,
    samples_out: u64,
    output: Vec<f32>,
}

impl std::fmt::Debug for Resampler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Resampler")
            .field("rate", &self.rate)
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

impl Resampler {
    /// From `rate` frames a second of `channels` samples. `None` for a rate below 1 kHz or above 768 kHz, or for no or more
    /// than 64 channels: no sound is recorded so.
    pub fn new(rate: u32, channels: usize) -> Option<Self> {
        if !(1_000..=768_000).contains(&rate) || !(1..=64).contains(&channels) {
            return None;
        }
        let sinc = if rate == SAMPLE_RATE {
            None
        } else {
            let parameters = SincInterpolationParameters {
                sinc_len: SINC_LEN,
                f_cutoff: None,
                oversampling_factor: 128,
                interpolation: SincInterpolationType::Cubic,
                window: WindowFunction::BlackmanHarris2,
            };
            let ratio = f64::from(SAMPLE_RATE) / f64::from(rate);
            Some(Async::new_sinc(ratio, 1.0, &parameters, CHUNK, 1, FixedAsync::Input).ok()?)
        };
        let delay_left = if sinc.is_some() { delay(rate) } else { 0 };
        let output = vec![0.0; sinc.as_ref().map_or(0, rubato::Resampler::output_frames_max)];
        Some(Self {
            channels,
            rate,
            sinc,
            pending: Vec::with_capacity(2 * CHUNK),
            delay_left,
            frames_in: 0,
            samples_out: 0,
            output,
        })
    }

    /// Takes interleaved frames and appends what they become to `out`. An incomplete last frame is left out.
    pub fn push(&mut self, interleaved: &[f32], out: &mut Vec<f32>) {
        let frames = interleaved.len() / self.channels;
        self.frames_in += frames as u64;
        let start = if self.sinc.is_some() { self.pending.len() } else { out.len() };
        let mono = if self.sinc.is_some() { &mut self.pending } else { &mut *out };
        downmix(interleaved, self.channels, mono);
        if self.sinc.is_none() {
            self.samples_out += (out.len() - start) as u64;
            return;
        }
        let mut done = 0;
        while self.pending.len() - done >= CHUNK {
            self.chunk(done, CHUNK, u64::MAX, out);
            done += CHUNK;
        }
        self.pending.drain(..done);
    }

    /// Ends the stream: what is still in the filter comes out. The next [`push`](Self::push) begins a new one.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        if self.sinc.is_some() {
            let expected = (self.frames_in * u64::from(SAMPLE_RATE)).div_ceil(u64::from(self.rate));
            let mut left = self.pending.len();
            while self.samples_out < expected {
                self.chunk(0, left, expected - self.samples_out, out);
                left = 0;
            }
            self.pending.clear();
        }
        if let Some(sinc) = &mut self.sinc {
            sinc.reset();
            self.delay_left = delay(self.rate);
        }
        self.frames_in = 0;
        self.samples_out = 0;
    }

    /// Resamples `length` pending frames from `start`, silence after them, and keeps at most `most` samples.
    fn chunk(&mut self, start: usize, length: usize, most: u64, out: &mut Vec<f32>) {
        let Some(sinc) = &mut self.sinc else { return };
        let mut input = [0.0; CHUNK];
        input[..length].copy_from_slice(&self.pending[start..start + length]);
        let room = self.output.len();
        let (Ok(input), Ok(mut output)) =
            (InterleavedSlice::new(&input, 1, CHUNK), InterleavedSlice::new_mut(&mut self.output, 1, room))
        else {
            return;
        };
        let indexing = Indexing::new();
        let Ok((_, produced)) = sinc.process_into_buffer(&input, &mut output, Some(&indexing)) else { return };
        let skipped = self.delay_left.min(produced);
        self.delay_left -= skipped;
        let kept = ((produced - skipped) as u64).min(most) as usize;
        out.extend_from_slice(&self.output[skipped..skipped + kept]);
        self.samples_out += kept as u64;
    }
}

/// Samples by which the filter delays, to the nearest: half its points, less the one that its first output stands for.
fn delay(rate: u32) -> usize {
    let half = SINC_LEN as f64 / 2.0 * f64::from(SAMPLE_RATE) / f64::from(rate);
    (half - 1.0).round().max(0.0) as usize
}

/// Appends the mean of the channels that are not silent.
fn downmix(interleaved: &[f32], channels: usize, out: &mut Vec<f32>) {
    if channels == 1 {
        out.extend_from_slice(interleaved);
        return;
    }
    let mut sounding = [false; 64];
    for frame in interleaved.chunks_exact(channels) {
        for (sounding, sample) in sounding.iter_mut().zip(frame) {
            *sounding |= *sample != 0.0;
        }
    }
    let count = sounding.iter().filter(|sounding| **sounding).count().max(1);
    out.extend(interleaved.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / count as f32));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(rate: u32, channels: usize, samples: &[f32], piece: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(rate, channels).expect("a sensible rate");
        let mut out = Vec::new();
        for piece in samples.chunks(piece.max(1) * channels) {
            resampler.push(piece, &mut out);
        }
        resampler.finish(&mut out);
        out
    }

    #[test]
    fn a_tone_keeps_its_place_and_height() {
        for rate in [8_000_u32, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000] {
            let tone = |rate: u32, count: usize| -> Vec<f32> {
                (0..count)
                    .map(|index| (std::f64::consts::TAU * 440.0 * index as f64 / f64::from(rate)).sin() as f32)
                    .collect()
            };
            let out = run(rate, 1, &tone(rate, rate as usize / 2), 1000);
            assert_eq!(out.len(), 8_000, "{rate}");
            let expected = tone(SAMPLE_RATE, out.len());
            let largest =
                out.iter().zip(&expected).skip(100).take(7_800).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // Half a sample of 16 kHz is what a delay of whole samples leaves; at 440 Hz that is 0.087.
            assert!(largest < 0.09, "{rate}: {largest}");
        }
    }

    #[test]
    fn a_silent_channel_does_not_halve_the_other() {
        assert_eq!(run(16_000, 2, &[0.5, 0.0, 0.25, 0.0], 2), [0.5, 0.25]);
        assert_eq!(run(16_000, 2, &[0.5, 0.5, 0.25, 0.75], 2), [0.5, 0.5]);
    }

    #[test]
    fn what_no_sound_has_is_refused() {
        for (rate, channels) in [(0, 1), (999, 1), (1_000_000, 1), (16_000, 0), (16_000, 65)] {
            assert!(Resampler::new(rate, channels).is_none());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn the_length_is_exact_however_it_is_cut(
            rate in prop_oneof![Just(8_000_u32), Just(44_100), Just(48_000), 1_000_u32..200_000],
            frames in 0_usize..5_000,
            piece in 1_usize..3_000,
        ) {
            let samples = vec![0.1; frames];
            let expected = (frames as u64 * 16_000).div_ceil(u64::from(rate)) as usize;
            prop_assert_eq!(run(rate, 1, &samples, piece).len(), expected);
        }
    }
}
