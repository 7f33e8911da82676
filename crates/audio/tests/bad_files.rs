//! What is no recording, or not a whole one: a typed error in a sentence with a way out, never a panic, never much memory.

use std::path::{Path, PathBuf};
use std::process::Command;

use amanuensis_audio::{AudioFile, FileError};
use proptest::prelude::*;

/// Samples read, and how it ended.
fn read(path: &Path) -> (usize, Option<FileError>) {
    let mut file = match AudioFile::open(path) {
        Ok(file) => file,
        Err(error) => return (0, Some(error)),
    };
    let mut piece = vec![0.0; 16_000];
    let mut samples = 0;
    loop {
        match file.read(&mut piece) {
            Ok(0) => return (samples, None),
            Ok(count) => {
                assert!(piece[..count].iter().all(|sample| sample.is_finite()));
                samples += count;
            }
            Err(error) => {
                assert_eq!(file.read(&mut piece).ok(), Some(0), "after an error the file is at its end");
                return (samples, Some(error));
            }
        }
    }
}

fn check_sentence(error: &FileError) {
    let text = error.to_string();
    assert!(!text.contains('\n') && text.len() < 500, "{text}");
    assert!(!text.contains(" {") && !text.contains("Some("), "not meant for users: {text}");
    assert!(text.contains("; "), "no next step: {text}");
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("room for a small file");
        path
    }

    /// Runs ffmpeg on the recorded speech; `None` where there is no ffmpeg.
    fn convert(&self, name: &str, arguments: &[&str]) -> Option<PathBuf> {
        let path = self.0.path().join(name);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/audio/jfk.flac");
        let mut ffmpeg = Command::new("ffmpeg");
        let outcome = ffmpeg.args(["-v", "error", "-i"]).arg(source).args(arguments).arg(&path).output();
        let Ok(outcome) = outcome else {
            println!("skipped: ffmpeg is not installed");
            return None;
        };
        assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stderr));
        Some(path)
    }
}

/// A PCM WAV file with these numbers in its header, of one second where they make sense.
fn wav(format: u16, channels: u16, rate: u32, bits: u16, data_bytes: u32) -> Vec<u8> {
    let mut out = b"RIFF".to_vec();
    out.extend(data_bytes.saturating_add(36).to_le_bytes());
    out.extend(b"WAVEfmt \x10\0\0\0");
    out.extend(format.to_le_bytes());
    out.extend(channels.to_le_bytes());
    out.extend(rate.to_le_bytes());
    let frame = channels.wrapping_mul(bits / 8);
    out.extend(rate.wrapping_mul(u32::from(frame)).to_le_bytes());
    out.extend(frame.to_le_bytes());
    out.extend(bits.to_le_bytes());
    out.extend(b"data");
    out.extend(data_bytes.to_le_bytes());
    out.extend((0..32_000_u32).map(|index| (index % 100) as u8));
    out
}

