//! A dictation session at work: one thread between the microphone, the machine and the engine.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use amanuensis_audio::{CaptureError, CaptureEvent, VoiceDetector};
use amanuensis_engine::{Audio, Engine, Event as JobEvent, Job, Priority, Request, RequestError, SubmitError};
use amanuensis_whisper::{DecodeOptions, SAMPLE_RATE};
use crossbeam_channel::{Receiver, Select, Sender, TryRecvError};

use crate::keep::Kept;
use crate::machine::{Action, Between, LookId, Machine, NoAnswer, Rules};
use crate::microphone::{Ear, OpenMicrophone, hardware};
use crate::{Event, Keep, Outcome, TextRules, guard};

/// Sound over which one level is measured.
const LEVEL_SAMPLES: usize = SAMPLE_RATE as usize / 10;
/// Nobody speaks faster, in any language: tokens of a look, and tokens for each second of it.
const LEAST_TOKENS: usize = 16;
const TOKENS_PER_SECOND: usize = 25;
/// What is called silence on the meter.
const QUIETEST_DB: f32 = -60.0;

/// How a session is to work.
pub struct Setup {
    /// The lengths by which dictation goes.
    pub rules: Rules,
    /// What the microphone does between takes.
    pub between: Between,
    /// How speech is decoded.
    pub options: DecodeOptions,
    /// How text is written. Its vocabulary is the prompt where the options have none.
    pub text: TextRules,
    /// Id of the microphone; None for the default one.
    pub microphone: Option<String>,
    /// How microphones are opened.
    pub open_microphone: OpenMicrophone,
    /// Where what is heard is kept.
    pub keep: Box<dyn Keep>,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Setup").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Default for Setup {
    /// The machine's own microphones, and what is quick to decode: no times, and a second try but no third.
    fn default() -> Self {
        let options = DecodeOptions {
            temperatures: vec![0.0, 0.4],
            best_of: 1,
            timestamps: false,
            condition_on_previous_text: false,
            ..DecodeOptions::default()
        };
        Self {
            rules: Rules::default(),
            between: Between::default(),
            options,
            text: TextRules::default(),
            microphone: None,
            open_microphone: hardware(),
            keep: Box::new(()),
        }
    }
}

/// A running dictation session, the owner of the microphone. Dropping it ends it and throws away what is not finished.
///
/// Its methods only give orders, and return at once; what comes of them is told to the listener.
#[derive(Debug)]
pub struct Session {
    /// None after the end.
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Order {
    Begin,
    Stop,
    Cancel,
    Toggle,
    ChooseMicrophone(Option<String>),
    KeepBetween(Between),
    UseEngine(Engine),
    Rest,
    Change(Box<(Rules, DecodeOptions, TextRules)>),
}

impl Session {
    /// Starts a session. `listener` is called on its thread and must not block: sound waits meanwhile.
    pub fn start(engine: Engine, setup: Setup, listener: impl FnMut(Event) + Send + 'static) -> Self {
        // People give no more orders than this while one is carried out.
        let (orders, receiver) = crossbeam_channel::bounded(64);
        let mut machine = Machine::new(setup.rules);
        machine.keep_between(Duration::ZERO, setup.between);
        let worker = Worker {
            engine: Some(engine),
            options: prompted(setup.options, &setup.text),
            text: setup.text,
            machine,
            ear: Ear::new(setup.open_microphone, setup.microphone),
            kept: Kept::new(setup.keep),
            voice: VoiceDetector::default(),
            level: Level::default(),
            asked: None,
            began: Instant::now(),
            now: Duration::ZERO,
            listener: Box::new(listener),
        };
        let thread = std::thread::Builder::new()
            .name("session".to_owned())
            .spawn(move || worker.run(&receiver))
            .expect("BUG: few threads are running");
        Self { orders: Some(orders), thread: Some(thread) }
    }

    /// Begins a take, unless one is being recorded.
    pub fn begin(&self) {
        self.order(Order::Begin);
    }

    /// Ends the take; what was said is written.
    pub fn stop(&self) {
        self.order(Order::Stop);
    }

    /// Throws away the take being recorded or, if there is none, those still being written.
    pub fn cancel(&self) {
        self.order(Order::Cancel);
    }

    /// Stops if a take is being recorded, else begins one.
    pub fn toggle(&self) {
        self.order(Order::Toggle);
    }

    /// Takes another microphone from now on, or from the next take on if one is being recorded.
    pub fn choose_microphone(&self, id: Option<String>) {
        self.order(Order::ChooseMicrophone(id));
    }

    /// Chooses what the microphone does between takes.
    pub fn keep_between(&self, between: Between) {
        self.order(Order::KeepBetween(between));
    }

