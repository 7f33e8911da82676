//! Everything the window shows and does, on one thread, without Tauri.
//!
//! Every trigger is a [`Message`], an event of the dictation, or one of the file that is being transcribed; what the
//! page has to know leaves through the [`Outbox`].

mod autostart;
mod causes;
pub mod files;
mod history;
mod insertion;
mod key;
mod lending;
mod models;
mod outbox;
mod overlay;
mod performance;
mod player;
mod polish;
mod sensors;
mod settings;
mod shortcut;
mod surroundings;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use amanuensis_audio::{CaptureError, Chime};
use amanuensis_dictation::{Event, Outcome, Session, Setup};
use amanuensis_engine::{Engine, Settings, Shutdown};
use amanuensis_history::Transcribed;
use amanuensis_models::ModelFile;
use amanuensis_settings::Store;
use amanuensis_shortcut::{Shortcut, ShortcutError};
use crossbeam_channel::{Receiver, Sender};

use crate::tray::Face;
use crate::wire::{Device, Failure, Fault, Microphone, Model, Notice, Phase, Played, Said, Take, Update, View};
use causes::failure;
pub use files::Ask as FileAsk;
use files::{Effect, Files};
use history::Past;
pub use history::{Ask as HistoryAsk, Look};
use insertion::{Delivery, Insertion, Tested};
use key::Safe;
use lending::{Guest, Lent};
pub use models::Order as ModelOrder;
use models::{Models, Rest};
use outbox::Outbox;
pub use outbox::Page;
use overlay::Overlay;
pub use overlay::{Curtain, OverlayPage};
use performance::Gauge;
pub use player::Order as Listen;
use player::Player;
use polish::{Polish, Polished};
use settings::Chosen;
pub use settings::{Order, Served};
use surroundings::Surroundings;

/// What can happen to the desk.
pub enum Message {
    /// The page asks what is new; the first time, everything.
    Ask { first: bool, page: Page },
    /// The page can or cannot be seen.
    Visible(bool),
    /// The overlay's page asks what to show.
    AskOverlay { first: bool, page: OverlayPage },
    /// The window has the focus, or no longer has it.
    Focused(bool),
    /// A file is, or is no longer, dragged over the window.
    Dragging(bool),
    /// Recordings are to be transcribed: dropped on the window, chosen, or named on the command line.
    Open(Vec<PathBuf>),
    /// Begin a dictation.
    Start,
    /// End the dictation.
    Stop,
    /// The one of the two that makes sense.
    Toggle,
    /// Throw the dictation away.
    Cancel,
    /// Record from this microphone, or from the default one.
    ChooseMicrophone(Option<String>),
    /// About the recordings in files.
    Files(FileAsk),
    /// Put a text on the clipboard.
    Copy(String),
    /// The notice of this number was read.
    DismissNotice(u32),
    /// The page shows, or no longer shows, what the machine does.
    WatchPerformance(bool),
    /// Something is to be done about the models, or was.
    Models(ModelOrder),
    /// Something is to be done about the settings.
    Settings(Order),
    /// The local API was started or ended.
    Served(Served),
    /// Something is asked of the history.
    History(HistoryAsk),
    /// A recording is to be heard, or is.
    Listen(Listen),
    /// The model was read, or cannot be.
    Loaded(Result<Loaded, Failure>),
    /// The same of a model that is wanted beside it.
    GuestLoaded(String, Result<Loaded, Failure>),
    /// The microphones there are.
    Microphones(Result<Vec<amanuensis_audio::Device>, CaptureError>),
    /// A text was put into another program, or could not be.
    Inserted(Delivery),
    /// A language model has gone over a dictation, or could not.
    Polished(Polished),
    /// Where the language model's key lies, and whether another one was kept.
    Key(key::Answer),
    /// It is to be found out which ways of inserting work.
    TestInsertion,
    /// The answer to that.
    InsertionTested(Tested),
    /// The shortcut is listened for, or cannot be.
    Listening(Result<Shortcut, ShortcutError>),
    /// The app ends.
    Close,
}

/// A model at work.
pub struct Loaded {
    file: ModelFile,
    engine: Engine,
}

