//! The app on Wayland, which has no driver there: told what to do by the command, and seen by what it types.

use std::process::Command;
use std::time::{Duration, Instant};

use amanuensis_settings::{Settings, Store};
use amanuensis_test_support::{Field, Program, Sway, VirtualMicrophone, Witness, heard, speak};

use crate::insertion::command;
use crate::stage::app;
use crate::{SAID, UNDERSTOOD, has_model};

/// How long the app may take, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

fn until(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_is_said_is_typed_where_the_cursor_is_on_sway() {
    let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
    let Some(microphone) = VirtualMicrophone::start() else { return };
    let Some(sway) = Sway::open() else { return };
    // Sway may run as somebody else, and the app takes no folder that is another user's.
    let home = tempfile::tempdir().expect("a temporary folder");
    let own = home.path().display().to_string();
    let mut environment = sway.environment().to_vec();
    environment.retain(|(name, _)| !["HOME", "XDG_RUNTIME_DIR", "WAYLAND_DISPLAY"].contains(name));
    environment.extend([("HOME", own.clone()), ("XDG_RUNTIME_DIR", own)]);
    environment.push(("WAYLAND_DISPLAY", sway.socket().display().to_string()));
    environment.extend(microphone.environment());
    let mut settings = Settings::default();
    settings.interface.guided = true;
    let store = Store::at(home.path().join(".config/amanuensis/settings.json"));
    store.save(&settings).expect("settings can be written");
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