    /// Asks another engine from now on. What the one before was asked and has not answered is asked anew if that one is ended.
    pub fn use_engine(&self, engine: Engine) {
        self.order(Order::UseEngine(engine));
    }

    /// Lets go of the engine, so that its memory can be given back. What is asked from now on waits for another one; sound is
    /// recorded all the same.
    pub fn rest(&self) {
        self.order(Order::Rest);
    }

    /// Goes by these from now on, in the middle of a take too. Text that was told before stays as it is.
    pub fn change(&self, rules: Rules, options: DecodeOptions, text: TextRules) {
        self.order(Order::Change(Box::new((rules, options, text))));
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // The thread ends only after the sender was dropped.
            let _ = orders.send(order);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic was printed already, and there is nothing left to clean up.
            let _ = thread.join();
        }
    }
}

struct Worker {
    /// None while the session rests.
    engine: Option<Engine>,
    options: DecodeOptions,
    text: TextRules,
    machine: Machine,
    ear: Ear,
    kept: Kept,
    voice: VoiceDetector,
    level: Level,
    /// The question that is with the engine.
    asked: Option<(LookId, Job)>,
    began: Instant,
    /// Time of what was handled last.
    now: Duration,
    listener: Box<dyn FnMut(Event) + Send>,
}

impl Worker {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            self.act();
            self.wait(orders);
            // Still at the time before: the clock must not end a take, nor an order begin one, while older sound waits.
            self.hear();
            self.now = self.began.elapsed();
            match orders.try_recv() {
                Ok(order) => self.obey(order),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return,
            }
            self.read_answer();
            self.machine.tick(self.now);
        }
    }

    /// Waits for an order, for sound, for the engine, or until it is time for the machine to look at the clock.
    fn wait(&self, orders: &Receiver<Order>) {
        let mut select = Select::new();
        select.recv(orders);
        select.recv(self.ear.events());
        if let Some((_, job)) = &self.asked {
            select.recv(job.events());
        }
        match self.machine.next_deadline().and_then(|deadline| self.began.checked_add(deadline)) {
            // Whether something is ready or it is time is found out anyway.
            Some(deadline) => _ = select.ready_deadline(deadline),
            None => _ = select.ready(),
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Begin => self.machine.start(self.now),
            Order::Stop => self.machine.stop(self.now),
            Order::Cancel => self.machine.cancel(self.now),
            Order::Toggle if self.machine.is_listening() => self.machine.stop(self.now),
            Order::Toggle => self.machine.start(self.now),
            Order::ChooseMicrophone(id) => self.ear.choose(id),
            Order::KeepBetween(between) => self.machine.keep_between(self.now, between),
            Order::Change(change) => {
                let (rules, options, text) = *change;
                self.machine.go_by(rules);
                self.options = prompted(options, &text);
                self.text = text;
            }
            Order::UseEngine(engine) => self.replace_engine(Some(engine)),
            Order::Rest => self.replace_engine(None),
        }
    }

    fn replace_engine(&mut self, engine: Option<Engine>) {
        let before = std::mem::replace(&mut self.engine, engine);
        // If this was its last handle, it ends its threads first, which may take a window's time.
        let dropped = std::thread::Builder::new().name("end engine".to_owned()).spawn(move || drop(before));
        if let Err(error) = dropped {
            tracing::warn!(%error, "the engine was ended while sound waited");
        }
    }

    /// Reads what the engine has said about the question.
    fn read_answer(&mut self) {
        let Some((id, job)) = &self.asked else { return };
        let answer = loop {
            match job.events().try_recv() {
                Ok(JobEvent::Finished(Ok(done))) => {
                    self.text.language.clone_from(&done.transcript.language);
                    break Ok(self.text.apply(&guard::text(&done.transcript)));
                }
                // Not by us, who would have forgotten the question: its engine was ended for another one.
                Ok(JobEvent::Finished(Err(RequestError::Cancelled))) => break Err(NoAnswer::Busy),
                Ok(JobEvent::Finished(Err(error))) => break Err(NoAnswer::Failed(error.to_string())),
                Ok(JobEvent::Started | JobEvent::Segment(_) | JobEvent::Progress { .. }) => {}
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => break Err(NoAnswer::Busy),
            }
        };
        self.machine.answered(self.now, *id, answer);
        self.asked = None;
    }

    /// Takes all the sound that waits.
    fn hear(&mut self) {
        loop {
            match self.ear.events().try_recv() {
                Ok(event) if self.ear.is_open() => self.heard(event),
                Ok(_) => {}
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => self.deaf(),
            }
        }
    }

    fn heard(&mut self, event: CaptureEvent) {
        match event {
            CaptureEvent::Live { device, after } => {
                tracing::info!(device, ms = after.as_millis(), "microphone live");
                (self.listener)(Event::MicrophoneLive { device, after });
            }
            CaptureEvent::Samples(samples) => {
                let Self { machine, kept, voice, level, listener, now, .. } = self;
                kept.hear(&samples, machine.recording().is_some());
                voice.push(&samples, |frame, is_speech| machine.heard(*now, frame, is_speech));
                if machine.recording().is_some() {
                    level.push(&samples, |level| listener(Event::Level { level }));
                }
            }
            CaptureEvent::Gap { length } => {
                tracing::warn!(ms = length.as_millis(), "sound was lost");
                (self.listener)(Event::Gap { length });
            }
            CaptureEvent::Lost(error) | CaptureEvent::Failed(error) => self.lost(&error),
        }
    }

    fn lost(&mut self, error: &CaptureError) {
        tracing::info!(%error, "no microphone");
        let rest = self.voice.finish();
        if !rest.is_empty() {
            self.machine.heard(self.now, &rest, false);
        }
        self.machine.lost(self.now, error.to_string());
        // It would look for the device until it is back, and then listen to nobody.
        self.ear.close();
    }

    /// The microphone has said its last.
    fn deaf(&mut self) {
        if self.ear.is_open() {
            self.lost(&CaptureError::Lost);
        }
        self.voice.finish();
        if let Err(error) = self.ear.closed() {
            self.machine.lost(self.now, error.to_string());
        }
    }

    /// Does what the machine wants done.
    fn act(&mut self) {
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::OpenMicrophone => {
                    self.level = Level::default();
                    if let Err(error) = self.ear.open() {
                        self.machine.lost(self.now, error.to_string());
                    }
                }
                Action::CloseMicrophone => {
                    self.kept.forget();
                    self.ear.close();
                }
                Action::Look { id, samples } => self.look(id, samples),
                Action::Abandon(id) => {
                    // A dropped job is cancelled.
                    self.asked.take_if(|(asked, _)| *asked == id);
                }
                Action::Tell(Event::Finished { take, outcome: Outcome::Text(text) }) => {
                    let outcome = Outcome::Text(self.text.finish(text));
                    (self.listener)(Event::Finished { take, outcome });
                }
                Action::Tell(event) => {
                    self.kept.told(&event);
                    (self.listener)(event);
                }
            }
        }
        // The microphone on stand-by is another one now.
        if self.ear.is_outdated() && self.machine.recording().is_none() {
            self.ear.close();
            if let Err(error) = self.ear.open() {
                self.machine.lost(self.now, error.to_string());
            }
        }
    }

    fn look(&mut self, id: LookId, samples: Vec<f32>) {
        let Some(engine) = &self.engine else {
            self.machine.answered(self.now, id, Err(NoAnswer::Busy));
            return;
        };
        let mut options = self.options.clone();
        // The setting is for models that know several languages; others know English only, and would refuse the rest.
        options.language.take_if(|_| !engine.dims().is_multilingual());
        // A model that has lost its way would fill the window, while the speaker waits.
        options.max_tokens.get_or_insert(LEAST_TOKENS + samples.len() * TOKENS_PER_SECOND / SAMPLE_RATE as usize);
        let request = Request { audio: Audio::Samples(samples), priority: Priority::Live, options, deadline: None };
        match engine.submit(request) {
            Ok(job) => self.asked = Some((id, job)),
            Err(SubmitError::Busy { .. }) => self.machine.answered(self.now, id, Err(NoAnswer::Busy)),
            Err(error @ SubmitError::ShuttingDown) => {
                self.machine.answered(self.now, id, Err(NoAnswer::Failed(error.to_string())));
            }
        }
    }
}

/// The options, with the vocabulary as the prompt where they have none.
fn prompted(mut options: DecodeOptions, text: &TextRules) -> DecodeOptions {
    options.prompt = options.prompt.or_else(|| text.prompt());
    options
}

/// Measures how loud it is.
#[derive(Default)]
struct Level {
    power: f32,
    samples: usize,
}

impl Level {
    fn push(&mut self, samples: &[f32], mut tell: impl FnMut(f32)) {
        for sample in samples {
            self.power += sample * sample;
            self.samples += 1;
            if self.samples == LEVEL_SAMPLES {
                let decibels = 10.0 * (self.power / LEVEL_SAMPLES as f32).log10();
                tell((1.0 - decibels / QUIETEST_DB).clamp(0.0, 1.0));
                *self = Self::default();
            }
        }
    }
}
