//! Settings that are changed in the window, and what follows.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use amanuensis_test_support::keyring::keyring;
use amanuensis_test_support::{heard, speak};
use fantoccini::Locator;
use fantoccini::key::Key;
use serde_json::json;

use super::stage::{Setting, Stage, accessibility_rules};
use super::{ALERT, FILE, SAID, STATUS, TAKE, TRANSCRIPT, UNDERSTOOD, drive, has_model, is_written};

const SETTINGS: &str = "[role=region][aria-label=Settings]";
const FOOTER: &str = "[aria-label='Model and device in use']";
/// The tabs, by their names in English.
const VIEWS: [&str; 6] = ["Dictate", "Files", "History", "Models", "Performance", "Settings"];

/// The control of this name.
fn control(name: &str) -> String {
    format!("//*[@id=//label[normalize-space()='{name}']/@for]")
}

impl Stage {
    /// Chooses a value of the setting of this name.
    pub async fn choose(&self, name: &str, value: &str) {
        let select = self.page.find(Locator::XPath(&control(name))).await.expect("the control is there");
        // WebKit's driver picks no option of a list that has to be scrolled to.
        let show = "document.evaluate(arguments[0], document, null, XPathResult.FIRST_ORDERED_NODE_TYPE).singleNodeValue\
                    .scrollIntoView({ block: 'center' })";
        self.page.execute(show, vec![json!(control(name))]).await.expect("it can be scrolled to");
        select.select_by_value(value).await.expect("the value can be chosen");
    }

    /// Whether the switch of this name is on.
    pub async fn is_on(&self, name: &str) -> bool {
        let switch = self.page.find(Locator::XPath(&control(name))).await.expect("the control is there");
        switch.is_selected().await.expect("a switch")
    }

    /// Flips the switch of this name.
    pub async fn flip(&self, name: &str) {
        self.page
            .find(Locator::XPath(&control(name)))
            .await
            .expect("the control is there")
            .click()
            .await
            .expect("a click");
    }

    /// Writes into a field, and leaves it.
    async fn fill(&self, path: &str, text: &str) {
        // To empty it first would already be a change.
        let select = "document.evaluate(arguments[0], document, null, XPathResult.FIRST_ORDERED_NODE_TYPE).singleNodeValue\
                      .select()";
        self.page.execute(select, vec![json!(path)]).await.expect("the field is there");
        for key in text.chars() {
            self.type_key(key).await;
        }
        self.type_key(Key::Tab.into()).await;
    }

    /// A file that the app keeps among its settings.
    pub fn kept(&self, name: &str) -> PathBuf {
        self.folder.path().join("config/amanuensis").join(name)
    }
}

/// What the server says to a request for its models.
fn ask(port: u16, token: Option<&str>) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time can be set");
    let key = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    write!(stream, "GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{key}\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn settings_hold_at_once_and_are_kept() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        stage.press_text("Settings").await;
        stage.wait_for(SETTINGS, |text| text.contains("Local API")).await;

        // Text is written by the rules of the moment.
        for (from, to) in [("report", "letter"), ("Alice", "Zoe"), ("Friday", "Sunday")] {
            stage.press_text("Add a replacement").await;
            stage.fill("(//input[@aria-label='What you say'])[last()]", from).await;
            stage.fill("(//textarea[@aria-label='What is written'])[last()]", to).await;
        }
        stage.dictate(&voice).await;
        stage.press("Stop dictating").await;
        stage.press_text("Dictate").await;
        let said = stage.wait_for(TAKE, is_written).await;
        stage.wait_for(STATUS, |text| text.starts_with("Press and speak")).await;
        let said = format!("{said} {}", stage.wait_for(TAKE, is_written).await);
        assert!(["letter", "Zoe", "Sunday"].iter().any(|word| said.contains(word)), "{said}");
        stage.press_text("Settings").await;

        // The model is read anew for another device, while the one before goes on.
        stage.choose("What does the work", "simulatedNpu").await;
        stage.wait_for(FOOTER, |text| text.contains("simulated NPU")).await;
        stage.choose("What does the work", "cpu").await;
        stage.wait_for(FOOTER, |text| text.contains("CPU,")).await;

        // Other programs are served while the switch is on, and know the token.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
        stage.fill(&control("Port"), &free.to_string()).await;
        stage.flip("Transcribe for other programs").await;
        stage.wait_for(SETTINGS, |text| text.contains(&format!("http://127.0.0.1:{free}/v1"))).await;
        let token = std::fs::read_to_string(stage.kept("api-token")).expect("a token was made");
        let answer = ask(free, Some(token.trim())).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("amanuensis-demo.en"), "{answer}");
        assert!(ask(free, None).expect("an answer").starts_with("HTTP/1.1 401"));
        stage.press_text("Copy the token").await;
        stage.flip("Transcribe for other programs").await;
        stage.wait_for(SETTINGS, |text| !text.contains("It listens on") && !text.contains("One moment")).await;
        assert_eq!(ask(free, Some(token.trim())), None, "nobody listens any more");

        let kept = std::fs::read_to_string(stage.kept("settings.json")).expect("the settings are kept");
        let kept: serde_json::Value = serde_json::from_str(&kept).expect("they are JSON");
        assert_eq!(kept["server"], json!({ "on": false, "port": free, "withoutToken": false }));
        assert_eq!(kept["model"]["device"], "cpu");
        assert_eq!(kept["text"]["replacements"].as_array().map(Vec::len), Some(3));
        stage.close().await;
    });
}

