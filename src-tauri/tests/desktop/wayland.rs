//! The app on Wayland, under a Sway without a screen.

use std::process::Command;
use std::time::{Duration, Instant};

use amanuensis_settings::{Settings, Store};
use amanuensis_test_support::{Field, Program, Sway, VirtualMicrophone, Witness, found, heard, speak};
use fantoccini::Locator;
use tempfile::TempDir;

use crate::insertion::command;
use crate::stage::{app, capabilities, start_app};
use crate::{SAID, UNDERSTOOD, drive, has_model};

/// How long the app may take, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

fn until(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A home of its own, and all that the app has to know there. Sway may run as somebody else, and the app takes no folder that
/// is another user's.
fn home(sway: &Sway) -> (TempDir, Vec<(&'static str, String)>) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let own = home.path().display().to_string();
    let mut environment = sway.environment().to_vec();
    environment.retain(|(name, _)| !["HOME", "XDG_RUNTIME_DIR", "WAYLAND_DISPLAY"].contains(name));
    environment.extend([("HOME", own.clone()), ("XDG_RUNTIME_DIR", own)]);
    environment.push(("WAYLAND_DISPLAY", sway.socket().display().to_string()));
    let mut settings = Settings::default();
    settings.interface.guided = true;
    let store = Store::at(home.path().join(".config/amanuensis/settings.json"));
    store.save(&settings).expect("settings can be written");
    (home, environment)
}

#[test]
fn what_is_said_is_typed_where_the_cursor_is_on_sway() {
    let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
    let Some(microphone) = VirtualMicrophone::start() else { return };
    let Some(sway) = Sway::open() else { return };
    let (_home, mut environment) = home(&sway);
    environment.extend(microphone.environment());
    let tell = |word: &str| {
        let status = Command::new(command()).arg(word).env_clear().envs(environment.iter().cloned()).status();
        status.is_ok_and(|status| status.success())
    };
    let _app = Program::start(Command::new(app()).arg("--background").envs(environment.iter().cloned()));
    until("the app can be told what to do", || tell("cancel"));
    let Some(mut witness) = Witness::open(Field::Entry, "Letter", &environment) else { return };
    for _ in 0..2 {
        until("the app listens", || tell("start") && microphone.is_listened_to());
        microphone.play(&voice);
        assert!(tell("stop"));
        let typed = witness.wait_for(|text| heard(SAID, text) >= UNDERSTOOD && text.ends_with(". "));
        assert!(heard(SAID, &typed) >= UNDERSTOOD && typed.ends_with(". "), "{typed:?}");
        witness.clear();
        until("the app no longer listens", || !microphone.is_listened_to());
    }
}

#[test]
fn the_test_of_all_ways_finds_those_of_sway() {
    drive(async {
        let Some(sway) = Sway::open().filter(|_| found("WebKitWebDriver")) else { return };
        let (home, mut environment) = home(&sway);
        environment.push(("TAURI_WEBVIEW_AUTOMATION", "true".to_owned()));
        let (_driver, page) = start_app(&environment, &capabilities(&[])).await;
        for button in ["Settings", "Test all ways"] {
            let path = format!("//button[normalize-space()='{button}']");
            let button = page.wait().at_most(PATIENCE).for_element(Locator::XPath(&path)).await;
            button.expect("the button is there").click().await.expect("the button can be pressed");
        }
        for (way, found) in [
            ("Virtual keyboard (Wayland)", "The text arrived whole."),
            ("Clipboard and paste", "The text arrived whole."),
            ("Keys (X11)", "It needs a session on X11"),
            ("Typed by the desktop (portal)", "It needs a portal"),
        ] {
            let path = format!("//li[contains(., '{way}') and contains(., '{found}')]");
            page.wait().at_most(PATIENCE).for_element(Locator::XPath(&path)).await.unwrap_or_else(|_| panic!("{way}"));
        }
        let kept = std::fs::read_to_string(home.path().join(".config/amanuensis/settings.json"));
        let kept: serde_json::Value =
            serde_json::from_str(&kept.expect("the settings are kept")).expect("they are JSON");
        assert_eq!(kept["insertion"]["ways"], serde_json::json!({ "wayland": "virtual-keyboard" }));
    });
}