#[test]
fn what_is_no_recording_is_named() {
    let folder = Folder::new();
    let missing = folder.0.path().join("missing.wav");
    let cases = [
        (missing, "check that it is there"),
        (folder.0.path().to_owned(), "is a folder"),
        (folder.write("empty.mp3", b""), "is empty"),
        (folder.write("letter.wav", b"Dear Sir or Madam, this is a letter and no recording."), "not a recording"),
        (
            folder.write("picture.ogg", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0"),
            "not a recording",
        ),
        (folder.write("zeros.m4a", &[0; 100_000]), "not a recording"),
        (folder.write("ones.flac", &[0xff; 100_000]), "not a recording"),
        (folder.write("only-magic.flac", b"fLaC"), "not a recording"),
        (folder.write("only-magic.wav", b"RIFF\0\0\0\0WAVE"), "not a recording"),
    ];
    for (path, expected) in cases {
        let (samples, error) = read(&path);
        let error = error.unwrap_or_else(|| panic!("{} was read", path.display()));
        check_sentence(&error);
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(samples, 0);
    }
}

#[test]
fn a_film_without_sound_says_so() {
    let folder = Folder::new();
    let picture = ["-f", "lavfi", "-i", "testsrc=duration=1:size=64x64:rate=5", "-map", "1:v", "-c:v"];
    for (name, codec) in [("film.mkv", "mpeg4"), ("film.mp4", "mpeg4"), ("film.webm", "libvpx")] {
        let arguments = [&picture[..], &[codec]].concat();
        let Some(path) = folder.convert(name, &arguments) else { return };
        let error = read(&path).1.unwrap_or_else(|| panic!("{name} was read"));
        check_sentence(&error);
        assert!(matches!(error, FileError::NoSoundTrack { .. }), "{name}: {error}");
    }
}

#[test]
fn the_sound_of_a_film_is_read() {
    let folder = Folder::new();
    let picture = ["-f", "lavfi", "-i", "testsrc=duration=11:size=64x64:rate=5", "-map", "1:v", "-map", "0:a", "-c:v"];
    for (name, codec) in [("film.mkv", "mpeg4"), ("film.mp4", "mpeg4"), ("film.webm", "libvpx")] {
        let arguments = [&picture[..], &[codec]].concat();
        let Some(path) = folder.convert(name, &arguments) else { return };
        let (samples, error) = read(&path);
        assert!(error.is_none() && samples.abs_diff(176_000) < 3_000, "{name}: {samples} samples, {error:?}");
    }
}

#[test]
fn a_codec_that_is_not_known_says_so() {
    let folder = Folder::new();
    let Some(path) = folder.convert("talk.mkv", &["-c:a", "ac3"]) else { return };
    let error = read(&path).1.expect("AC-3 cannot be decoded");
    check_sentence(&error);
    assert!(matches!(error, FileError::Unsupported { .. }), "{error}");
}

#[test]
fn absurd_headers_are_refused_or_read_as_far_as_they_go() {
    let folder = Folder::new();
    assert_eq!(read(&folder.write("good.wav", &wav(1, 1, 16_000, 16, 32_000))).0, 16_000);
    // More is promised than there is: what is there is read.
    for promised in [u32::MAX, u32::MAX - 1, 0x7fff_0000, 64_000] {
        let (samples, error) = read(&folder.write("promises.wav", &wav(1, 1, 16_000, 16, promised)));
        assert_eq!(samples, 16_000, "{promised} promised: {error:?}");
    }
    for (index, (format, channels, rate, bits)) in [
        (1, 0, 16_000, 16),
        (1, u16::MAX, 16_000, 16),
        (1, 1, 0, 16),
        (1, 1, 1, 16),
        (1, 1, u32::MAX, 16),
        (1, 1, 16_000, 0),
        (1, 1, 16_000, 1),
        (1, 1, 16_000, u16::MAX),
        (3, 1, 16_000, 16),
        (0xbeef, 1, 16_000, 16),
        (2, 2, 16_000, 4),
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.write(&format!("absurd-{index}.wav"), &wav(format, channels, rate, bits, 32_000));
        let (samples, error) = read(&path);
        if let Some(error) = &error {
            check_sentence(error);
        }
        assert!(error.is_some() || samples < 17_000 * 16, "case {index} made {samples} samples");
    }
}

#[test]
fn of_a_file_that_breaks_off_the_beginning_is_kept() {
    let folder = Folder::new();
    for (name, arguments) in [
        ("a.wav", &["-c:a", "pcm_s16le"][..]),
        ("a.flac", &[]),
        ("a.mp3", &[]),
        ("a.ogg", &["-c:a", "libvorbis"]),
        ("a.opus", &[]),
        ("a.mkv", &["-c:a", "aac"]),
        ("a.webm", &["-c:a", "libopus"]),
        ("a.m4a", &["-c:a", "aac", "-movflags", "+faststart"]),
        ("b.m4a", &["-c:a", "alac", "-movflags", "+faststart"]),
        ("fragments.mp4", &["-c:a", "aac", "-movflags", "+frag_keyframe+empty_moov", "-frag_duration", "500000"]),
    ] {
        let Some(path) = folder.convert(name, arguments) else { return };
        let bytes = std::fs::read(&path).expect("it was just written");
        let path = folder.write(&format!("cut-{name}"), &bytes[..bytes.len() / 2]);
        let (samples, error) = read(&path);
        println!("{name}: {samples} samples, {error:?}");
        assert!((50_000..130_000).contains(&samples), "{name}: {samples} samples of half a file");
        if let Some(error) = error {
            check_sentence(&error);
            assert!(matches!(error, FileError::Damaged { .. }), "{name}: {error}");
        }
    }
    // The index of an MP4 file is at its end, unless somebody has put it first.
    let Some(path) = folder.convert("last.m4a", &["-c:a", "aac"]) else { return };
    let bytes = std::fs::read(&path).expect("it was just written");
    let error = read(&folder.write("cut.m4a", &bytes[..bytes.len() / 2])).1.expect("it cannot be read");
    check_sentence(&error);
    assert!(matches!(error, FileError::Unfinished { .. }), "{error}");
}

/// Small files of every container, to be damaged.
fn originals() -> &'static [(&'static str, Vec<u8>)] {
    static ORIGINALS: std::sync::OnceLock<Vec<(&str, Vec<u8>)>> = std::sync::OnceLock::new();
    ORIGINALS.get_or_init(|| {
        let folder = Folder::new();
        let mut out = vec![("plain.wav", wav(1, 2, 16_000, 16, 32_000))];
        for (name, codec) in [
            ("a.flac", "flac"),
            ("a.mp3", "libmp3lame"),
            ("a.ogg", "libvorbis"),
            ("a.opus", "libopus"),
            ("a.mkv", "aac"),
            ("a.webm", "libopus"),
            ("a.m4a", "aac"),
            ("b.m4a", "alac"),
            ("a.aac", "aac"),
        ] {
            let Some(path) = folder.convert(name, &["-t", "0.5", "-c:a", codec]) else { break };
            out.push((name, std::fs::read(path).expect("it was just written")));
        }
        out
    })
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn damaged_bytes_do_no_harm(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<u8>()), 0..12),
        length in prop_oneof![2 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)],
    ) {
        let (name, original) = which.get(originals());
        let mut bytes = original.clone();
        for (place, in_header, byte) in &changes {
            let end = if *in_header { bytes.len().min(300) } else { bytes.len() };
            bytes[place.index(end)] = *byte;
        }
        if let Some(length) = length {
            bytes.truncate(length.index(bytes.len()));
        }
        let folder = Folder::new();
        let before = peak_kib();
        let (samples, error) = read(&folder.write(name, &bytes));
        if let Some(error) = error {
            check_sentence(&error);
        }
        prop_assert!(peak_kib() < before + (512 << 10), "{name}: a small file took half a gigabyte");
        // A damaged rate or length may stretch half a second, but not without bounds.
        prop_assert!(samples < 16_000 * 600, "{name}: {samples} samples");
    }
}

