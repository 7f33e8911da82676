//! The history at the desk: what is dictated goes into a journal while it is heard, and into the database when it is written.
//!
//! A thread owns the database, for a disk may be slow: [`Past`] gives it orders, and is told what there is to show.

mod calendar;
mod clerk;

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use amanuensis_audio::{AudioFile, SAMPLE_RATE};
use amanuensis_dictation::{Keep, Outcome, Setup, TakeId, TextRules};
use amanuensis_engine::{Engine, Event as JobEvent, Priority, Request, SubmitError};
use amanuensis_history::{EntryId, Transcribed};
use amanuensis_journal::{Folder, Head, Limits, Recorder, Report};
use amanuensis_whisper::DecodeOptions;
use crossbeam_channel::{Receiver, Sender};

use super::files::FileId;
use super::lending::Lent;
use super::{State, failure, said};
use crate::wire::{self, Failure, Fault, Notice, Played, Update};
use clerk::{Clerk, Rules};

/// What the page asks for.
pub enum Ask {
    /// Show the entries in which these words stand, so many of them; or show none any more.
    Look(Option<Look>),
    /// The user's own version of a text.
    Edit(EntryId, String),
    /// Keep an entry, or no longer.
    Pin(EntryId, bool),
    /// Take an entry off the list.
    Delete(EntryId),
    /// Take all entries off the list that are not pinned.
    DeleteAll,
    /// Put back what was taken off the list last.
    Restore,
    /// Write an entry's text, once more or for the first time, with the model of this name or the one in use.
    Transcribe(EntryId, Option<String>),
    /// Keep the sound of a dictation that broke off, without its text.
    Keep(EntryId),
    /// Play the sound of this entry from here on.
    Sound(u32, Duration),
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Words to look for.
    pub typed: String,
    /// How many entries are shown at most.
    pub limit: u32,
}

/// A file that was transcribed, as far as it went.
pub struct FileDone {
    /// Its number in the window.
    pub file: FileId,
    /// Where it lies.
    pub path: PathBuf,
    /// When it was begun with.
    pub started: SystemTime,
    /// How long it is.
    pub length: Duration,
    /// What came of it.
    pub transcribed: Transcribed,
}

/// What there is of a text that was not written to its end.
pub fn broken_off(why: Failure, so_far: Transcribed) -> Transcribed {
    Transcribed { failure: Some(why.detail), fault: Some(why.fault.to_string()), ..so_far }
}

/// What the thread is told.
enum Order {
    Begin(TakeId, Head, PathBuf),
    Journal(TakeId, Report),
    Finished(TakeId, Outcome, Transcribed),
    WrittenInto(TakeId, String),
    File(FileDone),
    Transcribed(EntryId, Transcribed),
    GoBy(Rules),
    Ask(Ask),
    Close,
}

/// What the thread tells.
pub enum News {
    /// What is looked at.
    Shown(Option<wire::History>),
    /// Dictations that broke off and about which nothing was decided.
    Interrupted(Vec<wire::Interrupted>),
    /// The user should know.
    Notice(Notice),
    /// An entry's text is wanted.
    Transcribe(Again),
    /// The sound of this entry lies there, and is to be heard from here on.
    Sound(u32, PathBuf, Duration),
}

/// An entry that waits to be written down.
pub struct Again {
    /// Its number.
    pub id: EntryId,
    /// Where its sound lies.
    pub sound: PathBuf,
    /// Name of the model that is to do it; none for the one in use.
    pub model: Option<String>,
}

/// The history, as the desk knows it. Dropping it ends the thread after all that it was told is done.
pub struct Past {
    orders: Sender<Order>,
    news: Receiver<News>,
    thread: Option<JoinHandle<()>>,
    /// Whether anything is written down.
    on: Arc<AtomicBool>,
    journals: Folder,
    /// Entries whose model is not there yet, in order.
    waiting: VecDeque<Again>,
}

impl Past {
    /// Opens the history in the folder of the program's data. What was interrupted is looked for at once.
    pub fn open(folder: &Path, settings: &amanuensis_settings::History) -> Self {
        // Without a bound, for sound would wait while they wait; they are few.
        let (orders, receiver) = crossbeam_channel::unbounded();
        let (sender, news) = crossbeam_channel::unbounded();
        let journals = Folder::new(folder.join("journal"));
        let (folder, rules, theirs) = (folder.to_owned(), Rules::of(settings), journals.clone());
        let thread = std::thread::Builder::new()
            .name("history".into())
            .spawn(move || Clerk::open(&folder, theirs, rules, sender).run(&receiver))
            .expect("BUG: few threads are running");
        let on = Arc::new(AtomicBool::new(settings.on));
        Self { orders, news, thread: Some(thread), on, journals, waiting: VecDeque::new() }
    }

