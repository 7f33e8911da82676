//! `amanuensis history` on what the app has kept.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use amanuensis_history::{EntryId, History, Kind, NewEntry, Transcribed};

/// Runs it with a home of its own: whether it was well, and what it printed and complained of.
fn history(home: &Path, arguments: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amanuensis"));
    command.arg("history").args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG");
    let output = command.env("XDG_DATA_HOME", home).env("TZ", "UTC").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

fn keep(history: &History, minute: u64, text: &str) -> EntryId {
    let started = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_651_200 + 60 * minute);
    let entry = NewEntry { kind: Kind::Dictation, started, file: None, journal: None };
    let id = history.begin(&entry).unwrap();
    let what = Transcribed { text: text.into(), model: Some("base.en".into()), ..Transcribed::default() };
    history.transcribed(id, &what).unwrap();
    history.set_length(id, Duration::from_secs(75)).unwrap();
    id
}

#[test]
fn entries_are_listed_found_shown_exported_and_deleted() {
    let home = tempfile::tempdir().unwrap();
    let opened = History::open(&home.path().join("amanuensis"), SystemTime::now()).unwrap().history;
    let (first, second) = (keep(&opened, 0, "The report.\nIt is long."), keep(&opened, 1, "Bells\u{7} ring."));
    opened.set_application(first, "gedit").unwrap();
    drop(opened);

    let (_, listed, _) = history(home.path(), &["list"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].ends_with("2026-11-26 00:01 1:15 min  Bells\u{fffd} ring."), "{listed}");
    assert!(lines[1].ends_with("The report. It is long."), "{listed}");
    let (_, listed, more) = history(home.path(), &["list", "--limit", "1"]);
    assert_eq!((listed.lines().count(), more.as_str()), (1, "1 more; --limit shows them.\n"));
    let (_, found, _) = history(home.path(), &["search", "rep"]);
    assert!(found.contains("The report.") && !found.contains("Bells"), "{found}");
    let (_, shown, about) = history(home.path(), &["show", &first.0.to_string()]);
    assert_eq!(shown, "The report.\nIt is long.\n");
    assert!(about.contains("into  gedit") && about.contains("model  base.en"), "{about}");

    let (_, exported, _) = history(home.path(), &["export"]);
    assert_eq!(exported, "2026-11-26 00:00\nThe report.\nIt is long.\n\n2026-11-26 00:01\nBells\u{fffd} ring.\n\n");
    let (_, exported, _) = history(home.path(), &["export", "--format", "json", "bells"]);
    let object: serde_json::Value = serde_json::from_str(&exported).unwrap();
    assert_eq!((object["text"].as_str(), object["length_s"].as_f64()), (Some("Bells\u{7} ring."), Some(75.0)));

    let (well, _, said) = history(home.path(), &["delete", &second.0.to_string(), "77"]);
    assert!(!well && said.contains("no entry 77"), "{said}");
    let (well, said, _) = history(home.path(), &["delete", &second.0.to_string()]);
    assert_eq!((well, said.as_str()), (true, "1 entry deleted.\n"));
    assert_eq!(history(home.path(), &["list"]).1.lines().count(), 1);
}

#[test]
fn an_empty_history_says_so() {
    let home = tempfile::tempdir().unwrap();
    let (well, listed, said) = history(home.path(), &["list"]);
    assert_eq!((well, listed.as_str(), said.as_str()), (true, "", "The history is empty.\n"));
}