/// What `espeak-ng --stdout`, `ffmpeg` and `arecord` leave in a pipe: lengths that nobody knew when they were written.
#[test]
fn a_wav_that_does_not_know_its_length_is_read_whole() {
    let folder = Folder::new();
    let sound: Vec<u8> = (0..20_000_i16).flat_map(i16::to_le_bytes).collect();
    let wav = |riff: u32, data: u32| {
        let mut bytes = b"RIFF".to_vec();
        bytes.extend(riff.to_le_bytes());
        bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0PAD \x03\0\0\0abc\0data");
        bytes.extend(data.to_le_bytes());
        bytes.extend(&sound);
        bytes
    };
    for (riff, data) in [(0x7fff_f024, 0x7fff_f000), (u32::MAX, u32::MAX), (0, 0), (40_048, 40_000)] {
        let (samples, error) = read(&folder.write("piped.wav", &wav(riff, data)));
        assert!(error.is_none(), "{data:#x}: {error:?}");
        assert_eq!(samples, 20_000, "{data:#x}");
    }
    // One that knew it, and was cut, is damaged, and it is said where.
    let (samples, error) = read(&folder.write("cut.wav", &wav(80_048, 80_000)));
    let Some(FileError::Damaged { after, .. }) = error else { panic!("{error:?}") };
    assert_eq!(samples, (after.as_secs_f64() * 16_000.0).round() as usize);
    assert!(samples > 18_000, "{samples}");
}
