//! The models: which there are, which are on their way, and what each would cost on this machine.
//!
//! What takes time (a download, reading a folder, measuring) is done by threads that report to the desk.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use amanuensis_models::shelf::{self, Keep, ShelfError};
use amanuensis_models::speed::{self, Machine};
use amanuensis_models::{DownloadError, Entry, Hub, ModelFile, Progress, Step, Stop, catalogue, download};
use amanuensis_whisper::{Dims, Weights};
use crossbeam_channel::Sender;

use super::{Message, State, failure, report, settings};
use crate::wire::{Failure, Model, Models as Shown, Phase, ShelfModel, ShelfState, Update};

/// What can happen to the models.
pub enum Order {
    /// The page shows, or no longer shows, the models.
    Watch(bool),
    /// Begin a download, or go on with it.
    Download(String),
    /// End a download and keep what is here.
    Pause(String),
    /// End a download and throw away what is here.
    Discard(String),
    /// Delete an installed model.
    Delete(String),
    /// Add a model that lies on this machine.
    Add(PathBuf),
    /// What went wrong was read.
    Dismiss,
    /// The models that are installed.
    Found(Vec<Installed>),
    /// What the machine can do.
    Measured(Machine),
    /// A download has come so far.
    Came(String, Progress),
    /// A download is over.
    Ended(String, Result<(), DownloadError>),
    /// A model was added or deleted.
    Changed(Result<(), ShelfError>),
}

/// A model on this machine.
pub struct Installed {
    file: ModelFile,
    bytes: u64,
    /// Of a model that can be used.
    dims: Result<Dims, Failure>,
}

/// All models.
pub struct Models {
    entries: Vec<Entry>,
    installed: Vec<Installed>,
    transfers: BTreeMap<String, Transfer>,
    machine: Option<Machine>,
    measuring: bool,
    watched: bool,
    /// What the page was told last; none if it has to be told.
    shown: Option<Shown>,
    /// A model has come or gone: another one may be the one to use.
    changed: bool,
    failure: Option<Failure>,
    inbox: Sender<Message>,
}

/// A download, under way or not.
struct Transfer {
    state: TransferState,
    done: u64,
}

enum TransferState {
    Running { stop: Stop, progress: Option<Progress>, after: After },
    Paused,
    Failed(Failure),
}

/// What happens when the thread has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Nothing,
    /// It was paused, and asked for again before the thread noticed.
    Again,
    Discard,
}

impl Models {
    /// Nothing is known yet. What threads find out is reported to `inbox`.
    pub fn new(inbox: Sender<Message>) -> Self {
        let folder = amanuensis_models::folder();
        let entries = catalogue();
        let begun = |entry: &Entry| {
            let done = download::unfinished(entry, &folder)?;
            Some((entry.name.clone(), Transfer { state: TransferState::Paused, done }))
        };
        Self {
            transfers: entries.iter().filter_map(begun).collect(),
            entries,
            installed: Vec::new(),
            machine: None,
            measuring: false,
            watched: false,
            shown: None,
            changed: false,
            failure: None,
            inbox,
        }
    }

    /// The page shows them from now on, or does not.
    pub fn show(&mut self, watched: bool) {
        (self.watched, self.shown) = (watched, None);
    }

    /// The page may have missed what it was told.
    pub fn tell_again(&mut self) {
        self.shown = None;
    }

    /// Does what is to be done. `busy` is whether somebody is being listened to: nothing is measured then.
    fn handle(&mut self, order: Order, busy: bool) {
        match order {
            Order::Watch(watched) => {
                self.show(watched);
                if watched {
                    self.look();
                    self.measure(busy);
                }
            }
            Order::Download(name) => self.begin(&name),
            Order::Pause(name) => self.end(&name, After::Nothing),
            Order::Discard(name) => self.end(&name, After::Discard),
            Order::Delete(name) => {
                if let Some(model) = self.installed.iter().find(|model| model.file.name == name) {
                    let file = model.file.clone();
                    self.change("delete model", move || shelf::delete(&file, &amanuensis_models::folder()));
                }
            }
            Order::Add(path) => {
                self.change("add model", move || shelf::add(&path, &amanuensis_models::folder(), Keep::Copy).map(drop))
            }
            Order::Dismiss => self.failure = None,
            Order::Found(installed) => self.installed = installed,
            Order::Measured(machine) => (self.machine, self.measuring) = (Some(machine), false),
            Order::Came(name, progress) => {
                if let Some(transfer) = self.transfers.get_mut(&name) {
                    transfer.done = progress.done;
                    if let TransferState::Running { progress: known, .. } = &mut transfer.state {
                        *known = Some(progress);
                    }
                }
            }
            Order::Ended(name, result) => self.ended(&name, result),
            Order::Changed(result) => {
                self.changed |= result.is_ok();
                self.failure = result.as_ref().err().map(failure);
                self.look();
            }
        }
    }