/// Reads the model that is chosen and starts an engine on it.
///
/// # Errors
/// Why it cannot be used.
pub fn load_model(chosen: &amanuensis_settings::Model) -> Result<Loaded, Failure> {
    let file = amanuensis_models::choose(chosen.name.as_deref()).map_err(|cause| failure(&cause))?;
    let speech = amanuensis_backends::open(&file, &settings::choice(chosen)).map_err(|cause| failure(&cause))?;
    let engine = Engine::start(speech, Settings::default()).map_err(|cause| failure(&cause))?;
    Ok(Loaded { file, engine })
}

/// How a model is read.
type Load = Arc<dyn Fn(&amanuensis_settings::Model) -> Result<Loaded, Failure> + Send + Sync>;

/// What the desk wants of the desktop around it.
#[derive(Debug, Clone, PartialEq)]
pub enum Errand {
    /// Something is to be done with the overlay's window.
    Overlay(Curtain),
    /// The tray is to show this, or nothing.
    Tray(Option<Face>),
    /// A sound is to be heard.
    Sound(Chime),
    /// The desktop is to say something.
    Notify {
        /// What it is about.
        summary: String,
        /// What is the matter.
        body: String,
    },
}

/// Who runs the desk's errands. It must not keep the desk waiting.
type Run = Box<dyn Fn(Errand) + Send>;

/// The running desk.
pub struct Desk {
    inbox: Sender<Message>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Desk {
    /// Starts the thread, and another one that loads the model. The program's data are in `data`, the settings in `store`.
    /// `run` does what is wanted of the desktop, without making the desk wait.
    pub fn start(
        data: &Path,
        store: Store,
        load: impl Fn(&amanuensis_settings::Model) -> Result<Loaded, Failure> + Send + Sync + 'static,
        run: impl Fn(Errand) + Send + 'static,
    ) -> Self {
        // More messages than this wait only if the desk hangs, and then waiting is the only truthful answer.
        let (inbox, messages) = crossbeam_channel::bounded(64);
        let mut state = State::new(inbox.clone(), data, store, Arc::new(load), Box::new(run));
        state.open_model();
        let thread = std::thread::Builder::new()
            .name("desk".into())
            .spawn(move || state.run(&messages))
            .expect("BUG: a thread can be started while the app starts");
        Self { inbox, thread: std::sync::Mutex::new(Some(thread)) }
    }

    /// Hands over a message.
    pub fn send(&self, message: Message) {
        // After the end nobody is there to be told.
        let _ = self.inbox.send(message);
    }

    /// Ends the thread, and with it dictation and engine.
    pub fn close(&self) {
        self.send(Message::Close);
        let thread = self.thread.lock().map(|mut thread| thread.take());
        if let Ok(Some(thread)) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.close();
    }
}

struct State {
    inbox: Sender<Message>,
    load: Load,
    chosen: Chosen,
    run_errand: Run,
    outbox: Outbox,
    overlay: Overlay,
    surroundings: Surroundings,
    view: View,
    takes: Vec<Take>,
    files: Files,
    /// What the page shows of the history, and what was interrupted.
    shown: Vec<Update>,
    /// Ends before the engine.
    session: Option<Session>,
    /// What the session tells. Without a bound, for sound would wait while it waits; it has little to tell.
    dictation: Receiver<Event>,
    /// The other end, for the session.
    listener: Sender<Event>,
    engine: Option<Engine>,
    models: Models,
    rest: Rest,
    /// A model beside the one in use, while somebody wants it.
    guest: Option<Guest>,
    player: Player,
    polish: Polish,
    safe: Safe,
    /// A start that was asked for before the model was read.
    start_when_ready: bool,
    /// A thread is looking for microphones.
    looking: bool,
    clipboard: Option<arboard::Clipboard>,
    insertion: Insertion,
    shortcut: Option<Shortcut>,
    gauge: Gauge,
    /// When the gauge is looked at next; never, if the page does not show it.
    next_look: Option<Instant>,
    /// When the button was pressed, until the first sample is here.
    pressed: Option<Instant>,
    /// When a stop was asked for, until it is over.
    stopped: Option<Instant>,
    /// When the dictations were stopped that are not yet written out, in order.
    ended: VecDeque<Instant>,
    /// Ends after the session, whose sound it keeps.
    past: Past,
}

impl State {
    fn new(inbox: Sender<Message>, data: &Path, store: Store, load: Load, run_errand: Run) -> Self {
        let (listener, dictation) = crossbeam_channel::unbounded();
        let (chosen, notice) = Chosen::open(store);
        let past = Past::open(data, &chosen.settings().history);
        Self {
            load,
            listener,
            dictation,
            files: Files::new(inbox.clone(), chosen.settings()),
            insertion: Insertion::new(inbox.clone(), &chosen.settings().insertion),
            shortcut: None,
            models: Models::new(inbox.clone()),
            rest: Rest::default(),
            guest: None,
            player: Player::new(inbox.clone()),
            polish: Polish::new(inbox.clone()),
            safe: Safe::new(chosen.key_file()),
            inbox,
            run_errand,
            outbox: Outbox::default(),
            overlay: Overlay::default(),
            surroundings: Surroundings::default(),
            view: View {
                phase: Phase::Idle,
                writing: 0,
                hands_free: false,
                model: Model::Loading,
                microphones: Vec::new(),
                microphone: chosen.settings().dictation.microphone.clone(),
                dropping: false,
                notices: notice.into_iter().collect(),
            },
            chosen,
            takes: Vec::new(),
            session: None,
            engine: None,
            start_when_ready: false,
            looking: false,
            clipboard: None,
            gauge: Gauge::default(),
            next_look: None,
            pressed: None,
            stopped: None,
            ended: VecDeque::new(),
            shown: Vec::new(),
            past,
        }
    }

