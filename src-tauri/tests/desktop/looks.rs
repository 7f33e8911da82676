//! What is not behind one of the window's tabs, in both looks: the settings further down, the guide, the panel, the overlay.

use amanuensis_test_support::{heard, speak};

use crate::overlay::{Neighbour, TITLE, wait_for_words};
use crate::stage::{Setting, Stage, accessibility_rules};
use crate::{SAID, STATUS, TRANSCRIPT, UNDERSTOOD, drive, has_model, is_written};

#[test]
fn every_view_without_a_tab_is_accessible_in_both_looks() {
    drive(async {
        let Some(rules) = accessibility_rules() else { return };
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        // There is something to be seen of what the machine does.
        stage.dictate(&voice).await;
        stage.press("Stop dictating").await;
        stage.wait_for(TRANSCRIPT, is_written).await;
        stage.wait_for(STATUS, |text| text.starts_with("Press and speak")).await;
        let letter = Neighbour::open(stage.display());
        let main = stage.page.window().await.expect("a window");
        for look in ["light", "dark"] {
            let seen = async |name: &str| {
                stage.check_accessibility(&rules).await;
                stage.shoot(&format!("{name}-{look}")).await;
            };
            stage.press_text("Settings").await;
            stage.choose("Appearance", look).await;
            let show = "[...document.querySelectorAll('h2')].find((title) => title.textContent === 'Language model')\
                        .scrollIntoView()";
            stage.page.execute(show, Vec::new()).await.expect("it can be scrolled to");
            seen("language-model").await;

            stage.press_text("Open the guide").await;
            stage.wait_for("dialog", |text| text.contains("Can it hear you?")).await;
            seen("guide").await;
            stage.press_text("Skip the guide").await;

            stage.press_text("Performance").await;
            stage.press_text("Small panel").await;
            let figures = "main[aria-label=Performance] dl";
            stage.wait_for(figures, |text| text.contains("MiB") && text.contains("Press to first sound")).await;
            letter.until("it is small", || letter.size("Amanuensis").is_some_and(|(width, _)| width < 400));
            seen("panel").await;
            stage.press("Back to the whole window").await;
            letter.until("it is large", || letter.size("Amanuensis").is_some_and(|(width, _)| width > 400));

            stage.app_again(&["--start"]);
            letter.until("the overlay is seen", || letter.seen(TITLE).is_some());
            stage.enter_other_window(&main).await;
            stage.microphone.play(&voice);
            wait_for_words(&stage, "main .text", |text| heard(SAID, text) >= UNDERSTOOD / 2.0).await;
            seen("overlay").await;
            stage.app_again(&["--cancel"]);
            letter.until("the overlay is gone", || letter.seen(TITLE).is_none());
            stage.page.switch_to_window(main.clone()).await.expect("the main window is there");
        }
        stage.close().await;
    });
}
