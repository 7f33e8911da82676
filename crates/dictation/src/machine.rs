//! The state machine of dictation: audio, answers and the clock go in; what has to be done comes out.
//!
//! It opens no device, starts no thread and reads no clock, so that a test owns all three.

use std::collections::VecDeque;
use std::time::Duration;

use amanuensis_whisper::SAMPLE_RATE;

use crate::agreement::Agreement;
use crate::{Event, Outcome, TakeId};

/// Number of a question to the engine.
pub type LookId = u64;

/// The lengths by which dictation goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Audio from before the first sound that counts as speech; a voice detector wakes up late.
    pub pre_roll: Duration,
    /// How long audio is still taken after the stop: what was said before it is yet in the device's buffers.
    pub tail: Duration,
    /// Fresh audio after which the growing segment is looked at again.
    pub look_every: Duration,
    /// A pause this long ends a segment.
    pub pause: Duration,
    /// A segment longer than this ends at a [`short_pause`](Self::short_pause).
    pub long: Duration,
    /// A pause that ends a long segment.
    pub short_pause: Duration,
    /// A segment of this length is cut at its quietest moment, for a look must fit one window of 30 s.
    pub longest: Duration,
    /// Less speech than this is a click or a cough.
    pub least_speech: Duration,
    /// Speech that begins a take where speech does: less may be a door, or a word that was said to somebody else.
    pub wake: Duration,
    /// A pause that ends a take which speech began.
    pub hush: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            pre_roll: Duration::from_millis(500),
            tail: Duration::from_millis(250),
            look_every: Duration::from_millis(500),
            pause: Duration::from_millis(700),
            long: Duration::from_secs(12),
            short_pause: Duration::from_millis(250),
            longest: Duration::from_secs(28),
            least_speech: Duration::from_millis(90),
            wake: Duration::from_millis(240),
            hush: Duration::from_millis(1800),
        }
    }
}

/// What the microphone does between takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Between {
    /// It is closed.
    #[default]
    Closed,
    /// It stays open once it was needed, so that the next take has its pre-roll at once.
    StandBy,
    /// It is open, and speech begins a take, which a pause ends.
    HandsFree,
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Open the microphone; its audio is to be [`heard`](Machine::heard), its failure [`lost`](Machine::lost).
    OpenMicrophone,
    /// Close the microphone.
    CloseMicrophone,
    /// Ask the engine for the text of `samples`, and report the answer by [`answered`](Machine::answered).
    Look {
        /// Number of the question.
        id: LookId,
        /// 16 kHz mono.
        samples: Vec<f32>,
    },
    /// The answer to this question is of no use any more.
    Abandon(LookId),
    /// Tell whoever listens.
    Tell(Event),
}

/// Why a question got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// The engine has no room at the moment.
    Busy,
    /// The engine failed: a sentence.
    Failed(String),
}

/// Dictations from the first press to the last word. See the [module](self).
#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    between: Between,
    actions: VecDeque<Action>,
    /// The last audio that is in no segment, up to the pre-roll and what wakes.
    recent: VecDeque<f32>,
    /// Samples of speech, less those of silence after it, while no take is recorded.
    stirring: usize,
    microphone_open: bool,
    recording: Option<Recording>,
    /// Takes that have not finished, in order; the one being recorded is the last.
    takes: VecDeque<Take>,
    /// Segments that wait for their final text, in order.
    closed: VecDeque<Closed>,
    asked: Option<Asked>,
    next_take: TakeId,
    next_look: LookId,
    /// A busy engine is not asked again before this.
    patience: Duration,
}

/// The take whose audio is coming in.
#[derive(Debug, Default)]
struct Recording {
    heard: bool,
    open: Option<Open>,
    /// Set by a stop: when the tail is over.
    until: Option<Duration>,
    /// Speech began it: samples of silence since the last of it.
    quiet: Option<usize>,
}

/// A segment that still grows.
#[derive(Debug, Default)]
struct Open {
    samples: Vec<f32>,
    /// Samples that counted as speech.
    spoken: usize,
    /// Where speech ended last.
    speech_end: usize,
    /// Length at the last look.
    looked_at: usize,
    agreement: Agreement,
    /// The last answer, and the length it is about.
    answer: Option<(usize, String)>,
}

/// A segment that ended.
#[derive(Debug)]
struct Closed {
    take: TakeId,
    samples: Vec<f32>,
    text: Option<String>,
}