    fn run(mut self, messages: &Receiver<Message>) {
        self.look_for_microphones();
        self.models.look();
        if self.chosen.settings().interface.autostart {
            // Where the program lies may have changed.
            self.set_autostart(true);
        }
        if self.chosen.settings().post_processing.on {
            self.look_for_key();
        }
        self.listen_for_keys();
        loop {
            let now = Instant::now();
            self.advance_files(now);
            self.write_again();
            self.let_guest_go();
            self.look_at_performance(now);
            self.rest_if_idle(now);
            self.send_news(now);
            self.tell_surroundings();
            if let Some(curtain) = self.overlay.advance(now) {
                (self.run_errand)(Errand::Overlay(curtain));
            }
            let look = self.next_look.filter(|_| self.outbox.watched());
            let own = self.outbox.due(now).into_iter().chain(self.overlay.due(now)).chain(look);
            let due = own.chain(self.files.due()).chain(self.rest.due()).min();
            let alarm = due.map_or_else(crossbeam_channel::never, crossbeam_channel::at);
            crossbeam_channel::select! {
                recv(messages) -> message => match message {
                    Ok(Message::Close) | Err(_) => break,
                    Ok(message) => self.handle(message),
                },
                recv(self.dictation) -> event => {
                    if let Ok(event) = event {
                        self.dictated(event);
                    }
                }
                recv(self.files.events()) -> event => {
                    if let Some(done) = self.files.happened(event.ok(), Instant::now()) {
                        self.past.file(done);
                    }
                    self.note_fallback();
                }
                recv(self.past.news()) -> news => {
                    if let Ok(news) = news {
                        self.learn(news);
                    }
                }
                recv(alarm) -> _ => {}
            }
        }
        self.session = None;
        self.end_serving();
        if let Some(engine) = self.engine {
            engine.shutdown(Shutdown::Cancel);
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Ask { first, page } => {
                if first {
                    // A new page shows dictations at first.
                    self.next_look = None;
                    self.models.show(false);
                }
                self.outbox.ask(first, page);
            }
            Message::Visible(visible) => {
                self.outbox.set_visible(visible);
                self.models.tell_again();
                self.look_for_microphones();
            }
            Message::AskOverlay { first, page } => self.overlay.ask(first, page),
            Message::Focused(focused) => {
                self.overlay.set_own_focus(focused);
                self.insertion.set_own_focus(focused);
                // What is plugged in may have changed meanwhile.
                if focused {
                    self.look_for_microphones();
                }
            }
            Message::Inserted(delivery) => self.inserted(delivery),
            Message::Polished(polished) => self.polished(polished),
            Message::Key(answer) => self.told_of_key(answer),
            Message::TestInsertion => self.test_insertion(),
            Message::InsertionTested(tested) => self.insertion_tested(tested),
            Message::Listening(result) => self.listening(result),
            Message::Dragging(over) => self.view.dropping = over,
            Message::Open(paths) => {
                self.view.dropping = false;
                self.files(FileAsk::Add(paths));
            }
            Message::Start => self.start(),
            Message::Stop => {
                self.start_when_ready = false;
                if let Some(session) = &self.session {
                    if self.view.phase != Phase::Idle {
                        self.stopped.get_or_insert_with(Instant::now);
                    }
                    session.stop();
                }
            }
            Message::Toggle if self.view.phase == Phase::Idle && !self.start_when_ready => self.start(),
            Message::Toggle => self.handle(Message::Stop),
            Message::Cancel => {
                self.start_when_ready = false;
                if let Some(session) = &self.session {
                    session.cancel();
                }
            }
            Message::ChooseMicrophone(id) => self.choose_microphone(id),
            Message::Models(order) => self.about_models(order),
            Message::Settings(order) => self.settle(order),
            Message::Served(served) => self.served(served),
            Message::Files(ask) => self.files(ask),
            Message::Copy(text) => _ = self.copy(text),
            Message::DismissNotice(id) => self.view.notices.retain(|notice| notice.id != id),
            Message::WatchPerformance(watched) => {
                self.gauge.pause();
                self.next_look = watched.then(Instant::now);
            }
            Message::History(ask) => self.past.ask(ask),
            Message::Listen(order) => self.listen(order),
            Message::GuestLoaded(name, result) => self.guest_loaded(&name, result),
            Message::Loaded(result) => self.loaded(result),
            Message::Microphones(found) => self.found_microphones(found),
            Message::Close => unreachable!("BUG: the loop ends with it"),
        }
    }

