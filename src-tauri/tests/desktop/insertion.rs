//! What is said ends up in another program.

use std::path::{Path, PathBuf};
use std::process::Command;

use amanuensis_test_support::{Field, Witness, heard, speak};

use crate::stage::{Setting, Stage};
use crate::{SAID, STATUS, UNDERSTOOD, drive, has_model};

/// The command, which is built beside the app.
pub fn command() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_amanuensis-app")).with_file_name("amanuensis")
}

/// Tells the app what to do.
pub fn amanuensis(stage: &Stage, word: &str) {
    let output = Command::new(command()).arg(word).env_clear().envs(stage.environment().iter().cloned()).output();
    let output = output.expect("the command is built: cargo build -p amanuensis-cli");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Presses keys, as a finger would.
pub fn xdotool(stage: &Stage, arguments: &[&str]) {
    let mut xdotool = Command::new("xdotool");
    let status = xdotool.args(arguments).env_clear().envs(stage.environment().iter().cloned()).status();
    assert!(status.expect("xdotool starts").success());
}

#[test]
fn what_is_said_is_typed_where_the_cursor_is() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        let Some(mut witness) = Witness::open(Field::Entry, "Letter", stage.environment()) else { return };
        for keys in [false, true] {
            let press =
                |word| if keys { xdotool(&stage, &["key", "ctrl+alt+space"]) } else { amanuensis(&stage, word) };
            press("toggle");
            stage.wait_for(STATUS, |text| text.starts_with("Listening")).await;
            stage.microphone.play(&voice);
            press("toggle");
            // The full stop and the space after it come last.
            let typed = witness.wait_for(|text| heard(SAID, text) >= UNDERSTOOD && text.ends_with(". "));
            assert!(heard(SAID, &typed) >= UNDERSTOOD, "by {}: {typed}", if keys { "keys" } else { "command" });
            witness.clear();
        }
        stage.press_text("History").await;
        stage
            .wait_for("[aria-label=History] li", |text| heard(SAID, text) >= UNDERSTOOD && text.contains("witness"))
            .await;
        // Nothing is thrown at other programs that was thrown away.
        amanuensis(&stage, "start");
        stage.wait_for(STATUS, |text| text.starts_with("Listening")).await;
        stage.microphone.play(&voice);
        amanuensis(&stage, "cancel");
        stage.wait_for(STATUS, |text| text.starts_with("Thrown away")).await;
        assert_eq!(witness.text(""), "");
        stage.close().await;
    });
}

#[test]
fn the_test_of_all_ways_says_which_ones_bring_the_text() {
    drive(async {
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.press_text("Settings").await;
        stage.press_text("Test all ways").await;
        for (way, found) in [
            ("Keys (X11)", "The text arrived whole."),
            ("Clipboard and paste", "The text arrived whole."),
            ("Virtual keyboard (Wayland)", "It needs a session on Wayland"),
            ("Typed by the desktop (portal)", "It needs a session on Wayland"),
            ("Clipboard and ydotool", "It needs a session on Wayland"),
        ] {
            stage.wait_for("[role=status] li", |text| text.contains(way) && text.contains(found)).await;
        }
        stage.shoot("insertion-test").await;
        // The best way that works is tried first from now on, here and on no other desktop.
        let kept = std::fs::read_to_string(stage.kept("settings.json")).expect("the settings are kept");
        let kept: serde_json::Value = serde_json::from_str(&kept).expect("they are JSON");
        assert_eq!(kept["insertion"]["ways"], serde_json::json!({ "x11": "xtest" }));
        stage.close().await;
    });
}