/// The question that is with the engine. There is never more than one: looks that pile up would only delay each other.
#[derive(Debug)]
struct Asked {
    id: LookId,
    /// Length of the open segment that it is about; nothing if it is about the first closed one.
    open_length: Option<usize>,
}

#[derive(Debug)]
struct Take {
    id: TakeId,
    text: String,
    failure: Option<String>,
    ended: Option<Ended>,
}

#[derive(Debug, PartialEq)]
enum Ended {
    Stopped,
    Cancelled,
    NoMicrophone(String),
}

/// How long a busy engine is left alone.
const PATIENCE: Duration = Duration::from_millis(200);
/// The moment at which a segment that is too long is cut: this wide, within the last stretch of this length.
const CUT_SAMPLES: usize = SAMPLE_RATE as usize / 50;
const CUT_WITHIN: Duration = Duration::from_secs(2);
const CUT_WITHIN_SAMPLES: usize = CUT_WITHIN.as_secs() as usize * SAMPLE_RATE as usize;

impl Machine {
    /// A machine that nothing has happened to.
    pub fn new(rules: Rules) -> Self {
        assert!(rules.longest > CUT_WITHIN, "a segment must be longer than the stretch in which it is cut");
        Self {
            recent: VecDeque::with_capacity(samples_of(rules.pre_roll) + samples_of(rules.wake)),
            rules,
            between: Between::default(),
            stirring: 0,
            actions: VecDeque::new(),
            microphone_open: false,
            recording: None,
            takes: VecDeque::new(),
            closed: VecDeque::new(),
            asked: None,
            next_take: 1,
            next_look: 1,
            patience: Duration::ZERO,
        }
    }

    /// Goes by other lengths from now on.
    pub fn go_by(&mut self, rules: Rules) {
        assert!(rules.longest > CUT_WITHIN, "a segment must be longer than the stretch in which it is cut");
        self.rules = rules;
    }

    /// The next thing to do.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether a take is being recorded and was not stopped.
    pub fn is_listening(&self) -> bool {
        self.recording.as_ref().is_some_and(|recording| recording.until.is_none())
    }

    /// The take being recorded, its tail included.
    pub fn recording(&self) -> Option<TakeId> {
        self.recording.as_ref().and(self.takes.back()).map(|take| take.id)
    }

    /// Length of the ended segments whose text is not there yet: how far the engine is behind.
    pub fn backlog(&self) -> Duration {
        let samples: usize = self.closed.iter().map(|closed| closed.samples.len()).sum();
        Duration::from_secs_f64(samples as f64 / f64::from(SAMPLE_RATE))
    }

    /// When [`tick`](Self::tick) has something to do at the latest, if nothing else happens.
    pub fn next_deadline(&self) -> Option<Duration> {
        let tail = self.recording.as_ref().and_then(|recording| recording.until);
        let retry = (self.asked.is_none() && !self.closed.is_empty()).then_some(self.patience);
        tail.into_iter().chain(retry).min()
    }

    /// Chooses what the microphone does between takes. What is recorded goes on.
    pub fn keep_between(&mut self, now: Duration, between: Between) {
        if between == self.between {
            return;
        }
        let was_hands_free = self.between == Between::HandsFree;
        self.between = between;
        self.stirring = 0;
        if between == Between::HandsFree {
            self.open_microphone();
        } else if self.recording.is_none() {
            self.close_microphone();
        }
        if was_hands_free || between == Between::HandsFree {
            self.tell(Event::HandsFree { on: between == Between::HandsFree, asked: true });
        }
        self.advance(now);
    }

    /// Begins a take. Does nothing while one is recorded; one that is in its tail ends at once.
    pub fn start(&mut self, now: Duration) {
        match &self.recording {
            Some(Recording { until: None, .. }) => return,
            Some(_) => self.end_recording(Ended::Stopped),
            None => {}
        }
        let id = self.next_take;
        self.next_take += 1;
        self.takes.push_back(Take { id, text: String::new(), failure: None, ended: None });
        self.recording = Some(Recording::default());
        self.stirring = 0;
        self.open_microphone();
        self.tell(Event::Opening { take: id });
        self.advance(now);
    }

    /// Ends the take; audio is taken until the tail is over.
    pub fn stop(&mut self, now: Duration) {
        if let Some(recording) = &mut self.recording {
            recording.until.get_or_insert(now + self.rules.tail);
        }
        self.advance(now);
    }

