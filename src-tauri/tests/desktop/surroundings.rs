//! What is heard and seen outside the window: sounds, notifications and the small panel, and that each can be switched off.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use amanuensis_settings::{Language, Settings};
use amanuensis_test_support::{found, speak};
use zbus::blocking::{Connection, connection};
use zbus::zvariant::OwnedValue;

use crate::insertion::{amanuensis, xdotool};
use crate::overlay::Neighbour;
use crate::stage::{Setting, Stage};
use crate::{FILE, SAID, STATUS, drive, has_model, write_silence};

/// How long something may take to come, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long is waited for what must not come.
const NOTHING: Duration = Duration::from_secs(2);
const SOUNDS: &str = "Sounds when a dictation begins and ends";

/// What a desktop has that shows notifications: what they are about, and what they say.
struct Notifier(Sender<(String, String)>);

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Notifier {
    #[expect(clippy::too_many_arguments, reason = "the specification has as many")]
    fn notify(
        &self,
        _app: String,
        _replaces: u32,
        _icon: String,
        summary: String,
        body: String,
        _actions: Vec<String>,
        _hints: HashMap<String, OwnedValue>,
        _timeout_ms: i32,
    ) -> u32 {
        self.0.send((summary, body)).expect("the test goes on");
        1
    }
}

fn notifier(bus: &str) -> (Connection, Receiver<(String, String)>) {
    let (sender, shown) = channel();
    let connection = connection::Builder::address(bus)
        .and_then(|builder| builder.serve_at("/org/freedesktop/Notifications", Notifier(sender)))
        .and_then(|builder| builder.name("org.freedesktop.Notifications"))
        .and_then(connection::Builder::build);
    (connection.expect("the bus is there"), shown)
}

/// Dictates while no program has the focus, and waits until what was said is on the clipboard.
fn dictate_to_nobody(stage: &Stage, voice: &Path) {
    xdotool(stage, &["search", "--onlyvisible", "--name", "^Amanuensis$", "windowminimize"]);
    amanuensis(stage, "start");
    stage.microphone.play(voice);
    amanuensis(stage, "stop");
    let until = Instant::now() + PATIENCE;
    while !clipboard(stage).contains("Friday") {
        assert!(Instant::now() < until, "on the clipboard is {:?}", clipboard(stage));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn xclip(stage: &Stage, direction: &str) -> Command {
    let mut xclip = Command::new("xclip");
    xclip.args(["-selection", "clipboard", direction]).env_clear().envs(stage.environment().iter().cloned());
    xclip
}

fn clipboard(stage: &Stage) -> String {
    String::from_utf8_lossy(&xclip(stage, "-out").output().expect("xclip starts").stdout).into_owned()
}

#[test]
fn what_cannot_be_typed_is_on_the_clipboard_and_told_to_those_who_want_it() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model() && found("xclip")) else { return };
        let mut settings = Settings::default();
        settings.interface.language = Language::De;
        let Some(stage) = Stage::open(Setting { settings, ..Setting::default() }).await else { return };
        stage.wait_for("button[aria-label='Diktat beginnen']:enabled", |_| true).await;
        let (_connection, shown) = notifier(stage.bus());
        dictate_to_nobody(&stage, &voice);
        let (summary, body) = shown.recv_timeout(PATIENCE).expect("a notification");
        assert_eq!(summary, "Ihr Diktat konnte nicht eingef\u{fc}gt werden");
        let whole =
            "Kein Fenster hat den Fokus. Klicken Sie dorthin, wo der Text hin soll. Es ist in der Zwischenablage.";
        assert_eq!(body, whole);

        stage.app_again(&[]);
        stage.press_text("Einstellungen").await;
        stage.flip("Benachrichtigungen bei verborgenem Fenster").await;
        let empty = xclip(&stage, "-in").stdin(Stdio::null()).stdout(Stdio::null()).status();
        assert!(empty.expect("xclip starts").success());
        dictate_to_nobody(&stage, &voice);
        assert_eq!(shown.recv_timeout(NOTHING).ok(), None);
        stage.close().await;
    });
}

#[test]
fn a_file_that_is_finished_is_told_while_the_window_is_hidden() {
    drive(async {
        if !has_model() {
            return;
        }
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        let (_connection, shown) = notifier(stage.bus());
        // Long enough that the window is hidden before the end.
        let recording = stage.folder.path().join("interview.wav");
        write_silence(&recording, 1800);
        stage.app_again(&[&recording.display().to_string()]);
        stage.wait_for(FILE, |text| text.contains('%')).await;
        xdotool(&stage, &["search", "--onlyvisible", "--name", "^Amanuensis$", "windowminimize"]);
        let (summary, body) = shown.recv_timeout(PATIENCE).expect("a notification");
        assert_eq!((summary.as_str(), body.as_str()), ("interview.wav", "Transcribed"));
        stage.close().await;
    });
}

#[test]
fn sounds_are_heard_by_those_who_want_them() {
    drive(async {
        if !has_model() {
            return;
        }
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        stage.press_text("Settings").await;
        // The virtual loudspeaker is what the virtual microphone hears.
        for wanted in [false, true, false] {
            if wanted != stage.is_on(SOUNDS).await {
                stage.flip(SOUNDS).await;
            }
            let quiet_until = Instant::now();
            stage.press("Start dictating").await;
            stage.wait_for(STATUS, |text| text.starts_with("Listening")).await;
            std::thread::sleep(NOTHING);
            let begun = stage.microphone.heard_since(quiet_until);
            let stopped = Instant::now();
            stage.press("Stop dictating").await;
            std::thread::sleep(NOTHING);
            assert_eq!((begun, stage.microphone.heard_since(stopped)), (wanted, wanted));
            stage.wait_for(STATUS, |text| !text.starts_with("Listening")).await;
        }
        stage.close().await;
    });
}

#[test]
fn the_small_panel_lies_above_other_windows_until_it_is_closed() {
    drive(async {
        if !has_model() {
            return;
        }
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        let letter = Neighbour::open(stage.display());
        assert!(!letter.lies_above("Amanuensis"));
        stage.press_text("Performance").await;
        stage.press_text("Small panel").await;
        let figures = "main[aria-label=Performance] dl";
        stage.wait_for(figures, |text| text.contains("MiB") && text.contains("Press to first sound")).await;
        letter.until("the panel lies above all others", || letter.lies_above("Amanuensis"));
        letter.until("it is small", || letter.size("Amanuensis").is_some_and(|(width, _)| width < 400));
        stage.shoot("panel").await;
        stage.press("Back to the whole window").await;
        letter.until("the window is as it was", || {
            !letter.lies_above("Amanuensis") && letter.size("Amanuensis").is_some_and(|(width, _)| width > 400)
        });
        stage.wait_for("[aria-label=Performance]", |text| text.contains("Small panel")).await;
        stage.close().await;
    });
}
