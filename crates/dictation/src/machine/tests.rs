use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const BLOCK: usize = SAMPLE_RATE as usize / 10;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A machine with a clock, a microphone of numbered samples, and an engine that answers when told to.
struct Bench {
    machine: Machine,
    now: Duration,
    next_sample: f32,
    /// Samples given as speech while a take was recorded.
    spoken: Vec<f32>,
    /// Samples of each question that is with the engine.
    asked: HashMap<LookId, Vec<f32>>,
    events: Vec<Event>,
    microphone_open: bool,
}

impl Bench {
    fn new(rules: Rules) -> Self {
        Self {
            machine: Machine::new(rules),
            now: Duration::ZERO,
            next_sample: 0.0,
            spoken: Vec::new(),
            asked: HashMap::new(),
            events: Vec::new(),
            microphone_open: false,
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::OpenMicrophone => assert!(!std::mem::replace(&mut self.microphone_open, true)),
                Action::CloseMicrophone => assert!(std::mem::replace(&mut self.microphone_open, false)),
                Action::Look { id, samples } => {
                    assert!(self.asked.is_empty(), "one question at a time");
                    self.asked.insert(id, samples);
                }
                Action::Abandon(id) => assert!(self.asked.remove(&id).is_some(), "only what was asked is abandoned"),
                Action::Tell(event) => self.events.push(event),
            }
        }
    }

    fn keep_between(&mut self, between: Between) {
        self.machine.keep_between(self.now, between);
        self.act();
    }

    fn start(&mut self) {
        self.machine.start(self.now);
        self.act();
    }

    fn stop(&mut self) {
        self.machine.stop(self.now);
        self.act();
    }

    fn hear(&mut self, blocks: usize, speech: bool) {
        for _ in 0..blocks {
            if !self.microphone_open {
                return;
            }
            // Whole numbers up to 2^24 are exact in f32: a sample is its own serial number.
            let samples: Vec<f32> = (0..BLOCK).map(|i| self.next_sample + i as f32).collect();
            self.next_sample += BLOCK as f32;
            self.now += ms(100);
            if speech && self.machine.recording().is_some() {
                self.spoken.extend(&samples);
            }
            self.machine.heard(self.now, &samples, speech);
            self.act();
        }
    }

    fn answer(&mut self, answer: Result<&str, NoAnswer>) -> Option<Vec<f32>> {
        let id = *self.asked.keys().next()?;
        let samples = self.asked.remove(&id);
        self.machine.answered(self.now, id, answer.map(str::to_owned));
        self.act();
        samples
    }

    fn wait(&mut self, length: Duration) {
        self.now += length;
        self.machine.tick(self.now);
        self.act();
    }

    fn outcomes(&self) -> Vec<(TakeId, Outcome)> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Finished { take, outcome } => Some((*take, outcome.clone())),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn words_appear_while_they_are_spoken_and_stay() {
    let mut bench = Bench::new(Rules::default());
    bench.start();
    bench.hear(3, false);
    bench.hear(5, true);
    bench.answer(Ok("Ask not")).unwrap();
    bench.hear(5, true);
    bench.answer(Ok("ask not what")).unwrap();
    assert_eq!(
        bench.events.last().unwrap(),
        &Event::Live { take: 1, committed: "ask not".into(), tentative: "what".into() }
    );
    bench.stop();
    bench.hear(3, false);
    bench.answer(Ok("Ask not what")).unwrap();
    assert_eq!(bench.outcomes(), [(1, Outcome::Text("Ask not what".into()))]);
    assert!(!bench.microphone_open);
}

#[test]
fn a_look_that_heard_all_the_speech_is_not_repeated() {
    let mut bench = Bench::new(Rules::default());
    bench.start();
    bench.hear(7, true);
    bench.answer(Ok("one")).unwrap();
    bench.hear(3, false);
    bench.answer(Ok("one two")).unwrap();
    bench.stop();
    bench.wait(ms(300));
    assert_eq!(bench.outcomes(), [(1, Outcome::Text("one two".into()))]);
}

