use std::os::unix::fs::PermissionsExt as _;

use amanuensis_journal::{Folder, Head, Limits, Recorder};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::Opened;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn at(ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
}

struct Bench {
    history: History,
    home: TempDir,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let Opened { history, damage } = History::open(&home.path().join("data"), at(0)).unwrap();
        assert_eq!(damage, None);
        Self { history, home }
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Closes the history and opens it again.
    fn reopen(self) -> (Self, Option<crate::Damage>) {
        let Self { history, home } = self;
        drop(history);
        let Opened { history, damage } = History::open(&home.path().join("data"), at(5_000)).unwrap();
        (Self { history, home }, damage)
    }

    fn done(&self, started: u64, text: &str) -> EntryId {
        let entry = NewEntry { kind: Kind::Dictation, started: at(started), file: None, journal: None };
        let id = self.history.begin(&entry).unwrap();
        self.history.transcribed(id, &Transcribed { text: text.into(), ..Transcribed::default() }).unwrap();
        id
    }

    /// A dictation with a recording of about this many bytes before it is compressed.
    fn with_sound(&self, started: u64, samples: usize) -> EntryId {
        let id = self.done(started, "with sound");
        let head = Head { sample_rate: 16_000, started: at(started), take: id.0 as u64 };
        let path = Folder::new(self.history.journals()).new_journal(&head);
        let mut recorder = Recorder::start(path.clone(), head, Limits::default(), |_| ()).unwrap();
        recorder.push(&(0..samples).map(|index| ((index * index) as f32 * 0.37).sin() * 0.5).collect::<Vec<_>>());
        drop(recorder);
        self.history.keep_sound(id, &path).unwrap();
        assert!(!path.exists(), "the journal is not needed any more");
        id
    }

    fn texts(&self, typed: &str) -> Vec<String> {
        let page = self.history.page(typed, 0, 100).unwrap();
        assert_eq!(page.total, page.entries.len() as u64);
        page.entries.iter().map(|entry| entry.text().to_owned()).collect()
    }
}

#[test]
fn an_entry_is_there_from_its_beginning_and_knows_all_in_the_end() {
    let bench = Bench::new();
    let journal = bench.history.journals().join("1-1.journal");
    let new = NewEntry { kind: Kind::Dictation, started: at(1_234), file: None, journal: Some(journal.clone()) };
    let id = bench.history.begin(&new).unwrap();
    let (bench, _) = bench.reopen();
    let entry = bench.history.entry(id).unwrap().unwrap();
    assert_eq!((entry.state, entry.started, entry.journal.as_ref()), (State::Recording, at(1_234), Some(&journal)));
    assert_eq!(bench.history.entry_of_journal(&journal).unwrap().unwrap().id, id);
    assert_eq!(bench.history.unfinished().unwrap().len(), 1);

    let what = Transcribed {
        text: "Ask not.".into(),
        raw: Some("ask not".into()),
        failure: None,
        fault: None,
        model: Some("base.en".into()),
        device: Some("CPU".into()),
        language: Some("en".into()),
        waited: Some(Duration::from_millis(321)),
    };
    bench.history.set_state(id, State::Transcribing).unwrap();
    bench.history.transcribed(id, &what).unwrap();
    bench.history.set_length(id, Duration::from_millis(2_500)).unwrap();
    bench.history.set_application(id, "gedit").unwrap();
    bench.history.pin(id, true).unwrap();
    bench.history.edit(id, Some("Ask not what.")).unwrap();
    let (bench, _) = bench.reopen();
    let entry = bench.history.entry(id).unwrap().unwrap();
    assert_eq!(entry.transcribed, what);
    assert_eq!((entry.state, entry.pinned, entry.application.as_deref()), (State::Done, true, Some("gedit")));
    assert_eq!((entry.text(), entry.length), ("Ask not what.", Some(Duration::from_millis(2_500))));
    assert_eq!(bench.history.unfinished().unwrap(), []);
    bench.history.edit(id, None).unwrap();
    assert_eq!(bench.history.entry(id).unwrap().unwrap().text(), "Ask not.");
    assert!(matches!(bench.history.pin(EntryId(77), true), Err(HistoryError::Missing)));
}

