//! A language model goes over what was dictated, if the user wants that: one dictation after the other, on a thread of its own.

use std::time::Duration;

use amanuensis_dictation::{Outcome, TakeId};
use amanuensis_history::Transcribed;
use amanuensis_polish::{KeyKeeper, Polisher, Wanted};
use amanuensis_settings::PostProcessing;
use crossbeam_channel::{Receiver, Sender};

use super::{Message, State, failure};
use crate::wire::{Failure, Notice, Said, Update};

/// A dictation, and what became of it.
pub struct Polished {
    take: TakeId,
    heard: String,
    by: Transcribed,
    /// The text as the model would have it, none if nobody was asked; or why it stays as it was.
    result: Result<Option<String>, Failure>,
}

/// A dictation whose turn comes.
struct Job {
    take: TakeId,
    heard: String,
    by: Transcribed,
    /// Whom to ask, and who has the key; nobody, if that was switched off.
    wanted: Option<(Wanted, KeyKeeper)>,
}

/// Dictations on their way to the language model and back.
pub struct Polish {
    jobs: Sender<Job>,
    /// Those that have not come back.
    pending: usize,
}

impl Polish {
    /// Starts the thread. What becomes of the texts is told to the desk.
    pub fn new(inbox: Sender<Message>) -> Self {
        // Without a bound, for the desk must not wait for a model; people speak slower than it answers, or switch it off.
        let (jobs, waiting) = crossbeam_channel::unbounded();
        // It is not waited for: its server may hang.
        let work = move || work_off(&waiting, &inbox);
        std::thread::Builder::new().name("polish".into()).spawn(work).expect("BUG: few threads are running");
        Self { jobs, pending: 0 }
    }
}

fn work_off(jobs: &Receiver<Job>, inbox: &Sender<Message>) {
    for Job { take, heard, by, wanted } in jobs {
        let result = wanted.map(|(wanted, keeper)| ask(wanted, &keeper, &heard)).transpose();
        if inbox.send(Message::Polished(Polished { take, heard, by, result })).is_err() {
            return;
        }
    }
}

/// Asks the model. The space that dictations end with is none of its business.
fn ask(wanted: Wanted, keeper: &KeyKeeper, heard: &str) -> Result<String, Failure> {
    let key = keeper.find().map_err(|cause| failure(&cause))?;
    let polisher = Polisher::new(wanted, key).map_err(|cause| failure(&cause))?;
    let text = heard.trim_end();
    let polished = polisher.polish(text).map_err(|cause| failure(&cause))?;
    Ok(polished + &heard[text.len()..])
}

impl State {
    /// A dictation was written out. If a language model is to go over it, or is still at one before it, its turn comes later.
    pub(super) fn written(&mut self, take: TakeId, outcome: Outcome, by: Transcribed) {
        let wanted = &self.chosen.settings().post_processing;
        match outcome {
            Outcome::Text(heard) if wanted.on || self.polish.pending > 0 => {
                let wanted = wanted.on.then(|| (wanted_of(wanted), self.safe.keeper()));
                self.polish.pending += 1;
                // The thread ends with the desk.
                let _ = self.polish.jobs.send(Job { take, heard, by, wanted });
            }
            outcome => self.over(take, outcome, by),
        }
    }

    /// The language model has gone over a dictation, or could not.
    pub(super) fn polished(&mut self, Polished { take, heard, by, result }: Polished) {
        self.polish.pending = self.polish.pending.saturating_sub(1);
        match result {
            Ok(Some(text)) if text != heard => {
                if let Some(known) = self.take(take) {
                    text.trim_end().clone_into(&mut known.text);
                }
                self.outbox.push(Update::Rewritten { take, text: text.trim_end().to_owned() });
                self.over(take, Outcome::Text(text), Transcribed { raw: Some(heard), ..by });
            }
            Ok(_) => self.over(take, Outcome::Text(heard), by),
            Err(why) => {
                self.over(take, Outcome::Text(heard), by);
                self.tell(Notice::error(Said::NotPolished, why));
            }
        }
    }
}

fn wanted_of(settings: &PostProcessing) -> Wanted {
    Wanted {
        endpoint: settings.endpoint.clone(),
        model: settings.model.clone(),
        prompt: settings.prompt.clone(),
        timeout: Duration::from_secs(settings.timeout_s.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::desk::models::tests::state;
    use crate::wire::{Fault, Take};

    /// A language model that answers each question like this.
    fn model(listener: TcpListener, status: &'static str, body: &'static str) {
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let heads = stream.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty());
                let lengths =
                    heads.filter_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                let mut question = vec![0; lengths.last().unwrap_or(0)];
                stream.read_exact(&mut question).unwrap();
                let length = body.len();
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                stream.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
            }
        });
    }

    /// A desk that has heard "hello bob ", and what is reported to it. A model is to go over it, at this server.
    fn dictated(on: bool, listener: &TcpListener) -> (tempfile::TempDir, State, Receiver<Message>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (mut state, messages) = state(folder.path());
        state.chosen.settings_for_test().post_processing = PostProcessing {
            on,
            endpoint: format!("http://{}/v1", listener.local_addr().unwrap()),
            ..PostProcessing::default()
        };
        state.insertion.set_own_focus(true);
        state.view.writing = 1;
        state.takes.push(Take { id: 1, text: "hello bob".into(), ..Take::default() });
        state.written(1, Outcome::Text("hello bob ".into()), Transcribed::default());
        (folder, state, messages)
    }

    fn polished(messages: &Receiver<Message>) -> Polished {
        loop {
            let message = messages.recv_timeout(Duration::from_secs(30)).expect("an answer");
            if let Message::Polished(polished) = message {
                return polished;
            }
        }
    }

    #[test]
    fn what_the_model_answers_is_written_and_what_was_heard_is_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (_folder, mut state, messages) = dictated(true, &listener);
        model(listener, "200 OK", r#"{"choices":[{"message":{"content":"Hello, Bob."}}]}"#);
        assert_eq!(state.view.writing, 1, "it is not written yet");
        // The next one waits for it, though nobody is to be asked any more.
        state.chosen.settings_for_test().post_processing.on = false;
        state.written(2, Outcome::Text("second".into()), Transcribed::default());
        let first = polished(&messages);
        assert_eq!(first.result, Ok(Some("Hello, Bob. ".to_owned())));
        state.polished(first);
        assert_eq!((state.takes[0].text.as_str(), state.view.writing), ("Hello, Bob.", 0));
        assert_eq!(polished(&messages).result, Ok(None));
        assert_eq!(state.view.notices, []);
    }

    #[test]
    fn what_the_model_cannot_do_leaves_the_text_as_it_was_and_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (_folder, mut state, messages) = dictated(true, &listener);
        model(listener, "500 Internal Server Error", "oops");
        let first = polished(&messages);
        state.polished(first);
        assert_eq!((state.takes[0].text.as_str(), state.view.writing), ("hello bob", 0));
        let [Notice { said: Said::NotPolished, why: Some(why), .. }] = &state.view.notices[..] else {
            panic!("it is told");
        };
        assert!(why.fault == Fault::NotServed && why.detail.contains("status 500: oops"), "{why:?}");
    }

    #[test]
    fn nothing_is_sent_unless_it_is_wanted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (_folder, state, _messages) = dictated(false, &listener);
        assert_eq!(state.view.writing, 0, "it is written already");
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}