    /// As the page shows them. `used` is the name of the model in use and whether it rests, `opening` that of the one to come.
    fn as_shown(&self, used: Option<(&str, bool)>, opening: Option<&str>) -> Shown {
        let installed = self.installed.iter().map(|model| self.shown_installed(model, used, opening));
        let here = |entry: &&Entry| !self.installed.iter().any(|model| model.file.name == entry.name);
        let available = self.entries.iter().filter(here).map(|entry| self.shown_entry(entry));
        Shown {
            folder: amanuensis_models::folder().display().to_string(),
            list: installed.chain(available).collect(),
            failure: self.failure.clone(),
        }
    }

    fn shown_installed(&self, model: &Installed, used: Option<(&str, bool)>, opening: Option<&str>) -> ShelfModel {
        let name = model.file.name.as_str();
        let deletable = !model.file.demo;
        let state = match &model.dims {
            Err(why) => ShelfState::Broken { why: why.clone(), deletable },
            Ok(_) if opening == Some(name) => ShelfState::Opening,
            Ok(_) => match used.filter(|(used, _)| *used == name) {
                Some((_, resting)) => ShelfState::InUse { deletable, resting },
                None => ShelfState::Installed { deletable },
            },
        };
        let dims = model.dims.as_ref().ok();
        let multilingual = dims.is_some_and(Dims::is_multilingual);
        ShelfModel { demo: model.file.demo, ..self.shown_as(name, model.bytes, dims, multilingual, state) }
    }

    fn shown_entry(&self, entry: &Entry) -> ShelfModel {
        let state = match self.transfers.get(&entry.name) {
            None => ShelfState::Available,
            Some(transfer) => {
                let done = (transfer.done as f64 / entry.bytes as f64) as f32;
                match &transfer.state {
                    TransferState::Running { after: After::Discard, .. } => ShelfState::Available,
                    TransferState::Running { stop, after, .. } if stop.is_stopped() && *after != After::Again => {
                        ShelfState::Paused { done, failure: None }
                    }
                    TransferState::Running { progress, .. } => ShelfState::Downloading {
                        done,
                        seconds_left: progress.and_then(|progress| {
                            progress.rate.map(|rate| ((progress.total - progress.done) as f64 / rate.max(1.0)) as f32)
                        }),
                        waiting: progress.is_some_and(|progress| progress.step == Step::Waiting),
                    },
                    TransferState::Paused => ShelfState::Paused { done, failure: None },
                    TransferState::Failed(why) => ShelfState::Paused { done, failure: Some(why.clone()) },
                }
            }
        };
        self.shown_as(&entry.name, entry.bytes, entry.dims.as_ref(), entry.is_multilingual(), state)
    }

    fn shown_as(
        &self,
        name: &str,
        bytes: u64,
        dims: Option<&Dims>,
        multilingual: bool,
        state: ShelfState,
    ) -> ShelfModel {
        let languages = match dims {
            _ if !multilingual => 1,
            Some(dims) => u32::try_from(dims.n_languages()).unwrap_or(1),
            None => 99,
        };
        ShelfModel {
            name: name.to_owned(),
            megabytes: bytes as f32 / 1e6,
            memory: dims.map(|dims| speed::memory_bytes(dims) as f32 / 1e6),
            speed: dims.and_then(|dims| Some(self.machine?.speed(dims) as f32)),
            languages,
            demo: false,
            state,
        }
    }

    /// Names of the installed models that can be used, the newest first.
    pub fn usable(&self) -> Vec<String> {
        let usable = self.installed.iter().filter(|model| model.dims.is_ok());
        usable.map(|model| model.file.name.clone()).collect()
    }

