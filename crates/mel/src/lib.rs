//! OpenAI's log-mel spectrogram, written straight into the caller's buffer.
//!
//! Plan first, run later: [`LogMel::new`] makes the plan and the scratch for one number of mel bins, and
//! [`LogMel::compute`] allocates nothing.
//!
//! *Normalisation*: the power spectrum goes through Slaney-normalised mel filters, `log10` with a floor of 1e-10, is clamped
//! to 8 below the window's largest value, and becomes `(x + 4) / 4`. *Layout*: `[frames, n_mels]`.
//!
//! *Source*: <https://github.com/openai/whisper/blob/v20250625/whisper/audio.py>

mod filters;

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

pub use filters::filter_bank;

/// Samples per second that the spectrogram expects.
pub const SAMPLE_RATE: usize = 16_000;
/// Samples of one Fourier transform.
pub const N_FFT: usize = 400;
/// Samples between the starts of two frames.
pub const HOP_SAMPLES: usize = 160;
/// Frequencies of one transform.
const N_FREQUENCIES: usize = N_FFT / 2 + 1;
/// Samples that a frame reaches before its start, and after its start beyond the hop.
const HALF: usize = N_FFT / 2;
/// Power below this counts as this much.
const FLOOR: f32 = 1e-10;

/// A plan for log-mel spectrograms of one number of bins, with its scratch.
pub struct LogMel {
    n_mels: usize,
    fft: Arc<dyn RealToComplex<f32>>,
    hann: Vec<f32>,
    filters: Vec<Filter>,
    frame: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
    power: Vec<f32>,
    scratch: Vec<Complex<f32>>,
}

/// One mel bin: the few frequencies that it weighs.
struct Filter {
    first: usize,
    weights: Vec<f32>,
}

impl std::fmt::Debug for LogMel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LogMel").field("n_mels", &self.n_mels).finish_non_exhaustive()
    }
}

impl LogMel {
    /// A plan for `n_mels` bins: 80, or 128 from large-v3 on.
    pub fn new(n_mels: usize) -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(N_FFT);
        let scratch = fft.make_scratch_vec();
        let hann = (0..N_FFT)
            .map(|index| (0.5 - 0.5 * (std::f64::consts::TAU * index as f64 / N_FFT as f64).cos()) as f32)
            .collect();
        let bank = filter_bank(n_mels);
        let filters = bank
            .chunks_exact(N_FREQUENCIES)
            .map(|row| {
                let first = row.iter().position(|weight| *weight > 0.0).unwrap_or(0);
                let end = row.iter().rposition(|weight| *weight > 0.0).map_or(first, |last| last + 1);
                Filter { first, weights: row[first..end].to_vec() }
            })
            .collect();
        Self {
            n_mels,
            spectrum: fft.make_output_vec(),
            fft,
            hann,
            filters,
            frame: vec![0.0; N_FFT],
            power: vec![0.0; N_FREQUENCIES],
            scratch,
        }
    }

    /// Mel bins of this plan.
    pub fn n_mels(&self) -> usize {
        self.n_mels
    }

    /// Computes `out.len() / n_mels` frames of `samples`, which count as followed by silence.
    ///
    /// Samples beyond the last frame are not looked at, apart from the half transform that the last frame reaches into: it
    /// sees the reflection that the padded window of that many frames has.
    ///
    /// *Shape*: `samples` any length, 16 kHz mono; `out` `[frames, n_mels]`.
    ///
    /// *Panics*: never; a remainder of `out` below a whole frame is left as it is.
    pub fn compute(&mut self, samples: &[f32], out: &mut [f32]) {
        let frames = out.len() / self.n_mels;
        let window_samples = frames * HOP_SAMPLES;
        let samples = &samples[..samples.len().min(window_samples)];
        let mut largest = FLOOR.log10();
        // Frames that begin beyond this see zeros only, but for the reflection at the window's very end.
        let heard = (samples.len() + HALF).div_ceil(HOP_SAMPLES).min(frames);
        let reflected = frames.saturating_sub(2).max(heard);
        for (index, row) in out.chunks_exact_mut(self.n_mels).enumerate() {
            if index < heard || index >= reflected {
                largest = largest.max(self.frame(samples, window_samples, index, row));
            } else {
                row.fill(FLOOR.log10());
            }
        }
        let least = largest - 8.0;
        for value in out {
            *value = (value.max(least) + 4.0) * 0.25;
        }
    }

    /// Writes the `log10` mel powers of one frame and returns the largest.
    fn frame(&mut self, samples: &[f32], window_samples: usize, index: usize, row: &mut [f32]) -> f32 {
        let start = index * HOP_SAMPLES;
        match start.checked_sub(HALF).and_then(|from| samples.get(from..from + N_FFT)) {
            Some(inside) => {
                for ((value, sample), hann) in self.frame.iter_mut().zip(inside).zip(&self.hann) {
                    *value = sample * hann;
                }
            }
            None => {
                for (offset, (value, hann)) in self.frame.iter_mut().zip(&self.hann).enumerate() {
                    *value = samples.get(mirrored(start + offset, window_samples)).copied().unwrap_or(0.0) * hann;
                }
            }
        }
        self.fft
            .process_with_scratch(&mut self.frame, &mut self.spectrum, &mut self.scratch)
            .expect("BUG: the plan's own buffers have the plan's lengths");
        for (power, value) in self.power.iter_mut().zip(&self.spectrum) {
            *power = value.norm_sqr();
        }
        let mut largest = f32::NEG_INFINITY;
        for (value, filter) in row.iter_mut().zip(&self.filters) {
            let powers = &self.power[filter.first..];
            let sum: f32 = filter.weights.iter().zip(powers).map(|(weight, power)| weight * power).sum();
            // A sample that is not a number must not silence the rest of the window.
            *value = if sum.is_finite() { sum.max(FLOOR).log10() } else { FLOOR.log10() };
            largest = largest.max(*value);
        }
        largest
    }
}