    /// Sends what changed since the last time.
    fn send_news(&mut self, now: Instant) {
        self.tell_of_models();
        let Self { outbox, overlay, view, takes, files, chosen, insertion, models, player, safe, shown, .. } = self;
        let device = match &view.model {
            Model::Ready { device, .. } => Some(device.kind),
            _ => None,
        };
        overlay.set_means(device, chosen.settings());
        outbox.show(view);
        files.take_news().into_iter().for_each(|news| outbox.push(news));
        outbox.flush(now, || {
            let texts = Update::Texts { takes: takes.clone() };
            let own = [chosen.shown(models, safe), insertion.shown(), player.shown(), texts].into_iter();
            own.chain(files.whole()).chain(shown.iter().cloned()).collect()
        });
    }

    fn look_at_performance(&mut self, now: Instant) {
        let Some(engine) = &self.engine else { return };
        if self.outbox.watched() && self.next_look.is_some_and(|next| now >= next) {
            self.next_look = Some(now + performance::PERIOD);
            if let Some(performance) = self.gauge.look(engine, now) {
                self.outbox.push(Update::Performance { performance });
            }
        }
    }

    fn start(&mut self) {
        match &self.session {
            Some(session) => {
                // What nobody could see stays.
                if self.outbox.watched() {
                    self.view.notices.clear();
                }
                if self.view.phase == Phase::Idle {
                    self.pressed = Some(Instant::now());
                }
                session.begin();
            }
            None => match &self.view.model {
                Model::Failed { why } => self.tell(Notice::error(Said::NoModel, why.clone())),
                Model::Loading | Model::Ready { .. } => self.start_when_ready = true,
            },
        }
    }

    fn use_model(&mut self, Loaded { file, engine }: Loaded) {
        let device = Device::from(engine.device());
        let multilingual = engine.dims().is_multilingual();
        self.view.model = Model::Ready { name: file.name, demo: file.demo, multilingual, device, fallback: None };
        self.use_engine_for_others(&engine);
        match &self.session {
            Some(session) => session.use_engine(engine.clone()),
            None => {
                let listener = self.listener.clone();
                let setup = Setup { keep: self.past.keeper(), ..self.chosen.setup() };
                let tell = move |event| _ = listener.send(event);
                // The receiver is dropped after the session.
                self.session = Some(Session::start(engine.clone(), setup, tell));
            }
        }
        if let Some(before) = self.engine.replace(engine) {
            settings::retire(before);
        }
        self.note_fallback();
        if std::mem::take(&mut self.start_when_ready) {
            self.start();
        }
    }

    fn files(&mut self, ask: FileAsk) {
        match self.files.handle(ask, Instant::now()) {
            Some(Effect::Tell(notice)) => self.tell(notice),
            Some(Effect::Copy(text)) => _ = self.copy(text),
            None => {}
        }
        // What is not there any more is not heard any more.
        if let Some(Played::File { id }) = self.player.played()
            && self.files.path_of(id).is_none()
        {
            self.listen(Listen::Silence);
        }
    }