#[test]
fn the_pre_roll_and_the_tail_are_heard() {
    let mut bench = Bench::new(Rules::default());
    bench.start();
    bench.hear(10, false);
    bench.hear(2, true);
    bench.stop();
    bench.hear(3, true);
    let samples = bench.answer(Ok("word")).unwrap();
    assert_eq!(samples[0], (5 * BLOCK) as f32, "500 ms from before the speech");
    assert_eq!(*samples.last().unwrap(), (15 * BLOCK - 1) as f32, "to the last sample");
}

#[test]
fn silence_asks_nothing_and_says_no_speech() {
    let mut bench = Bench::new(Rules::default());
    bench.start();
    bench.hear(300, false);
    bench.stop();
    bench.hear(3, false);
    assert!(bench.asked.is_empty());
    assert_eq!(bench.outcomes(), [(1, Outcome::NoSpeech)]);
}

#[test]
fn a_second_press_while_the_first_is_written_is_written_after_it() {
    let mut bench = Bench::new(Rules::default());
    bench.start();
    bench.hear(4, true);
    bench.stop();
    bench.wait(ms(300));
    bench.start();
    bench.hear(4, true);
    bench.stop();
    bench.wait(ms(300));
    assert_eq!(bench.outcomes(), []);
    bench.answer(Ok("one")).unwrap();
    bench.answer(Ok("two")).unwrap();
    assert_eq!(bench.outcomes(), [(1, Outcome::Text("one".into())), (2, Outcome::Text("two".into()))]);
}

#[test]
fn a_press_in_the_tail_begins_the_next_take_with_the_microphone_still_open() {
    let mut bench = Bench::new(Rules::default());
    bench.keep_between(Between::StandBy);
    bench.start();
    bench.hear(4, true);
    bench.stop();
    bench.start();
    bench.hear(4, true);
    assert_eq!(bench.machine.recording(), Some(2));
    bench.answer(Ok("one")).unwrap();
    assert_eq!(bench.outcomes(), [(1, Outcome::Text("one".into()))]);
}

#[test]
fn hands_free_a_take_begins_with_speech_and_ends_with_a_pause() {
    let mut bench = Bench::new(Rules::default());
    bench.keep_between(Between::HandsFree);
    assert!(bench.microphone_open);
    bench.hear(20, false);
    assert_eq!(bench.events, [Event::HandsFree { on: true, asked: true }]);
    let first = bench.next_sample;
    bench.hear(10, true);
    assert_eq!(bench.machine.recording(), Some(1));
    bench.hear(20, false);
    assert_eq!(bench.machine.recording(), None);
    let samples = bench.answer(Ok("hello")).unwrap();
    let pre_roll = samples_of(bench.machine.rules.pre_roll) as f32;
    assert!(samples[0] <= first - pre_roll, "what was said before it was known to be speech is not cut");
    assert_eq!(bench.outcomes(), [(1, Outcome::Text("hello".into()))]);
    bench.hear(10, true);
    assert_eq!(bench.machine.recording(), Some(2), "the microphone has stayed open");
}

#[test]
fn hands_free_a_click_begins_nothing() {
    let mut bench = Bench::new(Rules::default());
    bench.keep_between(Between::HandsFree);
    for _ in 0..20 {
        bench.hear(1, true);
        bench.hear(3, false);
    }
    assert_eq!(bench.events, [Event::HandsFree { on: true, asked: true }]);
}

#[test]
fn hands_free_a_take_that_was_begun_by_hand_ends_by_hand() {
    let mut bench = Bench::new(Rules::default());
    bench.keep_between(Between::HandsFree);
    bench.start();
    bench.hear(5, true);
    bench.hear(50, false);
    assert_eq!(bench.machine.recording(), Some(1));
    bench.keep_between(Between::Closed);
    assert_eq!(bench.machine.recording(), Some(1), "what is recorded goes on");
    bench.stop();
    bench.wait(ms(500));
    assert!(!bench.microphone_open);
}

