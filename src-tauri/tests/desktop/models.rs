//! Models and the first start: downloaded from a server on this machine, switched to, and chosen with the guide's help.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use amanuensis_test_support::{heard, speak};

use super::{ALERT, SAID, TAKE, UNDERSTOOD, drive, has_model, repository};
use crate::stage::{Setting, Stage};

const ROW: &str = "[aria-label=Models] li";

/// Serves the demo model under another name, slowly enough that one sees it come. Gone with the test's process.
fn hub(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}/ours", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
            let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let range = |line: &String| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse::<usize>().ok();
            let (from, status) = match head.iter().find_map(range) {
                Some(from) => (from, format!("206 Partial\r\nContent-Range: bytes {from}-/{}", bytes.len())),
                None => (0, "200 OK".to_owned()),
            };
            let rest = &bytes[from..];
            // A client that pauses is gone in the middle.
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len());
            for part in rest.chunks(bytes.len() / 20) {
                std::thread::sleep(Duration::from_millis(150));
                if stream.write_all(part).is_err() {
                    break;
                }
            }
        }
    });
    address
}

/// A catalogue with the demo model under another name.
fn catalogue(folder: &std::path::Path) -> String {
    let demo = repository("models/demo/amanuensis-demo.en.bin");
    let sum = Command::new("sha256sum").arg(&demo).output().expect("sha256sum starts");
    let hash = String::from_utf8_lossy(&sum.stdout).split_whitespace().next().expect("a hash").to_owned();
    let bytes = std::fs::read(demo).expect("the demo model");
    let path = folder.join("catalogue");
    std::fs::write(&path, format!("ours.en {} {hash} {}\n", bytes.len(), hub(bytes.clone())))
        .expect("a file can be written");
    path.display().to_string()
}

#[test]
fn a_model_is_downloaded_paused_switched_to_and_deleted() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let environment = vec![("AMANUENSIS_CATALOGUE", catalogue(folder.path())), ("NO_PROXY", "*".to_owned())];
        let Some(stage) = Stage::open(Setting { environment, ..Setting::default() }).await else { return };
        stage.ready().await;
        stage.press_text("Models").await;
        stage.wait_for(ROW, |text| text.contains("amanuensis-demo.en") && text.contains("In use")).await;
        stage.wait_for(ROW, |text| text.contains("large-v3-turbo") && text.contains("real time")).await;
        stage.shoot("models").await;
        stage.press("Download ours.en").await;
        stage.wait_for(ROW, |text| text.contains("ours.en") && text.contains('%')).await;
        stage.press("Pause the download of ours.en").await;
        stage.wait_for(ROW, |text| text.contains("ours.en") && text.contains("Paused at")).await;
        stage.shoot("models-paused").await;
        stage.press("Go on downloading ours.en").await;
        // No model was chosen, so that the newest is taken, while the window goes on.
        stage.wait_for(ROW, |text| text.contains("ours.en") && text.contains("In use")).await;
        stage.wait_for("[aria-label='Model and device in use']", |text| text.contains("ours.en")).await;
        stage.press("Use amanuensis-demo.en").await;
        stage.wait_for(ROW, |text| text.contains("amanuensis-demo.en") && text.contains("In use")).await;
        stage.press("Delete ours.en").await;
        stage.press_text("Delete").await;
        stage.press("Download ours.en").await;
        stage.press_text("Dictate").await;
        stage.dictate(&voice).await;
        stage.press("Stop dictating").await;
        stage.wait_for(TAKE, |text| heard(SAID, text) >= UNDERSTOOD).await;
        stage.close().await;
    });
}

#[test]
fn a_download_that_fails_says_why_and_installs_nothing() {
    drive(async {
        if !has_model() {
            return;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let nobody = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
        let path = folder.path().join("catalogue");
        let line = format!("ours.en 9 {} http://{nobody}/ours\n", "0".repeat(64));
        std::fs::write(&path, line).expect("a file can be written");
        let environment = vec![("AMANUENSIS_CATALOGUE", path.display().to_string()), ("NO_PROXY", "*".to_owned())];
        let Some(stage) = Stage::open(Setting { environment, ..Setting::default() }).await else { return };
        stage.ready().await;
        stage.press_text("Models").await;
        stage.press("Download ours.en").await;
        stage.wait_for(&format!("{ROW} {ALERT}"), |text| text.contains("cannot be reached")).await;
        stage.shoot("models-failed").await;
        stage.press("Throw away what is here of ours.en").await;
        stage.button("Download ours.en").await;
        stage.close().await;
    });
}

#[test]
fn a_first_start_begins_with_the_guide() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let Some(stage) = Stage::open(Setting { first_start: true, ..Setting::default() }).await else { return };
        stage.ready().await;
        let guide = "dialog";
        stage.wait_for(guide, |text| text.contains("Can it hear you?")).await;
        stage.press_text("Listen").await;
        stage.microphone.play(&voice);
        stage.wait_for(guide, |text| text.contains("You are heard.")).await;
        stage.shoot("guide-microphone").await;
        stage.press_text("Next").await;
        stage
            .wait_for(guide, |text| {
                text.contains("Which model?") && text.contains("In use") && text.contains("real time")
            })
            .await;
        stage.shoot("guide-model").await;
        stage.press_text("Next").await;
        stage.wait_for(guide, |text| text.contains("Ctrl+Alt+Space")).await;
        stage.shoot("guide-shortcut").await;
        stage.app_again(&["--toggle"]);
        stage.wait_for(guide, |text| text.contains("That works.")).await;
        stage.press_text("Next").await;
        stage.wait_for(guide, |text| text.contains("Where the cursor is")).await;
        stage.shoot("guide-insertion").await;
        stage.press_text("Next").await;
        stage.press_text("Begin").await;
        stage.button("Start dictating").await;
        assert!(stage.page.find(fantoccini::Locator::Css(guide)).await.is_err(), "the guide is over");
        stage.close().await;
    });
}
