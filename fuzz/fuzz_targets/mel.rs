//! A spectrogram of any floats.

#![no_main]

use amanuensis_mel::LogMel;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, u8, Vec<f32>)| {
    let (large, frames, samples) = input;
    let mut plan = LogMel::new(if large { 128 } else { 80 });
    let mut out = vec![0.0; usize::from(frames) * plan.n_mels()];
    plan.compute(&samples, &mut out);
    if samples.iter().all(|sample| sample.abs() <= 1.0) {
        assert!(out.iter().all(|value| value.is_finite()), "sound makes a finite spectrogram");
    }
});
