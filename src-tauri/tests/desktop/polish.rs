//! A language model that goes over what was dictated: a server of the test's plays it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use amanuensis_settings::{PostProcessing, Settings};
use amanuensis_test_support::{Field, Witness, heard, speak};
use serde_json::{Value, json};

use crate::insertion::amanuensis;
use crate::stage::{Setting, Stage};
use crate::{ALERT, SAID, STATUS, UNDERSTOOD, drive, has_model};

/// What the model makes of every text.
const CORRECTED: &str = "Dear Alice, the report comes on Friday.";
/// How long the app waits for the model.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the model answers.
#[derive(Clone, Copy)]
enum Mood {
    Good,
    Broken,
    /// It takes longer than anybody waits.
    Slow,
}

/// The model, and what it was asked last. Gone with the test's process.
#[derive(Clone)]
struct Model(Arc<Mutex<(Mood, Value)>>);

impl Model {
    /// Begins to answer, and returns the address of its API.
    fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let model = Self(Arc::new(Mutex::new((Mood::Good, Value::Null))));
        let answers = model.clone();
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| answers.answer(stream)));
        (model, address)
    }

    fn answer(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let heads = stream.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
        let lengths = heads.filter_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut question = vec![0; lengths.last().unwrap_or(0)];
        stream.read_exact(&mut question).expect("a question");
        let mood = {
            let mut known = self.0.lock().expect("no thread has panicked");
            known.1 = serde_json::from_slice(&question).expect("it is JSON");
            known.0
        };
        let (status, body) = match mood {
            Mood::Good | Mood::Slow => {
                ("200 OK", json!({ "choices": [{ "message": { "content": CORRECTED } }] }).to_string())
            }
            Mood::Broken => ("500 Internal Server Error", "out of order".to_owned()),
        };
        if matches!(mood, Mood::Slow) {
            std::thread::sleep(2 * PATIENCE);
        }
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        // Whoever has waited too long is gone.
        let _ = stream.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat());
    }

    fn be(&self, mood: Mood) {
        self.0.lock().expect("no thread has panicked").0 = mood;
    }

    /// The text that it was asked to go over last.
    fn asked(&self) -> String {
        let known = self.0.lock().expect("no thread has panicked");
        known.1["messages"][1]["content"].as_str().expect("a text").to_owned()
    }
}

#[test]
fn a_language_model_corrects_what_is_typed_and_without_it_the_text_arrives_as_it_was_heard() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let (model, endpoint) = Model::start();
        let timeout_s = PATIENCE.as_secs() as u16;
        let post_processing =
            PostProcessing { on: true, endpoint, timeout_s, model: "any".into(), ..PostProcessing::default() };
        let settings = Settings { post_processing, ..Settings::default() };
        let Some(stage) = Stage::open(Setting { settings, ..Setting::default() }).await else { return };
        stage.ready().await;
        let Some(mut witness) = Witness::open(Field::Entry, "Letter", stage.environment()) else { return };
        for (mood, told) in [
            (Mood::Good, None),
            (Mood::Broken, Some("Its server refuses.")),
            (Mood::Slow, Some("Its server does not answer in time.")),
        ] {
            model.be(mood);
            amanuensis(&stage, "start");
            stage.wait_for(STATUS, |text| text.starts_with("Listening")).await;
            stage.microphone.play(&voice);
            amanuensis(&stage, "stop");
            match told {
                None => {
                    let typed = witness.wait_for(|text| text == format!("{CORRECTED} "));
                    assert_eq!(typed.trim_end(), CORRECTED);
                    assert!(heard(SAID, &model.asked()) >= UNDERSTOOD, "{}", model.asked());
                }
                Some(told) => {
                    let typed = witness.wait_for(|text| heard(SAID, text) >= UNDERSTOOD && text.ends_with(". "));
                    assert_eq!(typed.trim_end(), model.asked());
                    let fits = |text: &str| text.contains("it stays as it was heard") && text.contains(told);
                    stage.wait_for(ALERT, fits).await;
                }
            }
            witness.clear();
        }
        stage.shoot("polish-failed").await;
        stage.press_text("History").await;
        // What was heard is kept beside what was made of it.
        let entry = "[aria-label=History] li";
        stage.wait_for(entry, |text| text.contains(CORRECTED) && text.contains("As it was heard")).await;
        stage.close().await;
    });
}