    /// Begins with the next file, if none is being worked on and its model is there.
    fn advance_files(&mut self, now: Instant) {
        while let Some((id, model)) = self.files.next(now) {
            match self.lend(model.as_deref()) {
                Lent::Ready(engine, by) => self.files.begin(id, engine, by),
                Lent::Coming => return,
                Lent::Failed(why) => self.files.fail(id, why),
            }
        }
    }

    fn look_for_microphones(&mut self) {
        if !std::mem::replace(&mut self.looking, true) {
            report(&self.inbox, "find microphones", || Message::Microphones(amanuensis_audio::devices()));
        }
    }

    fn found_microphones(&mut self, found: Result<Vec<amanuensis_audio::Device>, CaptureError>) {
        self.looking = false;
        let mut microphones: Vec<_> = found
            .unwrap_or_else(|error| {
                // Pressing the button will say so too, when it matters.
                tracing::info!("{error}");
                Vec::new()
            })
            .into_iter()
            .map(|device| Microphone { id: device.id, name: device.name })
            .collect();
        // The chosen one stays in the list while it is unplugged.
        let chosen = |microphone: &&Microphone| Some(&microphone.id) == self.view.microphone.as_ref();
        if microphones.iter().find(chosen).is_none() {
            microphones.extend(self.view.microphones.iter().find(chosen).cloned());
        }
        self.view.microphones = microphones;
    }

    fn dictated(&mut self, event: Event) {
        self.overlay.happened(&event, Instant::now());
        self.sound(&event);
        match event {
            Event::Opening { take } => {
                self.view.phase = Phase::Opening;
                self.takes.push(Take { id: take, ..Take::default() });
            }
            Event::Recording { .. } => {
                self.view.phase = Phase::Recording;
                if let Some(pressed) = self.pressed.take() {
                    self.gauge.first_sample.push(pressed.elapsed());
                }
            }
            Event::MicrophoneLive { .. } => {}
            Event::HandsFree { on, asked } => {
                self.view.hands_free = on;
                // What was asked for may be the choice before the last one.
                if !asked {
                    self.end_hands_free();
                }
            }
            Event::Gap { length } => {
                self.tell(Notice::warning(Said::SoundLost { seconds: length.as_secs_f32() }));
            }
            Event::Level { level } => self.outbox.push(Update::Level { level }),
            Event::Live { take, committed, tentative } => self.set_live(take, committed, tentative),
            Event::Segment { take, text } => {
                if let Some(known) = self.take(take) {
                    known.text = joined(&known.text, &text);
                    known.committed.clear();
                    known.tentative.clear();
                }
                self.outbox.push(Update::Text { take, text });
            }
            Event::MicrophoneLost { reason } => {
                self.tell(Notice::error(Said::MicrophoneLost, said(Fault::MicrophoneGone, &reason)));
                self.look_for_microphones();
            }
            Event::Stopped { .. } => {
                self.view.phase = Phase::Idle;
                self.view.writing += 1;
                // One that ended by itself was not waited for before.
                self.ended.push_back(self.stopped.take().unwrap_or_else(Instant::now));
                self.outbox.push(Update::Level { level: 0.0 });
            }
            Event::Finished { take, outcome } => {
                let ended = self.ended.pop_front();
                if let (Outcome::Text(_), Some(ended)) = (&outcome, ended) {
                    self.gauge.last_word.push(ended.elapsed());
                }
                let waited = ended.map(|ended| ended.elapsed());
                let by = Transcribed { waited, ..self.by() };
                self.written(take, outcome, by);
                self.note_fallback();
            }
        }
    }

    /// With what is transcribed.
    fn by(&self) -> Transcribed {
        match &self.view.model {
            Model::Ready { name, device, .. } => Transcribed {
                model: Some(name.clone()),
                device: Some(device.kind.to_string()),
                ..Transcribed::default()
            },
            Model::Loading | Model::Failed { .. } => Transcribed::default(),
        }
    }

