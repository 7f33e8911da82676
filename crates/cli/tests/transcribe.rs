//! `amanuensis transcribe` as a stranger would use it: what it prints, what it says, how it exits.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use amanuensis_test_support::{assert_understood, found, heard, speak};

const SAID: &str = "Please send the report to Alice before Friday.";

fn amanuensis(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amanuensis"));
    command.args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

fn transcribe(arguments: &[&str]) -> Output {
    amanuensis(&["transcribe"]).args(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Whether the demo model is there; prints why the test is skipped where it is not.
fn has_model() -> bool {
    let is_there = amanuensis_models::demo().is_some();
    if !is_there {
        println!("skipped: the demo model is not there");
    }
    is_there
}

fn ffmpeg(arguments: &[&str]) {
    let output = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A WAV file of silence.
fn silent(path: &Path, seconds: u32) {
    let bytes = 32_000 * seconds;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + bytes).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data");
    wav.extend(bytes.to_le_bytes());
    wav.resize(wav.len() + bytes as usize, 0);
    fs::write(path, wav).unwrap();
}

#[test]
fn speech_becomes_words() {
    let (true, Some(wav)) = (has_model(), speak(SAID)) else { return };
    let output = transcribe(&[wav.to_str().unwrap()]);
    assert!(output.status.success(), "{}", err(&output));
    assert_understood(SAID, &out(&output));
    assert_eq!(err(&output), "");
}

#[test]
fn recorded_sentences_are_written_down_to_the_letter() {
    if !has_model() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/speech");
    let expected: std::collections::BTreeMap<String, String> =
        serde_json::from_str(&fs::read_to_string(folder.join("expected.json")).unwrap()).unwrap();
    assert!(!expected.is_empty());
    for precision in ["int8", "f32"] {
        for (file, text) in &expected {
            let output = transcribe(&["--precision", precision, folder.join(file).to_str().unwrap()]);
            assert_eq!(out(&output).trim(), text, "{file} in {precision}");
        }
    }
}

#[test]
fn every_format_is_what_it_says() {
    let (true, Some(wav)) = (has_model(), speak(SAID)) else { return };
    let wav = wav.to_str().unwrap();

    let json = out(&transcribe(&[wav, "--format", "json", "--word-timestamps"]));
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json.lines().count(), 1);
    assert_understood(SAID, report["text"].as_str().unwrap());
    assert_eq!(report["language"], "en");
    assert!(report["error"].is_null());
    assert!(report["timings_ms"]["total"].as_f64().unwrap() > 0.0);
    let duration = report["duration_s"].as_f64().unwrap();
    let segments = report["segments"].as_array().unwrap();
    let words: Vec<_> = segments.iter().flat_map(|segment| segment["words"].as_array().unwrap()).collect();
    let joined = words.iter().map(|word| word["word"].as_str().unwrap()).collect::<Vec<_>>().join(" ");
    assert_eq!(heard(&joined, report["text"].as_str().unwrap()), 1.0, "{json}");
    let mut before = 0.0;
    for word in words {
        let (start, end) = (word["start_s"].as_f64().unwrap(), word["end_s"].as_f64().unwrap());
        assert!(before <= start && start <= end && end <= duration + 0.1, "{json}");
        before = start;
    }

    let times = |line: &str, mark: char| {
        let (start, end) = line.split_once(" --> ").unwrap();
        let seconds = |time: &str| {
            let (whole, ms) = time.split_once(mark).unwrap();
            whole.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
                + ms.parse::<f64>().unwrap() / 1e3
        };
        assert!(seconds(start) <= seconds(end), "{line}");
    };
    let srt = out(&transcribe(&[wav, "--format", "srt"]));
    for (index, cue) in srt.trim().split("\n\n").enumerate() {
        let mut lines = cue.lines();
        assert_eq!(lines.next().unwrap(), (index + 1).to_string());
        times(lines.next().unwrap(), ',');
        assert!(!lines.next().unwrap().is_empty());
    }
    let vtt = out(&transcribe(&[wav, "--format", "vtt"]));
    let mut cues = vtt.trim().split("\n\n");
    assert_eq!(cues.next(), Some("WEBVTT"));
    for cue in cues {
        let mut lines = cue.lines();
        times(lines.next().unwrap(), '.');
        assert!(!lines.next().unwrap().is_empty());
    }
    let csv = out(&transcribe(&[wav, "--format", "csv"]));
    assert!(csv.starts_with("start,end,text\r\n") && csv.lines().count() > 1, "{csv}");
    assert_understood(SAID, &out(&transcribe(&[wav, "--format", "md"])));
    let folder = tempfile::tempdir().unwrap();
    let output = transcribe(&[wav, "--format", "docx", "--output", folder.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", err(&output));
    let written = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    assert!(fs::read(written).unwrap().starts_with(b"PK"));
}

#[test]
fn many_files_come_in_order_and_the_bad_ones_do_not_keep_back_the_others() {
    let (true, Some(wav)) = (has_model(), speak("Good morning.")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for name in ["a.wav", "b.wav", "c.wav"] {
        fs::copy(&wav, path(name)).unwrap();
    }
    silent(Path::new(&path("long.wav")), 40);
    let files = [path("long.wav"), path("a.wav"), path("missing.wav"), path("b.wav"), path("c.wav")];
    let output = transcribe(&[&files.each_ref().map(String::as_str)[..], &["--jobs", "3"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let headings: Vec<String> = out(&output)
        .lines()
        .filter_map(|line| Some(line.strip_prefix("==> ")?.strip_suffix(" <==")?.to_owned()))
        .collect();
    assert_eq!(headings, [0, 1, 3, 4].map(|index: usize| files[index].clone()));
    let said = err(&output);
    assert!(said.contains("missing.wav: No such file"), "{said}");
    assert!(said.contains("4 of 5 recordings transcribed") && said.contains("realtime factor"), "{said}");

    let target = path("texts");
    let output = transcribe(&[&path("a.wav"), &path("b.wav"), "--format", "srt", "--output", &target]);
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(out(&output), "");
    let first = fs::read_to_string(Path::new(&target).join("a.srt")).unwrap();
    assert_eq!(first, fs::read_to_string(Path::new(&target).join("b.srt")).unwrap());
    // A second time nothing is overwritten, and nothing is transcribed for nothing.
    let output = transcribe(&[&path("a.wav"), "--format", "srt", "--output", &target]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("a.srt is there already"), "{}", err(&output));
}

#[test]
fn a_file_that_breaks_off_gives_its_text_until_there() {
    let (true, Some(wav), true) = (has_model(), speak(SAID), found("ffmpeg")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let flac = folder.path().join("broken.flac");
    ffmpeg(&["-i", wav.to_str().unwrap(), "-ac", "1", flac.to_str().unwrap()]);
    let bytes = fs::read(&flac).unwrap();
    fs::write(&flac, &bytes[..bytes.len() * 3 / 4]).unwrap();
    let output = transcribe(&[flac.to_str().unwrap(), "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_str(&out(&output)).unwrap();
    assert!(!report["text"].as_str().unwrap().is_empty(), "{report}");
    let said = err(&output);
    assert!(said.contains("broken.flac is damaged after") && said.contains("what came before was read"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(report["error"].as_str().unwrap()), "{said}");
}

/// What is said about a file, which is one sentence.
fn complaint(path: &Path) -> String {
    let output = transcribe(&[path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert_eq!(out(&output), "");
    let said = err(&output);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("amanuensis: ") && said.contains(path.to_str().unwrap()), "{said}");
    said
}

#[test]
fn what_is_no_recording_is_told_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording.wav");
    let missing = complaint(&path);
    assert!(missing.contains("No such file") && !missing.contains("os error"), "{missing}");
    assert!(complaint(folder.path()).contains("is a folder"));
    fs::write(&path, "").unwrap();
    assert!(complaint(&path).contains("is empty"));
    fs::write(&path, "This is a letter, not a recording.").unwrap();
    assert!(complaint(&path).contains("is not a recording"));
    if found("ffmpeg") {
        let video = folder.path().join("film.mkv");
        ffmpeg(&["-f", "lavfi", "-i", "color=size=32x32:duration=1", "-c:v", "mpeg4", video.to_str().unwrap()]);
        assert!(complaint(&video).contains("has no sound track"));
    }
}

#[test]
fn what_is_no_model_is_told_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let (wav, model) = (folder.path().join("recording.wav"), folder.path().join("ggml-broken.bin"));
    silent(&wav, 1);
    let complaint = |model: &str| {
        let output = transcribe(&["--model", model, wav.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{}", err(&output));
        assert_eq!(err(&output).lines().count(), 1, "{}", err(&output));
        err(&output)
    };
    assert!(complaint("/nowhere/model.bin").contains("there is no model at /nowhere/model.bin"));
    fs::write(&model, "not a model").unwrap();
    assert!(complaint(model.to_str().unwrap()).contains("ggml-broken.bin is not a Whisper model"));
    let Some(demo) = amanuensis_models::demo() else {
        println!("skipped: the demo model is not there");
        return;
    };
    let bytes = fs::read(demo.path).unwrap();
    fs::write(&model, &bytes[..bytes.len() / 2]).unwrap();
    let said = complaint(model.to_str().unwrap());
    assert!(said.contains("is damaged") && said.contains("download it again"), "{said}");
    assert!(complaint("such-a-model").contains("amanuensis-demo.en"));
}

#[test]
fn what_the_model_cannot_do_is_told_in_a_sentence() {
    if !has_model() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wav = folder.path().join("recording.wav");
    silent(&wav, 1);
    for (flags, expected) in [(&["--language", "German"][..], "\"de\""), (&["--translate"], "cannot translate")] {
        let output = transcribe(&[flags, &[wav.to_str().unwrap(), "--model", "amanuensis-demo.en"]].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(err(&output).contains(expected) && err(&output).lines().count() == 1, "{}", err(&output));
    }
}

#[test]
fn a_device_that_is_not_there_is_told_in_a_sentence() {
    if !has_model() {
        return;
    }
    if Path::new("/dev/accel/accel0").exists() {
        println!("skipped: there is an NPU");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wav = folder.path().join("recording.wav");
    silent(&wav, 1);
    let output = transcribe(&[wav.to_str().unwrap(), "--device", "npu"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((out(&output).as_str(), err(&output).lines().count()), ("", 1), "{}", err(&output));
}

#[test]
fn wrong_flags_are_refused_before_anything_is_done() {
    for arguments in [
        &["a.wav", "--language", "klingon"][..],
        &["a.wav", "--beam-size", "0"],
        &["a.wav", "--jobs", "0"],
        &["a.wav", "--format", "odt"],
        &[],
    ] {
        assert_eq!(transcribe(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let output = transcribe(&["a.wav", "b.wav", "--format", "srt"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("--output FOLDER"), "{}", err(&output));
    let output = transcribe(&["a.wav", "--format", "docx"]);
    assert!(err(&output).contains("--output FOLDER"), "{}", err(&output));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (true, Some(wav)) = (has_model(), speak(SAID)) else { return };
    let mut child = amanuensis(&["transcribe", wav.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(err(&output), "");
}