    /// What there is to tell.
    pub fn news(&self) -> &Receiver<News> {
        &self.news
    }

    /// What a session hands its sound to.
    pub fn keeper(&self) -> Box<dyn Keep> {
        Box::new(Keeper {
            orders: self.orders.clone(),
            on: Arc::clone(&self.on),
            journals: self.journals.clone(),
            recorder: None,
            closing: Vec::new(),
        })
    }

    /// These are the settings from now on.
    pub fn go_by(&self, settings: &amanuensis_settings::History) {
        self.on.store(settings.on, Ordering::Relaxed);
        self.order(Order::GoBy(Rules::of(settings)));
    }

    /// Does what the page asks.
    pub fn ask(&self, ask: Ask) {
        self.order(Order::Ask(ask));
    }

    /// A take is over.
    pub fn finished(&self, take: TakeId, outcome: Outcome, by: Transcribed) {
        self.order(Order::Finished(take, outcome, by));
    }

    /// The text of a take was put into this program.
    pub fn written_into(&self, take: TakeId, application: String) {
        self.order(Order::WrittenInto(take, application));
    }

    /// A file was transcribed.
    pub fn file(&self, done: FileDone) {
        if self.on.load(Ordering::Relaxed) {
            self.order(Order::File(done));
        }
    }

    /// Writes out the sound of an entry, on a thread that ends with the engine.
    fn transcribe(
        &self,
        id: EntryId,
        sound: PathBuf,
        engine: Engine,
        options: DecodeOptions,
        text: TextRules,
        by: Transcribed,
    ) {
        let orders = self.orders.clone();
        let work = move || {
            let result = transcribe(&sound, &engine, options, &text, by);
            let _ = orders.send(Order::Transcribed(id, result));
        };
        // Nobody waits for it: to end the app must not take as long.
        std::thread::Builder::new().name("transcribe again".into()).spawn(work).expect("BUG: few threads are running");
    }

    /// The text of an entry could not be asked for.
    fn not_transcribed(&self, id: EntryId, why: Failure) {
        self.order(Order::Transcribed(id, broken_off(why, Transcribed::default())));
    }

    /// Whether an entry waits for the model in use.
    pub fn waits(&self) -> bool {
        self.waiting.iter().any(|again| again.model.is_none())
    }

    /// Whether an entry waits for this model.
    pub fn wants(&self, model: &str) -> bool {
        self.waiting.iter().any(|again| again.model.as_deref() == Some(model))
    }

    /// Lets an entry wait.
    pub fn wait(&mut self, again: Again) {
        self.waiting.push_back(again);
    }

    fn order(&self, order: Order) {
        // The thread ends only with this.
        let _ = self.orders.send(order);
    }
}

impl Drop for Past {
    fn drop(&mut self) {
        self.order(Order::Close);
        if let Some(thread) = self.thread.take() {
            // A panic was printed already, and there is nothing left to clean up.
            let _ = thread.join();
        }
    }
}

impl State {
    /// Writes out the entries that wait, as far as their models are there.
    pub(super) fn write_again(&mut self) {
        while let Some(again) = self.past.waiting.pop_front() {
            match self.lend(again.model.as_deref()) {
                Lent::Ready(engine, by) => {
                    let Setup { options, text, .. } = self.chosen.setup();
                    self.past.transcribe(again.id, again.sound, engine, options, text, by);
                }
                Lent::Coming => {
                    self.past.waiting.push_front(again);
                    return;
                }
                Lent::Failed(why) => self.past.not_transcribed(again.id, why),
            }
        }
    }

    /// Takes what the history tells.
    pub(super) fn learn(&mut self, news: News) {
        match news {
            News::Notice(notice) => self.tell(notice),
            News::Shown(history) => {
                self.shown.retain(|shown| !matches!(shown, Update::History { .. }));
                if let Some(history) = history {
                    let update = Update::History { history };
                    self.outbox.push(update.clone());
                    self.shown.push(update);
                }
            }
            News::Interrupted(interrupted) => {
                let update = Update::Interrupted { interrupted };
                if !self.shown.contains(&update) {
                    self.shown.retain(|shown| !matches!(shown, Update::Interrupted { .. }));
                    self.outbox.push(update.clone());
                    self.shown.push(update);
                }
            }
            News::Transcribe(again) => self.past.wait(again),
            News::Sound(id, path, from) => self.play(Played::Entry { id }, path, from),
        }
    }
}