    /// Nothing more will come of a dictation.
    fn over(&mut self, take: u32, outcome: Outcome, by: Transcribed) {
        self.view.writing = self.view.writing.saturating_sub(1);
        self.past.finished(take, outcome.clone(), by);
        self.tell_of_dictation(&outcome);
        match outcome {
            Outcome::Text(text) => self.insertion.insert(take, text),
            // Nobody has pressed anything, and nobody waits for words.
            Outcome::NoSpeech if self.chosen.settings().dictation.hands_free => {}
            Outcome::NoSpeech => {
                // A message that the microphone is gone says more.
                if self.view.notices.is_empty() {
                    self.tell(Notice::info(Said::NoSpeech));
                }
            }
            Outcome::Cancelled => {
                self.takes.retain(|known| known.id != take);
                self.outbox.push(Update::Forget { take });
                self.tell(Notice::info(Said::ThrownAway));
            }
            Outcome::NoMicrophone { reason } => {
                self.tell(Notice::error(Said::NoMicrophone, said(Fault::NoMicrophone, &reason)));
                self.look_for_microphones();
            }
            Outcome::Failed { reason, .. } => {
                self.tell(Notice::error(Said::NotWritten, said(Fault::EngineFailed, &reason)));
            }
        }
    }

    /// Shows why another device than the preferred one encodes, if one does.
    fn note_fallback(&mut self) {
        if let (Some(engine), Model::Ready { fallback, .. }) = (&self.engine, &mut self.view.model) {
            *fallback = engine.snapshot().stages.iter().find_map(|stage| stage.fallback.as_ref().map(failure));
        }
    }

    fn set_live(&mut self, take: u32, committed: String, tentative: String) {
        if let Some(known) = self.take(take) {
            known.committed.clone_from(&committed);
            known.tentative.clone_from(&tentative);
        }
        self.outbox.push(Update::Live { take, committed, tentative });
    }

    fn take(&mut self, id: u32) -> Option<&mut Take> {
        self.takes.iter_mut().rev().find(|take| take.id == id)
    }

    /// Shows a notice, above those that are there.
    fn tell(&mut self, notice: Notice) {
        notice.join(&mut self.view.notices);
    }

