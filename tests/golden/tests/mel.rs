//! The log-mel spectrogram against `whisper.audio.log_mel_spectrogram`.

use amanuensis_golden::Expectations;
use amanuensis_mel::LogMel;

/// What the issue of single precision leaves: both sides transform in 32-bit floats, and a bin that is 80 dB below the
/// loudest shows their rounding.
const TOLERANCE: f32 = 1e-4;

#[test]
fn spectrograms_are_openais() {
    let expectations = Expectations::load();
    assert_eq!(expectations.mel.len(), 10);
    for case in &expectations.mel {
        let mut out = vec![f32::NAN; 3000 * case.n_mels];
        LogMel::new(case.n_mels).compute(&expectations.clip(&case.clip), &mut out);
        let expected = expectations.values(case.values);
        let mut largest = 0.0_f32;
        for (frame, expected) in case.frames.iter().zip(expected.chunks_exact(case.n_mels)) {
            let found = &out[frame * case.n_mels..][..case.n_mels];
            largest = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(largest, f32::max);
        }
        println!("{}, {} bins: largest difference {largest:.2e}", case.clip, case.n_mels);
        assert!(largest <= TOLERANCE, "{}, {} bins: largest difference {largest}", case.clip, case.n_mels);
    }
}