/// Writes out a recording. `by` says with what.
fn transcribe(sound: &Path, engine: &Engine, options: DecodeOptions, text: &TextRules, by: Transcribed) -> Transcribed {
    let failed = |why: Failure| broken_off(why, by.clone());
    let job = loop {
        let file = match AudioFile::open(sound) {
            Ok(file) => file,
            Err(error) => return failed(failure(&error)),
        };
        let request =
            Request { audio: file.into(), priority: Priority::Interactive, options: options.clone(), deadline: None };
        match engine.submit(request) {
            Ok(job) => break job,
            Err(SubmitError::Busy { retry_after, .. }) => {
                std::thread::sleep(retry_after.max(Duration::from_millis(100)))
            }
            Err(error) => return failed(failure(&error)),
        }
    };
    let result = job.events().iter().find_map(|event| match event {
        JobEvent::Finished(result) => Some(result),
        JobEvent::Started | JobEvent::Segment(_) | JobEvent::Progress { .. } => None,
    });
    match result {
        Some(Ok(done)) => {
            let mut rules = text.clone();
            rules.language.clone_from(&done.transcript.language);
            let text = rules.apply(&done.transcript.text()).trim().to_owned();
            Transcribed { text, language: Some(done.transcript.language), ..by }
        }
        Some(Err(error)) => failed(failure(&error)),
        None => failed(said(Fault::NotToTheEnd, "the model was changed meanwhile; transcribe it again")),
    }
}

/// Puts what a session hears into journals, one for each take.
struct Keeper {
    orders: Sender<Order>,
    on: Arc<AtomicBool>,
    journals: Folder,
    /// Of the take that is being recorded.
    recorder: Option<Recorder>,
    /// Of takes that have ended, until all is on the disk.
    closing: Vec<Recorder>,
}

impl Keep for Keeper {
    fn begin(&mut self, take: TakeId) {
        self.end();
        self.closing.retain(|recorder| !recorder.is_closed());
        if !self.on.load(Ordering::Relaxed) {
            return;
        }
        let head = Head { sample_rate: SAMPLE_RATE, started: SystemTime::now(), take: take.into() };
        let path = self.journals.new_journal(&head);
        // The row is there before the first sample.
        let _ = self.orders.send(Order::Begin(take, head, path.clone()));
        let orders = self.orders.clone();
        let tell = move |report| _ = orders.send(Order::Journal(take, report));
        match Recorder::start(path, head, Limits::default(), tell) {
            Ok(recorder) => self.recorder = Some(recorder),
            Err(error) => {
                tracing::warn!(%error, "no thread for the journal");
                let _ = self.orders.send(Order::Journal(take, Report::Closed { saved: Duration::ZERO, whole: false }));
            }
        }
    }

    fn hear(&mut self, samples: &[f32]) {
        if let Some(recorder) = &mut self.recorder {
            recorder.push(samples);
        }
    }

    fn end(&mut self) {
        if let Some(recorder) = self.recorder.take() {
            recorder.finish();
            self.closing.push(recorder);
        }
    }
}

/// Takes that are not in the history as a whole yet, by their number.
type Takes = HashMap<TakeId, clerk::Take>;

#[cfg(test)]
mod tests {
    use super::*;

    /// All entries, once the history has done what it was told before.
    fn entries(past: &Past) -> Vec<wire::Entry> {
        past.ask(Ask::Look(Some(Look { typed: String::new(), limit: 10 })));
        loop {
            let news = past.news().recv_timeout(Duration::from_secs(30)).expect("the history says more");
            if let News::Shown(Some(history)) = news {
                return history.entries;
            }
        }
    }

    #[test]
    fn a_file_that_is_tried_again_is_one_entry() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let past = Past::open(folder.path(), &amanuensis_settings::History::default());
        let done = |file, transcribed| FileDone {
            file,
            path: "/a/talk.wav".into(),
            started: SystemTime::now(),
            length: Duration::from_secs(2),
            transcribed,
        };
        let text = |text: &str| Transcribed { text: text.into(), ..Transcribed::default() };
        let why = Failure { fault: Fault::CutOff, detail: "It broke off.".into() };
        past.file(done(1, broken_off(why.clone(), text("One"))));
        let failed = wire::EntryState::Failed { why: why.clone() };
        assert_eq!(entries(&past).iter().map(|entry| &entry.state).collect::<Vec<_>>(), [&failed]);

        past.file(done(1, text("One, two.")));
        past.file(done(2, text("Another file.")));
        let told = entries(&past);
        let texts: Vec<_> = told.iter().map(|entry| (entry.text.as_str(), &entry.state)).collect();
        let over = &wire::EntryState::Done;
        assert_eq!(texts, [("Another file.", over), ("One, two.", over)]);

        // What fails now costs no text, and what was deleted is not brought back.
        past.file(done(1, broken_off(why, text("O"))));
        past.ask(Ask::Delete(EntryId(2)));
        past.file(done(2, text("Another file, again.")));
        let told = entries(&past);
        assert_eq!((told[1].text.as_str(), &told[1].state), ("One, two.", &failed));
        assert_eq!((told[0].id, told[0].text.as_str(), told.len()), (3, "Another file, again.", 2));
    }
}
