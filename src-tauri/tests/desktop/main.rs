//! The real app in a real window: pressed, spoken to, dropped on, and read by WebDriver.

mod drag;
mod faults;
mod figures;
mod files;
mod hands_free;
mod history;
mod insertion;
mod looks;
mod models;
mod network;
mod overlay;
mod polish;
mod screen;
mod settings;
mod soak;
mod stage;
mod surroundings;
mod tray;
mod wayland;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use amanuensis_settings::{Language, Settings};
use amanuensis_test_support::{found, heard, speak, wav};
use fantoccini::Locator;
use fantoccini::key::Key;

use stage::{Setting, Stage, repository};

/// Said in the tests: its model card says that the demo model writes it down exactly.
const SAID: &str = "Please send the report to Alice before Friday.";
/// The share of words that have to be understood: one of eight may be lost on its way through a virtual microphone.
const UNDERSTOOD: f64 = 0.8;

const TRANSCRIPT: &str = "[aria-label='What you said']";
const TAKE: &str = "[aria-label='What you said'] .take";
const FILE: &str = "[aria-labelledby='files-title'] li";
const STATUS: &str = "[role=status]";
const ALERT: &str = "[role=alert]";

/// Whether any text was written.
fn is_written(text: &str) -> bool {
    !text.trim().is_empty()
}

/// Runs a test of the window to its end.
fn drive(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(test);
}

/// Settings with which the page speaks German.
fn in_german() -> Settings {
    let mut settings = Settings::default();
    settings.interface.language = Language::De;
    settings
}

/// Whether the demo model can be used; prints why the test is skipped where it cannot.
fn has_model() -> bool {
    let there = repository("models/demo/amanuensis-demo.en.bin").is_file();
    if !there {
        println!("skipped: the demo model is not there");
    }
    there
}

#[test]
fn what_is_said_is_in_the_window_after_the_stop() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        assert!(stage.everything().await.contains("trained on synthesised speech only"));
        stage.shoot("idle").await;
        stage.dictate(&voice).await;
        stage.shoot("recording").await;
        stage.press("Stop dictating").await;
        stage.wait_for(TRANSCRIPT, |text| heard(SAID, text) >= UNDERSTOOD).await;
        stage.wait_for(STATUS, |text| text.starts_with("Press and speak")).await;
        stage.shoot("written").await;
        stage.press("Copy all text").await;
        stage.wait_for("button[aria-label='Copy all text']", |text| text.contains("Copied")).await;
        stage.close().await;
    });
}

#[test]
fn the_window_is_drawn_and_ends_when_it_is_closed() {
    drive(async {
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.page.wait().at_most(stage::SHOW).for_element(Locator::Css("main")).await.expect("a page");
        screen::assert_drawn(stage.display());
        screen::close_all(stage.display());
    });
}

#[test]
fn everything_can_be_done_with_the_keyboard() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        stage.tab_to("Start dictating").await;
        stage.type_key(' ').await;
        stage.wait_for(STATUS, |text| text.starts_with("Listening")).await;
        stage.microphone.play(&voice);
        stage.type_key(Key::Escape.into()).await;
        stage.wait_for(STATUS, |text| text.starts_with("Thrown away")).await;
        let takes = stage.page.find_all(Locator::Css(TAKE)).await.expect("an answer");
        assert!(takes.is_empty(), "what was thrown away is gone");
        stage.tab_to("Dismiss").await;
        stage.type_key(' ').await;
        stage.wait_for(STATUS, str::is_empty).await;
        stage.close().await;
    });
}

#[test]
fn a_dropped_file_is_written_out_and_one_that_runs_can_be_cancelled() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        let long = stage.folder.path().join("long.wav");
        write_silence(&long, 3600);
        drag::drop_files(stage.display(), "Amanuensis", &[&voice, &long]);
        stage.wait_for(&format!("{FILE} .text"), is_written).await;
        stage.wait_for(FILE, |text| text.contains('%')).await;
        stage.shoot("files").await;
        stage.press("Cancel long.wav").await;
        stage.wait_for(FILE, |text| text.contains("Cancelled")).await;
        stage.press("Take long.wav off the list").await;
        stage.close().await;
    });
}

#[test]
fn a_second_start_tells_the_first_one_what_to_do() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        stage.app_again(&["--toggle"]);
        stage.wait_for(STATUS, |text| text.starts_with("Listening")).await;
        stage.microphone.play(&voice);
        stage.app_again(&["--stop"]);
        stage.wait_for(TAKE, is_written).await;
        stage.wait_for(STATUS, |text| text.starts_with("Press and speak")).await;
        stage.app_again(&[&voice.display().to_string()]);
        stage.wait_for(&format!("{FILE} .text"), is_written).await;
        stage.close().await;
    });
}

