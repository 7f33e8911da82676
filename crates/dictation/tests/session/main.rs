//! Sessions from the order to the text: real speech, a real engine, a model that counts half seconds.

mod fake;

use std::time::Duration;

use amanuensis_audio::{AudioFile, CaptureError, CaptureEvent};
use amanuensis_dictation::text::Replacement;
use amanuensis_dictation::{Between, Event, Keep, Outcome, Rules, Session, Setup, TakeId, TextRules};
use amanuensis_engine::{Engine, Shutdown};
use amanuensis_test_support::Gate;
use amanuensis_whisper::DecodeOptions;
use crossbeam_channel::Receiver;
use fake::Feed;

const SECOND: usize = 16_000;
/// Bounds a hang; no test waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A session, and all that one sees of it from outside.
struct Bench {
    session: Session,
    events: Receiver<Event>,
    feeds: Receiver<Feed>,
    seen: Vec<Event>,
}

impl Bench {
    fn new(engine: Engine, rules: Rules) -> Self {
        Self::keeping(engine, rules, Box::new(()))
    }

    fn keeping(engine: Engine, rules: Rules, keep: Box<dyn Keep>) -> Self {
        let (open_microphone, feeds) = fake::microphones();
        let (sender, events) = crossbeam_channel::unbounded();
        let setup = Setup { rules, open_microphone, keep, ..Setup::default() };
        let session = Session::start(engine, setup, move |event| _ = sender.send(event));
        Self { session, events, feeds, seen: Vec::new() }
    }

    /// Begins a take, and has the microphone say that it is live.
    fn begin(&mut self) -> Feed {
        self.session.begin();
        let feed = self.feeds.recv_timeout(PATIENCE).expect("the microphone is opened");
        feed.live();
        feed
    }

    /// Waits for an event like this and returns it.
    fn wait(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.events.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("not among {:?}", self.seen));
            self.seen.push(event.clone());
            if wanted(&event) {
                return event;
            }
        }
    }

    fn outcome(&mut self) -> (TakeId, Outcome) {
        match self.wait(|event| matches!(event, Event::Finished { .. })) {
            Event::Finished { take, outcome } => (take, outcome),
            _ => unreachable!(),
        }
    }

    /// The number of words of the next take to finish, all of which begin with `word`.
    fn words(&mut self, word: &str) -> usize {
        let (_, outcome) = self.outcome();
        let Outcome::Text(text) = &outcome else { panic!("{outcome:?} after {:?}", self.seen) };
        assert!(text.split(' ').all(|other| other.starts_with(word)), "{text}");
        text.split(' ').count()
    }
}

/// About three seconds of speech without silence around it; None where there is no voice.
fn speech() -> Option<Vec<f32>> {
    let wav = amanuensis_test_support::speak("Please send the report to the office before Friday afternoon")?;
    let mut samples = vec![0.0; 10 * SECOND];
    let count = AudioFile::open(&wav).unwrap().read(&mut samples).unwrap();
    samples.truncate(count);
    let audible = |sample: &f32| sample.abs() > 0.02;
    let (first, last) = (samples.iter().position(audible)?, samples.iter().rposition(audible)?);
    Some(samples[first..=last].to_vec())
}

fn silence(seconds: usize) -> Vec<f32> {
    vec![0.0; seconds * SECOND]
}

