//! What a desktop does to a program: it is suspended, started twice, its page dies, its files are damaged, its devices vanish.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use amanuensis_control::Request;
use amanuensis_history::{History, State};
use amanuensis_test_support::{Random, found, heard, speak};
use fantoccini::Locator;
use serde_json::json;

use crate::soak::{processes, signal};
use crate::stage::{Scene, Setting, Stage, repository};
use crate::{ALERT, SAID, TAKE, TRANSCRIPT, UNDERSTOOD, drive, has_model, is_written, screen};

/// Bounds a hang.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

fn wait_until(what: &str, mut fits: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !fits() {
        assert!(Instant::now() < until, "{what}");
        sleep(LOOK);
    }
}

fn named(scene: &Scene, name: &str) -> Vec<u32> {
    let all = processes(scene.display()).into_iter();
    all.filter(|process| process.name.starts_with(name)).map(|process| process.id).collect()
}

fn ask(scene: &Scene, request: &Request) {
    wait_until("the app does not listen", || amanuensis_control::send(scene.folder.path(), request).is_ok());
}

#[test]
fn a_page_that_is_killed_comes_back_and_a_dictation_goes_on() {
    let Some(voice) = speak(SAID).filter(|_| has_model() && found("kill")) else { return };
    let Some(scene) = Scene::open(Setting::default()) else { return };
    let _app = scene.start_app(&[]);
    screen::assert_drawn(scene.display());
    let data = scene.folder.path().join("data/amanuensis");
    let pages = named(&scene, "WebKitWebProces");
    assert!(!pages.is_empty(), "WebKit draws in a process of its own");
    ask(&scene, &Request::Start);
    let journals = data.join("journal");
    let is_recorded = || std::fs::read_dir(&journals).is_ok_and(|entries| entries.flatten().count() == 1);
    wait_until("nothing is recorded", is_recorded);
    pages.iter().for_each(|page| signal("KILL", &page.to_string()));
    scene.microphone.play(&voice);
    ask(&scene, &Request::Stop);
    let history = History::open(&data, SystemTime::now()).expect("the history can be opened").history;
    wait_until("the dictation is not written", || {
        let page = history.page("", 0, 10).expect("the history can be read");
        page.entries.iter().any(|entry| entry.state == State::Done && heard(SAID, entry.text()) >= UNDERSTOOD)
    });
    let new = || named(&scene, "WebKitWebProces").into_iter().any(|page| !pages.contains(&page));
    wait_until("no page comes back", new);
    screen::assert_drawn(scene.display());
}

/// Where the library lies that shows programs another time.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let found = libraries.find(|library| library.is_file());
    if found.is_none() {
        println!("skipped: libfaketime is not installed");
    }
    found
}

#[test]
fn a_clock_that_jumps_costs_no_word_and_nothing_is_forgotten_for_it() {
    let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
    let Some(library) = faketime() else { return };
    let clock = tempfile::NamedTempFile::new().expect("a temporary file");
    let set = |clock_is: &str| std::fs::write(&clock, clock_is).expect("the clock can be set");
    set("+0");
    let mut setting = Setting::default();
    setting.settings.history.keep_days = Some(7);
    setting.environment = vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", clock.path().display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let Some(scene) = Scene::open(setting) else { return };
    let _app = scene.start_app(&[]);
    screen::assert_drawn(scene.display());
    let data = scene.folder.path().join("data/amanuensis");
    let history = History::open(&data, SystemTime::now()).expect("the history can be opened").history;
    let entries = || history.page("", 0, 10).expect("the history can be read").entries;
    // The clock as it is at the beginning, in the middle and at the end of each.
    let dictations = [["+0", "+0", "+0"], ["+0", "+40d", "-40d"], ["+40d", "-40d", "+40d"]];
    for (number, [begins, goes_on, ends]) in dictations.into_iter().enumerate() {
        set(begins);
        ask(&scene, &Request::Start);
        wait_until("nothing is recorded", || scene.microphone.is_listened_to());
        let playing = scene.microphone.begin(&voice);
        scene.microphone.wait_for_sound();
        set(goes_on);
        playing.wait();
        set(ends);
        ask(&scene, &Request::Stop);
        wait_until("a dictation is not written", || {
            entries().iter().filter(|entry| entry.state == State::Done).count() == number + 1
        });
    }
    let entries = entries();
    for entry in &entries {
        assert!(heard(SAID, entry.text()) >= UNDERSTOOD, "{entry:?}");
        let sane = Duration::from_secs(1)..PATIENCE;
        assert!(entry.length.is_some_and(|length| sane.contains(&length)), "{entry:?}");
        assert!(entry.transcribed.waited.is_some_and(|waited| waited < PATIENCE), "{entry:?}");
    }
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    assert!(entries[0].started > SystemTime::now() + 39 * DAY, "the clock did jump: {:?}", entries[0]);
}