    /// Throws away the take being recorded or, if there is none, those still being written.
    pub fn cancel(&mut self, now: Duration) {
        if self.recording.is_some() {
            self.end_recording(Ended::Cancelled);
        } else {
            for index in 0..self.takes.len() {
                self.takes[index].ended = Some(Ended::Cancelled);
                self.forget(self.takes[index].id);
            }
        }
        self.advance(now);
    }

    /// Takes a block of audio that is speech, or is not.
    pub fn heard(&mut self, now: Duration, samples: &[f32], speech: bool) {
        let Some(recording) = &mut self.recording else {
            self.overhear(now, samples, speech);
            return;
        };
        if let Some(quiet) = &mut recording.quiet {
            *quiet = if speech { 0 } else { *quiet + samples.len() };
        }
        if !recording.heard {
            recording.heard = true;
            if let Some(take) = self.takes.back() {
                self.actions.push_back(Action::Tell(Event::Recording { take: take.id }));
            }
        }
        if recording.open.is_none() && !speech {
            self.remember(samples);
            self.hush(now);
            return;
        }
        let recent = &mut self.recent;
        let open =
            recording.open.get_or_insert_with(|| Open { samples: recent.drain(..).collect(), ..Open::default() });
        open.samples.extend_from_slice(samples);
        if speech {
            open.spoken += samples.len();
            open.speech_end = open.samples.len();
        }
        let length = open.samples.len();
        let pause = if length > samples_of(self.rules.long) { self.rules.short_pause } else { self.rules.pause };
        if length - open.speech_end >= samples_of(pause) {
            self.close_segment(length);
        } else if length >= samples_of(self.rules.longest) {
            let cut = quietest(&open.samples);
            self.close_segment(cut);
        }
        self.hush(now);
    }

    /// Ends a take that speech began, once it is quiet.
    fn hush(&mut self, now: Duration) {
        let quiet = self.recording.as_ref().and_then(|recording| recording.quiet);
        if quiet.is_some_and(|quiet| quiet >= samples_of(self.rules.hush)) {
            self.end_recording(Ended::Stopped);
        }
        self.advance(now);
    }

    /// Hears what belongs to no take. Where speech begins takes, it may be the beginning of one.
    fn overhear(&mut self, now: Duration, samples: &[f32], speech: bool) {
        self.remember(samples);
        if self.between != Between::HandsFree {
            return;
        }
        self.stirring =
            if speech { self.stirring + samples.len() } else { self.stirring.saturating_sub(samples.len()) };
        if self.stirring < samples_of(self.rules.wake) {
            return;
        }
        let spoken = self.stirring;
        self.start(now);
        let Some(recording) = &mut self.recording else { return };
        let samples: Vec<f32> = self.recent.drain(..).collect();
        let speech_end = samples.len();
        recording.heard = true;
        recording.quiet = Some(0);
        recording.open = Some(Open { samples, spoken, speech_end, ..Open::default() });
        if let Some(take) = self.recording() {
            self.tell(Event::Recording { take });
        }
        self.advance(now);
    }

    /// The microphone failed: what was recorded so far is written, as if by a stop.
    pub fn lost(&mut self, now: Duration, reason: String) {
        self.microphone_open = false;
        self.recent.clear();
        if let Some(recording) = &self.recording {
            if recording.heard {
                self.tell(Event::MicrophoneLost { reason });
                self.end_recording(Ended::Stopped);
            } else {
                self.end_recording(Ended::NoMicrophone(reason));
            }
        } else if self.between == Between::HandsFree {
            self.tell(Event::MicrophoneLost { reason });
        }
        if self.between == Between::HandsFree {
            // It would listen to nobody, and not say so.
            self.between = Between::Closed;
            self.tell(Event::HandsFree { on: false, asked: false });
        }
        self.advance(now);
    }