#[test]
fn words_grow_while_one_speaks_and_are_settled_in_the_end() {
    let Some(speech) = speech() else { return };
    let mut bench = Bench::new(fake::engine("a", &Gate::default()), Rules::default());
    let feed = bench.begin();
    feed.play(&silence(1));
    feed.play(&speech);
    let live = bench.wait(|event| matches!(event, Event::Live { .. }));
    let Event::Live { tentative, .. } = &live else { unreachable!() };
    assert!(tentative.starts_with("a1"), "{live:?}");
    bench.session.stop();
    // The pre-roll of half a second is a word, and the speech is one for each of its half seconds.
    let expected = 1 + (2 * speech.len()).div_ceil(SECOND);
    let words = bench.words("a");
    assert!(words.abs_diff(expected) <= 1, "{words} words of {expected}");
    feed.wait_for_stop();

    let kinds: Vec<&str> = bench
        .seen
        .iter()
        .filter_map(|event| match event {
            Event::Opening { .. } => Some("opening"),
            Event::MicrophoneLive { .. } => Some("live"),
            Event::Recording { .. } => Some("recording"),
            Event::Stopped { .. } => Some("stopped"),
            Event::Segment { .. } => Some("segment"),
            Event::Finished { .. } => Some("finished"),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, ["opening", "live", "recording", "stopped", "segment", "finished"]);
    let levels: Vec<f32> = bench
        .seen
        .iter()
        .filter_map(|event| if let Event::Level { level } = event { Some(*level) } else { None })
        .collect();
    assert_eq!(levels.len(), (SECOND + speech.len()) / (SECOND / 10));
    assert!(levels[..10].iter().all(|level| *level == 0.0), "{levels:?}");
    assert!(levels[10..].iter().any(|level| *level > 0.5) && levels.iter().all(|level| *level <= 1.0), "{levels:?}");
}

/// Remembers all it is told.
struct Memory(std::sync::mpsc::Sender<Told>);

#[derive(Debug, PartialEq)]
enum Told {
    Begin(TakeId),
    Hear(Vec<f32>),
    End,
}

impl Keep for Memory {
    fn begin(&mut self, take: TakeId) {
        self.0.send(Told::Begin(take)).unwrap();
    }

    fn hear(&mut self, samples: &[f32]) {
        self.0.send(Told::Hear(samples.to_vec())).unwrap();
    }

    fn end(&mut self) {
        self.0.send(Told::End).unwrap();
    }
}

#[test]
fn all_that_is_heard_is_kept_whether_it_is_speech_or_not() {
    let (sender, told) = std::sync::mpsc::channel();
    let mut bench = Bench::keeping(fake::engine("a", &Gate::default()), Rules::default(), Box::new(Memory(sender)));
    bench.session.keep_between(Between::StandBy);
    let numbered = |from: usize| (from..from + SECOND).map(|index| index as f32 / 1e9).collect::<Vec<_>>();
    let feed = bench.begin();
    feed.play(&numbered(0));
    bench.session.stop();
    assert_eq!(bench.outcome(), (1, Outcome::NoSpeech));
    // The microphone is on stand-by: the second take begins with what was heard before it.
    feed.play(&numbered(SECOND));
    bench.session.begin();
    bench.wait(|event| matches!(event, Event::Opening { take: 2 }));
    feed.play(&numbered(2 * SECOND));
    bench.session.stop();
    assert_eq!(bench.outcome(), (2, Outcome::NoSpeech));
    drop(bench);
    let mut takes: Vec<(TakeId, Vec<f32>)> = Vec::new();
    let mut ended = 0;
    for told in told {
        match told {
            Told::Begin(take) => takes.push((take, Vec::new())),
            Told::Hear(samples) => takes.last_mut().unwrap().1.extend(samples),
            Told::End => ended += 1,
        }
    }
    assert_eq!(ended, 2);
    assert_eq!(takes[0], (1, numbered(0)));
    let (take, second) = &takes[1];
    let pre_roll = second.len() - SECOND;
    assert!(*take == 2 && (1..=SECOND / 2).contains(&pre_roll), "{pre_roll} samples from before");
    assert!(second.ends_with(&numbered(2 * SECOND)));
}

#[test]
fn silence_and_noise_are_no_speech() {
    let mut bench = Bench::new(fake::engine("a", &Gate::default()), Rules::default());
    let feed = bench.begin();
    let mut state = 1_u32;
    let noise: Vec<f32> = (0..30 * SECOND)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * 0.1
        })
        .collect();
    feed.play(&silence(30));
    feed.play(&noise);
    bench.session.stop();
    assert_eq!(bench.outcome(), (1, Outcome::NoSpeech));
    assert!(!bench.seen.iter().any(|event| matches!(event, Event::Segment { .. } | Event::Live { .. })));
}

#[test]
fn what_is_spoken_until_the_stop_is_heard_however_late_it_arrives() {
    let Some(speech) = speech() else { return };
    // The tail is long, so that a slow test machine cannot miss it.
    let rules = Rules { tail: Duration::from_secs(2), look_every: Duration::from_secs(60), ..Rules::default() };
    let mut bench = Bench::new(fake::engine("a", &Gate::default()), rules);
    let feed = bench.begin();
    let (before, after) = speech.split_at(SECOND);
    feed.play(before);
    bench.session.stop();
    feed.play(after);
    let words = bench.words("a");
    assert!(words >= 2 * speech.len() / SECOND, "{words} words");
}

