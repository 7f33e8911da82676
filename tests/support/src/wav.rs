//! WAV files of one channel and 16 bits.

use std::path::Path;

/// Bytes before the samples, here and in what espeak-ng writes.
const HEADER: usize = 44;
/// How loud speech begins and ends, of 32,768.
const SPEECH: u16 = 300;

/// A WAV file with these samples.
pub fn wav(rate: u32, samples: &[i16]) -> Vec<u8> {
    let length = u32::try_from(2 * samples.len()).expect("a file that short");
    let mut wav = Vec::with_capacity(HEADER + 2 * samples.len());
    wav.extend(b"RIFF");
    wav.extend((36 + length).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(rate.to_le_bytes());
    wav.extend((rate * 2).to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(length.to_le_bytes());
    wav.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    wav
}

/// Cuts the silence off at both ends of what espeak-ng has written.
///
/// # Panics
/// It is no such file, or nothing but silence.
pub fn trim(path: &Path) {
    let file = std::fs::read(path).expect("the file can be read");
    let (header, samples) = file.split_at(HEADER);
    let rate = u32::from_le_bytes(header[24..28].try_into().expect("four bytes"));
    let samples: Vec<_> = samples.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let is_speech = |sample: &i16| sample.unsigned_abs() > SPEECH;
    let (first, last) = (samples.iter().position(is_speech), samples.iter().rposition(is_speech));
    let speech = &samples[first.expect("somebody speaks")..=last.expect("somebody speaks")];
    std::fs::write(path, wav(rate, speech)).expect("the file can be written");
}

#[cfg(test)]
mod tests {
    use super::{trim, wav};

    #[test]
    fn silence_is_cut_off_and_nothing_else() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, wav(22_050, &[0, 5, -400, 0, 0, 700, 3, 0])).unwrap();
        trim(file.path());
        assert_eq!(std::fs::read(&file).unwrap(), wav(22_050, &[-400, 0, 0, 700]));
    }
}
