//! Everything at once, with faults: dictations, files and clients of the API, while devices vanish, disks fill up and processes
//! die. No word may be lost, none written twice, nothing may be left over.
//!
//! A minute of it runs with the other tests; `cargo xtask soak` runs it for as long as one likes.

mod api;
mod report;
mod watch;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use amanuensis_control::Request;
use amanuensis_history::{Entry, History, Kind, State};
use amanuensis_settings::{Settings, Store};
use amanuensis_test_support::{Program, Random, found, heard, speak, wav};
use tempfile::TempPath;

use crate::stage::{Scene, Setting};
use crate::{UNDERSTOOD, has_model};
use api::Api;
use report::{Fault, Report};
use watch::Watch;
pub use watch::processes;

/// How long, in minutes, and from which number chance begins.
const MINUTES: &str = "AMANUENSIS_SOAK_MINUTES";
const SEED: &str = "AMANUENSIS_SOAK_SEED";
/// Where the report is written, beside the output.
const REPORT: &str = "AMANUENSIS_SOAK_REPORT";

const SENTENCES: [&str; 6] = [
    "Please send the report to Alice before Friday.",
    "The meeting starts at nine in the morning.",
    "She wrote a letter to her brother last week.",
    "We need more time to finish the work.",
    "The train to London leaves in ten minutes.",
    "He put the book on the table and went home.",
];
/// Bounds a hang; nobody waits for it otherwise.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(100);
/// What is younger than this may be lost when the app is killed.
const PROMISED: Duration = Duration::from_secs(1);
/// Room for recordings. The disk is filled up now and then.
const DISK: &str = "size=192m,mode=0700";

#[test]
fn nothing_is_lost_whatever_happens() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<f64>().ok());
    let minutes = number(MINUTES).unwrap_or(0.75);
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seed = std::env::var(SEED).ok().and_then(|text| text.parse().ok()).unwrap_or(clock);
    println!("seed {seed}; {SEED} begins with it again");
    let Some(mut soak) = Soak::open(seed) else { return };
    let report = soak.run(Duration::from_secs_f64(60.0 * minutes), seed);
    println!("{report}");
    if let Some(path) = std::env::var_os(REPORT) {
        std::fs::write(&path, report.to_string()).expect("the report can be written");
    }
    assert_eq!(report.faults_found(), [""; 0], "seed {seed}");
}

/// A sentence and its sound.
struct Voice {
    said: &'static str,
    wav: TempPath,
}

struct Soak {
    // In the order in which they have to end.
    api: Api,
    watch: Watch,
    app: Option<Program>,
    history: History,
    scene: Scene,
    disk: Option<Disk>,
    voices: Arc<Vec<Voice>>,
    random: Random,
    /// The app is being ended or started: clients may fail to reach it.
    away: Arc<AtomicBool>,
    report: Report,
}

impl Soak {
    /// `None` where something is missing, which has been printed.
    fn open(seed: u64) -> Option<Self> {
        if !has_model() || !found("kill") {
            return None;
        }
        let voices =
            SENTENCES.iter().map(|said| Some(Voice { said, wav: speak(said)? })).collect::<Option<Vec<_>>>()?;
        let voices = Arc::new(voices);
        let scene = Scene::open(Setting::default())?;
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = port.expect("a free port").port();
        let mut settings = Settings::default();
        settings.interface.guided = true;
        settings.server.on = true;
        settings.server.port = port;
        let home = scene.folder.path();
        Store::at(home.join("config/amanuensis/settings.json")).save(&settings).expect("settings can be written");
        let disk = Disk::mount(&home.join("data"));
        let data = home.join("data/amanuensis");
        let app = scene.start_app(&[]);
        let until = Instant::now() + PATIENCE;
        while !data.join("history.db").is_file() {
            assert!(Instant::now() < until, "the app begins no history");
            sleep(LOOK);
        }
        let history = History::open(&data, SystemTime::now()).expect("the history can be opened").history;
        let away = Arc::new(AtomicBool::new(true));
        let token = home.join("config/amanuensis/api-token");
        let api = Api::start(port, token, Arc::clone(&voices), Arc::clone(&away), Random::new(seed ^ 1));
        api.wait_until_up();
        away.store(false, Ordering::SeqCst);
        let watch = Watch::start(scene.display());
        let random = Random::new(seed);
        let report = Report::default();
        Some(Self { api, watch, app: Some(app), history, scene, disk, voices, random, away, report })
    }

    fn run(&mut self, length: Duration, seed: u64) -> Report {
        let began = Instant::now();
        // What a process costs over time can be told only of one that lives: killing begins in the last third.
        let killing = length * 2 / 3;
        let mut next_file = Duration::ZERO;
        while began.elapsed() < length {
            if began.elapsed() >= next_file {
                self.open_file();
                next_file = began.elapsed() + Duration::from_millis(3_000 + self.random.below(6_000));
            }
            let fault = Fault::draw(&mut self.random, began.elapsed() >= killing, self.disk.is_some());
            self.dictate(fault);
        }
        let mut report = std::mem::take(&mut self.report);
        self.api.stop(&mut report);
        self.watch.stop(&mut report);
        report.leases = self.leases();
        (report.length, report.seed) = (began.elapsed(), seed);
        report
    }