#[test]
fn hands_free_ends_with_the_microphone_and_says_so() {
    let mut bench = Bench::new(Rules::default());
    bench.keep_between(Between::HandsFree);
    bench.hear(5, false);
    bench.microphone_open = false;
    bench.machine.lost(bench.now, "unplugged".into());
    bench.act();
    assert_eq!(
        bench.events[1..],
        [Event::MicrophoneLost { reason: "unplugged".into() }, Event::HandsFree { on: false, asked: false }]
    );
}

#[test]
fn a_lost_microphone_keeps_what_was_said() {
    let mut bench = Bench::new(Rules::default());
    bench.start();
    bench.hear(4, true);
    bench.microphone_open = false;
    bench.machine.lost(bench.now, "unplugged".into());
    bench.act();
    assert!(bench.events.contains(&Event::MicrophoneLost { reason: "unplugged".into() }));
    bench.answer(Ok("kept")).unwrap();
    assert_eq!(bench.outcomes(), [(1, Outcome::Text("kept".into()))]);
}

#[test]
fn a_microphone_that_never_opened_is_told_apart_from_silence() {
    let mut bench = Bench::new(Rules::default());
    bench.start();
    bench.microphone_open = false;
    bench.machine.lost(bench.now, "no device".into());
    bench.act();
    assert_eq!(bench.outcomes(), [(1, Outcome::NoMicrophone { reason: "no device".into() })]);
}

#[test]
fn a_busy_engine_is_asked_again_and_a_failing_one_is_told() {
    let mut bench = Bench::new(Rules::default());
    bench.start();
    bench.hear(4, true);
    bench.stop();
    bench.wait(ms(300));
    bench.answer(Err(NoAnswer::Busy)).unwrap();
    assert!(bench.asked.is_empty(), "not at once");
    bench.wait(PATIENCE);
    bench.answer(Err(NoAnswer::Failed("damaged".into()))).unwrap();
    assert_eq!(bench.outcomes(), [(1, Outcome::Failed { reason: "damaged".into(), text: String::new() })]);
}

#[test]
fn a_stop_in_a_pause_waits_for_what_was_said_before_it() {
    let mut bench = Bench::new(Rules::default());
    bench.start();
    bench.hear(4, true);
    bench.hear(8, false);
    assert!(bench.machine.backlog() > ms(1000));
    bench.stop();
    bench.wait(ms(300));
    assert_eq!(bench.outcomes(), []);
    while bench.answer(Ok("hello")).is_some() {}
    assert_eq!(bench.outcomes(), [(1, Outcome::Text("hello".into()))]);
    assert_eq!(bench.machine.backlog(), Duration::ZERO);
}

#[test]
fn cancel_throws_away_the_take_and_its_questions() {
    let mut bench = Bench::new(Rules::default());
    bench.start();
    bench.hear(8, true);
    assert_eq!(bench.asked.len(), 1);
    bench.machine.cancel(bench.now);
    bench.act();
    assert!(bench.asked.is_empty());
    assert_eq!(bench.outcomes(), [(1, Outcome::Cancelled)]);
}

#[test]
fn an_endless_sentence_is_cut_and_no_sample_is_lost() {
    let mut bench = Bench::new(Rules::default());
    bench.start();
    let mut heard = Vec::new();
    for _ in 0..650 {
        bench.hear(1, true);
        if bench.asked.values().any(|samples| samples.len() as f32 > 30.0 * SAMPLE_RATE as f32) {
            panic!("a look longer than a window");
        }
        if bench.machine.closed.is_empty() {
            bench.answer(Ok("word"));
        } else if let Some(samples) = bench.answer(Ok("word")) {
            heard.extend(samples);
        }
    }
    bench.stop();
    bench.wait(ms(300));
    heard.extend(bench.answer(Ok("word")).unwrap());
    assert_eq!(heard, bench.spoken);
}

