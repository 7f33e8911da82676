//! Recordings in the window: a folder is dropped, a transcript is heard, edited and saved.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use amanuensis_golden::{NumberType, Recipe, write_ggml};
use amanuensis_settings::{FileFormat, Settings};
use amanuensis_test_support::{found, heard, speak};
use amanuensis_whisper::Dtype;
use fantoccini::Locator;
use fantoccini::key::Key;

use crate::drag;
use crate::history::opened;
use crate::stage::{SHOW, Setting, Stage};
use crate::{ALERT, FILE, SAID, UNDERSTOOD, drive, has_model, is_written};

const TRANSCRIPT: &str = "[aria-label='Transcript of talk.wav']";

/// Presses a key in whatever window has the focus, as a keyboard would.
fn xdotool(stage: &Stage, arguments: &[&str]) {
    let status =
        Command::new("timeout").args(["30", "xdotool"]).args(arguments).env("DISPLAY", stage.display()).status();
    assert!(status.expect("xdotool starts").success());
}

/// Waits for a file, whole.
fn content(path: &Path) -> Option<String> {
    (0..600).find_map(|_| {
        std::thread::sleep(Duration::from_millis(100));
        std::fs::read_to_string(path).ok()
    })
}

#[test]
fn a_dropped_folder_is_written_out_heard_edited_and_saved() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model() && found("xdotool")) else { return };
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        let folder = stage.folder.path().join("recordings");
        std::fs::create_dir_all(folder.join("deeper")).expect("a folder can be made");
        std::fs::copy(&voice, folder.join("talk.wav")).expect("a copy");
        std::fs::copy(&voice, folder.join(".hidden.wav")).expect("a copy");
        std::fs::write(folder.join("deeper/notes.txt"), "no recording").expect("a file can be written");
        std::os::unix::fs::symlink(&folder, folder.join("deeper/loop")).expect("a link can be made");
        drag::drop_files(stage.display(), "Amanuensis", &[&folder]);
        stage.wait_for(&format!("{FILE} .text"), is_written).await;
        let rows = stage.page.find_all(Locator::Css(FILE)).await.expect("an answer");
        assert_eq!(rows.len(), 1, "{}", stage.everything().await);
        stage.shoot("files-list").await;

        stage.press("Show the transcript of talk.wav").await;
        stage.wait_for(&format!("{TRANSCRIPT} p"), is_written).await;
        stage.press("Play").await;
        stage.wait_for(&format!("{TRANSCRIPT} .now"), is_written).await;
        stage.shoot("files-transcript").await;
        // Played to its end, it can be played again.
        stage.button("Play").await;

        stage.press("Edit: 0:00").await;
        stage.wait_for(&format!("{TRANSCRIPT} textarea"), |_| true).await;
        for letter in "Edited. ".chars() {
            stage.type_key(letter).await;
        }
        stage.type_key(Key::Enter.into()).await;
        stage.wait_for(&format!("{TRANSCRIPT} p"), |text| text.contains("Edited.")).await;

        stage.page.find(Locator::Css("summary")).await.expect("a menu").click().await.expect("it opens");
        stage.shoot("files-save-as").await;
        stage.press_text("Subtitles (.srt)").await;
        xdotool(&stage, &["search", "--sync", "--name", "^Save as$", "windowactivate", "--sync"]);
        xdotool(&stage, &["key", "Return"]);
        let srt = content(&folder.join("talk.srt")).expect("the document is written");
        assert!(srt.starts_with("1\n00:00:0") && srt.contains("Edited."), "{srt}");
        stage.wait_for("[role=status]", |text| text.contains("talk.srt")).await;
        stage.close().await;
    });
}

#[test]
fn what_is_put_into_the_watched_folder_is_written_out_beside_it() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut settings = Settings::default();
        settings.files.watched_folder = Some(folder.path().display().to_string());
        settings.files.format = FileFormat::Md;
        let Some(stage) = Stage::open(Setting { settings, ..Setting::default() }).await else { return };
        stage.ready().await;
        stage.press_text("Files").await;
        std::fs::copy(&voice, folder.path().join("talk.wav")).expect("a copy");
        stage.wait_for(FILE, |text| text.contains("talk.wav") && text.contains("Saved as talk.md")).await;
        let document = std::fs::read_to_string(folder.path().join("talk.md")).expect("it is there");
        assert!(document.starts_with("# talk.wav") && heard(SAID, &document) >= UNDERSTOOD, "{document}");
        stage.shoot("files-watched").await;
        stage.close().await;
    });
}