/// Where a padded position lies in the window, reflected at both ends without repeating the edge.
fn mirrored(padded: usize, window_samples: usize) -> usize {
    let last = window_samples.saturating_sub(1);
    let position = padded.abs_diff(HALF);
    if padded >= HALF && position > last { (2 * last).saturating_sub(position) } else { position }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, term by term, in f64.
    fn oracle(samples: &[f32], frames: usize, n_mels: usize) -> Vec<f32> {
        let window = frames * HOP_SAMPLES;
        let mut padded = samples[..samples.len().min(window)].to_vec();
        padded.resize(window, 0.0);
        let bank = filter_bank(n_mels);
        let waves: Vec<(f64, f64)> =
            (0..N_FFT).map(|step| (std::f64::consts::TAU * step as f64 / N_FFT as f64).sin_cos()).collect();
        let mut out = Vec::new();
        for frame in 0..frames {
            let values: Vec<f64> = (0..N_FFT)
                .map(|offset| {
                    let at = (frame * HOP_SAMPLES + offset) as isize - HALF as isize;
                    let last = window as isize - 1;
                    let at = if at < 0 {
                        -at
                    } else if at > last {
                        2 * last - at
                    } else {
                        at
                    };
                    let hann = 0.5 - 0.5 * (std::f64::consts::TAU * offset as f64 / N_FFT as f64).cos();
                    f64::from(padded[at as usize]) * hann
                })
                .collect();
            let power: Vec<f64> = (0..N_FREQUENCIES)
                .map(|frequency| {
                    let (mut re, mut im) = (0.0, 0.0);
                    for (offset, value) in values.iter().enumerate() {
                        let (sin, cos) = waves[(frequency * offset) % N_FFT];
                        re += value * cos;
                        im -= value * sin;
                    }
                    re * re + im * im
                })
                .collect();
            for bin in 0..n_mels {
                let row = &bank[bin * N_FREQUENCIES..(bin + 1) * N_FREQUENCIES];
                let sum: f64 = row.iter().zip(&power).map(|(weight, power)| f64::from(*weight) * power).sum();
                out.push(sum.max(1e-10).log10());
            }
        }
        let largest = out.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        out.iter().map(|value| ((value.max(largest - 8.0) + 4.0) / 4.0) as f32).collect()
    }

    fn noise(length: usize, mut seed: u32) -> Vec<f32> {
        (0..length)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn equals_the_definition_with_dirty_scratch() {
        for n_mels in [80, 128] {
            let mut plan = LogMel::new(n_mels);
            for (samples, frames) in
                [(noise(8000, 1), 60), (noise(8000, 2), 50), (noise(3000, 3), 50), (vec![], 10), (noise(100, 4), 4)]
            {
                let expected = oracle(&samples, frames, n_mels);
                for _ in 0..2 {
                    let mut out = vec![f32::NAN; frames * n_mels];
                    plan.compute(&samples, &mut out);
                    let difference = largest_difference(&out, &expected);
                    assert!(
                        difference < 1e-4,
                        "{n_mels} bins, {} samples in {frames} frames: {difference}",
                        samples.len()
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_where_it_is() {
        let mut samples = noise(16_000, 5);
        samples[8_000] = f32::NAN;
        let mut out = vec![0.0; 100 * 80];
        LogMel::new(80).compute(&samples, &mut out);
        assert!(out.iter().all(|value| value.is_finite()));
        assert!(out[..80].iter().any(|value| *value > 0.0));
    }
}
