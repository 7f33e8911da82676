//! What the app promises to people who speak: their first and last word, soon, and nothing where nothing was said.
//!
//! `cargo xtask bench --dictation` runs these with the app optimised, as often as the figures want; by themselves they are
//! short, and look at words only.

use std::path::Path;
use std::time::{Duration, Instant};

use amanuensis_settings::Settings;
use amanuensis_test_support::{Field, Witness, speak, trim, wav};

use crate::insertion::xdotool;
use crate::stage::{Setting, Stage};
use crate::{STATUS, drive, has_model};

/// About five seconds, which the demo model writes down exactly.
const UTTERANCE: &str = "Please send the report to Alice before Friday, and then write a letter to the manager.";
/// What stands at its ends.
const FIRST: &str = "please";
const LAST: &str = "manager.";
/// How often it is said where nobody says how often.
const FEW: usize = 3;
/// How much earlier than the key somebody begins to speak, where the microphone stands by.
const EAGER: Duration = Duration::from_millis(200);
const RATE: u32 = 16_000;

/// How often the bench wants everything to be done; none in a test.
fn runs() -> Option<usize> {
    std::env::var("AMANUENSIS_RUNS").ok()?.parse().ok()
}

/// The smallest of `times` that this share of them does not exceed.
fn at(share: f64, times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[((times.len() as f64 * share).ceil() as usize).clamp(1, times.len()) - 1]
}

/// Dictates the utterance again and again: the key, the words without any pause around them, the key.
async fn dictate(stand_by: bool) {
    let Some(voice) = speak(UTTERANCE).filter(|_| has_model()) else { return };
    trim(&voice);
    let mut settings = Settings::default();
    settings.dictation.stand_by = stand_by;
    let Some(stage) = Stage::open(Setting { settings, ..Setting::default() }).await else { return };
    stage.ready().await;
    let Some(mut witness) = Witness::open(Field::Entry, "Letter", stage.environment()) else { return };
    let press = || xdotool(&stage, &["key", "ctrl+alt+space"]);
    if stand_by {
        // The first time opens the microphone.
        press();
        stage.wait_for(STATUS, |text| text.starts_with("Listening")).await;
        press();
        stage.wait_for(STATUS, |text| text.starts_with("No speech")).await;
    }
    let (mut since_speech, mut since_stop) = (Vec::new(), Vec::new());
    let count = runs().unwrap_or(FEW);
    for number in 1..=count {
        let playing = if stand_by {
            let playing = stage.microphone.begin(&voice);
            let began = Instant::now();
            stage.microphone.wait_for_sound();
            std::thread::sleep(EAGER.saturating_sub(began.elapsed()));
            press();
            playing
        } else {
            press();
            stage.wait_for(STATUS, |text| text.starts_with("Listening")).await;
            stage.microphone.begin(&voice)
        };
        playing.wait();
        press();
        let stopped = Instant::now();
        let typed = witness.wait_for(|text| text.ends_with(". "));
        since_stop.push(stopped.elapsed());
        since_speech.push(stage.microphone.last_sound().elapsed());
        let words: Vec<_> = typed.split_whitespace().map(str::to_lowercase).collect();
        let ends = (words.first().map_or("", String::as_str), words.last().map_or("", String::as_str));
        assert_eq!(ends, (FIRST, LAST), "in run {number} of {count} it wrote: {typed}");
        witness.clear();
        stage.wait_for(STATUS, |text| text.starts_with("Press and speak")).await;
    }
    println!("first and last word there in {count} of {count} runs, the microphone {}", named(stand_by));
    for (what, times) in [
        ("from the last sound of speech to the text in the other program", &mut since_speech),
        ("from the key that stops to the text in the other program", &mut since_stop),
    ] {
        println!("{what}: p50 {} ms, p95 {} ms", at(0.5, times).as_millis(), at(0.95, times).as_millis());
    }
    stage.press_text("Performance").await;
    for figure in ["Press to first sound", "Stop to last word"] {
        let said = stage.wait_for("[aria-label=Performance] dl > div", |text| text.contains(figure)).await;
        println!("the app itself: {}", said.replace('\n', " "));
    }
    stage.close().await;
}

fn named(stand_by: bool) -> &'static str {
    if stand_by { "standing by and the first word before the key" } else { "closed between dictations" }
}

#[test]
fn no_word_is_lost_at_either_end() {
    drive(dictate(false));
}

#[test]
fn no_word_is_lost_that_is_said_before_the_key_while_the_microphone_stands_by() {
    drive(dictate(true));
}

#[test]
fn silence_and_noise_insert_nothing() {
    drive(async {
        if !has_model() {
            return;
        }
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        let Some(mut witness) = Witness::open(Field::Entry, "Letter", stage.environment()) else { return };
        let seconds = if runs().is_some() { 30 } else { 4 };
        let sound = stage.folder.path().join("sound.wav");
        for (what, loudness) in [("silence", 0.0), ("soft noise", 0.01), ("loud noise", 0.2)] {
            write_noise(&sound, loudness, seconds);
            xdotool(&stage, &["key", "ctrl+alt+space"]);
            stage.wait_for(STATUS, |text| text.starts_with("Listening")).await;
            stage.microphone.play(&sound);
            xdotool(&stage, &["key", "ctrl+alt+space"]);
            stage.wait_for(STATUS, |text| text.starts_with("No speech")).await;
            assert_eq!(witness.text(""), "", "{what}");
            println!("{seconds} s of {what}: nothing inserted");
        }
        stage.close().await;
    });
}

/// Writes noise that has all pitches alike, the same every time, as loud as `loudness` of the loudest there can be.
fn write_noise(path: &Path, loudness: f32, seconds: u32) {
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let unit = (state >> 8) as f32 / (1 << 24) as f32;
        ((2.0 * unit - 1.0) * loudness * f32::from(i16::MAX)) as i16
    });
    let samples: Vec<_> = noise.take((RATE * seconds) as usize).collect();
    std::fs::write(path, wav(RATE, &samples)).expect("a file can be written");
}