#[derive(Debug, Clone)]
enum Step {
    Start,
    Stop,
    Cancel,
    Speech(usize),
    Silence(usize),
    Answer,
    Busy,
    Fail,
    Lose,
    Between(Between),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Start),
        2 => Just(Step::Stop),
        1 => Just(Step::Cancel),
        4 => (1..60usize).prop_map(Step::Speech),
        4 => (1..12usize).prop_map(Step::Silence),
        6 => Just(Step::Answer),
        1 => Just(Step::Busy),
        1 => Just(Step::Fail),
        1 => Just(Step::Lose),
        2 => (0..400u64).prop_map(Step::Wait),
        1 => prop_oneof![Just(Between::Closed), Just(Between::StandBy), Just(Between::HandsFree)].prop_map(Step::Between),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens in whatever order: every take finishes once, in order, and nothing stays behind.
    #[test]
    fn every_take_finishes_once_and_in_order(steps in steps()) {
        let mut bench = Bench::new(Rules::default());
        for step in steps {
            match step {
                Step::Start => bench.start(),
                Step::Stop => bench.stop(),
                Step::Cancel => { bench.machine.cancel(bench.now); bench.act(); }
                Step::Speech(blocks) => bench.hear(blocks, true),
                Step::Silence(blocks) => bench.hear(blocks, false),
                Step::Answer => { bench.answer(Ok("one two")); }
                Step::Busy => { bench.answer(Err(NoAnswer::Busy)); }
                Step::Fail => { bench.answer(Err(NoAnswer::Failed("broken".into()))); }
                Step::Lose => if std::mem::take(&mut bench.microphone_open) {
                    bench.machine.lost(bench.now, "gone".into());
                    bench.act();
                }
                Step::Between(between) => bench.keep_between(between),
                Step::Wait(length) => bench.wait(ms(length)),
            }
        }
        bench.keep_between(Between::Closed);
        bench.stop();
        bench.wait(ms(500));
        for _ in 0..200 {
            bench.answer(Ok("one two"));
            bench.wait(ms(500));
        }
        prop_assert!(bench.asked.is_empty() && bench.machine.recording().is_none());
        prop_assert_eq!(bench.machine.next_deadline(), None);
        let began = bench.events.iter().filter(|event| matches!(event, Event::Opening { .. })).count();
        let finished: Vec<_> = bench.outcomes().into_iter().map(|(take, _)| take).collect();
        prop_assert_eq!(finished, (1..=began as TakeId).collect::<Vec<_>>());
        prop_assert!(!bench.microphone_open);
    }

    /// Every spoken sample is in exactly one final question, in order, whatever the pauses.
    #[test]
    fn no_spoken_sample_is_lost_or_asked_twice(stretches in prop::collection::vec((1..400usize, 1..12usize), 1..8)) {
        let mut bench = Bench::new(Rules::default());
        bench.start();
        let mut final_samples = Vec::new();
        let finals = |bench: &Bench| bench.machine.asked.as_ref().is_some_and(|asked| asked.open_length.is_none());
        for (speech, silence) in stretches {
            for (blocks, speech) in [(speech, true), (silence, false)] {
                for _ in 0..blocks {
                    bench.hear(1, speech);
                    // Looks are left unanswered: only final questions count.
                    while finals(&bench) {
                        final_samples.extend(bench.answer(Ok("word")).unwrap());
                    }
                }
            }
        }
        bench.stop();
        bench.wait(ms(500));
        while finals(&bench) {
            final_samples.extend(bench.answer(Ok("word")).unwrap());
        }
        prop_assert!(final_samples.windows(2).all(|pair| pair[0] < pair[1]), "in order, none twice");
        let mut rest = final_samples.iter();
        prop_assert!(bench.spoken.iter().all(|sample| rest.any(|other| other == sample)), "none lost");
    }
}
