//! The settings at work: kept in their file, and what follows from a change, without a restart.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use amanuensis_backends::npu::{Format, NpuOptions, Policy};
use amanuensis_backends::{Choice, CpuOptions};
use amanuensis_dictation::text::{Capitals, Replacement, TextRules};
use amanuensis_dictation::{Between, Rules, Setup};
use amanuensis_engine::{Engine, Shutdown};
use amanuensis_export::plain_name;
use amanuensis_server::{Access, Limits, Server, Token, token_file};
use amanuensis_settings::{self as file, DevicePolicy, NpuFormat, Settings, Store};
use amanuensis_whisper::DecodeOptions;
use amanuensis_whisper::languages::LANGUAGES;

use super::key::Safe;
use super::models::Models;
use super::{Loaded, Message, State, autostart, failure, report};
use crate::wire::{Api, Choices, Failure, Model, Notice, Phase, Said, Update};

/// How long other programs' requests may go on after the server was switched off.
const GRACE: Duration = Duration::from_secs(2);
/// So long nothing that is recorded is looked at while it grows: never.
const NO_LOOKS: Duration = Duration::from_secs(3600);

/// What the user does about settings.
pub enum Order {
    /// These are the settings from now on, by the page's change of this number.
    Change(Box<Settings>, u32),
    /// As at the beginning.
    Restore,
    /// Those in a file.
    Import(PathBuf),
    /// Into a file.
    Export(PathBuf),
    /// Whatever recording is put into this folder is to be transcribed.
    WatchFolder(PathBuf),
    /// The language model's key is this one, or none if it is empty.
    Key(String),
    /// The server's token is to be on the clipboard.
    CopyToken,
}

/// The settings, and what runs by them.
pub struct Chosen {
    store: Store,
    settings: Settings,
    /// The number of the page's last change.
    change: u32,
    /// What the model that is being read was chosen by.
    opening: Option<file::Model>,
    serving: Serving,
}

/// The server, by what it was asked to be.
enum Serving {
    Off,
    /// A thread ends one, starts one, or both.
    Changing,
    On(Wanted, Server),
    Failed(Wanted, Failure),
}

/// A server as the settings want it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    port: u16,
    without_token: bool,
}

/// What became of a server: none was wanted, or it runs, or why not.
pub type Served = Option<(Wanted, Result<Server, Failure>)>;

impl Chosen {
    /// The settings in the file, and a notice if it could not be used.
    pub fn open(store: Store) -> (Self, Option<Notice>) {
        let opened = store.open(SystemTime::now());
        let notice = opened.discarded.map(|discarded| Notice::error(Said::SettingsDiscarded, failure(&discarded)));
        (Self { store, settings: opened.settings, change: 0, opening: None, serving: Serving::Off }, notice)
    }

    /// The settings as they are.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// All that the page is to know.
    pub fn shown(&self, models: &Models, safe: &Safe) -> Update {
        let api = match &self.serving {
            Serving::Off if self.settings.server.on => Api::Changing,
            Serving::Off => Api::Off,
            Serving::Changing => Api::Changing,
            Serving::On(_, server) => Api::On { address: format!("http://{}/v1", server.address()) },
            Serving::Failed(_, why) => Api::Failed { why: why.clone() },
        };
        let from_source = amanuensis_version::FROM_SOURCE;
        let choices = Box::new(Choices {
            settings: self.settings.clone(),
            change: self.change,
            api,
            opening: self.opening.is_some(),
            models: models.usable(),
            key: safe.shown(),
            spoken: LANGUAGES.iter().map(|(code, _)| (*code).to_owned()).collect(),
            // The page has words of its own for where it comes from.
            version: if from_source { amanuensis_version::NUMBER } else { amanuensis_version::VERSION }.to_owned(),
            from_source,
        });
        Update::Settings { choices }
    }

    /// Whether a model is being read, and the name by which it was chosen; none is the one installed last.
    pub fn opening(&self) -> Option<Option<&str>> {
        self.opening.as_ref().map(|model| model.name.as_deref())
    }

    /// A model that cannot be used is not chosen any more, but the one that works.
    fn take_back(&mut self, opened: &file::Model, works: &str) {
        if opened.name.is_some() && opened.opens_as(&self.settings.model) && opened.name.as_deref() != Some(works) {
            self.settings.model.name = Some(works.to_owned());
            if let Err(cause) = self.store.save(&self.settings) {
                tracing::warn!(%cause, "a model that cannot be used is still chosen in the file");
            }
        }
    }

