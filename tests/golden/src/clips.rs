//! Recordings from numbers, and one of a voice.

use std::path::Path;

use amanuensis_audio::AudioFile;
use serde::Deserialize;

use crate::noise;

/// A stretch of a clip.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Piece {
    /// From the recorded voice.
    Speech {
        /// Samples, at most.
        samples: usize,
        /// What they are multiplied with.
        gain: f32,
        /// The first of them.
        from: usize,
    },
    /// Uniform noise.
    Noise {
        /// Samples.
        samples: usize,
        /// Largest magnitude.
        gain: f32,
        /// What it is made from.
        seed: u64,
    },
    /// A square wave.
    Square {
        /// Samples.
        samples: usize,
        /// Magnitude.
        gain: f32,
        /// Samples from one rise to the next.
        period: usize,
    },
    /// Nothing.
    Silence {
        /// Samples.
        samples: usize,
    },
}

/// The samples of a clip, 16 kHz mono.
pub fn render(pieces: &[Piece]) -> Vec<f32> {
    let mut out = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Speech { samples, gain, from } => {
                out.extend(speech().iter().skip(*from).take(*samples).map(|sample| sample * gain));
            }
            Piece::Noise { samples, gain, seed } => out.extend(noise(*seed, *samples, *gain)),
            Piece::Square { samples, gain, period } => {
                let half = period / 2;
                out.extend((0..*samples).map(|index| if (index / half).is_multiple_of(2) { *gain } else { -gain }));
            }
            Piece::Silence { samples } => out.resize(out.len() + samples, 0.0),
        }
    }
    out
}

/// Eleven seconds of a speech: John F. Kennedy, 20 January 1961, public domain.
///
/// *Panics*: if the file in the repository is damaged.
pub fn speech() -> Vec<f32> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../audio/jfk.flac");
    let mut file = AudioFile::open(&path).expect("the recording in the repository is whole");
    let mut samples = vec![0.0; 200_000];
    let count = file.read(&mut samples).expect("the recording in the repository is whole");
    samples.truncate(count);
    samples
}