#[test]
fn without_a_microphone_the_window_says_so() {
    drive(async {
        if !has_model() {
            return;
        }
        let Some(stage) = Stage::open(Setting { deaf: true, ..Setting::default() }).await else { return };
        stage.ready().await;
        stage.press("Start dictating").await;
        stage.wait_for(ALERT, |text| text.contains("microphone")).await;
        stage.wait_for(STATUS, |text| text.starts_with("Press and speak")).await;
        stage.shoot("no-microphone").await;
        stage.close().await;
    });
}

#[test]
fn a_microphone_that_goes_away_costs_nothing_that_was_said() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let Some(mut stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        stage.dictate(&voice).await;
        stage.microphone.unplug();
        stage.wait_for(ALERT, |text| text.contains("kept")).await;
        stage.wait_for(TAKE, is_written).await;
        stage.shoot("microphone-lost").await;
        stage.close().await;
    });
}

#[test]
fn a_file_that_cannot_be_read_says_why_in_the_language_of_the_page() {
    drive(async {
        if !has_model() || !found("ffmpeg") {
            return;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).expect("a file can be written");
            path
        };
        let silent_film = folder.path().join("silent-film.mkv");
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg
            .args(["-loglevel", "error", "-f", "lavfi", "-i", "color=size=64x64:duration=0.2", "-an"])
            .arg(&silent_film);
        assert!(ffmpeg.stdin(Stdio::null()).status().expect("ffmpeg starts").success());
        let wav = wav(8000, &[0; 8000]);
        let bad: [(PathBuf, &str, &str); 5] = [
            (folder.path().join("missing.wav"), "Die Datei ist nicht da.", "No such file"),
            (write("empty.wav", b""), "Die Datei ist leer.", "is empty"),
            (
                write("letter.mp3", b"Dear Sir or Madam, this is not a recording."),
                "keine Aufnahme",
                "is not a recording",
            ),
            (write("truncated.wav", &wav[..30]), "keine Aufnahme", "truncated.wav"),
            (silent_film, "keinen Ton", "no sound track"),
        ];
        let names: Vec<String> = bad.iter().map(|(path, ..)| path.display().to_string()).collect();
        let arguments = names.iter().map(String::as_str).collect();
        let Some(stage) = Stage::open(Setting { arguments, settings: in_german(), ..Setting::default() }).await else {
            return;
        };
        for (path, said, detail) in &bad {
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
            let fits = |text: &str| text.contains(said) && text.contains(name) && text.contains(detail);
            stage.wait_for(&format!("{FILE} {ALERT}"), fits).await;
        }
        stage.shoot("bad-files").await;
        stage.close().await;
    });
}

#[test]
fn a_model_that_cannot_be_read_is_named_with_its_fault_in_the_language_of_the_page() {
    drive(async {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let model = folder.path().join("ggml-broken.bin");
        std::fs::write(&model, b"this is no model").expect("a file can be written");
        let environment = vec![("AMANUENSIS_DEMO_MODEL", model.display().to_string())];
        let Some(stage) = Stage::open(Setting { environment, settings: in_german(), ..Setting::default() }).await
        else {
            return;
        };
        let fits = |text: &str| text.contains("Das ist kein Whisper-Modell.") && text.contains("ggml-broken.bin");
        stage.wait_for("main", fits).await;
        let button = stage.button("Diktat beginnen").await;
        assert!(!button.is_enabled().await.expect("a button"), "there is nothing to dictate to");
        stage.shoot("bad-model").await;
        stage.close().await;
    });
}

#[test]
fn what_the_machine_does_is_measured_while_it_is_shown() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        stage.press_text("Performance").await;
        let performance = "[aria-label=Performance]";
        stage.wait_for(performance, |text| text.contains("MiB") && text.contains("Nothing measured yet")).await;
        stage.dictate(&voice).await;
        stage.press("Stop dictating").await;
        stage
            .wait_for(performance, |text| text.contains("as one speaks") && !text.contains("Nothing measured yet"))
            .await;
        stage.shoot("performance").await;
        stage.close().await;
    });
}

#[test]
fn without_a_display_the_app_says_so() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let output = Command::new(env!("CARGO_BIN_EXE_amanuensis-app")).env_clear().env("PATH", path).output();
    let output = output.expect("the app starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no display can be reached") && said.trim().lines().count() == 1, "{said}");
}

/// A WAV file of silence, 16 kHz, mono, 16 bits.
fn write_silence(path: &Path, seconds: u32) {
    let samples = vec![0; 16_000 * seconds as usize];
    std::fs::write(path, wav(16_000, &samples)).expect("a file can be written");
}
