//! Dictation without hands: speech begins it, a pause ends it.

use amanuensis_test_support::{heard, speak};
use fantoccini::Locator;

use crate::stage::{Setting, Stage};
use crate::{SAID, STATUS, TRANSCRIPT, UNDERSTOOD, drive, has_model};

#[test]
fn without_hands_speech_begins_a_dictation_and_a_pause_ends_it() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        let switch = stage.page.find(Locator::Css(".hands-free input")).await.expect("a switch");
        switch.click().await.expect("it can be switched");
        stage.wait_for(STATUS, |text| text.starts_with("Listening for speech")).await;
        stage.shoot("hands-free").await;
        stage.microphone.play(&voice);
        stage.wait_for(TRANSCRIPT, |text| heard(SAID, text) >= UNDERSTOOD).await;
        stage.wait_for(STATUS, |text| text.starts_with("Listening for speech")).await;
        switch.click().await.expect("it can be switched");
        stage.wait_for(STATUS, |text| text.starts_with("Press and speak")).await;
        stage.close().await;
    });
}

#[test]
fn a_switch_that_is_pressed_quickly_ends_as_it_was_pressed_last() {
    drive(async {
        if !has_model() {
            return;
        }
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        // Faster than any answer: on, off and on, several times over.
        let press = "for (let i = 0; i < 9; i++) document.querySelector('.hands-free input').click()";
        stage.page.execute(press, Vec::new()).await.expect("it can be switched");
        stage.wait_for(STATUS, |text| text.starts_with("Listening for speech")).await;
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        stage.wait_for(STATUS, |text| text.starts_with("Listening for speech")).await;
        let on = stage.page.execute("return document.querySelector('.hands-free input').checked", Vec::new()).await;
        assert_eq!(on.expect("the page answers"), true);
        stage.page.execute(press, Vec::new()).await.expect("it can be switched");
        stage.wait_for(STATUS, |text| text.starts_with("Press and speak")).await;
        stage.close().await;
    });
}