    /// Reads which models are installed.
    pub fn look(&self) {
        report(&self.inbox, "list models", || {
            let found = amanuensis_models::installed().into_iter().chain(amanuensis_models::demo());
            Message::Models(Order::Found(found.map(Installed::read).collect()))
        });
    }

    fn measure(&mut self, busy: bool) {
        if self.machine.is_none() && !busy && !std::mem::replace(&mut self.measuring, true) {
            report(&self.inbox, "measure speed", || Message::Models(Order::Measured(Machine::measure())));
        }
    }

    fn change(&self, name: &str, work: impl FnOnce() -> Result<(), ShelfError> + Send + 'static) {
        report(&self.inbox, name, move || Message::Models(Order::Changed(work())));
    }

    fn begin(&mut self, name: &str) {
        let Some(entry) = self.entries.iter().find(|entry| entry.name == name).cloned() else { return };
        let done = match self.transfers.get_mut(name) {
            Some(Transfer { state: TransferState::Running { stop, after, .. }, .. }) => {
                if stop.is_stopped() {
                    *after = After::Again;
                }
                return;
            }
            Some(transfer) => transfer.done,
            None => 0,
        };
        let (stop, inbox) = (Stop::default(), self.inbox.clone());
        let state = TransferState::Running { stop: stop.clone(), progress: None, after: After::Nothing };
        self.transfers.insert(name.to_owned(), Transfer { state, done });
        report(&self.inbox, "download", move || {
            let name = entry.name.clone();
            let mut tell = |progress| _ = inbox.send(Message::Models(Order::Came(name.clone(), progress)));
            let folder = amanuensis_models::folder();
            let result = Hub::from_environment().and_then(|hub| hub.download(&entry, &folder, &stop, &mut tell));
            Message::Models(Order::Ended(entry.name, result))
        });
    }

    fn end(&mut self, name: &str, wanted: After) {
        let Some(transfer) = self.transfers.get_mut(name) else { return };
        match &mut transfer.state {
            TransferState::Running { stop, after, .. } => {
                stop.stop();
                *after = wanted;
            }
            TransferState::Paused | TransferState::Failed(_) if wanted == After::Discard => self.discard(name),
            TransferState::Paused | TransferState::Failed(_) => {}
        }
    }

    fn ended(&mut self, name: &str, result: Result<(), DownloadError>) {
        let after = match self.transfers.get(name).map(|transfer| &transfer.state) {
            Some(TransferState::Running { after, .. }) => *after,
            _ => After::Nothing,
        };
        match result {
            Ok(()) => {
                self.transfers.remove(name);
                self.changed = true;
                self.look();
            }
            Err(_) if after == After::Discard => self.discard(name),
            Err(error) => {
                let Some(transfer) = self.transfers.get_mut(name) else { return };
                transfer.state = match error {
                    DownloadError::Stopped => TransferState::Paused,
                    error => TransferState::Failed(failure(&error)),
                };
                if after == After::Again {
                    self.begin(name);
                }
            }
        }
    }

    fn discard(&mut self, name: &str) {
        self.transfers.remove(name);
        if let Some(entry) = self.entries.iter().find(|entry| entry.name == name)
            && let Err(error) = download::discard(entry, &amanuensis_models::folder())
        {
            self.failure = Some(failure(&error));
        }
    }
}

impl State {
    /// Does what is to be done about the models.
    pub(super) fn about_models(&mut self, order: Order) {
        let looked = matches!(order, Order::Found(_));
        self.models.handle(order, self.view.phase != Phase::Idle);
        if looked {
            self.tell_of_settings();
        }
        if looked && std::mem::take(&mut self.models.changed) {
            self.reconsider_model();
        }
    }

    /// Takes another model, if the chosen one is gone, or if none is chosen and a newer one has come.
    fn reconsider_model(&mut self) {
        let there = |name: &str| self.models.installed.iter().any(|model| model.file.name == name);
        match &self.chosen.settings().model.name {
            // Whatever has a slash is a path, and may lie anywhere.
            Some(name) if name.contains('/') || there(name) => {}
            Some(_) => {
                let mut settings = self.chosen.settings().clone();
                settings.model.name = None;
                self.change(settings);
            }
            None => {
                let newest = self.models.installed.first().map(|model| model.file.name.as_str());
                let used = match &self.view.model {
                    Model::Ready { name, .. } => Some(name.as_str()),
                    Model::Loading | Model::Failed { .. } => None,
                };
                if newest != used {
                    self.open_model();
                }
            }
        }
    }