#[test]
fn apps_that_are_started_at_once_become_one() {
    if !has_model() {
        return;
    }
    let Some(scene) = Scene::open(Setting::default()) else { return };
    let apps: Vec<_> = (0..4).map(|_| scene.start_app(&[])).collect();
    screen::assert_drawn(scene.display());
    // The others tell the first one to show itself, and end.
    let running = || {
        let all = named(&scene, "amanuensis-app");
        all.into_iter().filter(|id| std::fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| !line.is_empty()))
    };
    wait_until("there are several", || running().count() == 1);
    ask(&scene, &Request::Show);
    drop(apps);
}

#[test]
fn a_dictation_that_is_suspended_goes_on_when_the_machine_wakes_up() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model() && found("kill")) else { return };
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        stage.dictate(&voice).await;
        let all: Vec<String> = processes(stage.display()).iter().map(|process| process.id.to_string()).collect();
        all.iter().for_each(|id| signal("STOP", id));
        sleep(Duration::from_secs(3));
        all.iter().for_each(|id| signal("CONT", id));
        stage.press("Stop dictating").await;
        stage.wait_for(TRANSCRIPT, |text| heard(SAID, text) >= UNDERSTOOD).await;
        stage.close().await;
    });
}

#[test]
fn a_sound_server_that_is_restarted_costs_nothing_and_the_next_dictation_is_heard() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let Some(mut stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        stage.dictate(&voice).await;
        stage.microphone.restart_server();
        stage.wait_for(ALERT, |text| text.contains("kept")).await;
        stage.wait_for(TAKE, |text| heard(SAID, text) >= UNDERSTOOD).await;
        stage.dictate(&voice).await;
        stage.press("Stop dictating").await;
        stage.wait_for(&format!("{TAKE}:last-of-type"), is_written).await;
        stage.close().await;
    });
}

#[test]
fn damaged_settings_and_a_damaged_history_are_kept_aside_and_told_of() {
    drive(async {
        if !has_model() {
            return;
        }
        let Some(mut stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        let (config, data) =
            (stage.folder.path().join("config/amanuensis"), stage.folder.path().join("data/amanuensis"));
        let cases = [
            (config.join("settings.json"), "Your settings could not be used", "settings.json.corrupt-"),
            (data.join("history.db"), "The history was damaged", "history-damaged-"),
        ];
        for (file, told, aside) in cases {
            stage.kill();
            // What SQLite has not yet put into its file lies beside it.
            let _ = std::fs::remove_file(file.with_extension("db-wal"));
            std::fs::write(&file, "Dear diary").expect("a file can be written");
            stage.open_again().await;
            stage.wait_for(ALERT, |text| text.contains(told) && text.contains(aside)).await;
            stage.shoot(aside.trim_end_matches('-')).await;
            let kept = kept_aside(file.parent().expect("it lies in a folder"), aside);
            assert_eq!(std::fs::read(kept).expect("it is there"), b"Dear diary");
            skip_guide(&stage).await;
            stage.ready().await;
        }
        stage.close().await;
    });
}

/// After the settings were lost the guide of the first start is there again.
async fn skip_guide(stage: &Stage) {
    if let Ok(skip) = stage.page.find(Locator::XPath("//button[starts-with(normalize-space(), 'Skip')]")).await {
        skip.click().await.expect("the guide can be skipped");
    }
}

fn kept_aside(folder: &Path, beginning: &str) -> PathBuf {
    let mut names = std::fs::read_dir(folder).expect("the folder is there").flatten().map(|entry| entry.path());
    // What SQLite had beside its file is kept, too.
    let kept = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(beginning) && !name.ends_with("-shm") && !name.ends_with("-wal")
    };
    names.find(kept).expect("the damaged file is kept")
}

#[test]
fn where_the_home_may_only_be_read_dictation_goes_on() {
    drive(async {
        let Some(voice) = speak(SAID).filter(|_| has_model()) else { return };
        let Some(mut stage) = Stage::open(Setting::default()).await else { return };
        stage.kill();
        // Root writes where nobody may: only a mount keeps it from that.
        let folders = ["data", "config", "cache"].map(|name| stage.folder.path().join(name));
        let mounted = folders.iter().all(|folder| {
            std::fs::create_dir_all(folder).expect("a folder can be made");
            let bind = Command::new("mount").args(["--bind"]).arg(folder).arg(folder).output();
            let lock = Command::new("mount").args(["-o", "remount,ro,bind"]).arg(folder).output();
            [bind, lock].into_iter().all(|output| output.is_ok_and(|output| output.status.success()))
        });
        let _mounts = Mounts(folders.to_vec());
        if !mounted {
            println!("skipped: this user may not mount");
            return;
        }
        stage.open_again().await;
        stage.ready().await;
        stage.dictate(&voice).await;
        stage.wait_for(ALERT, |text| text.contains("cannot be")).await;
        stage.shoot("read-only-home").await;
        stage.press("Stop dictating").await;
        stage.wait_for(TRANSCRIPT, |text| heard(SAID, text) >= UNDERSTOOD).await;
        stage.kill();
    });
}

