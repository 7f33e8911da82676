//! The mel filters: triangles on Slaney's scale, each normalised to its width in hertz.

use crate::{N_FFT, N_FREQUENCIES, SAMPLE_RATE};

/// Where Slaney's scale turns from linear to logarithmic, in hertz.
const BREAK_HZ: f64 = 1000.0;
/// Hertz per mel below that.
const LINEAR_HZ: f64 = 200.0 / 3.0;

fn log_step() -> f64 {
    6.4_f64.ln() / 27.0
}

fn to_mel(hz: f64) -> f64 {
    if hz < BREAK_HZ { hz / LINEAR_HZ } else { BREAK_HZ / LINEAR_HZ + (hz / BREAK_HZ).ln() / log_step() }
}

fn to_hz(mel: f64) -> f64 {
    let linear = BREAK_HZ / LINEAR_HZ;
    if mel < linear { mel * LINEAR_HZ } else { BREAK_HZ * (log_step() * (mel - linear)).exp() }
}

/// The filters as `librosa.filters.mel(sr=16000, n_fft=400, n_mels=n_mels)` makes them.
///
/// *Shape*: `[n_mels, 201]`.
///
/// *Source*: <https://github.com/librosa/librosa/blob/0.10.2/librosa/filters.py>
pub fn filter_bank(n_mels: usize) -> Vec<f32> {
    let nyquist = SAMPLE_RATE as f64 / 2.0;
    let edges: Vec<f64> =
        (0..n_mels + 2).map(|edge| to_hz(to_mel(nyquist) * edge as f64 / (n_mels + 1) as f64)).collect();
    let mut bank = Vec::with_capacity(n_mels * N_FREQUENCIES);
    for triangle in edges.windows(3) {
        let [low, peak, high] = [triangle[0], triangle[1], triangle[2]];
        for frequency in 0..N_FREQUENCIES {
            let hz = (frequency * SAMPLE_RATE) as f64 / N_FFT as f64;
            let rising = (hz - low) / (peak - low);
            let falling = (high - hz) / (high - peak);
            bank.push((rising.min(falling).max(0.0) * 2.0 / (high - low)) as f32);
        }
    }
    bank
}