    /// Tells the page of the models, if it shows them and does not know yet.
    pub(super) fn tell_of_models(&mut self) {
        if !self.models.watched || !self.outbox.takes_news() {
            return;
        }
        let used = match &self.view.model {
            Model::Ready { name, .. } => Some((name.as_str(), self.engine.is_none())),
            Model::Loading | Model::Failed { .. } => None,
        };
        let newest = self.models.installed.first().map(|model| model.file.name.as_str());
        // A model that is in use already may be opened again, on another device.
        let opening = self.chosen.opening().and_then(|name| name.or(newest));
        let opening = opening.filter(|opening| used.is_none_or(|(used, _)| used != *opening));
        let shown = self.models.as_shown(used, opening);
        if self.models.shown.as_ref() != Some(&shown) {
            self.outbox.push(Update::Models { models: shown.clone() });
            self.models.shown = Some(shown);
        }
    }

    /// Gives the model's memory back once nobody has asked it for a while, and reads it again once somebody does.
    pub(super) fn rest_if_idle(&mut self, now: Instant) {
        let wanted = self.view.phase != Phase::Idle
            || self.view.writing > 0
            || self.files.wait()
            || self.past.waits()
            || self.chosen.settings().server.on;
        let Some(engine) = &self.engine else {
            self.rest = Rest::default();
            if wanted && matches!(self.view.model, Model::Ready { .. }) {
                self.open_model();
            }
            return;
        };
        let Some(minutes) = self.chosen.settings().model.rest_minutes else {
            self.rest = Rest::default();
            return;
        };
        let at_work = || engine.snapshot().requests.in_flight > 0;
        let after = Duration::from_secs(60 * u64::from(minutes));
        // What is asked without the desk's knowledge is found out when it is time.
        if wanted || self.rest.due().is_none() || (self.rest.is_due(now) && at_work()) {
            self.rest = Rest { at: Some(now + after) };
        } else if self.rest.is_due(now) {
            tracing::info!("the model rests");
            self.rest = Rest::default();
            if let Some(session) = &self.session {
                session.rest();
            }
            if let Some(engine) = self.engine.take() {
                settings::retire(engine);
            }
        }
    }
}

/// When the model may rest.
#[derive(Debug, Default)]
pub struct Rest {
    at: Option<Instant>,
}

impl Rest {
    /// When it is to be looked at again.
    pub fn due(&self) -> Option<Instant> {
        self.at
    }

    fn is_due(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| now >= at)
    }
}

impl Drop for Models {
    /// Downloads end at their next read; what is here is gone on from next time.
    fn drop(&mut self) {
        for transfer in self.transfers.values() {
            if let TransferState::Running { stop, .. } = &transfer.state {
                stop.stop();
            }
        }
    }
}

impl Installed {
    fn read(file: ModelFile) -> Self {
        let dims = Weights::open(&file.path).map(|weights| *weights.dims()).map_err(|error| failure(&error));
        Self { bytes: file.bytes(), dims, file }
    }
}

#[cfg(test)]
pub(in crate::desk) mod tests {
    use std::sync::Arc;

    use amanuensis_settings::Store;
    use crossbeam_channel::Receiver;

    use super::*;
    use crate::desk::load_model;
    use crate::wire::Fault;

    /// A desk that is not run by a thread, and what threads report to it.
    pub(in crate::desk) fn state(folder: &std::path::Path) -> (State, Receiver<Message>) {
        let (inbox, messages) = crossbeam_channel::bounded(64);
        let store = Store::at(folder.join("settings.json"));
        (State::new(inbox, folder, store, Arc::new(load_model), Box::new(|_| {})), messages)
    }