    /// The clipboard is kept: what was copied is gone with the program that offered it.
    /// Returns whether it is there.
    fn copy(&mut self, text: String) -> bool {
        let copied = match &mut self.clipboard {
            Some(clipboard) => clipboard.set_text(text),
            None => arboard::Clipboard::new().and_then(|clipboard| self.clipboard.insert(clipboard).set_text(text)),
        };
        if let Err(cause) = copied {
            self.tell(Notice::error(Said::NotCopied, failure(&cause)));
            return false;
        }
        true
    }
}

/// Does something that takes time on a thread of its own, and reports what came of it.
fn report(inbox: &Sender<Message>, name: &str, work: impl FnOnce() -> Message + Send + 'static) {
    let inbox = inbox.clone();
    // The desk may have been closed meanwhile. Nobody waits for the thread: to end the app must not take as long.
    let work = move || _ = inbox.send(work());
    std::thread::Builder::new().name(name.into()).spawn(work).expect("BUG: few threads are running");
}

/// What went wrong, in words of which only the text is left.
fn said(fault: Fault, reason: &str) -> Failure {
    Failure { fault, detail: sentence(reason) }
}

/// A cause as a sentence of its own: errors begin small and have no full stop.
fn sentence(cause: &(impl std::fmt::Display + ?Sized)) -> String {
    let text = cause.to_string();
    let mut letters = text.trim().chars();
    let Some(first) = letters.next() else { return String::new() };
    let stop = if text.trim().ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{}{stop}", first.to_uppercase(), letters.as_str())
}

/// Milliseconds, of which 32 bits count for seven weeks.
fn millis(time: std::time::Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// Two stretches of text with one space between them.
fn joined(first: &str, second: &str) -> String {
    let (first, second) = (first.trim(), second.trim());
    let space = if first.is_empty() || second.is_empty() { "" } else { " " };
    format!("{first}{space}{second}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use amanuensis_settings::{Settings, Store};

    use super::{Desk, FileAsk, Message, Order, joined, sentence};
    use crate::wire::{Failure, Fault, FileState, Model, Notice, Said, Update, View};

    fn no_model() -> Failure {
        Failure { fault: Fault::NoModel, detail: "There is no model. Put one there.".to_owned() }
    }

    /// A desk without settings and without a model.
    fn desk(data: &Path) -> Desk {
        Desk::start(data, Store::at("/nowhere/settings.json".into()), |_| Err(no_model()), |_| {})
    }

    /// The first update that fits, told to a new page; the desk has to come to it without being asked for it.
    fn wait_for<T>(desk: &Desk, fits: impl FnMut(Update) -> Option<T> + Copy) -> T {
        let mut first = true;
        loop {
            let (sender, updates) = channel();
            desk.send(Message::Ask { first, page: Box::new(move |news| _ = sender.send(news)) });
            first = false;
            let news = updates.recv_timeout(Duration::from_secs(30)).expect("the desk says more");
            if let Some(found) = news.into_iter().rev().find_map(fits) {
                return found;
            }
        }
    }

    fn view_of(desk: &Desk, fits: impl Fn(&View) -> bool + Copy) -> View {
        wait_for(desk, |update| if let Update::View { view } = update { Some(view).filter(fits) } else { None })
    }

    #[test]
    fn without_a_model_files_say_why_and_can_be_taken_off_the_list() {
        let data = tempfile::tempdir().expect("a temporary folder");
        let desk = desk(data.path());
        desk.send(Message::Open(vec!["/a/talk.flac".into()]));
        let failed = |update| match update {
            Update::File { file } => Some(file).filter(|file| matches!(file.state, FileState::Failed { .. })),
            Update::Files { files } => files.into_iter().find(|file| matches!(file.state, FileState::Failed { .. })),
            _ => None,
        };
        let file = wait_for(&desk, failed);
        assert_eq!((file.name.as_str(), file.state), ("talk.flac", FileState::Failed { why: no_model() }));
        let gone = |update| if let Update::Files { files } = update { files.is_empty().then_some(()) } else { None };
        desk.send(Message::Files(FileAsk::Drop(file.id)));
        wait_for(&desk, gone);
        desk.send(Message::Open(vec!["/a/talk.flac".into(), "/a/more.flac".into()]));
        wait_for(&desk, failed);
        desk.send(Message::Files(FileAsk::Clear));
        wait_for(&desk, gone);
    }

    #[test]
    fn a_start_without_a_model_says_why_until_it_is_dismissed() {
        let data = tempfile::tempdir().expect("a temporary folder");
        let desk = desk(data.path());
        view_of(&desk, |view| view.model != Model::Loading);
        desk.send(Message::Start);
        let told = view_of(&desk, |view| !view.notices.is_empty()).notices;
        assert_eq!(told, [Notice { id: 1, ..Notice::error(Said::NoModel, no_model()) }]);
        desk.send(Message::DismissNotice(2));
        desk.send(Message::DismissNotice(1));
        view_of(&desk, |view| view.notices.is_empty());
    }

    #[test]
    fn settings_are_kept_and_impossible_ones_are_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::at(folder.path().join("settings.json"));
        let desk = Desk::start(folder.path(), store.clone(), |_| Err(no_model()), |_| {});
        let mut settings = Settings::default();
        settings.dictation.microphone = Some("headset".into());
        desk.send(Message::Settings(Order::Change(Box::new(settings.clone()), 1)));
        view_of(&desk, |view| view.microphone.as_deref() == Some("headset"));
        let mut impossible = settings.clone();
        impossible.server.port = 1;
        desk.send(Message::Settings(Order::Change(Box::new(impossible), 2)));
        let told = view_of(&desk, |view| !view.notices.is_empty()).notices.remove(0).why.expect("a reason");
        assert!(told.fault == Fault::OutOfBounds && told.detail.contains("server.port"), "{told:?}");
        desk.close();
        assert_eq!(store.open(std::time::SystemTime::now()).settings, settings);
    }

    #[test]
    fn settings_that_cannot_be_used_are_told_of() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("settings.json");
        std::fs::write(&path, "{").expect("a file can be written");
        let desk = Desk::start(folder.path(), Store::at(path), |_| Err(no_model()), |_| {});
        let told = view_of(&desk, |view| !view.notices.is_empty()).notices.remove(0).why.expect("a reason");
        assert!(told.fault == Fault::NotSettings && told.detail.contains("settings.json.corrupt-"), "{told:?}");
    }

    #[test]
    fn causes_become_sentences_and_texts_are_joined_by_one_space() {
        assert_eq!(sentence("it broke; mend it"), "It broke; mend it.");
        assert_eq!(sentence("Who knows?"), "Who knows?");
        assert_eq!(sentence(""), "");
        assert_eq!(joined("one ", " two"), "one two");
        assert_eq!(joined("", " two"), "two");
        assert_eq!(joined("one", " "), "one");
    }
}