#[test]
fn new_text_stands_for_what_was_edited_and_the_same_text_does_not() {
    let bench = Bench::new();
    let id = bench.done(1, "one");
    bench.history.edit(id, Some("uno")).unwrap();
    bench.history.transcribed(id, &Transcribed { text: "one".into(), ..Transcribed::default() }).unwrap();
    assert_eq!(bench.texts(""), ["uno"]);
    bench.history.transcribed(id, &Transcribed { text: "One.".into(), ..Transcribed::default() }).unwrap();
    assert_eq!(bench.texts(""), ["One."]);
}

#[test]
fn a_file_is_read_where_it_lies_and_never_deleted() {
    let bench = Bench::new();
    let file = bench.home.path().join("talk.wav");
    std::fs::write(&file, "sound").unwrap();
    let new = NewEntry { kind: Kind::File, started: at(1), file: Some(file.clone()), journal: None };
    let id = bench.history.begin(&new).unwrap();
    bench.history.transcribed(id, &Transcribed { text: "Well.".into(), ..Transcribed::default() }).unwrap();
    let entry = bench.history.entry(id).unwrap().unwrap();
    assert_eq!((entry.kind, entry.recording(), entry.sound.as_ref()), (Kind::File, Some(file.as_path()), None));
    let rules = Retention { keep: Some(DAY), most_sound_bytes: Some(0) };
    assert_eq!(bench.history.retain(&rules, at(0) + 3 * DAY).unwrap().entries, 1);
    assert!(file.exists());
}

#[test]
fn a_history_of_the_first_version_gains_what_is_new() {
    let bench = Bench::new();
    bench.done(1, "before");
    bench
        .history
        .connection()
        .execute_batch(
            "ALTER TABLE entries DROP COLUMN raw; ALTER TABLE entries DROP COLUMN fault; PRAGMA user_version = 1",
        )
        .unwrap();
    let (bench, damage) = bench.reopen();
    assert_eq!((damage, bench.texts("before")), (None, vec!["before".to_owned()]));
    assert_eq!(bench.history.page("", 0, 1).unwrap().entries[0].transcribed.raw, None);
}

#[test]
fn times_are_those_of_the_calendar() {
    let time = Bench::new().history.local_time(at(951_782_400_000)).unwrap();
    assert!(time.starts_with("2000-02-2") && time.len() == 16, "{time}");
}

#[test]
fn words_are_found_while_they_are_typed() {
    let bench = Bench::new();
    for (started, text) in
        [(1, "Send the report to Alice"), (2, "Das Café ist zu"), (3, "明日の会議"), (4, "100 % \"sure\"")]
    {
        bench.done(started, text);
    }
    assert_eq!(bench.texts("").len(), 4);
    assert_eq!(bench.texts("rep"), ["Send the report to Alice"]);
    assert_eq!(bench.texts("ALICE send"), ["Send the report to Alice"]);
    assert_eq!(bench.texts("port"), [""; 0], "a word is found by its beginning");
    assert_eq!(bench.texts("cafe"), ["Das Café ist zu"]);
    assert_eq!(bench.texts("会議"), ["明日の会議"]);
    assert_eq!(bench.texts("%"), ["100 % \"sure\""]);
    for syntax in ["\"", "*", "a AND", "NEAR(", "-x", "shown:", "^", "a\0b", "'; DROP TABLE entries; --"] {
        bench.texts(syntax);
    }
    let (id, other) = (bench.done(5, "before"), bench.done(6, "other"));
    bench.history.edit(id, Some("afterwards")).unwrap();
    assert_eq!((bench.texts("before").len(), bench.texts("afterw").len()), (0, 1), "the index follows what is edited");
    bench.history.delete(other).unwrap();
    assert_eq!(bench.texts("other"), [""; 0]);
}

#[test]
fn pages_follow_each_other_from_the_newest_on() {
    let bench = Bench::new();
    for started in 0..25 {
        bench.done(started, &format!("number {started}"));
    }
    let page = |skip| bench.history.page("number", skip, 10).unwrap();
    assert_eq!((page(0).total, page(0).entries.len(), page(20).entries.len(), page(30).entries.len()), (25, 10, 5, 0));
    assert_eq!(page(10).entries[0].text(), "number 14");
}