    /// A desk that has read its model, and the folder of its settings. `None` where there is no model, which is printed.
    pub(in crate::desk) fn state_with_model() -> Option<(State, Receiver<Message>, tempfile::TempDir)> {
        if amanuensis_models::demo().is_none() {
            println!("skipped: the demo model is not there");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (mut state, messages) = state(folder.path());
        state.open_model();
        read_model(&mut state, &messages);
        Some((state, messages, folder))
    }

    /// Hands over what is reported until the model was read.
    pub(in crate::desk) fn read_model(state: &mut State, messages: &Receiver<Message>) {
        loop {
            let message = messages.recv_timeout(Duration::from_secs(60)).expect("the model is read");
            let over = matches!(message, Message::Loaded(_) | Message::GuestLoaded(..));
            state.handle(message);
            if over {
                return;
            }
        }
    }

    #[test]
    fn a_model_rests_after_its_minutes_and_is_read_again_when_it_is_wanted() {
        let Some((mut state, messages, _folder)) = state_with_model() else { return };
        let (start, minute) = (Instant::now(), Duration::from_secs(60));
        state.rest_if_idle(start);
        state.rest_if_idle(start + 9 * minute);
        assert!(state.engine.is_some(), "never, unless that is wanted");

        let mut settings = state.chosen.settings().clone();
        settings.model.rest_minutes = Some(5);
        state.change(settings);
        state.rest_if_idle(start);
        assert_eq!(state.rest.due(), Some(start + 5 * minute));
        state.view.phase = Phase::Recording;
        state.rest_if_idle(start + 4 * minute);
        state.view.phase = Phase::Idle;
        state.rest_if_idle(start + 6 * minute);
        assert!(state.engine.is_some(), "it was asked in between");
        state.rest_if_idle(start + 9 * minute);
        assert!(state.engine.is_none() && state.session.is_some());

        state.view.phase = Phase::Opening;
        state.rest_if_idle(start + 10 * minute);
        read_model(&mut state, &messages);
        assert!(state.engine.is_some());
    }

    #[test]
    fn a_model_that_cannot_be_used_is_not_chosen_any_more() {
        if amanuensis_models::demo().is_none() {
            println!("skipped: the demo model is not there");
            return;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let broken = folder.path().join("broken.bin");
        std::fs::write(&broken, "<html>").expect("a file can be written");
        let (mut state, messages) = state(folder.path());
        state.open_model();
        read_model(&mut state, &messages);
        let mut settings = state.chosen.settings().clone();
        settings.model.name = Some(broken.display().to_string());
        state.change(settings);
        read_model(&mut state, &messages);
        let why = state.view.notices.first().and_then(|notice| notice.why.as_ref()).expect("it is told");
        assert_eq!(why.fault, Fault::NotAModel);
        assert!(why.detail.contains("broken.bin is not a Whisper model"), "{why:?}");
        assert!(
            matches!(&state.view.model, Model::Ready { name, .. } if Some(name) == state.chosen.settings().model.name.as_ref())
        );
    }

    #[test]
    fn downloads_are_shown_as_they_stand() {
        let (inbox, _messages) = crossbeam_channel::bounded(64);
        let mut models = Models::new(inbox);
        let shown = |models: &Models| {
            models.as_shown(None, None).list.into_iter().find(|model| model.name == "tiny").unwrap().state
        };
        let stop = Stop::default();
        let running =
            |after| Transfer { state: TransferState::Running { stop: stop.clone(), progress: None, after }, done: 0 };
        models.transfers.insert("tiny".to_owned(), running(After::Nothing));
        let total = 77_691_713;
        let progress = Progress { step: Step::Receiving, done: total / 2, total, rate: Some(1e6) };
        models.handle(Order::Came("tiny".to_owned(), progress), false);
        let ShelfState::Downloading { done, seconds_left: Some(left), waiting: false } = shown(&models) else {
            panic!("it is under way");
        };
        assert!((0.49..0.51).contains(&done) && (38.0..40.0).contains(&left), "{done} {left}");
        models.handle(Order::Pause("tiny".to_owned()), false);
        assert!(matches!(shown(&models), ShelfState::Paused { failure: None, .. }) && stop.is_stopped());
        models.handle(Order::Ended("tiny".to_owned(), Err(DownloadError::Redirects { host: "a".into() })), false);
        let ShelfState::Paused { failure: Some(failure), .. } = shown(&models) else { panic!("it has failed") };
        assert_eq!(failure.fault, Fault::ServerRefuses);
        assert!(failure.detail.starts_with("A sends the download from one address to the next"), "{failure:?}");
    }
}
