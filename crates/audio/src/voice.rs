//! Which sound is speech.

use std::collections::VecDeque;

use earshot::Detector;

/// What the detector looks at in one step: 16 ms.
const FRAME_SAMPLES: usize = 256;
/// Score from which a frame is speech. The detector's own recommendation.
const LEAST_SCORE: f32 = 0.5;
/// Anything quieter is no speech, whatever the detector thinks of it: about the last bit of a 16-bit sample.
const LEAST_POWER: f32 = 5e-5 * 5e-5;
/// Speech has pauses, so that it stands out from the quietest moment of the last two seconds. A fan does not.
const FLOOR_FRAMES: usize = 125;
/// By how much, in power.
const LEAST_OVER_FLOOR: f32 = 2.0;
/// Over how many frames power is averaged, lest a moment of noise stands out from another.
const SMOOTHED_FRAMES: f32 = 4.0;

/// Tells speech from everything else, frame by frame.
///
/// A small recurrent network with memory, and a guard against loud steady noise, which can fool it: one detector listens to one
/// stream, from its beginning.
#[derive(Default)]
pub struct VoiceDetector {
    detector: Detector,
    /// The beginning of a frame.
    waiting: Vec<f32>,
    band: VoiceBand,
    /// Powers of the last frames, smoothed.
    powers: VecDeque<f32>,
}

impl std::fmt::Debug for VoiceDetector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("VoiceDetector").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl VoiceDetector {
    /// Takes the next samples. Every frame that they complete is given to `frame`, with whether it is speech.
    pub fn push(&mut self, mut samples: &[f32], mut frame: impl FnMut(&[f32], bool)) {
        while !samples.is_empty() {
            let (taken, rest) = samples.split_at(samples.len().min(FRAME_SAMPLES - self.waiting.len()));
            self.waiting.extend_from_slice(taken);
            samples = rest;
            if self.waiting.len() == FRAME_SAMPLES {
                let is_voice = self.detector.predict_f32(&self.waiting) >= LEAST_SCORE;
                let stands_out = self.stands_out();
                frame(&self.waiting, is_voice && stands_out);
                self.waiting.clear();
            }
        }
    }

    /// Whether the waiting frame is louder than the background.
    fn stands_out(&mut self) -> bool {
        let power =
            self.waiting.iter().map(|sample| self.band.pass(*sample).powi(2)).sum::<f32>() / FRAME_SAMPLES as f32;
        let before = self.powers.back().copied().unwrap_or(power);
        let smoothed = before + (power - before) / SMOOTHED_FRAMES;
        if self.powers.len() == FLOOR_FRAMES {
            self.powers.pop_front();
        }
        self.powers.push_back(smoothed);
        let floor = self.powers.iter().copied().fold(f32::INFINITY, f32::min);
        smoothed > LEAST_POWER.max(floor * LEAST_OVER_FLOOR)
    }

    /// Ends the stream: returns the samples that complete no frame, and forgets all it has heard.
    pub fn finish(&mut self) -> Vec<f32> {
        std::mem::take(self).waiting
    }
}

/// What is left of sound between 200 Hz and 3 kHz, where voices are: rumble lies below, hiss mostly above.
#[derive(Default)]
struct VoiceBand {
    below: f32,
    within: f32,
}

impl VoiceBand {
    /// `1 - exp(-2 pi f / 16,000)` of the two limits.
    const LOW: f32 = 0.0755;
    const HIGH: f32 = 0.692;

    fn pass(&mut self, sample: f32) -> f32 {
        self.below += Self::LOW * (sample - self.below);
        self.within += Self::HIGH * (sample - self.below - self.within);
        self.within
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AudioFile, SAMPLE_RATE};

    const SECOND: usize = SAMPLE_RATE as usize;