    /// The settings, to be changed without all that follows.
    #[cfg(test)]
    pub fn settings_for_test(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Where the language model's key is kept if there is no keyring.
    pub fn key_file(&self) -> PathBuf {
        self.store.beside("llm-key")
    }

    /// A session's setup.
    pub fn setup(&self) -> Setup {
        let (rules, options, text) = manner(&self.settings);
        let microphone = self.settings.dictation.microphone.clone();
        Setup { rules, options, text, microphone, between: between(&self.settings), ..Setup::default() }
    }
}

impl State {
    /// Does what the user wants with the settings.
    pub(super) fn settle(&mut self, order: Order) {
        match order {
            Order::Change(settings, number) => {
                self.chosen.change = number;
                self.change(*settings);
            }
            Order::Restore => {
                let guided = self.chosen.settings.interface.guided;
                let mut settings = Settings::default();
                settings.interface.guided = guided;
                self.change(settings);
            }
            Order::Import(path) => match file::import(&path) {
                Ok(settings) => self.change(settings),
                Err(cause) => self.tell(Notice::error(Said::SettingsNotImported, failure(&cause))),
            },
            Order::Export(path) => {
                let notice = match file::export(&self.chosen.settings, &path) {
                    Ok(()) => Notice::info(Said::SettingsExported { path: plain_name(path.as_os_str()) }),
                    Err(cause) => Notice::error(Said::SettingsNotExported, failure(&cause)),
                };
                self.tell(notice);
            }
            Order::WatchFolder(folder) => {
                let mut settings = self.chosen.settings.clone();
                settings.files.watched_folder = Some(folder.to_string_lossy().into_owned());
                self.change(settings);
            }
            Order::Key(key) => self.keep_key(key),
            Order::CopyToken => match token() {
                Ok(token) => _ = self.copy(token.reveal().to_owned()),
                Err(why) => self.tell(Notice::error(Said::NoToken, why)),
            },
        }
    }

    /// Takes other settings, keeps them, and lets them take effect.
    pub(super) fn change(&mut self, settings: Settings) {
        if settings != self.chosen.settings {
            match self.chosen.store.save(&settings) {
                Ok(()) => self.adopt(settings),
                Err(cause) => {
                    self.tell(Notice::error(Said::SettingsRefused, failure(&cause)));
                    // What cannot be kept holds all the same; what is not possible does not.
                    if matches!(cause, file::SettingsError::Write { .. }) {
                        self.adopt(settings);
                    }
                }
            }
        }
        // Even if nothing came of it: the page has shown the change already.
        self.tell_of_settings();
    }

    fn adopt(&mut self, settings: Settings) {
        let before = std::mem::replace(&mut self.chosen.settings, settings);
        let settings = &self.chosen.settings;
        self.view.microphone.clone_from(&settings.dictation.microphone);
        if let Some(session) = &self.session {
            if settings.dictation.microphone != before.dictation.microphone {
                session.choose_microphone(settings.dictation.microphone.clone());
            }
            if (&settings.dictation, &settings.text) != (&before.dictation, &before.text) {
                let (rules, options, text) = manner(settings);
                session.change(rules, options, text);
                session.keep_between(between(settings));
            }
        }
        if settings.history != before.history {
            self.past.go_by(&settings.history);
        }
        let polishes = settings.post_processing.on && !before.post_processing.on;
        self.insertion.adopt(&settings.insertion);
        self.files.adopt(settings);
        let autostart = settings.interface.autostart;
        if autostart != before.interface.autostart {
            self.set_autostart(autostart);
        }
        if !self.chosen.settings.model.opens_as(&before.model) {
            self.open_model();
        }
        if self.chosen.settings.shortcut != before.shortcut {
            self.listen_for_keys();
        }
        if polishes {
            self.look_for_key();
        }
        self.serve();
    }

    /// Lets the app start with the session, or no longer.
    pub(super) fn set_autostart(&mut self, on: bool) {
        if let Err(cause) = autostart::set(on) {
            self.tell(Notice::error(Said::NoAutostart, failure(&cause)));
        }
    }

    /// Tells the page of the settings, and of what became of them.
    pub(super) fn tell_of_settings(&mut self) {
        self.outbox.push(self.chosen.shown(&self.models, &self.safe));
    }