    /// A dictation, during which something happens; then it is looked up in the history.
    fn dictate(&mut self, fault: Option<Fault>) {
        let voices = Arc::clone(&self.voices);
        let Voice { said, wav } = &voices[self.random.below(voices.len() as u64) as usize];
        let before = self.newest();
        self.report.dictations += 1;
        if let Some(fault) = fault {
            *self.report.injected.entry(fault).or_default() += 1;
        }
        self.ask(&Request::Start);
        let began = self.wait_for_journal();
        match fault {
            None => {
                self.scene.microphone.play(wav);
                self.ask(&Request::Stop);
            }
            Some(Fault::Unplugged) => {
                self.scene.microphone.play(wav);
                self.scene.microphone.unplug();
                sleep(Duration::from_millis(200 + self.random.below(1_500)));
                self.scene.microphone.plug();
                self.ask(&Request::Stop);
            }
            Some(Fault::SoundServerRestarted) => {
                self.scene.microphone.play(wav);
                self.scene.microphone.restart_server();
                self.ask(&Request::Stop);
            }
            Some(Fault::Suspended) => {
                self.scene.microphone.play(wav);
                let length = Duration::from_millis(500 + self.random.below(4_000));
                self.suspend(length);
                self.ask(&Request::Stop);
            }
            Some(Fault::DiskFull) => {
                let filler = self.disk.as_ref().map(Disk::fill);
                self.scene.microphone.play(wav);
                drop(filler);
                self.ask(&Request::Stop);
            }
            Some(Fault::WebProcessKilled) => {
                self.kill("WebKitWebProces");
                self.scene.microphone.play(wav);
                self.ask(&Request::Stop);
            }
            Some(Fault::NetworkProcessKilled) => {
                self.kill("WebKitNetworkPr");
                self.scene.microphone.play(wav);
                self.ask(&Request::Stop);
            }
            Some(Fault::AppKilled) => {
                self.scene.microphone.play(wav);
                sleep(PROMISED + Duration::from_millis(self.random.below(1_000)));
                let length = began.elapsed();
                self.kill_app();
                return self.check_recovered(before, said, length);
            }
            Some(Fault::AppKilledWhileWriting) => {
                self.scene.microphone.play(wav);
                sleep(PROMISED);
                let length = began.elapsed();
                self.ask(&Request::Stop);
                sleep(Duration::from_millis(self.random.below(600)));
                self.kill_app();
                return self.check_recovered(before, said, length);
            }
        }
        self.check_written(before, said);
    }

    /// The text must be there, once.
    fn check_written(&mut self, before: i64, said: &str) {
        let until = Instant::now() + PATIENCE;
        let new = loop {
            let new = self.since(before);
            if !new.is_empty() && new.iter().all(|entry| matches!(entry.state, State::Done | State::Failed)) {
                break new;
            }
            if Instant::now() > until {
                let found: Vec<_> = new.iter().map(|entry| (entry.state, entry.length)).collect();
                return self.report.lost(said, &format!("it is not written: {found:?}"));
            }
            sleep(LOOK);
        };
        self.check_once(&new, said);
        let text = new[0].text().to_owned();
        if heard(said, &text) >= UNDERSTOOD {
            self.report.words += said.split(' ').count();
        } else {
            self.check_sound(&new[0], said, &format!("written: \"{text}\""));
        }
    }

    /// The sound must be there after the app was started again, or the text, if the app had come so far.
    fn check_recovered(&mut self, before: i64, said: &str, spoken: Duration) {
        let new = self.since(before);
        if new.is_empty() {
            return self.report.lost(said, "after a kill there is no entry");
        }
        self.check_once(&new, said);
        let entry = &new[0];
        if entry.state == State::Done && heard(said, entry.text()) >= UNDERSTOOD {
            self.report.words += said.split(' ').count();
            return;
        }
        let length = entry.length.unwrap_or_default();
        if length + PROMISED < spoken {
            self.report.lost(said, &format!("of {spoken:?} only {length:?} are there after a kill"));
        }
        self.check_sound(entry, said, "recovered");
    }

    fn check_once(&mut self, new: &[Entry], said: &str) {
        let twice = |entry: &Entry| entry.text().split_whitespace().count() > said.split(' ').count() * 3 / 2;
        if new.len() > 1 || new.iter().any(twice) {
            let texts: Vec<_> = new.iter().map(|entry| (entry.state, entry.text())).collect();
            self.report.doubled.push(format!("\"{said}\" became {texts:?}"));
        }
    }

