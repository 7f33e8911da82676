//! What is not behind one of the window's tabs, in both looks: the settings further down, the guide, the panel, the overlay.

use amanuensis_test_support::{heard, speak};
use fantoccini::Locator;
use serde_json::json;

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
            // It says that something was thrown away.
            stage.press("Dismiss").await;
        }
        stage.close().await;
    });
}

/// Texts that do not fit where they stand or reach beyond the window, and what has to be scrolled sideways. What is one pixel
/// large is there for screen readers.
const CUT_OFF: &str = "
    const scrolls = (element) => getComputedStyle(element).overflowX === 'auto' && element.scrollWidth > element.clientWidth;
    const said = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.nodeValue.trim() !== '');
    const cut = (element) => getComputedStyle(element).overflowX !== 'visible' && element.clientWidth > 1 && element.scrollWidth > element.clientWidth + 1;
    const beyond = (element) => element.getBoundingClientRect().right > innerWidth + 1;
    return [...document.querySelectorAll('body *:not(select, option, .visually-hidden)')]
        .filter((element) => scrolls(element) || (said(element) && (cut(element) || beyond(element))))
        .map((element) => element.outerHTML)";

#[test]
fn no_language_is_too_long_for_the_smallest_window() {
    drive(async {
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.press_text("Settings").await;
        let mut found = Vec::new();
        stage.page.set_window_size(380, 480).await.expect("the window can be made smaller");
        let tab = async |number: usize| {
            let path = format!("//nav/button[{number}]");
            stage.page.find(Locator::XPath(&path)).await.expect("the tab").click().await.expect("a click");
        };
        for (language, title) in
            [("de", "Diktat"), ("es", "Dictado"), ("fr", "Dict\u{e9}e"), ("it", "Dettatura"), ("pt", "Ditado")]
        {
            let option =
                format!("//select[option[@value='system'] and option[@value='pt']]/option[@value='{language}']");
            stage.page.find(Locator::XPath(&option)).await.expect("the language").click().await.expect("a click");
            stage.wait_for("[role=region] h2", |text| text == title).await;
            // The last one is where the next language is chosen.
            for number in 1..=6 {
                tab(number).await;
                if number == 5 {
                    stage.wait_for("dl", |text| text.contains("MiB")).await;
                }
                let cut_off = stage.page.execute(CUT_OFF, Vec::new()).await.expect("a list");
                stage.shoot(&format!("{language}-{number}-narrow")).await;
                if cut_off != json!([]) {
                    found.push(format!("{language}, tab {number}: {cut_off}"));
                }
            }
        }
        assert_eq!(found, Vec::<String>::new());
        stage.close().await;
    });
}