#[test]
fn a_microphone_that_cannot_be_opened_is_an_outcome_and_another_can_be_chosen() {
    let Some(speech) = speech() else { return };
    let mut bench = Bench::new(fake::engine("a", &Gate::default()), Rules::default());
    bench.session.choose_microphone(Some("refused".to_owned()));
    bench.session.begin();
    let (_, outcome) = bench.outcome();
    assert!(matches!(&outcome, Outcome::NoMicrophone { reason } if reason.contains("refused")), "{outcome:?}");
    bench.session.choose_microphone(None);
    let feed = bench.begin();
    feed.play(&speech);
    bench.session.stop();
    assert!(bench.words("a") > 2);

    bench.session.choose_microphone(Some("other".to_owned()));
    feed.wait_for_stop();
    let feed = bench.begin();
    assert_eq!(feed.id.as_deref(), Some("other"));
    feed.send(CaptureEvent::Failed(CaptureError::NoMicrophone));
    // The take had already begun to hear nothing when it failed.
    let (_, outcome) = bench.outcome();
    assert!(matches!(outcome, Outcome::NoMicrophone { .. }), "{outcome:?}");
}

#[test]
fn a_microphone_that_goes_away_keeps_what_was_said_and_the_next_take_opens_it_anew() {
    let Some(speech) = speech() else { return };
    let mut bench = Bench::new(fake::engine("a", &Gate::default()), Rules::default());
    let feed = bench.begin();
    feed.play(&speech);
    feed.send(CaptureEvent::Lost(CaptureError::Lost));
    assert!(bench.words("a") >= 2 * speech.len() / SECOND);
    assert!(bench.seen.iter().any(|event| matches!(event, Event::MicrophoneLost { .. })));
    // Without being asked to stop: the channel closes, as it does when the sound system dies.
    drop(feed);
    let feed = bench.begin();
    feed.play(&speech);
    bench.wait(|event| matches!(event, Event::Live { .. }));
    drop(feed);
    assert!(bench.words("a") >= 2 * speech.len() / SECOND);
}

#[test]
fn takes_come_in_the_order_of_the_presses_while_the_engine_is_slow() {
    let Some(speech) = speech() else { return };
    let gate = Gate::default();
    gate.shut();
    let mut bench = Bench::new(fake::engine("a", &gate), Rules::default());
    bench.session.keep_between(Between::StandBy);
    let feed = bench.begin();
    feed.play(&speech);
    bench.session.stop();
    bench.wait(|event| matches!(event, Event::Stopped { take: 1 }));
    bench.session.toggle();
    bench.wait(|event| matches!(event, Event::Opening { take: 2 }));
    feed.play(&speech[..SECOND]);
    bench.session.toggle();
    bench.wait(|event| matches!(event, Event::Stopped { take: 2 }));
    assert!(!bench.seen.iter().any(|event| matches!(event, Event::Finished { .. })));
    gate.open();
    let (first, second) = (bench.words("a"), bench.words("a"));
    assert!(first > second, "{first} words, then {second}");
    drop(bench.session);
    assert!(bench.feeds.is_empty(), "the microphone stood by and was not opened again");
    feed.wait_for_stop();
}

#[test]
fn hands_free_what_is_said_is_written_without_a_press() {
    let Some(speech) = speech() else { return };
    let mut bench = Bench::new(fake::engine("a", &Gate::default()), Rules::default());
    bench.session.keep_between(Between::HandsFree);
    let feed = bench.feeds.recv_timeout(PATIENCE).unwrap();
    let silence = vec![0.0; 3 * SECOND];
    for _ in 0..2 {
        feed.play(&silence);
        feed.play(&speech);
        feed.play(&silence);
        assert!(bench.words("a") >= 2 * speech.len() / SECOND);
    }
    bench.session.keep_between(Between::Closed);
    feed.wait_for_stop();
}

#[test]
fn a_cancelled_take_says_nothing_and_the_question_about_it_is_dropped() {
    let Some(speech) = speech() else { return };
    let gate = Gate::default();
    gate.shut();
    let mut bench = Bench::new(fake::engine("a", &gate), Rules::default());
    let feed = bench.begin();
    feed.play(&speech);
    bench.wait(|event| matches!(event, Event::Level { .. }));
    bench.session.cancel();
    assert_eq!(bench.outcome(), (1, Outcome::Cancelled));
    feed.wait_for_stop();
    gate.open();
    let feed = bench.begin();
    feed.play(&speech);
    bench.session.stop();
    assert!(bench.words("a") >= 2 * speech.len() / SECOND);
    assert!(
        !bench.seen.iter().any(|event| matches!(event, Event::Segment { take: 1, .. } | Event::Live { take: 1, .. }))
    );
}