    fn rms(samples: &[f32]) -> f32 {
        (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt()
    }

    /// Whether each frame is speech.
    fn judge(samples: &[f32]) -> Vec<bool> {
        let mut frames = Vec::new();
        VoiceDetector::default().push(samples, |_, is_speech| frames.push(is_speech));
        frames
    }

    fn share(frames: &[bool]) -> f64 {
        frames.iter().filter(|is_speech| **is_speech).count() as f64 / frames.len() as f64
    }

    /// White noise of this loudness; the same on every run.
    fn noise(count: usize, rms: f32) -> Vec<f32> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        // A uniform distribution over -1 to 1 has an RMS of 1/sqrt(3).
        (0..count).map(|_| next() * rms * 3_f32.sqrt()).collect()
    }

    /// Brown noise, as of wind and rooms.
    fn rumble(count: usize, rms_wanted: f32) -> Vec<f32> {
        let mut level = 0.0;
        let mut samples = noise(count, 1.0);
        for sample in &mut samples {
            level = 0.98 * level + *sample;
            *sample = level;
        }
        let gain = rms_wanted / rms(&samples);
        samples.iter().map(|sample| sample * gain).collect()
    }

    fn spoken(text: &str) -> Option<Vec<f32>> {
        let wav = amanuensis_test_support::speak(text)?;
        let mut file = AudioFile::open(&wav).unwrap();
        let mut samples = vec![0.0; 30 * SECOND];
        let count = file.read(&mut samples).unwrap();
        samples.truncate(count);
        Some(samples)
    }

    #[test]
    fn silence_and_noise_are_no_speech() {
        assert_eq!(share(&judge(&vec![0.0; 10 * SECOND])), 0.0);
        for loudness in [1e-5, 1e-3, 1e-2, 0.1] {
            for (name, samples) in
                [("white noise", noise(10 * SECOND, loudness)), ("rumble", rumble(10 * SECOND, loudness))]
            {
                assert!(share(&judge(&samples)) < 0.01, "{name} of {loudness}");
            }
        }
        let hum: Vec<f32> =
            (0..10 * SECOND).map(|i| 0.1 * (std::f32::consts::TAU * 50.0 * i as f32 / SECOND as f32).sin()).collect();
        assert_eq!(share(&judge(&hum)), 0.0);
    }

    #[test]
    fn speech_is_found_loud_and_quiet_and_in_noise() {
        let Some(speech) = spoken("Please send the report to the office before Friday.") else { return };
        for gain in [1.0, 0.1, 0.01] {
            let quiet: Vec<f32> = speech.iter().map(|sample| sample * gain).collect();
            assert!(share(&judge(&quiet)) > 0.7, "at a gain of {gain}: {}", share(&judge(&quiet)));
        }
        // Ten decibels below the speech.
        let background = noise(speech.len(), rms(&speech) * 0.316);
        let mixed: Vec<f32> = speech.iter().zip(&background).map(|(one, other)| one + other).collect();
        assert!(share(&judge(&mixed)) > 0.7, "in noise: {}", share(&judge(&mixed)));
    }

    #[test]
    fn the_first_word_is_found_at_once_and_the_end_too() {
        let Some(speech) = spoken("Yes.") else { return };
        let mut samples = vec![0.0; SECOND];
        samples.extend(&speech);
        samples.resize(samples.len() + 2 * SECOND, 0.0);
        let frames = judge(&samples);
        let first = frames.iter().position(|is_speech| *is_speech).unwrap() * FRAME_SAMPLES;
        let last = frames.iter().rposition(|is_speech| *is_speech).unwrap() * FRAME_SAMPLES;
        let begin = samples.iter().position(|sample| sample.abs() > 0.02).unwrap();
        let end = samples.iter().rposition(|sample| sample.abs() > 0.02).unwrap();
        assert!(first < begin + SECOND / 4, "speech from {begin}, found at {first}");
        assert!(last < end + SECOND / 4, "speech until {end}, found until {last}");
    }

    #[test]
    fn every_sample_comes_out_once_however_they_come_in() {
        let samples = noise(5_000, 0.1);
        let mut detector = VoiceDetector::default();
        let mut seen = Vec::new();
        for piece in samples.chunks(321) {
            detector.push(piece, |frame, _| seen.extend_from_slice(frame));
        }
        seen.extend(detector.finish());
        assert_eq!(seen, samples);
    }
}