    /// Takes the engine's answer. One to an abandoned question is ignored.
    pub fn answered(&mut self, now: Duration, id: LookId, answer: Result<String, NoAnswer>) {
        let Some(asked) = self.asked.take_if(|asked| asked.id == id) else { return };
        let take = self.takes.back().map(|take| take.id);
        match (asked.open_length, answer) {
            (Some(length), Ok(text)) => {
                let open = self.recording.as_mut().and_then(|recording| recording.open.as_mut());
                if let (Some(open), Some(take)) = (open, take) {
                    open.agreement.look(&text);
                    open.answer = Some((length, text));
                    let (committed, tentative) = (open.agreement.committed(), open.agreement.tentative());
                    self.tell(Event::Live { take, committed, tentative });
                }
            }
            // The next look asks again, and the final one tells.
            (Some(_), Err(_)) => {}
            (None, Ok(text)) => {
                if let Some(closed) = self.closed.front_mut() {
                    closed.text = Some(text);
                }
            }
            (None, Err(NoAnswer::Busy)) => self.patience = now + PATIENCE,
            (None, Err(NoAnswer::Failed(reason))) => {
                if let Some(closed) = self.closed.pop_front() {
                    self.fail(closed.take, reason);
                }
            }
        }
        self.advance(now);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Duration) {
        self.advance(now);
    }

    fn advance(&mut self, now: Duration) {
        if self.recording.as_ref().and_then(|recording| recording.until).is_some_and(|until| now >= until) {
            self.end_recording(Ended::Stopped);
        }
        self.deliver_texts();
        self.ask(now);
        self.finish_takes();
    }

    /// Hands over the texts of closed segments, from the front.
    fn deliver_texts(&mut self) {
        while let Some(closed) = self.closed.pop_front_if(|closed| closed.text.is_some()) {
            let text = closed.text.unwrap_or_default().trim().to_owned();
            if let Some(take) = self.takes.iter_mut().find(|take| take.id == closed.take) {
                if !take.text.is_empty() && !text.is_empty() {
                    take.text.push(' ');
                }
                take.text.push_str(&text);
            }
            // An empty one too: it says that the live words are void.
            self.tell(Event::Segment { take: closed.take, text });
        }
    }

    /// Asks about the first closed segment or, if none waits, has another look at the open one.
    fn ask(&mut self, now: Duration) {
        if self.asked.is_some() || now < self.patience {
            return;
        }
        if let Some(closed) = self.closed.front() {
            let samples = closed.samples.clone();
            self.submit(samples, None);
            return;
        }
        let least_spoken = samples_of(self.rules.least_speech);
        let look_every = samples_of(self.rules.look_every);
        let Some(open) = self.recording.as_mut().and_then(|recording| recording.open.as_mut()) else { return };
        let fresh = open.samples.len() - open.looked_at;
        // Silence after the last word adds nothing to what was looked at already.
        if open.spoken < least_spoken || fresh < look_every || open.speech_end <= open.looked_at {
            return;
        }
        open.looked_at = open.samples.len();
        let samples = open.samples.clone();
        let length = samples.len();
        self.submit(samples, Some(length));
    }

    fn submit(&mut self, samples: Vec<f32>, open_length: Option<usize>) {
        let id = self.next_look;
        self.next_look += 1;
        self.asked = Some(Asked { id, open_length });
        self.actions.push_back(Action::Look { id, samples });
    }

    /// Ends the open segment at sample `cut`. Speech behind the cut begins the next one.
    fn close_segment(&mut self, cut: usize) {
        let Some(recording) = &mut self.recording else { return };
        let Some(mut open) = recording.open.take() else { return };
        let rest = open.samples.split_off(cut);
        if open.speech_end > cut {
            let speech_end = open.speech_end - cut;
            recording.open = Some(Open { spoken: speech_end, speech_end, samples: rest, ..Open::default() });
            open.speech_end = cut;
        } else {
            self.remember(&rest);
        }
        let asked_length = self.asked.as_ref().and_then(|asked| asked.open_length);
        if open.spoken < samples_of(self.rules.least_speech) {
            if asked_length.is_some() {
                self.abandon();
            }
            return;
        }
        let Some(take) = self.takes.back().map(|take| take.id) else { return };
        // A look that heard all the speech and nothing behind the cut already has the final text, or is fetching it.
        let whole = |length: usize| (open.speech_end..=cut).contains(&length);
        let text = open.answer.and_then(|(length, text)| whole(length).then_some(text));
        match asked_length {
            Some(length) if text.is_none() && whole(length) => {
                if let Some(asked) = &mut self.asked {
                    asked.open_length = None;
                }
            }
            Some(_) => self.abandon(),
            None => {}
        }
        // A failure has already cost this take its text: the audio is kept, and asking on would only fail again.
        if self.takes.back().is_some_and(|take| take.failure.is_none()) {
            self.closed.push_back(Closed { take, samples: open.samples, text });
        } else if self.asked.as_ref().is_some_and(|asked| asked.open_length.is_none()) && self.closed.is_empty() {
            self.abandon();
        }
    }

