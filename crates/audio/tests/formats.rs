//! The same speech in every format, at every rate: nothing is lost, and nothing moves.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use amanuensis_audio::AudioFile;

/// Ends of file names, and how ffmpeg is told to write them.
const FORMATS: &[(&str, &[&str])] = &[
    ("u8.wav", &["-c:a", "pcm_u8"]),
    ("s16.wav", &["-c:a", "pcm_s16le"]),
    ("s24.wav", &["-c:a", "pcm_s24le"]),
    ("s32.wav", &["-c:a", "pcm_s32le"]),
    ("f32.wav", &["-c:a", "pcm_f32le"]),
    ("flac", &["-c:a", "flac"]),
    ("mp3", &["-c:a", "libmp3lame"]),
    ("ogg", &["-c:a", "libvorbis"]),
    ("opus", &["-c:a", "libopus"]),
    ("opus.webm", &["-c:a", "libopus"]),
    ("vorbis.webm", &["-c:a", "libvorbis"]),
    ("aac.m4a", &["-c:a", "aac"]),
    ("alac.m4a", &["-c:a", "alac"]),
    ("aac.mkv", &["-c:a", "aac"]),
    ("flac.mkv", &["-c:a", "flac"]),
    ("aac", &["-c:a", "aac"]),
];

/// Samples by which a place that was gone to may be wrong: Matroska counts in milliseconds, and in blocks of Vorbis.
const MOST_OFF: isize = 800;

/// A format's own limits: the encoders refuse these rates.
fn can_hold(format: &str, rate: u32) -> bool {
    match format {
        "opus" | "opus.webm" => [8_000, 16_000, 48_000].contains(&rate),
        "mp3" => rate <= 48_000,
        _ => true,
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/audio/jfk.flac")
}

fn read(path: &Path) -> Vec<f32> {
    read_from(AudioFile::open(path).unwrap_or_else(|error| panic!("{error}")))
}

fn read_from(mut file: AudioFile) -> Vec<f32> {
    let mut samples = Vec::new();
    let mut piece = vec![0.0; 7_777];
    loop {
        let count = file.read(&mut piece).unwrap_or_else(|error| panic!("{error}"));
        if count == 0 {
            return samples;
        }
        samples.extend_from_slice(&piece[..count]);
    }
}

/// Correlation of the two where `b` is `lag` samples late.
fn correlation(a: &[f32], b: &[f32], lag: isize) -> f64 {
    let (a, b) = if lag >= 0 { (a, &b[lag as usize..]) } else { (&a[lag.unsigned_abs()..], b) };
    let (mut both, mut square_a, mut square_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        both += f64::from(a * b);
        square_a += f64::from(a * a);
        square_b += f64::from(b * b);
    }
    both / (square_a * square_b).sqrt().max(1e-9)
}

/// The lag at which the two are most alike: looked for near none, and where they are not alike there, in a loud second.
fn best_lag(expected: &[f32], found: &[f32]) -> (isize, f64) {
    let best = |expected: &[f32], found: &[f32], lags: std::ops::RangeInclusive<isize>| {
        let all = lags.map(|lag| (lag, correlation(expected, found, lag)));
        all.max_by(|a, b| a.1.total_cmp(&b.1)).expect("more than no lags")
    };
    let near = best(expected, found, -2..=2);
    if near.1 > 0.95 { near } else { best(&expected[60_000..76_000], &found[60_000..79_000], -300..=2_100) }
}

fn check(rate: u32, channels: usize) {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        println!("skipped: ffmpeg is not installed");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let formats: Vec<_> = FORMATS.iter().filter(|(format, _)| can_hold(format, rate)).collect();
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(source());
    for (format, codec) in &formats {
        ffmpeg.args(["-ar", &rate.to_string(), "-ac", &channels.to_string()]).args(*codec);
        ffmpeg.arg(folder.path().join(format!("jfk.{format}")));
    }
    let outcome = ffmpeg.output().expect("ffmpeg was there a moment ago");
    assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stderr));
    let expected = read(&source());
    assert_eq!(expected.len(), 176_000);
    for (format, codec) in formats {
        let path = folder.path().join(format!("jfk.{format}"));
        let duration = AudioFile::open(&path).expect("it was just written").duration();
        let found = read(&path);
        let what = format!("{format} ({}) at {rate} Hz, {channels} channels", codec[1]);
        let (lag, best) = best_lag(&expected, &found);
        println!("{what}: {} samples, {best:.4} at {lag}, says {duration:?}", found.len());
        // What AAC's encoder puts before the first sample is named in a list that only MP4 files have: elsewhere the sound comes a
        // frame of 1024 samples late, and its end too.
        let frame =
            if codec[1] == "aac" && *format != "aac.m4a" { (1_024 * 16_000_u32).div_ceil(rate) as usize } else { 0 };
        // Half the samples of an 8 kHz file are made up, and all of a lossy one are only near.
        assert!(best > 0.95, "{what}: correlation {best} at {lag}");
        assert!((-1..=frame as isize + 1).contains(&lag), "{what}: {lag} samples late");
        assert!(found.len().abs_diff(expected.len()) <= 800 + 2 * frame, "{what}: {} samples", found.len());
        let later = read_from(AudioFile::open_at(&path, Duration::from_secs(5)).expect("it was read before"));
        let same = |lag: &isize| correlation(&found[82_000..98_000], &later[2_000..18_800], *lag);
        let lags = -MOST_OFF..=MOST_OFF;
        let (lag, best) = lags.map(|lag| (lag, same(&lag))).max_by(|a, b| a.1.total_cmp(&b.1)).expect("lags");
        println!("{what}: from 5 s on {best:.4} at {lag}");
        assert!(best > 0.9, "{what}: from 5 s on {best} at {lag}");
        let past_the_end = AudioFile::open_at(&path, Duration::from_secs(60)).expect("it was read before");
        assert_eq!(read_from(past_the_end).len(), 0, "{what}");
        if let Some(duration) = duration {
            assert!((duration.as_secs_f64() - 11.0).abs() < 0.3, "{what}: says {duration:?}");
        }
    }
}

macro_rules! at {
    ($($name:ident: $rate:literal $channels:literal)*) => {
        $(#[test] fn $name() { check($rate, $channels); })*
    };
}

at! {
    mono_at_8000_hz: 8_000 1
    mono_at_16000_hz: 16_000 1
    mono_at_22050_hz: 22_050 1
    mono_at_44100_hz: 44_100 1
    mono_at_48000_hz: 48_000 1
    mono_at_96000_hz: 96_000 1
    stereo_at_8000_hz: 8_000 2
    stereo_at_16000_hz: 16_000 2
    stereo_at_22050_hz: 22_050 2
    stereo_at_44100_hz: 44_100 2
    stereo_at_48000_hz: 48_000 2
    stereo_at_96000_hz: 96_000 2
}