/// Chooses a value of the transcript's list of this name, once nothing is written any more.
async fn choose(stage: &Stage, list: &str, value: &str) {
    let selector = format!("select[aria-label='{list}']:enabled");
    let select = stage.page.wait().at_most(SHOW).for_element(Locator::Css(&selector)).await.expect("a list");
    select.select_by_value(value).await.expect("the value can be chosen");
}

#[test]
fn a_file_is_written_out_by_another_model_than_the_main_one_and_in_a_language_of_its_own() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        // It writes nonsense, but knows many languages.
        let models = stage.folder.path().join("data/amanuensis/models");
        std::fs::create_dir_all(&models).expect("a folder can be made");
        let other = models.join("ggml-other.bin");
        write_ggml(&other, &Recipe::small_multilingual(), NumberType::Of(Dtype::F16)).expect("a model can be written");
        stage.press_text("Models").await;
        stage.wait_for("[aria-label=Models] li", |text| text.contains("other") && text.contains("languages")).await;

        let talk = stage.folder.path().join("talk.wav");
        std::fs::copy(&voice, &talk).expect("a copy");
        drag::drop_files(stage.display(), "Amanuensis", &[&talk]);
        stage.wait_for(&format!("{FILE} .text"), |text| heard(SAID, text) >= UNDERSTOOD).await;
        stage.press("Show the transcript of talk.wav").await;
        choose(&stage, "Model", "other").await;
        stage.wait_for(&format!("{TRANSCRIPT} p"), |text| is_written(text) && heard(SAID, text) < 0.5).await;
        choose(&stage, "Language", "de").await;
        stage.shoot("files-other-model").await;
        // Whatever it is transcribed with, it is one entry of the history.
        let until = Instant::now() + SHOW;
        loop {
            let entries = opened(&stage).page("", 0, 10).expect("the history can be read").entries;
            let [talk] = &entries[..] else { panic!("it is one file: {entries:?}") };
            let by = &talk.transcribed;
            if (by.model.as_deref(), by.language.as_deref()) == (Some("other"), Some("de")) {
                break;
            }
            assert!(Instant::now() < until, "it was written by {by:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        stage.press_text("History").await;
        let entry = "[aria-label=History] li";
        stage.wait_for(entry, |text| text.contains("talk.wav") && text.contains(" other ")).await;
        let footer = "[aria-label='Model and device in use']";
        stage.wait_for(footer, |text| text.contains("Demo model")).await;
        stage.close().await;
    });
}

#[test]
fn odd_names_are_shown_safely_and_what_was_cancelled_can_be_tried_again() {
    drive(async {
        if !has_model() {
            return;
        }
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        let folder = stage.folder.path().join("odd");
        std::fs::create_dir(&folder).expect("a folder can be made");
        let names: [&[u8]; 4] = [b"a\nb.wav", "c\u{202e}vaw.exe.wav".as_bytes(), b"d\xff.wav", &[b'e'; 240]];
        for name in names {
            let mut path = folder.join(std::ffi::OsStr::from_bytes(name));
            path.as_mut_os_string().push(if name.len() > 200 { ".wav" } else { "" });
            std::fs::write(path, "no recording").expect("a file can be written");
        }
        drag::drop_files(stage.display(), "Amanuensis", &[&folder]);
        for shown in ["a\u{fffd}b.wav", "c\u{fffd}vaw.exe.wav", "d\u{fffd}.wav", "eeee"] {
            stage.wait_for(FILE, |text| text.contains(shown) && !text.contains('\u{202e}')).await;
        }
        stage.wait_for(&format!("{FILE} {ALERT}"), |text| text.contains("is not a recording")).await;
        stage.shoot("files-odd-names").await;
        stage.press("Transcribe d\u{fffd}.wav again").await;
        stage.wait_for(&format!("{FILE} {ALERT}"), |text| text.contains("is not a recording")).await;
        stage.close().await;
    });
}