#[test]
fn the_language_models_key_is_kept_in_the_keyring_and_the_window_says_where() {
    drive(async {
        if !has_model() {
            return;
        }
        let Some(mut stage) = Stage::open(Setting::default()).await else { return };
        let home = tempfile::tempdir().expect("a temporary folder");
        let Some(keyring) = keyring(stage.bus(), home.path()) else { return };
        stage.ready().await;
        stage.press_text("Settings").await;
        stage.flip("Let a language model go over dictations").await;
        stage
            .wait_for(SETTINGS, |text| text.contains("None. One that you type is kept in your desktop’s keyring"))
            .await;
        stage.fill(&control("Key"), "sk-1").await;
        stage.wait_for(SETTINGS, |text| text.contains("It lies in your desktop’s keyring.")).await;
        assert!(!stage.kept("llm-key").exists());
        stage.shoot("keyring").await;
        // At the next start it is there, and without the keyring the next key lies in the file.
        stage.kill();
        stage.open_again().await;
        stage.ready().await;
        stage.press_text("Settings").await;
        stage.wait_for(SETTINGS, |text| text.contains("It lies in your desktop’s keyring.")).await;
        drop(keyring);
        stage.fill(&control("Key"), "sk-2").await;
        stage.wait_for(SETTINGS, |text| text.contains("It lies in a file that only you may read")).await;
        assert_eq!(std::fs::read_to_string(stage.kept("llm-key")).expect("it is there"), "sk-2\n");
        stage.press_text("Delete the key").await;
        stage.wait_for(SETTINGS, |text| text.contains("None. One that you type is kept")).await;
        assert!(!stage.kept("llm-key").exists());
        stage.close().await;
    });
}

#[test]
fn every_view_is_accessible_in_both_looks_and_in_a_narrow_window() {
    drive(async {
        let Some(rules) = accessibility_rules() else { return };
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        stage.press("Start dictating").await;
        stage.wait_for(STATUS, |text| text.starts_with("Listening")).await;
        stage.check_accessibility(&rules).await;
        let playing = stage.microphone.begin(&voice);
        // Some words are settled by now, and others are not.
        stage.wait_for(TRANSCRIPT, |text| heard(SAID, text) >= UNDERSTOOD / 2.0).await;
        stage.shoot("dictating").await;
        playing.wait();
        stage.press("Stop dictating").await;
        stage.wait_for(TRANSCRIPT, is_written).await;
        stage.wait_for(STATUS, |text| text.starts_with("Press and speak")).await;
        let recording = stage.folder.path().join("interview.wav");
        std::fs::copy(&voice, &recording).expect("a file can be copied");
        stage.app_again(&[&recording.display().to_string(), "/nowhere/missing.wav"]);
        stage.wait_for(&format!("{FILE} .text"), is_written).await;
        stage.wait_for(&format!("{FILE} {ALERT}"), |text| text.contains("missing.wav")).await;
        for (look, paper) in [("light", "rgb(245, 240, 230)"), ("dark", "rgb(19, 25, 38)")] {
            stage.press_text("Settings").await;
            stage.choose("Appearance", look).await;
            let ground = "return getComputedStyle(document.body).backgroundColor";
            assert_eq!(stage.page.execute(ground, Vec::new()).await.expect("a colour"), json!(paper));
            for view in VIEWS {
                stage.press_text(view).await;
                if view == "Models" {
                    stage.wait_for("[aria-label=Models]", |text| text.contains("real time")).await;
                }
                if view == "History" {
                    stage.wait_for("[aria-label=History] li", |text| text.contains("interview.wav")).await;
                }
                if view == "Performance" {
                    stage.wait_for("[aria-label=Performance]", |text| text.contains("MiB")).await;
                    // There is something to be seen of what the machine does.
                    stage.dictate(&voice).await;
                    stage.press("Stop dictating").await;
                    stage.wait_for(STATUS, |text| text.starts_with("Press and speak")).await;
                }
                stage.check_accessibility(&rules).await;
                stage.shoot(&format!("{}-{look}", view.to_lowercase())).await;
            }
        }
        stage.page.set_window_size(380, 700).await.expect("the window can be made smaller");
        for view in VIEWS {
            // Where they do not fit, the names are there for screen readers only.
            let tab = format!("//nav/button[@title='{view}']");
            stage.page.find(Locator::XPath(&tab)).await.expect("the tab").click().await.expect("a click");
            let beyond = "return [...document.querySelectorAll('button, input, select, textarea')].filter((element) => \
                          element.getBoundingClientRect().right > innerWidth + 1).map((element) => element.outerHTML)";
            assert_eq!(stage.page.execute(beyond, Vec::new()).await.expect("a list"), json!([]), "{view}");
            stage.shoot(&format!("{}-narrow", view.to_lowercase())).await;
        }
        stage.close().await;
    });
}