    /// Reads the chosen model, unless one is being read: then its end is waited for.
    pub(super) fn open_model(&mut self) {
        if self.chosen.opening.is_none() {
            let wanted = self.chosen.settings.model.clone();
            self.chosen.opening = Some(wanted.clone());
            let load = std::sync::Arc::clone(&self.load);
            report(&self.inbox, "load model", move || Message::Loaded(load(&wanted)));
            self.tell_of_settings();
        }
    }

    /// Takes the model that was read, or says why there is none.
    pub(super) fn loaded(&mut self, result: Result<Loaded, Failure>) {
        let opened = self.chosen.opening.take();
        match result {
            Ok(loaded) => self.use_model(loaded),
            // The one before goes on.
            Err(why) if self.engine.is_some() => {
                self.tell(Notice::error(Said::NoModel, why));
                if let (Some(opened), Model::Ready { name, .. }) = (&opened, &self.view.model) {
                    self.chosen.take_back(opened, name);
                }
            }
            Err(why) => {
                // It may have rested, and then waits for an engine that will not come.
                self.session = None;
                (self.view.phase, self.view.writing) = (Phase::Idle, 0);
                self.view.model = Model::Failed { why };
                self.start_when_ready = false;
            }
        }
        if opened.is_some_and(|opened| !opened.opens_as(&self.chosen.settings.model)) {
            self.open_model();
        }
        self.serve();
        self.tell_of_settings();
    }

    /// Lets new requests go to the server's engine of now.
    pub(super) fn use_engine_for_others(&self, engine: &Engine) {
        if let Serving::On(_, server) = &self.chosen.serving {
            server.use_engine(engine.clone());
        }
    }

    /// Starts or ends the server, if it is not as it should be.
    fn serve(&mut self) {
        let server = &self.chosen.settings.server;
        let wanted = Wanted { port: server.port, without_token: server.without_token };
        let wanted = self.engine.clone().filter(|_| server.on).map(|engine| (wanted, engine));
        let as_wanted = match (&self.chosen.serving, &wanted) {
            (Serving::Changing, _) | (Serving::Off, None) => true,
            (Serving::On(is, _) | Serving::Failed(is, _), Some((wanted, _))) => is == wanted,
            _ => false,
        };
        if as_wanted {
            return;
        }
        let before = std::mem::replace(&mut self.chosen.serving, Serving::Changing);
        // The one before may take its grace, and its port is free only then.
        report(&self.inbox, "change server", move || {
            drop(before);
            Message::Served(wanted.map(|(wanted, engine)| (wanted, start(engine, wanted))))
        });
    }

    /// A server was started, or ended, or could not be started.
    pub(super) fn served(&mut self, served: Served) {
        self.chosen.serving = match served {
            None => Serving::Off,
            Some((wanted, Ok(server))) => {
                // The engine may have become another one meanwhile.
                if let Some(engine) = &self.engine {
                    server.use_engine(engine.clone());
                }
                Serving::On(wanted, server)
            }
            Some((wanted, Err(why))) => Serving::Failed(wanted, why),
        };
        self.serve();
        self.tell_of_settings();
    }

    /// Ends what runs by the settings.
    pub(super) fn end_serving(&mut self) {
        self.chosen.serving = Serving::Off;
    }

    /// Dictations no longer begin by voice, for the microphone went away.
    pub(super) fn end_hands_free(&mut self) {
        if self.chosen.settings.dictation.hands_free {
            let mut settings = self.chosen.settings.clone();
            settings.dictation.hands_free = false;
            self.change(settings);
        }
    }