#[test]
fn another_engine_answers_what_the_first_left_open() {
    let Some(speech) = speech() else { return };
    let gate = Gate::default();
    gate.shut();
    let first = fake::engine("a", &gate);
    let mut bench = Bench::new(first.clone(), Rules::default());
    let feed = bench.begin();
    feed.play(&speech);
    bench.session.stop();
    bench.wait(|event| matches!(event, Event::Stopped { .. }));
    bench.session.use_engine(fake::engine("b", &Gate::default()));
    gate.open();
    first.shutdown(Shutdown::Cancel);
    let (_, outcome) = bench.outcome();
    // The first may just have had the answer when it was ended.
    assert!(matches!(outcome, Outcome::Text(_)), "{outcome:?}");
    feed.wait_for_stop();
    let feed = bench.begin();
    feed.play(&speech);
    bench.session.stop();
    assert!(bench.words("b") > 2);
}

#[test]
fn a_session_that_rests_records_and_the_next_engine_answers() {
    let Some(speech) = speech() else { return };
    let mut bench = Bench::new(fake::engine("a", &Gate::default()), Rules::default());
    bench.session.rest();
    let feed = bench.begin();
    feed.play(&speech);
    bench.session.stop();
    bench.wait(|event| matches!(event, Event::Stopped { .. }));
    bench.session.use_engine(fake::engine("b", &Gate::default()));
    assert!(bench.words("b") > 2);
    assert!(!bench.seen.iter().any(|event| matches!(event, Event::Live { .. })), "nobody was there to be asked");
}

#[test]
fn a_model_for_english_only_is_not_asked_for_another_language() {
    let Some(speech) = speech() else { return };
    let mut bench = Bench::new(fake::engine("a", &Gate::default()), Rules::default());
    let Setup { rules, options, text, .. } = Setup::default();
    bench.session.change(rules, DecodeOptions { language: Some("de".to_owned()), ..options }, text);
    let feed = bench.begin();
    feed.play(&speech);
    bench.session.stop();
    assert!(bench.words("a") > 2);
}

#[test]
fn text_is_written_by_the_rules() {
    let Some(speech) = speech() else { return };
    let (open_microphone, feeds) = fake::microphones();
    let (sender, events) = crossbeam_channel::unbounded();
    let replacement = Replacement { from: "a1 a2".to_owned(), to: "One,".to_owned() };
    let text = TextRules { replacements: vec![replacement], trailing_space: true, ..TextRules::default() };
    let setup = Setup { text, open_microphone, ..Setup::default() };
    let session = Session::start(fake::engine("a", &Gate::default()), setup, move |event| _ = sender.send(event));
    session.begin();
    feeds.recv_timeout(PATIENCE).unwrap().play(&speech);
    session.stop();
    let outcome = std::iter::from_fn(|| events.recv_timeout(PATIENCE).ok()).find_map(|event| match event {
        Event::Finished { outcome: Outcome::Text(text), .. } => Some(text),
        _ => None,
    });
    let text = outcome.unwrap();
    assert!(text.starts_with("One, a3 ") && text.ends_with(' '), "{text:?}");
}

#[test]
fn a_session_goes_by_other_rules_when_it_is_told() {
    let Some(speech) = speech() else { return };
    let mut bench = Bench::new(fake::engine("a", &Gate::default()), Rules::default());
    let replacement = Replacement { from: "a1 a2".to_owned(), to: "One,".to_owned() };
    let text = TextRules { replacements: vec![replacement], ..TextRules::default() };
    bench.session.change(Rules::default(), Setup::default().options, text);
    bench.begin().play(&speech);
    bench.session.stop();
    let (_, outcome) = bench.outcome();
    assert!(matches!(&outcome, Outcome::Text(text) if text.starts_with("One, a3 ")), "{outcome:?}");
}

#[test]
fn a_session_can_be_dropped_in_the_middle_of_everything() {
    let Some(speech) = speech() else { return };
    let gate = Gate::default();
    gate.shut();
    // As everybody has one who starts a session: whoever drops the last handle of an engine waits for it to end.
    let engine = fake::engine("a", &gate);
    let mut bench = Bench::new(engine.clone(), Rules::default());
    let feed = bench.begin();
    feed.play(&speech);
    bench.wait(|event| matches!(event, Event::Recording { .. }));
    let Bench { session, .. } = bench;
    drop(session);
    feed.wait_for_stop();
    gate.open();
}