struct Mounts(Vec<PathBuf>);

impl Drop for Mounts {
    fn drop(&mut self) {
        for folder in &self.0 {
            let _ = Command::new("umount").arg("--lazy").arg(folder).output();
        }
    }
}

/// What a page could send if it were not ours: to every command, arguments of every kind.
#[test]
fn whatever_the_page_sends_the_app_lives() {
    drive(async {
        if !has_model() {
            return;
        }
        let seed = std::env::var("AMANUENSIS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(9);
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let Some(stage) = Stage::open(Setting::default()).await else { return };
        stage.ready().await;
        let commands = commands();
        assert!(commands.len() > 30, "{commands:?}");
        for (name, arguments) in &commands {
            for _ in 0..12 {
                let sent: serde_json::Map<_, _> =
                    arguments.iter().map(|argument| (argument.clone(), anything(&mut random, 2))).collect();
                let script = "const [name, sent] = arguments; \
                              return Promise.race([window.__TAURI_INTERNALS__.invoke(name, sent).then(() => 'done', String), \
                              new Promise((over) => setTimeout(() => over('late'), 5000))]);";
                let answer = stage.page.execute(script, vec![json!(name), json!(sent)]).await;
                let answer = answer.unwrap_or_else(|error| panic!("{name} {sent:?}: {error}"));
                assert_ne!(answer, json!("late"), "{name} {sent:?} is never answered");
            }
        }
        // Nothing of Tauri's is to be had.
        for name in
            ["plugin:fs|read_file", "plugin:shell|execute", "plugin:webview|create_webview", "plugin:opener|open_url"]
        {
            let script = "return window.__TAURI_INTERNALS__.invoke(arguments[0], {}).then(() => 'done', String);";
            let answer = stage.page.execute(script, vec![json!(name)]).await.expect("a script runs");
            assert_ne!(answer, json!("done"), "{name}");
        }
        stage.page.refresh().await.expect("the page can be loaded again");
        stage.wait_for("body", is_written).await;
        ask(&stage, &Request::Show);
        stage.close().await;
    });
}

/// The commands that the page may call, with the names of their arguments. Those that open a dialog are left out: it would stay.
/// So are those that wait for news.
fn commands() -> Vec<(String, Vec<String>)> {
    let mut commands = Vec::new();
    for file in ["commands.rs", "commands/files.rs", "commands/history.rs"] {
        let source = std::fs::read_to_string(repository(&format!("src-tauri/src/{file}"))).expect("it is there");
        for command in source.split("#[tauri::command").skip(1) {
            let Some((name, rest)) = command.split_once("pub fn ").and_then(|(_, rest)| rest.split_once('(')) else {
                continue;
            };
            let arguments = rest.split_once(')').map_or("", |(arguments, _)| arguments);
            if arguments.contains("WebviewWindow") {
                continue;
            }
            let arguments = arguments.split(',').filter_map(|argument| argument.split_once(':'));
            let names = arguments.map(|(argument, _)| camel(argument.trim())).filter(|name| name != "desk");
            commands.push((name.to_owned(), names.collect()));
        }
    }
    commands
}

/// As the page writes the name.
fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + &part[..1].to_uppercase() + &part[1..])
}

fn anything(random: &mut Random, depth: u64) -> serde_json::Value {
    match random.below(if depth > 0 { 12 } else { 9 }) {
        0 => json!(null),
        1 => json!(random.below(2) == 0),
        2 => json!(random.below(5)),
        3 => json!(random.below(u64::MAX)),
        4 => json!(-(random.below(1 << 40) as i64)),
        5 => json!(1e300),
        6 => json!(""),
        7 => json!("../../../../etc/passwd\0\n\u{202e}<img src=x onerror=alert(1)>"),
        8 => json!("\u{1F600}".repeat(random.below(50_000) as usize)),
        9 => (0..random.below(4)).map(|_| anything(random, depth - 1)).collect(),
        10 => json!({ "dictation": anything(random, depth - 1), "server": { "port": anything(random, 0) } }),
        _ => json!({ "typed": anything(random, 0), "limit": anything(random, 0), "id": anything(random, 0) }),
    }
}