    /// Records from this microphone from now on; from the default one, if it is none.
    pub(super) fn choose_microphone(&mut self, id: Option<String>) {
        if self.view.phase == Phase::Idle {
            let mut settings = self.chosen.settings.clone();
            settings.dictation.microphone = id;
            self.change(settings);
        }
    }
}

/// Lets an engine finish what it has in hand, while another one takes its place.
pub(super) fn retire(engine: Engine) {
    let retired =
        std::thread::Builder::new().name("retire engine".into()).spawn(move || engine.shutdown(Shutdown::Drain));
    if let Err(cause) = retired {
        tracing::warn!(%cause, "the engine before was ended at once");
    }
}

/// Which device is to do the work.
pub(super) fn choice(model: &file::Model) -> Choice {
    let format = match model.npu_format {
        NpuFormat::Bfp16 => Format::Bfp16,
        NpuFormat::Int8 => Format::Int8,
    };
    let npu = |policy, options| Choice::Npu(NpuOptions { format, policy, ..options }, CpuOptions::default());
    match model.device {
        DevicePolicy::Auto => Choice::Auto,
        DevicePolicy::Cpu => Choice::Cpu(CpuOptions::default()),
        DevicePolicy::NpuRequired => npu(Policy::RequireNpu, NpuOptions::default()),
        DevicePolicy::NpuWithFallback => npu(Policy::AllowFallback, NpuOptions::default()),
        DevicePolicy::SimulatedNpu => npu(Policy::AllowFallback, NpuOptions::simulated()),
    }
}

fn between(settings: &Settings) -> Between {
    match &settings.dictation {
        dictation if dictation.hands_free => Between::HandsFree,
        dictation if dictation.stand_by => Between::StandBy,
        _ => Between::Closed,
    }
}

/// How a session is to listen and to write.
fn manner(settings: &Settings) -> (Rules, DecodeOptions, TextRules) {
    let defaults = Setup::default();
    let mut rules = defaults.rules;
    if !settings.dictation.live_text {
        rules.look_every = NO_LOOKS;
    }
    let options = DecodeOptions { language: settings.dictation.language.clone(), ..defaults.options };
    (rules, options, text_rules(settings))
}

/// How text is to be written.
fn text_rules(settings: &Settings) -> TextRules {
    let text = &settings.text;
    let replacements = text.replacements.iter();
    TextRules {
        language: settings.dictation.language.clone().unwrap_or_default(),
        without_fillers: text.without_fillers,
        vocabulary: text.vocabulary.clone(),
        without_correction: !text.correct_names,
        spoken_punctuation: text.spoken_punctuation,
        replacements: replacements.map(|rule| Replacement { from: rule.from.clone(), to: rule.to.clone() }).collect(),
        capitals: match text.capitals {
            file::Capitals::AsHeard => Capitals::AsHeard,
            file::Capitals::Sentences => Capitals::Sentences,
        },
        trailing_space: text.trailing_space,
    }
}

fn token() -> Result<Token, Failure> {
    let file = token_file().map_err(|cause| failure(&cause))?;
    Token::load_or_create(&file).map_err(|cause| failure(&cause))
}

fn start(engine: Engine, wanted: Wanted) -> Result<Server, Failure> {
    let access = if wanted.without_token { Access::Open } else { Access::Token(token()?) };
    let settings = amanuensis_server::Settings {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, wanted.port)),
        limits: Limits { grace: GRACE, ..Limits::default() },
        ..amanuensis_server::Settings::local(access)
    };
    Server::start(engine, settings).map_err(|cause| failure(&cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_is_a_choice_of_its_own() {
        let chosen = |device| choice(&file::Model { device, npu_format: NpuFormat::Int8, ..file::Model::default() });
        assert!(matches!(chosen(DevicePolicy::Auto), Choice::Auto));
        assert!(matches!(chosen(DevicePolicy::Cpu), Choice::Cpu(_)));
        for (device, policy) in
            [(DevicePolicy::NpuRequired, Policy::RequireNpu), (DevicePolicy::NpuWithFallback, Policy::AllowFallback)]
        {
            let Choice::Npu(options, _) = chosen(device) else { panic!("no NPU") };
            assert_eq!((options.policy, options.format), (policy, Format::Int8));
        }
        let Choice::Npu(options, _) = chosen(DevicePolicy::SimulatedNpu) else { panic!("no NPU") };
        assert!(matches!(options.choice, amanuensis_backends::npu::Choice::Simulated { .. }));
    }

    #[test]
    fn a_session_goes_by_the_settings() {
        let mut settings = Settings::default();
        settings.dictation.language = Some("de".into());
        settings.dictation.live_text = false;
        settings.text.correct_names = false;
        settings.text.vocabulary = vec!["Anna".into()];
        settings.text.replacements =
            vec![file::Replacement { from: "mfg".into(), to: "Mit freundlichen Gr\u{fc}\u{df}en".into() }];
        let (rules, options, text) = manner(&settings);
        assert!(rules.look_every > rules.longest, "no segment grows so long that it is looked at");
        assert_eq!(options.language.as_deref(), Some("de"));
        assert!(text.without_correction && text.trailing_space);
        assert_eq!(text.apply("MfG, Ana"), "Mit freundlichen Gr\u{fc}\u{df}en, Ana");
    }
}