    fn end_recording(&mut self, how: Ended) {
        let length =
            self.recording.as_ref().and_then(|recording| recording.open.as_ref()).map(|open| open.samples.len());
        let Some(id) = self.recording() else { return };
        match (&how, length) {
            (Ended::Stopped, Some(length)) => self.close_segment(length),
            // Segments that a pause ended are still being written.
            (Ended::Stopped, None) => {}
            _ => self.forget(id),
        }
        self.recording = None;
        if let Some(take) = self.takes.back_mut() {
            take.ended = Some(how);
        }
        if self.between == Between::Closed {
            self.close_microphone();
        }
        self.tell(Event::Stopped { take: id });
    }

    fn open_microphone(&mut self) {
        if !self.microphone_open {
            self.microphone_open = true;
            self.actions.push_back(Action::OpenMicrophone);
        }
    }

    fn close_microphone(&mut self) {
        if self.microphone_open {
            self.microphone_open = false;
            self.recent.clear();
            self.actions.push_back(Action::CloseMicrophone);
        }
    }

    /// Drops all questions about a take.
    fn forget(&mut self, take: TakeId) {
        let about_open = self.asked.as_ref().is_some_and(|asked| asked.open_length.is_some());
        let open_take = self.recording();
        let about_front = !about_open && self.closed.front().is_some_and(|closed| closed.take == take);
        if about_front || (about_open && open_take == Some(take)) {
            self.abandon();
        }
        self.closed.retain(|closed| closed.take != take);
        if let Some(recording) = self.recording.as_mut().filter(|_| open_take == Some(take)) {
            recording.open = None;
        }
    }

    fn fail(&mut self, take: TakeId, reason: String) {
        self.closed.retain(|closed| closed.take != take);
        if let Some(take) = self.takes.iter_mut().find(|other| other.id == take) {
            take.failure = Some(reason);
        }
    }

    fn abandon(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.actions.push_back(Action::Abandon(asked.id));
        }
    }

    /// Takes that ended and wait for nothing, from the front: results come in the order of the presses.
    fn finish_takes(&mut self) {
        while let Some(take) = self.takes.front()
            && take.ended.is_some()
            && self.closed.iter().all(|closed| closed.take != take.id)
        {
            let Some(Take { id, text, failure, ended }) = self.takes.pop_front() else { break };
            let outcome = match (ended, failure) {
                (Some(Ended::Cancelled), _) => Outcome::Cancelled,
                (Some(Ended::NoMicrophone(reason)), _) => Outcome::NoMicrophone { reason },
                (_, Some(reason)) => Outcome::Failed { reason, text },
                (_, None) if text.is_empty() => Outcome::NoSpeech,
                (_, None) => Outcome::Text(text),
            };
            self.tell(Event::Finished { take: id, outcome });
        }
    }

    /// Keeps the newest audio that is in no segment.
    fn remember(&mut self, samples: &[f32]) {
        // What wakes is in it before the take begins, and comes after the pre-roll.
        let hands_free = self.between == Between::HandsFree;
        let wake = if hands_free { samples_of(self.rules.wake) + samples.len() } else { 0 };
        let limit = samples_of(self.rules.pre_roll) + wake;
        let newest = &samples[samples.len().saturating_sub(limit)..];
        let excess = (self.recent.len() + newest.len()).saturating_sub(limit);
        self.recent.drain(..excess);
        self.recent.extend(newest);
    }

    fn tell(&mut self, event: Event) {
        self.actions.push_back(Action::Tell(event));
    }
}

/// Samples of a length of time, rounded down.
fn samples_of(length: Duration) -> usize {
    (length.as_secs_f64() * f64::from(SAMPLE_RATE)) as usize
}

/// The middle of the quietest moment near the end.
fn quietest(samples: &[f32]) -> usize {
    let from = samples.len() - CUT_WITHIN_SAMPLES;
    let energy = |block: &[f32]| block.iter().map(|sample| sample * sample).sum::<f32>();
    let (index, _) = samples[from..]
        .chunks_exact(CUT_SAMPLES)
        .map(energy)
        .enumerate()
        .min_by(|(_, one), (_, other)| one.total_cmp(other))
        .expect("BUG: the stretch is longer than a moment");
    from + index * CUT_SAMPLES + CUT_SAMPLES / 2
}

#[cfg(test)]
mod tests;