#[test]
fn what_is_deleted_comes_back_until_it_is_purged() {
    let bench = Bench::new();
    let (first, second, pinned) = (bench.with_sound(1, 16_000), bench.done(2, "second"), bench.done(3, "pinned"));
    let recording = NewEntry { kind: Kind::Dictation, started: at(4), file: None, journal: None };
    bench.history.begin(&recording).unwrap();
    bench.history.pin(pinned, true).unwrap();
    bench.history.delete(first).unwrap();
    assert!(bench.history.entry(first).unwrap().is_none());
    assert_eq!(bench.history.restore().unwrap(), 1);
    let sound = bench.history.entry(first).unwrap().unwrap().sound.unwrap();
    assert_eq!(bench.history.delete_all().unwrap(), 2, "neither what is pinned nor what is being recorded");
    let forgotten = bench.history.purge().unwrap();
    assert_eq!((forgotten.entries, forgotten.sounds), (2, 1));
    assert!(!sound.exists());
    assert_eq!(bench.history.restore().unwrap(), 0);
    assert!(bench.history.entry(second).unwrap().is_none());
    assert_eq!(bench.history.page("", 0, 9).unwrap().total, 2);
}

#[test]
fn the_files_are_the_users_own() {
    let bench = Bench::new();
    let id = bench.with_sound(1, 8_000);
    let sound = bench.history.entry(id).unwrap().unwrap().sound.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    for file in [sound, bench.folder().join("history.db"), bench.folder().join("history.db-wal")] {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    for folder in [bench.folder(), bench.folder().join("recordings"), bench.history.journals()] {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// Whatever the rules and the entries are: what is pinned, young, or unfinished stays, and what goes is told.
    #[test]
    fn retention_never_touches_what_is_pinned_and_tells_what_it_deletes(
        entries in prop::collection::vec((0_u64..100, any::<bool>(), any::<bool>(), 0_usize..3), 1..12),
        keep_days in prop::option::of(1_u64..100),
        most in prop::option::of(0_u64..60_000),
    ) {
        let bench = Bench::new();
        let now = at(0) + 100 * DAY;
        let mut ids = Vec::new();
        for (age, pinned, finished, sound) in &entries {
            let started = (100 - age) * DAY.as_millis() as u64;
            let id = if *sound > 0 { bench.with_sound(started, sound * 8_000) } else { bench.done(started, "x") };
            bench.history.pin(id, *pinned).unwrap();
            if !finished {
                bench.history.set_state(id, State::Recovered).unwrap();
            }
            ids.push(id);
        }
        let bytes_before = bench.history.sound_bytes().unwrap();
        let rules = Retention { keep: keep_days.map(|days| DAY * days as u32), most_sound_bytes: most };
        let forgotten = bench.history.retain(&rules, now).unwrap();
        let mut gone = Forgotten::default();
        let mut may_go = 0;
        for (id, (age, pinned, finished, sound)) in ids.iter().zip(&entries) {
            let entry = bench.history.entry(*id).unwrap();
            let protected = *pinned || !finished;
            let old = keep_days.is_some_and(|days| *age > days);
            prop_assert_eq!(entry.is_none(), old && !protected);
            gone.entries += u64::from(entry.is_none());
            let has_sound = entry.as_ref().and_then(|entry| entry.sound.as_ref()).is_some_and(|path| path.exists());
            prop_assert!(has_sound || *sound == 0 || !protected);
            gone.sounds += u64::from(*sound > 0 && !has_sound);
            may_go += u64::from(has_sound && !protected);
        }
        let bytes = bench.history.sound_bytes().unwrap();
        gone.bytes = bytes_before - bytes;
        prop_assert_eq!(forgotten, gone);
        prop_assert!(most.is_none_or(|most| bytes <= most) || may_go == 0);
        prop_assert_eq!(bench.history.retain(&rules, now).unwrap(), Forgotten::default(), "once is enough");
    }
}

#[test]
fn two_programs_can_be_at_the_same_history() {
    let bench = Bench::new();
    let other = History::open(&bench.folder(), at(0)).unwrap().history;
    std::thread::scope(|scope| {
        for (index, history) in [bench.history, other].into_iter().enumerate() {
            scope.spawn(move || {
                for number in 0..50 {
                    let entry = NewEntry {
                        kind: Kind::File,
                        started: at(number),
                        file: Some(index.to_string().into()),
                        journal: None,
                    };
                    let id = history.begin(&entry).unwrap();
                    history.transcribed(id, &Transcribed { text: "text".into(), ..Transcribed::default() }).unwrap();
                }
            });
        }
    });
    let again = History::open(&bench.home.path().join("data"), at(0)).unwrap();
    assert_eq!((again.damage, again.history.page("text", 0, 1).unwrap().total), (None, 100));
}

/// Opens a history the file of which was made by `spoil` from a good one with 300 entries.
fn spoilt(spoil: impl FnOnce(&mut Vec<u8>)) -> (Bench, Option<crate::Damage>) {
    let bench = Bench::new();
    let transaction = bench.history.connection().unchecked_transaction().unwrap();
    for number in 0..300 {
        bench.done(number, &format!("entry number {number}, and enough words for several pages of the database"));
    }
    transaction.commit().unwrap();
    bench.with_sound(1_000, 4_000);
    let file = bench.folder().join("history.db");
    let Bench { history, home } = bench;
    drop(history);
    let mut bytes = std::fs::read(&file).unwrap();
    spoil(&mut bytes);
    std::fs::write(&file, bytes).unwrap();
    let Opened { history, damage } = History::open(&home.path().join("data"), at(9_000)).unwrap();
    (Bench { history, home }, damage)
}

#[test]
fn a_damaged_database_is_kept_aside_and_what_can_be_read_of_it_is_rescued() {
    let (bench, damage) = spoilt(|bytes| {
        let middle = bytes.len() / 2;
        bytes[middle..middle + 2_000].fill(0xa5);
    });
    let damage = damage.expect("it is told");
    assert_eq!(damage.kept_at, bench.folder().join("history-damaged-9.db"));
    assert!(damage.kept_at.exists());
    assert!((100..=301).contains(&damage.rescued), "{damage:?}");
    assert_eq!(bench.history.page("", 0, 1).unwrap().total as usize, damage.rescued + damage.found);
    bench.done(1, "it works");
    assert_eq!(bench.texts("works"), ["it works"]);
}

#[test]
fn of_a_database_that_is_none_the_recordings_are_found_again() {
    for spoil in [|bytes: &mut Vec<u8>| bytes.fill(0x42), |bytes: &mut Vec<u8>| bytes.truncate(700)] {
        let (bench, damage) = spoilt(spoil);
        let damage = damage.expect("it is told");
        assert_eq!((damage.rescued, damage.found), (0, 1));
        let page = bench.history.page("", 0, 9).unwrap();
        assert_eq!((page.entries[0].started, page.entries[0].sound.is_some()), (at(1_000), true));
    }
}

#[test]
fn an_empty_file_is_a_history_that_begins() {
    let (bench, damage) = spoilt(Vec::clear);
    assert_eq!(damage, None);
    assert_eq!(bench.history.page("", 0, 9).unwrap().total, 0);
}

#[test]
fn any_damage_is_survived() {
    for seed in 0..12_usize {
        let (bench, _) = spoilt(|bytes| {
            for index in 0..20 {
                let place = (seed * 7_919 + index * 104_729) % bytes.len();
                bytes[place] ^= 0xff;
            }
        });
        let id = bench.done(1, "still here");
        assert_eq!(bench.history.entry(id).unwrap().unwrap().text(), "still here");
        bench.history.page("", 0, 1_000).unwrap();
    }
}

#[test]
fn a_history_of_a_later_version_is_left_alone() {
    let bench = Bench::new();
    bench.history.connection().pragma_update(None, "user_version", 99).unwrap();
    let error = History::open(&bench.folder(), at(0)).unwrap_err();
    assert!(matches!(error, HistoryError::Newer { .. }), "{error}");
}

#[test]
fn where_no_folder_can_be_made_the_reason_is_told() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("data");
    std::fs::write(&file, "in the way").unwrap();
    let error = History::open(&file, at(0)).unwrap_err();
    assert!(error.to_string().contains("cannot be kept in"), "{error}");
    let history = History::in_memory(&file).unwrap();
    let entry = NewEntry { kind: Kind::Dictation, started: at(1), file: None, journal: None };
    history.begin(&entry).unwrap();
    assert_eq!(history.page("", 0, 9).unwrap().total, 1);
}

#[test]
fn of_two_damaged_databases_in_the_same_second_both_are_kept() {
    let home = tempfile::tempdir().unwrap();
    // The clock may have been set back in between.
    let kept = ["Dear diary", "Dear Sir"].map(|content| {
        std::fs::write(home.path().join("history.db"), content).unwrap();
        let opened = History::open(home.path(), at(9_000)).unwrap();
        opened.damage.expect("it is told").kept_at
    });
    assert_eq!(kept.map(|path| std::fs::read_to_string(path).unwrap()), ["Dear diary", "Dear Sir"]);
}
