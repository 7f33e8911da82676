//! A recording of any bytes, with any of the endings that hint at its format.

#![no_main]

use std::path::Path;

use amanuensis_audio::AudioFile;
use amanuensis_fuzz::file_of;
use libfuzzer_sys::fuzz_target;

const ENDINGS: [&str; 12] =
    ["wav", "mp3", "flac", "ogg", "opus", "m4a", "mp4", "mkv", "webm", "aiff", "caf", "unknown"];
/// A minute: a few bytes may stand for hours of silence.
const MOST_SAMPLES: usize = 60 * 16_000;

fuzz_target!(|bytes: &[u8]| {
    let Some((ending, bytes)) = bytes.split_first() else { return };
    let name = format!("sound.{}", ENDINGS[usize::from(*ending) % ENDINGS.len()]);
    let Ok(mut file) = AudioFile::from_file(file_of(bytes), Path::new(&name)) else { return };
    file.duration();
    let mut samples = vec![0.0; 16_000];
    let mut heard = 0;
    while heard < MOST_SAMPLES {
        match file.read(&mut samples) {
            Ok(0) | Err(_) => return,
            Ok(count) => heard += count,
        }
    }
});