    /// What was said must be in the sound of an entry, whatever was made of it.
    fn check_sound(&mut self, entry: &Entry, said: &str, why: &str) {
        let sound = match (&entry.sound, &entry.journal) {
            (Some(sound), _) => std::fs::read(sound).ok(),
            (None, Some(journal)) => wav_of(journal),
            (None, None) => None,
        };
        let Some(sound) = sound else { return self.report.lost(said, &format!("no sound, {why}")) };
        let text = self.api.transcribe(&sound).unwrap_or_default();
        if heard(said, &text) >= UNDERSTOOD {
            self.report.words += said.split(' ').count();
            self.report.kept_as_sound += 1;
        } else {
            self.report.misheard.push(format!("\"{said}\": {why}, its sound: \"{text}\""));
        }
    }

    fn newest(&self) -> i64 {
        self.page().first().map_or(0, |entry| entry.id.0)
    }

    fn since(&self, before: i64) -> Vec<Entry> {
        self.page().into_iter().filter(|entry| entry.id.0 > before).collect()
    }

    /// The newest dictations. Files that were opened meanwhile are entries too.
    fn page(&self) -> Vec<Entry> {
        let mut entries = self.history.page("", 0, 20).map_or_else(|_| Vec::new(), |page| page.entries);
        entries.retain(|entry| entry.kind == Kind::Dictation);
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.id));
        entries
    }

    fn ask(&mut self, request: &Request) {
        if let Err(error) = amanuensis_control::send(self.scene.folder.path(), request) {
            self.report.troubles.push(format!("{request}: {error}"));
        }
    }

    /// Until sound reaches the disk. Returns when it did.
    fn wait_for_journal(&self) -> Instant {
        let journals = self.scene.folder.path().join("data/amanuensis/journal");
        let until = Instant::now() + Duration::from_secs(20);
        let grows = || {
            let entries = std::fs::read_dir(&journals).into_iter().flatten().flatten();
            let fresh = entries.filter_map(|entry| entry.metadata().ok()).filter(|file| {
                let age = file.modified().ok().and_then(|when| when.elapsed().ok());
                file.len() > 100 && age.is_some_and(|age| age < Duration::from_millis(500))
            });
            fresh.count() > 0
        };
        while !grows() && Instant::now() < until {
            sleep(Duration::from_millis(20));
        }
        Instant::now()
    }

    fn open_file(&mut self) {
        let voice = self.random.below(self.voices.len() as u64) as usize;
        let path = self.voices[voice].wav.to_path_buf();
        self.ask(&Request::Open(vec![path]));
        self.report.files += 1;
    }

    fn suspend(&self, length: Duration) {
        let pid = self.app.as_ref().map_or(0, Program::id).to_string();
        self.away.store(true, Ordering::SeqCst);
        signal("STOP", &pid);
        sleep(length);
        signal("CONT", &pid);
        self.away.store(false, Ordering::SeqCst);
    }

    fn kill(&self, name: &str) {
        for process in watch::processes(self.scene.display()) {
            if process.name.starts_with(name) {
                signal("KILL", &process.id.to_string());
            }
        }
    }

    fn kill_app(&mut self) {
        self.away.store(true, Ordering::SeqCst);
        self.app = None;
        self.app = Some(self.scene.start_app(&[]));
        self.api.wait_until_up();
        self.away.store(false, Ordering::SeqCst);
    }

    /// Buffers that are leased once everything that was begun is over.
    fn leases(&self) -> Option<u64> {
        let until = Instant::now() + PATIENCE;
        loop {
            let stats = self.api.get("/stats/pipeline");
            let stats: Option<serde_json::Value> = stats.and_then(|body| serde_json::from_str(&body).ok());
            let out = stats.as_ref().and_then(|stats| {
                Some(stats["pools"].as_array()?.iter().filter_map(|pool| pool["in_use"].as_u64()).sum::<u64>())
            });
            if out == Some(0) || Instant::now() > until {
                return out;
            }
            sleep(LOOK);
        }
    }
}

/// A disk of its own for the program's data, so that it can be full.
struct Disk(PathBuf);

impl Disk {
    /// `None` where this user may not mount.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder can be made");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", DISK, "amanuensis-soak"]).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        println!("the disk is never full: this user may not mount one");
        None
    }

    /// Fills it to the last byte, until the answer is dropped.
    fn fill(&self) -> TempPath {
        let mut file = tempfile::NamedTempFile::new_in(&self.0).expect("there is room for a name");
        let block = vec![0; 1 << 20];
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        file.into_temp_path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It is busy for a moment after the app was killed: then it vanishes when it no longer is.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Sends a signal to a process, if it is still there.
pub fn signal(name: &str, pid: &str) {
    // It may have ended already.
    let _ = Command::new("kill").args([&format!("-{name}"), pid]).stderr(std::process::Stdio::null()).status();
}

/// The sound of a journal as a WAV file.
fn wav_of(journal: &Path) -> Option<Vec<u8>> {
    let mut reader = amanuensis_journal::Reader::new(std::fs::File::open(journal).ok()?).ok()?;
    Some(wav(reader.head().sample_rate, &reader.read_to_end().ok()?))
}
