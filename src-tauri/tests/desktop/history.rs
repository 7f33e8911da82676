//! What was said is there later: after a kill, in a list, by its words, and to be heard.

use std::path::Path;
use std::time::{Duration, SystemTime};

use amanuensis_history::{History, Opened};
use amanuensis_test_support::{heard, speak};
use fantoccini::Locator;
use tokio::time::sleep;

use crate::stage::{Setting, Stage, repository};
use crate::{SAID, STATUS, UNDERSTOOD, drive, has_model};

const OFFER: &str = "[aria-label='Interrupted dictations']";
const LIST: &str = "[aria-label='History']";
const ENTRY: &str = "[aria-label='History'] li";

/// Presses the first button whose name begins like this.
async fn press(stage: &Stage, beginning: &str) {
    let selector = format!("button[aria-label^='{beginning}']");
    let button = stage.page.wait().at_most(Duration::from_secs(60)).for_element(Locator::Css(&selector)).await;
    button.expect("the button is there").click().await.expect("the button can be pressed");
}

/// Opens the history as the app left it, or has it by now.
pub fn opened(stage: &Stage) -> History {
    let folder = stage.folder.path().join("data/amanuensis");
    let Opened { history, damage } = History::open(&folder, SystemTime::now()).expect("the history can be opened");
    assert_eq!(damage, None);
    history
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn a_dictation_that_is_killed_is_offered_and_written_at_the_next_start() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let Some(mut stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        stage.dictate(&voice).await;
        // Only what was said a second before is promised to be there.
        sleep(Duration::from_millis(1_500)).await;
        stage.kill();
        stage.open_again().await;
        stage.ready().await;
        stage.wait_for(OFFER, |text| text.contains("An interrupted dictation of")).await;
        stage.shoot("interrupted").await;
        if let Ok(rules) = std::fs::read_to_string(repository("ui/node_modules/axe-core/axe.min.js")) {
            stage.check_accessibility(&rules).await;
        }
        stage.press_text("Write it down").await;
        stage.press_text("History").await;
        stage.wait_for(ENTRY, |text| heard(SAID, text) >= UNDERSTOOD).await;
        stage.wait_for(OFFER, |text| text.trim().is_empty()).await;
        stage.shoot("history").await;

        stage.kill();
        let history = opened(&stage);
        let page = history.page("report", 0, 10).expect("the history can be searched");
        assert_eq!(page.total, 1, "it is found by its words");
        assert!(page.entries[0].sound.as_ref().is_some_and(|sound| sound.is_file()));
        assert_eq!(files(&history.journals()), 0, "nothing is left to be recovered");
    });
}

#[test]
fn what_was_dictated_is_found_heard_changed_and_deleted() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let Some(mut stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        stage.press_text("History").await;
        stage.wait_for(LIST, |text| text.contains("Nothing here yet")).await;
        stage.shoot("history-empty").await;
        stage.press("Start dictating").await;
        stage.wait_for(STATUS, |text| text.starts_with("Listening")).await;
        stage.wait_for(ENTRY, |text| text.contains("Being recorded")).await;
        stage.microphone.play(&voice);
        stage.press("Stop dictating").await;
        stage.wait_for(ENTRY, |text| heard(SAID, text) >= UNDERSTOOD && text.contains("written after")).await;

        let search = stage.page.find(Locator::Css("input[type=search]")).await.expect("there is a search");
        search.send_keys("submarine").await.expect("it can be typed into");
        stage.wait_for(LIST, |text| text.contains("Nothing found")).await;
        search.clear().await.expect("it can be cleared");
        search.send_keys("rep").await.expect("it can be typed into");
        stage.wait_for(ENTRY, |text| heard(SAID, text) >= UNDERSTOOD).await;

        press(&stage, "Play the recording").await;
        // The clock runs while it is heard, and it is heard to its end.
        stage.wait_for(ENTRY, |text| text.contains("0:01 / 0:0")).await;
        stage.shoot("history-playing").await;
        stage.button("Play").await;

        press(&stage, "Edit the text").await;
        let area = stage.page.find(Locator::Css("textarea")).await.expect("the text can be edited");
        area.clear().await.expect("it can be cleared");
        area.send_keys("The report is for Bob.").await.expect("it can be typed into");
        stage.shoot("history-editing").await;
        stage.press_text("Save").await;
        stage.wait_for(ENTRY, |text| text.contains("for Bob") && text.contains("edited")).await;
        press(&stage, "Delete the entry").await;
        stage.wait_for(STATUS, |text| text.contains("One entry was deleted")).await;
        stage.press_text("Undo").await;
        stage.wait_for(ENTRY, |text| text.contains("for Bob")).await;
        if let Ok(rules) = std::fs::read_to_string(repository("ui/node_modules/axe-core/axe.min.js")) {
            stage.check_accessibility(&rules).await;
        }
        press(&stage, "Keep the entry").await;
        stage.wait_for(LIST, |text| text.contains("for Bob")).await;
        stage.kill();
        let entries = opened(&stage).page("bob", 0, 10).expect("the history can be searched").entries;
        assert!(entries[0].pinned && heard(SAID, &entries[0].transcribed.text) >= UNDERSTOOD);
    });
}
